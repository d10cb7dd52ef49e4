# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles made from the spec.dump of real archives, and their images unpacked."""

from __future__ import annotations

import json
import lzma
import pathlib
import shutil
import typing as t

from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.images import Images
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.bundle import Bundle
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.unpack import Opened, unpack
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    FIXTURES,
    REAL,
)


class Case:
    """A real archive, its images in a folder, and a bundle with the configuration that the container had."""

    def __init__(self, name: str, folder: pathlib.Path) -> None:
        self.folder = folder / name
        self.images_folder = self.folder / "images"
        self.images_folder.mkdir(parents=True)
        (self.folder / "rootfs").mkdir()
        self.path = self.folder / "archive.tar"
        # Some fixtures are compressed; a file that is root's alone, as the runtime wants it.
        source = FIXTURES / REAL[name]
        if source.suffix == ".xz":
            with lzma.open(source) as packed, open(self.path, "wb") as file:
                shutil.copyfileobj(packed, file)
        else:
            shutil.copy(source, self.path)
        self.path.chmod(0o600)
        with open_archive(self.path) as archive:
            self.spec: dict[str, t.Any] = archive.documents.object("spec.dump")
        self.images: Images = self._unpack()

    def _unpack(self) -> Images:
        opened = Opened(str(self.path))
        try:
            return unpack(opened, opened.sha256(), str(self.images_folder))
        finally:
            opened.close()

    def bundle(self, **changed: t.Any) -> Bundle:
        """``changed``: keys of process, and ``root``, ``linux``, ``mounts``."""
        config = json.loads(json.dumps(self.spec))
        config["root"] = {"path": "rootfs", **changed.pop("root", {})}
        config["linux"].update(changed.pop("linux", {}))
        config["mounts"] = changed.pop("mounts", config["mounts"])
        config["process"].update(changed)
        (self.folder / "config.json").write_text(json.dumps(config))
        return Bundle(str(self.folder))
