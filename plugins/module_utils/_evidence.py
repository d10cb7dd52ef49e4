# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of one incident: archives, the pods' objects, and a manifest that says where each byte comes from.

Private to this collection. Standard library only. Layout::

    FOLDER/                       0700
      manifest.json               what happened, who did it, every archive and its digests; rewritten as a whole
      SHA256SUMS                  for "sha256sum -c"
      archives/NAME.tar           one per checkpoint
      pods/NAMESPACE_POD_STAMP.json   the object as it was before the checkpoint; may hold secrets

Nothing is ever removed, and apart from the manifest and the sums nothing is ever written twice.
"""

from __future__ import annotations

import collections
import hashlib
import json
import os
import pwd
import re
import socket
import time
import typing as t

from ._common.errors import CheckpointError
from ._common.moments import utc
from ._inside import in_words, look_inside
from ._transfer.files import blaming, refused, replace, write_new
from ._transfer.node import digest_of, open_file

SCHEMA = "checkpoint_restore.kubernetes/incident"
SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
ARCHIVES = "archives"
PODS = "pods"

Item = dict[str, t.Any]

_SAFE_INCIDENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_IDENTITY = ("node", "namespace", "pod", "container")
_FROM_CHECKPOINT = (
    "node",
    "node_address",
    "namespace",
    "pod",
    "pod_uid",
    "container",
    "container_id",
    "image",
    "image_id",
    "runtime",
    "runtime_version",
    "started",
    "duration",
)
_FROM_FAILURE = ("code", "reason", "hint", "message")
_NODE_INFO = {
    "kubelet_version": "kubeletVersion",
    "runtime_version": "containerRuntimeVersion",
    "kernel_version": "kernelVersion",
    "os_image": "osImage",
    "architecture": "architecture",
}
_NOWHERE = "container_not_found"


def stamp(seconds: float) -> str:
    """Seconds since 1970 as ``20261121T091800Z``: for names, so without a colon."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def incident_folder(destination: str, incident: str) -> str:
    """The folder of an incident. Raises :class:`CheckpointError` ``incident_name_unsafe``."""
    if not _SAFE_INCIDENT.fullmatch(incident):
        raise CheckpointError(
            "incident_name_unsafe",
            f"{incident!r} cannot be the name of an incident",
            hint="Use 1 to 100 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
        )
    return os.path.join(destination, incident)


