"""Time beside other processes that want the same cores: `python -m bench.busy`, from the top of the project.

    python -m bench.busy                     losslang and by hand, beside four busy processes
    python -m bench.busy --against COMMIT    and losslang as it was at a commit
    python -m bench.busy --load 2            beside two

Each side has a process of its own, which has called the loss on an idle machine before, as a training does
whose data loaders start to work. The sides take turns of two calls, forward and backward, of which the second is
timed; all turns count, the first beside the load too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.results import HAND, OURS
from bench.turns import ROOT, Side, checked_out

ROWS = (("bce+dice", (16, 1, 1024, 1024)), ("ce", (2, 21, 512, 512)))
"""The name of a work and the shape of its prediction."""
LOADS = {
    "idle": "",
    "computing": "while True: sum(range(10000))",
    "streaming": "a, b = bytearray(2**26), bytearray(2**26)\nwhile True: a[:] = b",
}
"""What each of the other processes does: nothing, Python, or copies of 64 MB."""
REST = 0.02
"""Seconds between two turns, in which the threads of the one before stop to spin."""


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.busy", description="Measures beside busy processes."
    )
    parser.add_argument("--against", metavar="COMMIT", help="a commit, or a folder with a checkout")
    parser.add_argument("--load", type=int, default=4, help="how many processes are busy")
    parser.add_argument("--threads", type=int, default=2, help="of each side")
    parser.add_argument("--turns", type=int, default=7, help="of each side")
    given = parser.parse_args(words)
    with contextlib.ExitStack() as stack:
        roots = {OURS: ROOT, HAND: ROOT}
        if given.against:
            folder = Path(given.against)
            there = folder.resolve() if folder.is_dir() else stack.enter_context(checked_out(given.against))
            roots = {OURS: ROOT, given.against: there, HAND: ROOT}
        sides = {
            name: stack.enter_context(Side(root, "bench.busy", given.threads)) for name, root in roots.items()
        }
        print(f"{given.load} processes beside {given.threads} threads, on {os.cpu_count()} cores\n")
        print("| program | beside | side | median | worst | median, by hand = 1 | worst, by hand = 1 |")
        print("|---|---|---|---|---|---|---|")
        for work, shape in ROWS:
            for beside, program in LOADS.items():
                calls = {name: (side, (work, shape, name == HAND)) for name, side in sides.items()}
                found = measured(calls, program, given.load, given.turns)
                print("\n".join(lines(f"{work} {'x'.join(map(str, shape))}", beside, found)), flush=True)


def measured(
    calls: dict[str, tuple[Side, tuple[object, ...]]], program: str, load: int, turns: int
) -> dict[str, list[float]]:
    """The seconds of each turn of each side, beside `load` processes that run `program`."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for side, row in [*calls.values()] * 3:
        side.ask(*row)
    with busy(program, load if program else 0):
        for turn in range(turns):
            for name in [*calls] if turn % 2 == 0 else [*calls][::-1]:
                time.sleep(REST)
                side, row = calls[name]
                found[name].append(side.ask(*row))
    return found


@contextlib.contextmanager
def busy(program: str, number: int) -> Iterator[None]:
    """Processes that run a program until the end of the block."""
    others = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(number)]
    try:
        time.sleep(0.5 if others else 0)
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def lines(work: str, beside: str, found: dict[str, list[float]]) -> Iterator[str]:
    """A row of the table for each side."""
    median, worst = statistics.median(found[HAND]), max(found[HAND])
    for name, seconds in found.items():
        middle, most = statistics.median(seconds), max(seconds)
        numbers = f"{1e3 * middle:.1f} ms | {1e3 * most:.1f} ms | {middle / median:.2f} | {most / worst:.2f}"
        yield f"| {work} | {beside} | {name} | {numbers} |"


_KNOWN: dict[tuple[object, ...], Callable[[], object]] = {}


def answer(work: str, shape: tuple[int, ...], is_by_hand: bool) -> float:
    """Seconds of one call, forward and backward, in the process of a side."""
    row = work, shape, is_by_hand
    if row not in _KNOWN:
        _KNOWN.clear()
        _KNOWN[row] = _call(*row)
    # One that is not timed: what a system does with threads that have slept is not what a training sees.
    _KNOWN[row]()
    start = time.perf_counter()
    _KNOWN[row]()
    return time.perf_counter() - start


def _call(name: str, shape: tuple[int, ...], is_by_hand: bool) -> Callable[[], object]:
    from bench import sides, works
    from bench.work import prepared

    work = next(work for work in works.EVERYTHING if work.name == name)
    call = prepared(work, shape, "cpu")
    wanted = HAND if is_by_hand else OURS
    side = next(
        side for side in sides.sides(work, shape, call, only=(wanted,)) if isinstance(side, sides.Side)
    )
    return side.both(call)


if __name__ == "__main__":
    main()
