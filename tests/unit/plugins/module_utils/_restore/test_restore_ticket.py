# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tickets, command lines, paths: what decides whether and where something is restored."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import typing as t
import zipfile

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import install
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.bundle import resolve
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.cgroups import relative_path
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.command import parse
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.ticket import (
    Name,
    Ticket,
    Tickets,
    read,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.ticket import (
    parse as parse_ticket,
)

NAME = Name("shop", "web-0", "web")
TICKET = Ticket(
    *NAME,
    archive="/srv/web.tar",
    sha256="a" * 64,
    expires=2_000_000_000,
    accept=("uid:0",),
    volumes={"/data": {"path": "/srv/data.tar", "sha256": "b" * 64}, "/cache": {"path": "/srv/cache", "sha256": None}},
)
REPOSITORY = pathlib.Path(__file__).resolve().parents[5]

SHIM = (
    "--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json --systemd-cgroup "
    "create --bundle /b --pid-file /b/init.pid --console-socket /c web1"
)
CONMON = "--root=/run/runc create --bundle /b --pid-file=/b/pidfile web1"


def test_a_ticket_comes_back_as_it_was_left(tmp_path: pathlib.Path) -> None:
    tickets = Tickets(str(tmp_path))
    tickets.put(TICKET)
    assert tickets.get(NAME) == TICKET
    assert os.stat(tickets.path(NAME)).st_mode & 0o777 == 0o600
    assert os.stat(tickets.folder).st_mode & 0o777 == 0o700
    assert os.listdir(tickets.folder) == ["shop_web-0_web.json"]
    assert tickets.get(Name("shop", "web-0", "sidecar")) is None


def test_a_ticket_is_claimed_or_withdrawn_never_both(tmp_path: pathlib.Path) -> None:
    tickets = Tickets(str(tmp_path))
    place = str(tmp_path / "claimed.json")
    tickets.put(TICKET)
    assert tickets.claim(NAME, place)
    assert not tickets.withdraw(NAME)
    assert not tickets.claim(NAME, place)
    tickets.give_back(NAME, place)
    assert tickets.withdraw(NAME)
    assert os.listdir(tickets.folder) == []


def test_a_newer_ticket_is_not_overwritten_by_one_that_comes_back(tmp_path: pathlib.Path) -> None:
    tickets = Tickets(str(tmp_path))
    place = str(tmp_path / "claimed.json")
    newer = dataclasses.replace(TICKET, archive="/srv/newer.tar")
    tickets.put(TICKET)
    tickets.claim(NAME, place)
    tickets.put(newer)
    tickets.give_back(NAME, place)
    assert tickets.get(NAME) == newer


@pytest.mark.parametrize(
    "changed",
    [
        {"namespace": "../shop"},
        {"pod": ""},
        {"container": "Web"},
        {"archive": "web.tar"},
        {"sha256": "abc"},
        {"security": "trust"},
        {"on_failure": "warm"},
        {"expires": "tomorrow"},
        {"volumes": {"data": {"path": "/srv/data.tar", "sha256": None}}},
        {"volumes": {"/a/../data": {"path": "/srv/data.tar", "sha256": None}}},
        {"volumes": {"/": {"path": "/srv/data.tar", "sha256": None}}},
        {"volumes": {"/data": {"path": "data.tar", "sha256": None}}},
        {"volumes": {"/data": {"path": "/srv/data.tar", "sha256": "abc"}}},
        {"volumes": {f"/{'d' * 800}{number}": {"path": "/a", "sha256": None} for number in range(90)}},
        {"volumes": {f"/{number}": {"path": "/a", "sha256": None} for number in range(101)}},
    ],
)
def test_tickets_that_are_not_valid(changed: dict[str, t.Any]) -> None:
    with pytest.raises(CheckpointError) as caught:
        dataclasses.replace(TICKET, **changed).check()
    assert caught.value.code == "ticket_invalid"


@pytest.mark.parametrize("volumes", [["/data"], {"/data": []}, {"/data": {"path": "/a"}}, {"/data": "/a"}, "/data"])
def test_volumes_that_are_none(volumes: t.Any) -> None:
    fields = {**json.loads(TICKET.as_json()), "volumes": volumes}
    with pytest.raises(CheckpointError) as caught:
        parse_ticket(json.dumps(fields).encode())
    assert caught.value.code == "ticket_invalid"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 2}', '{"version": 1, "other": 1}', "[" * 10000])
