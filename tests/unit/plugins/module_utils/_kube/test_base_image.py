# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images a restore by image has to have pulled, for which pod, and what becomes of that."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube import base_image, manifest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.restore_request import request
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube.restorables import (
    DIGEST,
    archive,
    identity,
    options,
    web_0,
)

Thing = dict[str, t.Any]

WEB = "registry.example.com/shop/web:1.4"
IMAGES = {"web": WEB, "log": "registry.example.com/log:2"}


def pod(**states: Thing) -> Thing:
    """``states``: containers to what the kubelet tells of them."""
    told = [{"name": name, "restartCount": 0, "state": state} for name, state in states.items()]
    return {"metadata": {}, "spec": {"containers": []}, "status": {"phase": "Pending", "containerStatuses": told}}


def test_the_image_that_a_process_ran_in() -> None:
    unnamed = archive(container="log", identity=identity(image=f"sha256:{'0' * 64}", image_digest=None))
    archives = request(options(archives=[archive(), unnamed])).archives
    web = f"registry.example.com/shop/web@{DIGEST}"
    # An image that is known by its ID alone can be asked for only as the pod did.
    assert manifest.base_images(web_0(), archives, None) == {"web": web, "log": IMAGES["log"]}
    assert manifest.base_images({"spec": {}}, archives, None) == {"web": web}


def test_the_pod_that_pulls_is_where_the_other_will_be_and_runs_nothing() -> None:
    source = manifest.without_tokens(web_0())
    source["spec"]["imagePullSecrets"] = [{"name": "registry"}]
    made = base_image.puller(source, IMAGES)
    spec = made["spec"]
    for key in ("nodeSelector", "tolerations", "imagePullSecrets", "serviceAccountName"):
        assert spec[key] == source["spec"][key]
    assert {each["name"]: each["image"] for each in spec["containers"]} == IMAGES
    assert {each["command"][0] for each in spec["containers"]} == {base_image.NOTHING}
    assert "volumes" not in spec and spec["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    "failed",
    [
        # containerd 2.1.9 and CRI-O 1.36.3, as the kubelet 1.36.2 tells it of a command that is nowhere.
        {"terminated": {"exitCode": 128, "reason": "StartError"}},
        {"waiting": {"reason": "CreateContainerError"}},
    ],
)
def test_it_is_done_when_the_command_was_tried(failed: Thing) -> None:
    assert not base_image.pulled(pod(), IMAGES, late=False)
    pulling = {"waiting": {"reason": "ContainerCreating"}}
    assert not base_image.pulled(pod(web=failed, log=pulling), IMAGES, late=False)
    assert base_image.pulled(pod(web=failed, log=failed), IMAGES, late=False)


def test_what_keeps_it_from_being_pulled_is_told() -> None:
    refused = {"waiting": {"reason": "ErrImagePull", "message": "no basic auth credentials"}}
    with pytest.raises(CheckpointError, match="container web cannot be pulled") as told:
        base_image.pulled(pod(web=refused), {"web": WEB}, late=False)
    assert told.value.code == "image_pull_failed" and "no basic auth" in told.value.message
    with pytest.raises(CheckpointError, match="did not pull") as late:
        base_image.pulled(pod(), IMAGES, late=True)
    assert late.value.code == "restore_timeout"
    full = pod()
    full["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]
    assert not base_image.pulled(full, IMAGES, late=False)
    with pytest.raises(CheckpointError) as unplaced:
        base_image.pulled(full, IMAGES, late=True)
    assert unplaced.value.code == "unschedulable"
