# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints of many containers: plan, run, report.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import random
import threading
import time
import traceback
import typing as t

from .._common.deadline import Deadline
from .._common.moments import utc
from .._common.pool import run_bounded
from . import auth
from .api import ApiSession
from .failures import KubeError, duration, failure
from .http import Server
from .kubelet import KUBELET_FLOOR, KubeletClient
from .ledger import Entry, Ledger, default_directory
from .progress import ProgressFile
from .targets import Missed, Query, Target, explicit, select

# How often a request is sent at most. Only one that certainly did nothing is sent again.
ATTEMPTS = 3
LONGEST_PAUSE = 30.0
# Of an original message in the sentence for a person; the result has it whole.
LONGEST_MESSAGE = 300
# What allow_empty accepts: names and selections that match nothing that runs.
EMPTY = ("node_not_found", "pod_not_found", "container_not_found", "container_not_running")
# With explicit targets neither pods are looked up nor container IDs known, without which a record says nothing.
NOT_WITH_TARGETS = (
    "namespace",
    "all_namespaces",
    "pod",
    "label_selectors",
    "field_selectors",
    "node",
    "container",
    "not_older_than",
    "return_labels",
)

Item = dict[str, t.Any]


@dataclasses.dataclass
class Report:
    """What became of it, in the shape of the module's result."""

    checkpoints: list[Item]
    failures: list[Item]
    warnings: list[str]
    check_mode: bool = False

    def result(self) -> dict[str, t.Any]:
        """``changed``, ``msg`` and both lists."""
        return {
            "changed": any(not item["reused"] for item in self.checkpoints),
            "msg": self._sentence(),
            "checkpoints": self.checkpoints,
            "failures": self.failures,
        }

    def _sentence(self) -> str:
        fresh = sum(not item["reused"] for item in self.checkpoints)
        reused = len(self.checkpoints) - fresh
        total = len(self.checkpoints) + len(self.failures)
        if not total:
            return "The selection matches no running container."
        verb = "would be" if self.check_mode else "was" if total == 1 else "were"
        parts = [f"{fresh} of {total} container{'' if total == 1 else 's'} {verb} checkpointed"]
        if reused:
            parts.append(f"{reused} recent enough checkpoint{'' if reused == 1 else 's'} reused")
        if self.failures:
            counts = collections.Counter(item["code"] for item in self.failures)
            codes = ", ".join(f"{code} ({count})" for code, count in sorted(counts.items()))
            parts.append(f"{len(self.failures)} failed: {codes}")
        text = "; ".join(parts) + "."
        if self.failures:
            first = self.failures[0]
            name = "/".join(first[part] for part in ("namespace", "pod", "container") if first[part])
            who = " on ".join(part for part in (name, first["node"]) if part)
            text += f" {who}: {first['reason']}. {first['hint']}."
            if first["message"]:
                text += f" Original message: {_shortened(first['message'])}"
        return text


def run(params: t.Mapping[str, t.Any], *, check_mode: bool, stop: threading.Event) -> Report:
    """Checkpoint what ``params``, the module's options, mean. After ``stop`` is set nothing new begins.

    What goes wrong with one container stands in the report. Raises a failure of the table for what concerns all of
    them: options, credentials, the API server, an empty selection.
    """
    plan = _Plan.of(params)
    # A credential plugin is to be run once, and not at all where no API server is needed.
    api = functools.lru_cache(maxsize=None)(lambda: auth.api_server(params))
    targets, missed, warnings = _targets(params, api)
    if params.get("allow_empty"):
        missed = [miss for miss in missed if miss.failure.code not in EMPTY]
    elif not targets and not missed:
        raise failure("no_match")
    ledger = Ledger(default_directory())
    if check_mode:
        done: list[_Outcome] = [_foreseen(target, ledger, plan) for target in targets]
    else:
        done = _Run(params, api, plan, ledger, stop).all(targets) if targets else []
        if ledger.warning:
            warnings.append(ledger.warning)
    done += [_Outcome(miss.target, failed=miss.failure) for miss in missed]
    done.sort(key=lambda outcome: outcome.target.order)
    return Report(
        checkpoints=[outcome.item() for outcome in done if outcome.failed is None],
        failures=[outcome.item() for outcome in done if outcome.failed is not None],
        warnings=warnings,
        check_mode=check_mode,
    )


