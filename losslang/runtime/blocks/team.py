"""Shares the blocks of a walk among threads, in each of which torch computes alone.

torch itself shares every operation among its threads, which wait for each other at its end: hundreds of
times in a walk. Where other processes take the cores, each of these waits lasts as long as theirs do. Here a
thread takes the next block when it is done with one, and all wait for each other once.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import starmap
from queue import SimpleQueue
from typing import Any, TypeVar

from losslang.tensors.lazy import torch

Result = TypeVar("Result")
MOST = 8
"""Threads of a team at most: what they do between two operations of torch, Python lets them do one at a time.

Of more threads of torch each gets its share, as threads of its own, and blocks that are as much larger.
"""
FEWEST = 16
"""Blocks from which on a team computes them; of fewer ones, torch shares each operation among its threads.

torch's threads spin for some milliseconds after an operation, on the cores that a team wakes up on: two
threads of a team take 0.9 to 2.4 times the time of by hand for less than 16 blocks, torch's own 0.5 to 1.2.
"""


class Team:
    """Threads that compute blocks, together as many as torch has."""

    def __init__(self, threads: int):
        self.size = min(threads, MOST)
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        all_are_there = threading.Barrier(self.size + 1)

        def serve() -> None:
            MEMBER.is_one = True
            # Asked first: a thread takes the number of the process when it first uses torch, also after it has set one.
            torch.get_num_threads()
            torch.set_num_threads(share(threads))
            all_are_there.wait()
            while True:
                self._tasks.get()()

        for _ in range(self.size):
            # Of a pool of the standard library they would end with the main thread, while others may still train.
            threading.Thread(target=serve, name="losslang", daemon=True).start()
        all_are_there.wait()
        # A thread sets its own number, and that of threads which are still to come: for those it stays as it was.
        torch.set_num_threads(threads)

    def each(self, function: Callable[..., Result], items: Sequence[Sequence[Any]]) -> list[Result]:
        """Returns `function(*item)` for all items, in their order; raises what the first of them raises."""
        left = deque(enumerate(items))
        found: list[Any] = [None] * len(items)
        errors: dict[int, BaseException] = {}
        at_work, ended = deque(range(min(self.size, len(items)))), threading.Event()
        mode = torch.inference_mode if torch.is_inference_mode_enabled() else torch.no_grad

        def work() -> None:
            with mode():
                while left and not errors:
                    try:
                        place, item = left.popleft()
                    except IndexError:
                        # Another thread took the last one.
                        break
                    try:
                        found[place] = function(*item)
                    except BaseException as error:
                        errors[place] = error
            at_work.pop()
            if not at_work:
                ended.set()

        for _ in range(len(at_work)):
            self._tasks.put(work)
        try:
            ended.wait()
        finally:
            # Ctrl-C reaches the thread that waits. Once it has gone on, no other may write to its tensors.
            left.clear()
            ended.wait()
        try:
            if errors:
                raise errors[min(errors)]
        finally:
            # What is raised holds this frame, and so the tensors of all blocks.
            errors.clear()
        return found


def share(threads: int) -> int:
    """Returns the threads of torch that a thread of a team has, of all that torch has."""
    return max(threads // MOST, 1)


class _Member(threading.local):
    """Whether this thread belongs to a team."""

    is_one = False


MEMBER = _Member()
TEAMS: dict[int, Team] = {}
"""The teams of this process, by the number of torch's threads."""
if hasattr(os, "register_at_fork"):
    # A process that is forked off, as a loader's, has no threads but the one that forked it.
    os.register_at_fork(after_in_child=TEAMS.clear)


def each(
    function: Callable[..., Result],
    items: Sequence[Sequence[Any]],
    device: torch.device,
    *,
    ordered: bool = False,
) -> list[Result]:
    """Returns `function(*item)` for all items, in their order.

    A team computes them on a CPU with several threads, unless they are few, or `ordered`: each changes what
    the next one reads.
    """
    threads = torch.get_num_threads()
    if ordered or device.type != "cpu" or threads == 1 or len(items) < FEWEST or MEMBER.is_one:
        return list(starmap(function, items))
    team = TEAMS.get(threads) or TEAMS.setdefault(threads, Team(threads))
    return team.each(function, items)
