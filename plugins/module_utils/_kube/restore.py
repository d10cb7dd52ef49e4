# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore at the API server: from archives to a running pod, or back to nothing.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from . import base_image, manifest, preflight_api, sandbox
from .api import ApiSession, Thing, pod_path
from .auth import api_server
from .failures import KubeError
from .restore_outcome import Outcome, described
from .restore_removal import Options, Removal, delete
from .restore_request import ANNOTATION, Check, Request, request
from .restore_wait import INTERVAL, follow, is_up, statuses

UNDO_SECONDS = 60.0
RIGHTS = "A restore needs what the job restore of checkpoint_access gives (playbooks/files/rbac/restore.yml)"


def run(options: Options, *, check_mode: bool, stop: threading.Event) -> Outcome:
    """Make the pod restored, or with ``state`` ``absent`` remove it. Raises CheckpointError.

    Codes of its own: ``preflight_failed`` (``checks`` in its details), ``pod_exists``, ``pod_refused``, ``not_ours``,
    ``manifest_invalid``, ``removal_timeout``, and those of restore_request.py, manifest.py, sandbox.py and
    restore_wait.py. ``removed`` in the details says whether a pod that was made is gone again.
    """
    try:
        if options["state"] == "absent":
            return Removal(options, stop).run(check_mode)
        wanted = request(options)
        return _Restore(ApiSession(api_server(options)), wanted, stop).run(check_mode)
    except KubeError as error:
        if error.code == "forbidden" and error.hint != sandbox.RIGHTS:
            error.hint = RIGHTS
        raise