def test_files_that_are_no_tickets(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "ticket.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(CheckpointError) as caught:
        read(str(path))
    assert caught.value.code == "ticket_invalid"


def test_a_ticket_that_others_can_read_or_that_is_a_link(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ticket.json"
    path.write_bytes(TICKET.as_json())
    path.chmod(0o644)
    (tmp_path / "link.json").symlink_to(path)
    for name in ("ticket.json", "link.json"):
        with pytest.raises(CheckpointError) as caught:
            read(str(tmp_path / name))
        assert caught.value.code == "ticket_invalid"


def test_names_too_long_for_a_file() -> None:
    name = Name("n" * 63, "p" * 253, "c" * 63)
    assert len(name.file) < 255
    assert name.file != Name("n" * 63, "p" * 253, "d" * 63).file


@pytest.mark.parametrize("line", [SHIM, CONMON])
def test_command_lines_of_containerd_and_conmon(line: str) -> None:
    command = parse(line.split())
    assert (command.name, command.container) == ("create", "web1")
    assert command.options["--bundle"] == "/b"
    assert command.options["--pid-file"].startswith("/b/")
    assert command.log == ("/b/log.json" if line is SHIM else None)
    assert not any("log" in word for word in command.globals_for_own_use())


def test_commands_without_a_container() -> None:
    assert parse(["--version"]).container == ""
    assert parse([]).name == ""
    assert parse(["kill", "--all", "web1", "9"]).arguments == ["web1", "9"]
    assert parse(["delete", "--force", "web1"]).container == "web1"


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/kubepods/burstable/podabc/web1", "kubepods/burstable/podabc/web1"),
        (
            "kubepods-burstable-podabc.slice:cri-containerd:web1",
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podabc.slice/cri-containerd-web1.scope",
        ),
        ("/", None),
        ("/kubepods", None),
        ("/kubepods/../system.slice", None),
        ("", None),
    ],
)
def test_control_groups(given: str, path: str) -> None:
    assert relative_path(given) == path


