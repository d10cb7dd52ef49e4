# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_ticket as a module, with a real archive: what it leaves, takes back and refuses."""

from __future__ import annotations

import functools
import hashlib
import pathlib
import shutil
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import leave
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_ticket
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import FIXTURES
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import run, undocumented

NAME = {"namespace": "shop", "pod": "web-0", "container": "web"}
Runner = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def archive(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "web.tar"
    shutil.copy(FIXTURES / "crio-crun-ledger.tar.gz", path)
    path.chmod(0o600)
    return path


@pytest.fixture
def ticket(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], archive: pathlib.Path
) -> Runner:
    """The module with tickets in a folder of the test's own."""
    base = str(tmp_path / "store")
    for name in ("leave", "take_back"):
        monkeypatch.setattr(checkpoint_ticket, name, functools.partial(getattr(leave, name), base=base))

    def call(**given: t.Any) -> dict[str, t.Any]:
        options = {**NAME, "archive": str(archive), **given}
        return run(checkpoint_ticket, monkeypatch, capsys, **options)

    return call


def test_left_once_and_taken_back_once(ticket: Runner, archive: pathlib.Path) -> None:
    first = ticket()
    first.pop("diff")
    assert undocumented(first, checkpoint_ticket.RETURN) == []
    assert first["changed"]
    assert first["ticket"]["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    again = ticket()
    assert not again["changed"]
    assert again["ticket"] == first["ticket"]
    assert ticket(security="clamp")["changed"]
    assert pathlib.Path(first["ticket_path"]).exists()
    gone = ticket(state="absent")
    assert (gone["changed"], gone["ticket"]) == (True, {})
    assert not ticket(state="absent")["changed"]


def test_check_mode_writes_nothing(ticket: Runner) -> None:
    foreseen = ticket(check=True)
    assert foreseen["changed"]
    assert not pathlib.Path(foreseen["ticket_path"]).exists()
    done = ticket()
    assert {**done["ticket"], "expires": 0} == {**foreseen["ticket"], "expires": 0}
    assert ticket(state="absent", check=True)["changed"]
    assert pathlib.Path(done["ticket_path"]).exists()


def test_an_expired_ticket_is_renewed(ticket: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ticket(expires_in="1h")["changed"]
    later = leave.time.time() + 7200
    monkeypatch.setattr(leave.time, "time", lambda: later)
    assert ticket(expires_in="1h")["changed"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"checksum": "sha256:" + "0" * 64}, "checksum_wrong"),
        ({"archive": "/nowhere/web.tar"}, "archive_missing"),
        ({"pod": "../web-0"}, "ticket_invalid"),
        ({"expires_in": "soon"}, "invalid_option"),
    ],
)
def test_refusals(ticket: Runner, given: dict[str, str], code: str) -> None:
    result = ticket(**given)
    assert result["failed"]
    assert result["code"] == code


def test_an_archive_that_others_may_change(ticket: Runner, archive: pathlib.Path) -> None:
    archive.chmod(0o666)
    assert ticket()["code"] == "archive_untrusted"


def test_a_file_that_is_no_checkpoint(ticket: Runner, archive: pathlib.Path) -> None:
    archive.write_bytes(b"hello" * 1000)
    assert ticket()["code"] == "archive_not_tar"


def test_an_unpacked_archive(ticket: Runner, archive: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "unpacked"
    shutil.unpack_archive(archive, folder, "gztar")
    folder.chmod(0o700)
    result = ticket(archive=str(folder))
    assert result["changed"], result
    assert result["ticket"]["sha256"] is None
    assert ticket(archive=str(folder), checksum="0" * 64)["code"] == "invalid_option"
