# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints that are read in a registry: on the loopback, where it can misbehave."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import Archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.connection import Connection
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.credentials import Credentials
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.description import digest_of
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.reference import parse_name
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.remote import open_remote
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.image_support import (
    archive,
    push,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.loopback_registry import (
    Behaviour,
    Registry,
)

USER = ("reader", "s3cret-password")


def opened(registry: Registry, credentials: t.Optional[Credentials] = None) -> Archive:
    name = parse_name(f"{registry.address}/a/b:1")
    return open_remote(Connection(name, credentials, None, plain_http=True, actions="pull"))


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_an_image_is_read_where_it_is(tmp_path: pathlib.Path, compression: str) -> None:
    pages = os.urandom(3 << 20)
    source = archive(tmp_path, pages)
    with Registry() as registry:
        made = push(source, registry, compression)
        with opened(registry) as read:
            assert (read.form, read.compression) == ("registry", None if compression == "none" else compression)
            assert read.identity.pod == "web-0" and read.annotations == made["annotations"]
            if compression == "none":
                assert registry.fetched < 1 << 20
            assert read.images("checkpoint")["pages-1.img"].read() == pages
            assert b"".join(bytes(part) for part in read.images("checkpoint")["pages-1.img"].chunks()) == pages
            assert len(read.notes) == 0


def test_a_store_elsewhere_gets_no_credentials(tmp_path: pathlib.Path) -> None:
    with Registry() as store, Registry(Behaviour(user=USER, bearer=1000)) as registry:
        push(archive(tmp_path), registry, credentials=Credentials(*USER))
        registry.scopes.clear()
        store.blobs = registry.blobs
        registry.behaviour.store = store.address
        with opened(registry, Credentials(*USER)) as read:
            assert read.identity.pod == "web-0"
        assert store.requests and not any(store.authorizations)
        assert set(registry.scopes) == {"repository:a/b:pull"}


def test_an_index_in_front(tmp_path: pathlib.Path) -> None:
    with Registry() as registry:
        made = push(archive(tmp_path), registry)
        manifest = registry.manifests["1"]
        registry.manifests[digest_of(manifest)] = manifest
        index = {"manifests": [{"digest": made["digest"]}], "annotations": {"a": "b"}}
        registry.manifests["1"] = json.dumps(index).encode()
        with opened(registry) as read:
            assert read.identity.pod == "web-0" and read.annotations == {"a": "b", **made["annotations"]}
        registry.manifests[digest_of(manifest)] = manifest + b" "
        with pytest.raises(CheckpointError) as failed:
            opened(registry)
        assert failed.value.code == "image_unreadable"


@pytest.mark.parametrize(
    ("there", "code"),
    [
        (None, "image_missing"),
        (b"", "image_unreadable"),
        (b'{"layers": []}', "image_unreadable"),
        (b'{"layers": [{"digest": "../x", "size": 1}]}', "image_unreadable"),
        (b'{"layers": [{"digest": "sha256:00", "size": -1}]}', "image_unreadable"),
        (b'{"layers": [{"digest": "sha256:00", "size": 5000}]}', "registry_failed"),
        (b'{"manifests": [{"digest": "1"}]}', "image_unreadable"),
        (b'{"manifests": [3]}', "image_unreadable"),
    ],
)
def test_tags_that_are_no_checkpoint(there: t.Optional[bytes], code: str) -> None:
    with Registry() as registry:
        if there is not None:
            registry.manifests["1"] = there
        with pytest.raises(CheckpointError) as failed:
            opened(registry)
    assert failed.value.code == code


def test_a_registry_that_does_not_know_ranges(tmp_path: pathlib.Path) -> None:
    with Registry(Behaviour(ranges=False)) as registry:
        push(archive(tmp_path, b"little"), registry)
        with opened(registry) as read:
            assert read.identity.pod == "web-0"
        push(archive(tmp_path, os.urandom(6 << 20)), registry)
        with pytest.raises(CheckpointError) as failed:
            opened(registry)
        assert failed.value.code in ("registry_cut", "registry_failed")


def test_a_store_that_leads_in_a_circle(tmp_path: pathlib.Path) -> None:
    with Registry() as registry:
        push(archive(tmp_path), registry)
        registry.behaviour.store = registry.address
        with pytest.raises(CheckpointError) as failed:
            opened(registry)
        assert failed.value.code == "registry_failed"