@dataclasses.dataclass(frozen=True)
class _Plan:
    timeout: float
    deadline: Deadline
    not_older_than: float | None
    limit: int
    limit_per_node: int

    @classmethod
    def of(cls, params: t.Mapping[str, t.Any]) -> _Plan:
        def given(option: str) -> float | None:
            return duration(params, option) if params.get(option) else None

        for option in ("max_concurrent", "max_concurrent_per_node"):
            if params[option] < 1:
                raise failure("invalid_option", reason=f"{option} has to be 1 or more")
        return cls(
            timeout=given("timeout") or KUBELET_FLOOR,
            deadline=Deadline(given("deadline")),
            not_older_than=given("not_older_than"),
            limit=params["max_concurrent"],
            limit_per_node=params["max_concurrent_per_node"],
        )

    def recent(self, target: Target, entry: Entry) -> Item | None:
        """The last checkpoint of this very container (the ID has to be the same), if it is recent enough."""
        taken = entry.taken
        if self.not_older_than is None or not target.container_id or taken.get("container_id") != target.container_id:
            return None
        return taken if 0 <= time.time() - taken["at"] <= self.not_older_than else None


@dataclasses.dataclass(frozen=True)
class _Outcome:
    target: Target
    path: str | None = None
    at: float | None = None
    duration: float | None = None
    attempts: int = 0
    reused: bool = False
    failed: KubeError | None = None

    def item(self) -> Item:
        """The entry in ``checkpoints`` or ``failures``."""
        if self.failed is not None:
            return {**self.target.identity(), **self.failed.as_dict(), "attempts": self.attempts}
        return {
            **self.target.identity(),
            "path": self.path,
            "started": None if self.at is None else utc(self.at, "milliseconds"),
            "duration": self.duration,
            "attempts": self.attempts,
            "reused": self.reused,
        }


def _targets(
    params: t.Mapping[str, t.Any], api: t.Callable[[], Server]
) -> tuple[list[Target], list[Missed], list[str]]:
    through_api = params["via"] == "apiserver"
    if params.get("targets") is not None:
        others = [option for option in NOT_WITH_TARGETS if params.get(option)]
        if others:
            raise failure("invalid_option", reason=f"targets cannot be combined with {', '.join(others)}")
        return explicit(params["targets"], through_api=through_api), [], []
    if bool(params.get("namespace")) == bool(params.get("all_namespaces")):
        raise failure("invalid_option", reason="Give one of namespace, all_namespaces: true and targets")

    def listed(option: str) -> list[str]:
        # An empty survey field of AWX arrives as one empty text.
        return [entry for entry in params.get(option) or [] if entry]

    query = Query(
        namespace=params.get("namespace") or None,
        pods=listed("pod"),
        label_selectors=listed("label_selectors"),
        field_selectors=listed("field_selectors"),
        nodes=listed("node"),
        containers=listed("container"),
        labels=listed("return_labels"),
    )
    return select(ApiSession(api()), query, need_address=not through_api)


def _key(target: Target) -> tuple[str, ...]:
    """Under what a container is serialised: the node's address where known, since a node has several names."""
    return (str(target.node_address or target.node), str(target.namespace), str(target.pod), str(target.container))


def _foreseen(target: Target, ledger: Ledger, plan: _Plan) -> _Outcome:
    """Check mode's answer for one container; asks and writes nothing."""
    taken = plan.recent(target, ledger.peek(*_key(target)))
    return _reused(target, taken) if taken else _Outcome(target)


def _reused(target: Target, taken: Item) -> _Outcome:
    return _Outcome(target, path=taken["path"], at=taken["at"], duration=taken["duration"], reused=True)


