# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Can these archives be restored on this node, into this pod? Every check, each with its reason.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import typing as t

from .._common.errors import CheckpointError
from .._criu.clean import clean
from .preflight_base import FAILED, Node, Opener, Subject, Verdict, Wanted, failed, look, mapping, passed
from .preflight_cpu import cpu
from .preflight_machine import architecture, cgroup, criu_version, disk, engine, gpu, kernel, memory, oci_runtime
from .preflight_node import criu, handler, host_paths, restore_by_image, restore_runtime
from .preflight_process import addresses, connections, images, terminal
from .preflight_rights import container, mounts, open_files, security
from .unpack import Opened

Check = t.Callable[[Subject, Node, Wanted], t.Iterator[Verdict]]

OF_NODE = (criu, handler, host_paths, restore_by_image, restore_runtime)
OF_ALL = (disk, memory)
OF_ARCHIVE: t.Sequence[Check] = (
    *(addresses, architecture, cgroup, connections, container, cpu, criu_version, engine, gpu, images, kernel, mounts),
    *(oci_runtime, open_files, security, terminal),
)
MAX_REASON = 4000


class Outcome(t.NamedTuple):
    """``checks``: one dictionary for each, sorted by archive and name, those of the node first."""

    checks: list[dict[str, t.Any]]

    @property
    def failures(self) -> list[dict[str, t.Any]]:
        return [check for check in self.checks if check["result"] == FAILED]

    def require(self) -> None:
        """Raise CheckpointError preflight_failed where a check failed."""
        found = self.failures
        if found:
            reasons = "; ".join(f"{check['name']}: {check['reason']}" for check in found)
            raise CheckpointError(
                "preflight_failed",
                f"{len(found)} {'check' if len(found) == 1 else 'checks'} failed: {reasons}"[:MAX_REASON],
                hint=". ".join(dict.fromkeys(check["hint"].rstrip(".") for check in found if check["hint"])),
            )


def _described(verdict: Verdict, path: t.Optional[str], name: t.Optional[str]) -> dict[str, t.Any]:
    shown = verdict._asdict()
    shown.update(archive=path, container=name, reason=verdict.reason[:MAX_REASON])
    described: dict[str, t.Any] = clean(shown)
    return described


def _of(subject: Subject, node: Node, wanted: Wanted, check: Check) -> list[Verdict]:
    """What a check says of an archive; one that meets damaged images fails for that reason."""
    try:
        return list(check(subject, node, wanted))
    except CheckpointError as error:
        return [failed(check.__name__, error.reason, error.hint)]


def check_all(
    paths: t.Sequence[str], wanted: Wanted, node: t.Optional[Node] = None, opener: Opener = Opened
) -> Outcome:
    """Look at archives on this node. Raises CheckpointError invalid_option for what is no pod; nothing else."""
    if wanted.definition and not isinstance(mapping(wanted.definition.get("spec")).get("containers"), list):
        raise CheckpointError(
            "invalid_option", "definition is not a pod: it has no spec.containers", hint="Give the whole pod document"
        )
    here = node or look()
    found = [_described(verdict, None, None) for check in OF_NODE for verdict in check(here, wanted)]
    with contextlib.ExitStack() as stack:
        subjects: list[Subject] = []
        for path in dict.fromkeys(paths):
            try:
                subject = stack.enter_context(contextlib.closing(Subject(path, opener)))
            except CheckpointError as error:
                found.append(_described(failed("archive", error.reason, error.hint), path, None))
                continue
            subjects.append(subject)
            verdicts = [verdict for check in OF_ARCHIVE for verdict in _of(subject, here, wanted, check)]
            verdicts.append(passed("archive", f"The archive is one of {subject.identity.engine}"))
            found += [_described(verdict, path, subject.container or None) for verdict in verdicts]
        found += [_described(verdict, None, None) for check in OF_ALL for verdict in check(subjects, here, wanted)]
    return Outcome(sorted(found, key=lambda check: (check["archive"] or "", check["name"])))
