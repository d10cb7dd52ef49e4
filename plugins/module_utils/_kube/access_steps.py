# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From objects as they are to objects as they should be: a plan first, then its steps.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .access_objects import COMPARED, MANAGER, MANAGER_LABEL, is_ours, path, where
from .api import ApiSession, Thing
from .failures import failure

GONE_AFTER = 60.0
INTERVAL = 0.5
# In every namespace without anybody's doing: events, and what controllers of the cluster put there.
OF_THE_CLUSTER = (("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt"))
RECORDS = ("events",)


@dataclasses.dataclass(frozen=True)
class Step:
    """One object to ``create``, ``change`` or ``remove``; ``before`` is the object as it is, ``after`` as wanted."""

    action: str
    before: Thing | None
    after: Thing | None

    @property
    def thing(self) -> Thing:
        """The object that it is about."""
        return self.after or self.before or {}

    @property
    def what(self) -> str:
        """The object for a person, for example ``Role NAME in the namespace NAMESPACE``."""
        metadata = self.thing["metadata"]
        place = f" in the namespace {metadata['namespace']}" if metadata.get("namespace") else ""
        return f"{self.thing['kind']} {metadata['name']}{place}"

    @property
    def diff(self) -> Thing:
        """Before and after, the parts that are ours alone."""
        return {
            "before_header": self.what,
            "after_header": self.what,
            "before": _shown(self.before, self.thing["kind"]),
            "after": _shown(self.after, self.thing["kind"]),
        }

    def take(self, session: ApiSession) -> None:
        """Do it. An object that was replaced meanwhile stays, and the API server says so (409)."""
        if self.before is not None and (self.after is None or self._needs_anew):
            session.delete(where(self.thing), _only_this(self.before))
        if self.after is not None and (self.before is None or self._needs_anew):
            collection = path(self.after["kind"], self.after["metadata"].get("namespace"))
            session.create(collection, self.after)
        elif self.after is not None and self.before is not None:
            session.replace(where(self.after), _merged(self.before, self.after))

    @property
    def _needs_anew(self) -> bool:
        # The API server refuses another roleRef in a binding that is there.
        before, after = self.before or {}, self.after or {}
        return bool(before and after) and before.get("roleRef") != after.get("roleRef")


def steps_to(session: ApiSession, wanted: t.Iterable[Thing]) -> list[Step]:
    """What is missing or differs. Raises ``object_not_ours``; a Namespace of somebody else's is as good as our own."""
    steps = []
    for thing in wanted:
        live = _live(session, thing)
        if live is None:
            steps.append(Step("create", None, thing))
        elif thing["kind"] == "Namespace":
            continue
        elif not is_ours(live):
            raise failure("object_not_ours", reason=f"{Step('', live, None).what} is there and was made by others")
        elif _differs(live, thing):
            steps.append(Step("change", live, thing))
    return steps


def steps_away(session: ApiSession, given: t.Iterable[Thing]) -> tuple[list[Step], list[str]]:
    """What of ``given`` is there and ours, and warnings about what is there and is not."""
    steps, warnings = [], []
    for thing in given:
        live = _live(session, thing)
        if live is None or live["metadata"].get("deletionTimestamp"):
            continue
        step = Step("remove", live, None)
        if is_ours(live):
            steps.append(step)
        elif thing["kind"] != "Namespace":
            warnings.append(f"{step.what} was made by others and stays")
    return steps, warnings


def in_namespaces(session: ApiSession, title: str) -> list[Thing]:
    """Our Roles and RoleBindings of that name, in whatever namespace, the bindings first."""
    return [
        {**thing, "kind": kind}
        for kind in ("RoleBinding", "Role")
        for thing in session.things(
            path(kind), labels=[f"{MANAGER_LABEL}={MANAGER}"], fields=[f"metadata.name={title}"]
        )
        if not thing["metadata"].get("deletionTimestamp")
    ]


def others_in(session: ApiSession, namespace: str, ours: t.Collection[tuple[str, str]]) -> str | None:
    """Something that is in the namespace besides ``ours`` (resource and name), ``None`` when there is nothing."""
    known = {*ours, *OF_THE_CLUSTER}
    for root in _groups(session):
        for resource in (session.get(root) or {}).get("resources") or []:
            name, verbs = str(resource["name"]), resource.get("verbs") or []
            if not resource.get("namespaced") or name in RECORDS or not {"list", "delete"} <= set(verbs):
                continue
            for thing in session.things(f"{root}/namespaces/{namespace}/{name}"):
                if (name, thing["metadata"]["name"]) not in known:
                    return f"{name}/{thing['metadata']['name']}"
    return None


def wait_until_gone(session: ApiSession, place: str) -> bool:
    """Whether the object at ``place`` goes away within a minute: namespaces take a moment."""
    end = time.monotonic() + GONE_AFTER
    while session.get(place) is not None:
        if time.monotonic() > end:
            return False
        time.sleep(INTERVAL)
    return True


def _groups(session: ApiSession) -> list[str]:
    groups = (session.get("/apis") or {}).get("groups") or []
    return ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]


def _live(session: ApiSession, thing: Thing) -> Thing | None:
    live = session.get(where(thing))
    return None if live is None else {**live, "kind": thing["kind"], "apiVersion": thing["apiVersion"]}


def _differs(live: Thing, wanted: Thing) -> bool:
    return any(live.get(field) != wanted.get(field) for field in COMPARED[wanted["kind"]])


def _merged(live: Thing, wanted: Thing) -> Thing:
    compared = COMPARED[wanted["kind"]]
    rest = {field: value for field, value in live.items() if field not in compared}
    return {**rest, **{field: wanted[field] for field in compared if field in wanted}}


def _shown(thing: Thing | None, kind: str) -> t.Any:
    if thing is None:
        return ""
    return {"kind": kind, **{field: thing[field] for field in COMPARED[kind] if field in thing}}


def _only_this(thing: Thing) -> Thing:
    identity = {"uid": thing["metadata"]["uid"], "resourceVersion": thing["metadata"]["resourceVersion"]}
    return {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": identity}
