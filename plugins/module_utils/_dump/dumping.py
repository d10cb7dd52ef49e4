# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Having runc or crun dump a container whose cgroup is frozen: CRIU leaves it frozen.

Sources: runc 1.1.15 and 1.3.6 (checkpoint.go, libcontainer/criu_linux.go), crun 1.21 (src/checkpoint.c,
src/libcrun/criu.c); criu criu/config.c 4.2.1 (options of $HOME/.criu/default.conf, which criu swrk reads before the
runtime's own). Run on the laboratory with both.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import subprocess
import typing as t

from .._common.errors import CheckpointError
from .._node import criu_log
from .._node.programs import run
from .._node.runtime_log import last_error, tail
from .finding import Target
from .limits import Limits
from .pages import Pages, discard
from .patience import let_end

SHORT = 10.0
PAUSE = 0.005
LOG_BYTES = 256 << 20
MOST_BYTES = 1 << 32
"""CRIU keeps the limit for deleted files in 32 bits (images/rpc.proto, ghost_limit)."""

HINTS = {
    "criu_file_locks": "Set file_locks to true",
    "criu_ghost_too_large": "Give a larger ghost_limit",
    "criu_tcp_established": "Set tcp_established to close, which has connections closed where it is restored",
    "criu_tcp_in_flight": "Set skip_in_flight to true, or try again",
}
"""How to give an option of CRIU here; elsewhere it is written into CRIU's configuration."""


class Options(t.NamedTuple):
    """Options of CRIU. ``ghost_limit``: bytes, None for CRIU's own limit. ``tcp_keep``: for connections in itself."""

    tcp_close: bool
    skip_in_flight: bool
    file_locks: bool
    ghost_limit: t.Optional[int]
    tcp_keep: bool = False

    def configuration(self) -> str:
        # Nobody answers for a frozen container, so packets need not be held off: the rules for that would stay behind
        # a CRIU that was ended, and cut the pod off.
        lines = ["network-lock skip"]
        lines += ["tcp-close"] if self.tcp_close else []
        lines += ["skip-in-flight"] if self.skip_in_flight else []
        lines += [f"ghost-limit {self.ghost_limit}"] if self.ghost_limit is not None else []
        return "".join(f"{line}\n" for line in lines)


def parse_bytes(text: t.Optional[str], option: str) -> t.Optional[int]:
    """Bytes meant by a number with K, M or G behind it, or without; None for None.

    Raises CheckpointError invalid_option.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,9})([KMG]?)", text.strip())
    bytes_ = int(match.group(1)) << {"": 0, "K": 10, "M": 20, "G": 30}[match.group(2)] if match else 0
    if not 0 < bytes_ < MOST_BYTES:
        raise CheckpointError("invalid_option", f"{option} is no number of bytes: {text!a}", hint="Write it as 64M")
    return bytes_


def prepare(target: Target, options: Options, folder: str) -> list[str]:
    """Make ``folder``/work with CRIU's options; the command that has the container dumped. It takes a moment."""
    work = os.path.join(folder, "work")
    os.makedirs(os.path.join(work, ".criu"), 0o700)
    with open(os.path.join(work, ".criu", "default.conf"), "w", encoding="ascii") as file:
        file.write(options.configuration())
    words = [
        # A CRIU that fails can leave a mount behind, which goes with a namespace of its own.
        *("unshare", "--mount", "--propagation", "slave"),
        *(target.program, "--root", target.root, "--log", os.path.join(work, "runtime.log"), "--log-format", "json"),
        *("checkpoint", "--leave-running", "--image-path", os.path.join(folder, "checkpoint"), "--work-path", work),
    ]
    words += ["--file-locks"] if options.file_locks else []
    words += ["--tcp-established"] if options.tcp_keep else []
    if options.skip_in_flight and target.container.runtime == "runc" and _has_flag(target, "--tcp-skip-in-flight"):
        # Since runc 1.2 it tells CRIU either way, whatever the configuration says.
        words.append("--tcp-skip-in-flight")
    return [*words, target.container.id]


def dump(target: Target, command: t.Sequence[str], folder: str, pages: t.Optional[Pages], limits: Limits) -> None:
    """Have the images written into ``folder``/checkpoint, which exists, and CRIU's log into ``folder``/work.

    ``command``: what prepare() gave.

    Raises CheckpointError: timeout, interrupted, dump_endless, dump_failed and the causes of criu_log; OSError where
    pages cannot be written.
    """
    work = os.path.join(folder, "work")
    process = _start(target, command, work)
    try:
        _wait(process, pages, os.path.join(work, "dump.log"), limits)
    except CheckpointError as error:
        if error.code == "timeout":
            error.message = _failure(work, target.container.runtime).message
        raise
    finally:
        if process.poll() is None:
            unwanted = pages.descriptors if pages is not None else []
            let_end(target.container, folder, functools.partial(discard, unwanted))
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise _failure(work, target.container.runtime)
    if pages is not None:
        pages.finish()


def _start(target: Target, command: t.Sequence[str], work: str) -> subprocess.Popen[bytes]:
    with open(os.path.join(work, "output"), "wb") as output:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=work,
            env={"PATH": target.path, "HOME": work, "LC_ALL": "C"},
            start_new_session=True,
        )


def _has_flag(target: Target, flag: str) -> bool:
    return flag in run([target.program, "checkpoint", "--help"], SHORT, path=target.path).stdout


def _wait(process: subprocess.Popen[bytes], pages: t.Optional[Pages], log: str, limits: Limits) -> None:
    """Wait for its end, and move pages meanwhile."""
    while process.poll() is None:
        limits.check()
        if os.path.exists(log) and os.stat(log).st_size > LOG_BYTES:
            raise CheckpointError("dump_endless", f"CRIU wrote a log of more than {LOG_BYTES >> 20} MiB, and was ended")
        if pages is not None and pages.left:
            pages.move(PAUSE)
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PAUSE)


def _failure(work: str, runtime: t.Optional[str]) -> CheckpointError:
    """Why it failed, from CRIU's log, else from what the runtime wrote."""
    with contextlib.suppress(OSError):
        found = criu_log.explain(criu_log.read_log(os.path.join(work, "dump.log")), runtime)
        if found is not None:
            hint = HINTS.get(found.code, found.hint)
            said = "\n".join(found.errors) or found.reason
            return CheckpointError(found.code, found.reason, hint=hint, message=said)
    said = last_error(os.path.join(work, "runtime.log")) or tail(os.path.join(work, "output")).strip()
    return CheckpointError("dump_failed", "The container could not be dumped", message=said)
