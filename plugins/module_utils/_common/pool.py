# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bounded pool of threads with a limit in all and a limit per key.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import collections
import threading
import typing as t

Job = t.TypeVar("Job")
Result = t.TypeVar("Result")


def run_bounded(
    jobs: t.Sequence[Job],
    work: t.Callable[[Job], Result],
    *,
    key: t.Callable[[Job], t.Hashable],
    limit: int,
    limit_per_key: int,
    may_start: t.Callable[[], bool] = lambda: True,
) -> list[Result | None]:
    """Call ``work`` for every job in at most ``limit`` threads, at most ``limit_per_key`` of them for jobs of one key.

    Jobs begin in their order as far as the limits allow. Before each one ``may_start`` is asked; once it says no,
    nothing more begins, and what runs is left to finish. Returns the results in the order of ``jobs``, ``None`` for
    a job that never began. An exception out of ``work`` ends the pool in the same way and is raised at the end.
    """
    results: list[Result | None] = [None] * len(jobs)
    pending = list(range(len(jobs)))
    running: collections.Counter[t.Hashable] = collections.Counter()
    changed = threading.Condition()
    errors: list[BaseException] = []

    def next_job() -> int | None:
        """Wait for a job that the limit per key allows; ``None`` when there is nothing more to do."""
        while pending and not errors and may_start():
            for index in pending:
                if running[key(jobs[index])] < limit_per_key:
                    pending.remove(index)
                    return index
            changed.wait()
        return None

    def worker() -> None:
        try:
            while True:
                with changed:
                    index = next_job()
                    if index is None:
                        pending.clear()
                        return
                    running[key(jobs[index])] += 1
                try:
                    results[index] = work(jobs[index])
                except BaseException as error:
                    errors.append(error)
                finally:
                    with changed:
                        running[key(jobs[index])] -= 1
                        changed.notify_all()
        finally:
            with changed:
                ended.add(threading.current_thread().name)
                changed.notify_all()

    def wait_for_all() -> None:
        # Not by Thread.join: interrupted once, it takes the thread for ended (CPython 3.11, _wait_for_tstate_lock). And
        # not without a limit: a signal that comes just before a lock is waited for is not seen until the wait ends.
        with changed:
            while any(thread.ident is not None and thread.name not in ended for thread in threads):
                changed.wait(0.1)

    ended: set[str] = set()
    threads = [threading.Thread(target=worker, name=f"pool-{n}") for n in range(min(limit, len(jobs)))]
    try:
        for thread in threads:
            thread.start()
        wait_for_all()
    except BaseException as error:
        # Ctrl-C in the waiting thread: what runs is waited for, nothing more begins.
        errors.append(error)
        wait_for_all()
    if errors:
        raise errors[0]
    return results
