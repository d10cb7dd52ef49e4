# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a node, as root: what a ledger holds, seen through its container's own /proc and its own descriptors.

    ledger_on_node.py PID PLANTED

``PID`` is its first process as the node counts, ``PLANTED`` what it said that it planted, in JSON. Prints one JSON
object with what is there. What nobody has read from its pipe is read by this.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import socket
import subprocess
import sys
import typing as t

PIDFD_GETFD = 438
"""The number of the system call, the same on every architecture."""


class Ledger:
    def __init__(self, pid: int, planted: dict[str, t.Any]) -> None:
        self.pid = pid
        self.planted = planted
        # The /proc of the container: processes have the numbers there that they know of themselves.
        self.proc = f"/proc/{pid}/root/proc"

    def text(self, path: str) -> str:
        with open(f"{self.proc}/{path}", encoding="utf-8") as file:
            return file.read()

    def link(self, fd: int) -> str:
        return os.readlink(f"{self.proc}/1/fd/{fd}")

    def status(self, pid: str) -> dict[str, str]:
        lines = self.text(f"{pid}/status").splitlines()
        return {key: value.strip() for key, _colon, value in (line.partition(":") for line in lines)}

    def memory(self, pid: int, address: str, size: int) -> str:
        with open(f"{self.proc}/{pid}/mem", "rb", buffering=0) as file:
            file.seek(int(address, 16))
            return file.read(size).decode()

    def tree(self) -> dict[str, list[t.Any]]:
        """Process -> name, parent, threads."""
        found = {}
        for pid in filter(str.isdigit, os.listdir(self.proc)):
            status = self.status(pid)
            found[pid] = [status["Name"], int(status["PPid"]), sorted(map(int, os.listdir(f"{self.proc}/{pid}/task")))]
        return found

    def under_way(self) -> str:
        """The message that nobody has taken from the socket; it stays there."""
        libc = ctypes.CDLL(None, use_errno=True)
        process = os.pidfd_open(self.pid)
        fd = libc.syscall(PIDFD_GETFD, process, self.planted["socketpair"]["unread_at"], 0)
        os.close(process)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        with socket.socket(fileno=fd) as unix:
            return unix.recv(1000, socket.MSG_PEEK | socket.MSG_DONTWAIT).decode()

    def in_the_pipe(self) -> str:
        fd = os.open(f"{self.proc}/1/fd/{self.planted['pipe']['read_fd']}", os.O_RDONLY | os.O_NONBLOCK)
        try:
            return os.read(fd, 1000).decode()
        finally:
            os.close(fd)

    def of_its_namespaces(self, *command: str) -> str:
        enter = ["nsenter", f"--target={self.pid}", "--ipc", "--uts"]
        return subprocess.run([*enter, *command], check=True, capture_output=True, text=True).stdout

    def holds(self) -> dict[str, t.Any]:
        planted, shared, heap = self.planted, self.planted["shared"], self.planted["heap"]
        events = self.text(f"1/fdinfo/{planted['eventfd']['fd']}")
        watched = self.text(f"1/fdinfo/{planted['epoll']['fd']}")
        segments = self.of_its_namespaces("cat", "/proc/sysvipc/shm").splitlines()[1:]
        return {
            "tree": self.tree(),
            "deleted": [self.link(planted["deleted"]["fd"]), self.text(f"1/fd/{planted['deleted']['fd']}")],
            "memfd": [self.link(planted["memfd"]["fd"]), self.text(f"1/fd/{planted['memfd']['fd']}")],
            "pipe": self.in_the_pipe(),
            "socketpair": self.under_way(),
            "eventfd": int(re.findall(r"eventfd-count:\s*(\w+)", events)[0], 16),
            "signalfd": re.findall(r"sigmask:\s*(\w+)", self.text(f"1/fdinfo/{planted['signalfd']['fd']}"))[0],
            "epoll": sorted(map(int, re.findall(r"tfd:\s*(\d+)", watched))),
            "heap": self.memory(1, heap["address"], heap["length"]).encode().hex(),
            "environment": [item for item in self.text("1/environ").split("\0") if item.startswith("LEDGER_")],
            "shared": [self.memory(pid, shared["address"], len(shared["text"])) for pid in shared["pids"]],
            "segments": [int(line.split()[1]) for line in segments],
            "host name": self.of_its_namespaces("uname", "-n").strip(),
        }


def main() -> None:
    print(json.dumps(Ledger(int(sys.argv[1]), json.loads(sys.argv[2])).holds()))


if __name__ == "__main__":
    main()
