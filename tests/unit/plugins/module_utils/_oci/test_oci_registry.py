# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pushing to a registry on the loopback: what is sent and what is not, tokens, and registries that misbehave."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pathlib
import socket
import threading
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.connection import Connection
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.make import Wish, make_image
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.reference import parse_name
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.registry import Repository
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.image_support import (
    archive,
    push,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.loopback_registry import (
    Behaviour,
    Registry,
)

USER = ("pusher", "s3cret-password")
RIGHT = Credentials(*USER)


def refused(path: pathlib.Path, registry: Registry, **options: t.Any) -> CheckpointError:
    """The failure of a push. No upload stays open, and the password is in none of its texts."""
    with pytest.raises(CheckpointError) as failed:
        push(path, registry, **options)
    assert not registry.manifests
    assert USER[1] not in f"{failed.value} {failed.value.as_dict()}"
    return failed.value


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_push(tmp_path: pathlib.Path, compression: str, absolute: bool) -> None:
    source = archive(tmp_path)
    with Registry(Behaviour(absolute=absolute)) as registry:
        result = push(source, registry, compression)
    layer = registry.blobs[result["layer"]["digest"]]
    assert (gzip.decompress(layer) if compression == "gzip" else layer) == source.read_bytes()
    manifest = registry.manifests["1"]
    assert json.loads(manifest)["annotations"] == result["annotations"]
    assert json.loads(manifest)["config"]["digest"] in registry.blobs
    assert not registry.uploads
    # One pass: nothing was asked for that could not be there.
    assert registry.count("PATCH") == 1 and registry.count("HEAD") == 1


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_is_there_is_not_sent(tmp_path: pathlib.Path, compression: str) -> None:
    source = archive(tmp_path)
    with Registry() as registry:
        first = push(source, registry, compression)
        registry.requests.clear()
        second = push(source, registry, compression)
        assert {request.partition(" ")[0] for request in registry.requests} == {"GET", "HEAD"}
        assert not second["changed"] and second["digest"] == first["digest"]
        checked = push(source, registry, compression, check=True)
        assert not checked["changed"] and checked["digest"] == first["digest"]


def test_another_tag_takes_the_layer_that_is_there(tmp_path: pathlib.Path) -> None:
    source = archive(tmp_path)
    with Registry() as registry:
        first = push(source, registry)
        second = push(source, registry, tag="2")
        assert second["changed"] and second["digest"] == first["digest"]
        assert registry.count("PATCH") == 1 and second["bytes_sent"] < 4096


def test_a_layer_that_the_registry_lost_is_sent_again(tmp_path: pathlib.Path) -> None:
    source = archive(tmp_path)
    with Registry() as registry:
        first = push(source, registry)
        del registry.blobs[first["layer"]["digest"]]
        assert push(source, registry, check=True)["changed"]
        assert push(source, registry)["changed"]
        assert first["layer"]["digest"] in registry.blobs


def test_a_tag_moves(tmp_path: pathlib.Path) -> None:
    with Registry() as registry:
        first = push(archive(tmp_path), registry)
        second = push(archive(tmp_path, b"other pages"), registry)
        assert second["changed"] and second["replaced"] == first["digest"]
        assert second["diff"]["before"]["digest"] == first["digest"]


@pytest.mark.parametrize("there", [b"", b"null", b"[1]", b'{"layers": [3]}', b'{"annotations": {}, "layers": []}'])
def test_a_tag_with_something_else(tmp_path: pathlib.Path, there: bytes) -> None:
    with Registry() as registry:
        registry.manifests["1"] = there
        assert push(archive(tmp_path), registry)["changed"]


def test_check_mode_sends_nothing(tmp_path: pathlib.Path) -> None:
    with Registry() as registry:
        assert push(archive(tmp_path), registry, check=True)["changed"]
        assert not registry.blobs and registry.count("POST") == registry.count("PUT") == 0


def test_basic_credentials(tmp_path: pathlib.Path) -> None:
    source = archive(tmp_path)
    with Registry(Behaviour(user=USER)) as registry:
        assert refused(source, registry).code == "unauthorized"
        assert refused(source, registry, credentials=Credentials("pusher", "wrong")).code == "unauthorized"
        assert push(source, registry, credentials=RIGHT)["changed"]


@pytest.mark.parametrize("requests", [1, 2, 1000])
def test_tokens(tmp_path: pathlib.Path, requests: int) -> None:
    source = archive(tmp_path)
    with Registry(Behaviour(user=USER, bearer=requests)) as registry:
        if requests == 1:
            # Spent by the POST that begins the upload: the layer itself cannot be sent twice.
            assert refused(source, registry, credentials=RIGHT).code == "unauthorized"
            return
        assert push(source, registry, credentials=RIGHT)["changed"]
        assert set(registry.scopes) == {"repository:a/b:pull,push"}


def test_tokens_without_credentials(tmp_path: pathlib.Path) -> None:
    with Registry(Behaviour(bearer=1000)) as registry:
        assert push(archive(tmp_path), registry)["changed"]


def test_a_token_server_that_refuses(tmp_path: pathlib.Path) -> None:
    source = archive(tmp_path)
    with Registry(Behaviour(user=USER, bearer=1000)) as registry:
        assert refused(source, registry, credentials=Credentials("pusher", "wrong")).code == "unauthorized"
        registry.behaviour.refuse = {"GET /token": (500, "down")}
        assert refused(source, registry, credentials=RIGHT).code == "token_refused"
        registry.behaviour.refuse = {"GET /token": (200, {"token": "a\r\nX-Injected: b"})}
        assert refused(source, registry, credentials=RIGHT).code == "token_refused"


@pytest.mark.parametrize(
    ("request_", "answer", "code"),
    [
        ("GET /v2/a/b/manifests", (403, {"errors": [{"code": "DENIED", "message": "no"}]}), "denied"),
        ("GET /v2/a/b/manifests", (500, "broken"), "registry_failed"),
        ("GET /v2/a/b/manifests", (301, ""), "upload_refused"),
        ("POST", (403, "no"), "denied"),
        ("POST", (404, {"errors": [{"code": "NAME_UNKNOWN", "message": "none"}]}), "repository_unknown"),
        ("POST", (429, "slow down"), "registry_busy"),
        ("POST", (202, ""), "upload_refused"),
        ("PATCH", (413, "<html>too large</html>"), "upload_refused"),
        ("PATCH", (507, "full"), "registry_failed"),
        ("PUT /v2/a/b/blobs", (400, {"errors": [{"code": "DIGEST_INVALID", "message": "no"}]}), "upload_refused"),
        ("PUT /v2/a/b/manifests", (400, {"errors": [{"code": "MANIFEST_INVALID"}]}), "upload_refused"),
        ("PUT /v2/a/b/manifests", (401, ""), "unauthorized"),
    ],
)
def test_refusals(tmp_path: pathlib.Path, request_: str, answer: tuple[int, t.Any], code: str) -> None:
    with Registry(Behaviour(refuse={request_: answer})) as registry:
        failed = refused(archive(tmp_path, os.urandom(4 << 20)), registry)
        assert failed.code in (code, "registry_cut") if request_ == "PATCH" else failed.code == code
        assert not registry.uploads


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("cut_after", [1, 1 << 20, 6 << 20])
def test_a_connection_that_breaks(tmp_path: pathlib.Path, compression: str, cut_after: int) -> None:
    source = archive(tmp_path, os.urandom(8 << 20))
    with Registry(Behaviour(cut_after=cut_after)) as registry:
        assert refused(source, registry, compression=compression).code == "registry_cut"
        assert not registry.uploads and not registry.blobs and registry.count("DELETE") == 1
        registry.behaviour.cut_after = None
        assert push(source, registry, compression)["changed"]


@pytest.mark.parametrize("grow", [512, -4096])
def test_an_archive_that_changes_gives_the_upload_up(tmp_path: pathlib.Path, grow: int) -> None:
    source = archive(tmp_path)
    size = source.stat().st_size

    class Meddler(threading.Event):
        """Asked before each piece is read: changes the size of the archive."""

        def is_set(self) -> bool:
            os.truncate(source, size + grow)
            return False

    with Registry() as registry:
        name = parse_name(f"{registry.address}/a/b:1")
        place = Repository(Connection(name, None, None, plain_http=True))
        with place, pytest.raises(CheckpointError) as failed:
            make_image(Wish(str(source), name), place, Meddler())
        assert failed.value.code == "archive_changing"
        assert registry.count("DELETE") == 1 and not registry.uploads and not registry.blobs


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:1/v2/a/b/blobs/uploads/x", "ftp://127.0.0.1/x", "https://127.0.0.1:1/x"]
)
def test_an_upload_elsewhere_gets_no_credentials(tmp_path: pathlib.Path, location: str) -> None:
    with Registry(Behaviour(user=USER)) as store, Registry(Behaviour(user=USER)) as registry:
        registry.behaviour.location = location
        failed = refused(archive(tmp_path), registry, credentials=RIGHT)
        assert failed.code in ("registry_unreachable", "registry_insecure")
        registry.behaviour.location = f"http://{store.address}/v2/a/b/blobs/uploads/x"
        refused(archive(tmp_path), registry, credentials=RIGHT)
        assert store.requests and not any(store.authorizations)


