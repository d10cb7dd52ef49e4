# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import pathlib
import ssl
import subprocess
import tarfile
import threading
import urllib.parse

import pytest
from labkit import images
from labkit.errors import LabError

LOGIN = ("lab", "secret")


class Registry(http.server.BaseHTTPRequestHandler):
    """The part of the OCI distribution API that a push needs, as the specification has it."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_args) -> None:
        pass

    def _answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _go_on(self) -> bytes | None:
        """The body; None where an answer was given already."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append(f"{self.command} {self.path.partition('?')[0]}")
        if self.headers["Host"] != f"registry.lab:{self.server.server_port}":
            self._answer(421)
        elif self.headers.get("Authorization") != "Basic " + base64.b64encode(":".join(LOGIN).encode()).decode():
            self._answer(401)
        else:
            return body
        return None

    def do_HEAD(self) -> None:
        if self._go_on() is not None:
            self._answer(200 if self.path.rpartition("/")[2] in self.server.blobs else 404)

    def do_POST(self) -> None:
        if self._go_on() is not None:
            self._answer(202, Location=f"https://{self.headers['Host']}{self.path}17?_state=x")

    def do_PUT(self) -> None:
        body = self._go_on()
        if body is None:
            return
        url = urllib.parse.urlsplit(self.path)
        if "/manifests/" in url.path:
            self.server.manifests[url.path] = body
            self._answer(201)
            return
        query = urllib.parse.parse_qs(url.query)
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        good = query == {"_state": ["x"], "digest": [digest]}
        if good:
            self.server.blobs[digest] = body
        self._answer(201 if good else 400)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pki")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
        + ["-subj", "/CN=registry.lab", "-addext", "subjectAltName=DNS:registry.lab", "-keyout", "key", "-out", "crt"],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    return directory


@pytest.fixture
def registry(certificate):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    server.seen, server.blobs, server.manifests = [], {}, {}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "crt", certificate / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def push(registry, certificate, tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF and so on")

    def call(tag: str = "1", auth=LOGIN, name: str = "registry.lab") -> str:
        return images.push(
            f"{name}:{registry.server_port}",
            "tools/program",
            tag,
            {"/bin/program": program},
            entrypoint=["/bin/program"],
            ca_file=certificate / "crt",
            address="127.0.0.1",
            auth=auth,
            env={"MODE": "zero"},
        )

    return call


def test_image_arrives_whole(registry, push):
    digest = push()
    manifest = registry.manifests["/v2/tools/program/manifests/1"]
    assert digest == f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    described = json.loads(manifest)
    config = json.loads(registry.blobs[described["config"]["digest"]])
    assert config["config"]["Entrypoint"] == ["/bin/program"]
    assert "MODE=zero" in config["config"]["Env"]
    (layer,) = described["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    content = registry.blobs[layer["digest"]]
    assert len(content) == layer["size"]
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        modes = {entry.name: (entry.mode, entry.isdir()) for entry in tar}
        assert b"app:x:1001:1001" in tar.extractfile("etc/passwd").read()
        assert tar.extractfile("bin/program").read() == b"\x7fELF and so on"
    assert modes["tmp"] == (0o1777, True)
    assert modes["bin"] == (0o755, True)
    assert modes["bin/program"] == (0o755, False)


def test_same_files_give_the_same_image_and_are_sent_once(registry, push):
    first = push()
    registry.seen.clear()
    assert push("2") == first
    assert not [line for line in registry.seen if line.startswith("POST")]


def test_refusal_says_what_was_refused(push):
    with pytest.raises(LabError, match="401 Unauthorized"):
        push(auth=("lab", "wrong"))


def test_certificate_has_to_be_for_the_name(push):
    with pytest.raises(LabError, match="certificate verify failed"):
        push(name="other.lab")


def test_layer_has_the_directories_of_its_files(tmp_path):
    program = tmp_path / "program"
    program.touch()
    with tarfile.open(fileobj=io.BytesIO(images.make_layer({"/opt/deep/er/program": program}))) as tar:
        assert [entry.name for entry in tar if entry.isdir()] == ["etc", "opt", "opt/deep", "opt/deep/er", "tmp"]
    assert images.make_layer({"/p": program}) == images.make_layer({"/p": pathlib.Path(program)})
