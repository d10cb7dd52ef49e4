# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints made up process by process, for what no recorded one has: unpacked, in a folder."""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
import socket
import struct
import tarfile
import typing as t

from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._archive.archive import open_archive
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.checkpoint import Checkpoint
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._criu.names import CAPABILITIES
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.findings import Scene, collect
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.findings_rules import RULES
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._criu.support import (
    image,
    pagemap,
)

X86_64 = 1
ALIVE = 1
TEXT = 0x7000_0000_0000
PAGE = 4096
NODE = {"pid_ns_id": 1, "net_ns_id": 2, "ipc_ns_id": 3, "uts_ns_id": 4, "mnt_ns_id": 6}
OWN = {"pid_ns_id": 9, "net_ns_id": 10, "ipc_ns_id": 11, "uts_ns_id": 12, "mnt_ns_id": 13}

READ, WRITE, EXECUTE = 1, 2, 4
REGULAR, MEMFD = 1 << 6, 1 << 14 | 1 << 6
NO_CAPABILITIES = [0, 0]


def capability_words(*names: str) -> list[int]:
    bits = sum(1 << CAPABILITIES.index(name) for name in names)
    return [bits & 0xFFFFFFFF, bits >> 32]


def words(address: str) -> list[int]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    raw = socket.inet_pton(family, address)
    return list(struct.unpack(f"<{len(raw) // 4}I", raw))


@dataclasses.dataclass
class Made:
    """A process. ``files``: (descriptor, type, fields), as in files.img. ``areas``: fields of vma_entry."""

    pid: int
    ppid: int = 0
    session: int = 1
    name: str = "program"
    executable: str = "/bin/program"
    files: list[tuple[int, str, dict[str, t.Any]]] = dataclasses.field(default_factory=list)
    areas: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    environment: list[str] = dataclasses.field(default_factory=list)
    arguments: list[str] = dataclasses.field(default_factory=lambda: ["program"])
    uids: tuple[int, int, int, int] = (0, 0, 0, 0)
    capabilities: list[int] = dataclasses.field(default_factory=lambda: NO_CAPABILITIES)
    seccomp: int = 2
    profile: str = "cri-containerd.apparmor.d"
    namespaces: dict[str, int] = dataclasses.field(default_factory=lambda: dict(OWN))


KINDS = {"reg": 1, "isk": 4, "usk": 5, "tty": 11, "memfd": 18}


def tar_of(files: dict[str, tuple[bytes, int]]) -> bytes:
    """A tar of regular files with these contents and modes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (content, mode) in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class Folder:
    """Collects what goes into the images, and writes them."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.files: dict[tuple[int, int], dict[str, t.Any]] = {}
        self.images: dict[str, bytes] = {}
        self.next_id = 1

    def file(self, kind: str, fields: dict[str, t.Any]) -> int:
        """The ID of an open file; one that is given stands for a file that several share."""
        identifier = t.cast("int", fields.get("id", self.next_id))
        self.next_id = max(self.next_id, identifier) + 1
        number = KINDS[kind]
        self.files[number, identifier] = {"type": number, "id": identifier, kind: {**fields, "id": identifier}}
        return identifier

    def process(self, made: Made) -> dict[str, t.Any]:
        texts = [b"".join(text.encode() + b"\0" for text in part) for part in (made.arguments, made.environment)]
        executable = self.file("reg", {"name": made.executable, "flags": 0})
        ids = {"vm_id": made.pid, "files_id": made.pid, "fs_id": made.pid, **made.namespaces}
        uids = dict(zip(("uid", "euid", "suid", "fsuid"), made.uids))
        held = dict.fromkeys(("cap_prm", "cap_eff", "cap_bnd"), made.capabilities)
        creds = {**uids, "gid": 0, "egid": 0, "sgid": 0, "fsgid": 0, **held, "lsm_profile": made.profile}
        thread = {"creds": creds, "seccomp_mode": made.seccomp, "comm": made.name}
        task = {"task_state": ALIVE, "comm": made.name}
        core = {"mtype": X86_64, "tc": task, "ids": ids, "thread_core": thread}
        self.images[f"core-{made.pid}.img"] = image("core", core)
        stack = {"start": TEXT, "end": TEXT + PAGE, "prot": READ | WRITE, "flags": 2, "status": 1}
        ends = [TEXT + len(texts[0]), TEXT + len(texts[0]) + len(texts[1])]
        self.images[f"mm-{made.pid}.img"] = image(
            "mm",
            {
                "mm_arg_start": TEXT,
                "mm_arg_end": ends[0],
                "mm_env_start": ends[0],
                "mm_env_end": ends[1],
                "exe_file_id": executable,
                "vmas": [stack, *made.areas],
            },
        )
        self.images[f"pagemap-{made.pid}.img"] = pagemap(made.pid, {"vaddr": TEXT, "nr_pages": 1, "flags": 4})
        self.images[f"pages-{made.pid}.img"] = b"".join(texts).ljust(PAGE, b"\0")
        descriptors = [
            {"fd": number, "id": self.file(kind, fields), "type": KINDS[kind], "flags": 0}
            for number, kind, fields in made.files
        ]
        self.images[f"fdinfo-{made.pid}.img"] = image("fdinfo", *descriptors)
        cwd = self.file("reg", {"name": "/", "flags": 0})
        self.images[f"fs-{made.pid}.img"] = image("fs", {"cwd_id": cwd, "root_id": cwd, "umask": 18})
        return {"pid": made.pid, "ppid": made.ppid, "pgid": made.pid, "sid": made.session, "threads": [made.pid]}

    def write(self) -> None:
        (self.path / "checkpoint").mkdir(parents=True)
        self.images["files.img"] = image("files", *self.files.values())
        for name, data in self.images.items():
            (self.path / "checkpoint" / name).write_bytes(data)


