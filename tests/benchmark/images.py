# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of a checkpoint: the module's core against buildah, as whole processes.

Takes a checkpoint of `hog` with 1 GiB of random memory on the laboratory, copies it here, and pushes it in both ways:
buildah as checkpointctl uses it (from scratch, add, config, commit) and push, and ours. The registry is a process of
the laboratory's docker-registry, with TLS, for every row of the table anew, and gone afterwards. Every round pushes to
a new repository, so that nothing is there. Prints a table of medians; memory is the highest anonymous memory of a
process. Needs the laboratory (`make lab`), room for ten times the archive, and buildah, which it installs on a
Debian; `make bench` runs it. With the path of an archive as argument it measures that, and takes none.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))

import archives
from labkit import parts
from labkit.pki import Pki

ROUNDS = 3
MIB = 1024
NODE = "ctd-b"
MEMORY = "/var/lib/containers/cache"
PORT = 5443

OURS = """
import json, sys
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.connection import Connection
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.make import Wish, make_image
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.reference import parse_name
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.registry import Repository
path, name, compression, ca = sys.argv[1:]
with Repository(Connection(parse_name(name), None, ca)) as place:
    made = make_image(Wish(path, parse_name(name), compression), place)
json.dump([made["changed"], made["bytes_sent"]], sys.stdout)
"""


