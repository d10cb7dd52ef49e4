# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook restore does with archives: where each goes, and which it refuses."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.checkpoint_restore.kubernetes.plugins.filter.checkpoint_sources import FilterModule

checkpoint_sources = FilterModule().filters()["checkpoint_sources"]

DIGEST = "9f" * 32
PLACE = "/var/lib/checkpoint-restore/archives"
ARCHIVE: dict[str, t.Any] = {
    "path": "/archives/web.tar",
    "format": "tar",
    "layer_digest": None,
    "reference": None,
    "reason": None,
    "identity": {"container": "web"},
}
PUSHED = {
    **ARCHIVE,
    "path": "docker://registry.example.com/web:1",
    "format": "registry",
    "layer_digest": f"sha256:{DIGEST}",
    "reference": f"registry.example.com/web@sha256:{DIGEST}",
}


def test_a_file_on_the_node_stays_where_it_is() -> None:
    (found,) = checkpoint_sources([ARCHIVE], [DIGEST])
    assert (found["path"], found["copied"], found["push"]) == ("/archives/web.tar", False, "")
    identity = {"container": "web"}
    assert found["archive"] == {"path": "/archives/web.tar", "sha256": DIGEST, "identity": identity, "image": None}


@pytest.mark.parametrize(("pod", "name"), [("", "web.tar"), ("web-1", "web.tar.web-1")])
def test_a_file_elsewhere_is_copied(pod: str, name: str) -> None:
    (found,) = checkpoint_sources([ARCHIVE], [DIGEST], moved=True, pod=pod)
    assert found["copied"] and found["path"] == found["archive"]["path"] == f"{PLACE}/{name}"


def test_an_archive_in_a_registry_is_unpacked_on_the_node() -> None:
    (found,) = checkpoint_sources([PUSHED], [""])
    assert found["copied"] and found["path"] == f"{PLACE}/docker-registry.example.com-web-1"
    assert found["archive"]["sha256"] == f"sha256:{DIGEST}"


def test_by_image_a_file_is_pushed_and_an_image_taken_as_it_is() -> None:
    names = "registry.example.com/new:1"
    file, image = checkpoint_sources([ARCHIVE, PUSHED], [DIGEST, ""], ARCHIVE["path"], names, "image", True)
    assert (file["push"], file["path"], file["copied"]) == (names, f"docker://{names}", False)
    assert (file["archive"]["image"], file["archive"]["path"]) == (names, None)
    assert (image["push"], image["path"], image["copied"]) == ("", PUSHED["path"], False)
    assert image["archive"]["image"] == PUSHED["reference"]


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"format": None, "reason": "It is no tar"}, {}, "/archives/web.tar: It is no tar"),
        ({"format": "directory"}, {}, "takes archive files and OCI images"),
        ({"format": "oci-layout", "layer_digest": DIGEST}, {"moved": True}, "has to lie on the node itself"),
        ({}, {"method": "image"}, "Give image"),
    ],
)
def test_what_cannot_be_restored_is_refused(change: dict[str, t.Any], options: dict[str, t.Any], said: str) -> None:
    with pytest.raises(AnsibleFilterError, match=said):
        checkpoint_sources([{**ARCHIVE, **change}], [DIGEST], **options)
