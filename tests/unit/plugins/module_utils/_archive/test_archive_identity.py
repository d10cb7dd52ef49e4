# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive import identity
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.identity import (
    Documents,
    Identity,
    instant,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.notes import Notes
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._archive.tars import made, scan


def identify(**documents: t.Any) -> Identity:
    files = {
        name.replace("__", "."): value.encode() if isinstance(value, str) else json.dumps(value).encode()
        for name, value in documents.items()
    }
    return identity.identify(Documents(scan(made(files)), Notes()))


DIGEST = "sha256:" + "a" * 64


def test_containerd_2_0() -> None:
    """No status.dump, no dump.log, no stats-dump; the image's ID instead of a digest (reference 2.1, 2.2)."""
    found = identify(
        config__dump={
            "id": "b" * 64,
            "name": "web_web-0_shop_7d4d_2",
            "rootfsImage": "docker.io/library/web:1",
            "rootfsImageRef": DIGEST,
            "rootfsImageName": "docker.io/library/web:1",
            "runtime": "io.containerd.runc.v2",
            "createdTime": "2026-01-02T03:04:05.5+01:00",
            "checkpointedTime": "0001-01-01T00:00:00Z",
        },
        spec__dump={
            "annotations": {"io.kubernetes.cri.container-name": "web", "io.kubernetes.cri.sandbox-name": "web-0"}
        },
    )
    assert (found.engine, found.engine_version) == ("containerd", "2.0")
    assert (found.namespace, found.pod, found.pod_uid, found.container, found.attempt) == (
        "shop",
        "web-0",
        "7d4d",
        "web",
        2,
    )
    assert (found.image_id, found.image_digest) == (DIGEST, None)
    assert (found.created, found.checkpointed) == ("2026-01-02T02:04:05.500000Z", None)
    assert (found.node, found.criu_version) == (None, None)


def test_podman_addresses() -> None:
    found = identify(
        config__dump={"id": "x", "name": "pod", "rootfsImageID": "c" * 64, "rawImageName": "web", "ociRuntime": "crun"},
        spec__dump={"annotations": {"io.container.manager": "libpod"}},
        network__status={
            "podman": {"interfaces": {"eth0": {"subnets": [{"ipnet": "10.88.0.2/16", "gateway": "10.88.0.1"}]}}}
        },
    )
    assert (found.engine, found.runtime, found.image) == ("Podman", "crun", "web")
    assert found.image_id == "sha256:" + "c" * 64
    assert found.ip_addresses == ["10.88.0.2"]


def test_names_with_underscores_are_not_taken_apart() -> None:
    found = identify(
        config__dump={"name": "k8s_a_b_c_d_e_f_0"}, spec__dump={"annotations": {"io.container.manager": "cri-o"}}
    )
    assert found.pod is None
    assert found.container == "k8s_a_b_c_d_e_f_0"


def test_several_addresses_of_cri_o() -> None:
    annotations = {"io.container.manager": "cri-o"}
    annotations.update({f"io.kubernetes.cri-o.IP.{number}": f"10.0.0.{number}" for number in range(100)})
    found = identify(config__dump={}, spec__dump={"annotations": annotations})
    assert found.ip_addresses == [f"10.0.0.{number}" for number in range(16)]


def test_what_the_log_tells() -> None:
    log = "(00.000020) Version: 4.1.1 (gitid 0)\n(00.1) Running on node-7 Linux 6.1.0-x #1 SMP PREEMPT Debian aarch64\n"
    found = identify(config__dump={}, dump__log=log)
    assert (found.criu_version, found.node, found.kernel, found.architecture) == (
        "4.1.1",
        "node-7",
        "6.1.0-x",
        "aarch64",
    )


@pytest.mark.parametrize("value", [None, 5, [], {}, "", True, ["a"], {"a": 1}, 1.5, "0001-01-01T00:00:00Z"])
def test_values_of_the_wrong_kind(value: t.Any) -> None:
    keys = (
        "id",
        "name",
        "rootfsImage",
        "rootfsImageRef",
        "rootfsImageName",
        "runtime",
        "createdTime",
        "checkpointedTime",
    )
    names = ("Metadata", "Created", "IP.0", "ImageName", "ImageRepoDigests", "SandboxID")
    annotations: t.Any = {f"io.kubernetes.cri-o.{name}": value for name in names}
    status = dict.fromkeys(("metadata", "image", "image_ref", "labels", "created_at", "id"), value)
    for found in (annotations, value, {**annotations, "io.kubernetes.cri.x": value}):
        identify(
            config__dump=dict.fromkeys(keys, value),
            spec__dump={"annotations": found},
            status__dump=status,
            network__status={"n": value, "m": {"interfaces": value}, "o": {"interfaces": {"e": {"subnets": [value]}}}},
        ).as_dict()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-21T09:56:24.270343569Z", "2026-11-21T09:56:24.270343Z"),
        ("2026-11-21T09:56:24Z", "2026-11-21T09:56:24Z"),
        ("2026-11-21 09:56:24.5 +0100 CET", "2026-11-21T08:56:24.500000Z"),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-99-99T00:00:00Z", None),
        (1795254984235136332, "2026-11-21T09:56:24.235136Z"),
        (0, None),
        (-5, None),
        (1 << 80, None),
        (True, None),
        ("yesterday", None),
    ],
)
def test_times(value: t.Any, expected: t.Optional[str]) -> None:
    assert instant(value) == expected
