# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A move that cannot come to its end at its target goes on at home, or at a third node, from the same images.

What the client counts says that nothing was lost, that nobody ran twice, and that it is one process all the time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import signal
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import state as state_files
from fault_kinds import OfKind
from fault_support import CRIU, FORWARD, how, kill
from restore_support import CRIO, CTD
from support import Cluster, Controller, kubectl

THIRD = os.environ.get("TEST_THIRD_NODE", "crio-a")
KINDS = ("Pod", "StatefulSet", "Deployment")
Thing = dict[str, t.Any]


@pytest.fixture(scope="module", autouse=True)
def third_node(restore_runtime: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The third node can restore as well."""
    controller = Controller(tmp_path_factory.mktemp("third_node"))
    done = controller.playbook("prepare_nodes", nodes=THIRD, probe=False, restore_runtime=True)
    assert done.returncode == 0, controller.output


class Story(OfKind):
    """A pod of a kind, on its node, that is to go to another one, where it fails."""

    def __init__(self, cluster: Cluster, controller: Controller, kind: str, label: str, source: str) -> None:
        super().__init__(cluster, controller, kind, label, source, (THIRD,))

    def fails_at_target(self, broken: contextlib.ExitStack) -> None:
        """The move comes to where it cannot be undone any more, and CRIU restores nothing at the target."""
        shell = self.nodes[self.target]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            running = pool.submit(self.migrate, "prepared", timeout="15s")
            pid = self.stopped(running)
            broken.callback(shell.run, CRIU.unmake)
            shell.run(CRIU.make)
            os.kill(pid, signal.SIGCONT)
            result = running.result()
        assert how(result) == FORWARD, result
        assert f"with {self.source} as its node" in result["hint"] and self.target in result["hint"]

    def steps(self) -> list[Thing]:
        """Those in the only state file."""
        folder = state_files.directory()
        (name,) = [each for each in os.listdir(folder) if each.endswith(".json")]
        with open(os.path.join(folder, name)) as file:
            return list(json.load(file)["steps"])

    def images(self) -> list[str]:
        """The nodes that have images of it."""
        look = "ls -A /var/lib/checkpoint-restore/moves 2>/dev/null; true"
        return [node for node, shell in self.nodes.items() if shell.run(look)]


@pytest.fixture
def story(cluster: Cluster, controller: Controller) -> t.Iterator[t.Callable[..., Story]]:
    with contextlib.ExitStack() as stack:

        def made(kind: str, label: str, source: str = CRIO) -> Story:
            found = Story(cluster, controller, kind, label, source)
            stack.callback(found.stack.close)
            return found

        yield made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["home", "third"])
def test_it_goes_on_at_another_node(story: t.Callable[..., Story], kind: str, where: str) -> None:
    # Both runtimes in turn.
    made = story(kind, f"{where}-{kind.lower()}", CTD if kind == "StatefulSet" else CRIO)
    node = made.source if where == "home" else THIRD
    with contextlib.ExitStack() as broken:
        made.fails_at_target(broken)
        assert made.images() == [made.target]
        if kind == "Pod":
            # The images stay for as long as it fails.
            again = made.migrate(timeout="15s")
            assert how(again) == FORWARD and made.images() == [made.target], again
        result = made.migrate(node=node)
    made.goes_on_at(node, result)
    told = {step["name"]: step.get("images") for step in made.steps()}
    assert told["given_up"] == told["bringing"] == [made.target] and told["redirected"] == [node, made.target]


@pytest.mark.parametrize("step", ["bringing", "redirected", "replaced"])
def test_the_second_run_is_killed_on_its_way_home(story: t.Callable[..., Story], step: str) -> None:
    made = story("Pod", f"killed-{step}")
    with contextlib.ExitStack() as broken:
        made.fails_at_target(broken)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            running = pool.submit(made.migrate, step, node=made.source)
            kill(made.stopped(running))
            assert running.result() == {}
        result = made.migrate(node=made.source)
    made.goes_on_at(made.source, result)


@pytest.mark.parametrize("step", ["bringing", "redirected"])
def test_after_a_kill_it_may_go_to_the_target_all_the_same(story: t.Callable[..., Story], step: str) -> None:
    made = story("StatefulSet", f"target-{step}")
    with contextlib.ExitStack() as broken:
        made.fails_at_target(broken)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            running = pool.submit(made.migrate, step, node=THIRD)
            kill(made.stopped(running))
            assert running.result() == {}
    made.goes_on_at(made.target, made.migrate())


def test_what_cannot_have_it_changes_nothing(story: t.Callable[..., Story]) -> None:
    made = story("Pod", "refused")
    with contextlib.ExitStack() as broken:
        made.fails_at_target(broken)
        before = made.steps()
        refused = made.migrate(node="crio-none")
        assert refused["code"] == "host_unknown" and made.steps() == before
        kubectl("cordon", THIRD)
        broken.callback(kubectl, "uncordon", THIRD)
        refused = made.migrate(node=THIRD)
        assert refused["code"] == "preflight_failed" and made.steps() == before and made.images() == [made.target]
    made.goes_on_at(made.target, made.migrate())
