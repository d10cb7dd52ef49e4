# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container that is restored and waits for its start: what a call about it needs, and no more.

Starting Python takes longer than all that such a call does, and clients wait for it. So little is imported here and in
runtime.py; attempt.py has the rest.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import typing as t

from .._common.errors import CheckpointError
from . import cgroups

CONTAINER_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,255}")


class Waiting:
    """The folder of one container, whose ID fits CONTAINER_ID.

    In it: ticket.json, which is ticket.used from the start on, about.json, and once the container is restored, waiting.
    """

    def __init__(self, container: str, base: str) -> None:
        self.container = container
        self.base = base
        self.folder = os.path.join(base, "restores", container)
        self._nameless = os.path.join(base, "restores", f".{container}")
        self.ticket_path = os.path.join(self.folder, "ticket.json")
        self._ticket_used = os.path.join(self.folder, "ticket.used")
        self._about = os.path.join(self.folder, "about.json")
        self._waiting = os.path.join(self.folder, "waiting")

    @property
    def exists(self) -> bool:
        return os.path.isdir(self.folder)

    @property
    def waits(self) -> bool:
        """Whether the container is restored and paused, until it is started."""
        return os.path.exists(self._waiting)

    @contextlib.contextmanager
    def starting(self) -> t.Iterator[None]:
        """While the container is let go on: the ticket is used up before, whoever is killed then, unless this fails."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.ticket_path, self._ticket_used)
        try:
            yield
        except CheckpointError:
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._ticket_used, self.ticket_path)
            raise
        self.forget()

    def forget(self) -> None:
        """Remove the folder. It loses its name first: of half a folder, nobody could tell what it stands for."""
        shutil.rmtree(self._nameless, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.folder, self._nameless)
        shutil.rmtree(self._nameless, ignore_errors=True)

    def kill(self) -> None:
        """End every process of a container that waits."""
        cgroups.kill(self._known().get("cgroups", ""))

    def _known(self) -> dict[str, t.Any]:
        try:
            with open(self._about, "rb") as file:
                return dict(json.load(file))
        except (OSError, ValueError, TypeError):
            return {}
