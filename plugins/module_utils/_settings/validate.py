# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A changed configuration, tried by the component itself before anything is changed.

The changed files are written to a folder of their own, and the component's program reads them from there:

- CRI-O: ``crio config`` decodes and checks them, without the checks that need a running CRI-O.
- containerd: ``containerd config dump`` decodes them, plugins included; keys that it does not know pass.
- kubelet: it is started with its own options and ``--exit-on-lock-contention`` without a lock file, and ends with a
  complaint about that, which it makes after it has decoded and validated its configuration and before it touches
  anything (kubernetes cmd/kubelet/app/server.go, run, v1.36.2).
- CRIU: ``criu check --config`` knows the options' names, and not their values.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import typing as t

from .._common.errors import CheckpointError
from .._node.files import under
from .._node.processes import option
from .._node.programs import Completed, run, which
from .._node.toml import document
from . import containerd, crio, kubelet_form
from .changes import LARGEST, Plan, read
from .last_words import last_words
from .running import environment, executable

SECONDS = 20
KUBELET_SAID = "cannot exit on lock file contention: no lock file specified"


def validate(plan: Plan) -> t.Optional[str]:
    """The name of the program that has accepted the changed configuration; None if there is none that could be asked.

    Raises CheckpointError ``configuration_refused``.
    """
    if not plan.changes:
        return None
    tryout = {"crio": _crio, "containerd": _containerd, "kubelet": _kubelet, "criu": _criu}[plan.component]
    folder = tempfile.mkdtemp(prefix="checkpoint-restore-")
    try:
        return tryout(_Stage(folder, plan))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Stage:
    """Copies of configuration files, changed as planned."""

    def __init__(self, folder: str, plan: Plan) -> None:
        self.folder = folder
        self.after = {change.path: change.after for change in plan.changes}

    def text(self, path: str) -> t.Optional[str]:
        return self.after[path] if path in self.after else read("/", path)

    def put(self, path: str, text: t.Optional[str] = None) -> str:
        """The copy of a file, or a copy with this text; its path does not exist where there is no such file."""
        copy = under(self.folder, path)
        content = self.text(path) if text is None else text
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        if content is not None:
            with open(copy, "wb") as file:
                file.write(content.encode("utf-8", "surrogateescape"))
        return copy

    def put_folder(self, path: str) -> str:
        """The copy of a directory with all that is in it."""
        copy = under(self.folder, path)
        os.makedirs(copy, exist_ok=True)
        inside = [name for name in self.after if os.path.dirname(name) == path]
        for folder, _folders, names in os.walk(path):
            inside += [os.path.join(folder, name) for name in names]
        for name in set(inside):
            if self.text(name) is not None and len(self.text(name) or "") <= LARGEST:
                self.put(name)
        return copy


def _accept(done: Completed, program: str, accepted: bool) -> str:
    if accepted:
        return program
    raise CheckpointError(
        "configuration_refused",
        f"{program} refuses the new configuration, so nothing was changed",
        hint="Correct the settings that were asked for",
        message=last_words(f"{done.stderr}\n{done.stdout}") or f"it ended with {done.returncode}",
    )


def _crio(stage: _Stage) -> t.Optional[str]:
    program = executable("/", "crio") or which("crio")
    if program is None:
        return None
    where = crio.sources("/")
    folder = stage.put_folder(where.folder)
    file = stage.put(where.file)
    argv = [program, "--config-dir", folder]
    if os.path.exists(file):
        argv += ["--config", file]
    done = run([*argv, "config"], SECONDS)
    return _accept(done, "crio", done.ok)


def _containerd(stage: _Stage) -> t.Optional[str]:
    path = containerd.main_file("/")
    program = executable("/", "containerd") or which("containerd")
    if program is None or path in containerd.GENERATED:
        return None
    text = stage.text(path) or ""
    patterns, _found = containerd.imports("/", path, document(text))
    for pattern in patterns:
        folder = os.path.dirname(pattern)
        copy = stage.put_folder(folder)
        text = text.replace(f'"{folder}/', f'"{copy}/').replace(f"'{folder}/", f"'{copy}/")
    done = run([program, "--config", stage.put(path, text), "config", "dump"], SECONDS)
    return _accept(done, "containerd", done.ok)


def _kubelet(stage: _Stage) -> t.Optional[str]:
    form = kubelet_form.find("/")
    if form.kind not in ("drop_in", "file", "flags") or form.units != ("kubelet",):
        return None
    program = executable("/", "kubelet")
    if program is None:
        return None
    argv = list(form.argv[1:])
    file, folder = option(argv, "--config"), option(argv, "--config-dir")
    # The last of several options of the same name counts.
    argv += [f"--config={stage.put(file)}"] if file else []
    argv += [f"--config-dir={stage.put_folder(folder)}"] if folder else []
    if form.kind == "flags":
        argv += re.findall(r"--[^\s\"]+", (stage.text(form.path) or "").partition("=")[2])
    given = environment("/", "kubelet")
    # Nothing that is meant for the kubelet which systemd watches.
    kept = [f"{name}={value}" for name, value in given.items() if not re.match("NOTIFY_|WATCHDOG_|LISTEN_", name)]
    argv = ["/usr/bin/env", "-i", *kept, program, *argv, "--exit-on-lock-contention", "--lock-file="]
    done = run(argv, SECONDS)
    said = done.stderr + done.stdout
    if "unknown flag: --exit-on-lock-contention" in said:
        return None
    return _accept(done, "kubelet", KUBELET_SAID in said)


def _criu(stage: _Stage) -> t.Optional[str]:
    program = which("criu")
    if program is None:
        return None
    for path, text in sorted(stage.after.items()):
        if text is not None:
            done = run([program, "check", "--config", stage.put(path)], SECONDS)
            # Only a complaint about options starts like that; a kernel that CRIU dislikes is not the file's fault.
            _accept(done, "criu", done.ok or not re.search(r"^criu: ", done.stderr + done.stdout, re.MULTILINE))
    return "criu"
