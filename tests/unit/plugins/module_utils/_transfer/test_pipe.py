# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a file through a shell, whatever else that shell prints."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer import pipe
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.node import BLOCK_BYTES

MARKER = "d41d8cd98f00b204e9800998ecf8427e"
# White space, line ends of all kinds and NUL in front: a login's noise must not be mistaken for any of it.
CONTENT = b" \t\r\n\n\0" + os.urandom(2 * BLOCK_BYTES + 999) + b"\n\r\n"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "it's a: $(file)\n.tar"
    path.write_bytes(CONTENT)
    return path


def read(script: str, prompt: pipe.Prompt | None = None, stall: float = 20) -> bytes:
    return b"".join(pipe.read_stream(["sh", "-c", script], MARKER, stall, prompt))


@pytest.mark.parametrize("offset", [0, BLOCK_BYTES, 2 * BLOCK_BYTES])
def test_streams_from_an_offset(archive: Path, offset: int) -> None:
    assert read(pipe.stream_script(str(archive), offset, MARKER)) == CONTENT[offset:]


def test_noise_in_front_is_not_the_archive(archive: Path) -> None:
    script = f"echo 'Welcome!'; echo 'We trust you' >&2; printf BECOME-SUCCESS-xyz; {stream(archive)}"
    assert read(script) == CONTENT


def stream(archive: Path) -> str:
    return pipe.stream_script(str(archive), 0, MARKER)


def test_blocks_are_bounded(archive: Path) -> None:
    blocks = list(pipe.read_stream(["sh", "-c", stream(archive)], MARKER, 20))
    assert b"".join(blocks) == CONTENT
    assert max(len(block) for block in blocks) <= BLOCK_BYTES


def test_what_cannot_be_opened_is_an_error_after_the_marker() -> None:
    with pytest.raises(CheckpointError) as caught:
        read(pipe.stream_script("/nowhere.tar", 0, MARKER))
    assert caught.value.code == "remote_read_failed"
    assert "/nowhere.tar" in caught.value.message


def test_the_status_of_ssh_itself_is_a_cut(archive: Path) -> None:
    broken = f"printf %s {MARKER}; head -c 1000 {shlex.quote(str(archive))}; echo 'client_loop: broken' >&2; exit 255"
    with pytest.raises(CheckpointError) as caught:
        read(broken)
    assert (caught.value.code, caught.value.message) == ("transfer_cut", "client_loop: broken")


@pytest.mark.parametrize("script", ["echo sorry, you must have a tty >&2; exit 1", "exit 255", "true", "yes noise"])
def test_what_never_begins_says_so(script: str) -> None:
    with pytest.raises(pipe.NotStartedError):
        read(script)


def test_a_stall_is_an_error_and_ends_the_program(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    began = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        read(f"echo $$ > {shlex.quote(str(pid))}; printf '%s some bytes' {MARKER}; exec tail -f /dev/null", stall=0.3)
    assert caught.value.code == "transfer_stalled"
    assert time.monotonic() - began < 10
    assert not Path("/proc", pid.read_text().strip()).exists()


def test_a_stall_before_the_beginning_is_no_beginning() -> None:
    with pytest.raises(pipe.NotStartedError, match="Enter PIN"):
        read("echo Enter PIN: >&2; exec tail -f /dev/null", stall=0.3)


def test_a_program_that_closes_its_output_and_lives_on_is_a_stall() -> None:
    with pytest.raises(CheckpointError) as caught:
        read(f"printf %s {MARKER}; exec sleep 60 >&-", stall=0.3)
    assert caught.value.code == "transfer_stalled"


def test_a_slow_reader_is_not_a_stall(archive: Path) -> None:
    received = []
    for block in pipe.read_stream(["sh", "-c", stream(archive)], MARKER, 0.2):
        if not received:
            time.sleep(0.5)
        received.append(block)
    assert b"".join(received) == CONTENT


def test_ends_the_program_when_nobody_reads_on(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    endless = f"echo $$ > {shlex.quote(str(pid))}; printf %s {MARKER}; exec cat /dev/zero"
    blocks = pipe.read_stream(["sh", "-c", endless], MARKER, 20)
    next(blocks)
    blocks.close()
    assert not Path("/proc", pid.read_text().strip()).exists()


PROMPT = "[sudo via ansible, key=abc] password:"
ASKS = f"printf '%s' {shlex.quote(PROMPT)} >&2; IFS= read -r password; [ \"$password\" = secret ] || exit 1"


def prompt(answer: bytes) -> pipe.Prompt:
    return pipe.Prompt(lambda text: PROMPT.encode() in text, answer)


def test_answers_a_password_prompt(archive: Path) -> None:
    lecture = "echo 'We trust you have received the usual lecture' >&2"
    assert read(f"{lecture}; {ASKS}; {stream(archive)}", prompt(b"secret\n")) == CONTENT


def test_does_not_answer_a_prompt_that_does_not_come(archive: Path) -> None:
    assert read(stream(archive), prompt(b"secret\n")) == CONTENT


def test_gives_a_refused_password_only_once() -> None:
    with pytest.raises(pipe.NotStartedError, match="refused"):
        read(f"while :; do printf '%s' {shlex.quote(PROMPT)} >&2; read -r line; done", prompt(b"wrong\n"))


@pytest.mark.parametrize("offset", [0, BLOCK_BYTES, 2 * BLOCK_BYTES])
def test_blocks_in_text(archive: Path, offset: int) -> None:
    script = pipe.block_script(str(archive), offset, BLOCK_BYTES, MARKER)
    done = subprocess.run(["sh", "-c", f"echo noise; {script}"], capture_output=True, text=True, check=True)
    assert pipe.decode_block(done.stdout, MARKER) == CONTENT[offset : offset + BLOCK_BYTES]
    # A terminal in between ends lines in its own way.
    assert pipe.decode_block(done.stdout.replace("\n", "\r\n"), MARKER) == CONTENT[offset : offset + BLOCK_BYTES]


@pytest.mark.parametrize(
    "output", ["", "noise", f"{MARKER}\nQUJD", f"{MARKER}\nQUJ\n{MARKER}", f"{MARKER}\ndd: failed\n{MARKER}"]
)
def test_a_block_that_is_not_whole_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match=r"beginning|base64|padding|data"):
        pipe.decode_block(output, MARKER)