def test_links_of_a_root_stay_in_it(tmp_path: pathlib.Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    (tmp_path / "out").symlink_to("../../../etc")
    (tmp_path / "round").symlink_to("round")
    root = str(tmp_path)
    assert resolve(root, "/var/run/secrets") == "/run/secrets"
    assert resolve(root, "/out/passwd") == "/etc/passwd"
    assert resolve(root, "/../../x/./y/") == "/x/y"
    assert resolve(root, "/round/x") == "/round/x"


def test_the_version_is_that_of_the_collection() -> None:
    assert f"version: {install.VERSION}" in (REPOSITORY / "galaxy.yml").read_text().splitlines()


def test_the_one_file_is_reproducible_complete_and_small(tmp_path: pathlib.Path) -> None:
    data = install.zip_application()
    assert data == install.zip_application()
    path = tmp_path / install.ZIP
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive:
        sources = [name for name in archive.namelist() if name.endswith(".py")]
    assert f"{install.PACKAGE}/_restore/runtime.py" in sources
    assert not [name for name in sources if "_kube" in name or "_forensics" in name]
    said = subprocess.run([sys.executable, "-I", str(path), "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"{install.FRONT} {install.VERSION}\n"


@pytest.fixture
def front(tmp_path: pathlib.Path) -> pathlib.Path:
    """The front, before a runtime that says how it was called; Python and its file are not there."""
    runtime = tmp_path / "runc"
    runtime.write_text('#!/bin/sh\necho runtime "$@"\n')
    runtime.chmod(0o755)
    path = tmp_path / "front"
    path.write_text(install.front(str(runtime), "/bin/echo", "/python.zip", str(tmp_path / "store")))
    path.chmod(0o755)
    return path


def called(front: pathlib.Path, *words: str) -> str:
    return subprocess.run([str(front), *words], capture_output=True, text=True, check=True).stdout.strip()


def test_without_a_ticket_the_front_calls_the_runtime(front: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "store/restores").mkdir(parents=True)
    assert called(front, "create", "--bundle", "/b", "web 1", "") == "runtime create --bundle /b web 1"
    assert called(front, "--version") == "runtime --version"


def test_with_a_ticket_or_a_restore_it_calls_python(front: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "store/restores/web1").mkdir(parents=True)
    (tmp_path / "store/tickets").mkdir()
    (tmp_path / "store/tickets/a_b_c.json").touch()
    python = f"-IS /python.zip {tmp_path}/runc"
    assert called(front, "create", "--bundle", "/b", "web2") == f"{python} create --bundle /b web2"
    assert called(front, "--root", "/r", "start", "web1") == f"{python} --root /r start web1"
    assert called(front, "--root", "/r", "start", "web2") == "runtime --root /r start web2"
    # What was left by a restore that was killed is cleared up by the next create, or the next start of the daemon.
    (tmp_path / "store/tickets/a_b_c.json").unlink()
    assert called(front, "create", "--bundle", "/b", "web2") == f"{python} create --bundle /b web2"
    assert called(front, "features") == f"{python} features"
    (tmp_path / "store/restores/web1").rename(tmp_path / "store/restores/.web1")
    assert called(front, "features") == f"{python} features"
    (tmp_path / "store/restores/.web1").rmdir()
    assert called(front, "features") == "runtime features"


def test_a_path_that_the_shell_would_take_apart() -> None:
    with pytest.raises(ValueError, match="plain absolute path"):
        install.front("/usr/bin/runc; reboot", "/usr/bin/python3", "/opt/x.pyz")


def test_a_ticket_that_is_there_can_be_renewed_and_one_that_is_claimed_cannot(tmp_path: pathlib.Path) -> None:
    tickets = Tickets(str(tmp_path))
    name = Name("shop", "web-0", "web")
    assert not tickets.renew(name, expires=5)
    tickets.put(Ticket(*name, archive="/a", sha256=None, expires=1, on_failure="keep"))
    assert tickets.renew(name, expires=5)
    assert tickets.get(name) == Ticket(*name, archive="/a", sha256=None, expires=5, on_failure="keep")
    assert os.listdir(tickets.folder) == [name.file]
    assert tickets.claim(name, str(tmp_path / "claimed")) and not tickets.renew(name, expires=9)
    assert os.listdir(tickets.folder) == []


def test_a_claim_between_reading_and_exchanging_leaves_no_second_ticket(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = Tickets(str(tmp_path))
    name = Name("shop", "web-0", "web")
    tickets.put(Ticket(*name, archive="/a", sha256=None, expires=1))
    read = tickets.get

    def claimed_after_reading(of: Name) -> Ticket | None:
        found = read(of)
        assert tickets.claim(of, str(tmp_path / "claimed"))
        return found

    monkeypatch.setattr(tickets, "get", claimed_after_reading)
    assert not tickets.renew(name, expires=9)
    assert os.listdir(tickets.folder) == []


def test_a_pending_ticket_is_waited_for_until_it_is_one(tmp_path: pathlib.Path) -> None:
    tickets = Tickets(str(tmp_path))
    tickets.wait(NAME)
    later = int(time.time()) + 60
    ticket = Ticket(*NAME, archive="/a", sha256=None, expires=later, on_failure="keep")
    tickets.put(ticket)
    assert b"pending" not in ticket.as_json()
    tickets.wait(NAME)
    tickets.put(dataclasses.replace(ticket, pending=True))
    ended: list[str] = []

    def wait() -> None:
        try:
            tickets.wait(NAME)
            ended.append("there")
        except CheckpointError as error:
            ended.append(error.code)

    for change, outcome in (
        (lambda: tickets.renew(NAME, pending=False), "there"),
        (lambda: tickets.renew(NAME, expires=0), "ticket_expired"),
        (lambda: tickets.withdraw(NAME), "ticket_withdrawn"),
    ):
        tickets.put(dataclasses.replace(ticket, pending=True))
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.05)
        assert ended == []
        assert change()
        waiting.join()
        assert ended.pop() == outcome
    pathlib.Path(tickets.path(NAME)).write_bytes(b"{")
    tickets.wait(NAME)


def test_a_ticket_for_one_pod_is_for_no_other_of_its_name(tmp_path: pathlib.Path) -> None:
    tickets = Tickets(str(tmp_path))
    ticket = Ticket(*NAME, archive="/a", sha256=None, expires=int(time.time()) + 60, on_failure="keep")
    assert b"pod_uid" not in ticket.as_json()
    tickets.put(ticket)
    tickets.wait(NAME, "one")
    assert tickets.renew(NAME, pod_uid="one")
    kept = tickets.get(NAME)
    assert kept is not None and kept.pod_uid == "one"
    tickets.wait(NAME, "one")
    # A container runtime that does not tell is believed.
    tickets.wait(NAME)
    for call in (lambda: tickets.wait(NAME, "another"), lambda: kept.check_pod("another")):
        with pytest.raises(CheckpointError) as failed:
            call()
        assert failed.value.code == "ticket_of_another"
    assert tickets.get(NAME) == kept
    with pytest.raises(CheckpointError):
        dataclasses.replace(ticket, pod_uid=t.cast("t.Any", 7)).check()
