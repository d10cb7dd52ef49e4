# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_unpack as a module: archives from files and images, and what it refuses."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pathlib
import re
import signal
import types
import typing as t

import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore import arrival
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import (
    checkpoint_image,
    checkpoint_info,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.modules import checkpoint_unpack as module
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.image_support import (
    archive,
    members,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._oci.loopback_registry import (
    Behaviour,
    Registry,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.modules.documented import run, undocumented

USER = ("reader", "s3cret-password")
ACCESS = {"username": USER[0], "password": USER[1], "plain_http": True}
Call = t.Callable[..., dict[str, t.Any]]


@pytest.fixture(name="call")
def fixture_call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def called(what: types.ModuleType, **options: t.Any) -> dict[str, t.Any]:
        return run(what, monkeypatch, capsys, **options)

    return called


@pytest.fixture(name="unpack")
def fixture_unpack(call: Call) -> Call:
    def unpacked(path: object, destination: object, **options: t.Any) -> dict[str, t.Any]:
        result = call(module, path=str(path), destination=str(destination), **options)
        assert USER[1] not in json.dumps(result)
        assert undocumented(result, module.RETURN) == [] or result.get("failed"), result
        return result

    return unpacked


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_becomes_a_folder_once(unpack: Call, tmp_path: pathlib.Path) -> None:
    source, folder = archive(tmp_path), tmp_path / "missing" / "folders" / "here"
    planned = unpack(source, folder, check=True)
    assert (planned["changed"], planned["sha256"]) == (True, None) and not folder.parent.exists()
    done = unpack(source, folder)
    assert done == {
        "changed": True,
        "destination": str(folder),
        "sha256": sha256(source),
        "size": source.stat().st_size,
    }
    assert {name: (folder / name).read_bytes() for name in members()} == members()
    assert folder.parent.parent.stat().st_mode & 0o777 == 0o700
    for check in (False, True):
        for more in ({}, {"checksum": f"sha256:{sha256(source)}"}):
            assert unpack(source, folder, check=check, **more) == {**done, "changed": False}


@pytest.mark.parametrize("kind", ["layout", "file"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_images_on_the_disk(unpack: Call, call: Call, tmp_path: pathlib.Path, kind: str, compression: str) -> None:
    source, image = archive(tmp_path), tmp_path / "image"
    made = call(
        checkpoint_image, path=str(source), name="example.com/a:1", compression=compression, **{kind: str(image)}
    )
    (listed,) = call(checkpoint_info, paths=[str(image)])["checkpoints"]
    assert listed["layer_digest"] == made["layer"]["digest"]
    done = unpack(image, tmp_path / "here", checksum=listed["layer_digest"])
    assert done["changed"] and made["layer"]["digest"] == f"sha256:{done['sha256']}"
    assert done["size"] == made["layer"]["size"]
    assert (tmp_path / "here" / "checkpoint" / "pages-1.img").read_bytes() == members()["checkpoint/pages-1.img"]
    assert not unpack(image, tmp_path / "here")["changed"]


def test_the_archive_itself_compressed(unpack: Call, tmp_path: pathlib.Path) -> None:
    packed = tmp_path / "archive.tar.gz"
    packed.write_bytes(gzip.compress(archive(tmp_path).read_bytes()))
    assert unpack(packed, tmp_path / "here")["sha256"] == sha256(packed)
    assert (tmp_path / "here" / "config.dump").read_bytes() == members()["config.dump"]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_layer_goes_from_the_registry_into_the_folder(
    unpack: Call, call: Call, tmp_path: pathlib.Path, compression: str
) -> None:
    # A store that blobs are fetched from, as registries in clouds have it.
    with Registry() as store, Registry(Behaviour(user=USER, bearer=4)) as registry:
        name = f"{registry.address}/a/b:1"
        given = {"name": name, "compression": compression, **ACCESS}
        made = call(checkpoint_image, path=str(archive(tmp_path, os.urandom(5 << 20))), **given)
        assert made["changed"], made
        store.blobs = registry.blobs
        registry.behaviour.store = store.address
        (listed,) = call(checkpoint_info, paths=[f"docker://{name}"], **ACCESS)["checkpoints"]
        assert (listed["layer_digest"], listed["reference"]) == (made["layer"]["digest"], made["reference"])
        asked = len(store.requests)
        planned = unpack(f"docker://{name}", tmp_path / "here", check=True, **ACCESS)
        assert f"sha256:{planned['sha256']}" == made["layer"]["digest"] and not (tmp_path / "here").exists()
        assert len(store.requests) == asked
        done = unpack(f"docker://{name}", tmp_path / "here", **ACCESS)
        assert done == planned and not any(store.authorizations)
        again = unpack(f"docker://{name}", tmp_path / "here", checksum=done["sha256"], **ACCESS)
        assert again == {**done, "changed": False}
        assert unpack(f"docker://{name}", tmp_path / "other", plain_http=True)["code"] == "unauthorized"
        assert len(store.requests) == asked + 1
    assert sorted(os.listdir(tmp_path)) == ["archive.tar", "here"]


def test_layers_that_are_not_what_they_should_be(unpack: Call, call: Call, tmp_path: pathlib.Path) -> None:
    with Registry() as registry:
        name = f"{registry.address}/a/b:1"
        made = call(checkpoint_image, path=str(archive(tmp_path)), name=name, plain_http=True)
        digest = made["layer"]["digest"]
        good = registry.blobs[digest]

        def refused(**options: t.Any) -> str:
            result = unpack(f"docker://{name}", tmp_path / "here", plain_http=True, **options)
            assert result["failed"] and os.listdir(tmp_path) == ["archive.tar"]
            return str(result["code"])

        assert refused(checksum="0" * 64) == "digest_wrong"
        assert refused(checksum="nonsense") == "invalid_option"
        place = good.index(b"pages-1.img") + 600
        registry.blobs[digest] = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
        assert refused() == "digest_wrong"
        registry.blobs[digest] = good[:-512]
        assert refused() == "registry_cut"
        registry.blobs[digest] = good + bytes(512)
        assert refused() == "too_large"
        del registry.blobs[digest]
        assert refused() == "image_missing"
        registry.manifests.clear()
        assert refused() == "image_missing"
        registry.behaviour.refuse = {"GET /v2/a/b/manifests": (500, {})}
        assert refused() == "registry_failed"


def test_a_store_in_a_circle(unpack: Call, call: Call, tmp_path: pathlib.Path) -> None:
    with Registry() as registry:
        name = f"{registry.address}/a/b:1"
        call(checkpoint_image, path=str(archive(tmp_path)), name=name, plain_http=True)
        registry.behaviour.store = registry.address
        assert unpack(f"docker://{name}", tmp_path / "here", plain_http=True)["code"] == "registry_failed"


def test_places_and_archives_that_are_refused(unpack: Call, tmp_path: pathlib.Path) -> None:
    source = archive(tmp_path)
    (tmp_path / "text").write_text("no archive")
    (tmp_path / "taken").mkdir(mode=0o700)
    assert unpack(source, tmp_path / "taken")["code"] == "destination_exists"
    assert unpack(source, "relative")["code"] == "invalid_option"
    assert unpack(source, "/")["code"] == "invalid_option"
    assert unpack(source, tmp_path / "text" / "here")["code"] == "destination_refused"
    assert unpack(tmp_path / "text", tmp_path / "here")["code"] == "archive_not_tar"
    assert unpack(tmp_path / "taken", tmp_path / "here")["code"] == "archive_folder"
    assert unpack(tmp_path / "none", tmp_path / "here")["code"] == "archive_unreadable"
    assert unpack("/dev/null", tmp_path / "here")["code"] == "archive_unreadable"
    assert unpack("docker://nonsense", tmp_path / "here")["code"] == "name_invalid"
    assert sorted(os.listdir(tmp_path)) == ["archive.tar", "taken", "text"]


def test_a_folder_of_another_archive_is_kept(unpack: Call, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "here"
    unpack(archive(tmp_path), folder)
    result = unpack(archive(tmp_path, b"other pages"), folder)
    assert result["code"] == "destination_exists"
    # A folder that others may write to says nothing.
    source = archive(tmp_path)
    assert not unpack(source, folder)["changed"]
    folder.chmod(0o777)
    assert unpack(source, folder)["code"] == "destination_exists"


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_it_can_be_stopped(unpack: Call, call: Call, tmp_path: pathlib.Path, compression: str) -> None:
    """As by Ctrl-C, once; a second time it would end at once."""
    with Registry() as registry:
        name = f"{registry.address}/a/b:1"
        given = {"name": name, "compression": compression, "plain_http": True}
        call(checkpoint_image, path=str(archive(tmp_path, os.urandom(5 << 20))), **given)

        class Interrupting(dict[str, bytes]):
            asked = 0

            def get(self, key: str, default: t.Any = None) -> t.Any:
                self.asked += 1
                if self.asked == 1:
                    os.kill(os.getpid(), signal.SIGTERM)
                return super().get(key, default)

        registry.blobs = Interrupting(registry.blobs)
        result = unpack(f"docker://{name}", tmp_path / "here", plain_http=True)
        assert result["code"] == "interrupted" and os.listdir(tmp_path) == ["archive.tar"]


def test_every_code_is_documented() -> None:
    room = pathlib.Path(arrival.__file__).parents[1]
    names = ("_restore/passing.py", "_restore/arrival.py", "_restore/unpacking.py")
    text = "".join((room / name).read_text() for name in names)
    raised = set(re.findall(r'CheckpointError\(\s*"([a-z_]+)"', text))
    documentation = " ".join(yaml.safe_load(module.RETURN)["code"]["description"])
    assert len(raised) > 8 and {code for code in raised if f"V({code})" not in documentation} == set()
