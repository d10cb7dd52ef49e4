# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be changed in which file, before anything is.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._common.errors import CheckpointError
from .._node.files import under
from .marks import without_marked

LARGEST = 4 << 20
"""Bytes. No configuration file is as long."""

OURS = "settings of this collection"
"""What is changed where lines of ours only go."""


@dataclasses.dataclass(frozen=True)
class FileChange:
    """One file. ``before`` or ``after`` is None where it does not exist."""

    path: str
    before: t.Optional[str]
    after: t.Optional[str]
    what: str

    @property
    def action(self) -> str:
        if self.before is None:
            return "create"
        return "remove" if self.after is None else "change"


@dataclasses.dataclass(frozen=True)
class Plan:
    """All of it for one component. ``restart`` are units of systemd; without changes none has to be restarted."""

    component: str
    changes: tuple[FileChange, ...] = ()
    restart: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def described(self) -> list[dict[str, str]]:
        """The changes as they are returned, sorted by path."""
        return [
            {"component": self.component, "path": change.path, "action": change.action, "what": change.what}
            for change in sorted(self.changes, key=lambda change: change.path)
        ]

    def diffs(self) -> list[dict[str, str]]:
        """The changes as Ansible shows them."""
        return [
            {
                "before_header": change.path,
                "after_header": change.path,
                "before": change.before or "",
                "after": change.after or "",
            }
            for change in sorted(self.changes, key=lambda change: change.path)
        ]


def read(root: str, path: str) -> t.Optional[str]:
    """A configuration file's text, byte for byte; None if there is none.

    Raises CheckpointError ``unreadable_configuration``.
    """
    try:
        with open(under(root, path), "rb") as file:
            content = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CheckpointError("unreadable_configuration", f"{path} cannot be read", message=str(error)) from error
    if len(content) > LARGEST:
        raise CheckpointError("unreadable_configuration", f"{path} is longer than {LARGEST >> 20} MiB")
    # Bytes that are no UTF-8 go through unharmed.
    return content.decode("utf-8", "surrogateescape")


def without_ours(text: t.Optional[str]) -> t.Optional[str]:
    """A file as it was before us; None if it was not there, or holds nothing but lines of ours."""
    if text is None:
        return None
    theirs = without_marked(text)
    return theirs if theirs or theirs == text else None


def change(path: str, before: t.Optional[str], after: t.Optional[str], what: str) -> tuple[FileChange, ...]:
    """The change as a tuple, empty if there is none."""
    if before == after:
        return ()
    return (FileChange(path, before, after, what),)


def conflict(path: str, line: str, wanted: str) -> CheckpointError:
    """A line that somebody else wrote and that contradicts what is asked for."""
    return CheckpointError(
        "conflicting_setting",
        f"{path} has the line '{line.strip()}', which contradicts {wanted}",
        hint="Change or remove that line, or ask for something else: lines of others are not touched",
    )
