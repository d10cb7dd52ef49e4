# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the module checkpoint_migrate, and what they mean.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._common.durations import parse_duration
from .._common.errors import CheckpointError
from .._dump.dumping import Options, parse_bytes
from .._kube.argument_spec import Spec
from .._oci.arguments import REGISTRY_EXCLUSIVE, REGISTRY_SPEC, REGISTRY_TOGETHER
from .passage import LEAST, MARGIN, Wishes
from .plan import Plan
from .verify import Command, Question, Request

SPEC: Spec = {
    "namespace": {"type": "str"},
    "pod": {"type": "str"},
    "label_selectors": {"type": "list", "elements": "str"},
    "source_node": {"type": "str"},
    "node": {"type": "str", "required": True},
    "on_failure": {"type": "str", "choices": ["stop", "continue"], "default": "stop"},
    "strategy": {"type": "str", "choices": ["move", "copy"], "default": "move"},
    "fallback": {
        "type": "dict",
        "options": {"image": {"type": "str", "required": True}, **REGISTRY_SPEC},
        "required_together": REGISTRY_TOGETHER,
        "mutually_exclusive": REGISTRY_EXCLUSIVE,
    },
    "order": {"type": "str", "choices": ["source_first", "replacement_first"], "default": "source_first"},
    "runtime_class": {"type": "str", "default": "checkpoint-restore"},
    "become": {"type": "bool", "default": True},
    "frozen_limit": {"type": "str", "default": "30s"},
    "timeout": {"type": "str", "default": "2m"},
    "tcp_established": {"type": "str", "choices": ["refuse", "close", "keep"], "default": "close"},
    "skip_in_flight": {"type": "bool", "default": True},
    "file_locks": {"type": "bool", "default": True},
    "ghost_limit": {"type": "str"},
    "security": {"type": "str", "choices": ["refuse", "clamp"], "default": "clamp"},
    "accept": {"type": "list", "elements": "str", "default": []},
    "checkpoint_directory": {"type": "path", "default": "/var/lib/kubelet/checkpoints"},
    "transfer_address": {"type": "str", "default": ""},
    "transfer_port": {"type": "int", "default": 0},
    "verify": {
        "type": "dict",
        "options": {
            "port": {"type": "int"},
            "path": {"type": "str", "default": "/"},
            "command": {"type": "list", "elements": "str"},
            "container": {"type": "str"},
            "timeout": {"type": "str", "default": "10s"},
        },
        "mutually_exclusive": [("port", "command")],
        "required_one_of": [("port", "command")],
        "required_by": {"container": ("command",)},
    },
}
SHORTEST = 2 * (LEAST + MARGIN)
"""With less time to be frozen nothing can be dumped."""


def wishes(options: t.Mapping[str, t.Any], plan: Plan) -> Wishes:
    """How to move a pod, as the options say and as its probes allow.

    Raises CheckpointError ``invalid_option``, ``patience_short``.
    """
    limit = parse_duration(options["frozen_limit"], "frozen_limit")
    patience = plan.patience
    frozen = limit if patience is None else min(limit, patience.seconds - MARGIN)
    if frozen < SHORTEST:
        what = f"It may be frozen for {patience}" if patience and patience.seconds <= limit else "frozen_limit"
        raise CheckpointError(
            "patience_short",
            f"{what}: too short for a move, which may take {SHORTEST:g} s where things go slowly",
            hint="Give the probe a longer period or a higher threshold, or frozen_limit a longer time",
        )
    dump = Options(
        tcp_close=options["tcp_established"] == "close",
        tcp_keep=options["tcp_established"] == "keep",
        skip_in_flight=options["skip_in_flight"],
        file_locks=options["file_locks"],
        ghost_limit=parse_bytes(options["ghost_limit"], "ghost_limit"),
    )
    return Wishes(
        dump={**dump._asdict(), "checkpoint_directory": options["checkpoint_directory"]},
        frozen=frozen,
        wait=parse_duration(options["timeout"], "timeout"),
        security=options["security"],
        accept=tuple(options["accept"]),
        address=options["transfer_address"],
        port=options["transfer_port"],
        verify=_verification(options["verify"], plan),
    )


def _verification(option: t.Mapping[str, t.Any] | None, plan: Plan) -> Question | None:
    if option is None:
        return None
    seconds = parse_duration(option["timeout"], "verify.timeout")
    if option["port"] is not None:
        return Request(option["port"], option["path"], seconds)
    if not option["command"]:
        raise CheckpointError(
            "invalid_option", "verify.command is empty", hint="Give a program and its arguments as a list"
        )
    container = option["container"] or ""
    names = [each["name"] for each in plan.source["spec"]["containers"]]
    if container and container not in names:
        raise CheckpointError(
            "invalid_option",
            f"verify.container: {plan.namespace}/{plan.pod} has no container {container}",
            hint=f"It has {', '.join(names)}",
        )
    return Command(tuple(option["command"]), container, seconds)


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which pods are meant: one by its name, those of labels, or those of a node, in one namespace or in all."""

    namespace: str | None
    pod: str | None
    labels: tuple[str, ...]
    node: str | None


def selection(options: t.Mapping[str, t.Any]) -> Selection:
    """The options that say which pods to move. Raises CheckpointError ``invalid_option``."""
    if options["strategy"] == "copy" and options["order"] == "replacement_first":
        raise CheckpointError(
            "invalid_option",
            "A copy takes nobody's place, so that it cannot come before anything",
            hint="Leave order out",
        )
    given = {name: options[name] for name in ("pod", "label_selectors", "source_node") if options[name]}
    if len(given) != 1:
        told = f"not {' and '.join(given)}" if given else "none is given"
        raise CheckpointError(
            "invalid_option",
            f"One of pod, label_selectors and source_node says which pods to move: {told}",
            hint="Give exactly one of them",
        )
    if not options["namespace"] and "source_node" not in given:
        raise CheckpointError(
            "invalid_option",
            f"The namespace is missing that {next(iter(given))} is about",
            hint="Give namespace; only source_node means the pods of all namespaces without it",
        )
    labels = tuple(options["label_selectors"] or ())
    return Selection(options["namespace"] or None, options["pod"] or None, labels, options["source_node"] or None)
