# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One move per owner at a time, whoever asks: a Lease in the owner's namespace, which only one can make.

Source: kubernetes 1.36, coordination.k8s.io/v1. A Lease whose move died is not taken over by itself: its policy may
still be there, and its state file alone knows what else. Who has that file finishes or undoes the move.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import socket
import time

from .._common.errors import CheckpointError
from .._common.moments import utc
from .._kube.api import ApiSession
from .._kube.failures import KubeError
from .objects import PREFIX, collection, labels, path
from .state import Debt, State


def acquire(session: ApiSession, state: State, namespace: str, uid: str, what: str) -> None:
    """Hold the Lease for the object with this UID; again is no mistake. Raises CheckpointError ``move_under_way``."""
    name = f"{PREFIX}-{uid}"
    holder = f"{state.number}@{socket.gethostname()}"
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace, "labels": labels(state.number)},
        "spec": {"holderIdentity": holder, "acquireTime": utc(time.time(), "microseconds")},
    }
    place = path("Lease", namespace, name)
    state.owe(Debt("lease", "delete", place))
    try:
        made = session.create(collection("Lease", namespace), lease)
    except KubeError as error:
        if error.details.get("http_status") != 409:
            raise
        made = session.get(place) or {}
    told = str((made.get("spec") or {}).get("holderIdentity") or "nobody")
    if told != holder:
        state.forget("lease")
        number, _at, host = told.partition("@")
        since = (made.get("spec") or {}).get("acquireTime")
        raise CheckpointError(
            "move_under_way",
            f"A move of the {what} is under way since {since}: {number} on {host}",
            hint="Wait for it. If it was killed, finish or undo it there, by its state file; if that is lost, delete "
            f"what has the label checkpoint-restore.io/move={number}: policy, binding, and the Lease {name} last",
        )
