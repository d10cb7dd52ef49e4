# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The differences of two checkpoints in words.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

SHOWN = 5

WORDS = {
    "files": ("open file", "open files"),
    "sockets": ("socket", "sockets"),
    "environment": ("variable", "variables"),
    "areas": ("memory area", "memory areas"),
}


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def _listed(names: list[str]) -> str:
    """The first few of many names."""
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _process(process: dict[str, t.Any]) -> str:
    return f"{process['name'] or '?'} (PID {process['pid']})"


def summary(result: dict[str, t.Any]) -> list[str]:
    """One sentence for each thing that is different; one alone where nothing is."""
    lines = [*_identity(result), *_processes(result["processes"]), *_tables(result)]
    return lines or ["Nothing is different"]


def _identity(result: dict[str, t.Any]) -> t.Iterator[str]:
    names = {"container_id", "pod", "node", "image", "image_digest", "namespace", "container", "criu_version", "kernel"}
    for change in result["identity"]:
        if change["name"] in names:
            what = change["name"].replace("_", " ")
            yield f"The {what} was {change['before'] or 'not known'} and is {change['after'] or 'not known'}"


def _processes(processes: dict[str, t.Any]) -> t.Iterator[str]:
    for what, words in (("added", ("is new", "are new")), ("removed", ("is gone", "are gone"))):
        found = processes[what]
        if found:
            number = _count(len(found), "process", "processes")
            yield f"{number} {words[len(found) > 1]}: {_listed([_process(process) for process in found])}"
    for process in processes["changed"]:
        told = [*_attributes(process), *_lists(process), *_pages(process["pages"])]
        if told:
            yield f"{_process(process)}: {'; '.join(told)}"


def _attributes(process: dict[str, t.Any]) -> t.Iterator[str]:
    if process["pid"] != process["pid_before"]:
        yield f"its PID was {process['pid_before']}"
    for change in process["attributes"]:
        if isinstance(change["after"], (str, int)) or isinstance(change["before"], (str, int)):
            yield f"{change['name'].replace('_', ' ')} was {change['before']} and is {change['after']}"
        else:
            yield f"{change['name'].replace('_', ' ')} changed"
    for what, word in (("added", "gained"), ("removed", "lost")):
        found = sorted({name for change in process["capabilities"] for name in change[what]})
        if found:
            yield f"{word} {_listed(found)}"


def _lists(process: dict[str, t.Any]) -> t.Iterator[str]:
    for key, (one, more) in WORDS.items():
        parts = [
            f"{len(process[key][what])} {word}"
            for what, word in (("added", "new"), ("removed", "gone"), ("changed", "changed"))
            if process[key][what]
        ]
        if parts:
            total = sum(len(process[key][what]) for what in ("added", "removed", "changed"))
            yield f"{one if total == 1 else more}: {', '.join(parts)}"


def _pages(pages: dict[str, t.Any]) -> t.Iterator[str]:
    if any(pages[what] for what in ("changed", "added", "gone")):
        total = pages["changed"] + pages["added"] + pages["same"]
        yield f"of {total} pages {pages['changed']} changed, {pages['added']} new, and {pages['gone']} gone besides"


def _tables(result: dict[str, t.Any]) -> t.Iterator[str]:
    names = (
        ("mounts", "mount", "mounts"),
        ("contents", "pipe, queue, shared memory or deleted file", "pipes, queues, shared memories or deleted files"),
        ("rootfs", "file in the root file system", "files in the root file system"),
    )
    for key, one, more in names:
        for what, words in (("added", "new"), ("removed", "gone"), ("changed", "changed")):
            found = result[key][what]
            if found:
                yield f"{_count(len(found), one, more)} {words}: {_listed([item['name'] for item in found])}"
    for what, words in (("added", "deleted since"), ("removed", "not deleted any more")):
        found = result["rootfs"]["deleted"][what]
        if found:
            yield f"{_count(len(found), 'file of the image', 'files of the image')} {words}: {_listed(found)}"
