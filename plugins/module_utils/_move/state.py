# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller keeps of one move: how far it came, and what of it is in the cluster.

One file per move, NUMBER.json, mode 0600: a StatefulSet in it may have secrets in its environment. Whatever changes the
cluster is written down before it is done, with what undoes it; so a run that was killed at any moment can be taken up,
or undone, by another one that finds the file. A lock beside it keeps two runs of one controller apart.

    {"format": 1, "number": "…", "outcome": null | "moved" | "copied" | "undone",
     "facts": {…}, "steps": [{"name": …, "at": seconds since 1970, …}], "owed": [see Debt]}

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import time
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._common.files import written
from .._kube.api import ApiSession, Thing
from .._kube.failures import KubeError, failure
from .._kube.ledger import default_directory
from .objects import MOVE

FORMAT = 1
FILE = re.compile(r"([0-9]{12})\.json")
LOCK = re.compile(r"([0-9]{12})\.lock")
LARGEST = 16 << 20
KEPT_SECONDS = 7 * 24 * 3600.0
"""For how long people can read what became of a move that has ended."""

# For an object that is being deleted to be gone, before one of its name is made.
GONE_SECONDS = 30.0
INTERVAL = 0.1
# What an object answers to a change that no longer fits it: another uid, another value, gone.
NO_LONGER = (404, 409, 410, 422)


@dataclasses.dataclass(frozen=True)
class Debt:
    """Something in the cluster that has to be put back.

    ``action``: "delete" the object at ``path`` if it has the move's number as label or annotation, with ``body`` as
    DeleteOptions; "create" ``body`` in the collection ``path`` unless it is there; "patch" the object at ``path`` with
    ``body`` (see ApiSession.patch) if it still fits. ``always``: also after a move that came off; otherwise only when
    it is undone.
    """

    name: str
    action: str
    path: str
    body: t.Any = None
    always: bool = True


def directory() -> str:
    """Where the states of this user's moves lie."""
    return os.path.join(default_directory(), "moves")


