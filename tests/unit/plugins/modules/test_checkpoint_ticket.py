# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_ticket as a module, with a real archive: what it leaves, takes back and refuses."""

from __future__ import annotations

import functools
import hashlib
import pathlib
import shutil
import tarfile
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import leave, proof
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.receipt import Receipts, receipt
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.ticket import Name
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
    for function in (leave.leave, leave.take_back, proof.used):
        monkeypatch.setattr(checkpoint_ticket, function.__name__, functools.partial(function, base=base))

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


def test_contents_of_volumes(ticket: Runner, tmp_path: pathlib.Path) -> None:
    content = tmp_path / "content.tar"
    with tarfile.open(content, "w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    content.chmod(0o600)
    folder = tmp_path / "content"
    folder.mkdir(mode=0o700)
    volumes = {"/data": str(content), "/cache": str(folder)}
    left = ticket(volumes=volumes)
    digest = hashlib.sha256(content.read_bytes()).hexdigest()
    assert left["ticket"]["volumes"] == {
        "/data": {"path": str(content), "sha256": digest},
        "/cache": {"path": str(folder), "sha256": None},
    }
    left.pop("diff")
    assert undocumented(left, checkpoint_ticket.RETURN) == []
    assert not ticket(volumes=volumes)["changed"]
    assert ticket()["changed"]
    assert ticket(volumes={"data": str(content)})["code"] == "ticket_invalid"
    assert ticket(volumes={"/data": 7})["code"] == "ticket_invalid"
    assert ticket(volumes={"/data": str(tmp_path / "none")})["code"] == "archive_missing"
    content.write_bytes(b"hello" * 1000)
    assert ticket(volumes=volumes)["code"] == "archive_not_tar"
    content.chmod(0o666)
    assert ticket(volumes=volumes)["code"] == "archive_untrusted"


def test_the_receipt_of_its_use(ticket: Runner, tmp_path: pathlib.Path) -> None:
    used = functools.partial(ticket, state="used", archive=None)
    assert used()["code"] == "receipt_missing"
    left = ticket()
    assert used()["code"] == "not_restored"
    assert ticket(state="absent")["changed"]
    receipts = Receipts(str(tmp_path / "store"))
    receipts.put(receipt(Name(**NAME), "c" * 64, leave.Tickets(str(tmp_path / "store")).get(Name(**NAME)), 0.41))
    proved = used(wait="0s", container_id="containerd://" + "c" * 64)
    diff = proved.pop("diff")
    assert diff["before"] == diff["after"]
    assert undocumented(proved, checkpoint_ticket.RETURN) == []
    assert (proved["changed"], proved["ticket_path"]) == (False, left["ticket_path"])
    assert proved["receipt"]["outcome"] == "restored"
    other = used(container_id="d" * 64)
    assert other["code"] == "another_container"
    assert undocumented({**proved, **other}, checkpoint_ticket.RETURN) == []
    # What became of one ticket says nothing of the next.
    assert ticket()["changed"]
    assert receipts.get(Name(**NAME)) is None
    assert used(wait="soon")["code"] == "invalid_option"
