# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Agents that really run, started by a shell of this machine instead of a login."""

from __future__ import annotations

import os
import pathlib
import secrets
import signal
import sys
import textwrap
import time
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move import agents
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._move.agents import Agent
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.pipe import Prompt

MARKER = secrets.token_hex(16)
NUMBER = "000000000001"


def started(before: str = "", **options: t.Any) -> Agent:
    """An agent of a target, after what a login does before."""
    command = before + agents.script(MARKER, "target", sys.executable)
    return Agent(["/bin/sh", "-c", command], MARKER, "n2", **options)


def name(agent: Agent, number: str = NUMBER) -> dict[str, t.Any]:
    return agent.ask("name", 20, number=number, namespace="shop", pod="web-0", containers=["app"])


def test_an_agent_runs_from_memory_and_answers() -> None:
    with started() as agent:
        assert name(agent) == {"images": [], "tickets": []}
        first, second = agent.say("hold"), agent.say("hold")
        assert agent.wait(second, 20) == {} and agent.answered(first) and agent.wait(first, 0) == {}


def test_the_modules_are_no_more_than_it_needs() -> None:
    assert len(agents.modules()) < 2 << 20
    assert b"_agent/loop.py" in agents.modules()
    assert b"_kube/" not in agents.modules() and b"ansible" not in agents.BOOT.encode()


def test_noise_of_the_login_does_not_matter() -> None:
    with started("echo 'Welcome!\n{\"id\": 1}'; echo careful >&2; ") as agent:
        assert name(agent)["images"] == []


def test_a_password_is_asked_for_and_given() -> None:
    ask = "printf 'Password: ' >&2; read -r word; [ \"$word\" = secret ] || exit 1; "
    prompt = Prompt(lambda text: text.endswith(b"Password: "), b"secret\n")
    with started(ask, prompt=prompt) as agent:
        assert name(agent)["images"] == []
    with pytest.raises(CheckpointError) as refused:
        started(ask + ask, prompt=Prompt(prompt.recognise, b"secret\n"))
    assert refused.value.code == "agent_not_started"


@pytest.mark.parametrize(("before", "said"), [("echo no such host >&2; exit 255; ", "no such host"), ("exit 0;", "")])
def test_one_that_does_not_start(before: str, said: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        started(before)
    assert (refused.value.code, refused.value.message) == ("agent_not_started", said)


def test_one_that_hangs_before_it_starts() -> None:
    with pytest.raises(CheckpointError) as refused:
        started("exec sleep 60; ", seconds=0.3)
    assert refused.value.code == "agent_not_started"


def test_what_it_says_no_to() -> None:
    with started() as agent:
        for do in ("sing", "close", "_images", "__init__"):
            with pytest.raises(CheckpointError) as refused:
                agent.ask(do, 20)
            assert refused.value.code == "wrong_order"
        with pytest.raises(CheckpointError) as refused:
            name(agent, "../../etc")
        assert refused.value.code == "invalid_option" and refused.value.reason.startswith("n2: ")
        with pytest.raises(CheckpointError) as refused:
            agent.ask("hold", 20, more=1)
        assert refused.value.code == "agent_failed" and "TypeError" in refused.value.message
        assert name(agent)["images"] == []


def test_one_that_is_killed_is_missed() -> None:
    with started("echo $$; ") as agent:
        name(agent)
        os.kill(agent._process.pid, signal.SIGKILL)
        with pytest.raises(CheckpointError) as lost:
            name(agent)
        assert lost.value.code == "agent_lost"


def test_one_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    with started() as agent:
        name(agent)
        os.kill(agent._process.pid, signal.SIGSTOP)
        with pytest.raises(CheckpointError) as lost:
            agent.ask("hold", 0.2)
        assert lost.value.code == "agent_silent"
        # Nobody waits for long any more, until it is heard again.
        monkeypatch.setattr(agents, "AGAIN_SECONDS", 0.1)
        with pytest.raises(CheckpointError) as lost:
            agent.ask("hold", 1000)
        assert lost.value.code == "agent_silent"
        os.kill(agent._process.pid, signal.SIGCONT)


def test_one_that_is_absent() -> None:
    agent = agents.Absent("n1", CheckpointError("agent_not_started", "No agent"))
    with agent, pytest.raises(CheckpointError) as lost:
        agent.ask("give", 1)
    assert lost.value.code == "agent_not_started" and agent.answered(1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it(number: int) -> None:
    with started() as agent:
        name(agent)
        os.kill(agent._process.pid, number)
        assert agent._process.wait(20) == 0


WORK = """
    import contextlib, os, sys, time
    from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._agent import loop

    class Work:
        def __init__(self, stop, tell):
            self.stop, self.tell = stop, tell
        def dig(self):
            print("noise that is no answer")
            self.tell(bytes=7)
            while not self.stop.is_set():
                time.sleep(0.01)
            return {"stopped": True}
        def rest(self):
            return {}
        def close(self):
            with open(sys.argv[2], "w") as file:
                file.write("closed")

    loop.ROLES["work"] = Work
    sys.exit(loop.main())
"""


def test_work_is_told_of_and_stops_for_the_next_word_and_for_the_end(tmp_path: pathlib.Path) -> None:
    program = tmp_path / "agent.py"
    program.write_text(textwrap.dedent(WORK))
    closed = tmp_path / "closed"
    # The zip is sent in any case.
    skip = f"head -c {len(agents.modules())} >/dev/null; "
    command = f"printf %s {MARKER}; {skip} exec {sys.executable} {program} work {closed}"
    told: list[dict[str, t.Any]] = []
    with Agent(["/bin/sh", "-c", command], MARKER, "n1", tell=told.append) as agent:
        digging = agent.say("dig")
        while not told:
            assert not agent.answered(digging)
            time.sleep(0.01)
        assert told == [{"bytes": 7}]
        assert agent.ask("rest", 20) == {} and agent.wait(digging, 0) == {"stopped": True}
        agent.say("dig")
    assert closed.read_text() == "closed"