class _Run:
    """One call's work on its targets."""

    def __init__(
        self,
        params: t.Mapping[str, t.Any],
        api: t.Callable[[], Server],
        plan: _Plan,
        ledger: Ledger,
        stop: threading.Event,
    ) -> None:
        through_api = params["via"] == "apiserver"
        self._plan = plan
        self._ledger = ledger
        self._stop = stop
        self._dead_nodes: set[str | None] = set()
        self._progress = ProgressFile(params.get("progress_file"))
        self._client = KubeletClient(
            api() if through_api else auth.kubelet_server(params, api),
            through_api=through_api,
            port=params.get("kubelet_port"),
            timeout=plan.timeout,
        )

    def all(self, targets: t.Sequence[Target]) -> list[_Outcome]:
        """Work through ``targets``, as many at a time as the plan allows."""
        self._ledger.prepare()
        self._progress.total = len(targets)
        outcomes = run_bounded(
            targets,
            self._one,
            key=lambda target: target.node,
            limit=self._plan.limit,
            limit_per_key=self._plan.limit_per_node,
            may_start=lambda: not self._too_late(),
        )
        self._ledger.prune()
        return [outcome or self._not_started(target) for outcome, target in zip(outcomes, targets)]

    def _too_late(self) -> bool:
        return self._stop.is_set() or self._plan.deadline.expired

    def _not_started(self, target: Target) -> _Outcome:
        reason = "The run was interrupted before its turn" if self._stop.is_set() else ""
        return _Outcome(target, failed=failure("not_started", reason=reason))

    def _one(self, target: Target) -> _Outcome:
        began = time.monotonic()
        try:
            with self._ledger.hold(*_key(target), give_up=self._too_late) as entry:
                outcome = self._not_started(target) if entry is None else self._with(entry, target)
        except Exception:
            # What became of the other containers must not be lost over it.
            outcome = _Outcome(target, failed=failure("internal_error", message=traceback.format_exc()))
        seconds = round(time.monotonic() - began, 3) if outcome.duration is None else outcome.duration
        if outcome.failed is None:
            self._progress.finished(target.name, target.node, seconds, ok=True, reused=outcome.reused)
        else:
            failed = outcome.failed
            self._progress.finished(target.name, target.node, seconds, ok=False, code=failed.code, reason=failed.reason)
        return outcome

    def _with(self, entry: Entry, target: Target) -> _Outcome:
        taken = self._plan.recent(target, entry)
        if taken:
            return _reused(target, taken)
        url = self._client.url(
            str(target.node),
            target.node_address,
            target.kubelet_port,
            (str(target.namespace), str(target.pod), str(target.container)),
        )
        attempt = 0
        while True:
            entry.wait_for_turn()
            if self._too_late() and not attempt:
                return self._not_started(target)
            attempt += 1
            at, began = time.time(), time.monotonic()
            entry.touch()
            try:
                path = self._client.checkpoint(url)
            except KubeError as refused:
                entry.touch()
                # Where a node was found dead by others, finding it dead once more is enough.
                enough = attempt == ATTEMPTS or target.node in self._dead_nodes
                if not refused.repeat or enough or not self._pause(attempt, refused.retry_after):
                    if refused.code == "kubelet_unreachable":
                        self._dead_nodes.add(target.node)
                    return _Outcome(target, attempts=attempt, failed=refused)
                continue
            duration = round(time.monotonic() - began, 3)
            taken = {"container_id": target.container_id, "path": path, "at": at, "duration": duration}
            entry.touch(taken if target.container_id else None)
            return _Outcome(target, path=path, at=at, duration=duration, attempts=attempt)

    def _pause(self, attempt: int, asked_for: float | None) -> bool:
        """Wait before the next attempt, longer each time and never in step with others; false when it is too late."""
        seconds = min(LONGEST_PAUSE, max(asked_for or 0.0, random.uniform(1.0, 1.5) * 2 ** (attempt - 1)))
        remaining = self._plan.deadline.remaining()
        if remaining is not None and remaining <= seconds:
            return False
        return not self._stop.wait(seconds)


def _shortened(message: str) -> str:
    """The beginning and the end of a long message; the cause tends to stand at the end."""
    half = LONGEST_MESSAGE // 2
    return message if len(message) <= LONGEST_MESSAGE else f"{message[:half]} … {message[-half:]}"
