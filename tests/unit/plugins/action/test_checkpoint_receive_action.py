# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate that the controller makes, and the two modules as ansible-playbook runs them."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import ansible_collections.checkpoint_restore.kubernetes as collection
import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.action.checkpoint_receive import made_identity
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.deadline import Deadline
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.channel import Identity
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.door import Door, connect
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.receiving import close_door
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.image_support import archive
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAME = "checkpoint_restore.kubernetes"


def certificate_of(identity: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(identity))


def code_of_a_try(at_the_door: str, shown: str) -> str:
    """What becomes of one who comes with this certificate to a door with that one: a code, or "in"."""
    door = Door("127.0.0.1", 0, Identity(at_the_door))
    thread = threading.Thread(target=_wait, args=(door,))
    thread.start()
    try:
        line = connect(["127.0.0.1"], door.port, Identity(shown), Deadline(10))
    except CheckpointError as error:
        return error.code
    else:
        line.close()
        return "in"
    finally:
        thread.join()
        door.close()


def _wait(door: Door) -> None:
    with contextlib.suppress(CheckpointError):
        door.admit(Deadline(1), Deadline(10)).close()


def test_a_certificate_for_one_transfer() -> None:
    pem = made_identity(60)
    certificate = certificate_of(pem)
    now = datetime.datetime.now(datetime.timezone.utc)
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    assert certificate.public_key().curve.name == "secp256r1"
    assert 0 < (certificate.not_valid_after_utc - now).total_seconds() <= 60
    assert 500 < (now - certificate.not_valid_before_utc).total_seconds() < 700
    assert made_identity(60) != pem
    assert code_of_a_try(pem, pem) == "in"


def test_a_certificate_whose_time_is_over() -> None:
    pem = made_identity(-60)
    assert code_of_a_try(pem, pem) == "offer_expired"


def test_a_certificate_that_this_one_has_signed_is_another_one() -> None:
    """Who steals the key has everything; but nothing that the key signs is let in."""
    identity = made_identity(60)
    issuer = certificate_of(identity)
    key = serialization.load_pem_private_key(base64.b64decode(identity), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    own = ec.generate_private_key(ec.SECP256R1())
    child = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "child")]))
        .issuer_name(issuer.subject)
        .public_key(own.public_key())
        .serial_number(7)
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(issuer.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    private = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    shown = base64.b64encode(child.public_bytes(serialization.Encoding.PEM) + private).decode()
    assert code_of_a_try(identity, shown) != "in"


def test_a_time_that_no_calendar_has() -> None:
    with pytest.raises(CheckpointError) as failed:
        made_identity(1e18)
    assert failed.value.code == "invalid_option"


class Site:
    """A controller that is both nodes as well."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "source").mkdir()
        self.source = archive(folder / "source", os.urandom(2 << 20))
        self.destination = folder / "target" / "here"
        self.output = ""

    def play(self, *tasks: dict[str, t.Any]) -> list[dict[str, t.Any]]:
        """What the tasks returned; all are run, whatever becomes of them."""
        done = [{**task, "register": f"result{number}", "ignore_errors": True} for number, task in enumerate(tasks)]
        results = ", ".join(f"result{number}" for number in range(len(tasks)))
        keep = {
            "ansible.builtin.copy": {
                "content": f"{{{{ [{results}] | to_json }}}}",
                "dest": str(self.folder / "results.json"),
                "mode": "0600",
            },
            "no_log": True,
        }
        play = [{"hosts": "all", "gather_facts": False, "tasks": [*done, keep]}]
        (self.folder / "play.yml").write_text(yaml.safe_dump(play))
        variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        (self.folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"node": variables}}}))
        root = str(Path(next(iter(collection.__path__))).parents[2])
        command = [sys.executable, "-m", "ansible", "playbook", "-vvv", "-i", "inventory.yml", "play.yml"]
        environ = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": root, "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp")}
        ran = subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False)
        self.output = ran.stdout + ran.stderr
        assert ran.returncode == 0, self.output
        return list(json.loads((self.folder / "results.json").read_text()))


@pytest.fixture
def site(tmp_path: Path) -> t.Iterator[Site]:
    made = Site(tmp_path)
    yield made
    close_door(str(made.destination), check=False)


def test_an_archive_goes_through_and_no_key_is_shown(site: Site) -> None:
    data = site.source.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    options = {"destination": str(site.destination), "checksum": digest, "size": len(data)}
    door, sent, again, closed, wrong = site.play(
        {f"{NAME}.checkpoint_receive": options, "no_log": True},
        {f"{NAME}.checkpoint_send": {"path": str(site.source), "offer": "{{ result0.offer }}"}},
        {f"{NAME}.checkpoint_receive": options},
        {f"{NAME}.checkpoint_receive": {"destination": str(site.destination), "state": "absent"}},
        {f"{NAME}.checkpoint_receive": {**options, "expires_in": "soon"}},
    )
    assert (sent["destination"], sent["sha256"], sent["size"]) == (str(site.destination), digest, len(data)), (
        site.output
    )
    assert sorted(door["offer"]) == ["addresses", "checksum", "expires", "identity", "port", "size"]
    assert abs(door["offer"]["expires"] - time.time() - 3600) < 300
    assert (again["changed"], again["offer"], closed["changed"]) == (False, {}, False)
    assert wrong["code"] == "invalid_option"
    assert sorted(os.listdir(site.destination.parent)) == ["here"]
    assert "BEGIN" not in site.output
    identity = door["offer"]["identity"]
    assert identity not in site.output
    assert base64.b64decode(identity).decode().splitlines()[1] not in site.output
