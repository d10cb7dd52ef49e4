# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A move without logins to the nodes: the kubelet's checkpoint, an image of it, and a replacement of that image.

    staged         the registry answers, and the target has the images that the processes run in
    checkpointing  from here on everything that the processes do is lost, should the move come off
    replacing      the target has the checkpoints as well, and the API's half is there and proved
                   the pod is told to end. Before this, whatever fails, it runs on as if nothing had been
    replaced       its processes have ended: the replacement may start
    running        the replacement's containers run

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import typing as t

from .._common.deadline import Deadline
from .._common.errors import CheckpointError
from .._kube import carrier, checkpoint
from .._kube.api import ApiSession, Thing, pod_path
from .._oci.make import Wish, make_image
from .._oci.place import place_for
from .._oci.reference import Name, parse_name
from . import anew, ways
from . import plan as plans
from .by_image_pull import base, pull
from .clock import Clock, Tell
from .passage import LONG, Wishes
from .plan import Container, Plan
from .policy import GATE
from .replacement import Replacement
from .state import State
from .verify import verify

INTERVAL = 0.05
Item = dict[str, t.Any]

LOST = "Lost is what the processes did {time} until they had ended, and their connections"
AGAIN = "Whenever a container is restarted, it begins again where its checkpoint was taken"
ARCHIVES = "Archives stay on {node} until somebody removes them: {paths}"