def test_nobody_answers(tmp_path: pathlib.Path) -> None:
    with Registry() as registry:
        pass
    assert refused(archive(tmp_path), registry).code == "registry_unreachable"


def test_a_server_that_hangs_up_at_once(tmp_path: pathlib.Path) -> None:
    with Registry() as registry, socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        registry.server_address = server.getsockname()
        assert refused(archive(tmp_path), registry).code == "registry_cut"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_plain_http_where_tls_is_asked_for() -> None:
    with Registry() as registry:
        connection = Connection(parse_name(f"{registry.address}/a/b:1"))
        with pytest.raises(CheckpointError) as failed:
            connection.ask("GET", connection.url("tags/list"))
    assert failed.value.code == "registry_unreachable" and "plain_http" in failed.value.hint


def test_a_ca_that_is_none(tmp_path: pathlib.Path) -> None:
    (tmp_path / "ca.crt").write_text("no certificate")
    for path in (tmp_path / "ca.crt", tmp_path / "none.crt"):
        with pytest.raises(CheckpointError) as failed:
            Connection(parse_name("localhost/a:1"), None, str(path))
        assert failed.value.code == "ca_unusable"


def test_an_answer_without_end(tmp_path: pathlib.Path) -> None:
    with Registry() as registry:
        registry.manifests["1"] = bytes(5 << 20)
        with pytest.raises(CheckpointError) as failed:
            push(archive(tmp_path), registry)
        assert failed.value.code == "registry_cut"