class _Restore:
    def __init__(self, session: ApiSession, wanted: Request, stop: threading.Event) -> None:
        self._session = session
        self._wanted = wanted
        self._stop = stop
        self._names = [archive.container for archive in wanted.archives]
        self._sandbox = sandbox.Sandbox(session, wanted.namespace) if wanted.isolated else None
        self._checks: list[Check] = []
        self._base_images: dict[str, str] = {}

    def run(self, check_mode: bool) -> Outcome:
        there = self._session.pod(self._wanted.namespace, self._wanted.pod)
        if there is not None and self._is_restored(there):
            return Outcome(self._result(there, {}, changed=False))
        node = self._session.node(self._wanted.node)
        with _well_shaped():
            pod = self._manifest(node)
            self._check(pod, node)
        if self._sandbox is not None:
            self._sandbox.require_own(self._wanted.pod)
        if there is None and (self._sandbox is None or self._sandbox.found):
            # A pod of that name that is there is told about in plainer words.
            self._create(pod, dryRun="All")
        after = [*(self._sandbox.objects if self._sandbox else []), pod]
        if check_mode:
            return Outcome(self._result(pod, pod, changed=True), after=after)
        return Outcome(self._result(self._make(pod), pod, changed=True), after=after)

    def _is_restored(self, there: Thing) -> bool:
        metadata = there["metadata"]
        return (
            (metadata.get("annotations") or {}).get(ANNOTATION) == self._wanted.annotation
            and not metadata.get("deletionTimestamp")
            and there["spec"].get("nodeName") == self._wanted.node
            and is_up(there, self._names)
        )

    def _manifest(self, node: Thing | None) -> Thing:
        wanted = self._wanted
        source = wanted.source_definition
        namespace, name, _uid = wanted.source
        if wanted.definition is None and source is None and namespace and name:
            source = self._session.pod(namespace, name)
        if wanted.definition is not None:
            pod, source = {"metadata": {}, **wanted.definition}, None
        elif source is not None:
            pod = manifest.from_source(source, wanted.archives)
        else:
            pod = manifest.from_archives(wanted.archives)
        if wanted.method == "image":
            self._base_images = manifest.base_images(pod, wanted.archives, source)
        pod = sandbox.isolated(pod) if wanted.isolated else manifest.without_tokens(pod)
        labels = ((node or {}).get("metadata") or {}).get("labels") or {}
        made = manifest.finished(pod, wanted, str(labels.get(manifest.HOSTNAME_LABEL) or wanted.node))
        if wanted.isolated:
            sandbox.require_isolation(made)
        self._checks = manifest.findings(made, wanted, source)
        return made

    def _check(self, pod: Thing, node: Thing | None) -> None:
        if not self._wanted.preflight:
            return
        self._checks += preflight_api.check(self._session, self._wanted, pod, node)
        failed = [check for check in sorted(self._checks) if check.result == "failed"]
        if failed:
            raise CheckpointError(
                "pod_exists" if [check.name for check in failed] == ["pod_exists"] else "preflight_failed",
                "; ".join(check.reason for check in failed),
                hint="; ".join(dict.fromkeys(check.hint for check in failed)),
                checks=self._told(),
            )

    def _create(self, pod: Thing, **query: str) -> Thing:
        """Create the pod. The API server refuses fields that it does not know."""
        try:
            return self._session.create(pod_path(self._wanted.namespace), pod, fieldValidation="Strict", **query)
        except KubeError as error:
            raise _refused(error, self._wanted) from None

    def _make(self, pod: Thing) -> Thing:
        """The pod, up and running if that is to be waited for. On a failure nothing that was made stays."""
        deadline = Deadline(self._wanted.seconds)
        made: Thing | None = None
        try:
            if self._sandbox is not None:
                self._sandbox.prepare()
            if self._base_images:
                self._pull(pod, deadline)
            made = self._created(pod, deadline)
            return follow(self._session, made, self._names, deadline, self._stop) if self._wanted.wait else made
        except BaseException as error:
            # Without an answer to its creation, a pod may be there all the same.
            answered = isinstance(error, CheckpointError) and error.details.get("http_status", 0) is not None
            removed = self._undo(made, answered)
            if isinstance(error, CheckpointError):
                error.details.update(removed=removed, checks=self._told())
            raise

    def _created(self, pod: Thing, deadline: Deadline) -> Thing:
        while True:
            try:
                return self._create(pod)
            except CheckpointError as error:
                # A new namespace gets its account in a moment, and no pod can be made before.
                young = self._sandbox is not None and 'serviceaccount "default" not found' in error.message
                if not young or deadline.expired or self._stop.is_set():
                    raise
            self._stop.wait(INTERVAL)

    def _pull(self, pod: Thing, deadline: Deadline) -> None:
        """Have the node's kubelet bring the images that the processes ran in. The pod that it takes does not stay."""
        made = self._created(base_image.puller(pod, self._base_images), deadline)
        try:
            while not base_image.pulled(made, self._base_images, late=deadline.expired or self._stop.is_set()):
                self._stop.wait(INTERVAL)
                made = self._session.pod(self._wanted.namespace, made["metadata"]["name"]) or made
        finally:
            delete(self._session, made, None, self._stop, grace=0)

    def _undo(self, made: Thing | None, answered: bool) -> bool:
        """Remove the pod and what was made for it; whether nothing of it is left."""
        wanted = self._wanted
        deadline = Deadline(UNDO_SECONDS)
        while True:
            with contextlib.suppress(CheckpointError):
                pod = made if made or answered else self._session.pod(wanted.namespace, wanted.pod)
                if pod is not None and (pod["metadata"].get("annotations") or {}).get(ANNOTATION) == wanted.annotation:
                    delete(self._session, pod, deadline, threading.Event(), grace=1)
                if self._sandbox is not None:
                    self._sandbox.undo()
                return True
            if deadline.expired:
                return False
            time.sleep(INTERVAL)

    def _told(self) -> list[dict[str, t.Any]]:
        return [dataclasses.asdict(check) for check in sorted(self._checks)]

    def _result(self, pod: Thing, definition: Thing, *, changed: bool) -> dict[str, t.Any]:
        marks = {archive.container: archive.mark for archive in self._wanted.archives}
        there = statuses(pod)
        return {
            "changed": changed,
            "pod": described(pod, self._wanted.namespace, self._wanted.node),
            "definition": definition,
            "tickets": self._wanted.tickets if changed else [],
            "containers": [
                {
                    "name": each["name"],
                    "container_id": _container_id(there.get(each["name"], {})),
                    "restored_from": marks.get(each["name"]),
                }
                for each in sorted(manifest.restorable(pod), key=lambda each: str(each["name"]))
            ],
            "checks": self._told(),
        }


def _container_id(status: Thing) -> str | None:
    return str(status.get("containerID") or "").partition("://")[2] or None


def _refused(error: KubeError, wanted: Request) -> CheckpointError:
    """The API server's refusal of the pod in plain words; all else as it is."""
    status = error.details.get("http_status")
    name = f"{wanted.namespace}/{wanted.pod}"
    if status == 409:
        reason = f"There is a pod {name} already"
        return CheckpointError("pod_exists", reason, hint="Delete it first, or give another pod", message=error.message)
    if status == 403 and 'User "' in error.message:
        return error
    if status in (400, 403, 404, 422):
        hint = "Change the manifest by patch, or what the cluster allows"
        return CheckpointError(
            "pod_refused", f"The API server refuses the pod {name}", hint=hint, message=error.message
        )
    return error


@contextlib.contextmanager
def _well_shaped() -> t.Iterator[None]:
    """A manifest that somebody wrote may have anything anywhere."""
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(
            "manifest_invalid",
            "The manifest, the pod that it is made from, or the patch is not shaped as a pod",
            hint="Compare it with: kubectl explain pod.spec",
            message=repr(error),
        ) from error
