# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image of Debian with programs as people run them: Python, redis, nginx.

Made by mmdebstrap once, kept in the laboratory's cache, and pushed to its registry.
"""

from __future__ import annotations

import pathlib
import tempfile

from labkit import debian, images, topology
from labkit.cache import Cache, Recipe
from labkit.run import Say, run

PACKAGES = ("nginx-light", "python3", "redis-server")
REPOSITORY = "debian"
LAYER = "layer.tar"
# Devices are the container runtime's to make; lists and caches are of no use to anybody.
LEFT_OUT = ("./dev/*", "./proc/*", "./sys/*", "./tmp/*", "./var/cache/*", "./var/lib/apt/*", "./var/log/apt/*")


def recipe() -> Recipe:
    """The root file system of the image, as one tar."""

    def build(tree: pathlib.Path, _say: Say) -> dict[str, str]:
        with tempfile.TemporaryDirectory(dir=tree.parent) as room:
            root = pathlib.Path(room, "root")
            options = ["--quiet", "--mode=root", "--variant=minbase", "--format=directory", *debian._proxies()]
            options += [f"--dpkgopt=path-exclude={path}" for path in debian.ROOT_EXCLUDED]
            options += [f"--dpkgopt=path-include={path}" for path in debian.ROOT_KEPT]
            options += [f"--include={','.join(PACKAGES)}"]
            run(["mmdebstrap", *options, debian.SUITE, str(root), debian.source(debian.SUITE)])
            packing = ["tar", "--create", f"--file={tree / LAYER}", f"--directory={root}", "--sort=name"]
            excluded = [f"--exclude={pattern}" for pattern in LEFT_OUT]
            run([*packing, "--numeric-owner", "--anchored", *excluded, "."])
            return debian._installed_versions(root, PACKAGES)

    inputs = {"suite": debian.SUITE, "packages": PACKAGES, "excluded": [debian.ROOT_EXCLUDED, debian.ROOT_KEPT]}
    inputs["left out"] = LEFT_OUT
    return Recipe("debian-image", f"image of Debian {debian.SUITE} by mmdebstrap", inputs, build, megabytes=500)


def push(ca_file: pathlib.Path) -> str:
    """Make the image unless it is there; its reference in the laboratory's registry."""
    cache, part = Cache(), recipe()
    if not cache.has(part):
        cache.require_room([part])
        cache.build(part, print)
    cache.touch(part)
    layer = (cache.tree(part) / LAYER).read_bytes()
    machine = images.platform.machine()
    config = images._json(
        {
            "architecture": images.ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": {"Env": [f"PATH={images.PATH}"]},
            "rootfs": {"type": "layers", "diff_ids": [images._digest(layer)]},
        }
    )
    manifest = images._json(
        {
            "schemaVersion": 2,
            "mediaType": images.MANIFEST,
            "config": images._descriptor(images.CONFIG, config),
            "layers": [images._descriptor(images.LAYER, layer)],
        }
    )
    registry = f"{topology.REGISTRY_HOST}:{topology.REGISTRY_PORT}"
    # The tag says what is in it: nodes keep an image that they have by its tag.
    tag = part.digest
    with images._Registry(registry, ca_file, topology.CONTROL_PLANE, None) as connection:
        connection.put_blob(REPOSITORY, layer)
        connection.put_blob(REPOSITORY, config)
        connection.put_manifest(REPOSITORY, tag, manifest)
    return f"{registry}/{REPOSITORY}:{tag}"