class Incident:
    """What is known about one incident, and its folder."""

    def __init__(self, folder: str, manifest: Item) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def new(cls, folder: str) -> Incident:
        """An incident of which nothing is written yet."""
        empty: Item = {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "incident": os.path.basename(folder),
            "complete": False,
            "runs": [],
            "nodes": {},
            "pods": [],
            "archives": [],
        }
        return cls(folder, empty)

    @classmethod
    def find(cls, folder: str) -> Incident | None:
        """The incident in a folder; None if there is no folder, or nothing in it.

        Raises :class:`CheckpointError` ``destination_in_use`` if something else is in it, and ``destination_refused``.
        """
        try:
            with open(os.path.join(folder, MANIFEST), encoding="utf-8") as file:
                manifest = json.load(file)
        except FileNotFoundError:
            with blaming(folder):
                if not os.path.isdir(folder) or not os.listdir(folder):
                    return None
            raise _not_ours(folder, f"it has no {MANIFEST}") from None
        except ValueError as error:
            raise _not_ours(folder, f"its {MANIFEST} is not JSON: {error}") from error
        except OSError as error:
            raise refused(folder, error) from error
        if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
            raise _not_ours(folder, f"its {MANIFEST} is of another kind")
        if manifest.get("schema_version") != SCHEMA_VERSION:
            raise _not_ours(
                folder, f"its {MANIFEST} has version {manifest.get('schema_version')}, not {SCHEMA_VERSION}"
            )
        return cls(folder, manifest)

    @classmethod
    def existing(cls, folder: str) -> Incident:
        """The incident in a folder. Raises :class:`CheckpointError` ``incident_missing`` too if there is none."""
        found = cls.find(folder)
        if found is None:
            raise CheckpointError("incident_missing", f"There is no incident in {folder}", hint="Open it first")
        return found

    @property
    def run(self) -> Item:
        """The run that goes on: the last one."""
        return t.cast("Item", self.manifest["runs"][-1])

    @property
    def archives(self) -> list[Item]:
        return t.cast("list[Item]", self.manifest["archives"])

    @property
    def complete(self) -> bool:
        return bool(self.manifest["complete"])

    def begin_run(self, now: float, facts: Item, failures: t.Iterable[Item]) -> None:
        """Note who begins to collect with which ``facts``, and what is not there. Nothing is written."""
        user = os.environ.get("SUDO_USER")
        by = {"user": _user_name(), "host": socket.gethostname(), **({"sudo_user": user} if user else {})}
        self.manifest["runs"].append(
            {
                "began": utc(now, "microseconds"),
                "ended": None,
                "by": by,
                **facts,
                "failures": [_failure("select", failure, failure) for failure in failures],
            }
        )

    def lacks(self, target: Item) -> bool:
        """Whether there is no checkpoint, or none any more, of exactly this container: a restarted one is another."""
        return all(archive["lost"] or not _same_container(archive, target) for archive in self.archives)

    def keep_objects(self, now: float, pods: t.Iterable[Item], nodes: t.Mapping[str, Item]) -> None:
        """Write the pods' objects as the API server gave them, and note the nodes' versions."""
        for pod in pods:
            metadata = pod["metadata"]
            name = f"{PODS}/{metadata['namespace'][:63]}_{metadata['name'][:100]}_{stamp(now)}"
            path = _free(name, ".json", {kept["file"] for kept in self.manifest["pods"]})
            write_new(os.path.join(self.folder, path), _json(pod))
            entry = {"namespace": metadata["namespace"], "pod": metadata["name"], "pod_uid": metadata["uid"]}
            self.manifest["pods"].append({**entry, "file": path, "recorded": utc(now, "microseconds")})
        for name, node in nodes.items():
            info = node.get("status", {}).get("nodeInfo", {})
            self.manifest["nodes"][name] = {key: info.get(there) for key, there in _NODE_INFO.items()}

    def add_checkpoints(self, checkpoints: t.Iterable[Item], failures: t.Iterable[Item]) -> None:
        """Take over what kubelet_checkpoint returned: each archive on a node becomes one to be fetched."""
        known = {(archive["node"], archive["path_on_node"]) for archive in self.archives}
        for checkpoint in checkpoints:
            if not checkpoint["path"] or (checkpoint["node"], checkpoint["path"]) in known:
                continue
            versions = self.manifest["nodes"].get(checkpoint["node"], {})
            objects = [pod["file"] for pod in self.manifest["pods"] if pod["pod_uid"] == checkpoint["pod_uid"]]
            self.archives.append(
                {
                    **{key: checkpoint.get(key) for key in _FROM_CHECKPOINT},
                    "kubelet_version": versions.get("kubelet_version"),
                    "kernel_version": versions.get("kernel_version"),
                    "criu_version": None,
                    "pod_object": objects[-1] if objects else None,
                    "path_on_node": checkpoint["path"],
                    "file": self._free_file(checkpoint),
                    "size": None,
                    "sha256_on_node": None,
                    "sha256": None,
                    "verified": False,
                    "lost": False,
                    "written": None,
                    "fetched": None,
                    "node_clock_offset": None,
                    "node_clock_offset_error": None,
                }
            )
        # What is in no pod was already missed when the pods were read.
        told = {failure["container"] for failure in self.run["failures"] if failure["code"] == _NOWHERE}
        self.run["failures"] += [
            _failure("checkpoint", failure, failure)
            for failure in failures
            if failure["code"] != _NOWHERE or failure["container"] not in told
        ]

    def explain(self, failures: t.Iterable[Item]) -> None:
        """Take over what was found out on the nodes since about checkpoints that failed: see :mod:`._causes`."""
        told = {tuple(failure.get(key) for key in (*_IDENTITY, "code")): failure for failure in failures}
        for failure in self.run["failures"]:
            known = told.get(tuple(failure[key] for key in (*_IDENTITY, "code")))
            if failure["stage"] == "checkpoint" and known is not None:
                failure.update({key: known.get(key) for key in ("reason", "hint", "workload", "cause")})

    def awaited(self) -> list[Item]:
        """What has still to be fetched: ``node``, ``node_address`` and ``archives`` (``path``, ``name``) per node."""
        per_node: dict[str, list[Item]] = collections.defaultdict(list)
        for archive in self.archives:
            if not archive["verified"] and not self._superseded(archive):
                per_node[archive["node"]].append(archive)
        return [
            {
                "node": node,
                "node_address": archives[-1]["node_address"],
                "archives": [
                    {"path": archive["path_on_node"], "name": os.path.basename(archive["file"])} for archive in archives
                ],
            }
            for node, archives in sorted(per_node.items())
        ]

    def add_transfers(self, transfers: t.Iterable[Item]) -> None:
        """Take over what checkpoint_fetch returned, node by node."""
        by_name = {os.path.basename(archive["file"]): archive for archive in self.archives}
        for transfer in transfers:
            node = transfer.get("node") or {}
            for fetched in transfer.get("archives") or []:
                archive = by_name.get(os.path.basename(fetched["destination"]))
                if archive is None:
                    continue
                archive.update(
                    lost=False,
                    size=fetched["size"],
                    sha256_on_node=fetched["node_sha256"],
                    written=fetched["mtime"],
                    fetched=fetched["fetched"] or archive["fetched"],
                    kernel_version=node.get("kernel") or archive["kernel_version"],
                    criu_version=node.get("criu_version"),
                    node_clock_offset=node.get("clock_offset"),
                    node_clock_offset_error=node.get("clock_offset_error"),
                )
            for failure in transfer.get("failures") or []:
                archive = by_name.get(failure["name"])
                if archive is not None:
                    archive["lost"] = failure["code"] == "archive_missing"
                    self.run["failures"].append(_failure("transfer", archive, failure))

    def verify(self) -> None:
        """Hash every archive in the folder, compare with what its node computed, and look whose it is."""
        refused_by_inside = {}
        for archive in self.archives:
            archive["sha256"] = self._digest(archive["file"])
            archive["verified"] = archive["sha256"] is not None and archive["sha256"] == archive["sha256_on_node"]
            archive["inside"] = None
            if archive["verified"]:
                try:
                    pod = os.path.join(self.folder, archive["pod_object"]) if archive["pod_object"] else None
                    archive["inside"] = look_inside(os.path.join(self.folder, archive["file"]), archive, pod)
                except CheckpointError as error:
                    archive["verified"] = False
                    refused_by_inside[archive["file"]] = error
        settled = [_place(archive) for archive in self.archives if archive["verified"] or self._superseded(archive)]
        failures = [failure for failure in self.run["failures"] if _place(failure) not in settled]
        explained = [_place(failure) for failure in failures]
        unexplained = [archive for archive in self.archives if _place(archive) not in settled + explained]
        failures += [
            _failure("verify", archive, (refused_by_inside.get(archive["file"]) or _unproven(archive)).as_dict())
            for archive in unexplained
        ]
        self.run["failures"] = failures

    def end_run(self, now: float) -> None:
        """Note that the run is over, and whether everything that was wanted is here and proven."""
        self.run["ended"] = utc(now, "microseconds")
        self.manifest["complete"] = bool(self.archives) and not self.run["failures"]

    def save(self) -> None:
        """Write the manifest and the sums: each as a whole or not at all."""
        self.archives.sort(key=lambda archive: [archive[key] or "" for key in (*_IDENTITY, "started", "path_on_node")])
        self.run["failures"].sort(key=lambda failure: [failure[key] or "" for key in (*_IDENTITY, "stage", "code")])
        with blaming(self.folder):
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            for name in (ARCHIVES, PODS):
                os.makedirs(os.path.join(self.folder, name), mode=0o700, exist_ok=True)
        text = _json(self.manifest)
        replace(os.path.join(self.folder, MANIFEST), text)
        sums = {archive["file"]: archive["sha256"] for archive in self.archives if archive["verified"]}
        sums.update({pod["file"]: self._digest(pod["file"]) for pod in self.manifest["pods"]})
        sums[MANIFEST] = hashlib.sha256(text).hexdigest()
        lines = [f"{digest}  {name}\n" for name, digest in sorted(sums.items()) if digest]
        replace(os.path.join(self.folder, SUMS), "".join(lines).encode())

    def summary(self) -> list[str]:
        """What a person wants to know at the end, line by line."""
        verified = [archive for archive in self.archives if archive["verified"]]
        failures = self.run["failures"]
        wanted = len(verified) + len(failures)
        verdict = "complete" if self.complete else "INCOMPLETE"
        count = f"{len(verified)} of {wanted} archives collected and verified"
        lines = [f"Incident {self.manifest['incident']}: {verdict}, {count}", f"Folder: {self.folder}"]
        for archive in verified:
            lines.append(f"  {archive['file']}  {archive['size']} bytes  sha256 {archive['sha256']}")
            lines.append(f"    {in_words(archive['inside'])}")
        if failures:
            lines.append("NOT COLLECTED:")
            lines += [f"  {_who(failure)}: {failure['code']}: {_text(failure)}" for failure in failures]
        kept = [archive for archive in self.archives if not archive["lost"]]
        if kept:
            lines.append("Kept on the nodes as well:")
            lines += [f"  {archive['node']}:{archive['path_on_node']}" for archive in kept]
        if verified:
            lines.append(f"Check the folder at any time: cd {self.folder} && sha256sum -c {SUMS}")
            lines.append(
                "These files hold the memory of processes, passwords and keys included: keep them like secrets."
            )
        return lines

    def _superseded(self, archive: Item) -> bool:
        """Whether the archive vanished from its node unfetched, and a later one of the same container is here."""
        return archive["lost"] and any(other["verified"] and _same_container(archive, other) for other in self.archives)

    def _free_file(self, checkpoint: Item) -> str:
        """A name that says what the archive is, and that no other archive has."""
        lengths = {"node": 36, "namespace": 36, "pod": 60, "container": 36}
        parts = [re.sub(r"[^A-Za-z0-9.-]", "-", checkpoint[key] or "unknown")[:most] for key, most in lengths.items()]
        moment = re.sub(r"[^0-9TZ]", "", (checkpoint["started"] or "").split(".")[0]) or "undated"
        name = "_".join([*parts, moment.rstrip("Z") + "Z"])
        return _free(f"{ARCHIVES}/{name}", ".tar", {archive["file"] for archive in self.archives})

    def _digest(self, file: str) -> str | None:
        path = os.path.join(self.folder, file)
        try:
            with open_file(path) as stream:
                return digest_of(stream)[0]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise refused(path, error) from error


