# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of an OCI runtime, as container runtimes call it.

Sources: runc 1.1.15 and 1.3.6 (main.go, create.go, kill.go, delete.go), crun 1.21 (crun.1); containerd's shim 2.1.9
(go-runc) and conmon 2.1.13 as callers.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

FLAGS = frozenset(
    (
        "--all",
        "--debug",
        "--force",
        "--no-new-keyring",
        "--no-pivot",
        "--systemd-cgroup",
        "-a",
        "-f",
    )
)
"""Options without a value; crun's ``create -f FILE`` is not in use by any caller."""


class Command(t.NamedTuple):
    """A call: ``leading`` are the global options as given, ``options`` those of the command by their long names,
    ``arguments`` what is left, the container's ID first."""

    leading: list[str]
    name: str
    options: dict[str, str]
    arguments: list[str]

    @property
    def container(self) -> str:
        return self.arguments[0] if self.arguments else ""

    @property
    def log(self) -> t.Optional[str]:
        """The file that the caller reads errors from, if it named one."""
        return _split(self.leading)[0].get("--log")

    def globals_for_own_use(self) -> list[str]:
        """The global options but for the log: what is called in between must not write into the caller's."""
        kept: list[str] = []
        skip = False
        for option in self.leading:
            if skip:
                skip = False
            elif option in ("--log", "--log-format"):
                skip = True
            elif not option.startswith(("--log=", "--log-format=")):
                kept.append(option)
        return kept


SHORT = {"-b": "--bundle", "-f": "--force", "-a": "--all"}


def _split(words: t.Sequence[str]) -> tuple[dict[str, str], int]:
    """The options at the front, and how many words they take."""
    options: dict[str, str] = {}
    position = 0
    while position < len(words) and words[position].startswith("-") and words[position] != "-":
        word = words[position]
        position += 1
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if not equals and name not in FLAGS:
            value = words[position] if position < len(words) else ""
            position += 1
        options[SHORT.get(name, name)] = value
    return options, position


def parse(words: t.Sequence[str]) -> Command:
    """Take a command line apart. What cannot be understood gives a command with an empty name, to be passed on."""
    _leading, start = _split(words)
    if start >= len(words):
        return Command(list(words), "", {}, [])
    options, used = _split(words[start + 1 :])
    return Command(list(words[:start]), words[start], options, list(words[start + 1 + used :]))