def checkpoint_folder(
    path: pathlib.Path,
    *processes: Made,
    spec: t.Optional[dict[str, t.Any]] = None,
    mounts: t.Sequence[dict[str, t.Any]] = (),
    ghosts: t.Sequence[int] = (),
    memfds: t.Sequence[dict[str, t.Any]] = (),
    rootfs: t.Optional[bytes] = None,
    lsm: int = 2,
    documents: t.Optional[dict[str, t.Any]] = None,
) -> pathlib.Path:
    """A folder with an unpacked checkpoint of these processes; ``ghosts``: IDs of files that have no name any more."""
    folder = Folder(path)
    inventory = {"img_version": 2, "fdinfo_per_id": True, "root_ids": NODE, "lsmtype": lsm}
    folder.images["inventory.img"] = image("inventory", inventory)
    folder.images["pstree.img"] = image("pstree", *[folder.process(made) for made in processes])
    folder.images["mountpoints-13.img"] = image("mountpoints", *mounts)
    remaps = [{"orig_id": identifier, "remap_id": identifier, "remap_type": 1} for identifier in ghosts]
    folder.images["remap-fpath.img"] = image("remap-fpath", *remaps)
    for identifier in ghosts:
        ghost = {"uid": 0, "gid": 0, "mode": 0o100600}
        folder.images[f"ghost-file-{identifier:x}.img"] = image("ghost-file", ghost, b"gone")
    folder.images["memfd.img"] = image("memfd", *memfds)
    folder.write()
    for name, document in {"spec.dump": spec or {}, "config.dump": {}, **(documents or {})}.items():
        (path / name).write_text(json.dumps(document))
    if rootfs is not None:
        (path / "rootfs-diff.tar").write_bytes(rootfs)
    return path


def findings_of(
    path: pathlib.Path,
    *processes: Made,
    declared_ports: t.Optional[list[str]] = None,
    cluster_networks: t.Optional[list[str]] = None,
    **options: t.Any,
) -> dict[str, list[dict[str, t.Any]]]:
    """The findings about a made-up checkpoint by ID, each with its evidence and severity."""
    with open_archive(checkpoint_folder(path / "made", *processes, **options)) as archive:
        scene = Scene(Checkpoint(archive), declared_ports, cluster_networks)
        found: dict[str, list[dict[str, t.Any]]] = {}
        for one in collect(scene, RULES):
            pieces = [{**piece, "severity": one["severity"]} for piece in one["evidence"]]
            found.setdefault(one["id"], []).extend(pieces)
        assert archive.notes.codes() <= {"image_missing"}, archive.notes.as_list()
        return found
