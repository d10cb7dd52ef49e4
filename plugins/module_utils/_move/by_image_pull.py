# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images brought to the target of a move by image, before the pod is told to end.

A container of a checkpoint's image would be restored. So its image is pulled as a volume of a pod whose command is
nowhere (kubernetes 1.36, the volume source ``image``, beta and on since 1.35; CRI-O 1.31, containerd 2.1).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import threading
import typing as t

from .._common.deadline import Deadline
from .._kube import base_image
from .._kube.api import ApiSession, Thing, pod_path
from .._kube.failures import KubeError
from .._kube.manifest import HOSTNAME_LABEL
from .._kube.manifest_images import DIGEST
from .._kube.restore_removal import delete
from .plan import Container, Plan

INTERVAL = 0.2
GONE_SECONDS = 10.0
MOUNTED = "/checkpoint"


def pull(
    session: ApiSession, plan: Plan, images: t.Mapping[str, str], deadline: Deadline, stop: threading.Event
) -> str:
    """Have the target's kubelet pull what the processes run in, and the ``images`` of the checkpoints.

    Returns what people should know where the images of the checkpoints could not be asked for before. Raises
    CheckpointError ``image_pull_failed``, ``restore_timeout`` and the API server's.
    """
    wanted = {container.name: base(container) for container in plan.containers}
    spec = {**plan.source["spec"], "nodeSelector": {HOSTNAME_LABEL: plan.hostname}}
    pod = base_image.puller({**plan.source, "spec": spec}, wanted)
    if images:
        _mount(pod, images)
    try:
        made = session.create(pod_path(plan.namespace), pod)
    except KubeError as error:
        if not images or error.details.get("http_status") not in (400, 403, 422):
            raise
        return f"The cluster has no volumes of images: {plan.target} pulls them when the pod was told to end"
    try:
        while not base_image.pulled(made, wanted, late=deadline.expired or stop.is_set()):
            stop.wait(INTERVAL)
            made = session.pod(plan.namespace, made["metadata"]["name"]) or made
    finally:
        delete(session, made, Deadline(GONE_SECONDS), threading.Event(), grace=0)
    return ""


def base(container: Container) -> str:
    """The image that the processes run in, by its digest where the kubelet tells it."""
    name = container.image_id.rpartition("://")[2]
    return name if DIGEST.search(name) and "@" in name else container.image


def _mount(pod: Thing, images: t.Mapping[str, str]) -> None:
    names = {image: f"checkpoint-{number}" for number, image in enumerate(sorted(set(images.values())))}
    source = {image: {"reference": image, "pullPolicy": "IfNotPresent"} for image in names}
    pod["spec"]["volumes"] = [{"name": name, "image": source[image]} for image, name in names.items()]
    for container in pod["spec"]["containers"]:
        name = names.get(images.get(container["name"], ""))
        if name:
            container["volumeMounts"] = [{"name": name, "mountPath": MOUNTED, "readOnly": True}]
