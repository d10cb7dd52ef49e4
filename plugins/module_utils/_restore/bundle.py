# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container that is about to be created: who it is, and what its pod grants it, from the bundle's config.json.

Sources: OCI runtime-spec 1.2 (config.md, config-linux.md); annotations as containerd 1.7 to 2.4
(pkg/cri/annotations) and CRI-O 1.36 (pkg/annotations) write them.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import typing as t

from .._common.errors import CheckpointError
from .ticket import Name

MAX_CONFIG = 16 << 20
MAX_LINKS = 40

KEYS = (
    (
        "io.kubernetes.cri.container-type",
        "io.kubernetes.cri.sandbox-namespace",
        "io.kubernetes.cri.sandbox-name",
        "io.kubernetes.cri.container-name",
    ),
    (
        "io.kubernetes.cri-o.ContainerType",
        "io.kubernetes.pod.namespace",
        "io.kubernetes.pod.name",
        "io.kubernetes.container.name",
    ),
)
"""The annotations of containerd and of CRI-O: type, namespace, pod, container."""

UID_KEYS = ("io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid")
"""The same, of the pod's UID."""


def resolve(root: str, path: str) -> str:
    """Where a path inside the container leads, as a path inside the container: its own links are followed, and none
    leads out of the root. What does not exist is taken as it stands."""
    done: list[str] = []
    parts = [part for part in path.split("/") if part][::-1]
    links = 0
    while parts:
        part = parts.pop()
        if part in (".", ".."):
            done = done[:-1] if part == ".." else done
            continue
        try:
            found = os.path.join(root, *done, part)
            link = os.readlink(found) if stat.S_ISLNK(os.lstat(found).st_mode) else None
        except (OSError, ValueError):
            link = None
        if link is None or links >= MAX_LINKS:
            done.append(part)
            continue
        links += 1
        done = [] if link.startswith("/") else done
        parts += [piece for piece in link.split("/") if piece][::-1]
    return "/" + "/".join(done)


class Mount(t.NamedTuple):
    """A mount of the pod: where it is in the container, links followed, and what the configuration says of it."""

    path: str
    type: str
    options: frozenset[str]
    source: str = ""

    @property
    def read_only(self) -> bool:
        return bool(self.options & {"ro", "rro"})


class Bundle:
    """A bundle. Raises CheckpointError bundle_unreadable."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self.config_path = os.path.join(self.path, "config.json")
        try:
            with open(self.config_path, "rb") as file:
                self.text = file.read(MAX_CONFIG)
            self.config: dict[str, t.Any] = json.loads(self.text)
            self.annotations: dict[str, str] = dict(self.config.get("annotations") or {})
            self.process: dict[str, t.Any] = self.config["process"]
            self.linux: dict[str, t.Any] = self.config.get("linux") or {}
            self.root = os.path.join(self.path, self.config["root"]["path"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                "bundle_unreadable", "The container's config.json cannot be read", message=f"{error!r}"
            ) from error

    @property
    def name(self) -> t.Optional[Name]:
        """Which container of which pod this is; None for a pod's sandbox, and outside of Kubernetes."""
        for kind, *keys in KEYS:
            names = [self.annotations.get(key) for key in keys]
            if self.annotations.get(kind) == "container" and all(names):
                return Name(*(str(name) for name in names))
        return None

    @property
    def pod_uid(self) -> str:
        """The UID of its pod, empty where the container runtime does not say it."""
        return next((str(self.annotations[key]) for key in UID_KEYS if self.annotations.get(key)), "")

    @property
    def image_id(self) -> t.Optional[str]:
        """The ID of the image, where the annotations have it: CRI-O's do."""
        found = self.annotations.get("io.kubernetes.cri-o.ImageRef", "")
        return f"sha256:{found}" if len(found) == 64 and "/" not in found else None

    @property
    def read_only_root(self) -> bool:
        return bool(self.config["root"].get("readonly"))

    @property
    def mounts(self) -> list[Mount]:
        return [
            Mount(
                resolve(self.root, mount["destination"]),
                mount.get("type") or "",
                frozenset(mount.get("options") or ()),
                mount.get("source") or "",
            )
            for mount in self.config.get("mounts") or ()
        ]

    @contextlib.contextmanager
    def with_mounts(self, added: t.Sequence[dict[str, t.Any]]) -> t.Iterator[None]:
        """Have more mounts in config.json for a while."""
        if not added:
            yield
            return
        mounts = [*(self.config.get("mounts") or ()), *added]
        self._write(json.dumps({**self.config, "mounts": mounts}).encode())
        try:
            yield
        finally:
            self._write(self.text)

    def _write(self, text: bytes) -> None:
        new = f"{self.config_path}.new"
        with open(new, "wb") as file:
            file.write(text)
        os.chmod(new, stat.S_IMODE(os.stat(self.config_path).st_mode))
        os.replace(new, self.config_path)

    def paths(self, which: str) -> list[str]:
        """maskedPaths or readonlyPaths, those that this machine has: a runtime passes over the others."""
        return [path for path in self.linux.get(which) or () if os.path.lexists(path)]