class ByImage:
    """One move by image. ``options``: those of the module, with ``fallback`` where the move is begun."""

    def __init__(
        self,
        session: ApiSession,
        plan: Plan,
        begun: tuple[Replacement, State],
        options: t.Mapping[str, t.Any],
        wishes: Wishes,
        stop: threading.Event,
        tell: Tell,
    ) -> None:
        self._session = session
        self._plan = plan
        self._replacement, self._state = begun
        self._options = options
        self._wishes = wishes
        self._stop = stop
        self._tell = tell
        self._clock = Clock(tell)
        self._folder = f"{os.path.splitext(self._state.path)[0]}.archives"
        self._archives: dict[str, str] = {}
        self._bytes = 0

    def run(self) -> Item:
        """All of it; what it took. Raises CheckpointError, with ``undone`` in its details: whether all is as before."""
        begun = time.monotonic()
        try:
            with self._clock.step("stage", "Registry asked, images on the target"):
                self._stage()
                self._state.step("staged")
            self._go_on()
            self._state.step("checkpointing")
            since = time.monotonic()
            with self._clock.step("checkpoint", "Checkpointed by the kubelet"):
                for container in self._plan.containers:
                    self._archives[container.name] = self._checkpointed(container)
            with self._clock.step("image", "Images in the registry"):
                images = {name: self._pushed(name, path) for name, path in list(self._archives.items())}
            self._replacement, self._plan = ways.with_images(self._session, self._plan, self._state, images)
            with self._clock.step("pull", "Images of the checkpoints on the target"):
                self._pull(self._plan.images or {})
            with self._clock.step("prepare", "Prepared"):
                self._replacement.prepare()
                self._replacement.prove(Deadline(LONG), self._stop)
            self._go_on()
            self._state.step("replacing")
            told = time.monotonic()
            with self._clock.step("replace", "Source told to end"):
                self._replacement.replace()
        except BaseException as error:
            self._roll_back(error)
            raise
        result = self._forward(since, told)
        result["seconds"]["total"] = round(time.monotonic() - begun, 3)
        return result

    def again(self) -> Item:
        """Go on with a move that was begun by a run that is gone, or undo it; ``outcome`` says which."""
        if not self._is_told_to_end():
            problems = self._undo()
            if problems:
                raise problems[0]
            return {"outcome": "undone", "move": self._plan.number, "warnings": []}
        if self._state.reached("running") and anew.replacement(self._session, self._plan) is None:
            self._replacement.clean()
            self._state.end("moved")
            return {"outcome": "gone", "move": self._plan.number, "warnings": []}
        with self._telling(), self._clock.step("replace", "Source told to end"):
            pod = anew.replacement(self._session, self._plan)
            if pod is not None and anew.failed(self._session, pod, self._plan.names):
                self._replacement = ways.redirect(self._session, self._plan, self._state, self._plan.target)
                self._plan = plans.from_facts(self._state.facts)
                self._replacement.prepare()
                self._replacement.prove(Deadline(LONG), self._stop)
            if pod is None or self._plan.failed is not None:
                self._replacement.replace()
        return self._forward(None, None)

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise CheckpointError("interrupted", "The move was interrupted", hint="Run it again")

    def _stage(self) -> None:
        """What would fail later is seen to now, while nothing is lost."""
        self._replacement.reserve()
        for container in self._plan.containers:
            with place_for(self._name(container.name), self._registry) as place:
                place.present()
        self._pull({})

    def _pull(self, images: t.Mapping[str, str]) -> None:
        late = pull(self._session, self._plan, images, Deadline(self._wishes.wait), self._stop)
        if late:
            self._tell(late)

    def _checkpointed(self, container: Container) -> str:
        """Have the kubelet checkpoint it; the archive's path on the source."""
        self._go_on()
        report = checkpoint.run(
            {
                **self._options,
                "namespace": self._plan.namespace,
                "pod": [self._plan.pod],
                "container": [container.name],
                "node": [],
                "label_selectors": [],
                "timeout": "5m",
                "via": "apiserver",
                "max_concurrent": 1,
                "max_concurrent_per_node": 1,
            },
            check_mode=False,
            stop=self._stop,
        )
        for failed in report.failures:
            raise CheckpointError(**{name: failed[name] for name in ("code", "reason", "hint", "message")})
        (taken,) = report.checkpoints
        if taken["pod_uid"] != self._plan.uid or taken["container_id"] != container.id:
            raise CheckpointError(
                "container_changed",
                f"The container {container.name} is another one than when the move was planned",
                hint="Run it again",
            )
        return str(taken["path"])

    def _pushed(self, container: str, path: str) -> str:
        """Bring an archive to the registry, by way of the controller, where it does not stay; the image's reference."""
        self._go_on()
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        here = os.path.join(self._folder, f"{container}.tar")
        try:
            carrier.carry(
                self._session,
                self._plan.node,
                path,
                here,
                image=base(self._plan.containers[0]),
                stop=self._stop,
                tell=lambda arrived, size: self._tell(f"{arrived >> 20} of {size >> 20} MiB of {container} are here"),
                remove=True,
            )
            del self._archives[container]
            self._bytes += os.path.getsize(here)
            name = self._name(container)
            with place_for(name, self._registry) as place:
                made = make_image(Wish(here, name), place, self._stop)
        finally:
            self._remove_folder()
        return str(made["reference"])

    def _name(self, container: str) -> Name:
        return parse_name(f"{self._options['fallback']['image']}:{self._plan.number}-{container}")

    @property
    def _registry(self) -> Item:
        return {"layout": None, "file": None, **self._options["fallback"]}

    def _remove_folder(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _is_told_to_end(self) -> bool:
        """Whether the source's pod is gone, or going, by this move; also where nobody can say so."""
        if not self._state.reached("replacing"):
            return False
        try:
            return not self._source_is_there()
        except CheckpointError:
            return True

    def _source_is_there(self, *, going: bool = False) -> bool:
        """Whether the pod is there; ``going``: also while its processes are ending."""
        pod = self._session.pod(self._plan.namespace, self._plan.pod)
        if pod is None or pod["metadata"]["uid"] != self._plan.uid:
            return False
        return going or not pod["metadata"].get("deletionTimestamp")

    def _roll_back(self, error: BaseException) -> None:
        """Undo it if the pod was not told to end. Adds what came of it to the error."""
        if self._is_told_to_end():
            details: Item = {"undone": False, "move": self._plan.number, "state_file": self._state.path}
        else:
            problems = self._undo()
            details = {"undone": not problems, "problems": [str(problem) for problem in problems]}
        if isinstance(error, CheckpointError):
            error.details.update(details)
            told = [*self._left, *([] if details["undone"] else ["Run it again"])]
            error.hint = ". ".join(filter(None, (error.hint.rstrip("."), *told)))

    def _undo(self) -> list[CheckpointError]:
        """Everything as it was before; what stood in the way."""
        self._remove_folder()
        try:
            # Somebody else may have ended the pod: then there is nothing to put back but what the move made.
            there = self._source_is_there()
            (self._replacement.undo if there else self._replacement.clean)()
        except CheckpointError as problem:
            return [problem]
        self._state.end("undone")
        return []

    @contextlib.contextmanager
    def _telling(self) -> t.Iterator[None]:
        """Have an error say that only forward is left to go."""
        try:
            yield
        except CheckpointError as error:
            error.details.update(undone=False, move=self._plan.number, state_file=self._state.path)
            told = f"The checkpoints are in the registry: {self._images}; run it again to go on"
            error.hint = f"{error.hint}. {told}".strip(". ")
            raise

    @property
    def _images(self) -> str:
        return ", ".join(sorted((self._plan.images or {}).values()))

    def _forward(self, since: float | None, told: float | None) -> Item:
        """From here on only forward. ``since``, ``told``: when the checkpoint was begun, and the pod told to end."""
        with self._telling():
            with self._clock.step("end", "Source has ended"):
                self._await_end()
                lost = None if since is None else round(time.monotonic() - since, 3)
                self._state.step("replaced", lost=lost)
            with self._clock.step("start", "Replacement running"):
                self._open()
                made = self._running() or self._replacement.wait(Deadline(self._wishes.wait), self._stop)
            down = None if told is None else round(time.monotonic() - told, 3)
            self._state.step("running")
        return self._finish(made, lost, down)

    def _await_end(self) -> None:
        """Until the source's pod is gone: by then its kubelet has seen its processes end."""
        deadline = Deadline(self._wishes.wait)
        while self._source_is_there(going=True):
            self._pause(deadline, f"The pod {self._plan.namespace}/{self._plan.pod} was told to end, and has not ended")

    def _open(self) -> None:
        """Have the replacement be scheduled, if it waits for that."""
        deadline = Deadline(self._wishes.wait)
        while True:
            pod = anew.replacement(self._session, self._plan)
            if pod is not None:
                break
            self._pause(deadline, f"The replacement {self._plan.namespace}/{self._plan.replacement} was not made")
        gates = pod["spec"].get("schedulingGates") or []
        if any(each["name"] == GATE for each in gates):
            kept = [each for each in gates if each["name"] != GATE]
            change: Thing = {"metadata": {"uid": pod["metadata"]["uid"]}, "spec": {"schedulingGates": kept or None}}
            self._session.patch(pod_path(self._plan.namespace, self._plan.replacement), change)

    def _running(self) -> Thing | None:
        """The replacement if it runs, at whatever try: a container of such an image never starts cold."""
        pod = anew.replacement(self._session, self._plan)
        return pod if pod is not None and anew.runs(pod, self._plan.names) else None

    def _pause(self, deadline: Deadline, reason: str) -> None:
        self._go_on()
        if deadline.expired:
            raise CheckpointError("replacement_missing", reason, hint="See the events of the namespace")
        self._stop.wait(INTERVAL)

    def _finish(self, made: Thing, lost: float | None, down: float | None) -> Item:
        plan = self._plan
        with self._clock.step("clean", "Cleaned up"):
            self._replacement.clean()
        verified = self._verify(made)
        self._state.end("moved")
        time_ = "from the checkpoint" if lost is None else f"in the {lost:g} s from the checkpoint"
        return {
            "outcome": "moved",
            "move": plan.number,
            "way": plan.way,
            "pod": plan.replacement,
            "seconds": self._clock.seconds,
            "down_seconds": down,
            "lost_seconds": lost,
            "bytes": self._bytes or None,
            "images": dict(plan.images or {}),
            "receipts": {},
            "verified": verified,
            "warnings": [f"{LOST.format(time=time_)}. {AGAIN}"],
        }

    def _verify(self, made: Thing) -> bool | None:
        """Whether it answers as it shall; ``None`` if nobody asked. Raises CheckpointError ``verify_failed``."""
        if self._wishes.verify is None:
            return None
        with self._telling(), self._clock.step("answer", "Answers as it shall"):
            verify(self._session, made, self._wishes.verify, self._stop)
        return True

    @property
    def _left(self) -> list[str]:
        """What tells of archives that are still on the source."""
        paths = ", ".join(sorted(self._archives.values()))
        return [ARCHIVES.format(node=self._plan.node, paths=paths)] if paths else []