def unfinished(folder: str) -> list[str]:
    """The numbers of the moves whose file has no outcome, the oldest first. Files of those that ended long ago go."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            match = FILE.fullmatch(name)
            if not match:
                _remove_lost(folder, name)
                continue
            content = _read(os.path.join(folder, name))
            if content["outcome"] is None:
                found.append((content["steps"][0]["at"] if content["steps"] else 0.0, match.group(1)))
            elif not content["steps"] or _is_old(content["steps"][-1]["at"]):
                _remove(folder, match.group(1))
    return [number for _at, number in sorted(found)]


def _is_old(at: float) -> bool:
    return at < time.time() - KEPT_SECONDS


def _remove_lost(folder: str, name: str) -> None:
    """Remove a lock of a move that has no file any more: who removed that was killed in between."""
    match = LOCK.fullmatch(name)
    if match is None or os.path.exists(os.path.join(folder, f"{match.group(1)}.json")):
        return
    with contextlib.suppress(FileNotFoundError):
        if _is_old(os.stat(os.path.join(folder, name)).st_mtime):
            _remove(folder, match.group(1))


def _remove(folder: str, number: str) -> None:
    """Remove both files of a move that has ended, unless somebody has it in hand."""
    path = os.path.join(folder, f"{number}.lock")
    try:
        lock = _locked(path)
    except (CheckpointError, OSError):
        return
    try:
        for each in (os.path.join(folder, f"{number}.json"), path):
            with contextlib.suppress(OSError):
                os.unlink(each)
    finally:
        os.close(lock)


class State:
    """The state file of one move, which this process alone holds. Make it by :meth:`begin` or :meth:`load`."""

    def __init__(self, folder: str, number: str, content: Thing) -> None:
        self.number = number
        self.path = os.path.join(folder, f"{number}.json")
        self._content = content
        self._lock = _locked(os.path.join(folder, f"{number}.lock"))

    @classmethod
    def begin(cls, folder: str, number: str, facts: Thing) -> State:
        """A new state; ``facts``: what a second run has to know, as JSON. Raises CheckpointError ``state_unusable``."""
        with _usable(folder):
            os.makedirs(folder, mode=0o700, exist_ok=True)
            content = {"format": FORMAT, "number": number, "outcome": None, "facts": facts, "steps": [], "owed": []}
            made = cls(folder, number, content)
        made.step("planned")
        return made

    @classmethod
    def load(cls, folder: str, number: str) -> State:
        """The state of a move that was begun. Raises CheckpointError ``state_unusable`` and ``state_in_use``."""
        path = os.path.join(folder, f"{number}.json")
        with _usable(path):
            # The lock first: what is read before may have changed by then.
            made = cls(folder, number, {})
            try:
                made._content = _read(path)
            except BaseException:
                made.close()
                raise
        return made

    def close(self) -> None:
        """Let another process have it. The file stays."""
        os.close(self._lock)

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def facts(self) -> Thing:
        """What :meth:`begin` was given."""
        return dict(self._content["facts"])

    def replan(self, facts: Thing) -> None:
        """Put other facts in the place of those that :meth:`begin` was given."""
        self._content["facts"] = facts
        self._write()

    @property
    def steps(self) -> list[Thing]:
        """The steps so far, each with ``name`` and ``at``."""
        return list(self._content["steps"])

    @property
    def outcome(self) -> str | None:
        """``moved``, ``copied`` or ``undone``; ``None`` for a move that has not ended."""
        outcome = self._content["outcome"]
        return None if outcome is None else str(outcome)

    @property
    def owed(self) -> list[Debt]:
        """What has to be put back, in the order in which it came to be."""
        return [Debt(**each) for each in self._content["owed"]]

    def reached(self, name: str) -> bool:
        """Whether the step was taken."""
        return any(step["name"] == name for step in self._content["steps"])

    def step(self, name: str, **details: t.Any) -> None:
        """Write down that a step was taken, with JSON-clean details."""
        self._content["steps"].append({"name": name, "at": time.time(), **details})
        self._write()

    def end(self, outcome: str) -> None:
        """Write down how it ended: ``moved``, ``copied`` or ``undone``. The facts, which may hold secrets, go."""
        self._content.update(outcome=outcome, facts={})
        self.step(outcome)

    def owe(self, debt: Debt) -> None:
        """Write down what undoes a change, before the change is made. One of that name is replaced in its place."""
        owed = self._content["owed"]
        known = [each["name"] for each in owed]
        place = known.index(debt.name) if debt.name in known else len(owed)
        owed[place : place + 1] = [dataclasses.asdict(debt)]
        self._write()

    def forget(self, name: str) -> None:
        """Strike out a debt that is paid, or that nobody wants paid any more."""
        self._content["owed"] = [each for each in self._content["owed"] if each["name"] != name]
        self._write()

    def pay(self, session: ApiSession, name: str) -> None:
        """Pay one debt now; nothing where there is none of that name."""
        for debt in self.owed:
            if debt.name == name:
                _pay(session, debt, self.number)
                self.forget(name)

    def settle(self, session: ApiSession, *, undo: bool) -> None:
        """Put everything back, the last first; without ``undo`` only what a move that came off leaves.

        Goes on after a failure. Raises CheckpointError ``cleanup_incomplete``, with ``left`` in its details; may be
        repeated then.
        """
        problems: list[KubeError] = []
        for debt in reversed(self.owed):
            if undo or debt.always:
                try:
                    _pay(session, debt, self.number)
                except KubeError as error:
                    problems.append(error)
                    continue
            self.forget(debt.name)
        if problems:
            raise CheckpointError(
                "cleanup_incomplete",
                f"Not everything of the move {self.number} could be put back: {problems[0].reason}",
                hint="Run it again when that is mended; the rest is written down in the state file",
                message=problems[0].message,
                left=[debt.path for debt in self.owed],
                state_file=self.path,
            )

    def _write(self) -> None:
        with _usable(self.path), written(self.path) as file:
            file.write((json.dumps(self._content, indent=1) + "\n").encode())


def _pay(session: ApiSession, debt: Debt, number: str) -> None:
    try:
        if debt.action == "delete":
            _delete(session, debt, number)
        elif debt.action == "create":
            _create(session, debt)
        else:
            session.patch(debt.path, debt.body)
    except KubeError as error:
        if debt.action == "create" or error.details.get("http_status") not in NO_LONGER:
            raise


def _delete(session: ApiSession, debt: Debt, number: str) -> None:
    metadata = (session.get(debt.path) or {}).get("metadata") or {}
    if number in ((metadata.get(kind) or {}).get(MOVE) for kind in ("labels", "annotations")):
        options = {"apiVersion": "v1", "kind": "DeleteOptions", **(debt.body or {})}
        session.delete(debt.path, {**options, "preconditions": {"uid": metadata["uid"]}})


def _create(session: ApiSession, debt: Debt) -> None:
    """Make it, once one of that name that is still being deleted is gone."""
    place = f"{debt.path}/{debt.body['metadata']['name']}"
    deadline = Deadline(GONE_SECONDS)
    while True:
        there = session.get(place)
        if there is None:
            session.create(debt.path, debt.body)
            return
        if not there["metadata"].get("deletionTimestamp"):
            return
        if deadline.expired:
            raise failure("apiserver_failed", reason=f"What is to be made again is not gone yet: {place}")
        time.sleep(INTERVAL)


def _read(path: str) -> Thing:
    """The content of a state file. Raises CheckpointError ``state_unusable`` and OSError."""
    with open(path, "rb") as file:
        data = file.read(LARGEST + 1)
    try:
        content = json.loads(data)
        if content["format"] != FORMAT or not isinstance(content["steps"], list):
            raise ValueError("its format is not known")
        content = {name: content[name] for name in ("format", "number", "outcome", "facts", "steps", "owed")}
        for each in content["owed"]:
            Debt(**each)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            "state_unusable",
            f"The state file {path} cannot be read",
            hint="Look for objects with the label checkpoint-restore.io/move in the cluster, and remove them by hand",
            message=str(error),
        ) from error
    return t.cast("Thing", content)


def _locked(path: str) -> int:
    """A descriptor that holds the lock. Raises CheckpointError ``state_in_use`` and OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CheckpointError(
            "state_in_use",
            f"Another process has the move {os.path.basename(path)[: -len('.lock')]} in hand",
            hint="Wait for it",
        ) from None
    return descriptor


@contextlib.contextmanager
def _usable(place: str) -> t.Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            "state_unusable",
            f"The state of the move cannot be kept or read at {place}",
            hint="Nothing is moved without it: check the folder, its permissions and the room on its disk",
            message=str(error),
        ) from error