def _free(name: str, ending: str, taken: t.Collection[str]) -> str:
    """The name with its ending, or with a number in between if that is taken."""
    candidates = (f"{name}{number}{ending}" for number in ("", *(f"-{count}" for count in range(2, len(taken) + 2))))
    return next(candidate for candidate in candidates if candidate not in taken)


def _same_container(one: Item, other: Item) -> bool:
    return all(one[key] == other[key] for key in ("pod_uid", "container", "container_id"))


def _place(thing: Item) -> tuple[t.Any, t.Any]:
    """Where an archive lies, or the one that a failure is about; nowhere for other failures."""
    return thing["node"], thing.get("path_on_node")


def _unproven(archive: Item) -> CheckpointError:
    if archive["sha256"] is None or archive["sha256_on_node"] is None:
        return CheckpointError("not_fetched", "The archive is on the node but was not fetched", hint="Run it again")
    return CheckpointError(
        "archive_altered",
        f"{archive['file']} is not what the node had",
        hint="Move it away and run it again: it is fetched anew",
        message=f"SHA-256 on the node {archive['sha256_on_node']}, here {archive['sha256']}",
    )


def _failure(stage: str, who: t.Mapping[str, t.Any], what: t.Mapping[str, t.Any]) -> Item:
    entry: Item = {"stage": stage, **{key: who.get(key) for key in _IDENTITY}}
    if who.get("path_on_node"):
        entry["path_on_node"] = who["path_on_node"]
    return {**entry, **{key: what.get(key) or "" for key in _FROM_FAILURE}}


def _who(failure: Item) -> str:
    name = "/".join(failure[key] for key in ("namespace", "pod", "container") if failure[key])
    return f"{name or 'the selection'}{' on ' + failure['node'] if failure['node'] else ''}"


def _text(failure: Item) -> str:
    error = CheckpointError(**{key: failure[key] for key in _FROM_FAILURE})
    return " ".join(str(error).split())


def _json(thing: t.Any) -> bytes:
    return (json.dumps(thing, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _not_ours(folder: str, why: str) -> CheckpointError:
    return CheckpointError(
        "destination_in_use",
        f"{folder} is not the folder of an incident: {why}",
        hint="Choose another incident name or destination; nothing was written",
        path=folder,
    )
