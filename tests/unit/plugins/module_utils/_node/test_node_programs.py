# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs: real ones, on this machine."""

from __future__ import annotations

import os
import pathlib
import sys
import time

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._node import programs


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_and_code_come_back() -> None:
    done = programs.run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), 10)

    assert done == (3, "out\n", "err\n") and not done.ok


def test_a_missing_program_is_127() -> None:
    done = programs.run(["/nowhere/program"], 1)

    assert done.returncode == 127 and "/nowhere/program" in done.stderr


def test_a_file_that_cannot_be_run_is_127(tmp_path: pathlib.Path) -> None:
    (tmp_path / "text").write_text("no program")

    assert programs.run([str(tmp_path / "text")], 1).returncode == 127


def test_nothing_goes_through_a_shell() -> None:
    done = programs.run([*python("import sys; print(sys.argv[1])"), "$(id); `id` | id"], 10)

    assert done.stdout == "$(id); `id` | id\n"


def test_what_takes_too_long_is_ended_with_what_it_started(tmp_path: pathlib.Path) -> None:
    code = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\n"
        "print('begun', flush=True)\n"
        "child.wait()\n"
    )
    done = programs.run(python(code), 1.5)

    assert done.returncode == programs.TIMED_OUT and done.stdout == "begun\n"
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 10
    while os.path.exists(f"/proc/{child}") and b"Z" not in state(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{child}") or b"Z" in state(child)


def state(pid: int) -> bytes:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return b"Z"


def test_more_output_than_wanted_is_dropped_and_does_not_block() -> None:
    code = "import sys; sys.stdout.write('x' * 3_000_000); sys.stderr.write('y' * 3_000_000); sys.stdout.write('end')"
    done = programs.run(python(code), 30, limit=1000)

    assert (done.returncode, done.stdout, done.stderr) == (0, "x" * 1000, "y" * 1000)


def test_a_program_that_closes_its_output_and_stays_is_ended() -> None:
    done = programs.run(python("import os, time; os.close(1); os.close(2); time.sleep(600)"), 1)

    assert done.returncode == programs.TIMED_OUT


def test_bytes_that_are_no_text_are_escaped() -> None:
    assert programs.run(python(r"import os; os.write(1, b'a\xff')"), 10).stdout == "a\\xff"


def test_it_speaks_c_and_finds_what_only_root_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    done = programs.run(python("import os; print(os.environ['LC_ALL'], os.environ['PATH'])"), 10)

    assert done.stdout.split() == ["C", programs.SEARCH_PATH]


def test_which(tmp_path: pathlib.Path) -> None:
    program = tmp_path / "tool"
    program.write_text("#!/bin/sh\n")
    assert programs.which("tool", str(tmp_path)) is None
    program.chmod(0o755)
    assert programs.which("tool", str(tmp_path)) == str(program)
    assert programs.which("tool") is None
