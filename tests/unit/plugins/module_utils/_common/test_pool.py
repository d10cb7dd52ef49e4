# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections
import signal
import threading
import time

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.deadline import Deadline
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.interrupt import stop_requested
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.pool import run_bounded


class Work:
    """Counts how many run at once, in all and per key (the first letter). Each waits until ``together`` have met."""

    def __init__(self, seconds: float = 0.02, together: int = 1) -> None:
        self.seconds = seconds
        self.together = together
        self.met = threading.Event()
        self.running: collections.Counter[str] = collections.Counter()
        self.most = 0
        self.most_per_key = 0
        self.order: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, job: str) -> str:
        with self._lock:
            self.order.append(job)
            self.running[job[0]] += 1
            self.most = max(self.most, sum(self.running.values()))
            self.most_per_key = max(self.most_per_key, *self.running.values())
            if self.most >= self.together:
                self.met.set()
        self.met.wait(30)
        time.sleep(self.seconds)
        with self._lock:
            self.running[job[0]] -= 1
        return job.upper()


JOBS = [f"{node}{number}" for number in range(6) for node in "abcd"]


def by_letter(job: str) -> str:
    return job[0]


@pytest.mark.parametrize(
    ("limit", "limit_per_key", "most", "most_per_key"), [(3, 2, 3, 2), (10, 1, 4, 1), (99, 9, 24, 6)]
)
def test_both_limits_hold_and_are_used(limit: int, limit_per_key: int, most: int, most_per_key: int) -> None:
    work = Work(together=most)
    results = run_bounded(JOBS, work, key=by_letter, limit=limit, limit_per_key=limit_per_key)
    assert results == [job.upper() for job in JOBS]
    assert work.most == most and work.most_per_key <= most_per_key


def test_one_busy_key_does_not_hold_up_the_others() -> None:
    work = Work()
    jobs = ["a1", "a2", "a3", "a4", "b1"]
    run_bounded(jobs, work, key=by_letter, limit=2, limit_per_key=1)
    assert "b1" in work.order[:2]


def test_a_single_worker_keeps_the_order() -> None:
    work = Work(0)
    run_bounded(JOBS, work, key=by_letter, limit=1, limit_per_key=1)
    assert work.order == JOBS


def test_no_jobs() -> None:
    assert run_bounded([], Work(), key=by_letter, limit=3, limit_per_key=1) == []


def test_nothing_begins_once_it_may_not_and_what_runs_ends() -> None:
    stop = threading.Event()

    def work(job: str) -> str:
        if job == "a1":
            stop.set()
        time.sleep(0.05)
        return job

    jobs = ["a0", "b0", "a1", "b1", "a2", "b2", "a3"]
    results = run_bounded(jobs, work, key=by_letter, limit=2, limit_per_key=1, may_start=lambda: not stop.is_set())
    assert results[:3] == ["a0", "b0", "a1"]
    assert results[-2:] == [None, None]
    assert all(result in (job, None) for result, job in zip(results, jobs))


def test_an_exception_ends_the_pool_and_comes_out() -> None:
    begun = []

    def work(job: str) -> None:
        begun.append(job)
        raise ValueError(job)

    with pytest.raises(ValueError, match="a0"):
        run_bounded(JOBS, work, key=by_letter, limit=1, limit_per_key=1)
    assert begun == ["a0"]


def test_ctrl_c_waits_for_what_runs_and_begins_nothing_more() -> None:
    work = Work(1.0, together=2)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        if work.met.wait(30):
            signal.pthread_kill(main, signal.SIGINT)

    # A process that was begun in the background has SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_bounded(JOBS, work, key=by_letter, limit=2, limit_per_key=1)
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert work.order == JOBS[:2]
    assert sum(work.running.values()) == 0


def test_deadline() -> None:
    assert Deadline(None).remaining() is None
    assert not Deadline(None).expired
    later = Deadline(60)
    assert not later.expired and 59 < (later.remaining() or 0) <= 60
    assert Deadline(0).expired


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_wish_and_the_second_is_as_ever(number: signal.Signals) -> None:
    seen = []
    before = signal.signal(number, lambda *_arguments: seen.append(number))
    try:
        with stop_requested() as stop:
            signal.raise_signal(number)
            assert stop.is_set() and not seen
            signal.raise_signal(number)
            assert seen == [number]
        assert signal.getsignal(number) is not signal.SIG_DFL
    finally:
        signal.signal(number, before)
