# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests against the laboratory: real kubelets, CRI-O, containerd and CRIU. Run them by `make integration`."""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

import pytest
from restore_support import Archives
from support import LAB, NODES, SOME_NODES, Cluster, Controller, lab


@pytest.fixture(scope="session", autouse=True)
def prepared() -> None:
    """The nodes are prepared as a user prepares them, which changes nothing where they are."""
    nodes = SOME_NODES if "TEST_NODES" in os.environ else NODES
    wanted = {"nodes": ",".join(nodes), "batch": len(nodes), "probe": False}
    lab("run", "ansible-playbook", "checkpoint_restore.kubernetes.prepare_nodes", "--extra-vars", json.dumps(wanted))


@pytest.fixture(scope="session")
def facts() -> dict[str, t.Any]:
    """What tests/lab/lab wrote about itself."""
    return dict(json.loads((LAB.parents[1] / ".lab" / "lab.json").read_text()))


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> t.Iterator[Cluster]:
    """A namespace of the test module's own, gone afterwards."""
    name = request.module.__name__.replace("_", "-").replace("test-", "it-")
    with Cluster(name) as made:
        yield made


@pytest.fixture(scope="session")
def restore_runtime(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The restore runtime on both nodes, as a user brings it there."""
    controller = Controller(tmp_path_factory.mktemp("restore_runtime"))
    nodes = ",".join(SOME_NODES)
    done = controller.playbook("prepare_nodes", nodes=nodes, batch=2, probe=False, restore_runtime=True)
    assert done.returncode == 0, controller.output


@pytest.fixture(scope="module")
def archives(cluster: Cluster) -> t.Iterator[Archives]:
    """Archives of the test module's own, gone afterwards."""
    made = Archives(cluster)
    yield made
    made.remove()


@pytest.fixture
def controller(tmp_path: t.Any, monkeypatch: pytest.MonkeyPatch) -> Controller:
    """Ansible as a user's: its state in a directory of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Controller(tmp_path)


@pytest.fixture
def undo() -> t.Iterator[t.Callable[[t.Callable[[], t.Any]], None]]:
    """Takes functions and calls them when the test is over, the last one first."""
    with contextlib.ExitStack() as stack:

        def later(function: t.Callable[[], t.Any]) -> None:
            stack.callback(function)

        yield later
