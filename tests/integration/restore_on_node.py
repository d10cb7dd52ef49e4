# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a node, as root: the restore runtime called as a container runtime calls it, with archives that were made to
do harm, and killed at every stage. The bundle is that of a running container, under another name.

    restore_on_node.py faithful|hostile|killed CONTAINER-ID ARCHIVE

Prints one JSON object: for each case what the runtime said and what it left behind.
"""

from __future__ import annotations

import copy
import glob
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import typing as t

PROGRAM = "/opt/checkpoint-restore/checkpoint-restore-runtime"
STORE = "/var/lib/checkpoint-restore"
ROOT = "/run/restore-on-node"
WORK = "/root/restore-on-node"
CANARY = f"{WORK}/canary"
NAME = ("it-hostile", "pod", "app")
RECEIPT = f"{STORE}/receipts/{'_'.join(NAME)}.json"
Members = dict[str, tuple[tarfile.TarInfo, bytes]]


class Node:
    """A bundle made after that of a running container, and calls of the restore runtime with it."""

    def __init__(self, container: str, archive: str) -> None:
        shutil.rmtree(WORK, ignore_errors=True)
        os.makedirs(f"{WORK}/bundle")
        info = json.loads(subprocess.check_output(["crictl", "inspect", container]))["info"]
        self.config = self._config(info)
        self.root = f"{WORK}/rootfs"
        # Only the root file system itself: what is mounted in it has no end.
        subprocess.run(["cp", "-ax", f"/proc/{info['pid']}/root/.", self.root], check=False, stderr=subprocess.DEVNULL)
        # The container has such a folder as well: links that lead out of it must end there.
        os.makedirs(self.root + WORK)
        with open(archive, "rb") as file:
            self.members = self.read(file.read())
        with open(CANARY, "w", encoding="ascii") as canary:
            canary.write("untouched")
        self.mounts = self._mounts()

    def _config(self, info: dict[str, t.Any]) -> dict[str, t.Any]:
        config = copy.deepcopy(info["runtimeSpec"])
        keys = ("sandbox-namespace", "sandbox-name", "container-name")
        config["annotations"] = {f"io.kubernetes.cri.{key}": value for key, value in zip(keys, NAME)}
        config["annotations"]["io.kubernetes.cri.container-type"] = "container"
        config["linux"]["cgroupsPath"] = "/kubepods/restore-on-node/case"
        config["root"] = {"path": f"{WORK}/rootfs"}
        config.pop("hooks", None)
        return config

    @staticmethod
    def read(data: bytes) -> Members:
        found: Members = {}
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for info in tar:
                content = tar.extractfile(info) if info.isfile() else None
                found[info.name.removeprefix("./")] = (info, content.read() if content is not None else b"")
        return found

    @staticmethod
    def pack(members: t.Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for given, data in members:
                info = copy.copy(given)
                if info.isfile():
                    info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return out.getvalue()

    @staticmethod
    def _mounts() -> list[str]:
        with open("/proc/self/mounts", encoding="utf-8") as file:
            return sorted(file)

    def prepare(self, case: str, data: bytes, **more: t.Any) -> None:
        path = f"{WORK}/{case}.tar"
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, 0o600)
        with open(f"{WORK}/bundle/config.json", "w", encoding="utf-8") as file:
            json.dump(self.config, file)
        fields = {"namespace": NAME[0], "pod": NAME[1], "container": NAME[2], "archive": path}
        fields.update(version=1, sha256=hashlib.sha256(data).hexdigest(), expires=int(time.time()) + 600)
        if os.path.exists(RECEIPT):
            os.unlink(RECEIPT)
        ticket = f"{STORE}/tickets/{'_'.join(NAME)}.json"
        with open(os.open(ticket, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump({**fields, **more}, file)

    def start(self, case: str) -> subprocess.Popen[bytes]:
        words = [PROGRAM, "--root", ROOT, "create", "--bundle", f"{WORK}/bundle", case]
        # Not a pipe: a restored process keeps it open.
        with open(f"{WORK}/said", "wb") as said:
            return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=said, stdin=subprocess.DEVNULL)

    def receipt(self) -> t.Optional[dict[str, t.Any]]:
        """What the restore runtime left about the last call."""
        try:
            with open(RECEIPT, encoding="utf-8") as file:
                return dict(json.load(file))
        except FileNotFoundError:
            return None

    def said(self) -> str:
        with open(f"{WORK}/said", encoding="utf-8") as file:
            return file.read()

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, "--root", ROOT, *words], capture_output=True, text=True, check=False, timeout=60
        )

    def left(self) -> list[str]:
        """What is there and should not be."""
        found = [path for place in ("restores", "tickets") for path in glob.glob(f"{STORE}/{place}/*")]
        found += glob.glob("/sys/fs/cgroup/*/kubepods/restore-on-node/case")
        found += glob.glob("/sys/fs/cgroup/kubepods/restore-on-node/case")
        found += [f"mount {line}" for line in self._mounts() if line not in self.mounts]
        found += [f"{ROOT}/{name}" for name in (os.listdir(ROOT) if os.path.isdir(ROOT) else ())]
        with open(CANARY, encoding="ascii") as file:
            found += [] if file.read() == "untouched" else ["the canary was changed"]
        found += [] if sorted(os.listdir(WORK)) == self.names else [f"files: {sorted(os.listdir(WORK))}"]
        return found

    names: t.ClassVar[list[str]] = ["bundle", "canary", "rootfs", "said"]


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, **more: t.Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(data)
    info.mode = 0o755
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def hostile_differences() -> dict[str, list[tuple[tarfile.TarInfo, bytes]]]:
    """Differences of the root file system."""
    link = tarfile.SYMTYPE
    return {
        "dots": [member("../../../../../../root/restore-on-node/canary", b"gone")],
        "dots-inside": [member("a/../../../../root/restore-on-node/canary", b"gone")],
        "absolute": [member(CANARY, b"gone")],
        "device-block": [member("disk", kind=tarfile.BLKTYPE, devmajor=254, devminor=0)],
        "device-character": [member("mem", kind=tarfile.CHRTYPE, devmajor=1, devminor=1)],
        "hard-link-out": [member("stolen", kind=tarfile.LNKTYPE, linkname=CANARY)],
        "hard-link-dots": [member("stolen", kind=tarfile.LNKTYPE, linkname="../../../../.." + CANARY)],
        "file-on-folder-link": [
            member("out", kind=link, linkname="/root"),
            member("out/x/y/", kind=tarfile.DIRTYPE),
            member("out/x", b"x"),
        ],
        "giant": [member("giant", pax_headers={"GNU.sparse.size": str(1 << 50), "GNU.sparse.map": "0,0"})],
        "unknown-kind": [member("strange", kind=b"Z")],
    }


def harmless_differences() -> dict[str, list[tuple[tarfile.TarInfo, bytes]]]:
    """Differences that look like harm and stay inside of the container."""
    link = tarfile.SYMTYPE
    return {
        "link-out-then-write": [
            member("out", kind=link, linkname="/root/restore-on-node"),
            member("out/canary", b"gone"),
        ],
        "link-dots-then-write": [
            member("out", kind=link, linkname="../../../../../../root/restore-on-node"),
            member("out/canary", b"gone"),
        ],
        "whiteout-through-link": [
            member("out", kind=link, linkname="/root/restore-on-node"),
            member("out/.wh.canary"),
        ],
        "opaque-root": [member("root/.wh..wh..opq")],
    }


def hostile_images(node: Node) -> dict[str, bytes]:
    """Archives whose images are wrong."""
    cases: dict[str, bytes] = {}

    def case(name: str, changed: dict[str, t.Optional[bytes]]) -> None:
        members = dict(node.members)
        for key, data in changed.items():
            path = f"checkpoint/{key}"
            if data is None:
                members.pop(path, None)
            else:
                members[path] = (members[path][0] if path in members else member(path)[0], data)
        cases[name] = node.pack(members.values())

    images = {
        name.rpartition("/")[2]: data for name, (_info, data) in node.members.items() if name.startswith("checkpoint/")
    }
    pages = next(name for name in sorted(images) if name.startswith("pages-"))
    mounts = next(name for name in images if name.startswith("mountpoints-"))
    for name in ("core-1.img", "mm-1.img", "pstree.img", "inventory.img", "files.img", mounts, "pagemap-1.img", pages):
        data = images[name]
        case(f"missing-{name}", {name: None})
        case(f"empty-{name}", {name: b""})
        case(f"half-{name}", {name: data[: len(data) // 2]})
        case(f"noise-{name}", {name: data[:8] + os.urandom(max(0, len(data) - 8)) if name != pages else data[:4096]})
    case("long-entry", {"core-1.img": images["core-1.img"][:8] + b"\xff\xff\xff\x7f" + images["core-1.img"][12:]})
    case("wrong-magic", {"core-1.img": b"\0" * 8 + images["core-1.img"][8:]})
    case("other-pid", {"core-1.img": None, "core-2.img": images["core-1.img"]})
    for name in ("netdev-10.img", "userns-1.img", "binfmt-misc-1.img", "iptables-10.img"):
        case(f"foreign-{name}", {name: b"x"})
    tmpfs = next(name for name in images if name.startswith("tmpfs-dev-"))
    case("tmpfs-dots", {tmpfs: node.pack([member("../../root/restore-on-node/canary", b"gone")])})
    case("tmpfs-device", {tmpfs: node.pack([member("disk", kind=tarfile.BLKTYPE, devmajor=254)])})
    case("parent", {"parent": b"x"})
    case("descriptors", {"descriptors.json": b"[" * 100000})
    whole = node.pack(node.members.values())
    cases["cut-short"] = whole[: len(whole) // 2]
    cases["no-tar"] = os.urandom(100000)
    cases["empty"] = b""
    cases["no-checkpoint"] = node.pack([member("hello", b"x")])
    link = member(f"checkpoint/{pages}", kind=tarfile.SYMTYPE, linkname="/dev/zero")
    cases["link-for-pages"] = node.pack(
        [value for key, value in node.members.items() if not key.endswith(pages)] + [link]
    )
    return cases


def hostile(node: Node) -> dict[str, t.Any]:
    base = [value for key, value in node.members.items() if key != "rootfs-diff.tar"]
    cases: dict[str, tuple[bytes, bool]] = {"good": (node.pack(node.members.values()), True)}
    for name, difference in {**hostile_differences(), **harmless_differences()}.items():
        data = node.pack([*base, member("rootfs-diff.tar", node.pack(difference))])
        cases[f"difference-{name}"] = (data, name in harmless_differences())
    for name, data in hostile_images(node).items():
        cases[f"images-{name}"] = (data, False)
    result: dict[str, t.Any] = {}
    for name, (data, good) in cases.items():
        node.prepare(name, data, security="clamp")
        started = time.monotonic()
        process = node.start("case")
        process.wait(150)
        said = node.said()
        seconds = time.monotonic() - started
        # Deleted before it was started, it counts as not restored.
        receipt = node.receipt()
        if process.returncode == 0:
            node.call("delete", "--force", "case")
        os.unlink(f"{WORK}/{name}.tar")
        result[name] = {
            "status": process.returncode,
            "said": said,
            "receipt": receipt,
            "left": node.left(),
            "good": good,
            "seconds": seconds,
        }
    return result


def faithful(node: Node) -> dict[str, t.Any]:
    """What a restore does to the root file system and to masked paths, looked at while the container waits."""
    note = {"SCHILY.xattr.user.note": "kept"}
    # CAP_NET_RAW, permitted and effective.
    capability = {"SCHILY.xattr.security.capability": bytes.fromhex("01000002002000" + "00" * 13).decode()}
    os.makedirs(f"{node.root}/folder")
    for name in ("gone", "folder/old"):
        with open(f"{node.root}/{name}", "wb"):
            pass
    difference = node.pack(
        [
            member("gone", kind=tarfile.CHRTYPE),
            member("folder/", kind=tarfile.DIRTYPE, pax_headers={"SCHILY.xattr.trusted.overlay.opaque": "y"}),
            member("folder/new", b"new"),
            member("program", b"x", mode=0o4755, pax_headers={**note, **capability}),
        ]
    )
    plain = [value for key, value in node.members.items() if key != "rootfs-diff.tar"]
    changed = node.pack([*plain, member("rootfs-diff.tar", difference)])
    whole = node.pack(node.members.values())
    result: dict[str, t.Any] = {}

    def root(_pid: int) -> dict[str, t.Any]:
        path = f"{node.root}/program"
        attributes = {name: os.getxattr(path, name) for name in os.listxattr(path)}
        shown = {
            name: value.decode() if name.startswith("user.") else value.hex() for name, value in attributes.items()
        }
        return {
            "attributes": shown,
            "capability": shown.get("security.capability"),
            "gone": os.path.lexists(f"{node.root}/gone"),
            "folder": os.listdir(f"{node.root}/folder"),
            "mode": oct(os.stat(path).st_mode & 0o7777),
        }

    def masks(pid: int) -> dict[str, t.Any]:
        with open(f"/proc/{pid}/root/proc/version", encoding="ascii") as file:
            return {"version": file.read(), "tty": os.listdir(f"/proc/{pid}/root/proc/tty")}

    def case(name: str, data: bytes, look: t.Callable[[int], dict[str, t.Any]], **more: t.Any) -> None:
        node.prepare(name, data, **more)
        process = node.start("case")
        process.wait(150)
        result[name] = {"status": process.returncode, "said": node.said(), "receipt": node.receipt(), "seen": None}
        if process.returncode == 0:
            result[name]["seen"] = look(json.loads(node.call("state", "case").stdout)["pid"])
            node.call("delete", "--force", "case")
        os.unlink(f"{WORK}/{name}.tar")
        result[name]["left"] = node.left()

    case("difference", changed, root, security="clamp")
    usual = copy.deepcopy(node.config)
    # Not root, so that a program that runs as root would be a way to become it.
    node.config["process"]["user"].update(uid=1001)
    held = ["uid:0", "gid:0"]
    case("difference-not-root", changed, root, security="clamp", accept=held)
    node.config = copy.deepcopy(usual)
    node.config["linux"]["maskedPaths"] += ["/proc/version", "/proc/tty"]
    case("masks-refused", whole, masks)
    case("masks-clamped", whole, masks, security="clamp")
    return result


def killed(node: Node) -> dict[str, t.Any]:
    """Kill the runtime after each of some times, from the start of a restore to beyond its end."""
    result: dict[str, t.Any] = {}
    data = node.pack(node.members.values())
    for delay in range(0, 400, 10):
        node.prepare("killed", data, security="clamp")
        process = node.start("case")
        time.sleep(delay / 1000)
        process.send_signal(signal.SIGKILL)
        process.wait()
        stage = sorted(name for path in glob.glob(f"{STORE}/restores/*") for name in os.listdir(path))
        # What a container runtime does after a create that failed.
        deleted = node.call("delete", "--force", "case")
        for path in glob.glob(f"{STORE}/tickets/*"):
            os.unlink(path)
        os.unlink(f"{WORK}/killed.tar")
        result[str(delay)] = {
            "stage": stage,
            "status": deleted.returncode,
            "said": deleted.stderr,
            "receipt": node.receipt(),
            "left": node.left(),
        }
    return result


def main() -> None:
    what, container, archive = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_unused: sys.exit(1))
    node = Node(container, archive)
    try:
        print(json.dumps({"faithful": faithful, "hostile": hostile, "killed": killed}[what](node)))
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


if __name__ == "__main__":
    main()