class Registry:
    """docker-registry on the loopback, its storage and its CA in a folder beside the archive."""

    def __init__(self, beside: str) -> None:
        self._folder = tempfile.TemporaryDirectory(dir=os.path.dirname(beside))
        self.address = f"127.0.0.1:{PORT}"

    def __enter__(self) -> Registry:
        folder = pathlib.Path(self._folder.name)
        pki = Pki(folder / "pki")
        pki.create(())
        self.ca = str(pki.path("ca.crt"))
        tls = {"certificate": str(pki.path("apiserver.crt")), "key": str(pki.path("apiserver.key"))}
        configuration = {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
            "http": {"addr": self.address, "tls": tls},
        }
        (folder / "registry.json").write_text(json.dumps(configuration))
        program = parts.ensure(lambda text: print(text, file=sys.stderr)).infra / "docker-registry"
        # It logs as an error whatever is not there when it is asked for.
        command = [program, "serve", str(folder / "registry.json")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", PORT), timeout=1):
                return self
            assert self._process.poll() is None, "the registry ended at once"
            time.sleep(0.05)

    def __exit__(self, *_exception: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def repository(self) -> str:
        return f"{self.address}/bench/{uuid.uuid4().hex}"


def need_buildah() -> None:
    if shutil.which("buildah") is None:
        subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", "buildah"], check=True)


def ours(archive: str, registry: Registry, name: str, compression: str = "none") -> list[list[str]]:
    return [[sys.executable, "-c", OURS, archive, name, compression, registry.ca]]


def buildah(archive: str, registry: Registry, storage: str) -> list[list[str]]:
    """What checkpointctl build runs (internal/oci_image_build.go, v1.5.0), and a push."""
    certificates = os.path.join(storage, "certificates")
    os.makedirs(certificates, exist_ok=True)
    shutil.copy(registry.ca, os.path.join(certificates, "ca.crt"))
    name = f"{registry.repository()}:1"
    # It remembers which repository has which layer, also of the rounds before: there is nothing to remember here.
    forget = 'mount -t tmpfs none "$0" && exec "$@"'
    os.makedirs(MEMORY, exist_ok=True)
    here = ["unshare", "--mount", "sh", "-c", forget, MEMORY]
    here += ["buildah", "--root", os.path.join(storage, "root"), "--runroot", os.path.join(storage, "run")]
    annotation = "--annotation=org.criu.checkpoint.container.name=app"
    return [
        [*here, "from", "--name", "checkpoint", "scratch"],
        [*here, "add", "checkpoint", archive],
        [*here, "config", annotation, "checkpoint"],
        [*here, "commit", "checkpoint", name],
        [*here, "push", "--cert-dir", certificates, name],
    ]


class Total(t.NamedTuple):
    """``walls``: of each command in seconds. ``memory``: the highest of them in MB."""

    walls: list[float]
    memory: float

    @property
    def wall(self) -> float:
        return sum(self.walls)


def run(commands: list[list[str]]) -> Total:
    # What the one before has left to be written to the disk is not this one's work.
    os.sync()
    found = [archives.once(command) for command in commands]
    return Total([wall for wall, _memory in found], max(memory for _wall, memory in found))


def rounds(commands: t.Callable[[], list[list[str]]]) -> Total:
    """The round with the median of the time."""
    found = sorted((run(commands()) for _round in range(ROUNDS)), key=lambda total: total.wall)
    return found[len(found) // 2]._replace(memory=max(total.memory for total in found))


def peers(archive: str) -> Total:
    def commands() -> list[list[str]]:
        storage.cleanup()
        os.makedirs(storage.name)
        return buildah(archive, registry, storage.name)

    storage = tempfile.TemporaryDirectory(dir=os.path.dirname(archive))
    try:
        with Registry(archive) as registry:
            return rounds(commands)
    finally:
        storage.cleanup()


def pushes(archive: str, compression: str = "none") -> Total:
    """To a new repository each time."""
    with Registry(archive) as registry:
        return rounds(lambda: ours(archive, registry, f"{registry.repository()}:1", compression))


def row(what: str, total: Total, peer: t.Optional[Total], goal: str = "") -> None:
    parts = " + ".join(f"{wall:.2f}" for wall in total.walls) if len(total.walls) > 1 else ""
    ratio = f"{total.wall / peer.wall:.2f}" if peer is not None else ""
    print(f"| {what} | {total.wall:.2f} | {parts} | {total.memory:.0f} | {ratio} | {goal} |", flush=True)


def compare(archive: str) -> None:
    need_buildah()
    run([["cat", archive]])
    print(f"{os.path.getsize(archive) >> 20} MiB, {ROUNDS} rounds, wall times in seconds, memory in MB.\n")
    print("| what | s | of that | MB | ratio | goal |")
    print("|---|---|---|---|---|---|")
    peer = peers(archive)
    row("buildah from + add + config + commit + push", peer, None)
    row("checkpoint_image", pushes(archive), peer, "0.2")
    with Registry(archive) as registry:
        fixed = registry.repository()
        run(ours(archive, registry, f"{fixed}:1"))
        row("the same once more: no change", rounds(lambda: ours(archive, registry, f"{fixed}:1")), peer)
        tags = iter(range(2, 100))
        again = rounds(lambda: ours(archive, registry, f"{fixed}:{next(tags)}"))
        row("another tag: the layer is there", again, peer)
    row("compression zstd", pushes(archive, "zstd"), peer)


def task(archive: str, folder: pathlib.Path) -> None:
    """The module as Ansible runs it, here on the controller."""
    from support import Controller

    controller = Controller(folder)
    walls = []
    with Registry(archive) as registry:
        for _round in range(ROUNDS):
            name = f"{registry.repository()}:1"
            began = time.monotonic()
            result = controller.task("checkpoint_image", path=archive, name=name, ca_cert=registry.ca)
            walls.append(time.monotonic() - began)
            assert not result.get("failed"), result
    print(f"\nAs an Ansible task, with all of ansible-playbook: {statistics.median(walls):.2f} s.")


def take(folder: pathlib.Path) -> str:
    from support import LAB, Cluster, Controller, lab

    lab("run", "ansible-playbook", "--limit", NODE, str(LAB / "prepare.yml"))
    with Cluster("bench-images") as cluster:
        cluster.hog("hog", NODE, MIB)
        taken = Controller(folder).task("kubelet_checkpoint", namespace=cluster.namespace, progress=False)
        path = taken["checkpoints"][0]["path"]
    archive = folder / "hog.tar"
    with archive.open("wb") as file:
        subprocess.run([LAB / "lab", "exec", NODE, "cat", path], stdout=file, check=True)
    lab("exec", NODE, "rm", path)
    return str(archive)


def main() -> None:
    try:
        with tempfile.TemporaryDirectory() as directory:
            archive = sys.argv[1] if len(sys.argv) == 2 else take(pathlib.Path(directory))
            compare(archive)
            task(archive, pathlib.Path(directory))
    finally:
        shutil.rmtree(archives.environment()["PYTHONPYCACHEPREFIX"], ignore_errors=True)


if __name__ == "__main__":
    main()
