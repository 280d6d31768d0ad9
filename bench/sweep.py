"""Time beside the hand-written form at every size: `make bench-sweep`, or `python -m bench.sweep`.

    python -m bench.sweep                     everything, about an hour on two cores
    python -m bench.sweep --quick             one thread, float32, every fourth size: about three minutes
    python -m bench.sweep --only ce,mse       some programs: their family, or a part of their name
    python -m bench.sweep --against COMMIT    beside losslang as it was at a commit, or in a folder

Sizes are 2^10 to 2^26 elements in steps of the square root of two. The sides take turns of a few milliseconds,
forward and backward; what counts is the median of the ratios of the turns. With one thread it is the time
on the processor, with more that of the clock. In half precision the form by hand converts to float32, as
torch.autocast does for torch's losses; the one that does not is measured beside it, with the digits that it
loses. Writes SWEEP.md and sweep.png; a part goes into build/bench. Every point is noted in build/bench/sweep.jsonl:
a run that is interrupted goes on from there, as long as nothing that git knows has changed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import machine, sweep_picture, sweep_report
from bench.results import HAND, OURS
from bench.sweep_points import DTYPES, Point, Record, Sweep
from bench.sweep_rows import ROWS, Row
from bench.turns import ROOT, Side, checked_out

SIZES = tuple(round(2 ** (k / 2)) for k in range(20, 53))
SAMPLE = 0.004
"""Seconds of one turn; a longer call is one turn."""
TURNS, FEWEST, SPENT = 9, 2, 0.5
"""Turns of each side, but no more than the fewest once so many seconds are spent on them."""
AS_GIVEN = "by hand, as given"
"""The form by hand on tensors of half precision as they are."""
READY, ERROR = 0, -1
"""What is asked for in place of a number of calls."""
EXACT = 2**20
"""Elements up to which the error of a value is computed, in float64."""


def main() -> None:
    given = arguments()
    start, points = time.perf_counter(), list[Point]()
    described = machine.described("cpu")
    record = Record(
        ROOT / "build" / "bench" / "sweep.jsonl", {**described, "code": _code(), "then": given.against}
    )
    with contextlib.ExitStack() as stack:
        there = _folder(given.against, stack) if given.against else None
        for threads in given.threads:
            with contextlib.ExitStack() as processes:
                here = processes.enter_context(Side(ROOT, "bench.sweep", threads))
                before = there and processes.enter_context(Side(there, "bench.sweep", threads))
                for point in _points(given, threads, here, before, record):
                    points.append(point)
                    if not point.holds:
                        print(sweep_report.line(point), flush=True)
    sweep = Sweep(described, tuple(points), given.against)
    given.out.mkdir(parents=True, exist_ok=True)
    image = given.out / "sweep.png"
    drawn = sweep_picture.draw(sweep, image)
    page = given.out / "SWEEP.md"
    page.write_text(sweep_report.page(sweep, image.name if drawn else None), encoding="utf-8")
    print(f"\n{sweep_report.summary(sweep)}\n{time.perf_counter() - start:.0f} s, written to {page}")


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.sweep",
        description="Measures losslang beside the hand-written form at every size.",
    )
    parser.add_argument("--against", metavar="COMMIT", help="a commit, or a folder with a checkout")
    parser.add_argument("--threads", type=_numbers, default=(1, 2), help="1,2 unless given")
    parser.add_argument("--dtypes", type=_words, default=DTYPES, metavar="DTYPE,...", help=", ".join(DTYPES))
    parser.add_argument("--sizes", type=_numbers, metavar="N,...", help="elements of a prediction")
    parser.add_argument(
        "--only", type=_words, default=(), metavar="NAME,...", help="parts of the names of rows"
    )
    parser.add_argument("--quick", action="store_true", help="one thread, float32, every fourth size")
    parser.add_argument("--out", type=Path, metavar="DIR")
    given = parser.parse_args(words)
    if given.quick:
        given.threads, given.dtypes, given.sizes = (1,), DTYPES[:1], given.sizes or SIZES[::4]
    given.sizes = given.sizes or SIZES
    given.rows = [row for row in ROWS if not given.only or any(part in row.name for part in given.only)]
    if not given.rows or not set(given.dtypes) <= set(DTYPES):
        parser.error(f"dtypes are {', '.join(DTYPES)}; rows are {'; '.join(row.name for row in ROWS)}")
    asked = (given.threads, given.dtypes, given.sizes, len(given.rows))
    whole = asked == ((1, 2), DTYPES, SIZES, len(ROWS))
    given.out = given.out or (ROOT / "bench" if whole else ROOT / "build" / "bench")
    return given


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(part) for part in text.split(",")}))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _folder(against: str, stack: contextlib.ExitStack) -> Path:
    folder = Path(against)
    return folder.resolve() if folder.is_dir() else stack.enter_context(checked_out(against))


def _code() -> str:
    """The commit; with changes beside it also the time, so that no other run has the same."""
    asked = ["git", "describe", "--always", "--abbrev=40", "--dirty"]
    found = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    return f"{found} {time.time()}" if found.endswith("dirty") else found


# -------------------------------------------------------------------- turns


def _points(
    given: argparse.Namespace, threads: int, here: Side, before: Side | None, record: Record
) -> Iterator[Point]:
    for dtype in given.dtypes:
        for size in given.sizes:
            print(f"{threads} threads, {dtype}, {size} elements", flush=True)
            for row in given.rows:
                if size <= row.most:
                    known = record.known.get(((row.family, row.variant), size, threads, dtype))
                    yield known or record.add(measured(row, threads, dtype, size, here, before))


def measured(row: Row, threads: int, dtype: str, size: int, here: Side, before: Side | None) -> Point:
    """One point: the sides in turns, there and back."""
    key = row.name, size, dtype
    is_whole_step = size & (size - 1) == 0
    forms = (OURS, HAND, AS_GIVEN) if dtype != DTYPES[0] and is_whole_step else (OURS, HAND)
    calls = {form: partial(here.ask, *key, form) for form in forms}
    if before is not None:
        calls["then"] = partial(before.ask, *key, OURS)
    once = {name: call(READY) for name, call in calls.items()}
    number = {name: max(1, round(SAMPLE / seconds)) for name, seconds in once.items()}
    found: dict[str, list[float]] = {name: [] for name in calls}
    start = time.perf_counter()
    for turn in range(TURNS):
        if turn >= FEWEST and time.perf_counter() - start > SPENT:
            break
        for name in [*calls] if turn % 2 == 0 else [*calls][::-1]:
            found[name].append(calls[name](number[name]))

    def ratio(of: str, to: str) -> float | None:
        ratios = [one / two for one, two in zip(found.get(of, []), found.get(to, []), strict=False)]
        return statistics.median(ratios) if ratios else None

    now = ratio(OURS, HAND)
    assert now is not None
    return Point(
        row.family,
        row.variant,
        size,
        threads,
        dtype,
        statistics.median(found[HAND]),
        now,
        ratio("then", HAND),
        ratio(OURS, AS_GIVEN),
        here.ask(*key, AS_GIVEN, ERROR) if AS_GIVEN in forms and size <= EXACT else None,
    )


# -------------------------------------------------------------------- in the process of a side

_ROW: dict[tuple[Any, ...], Forms] = {}
_LOSSES: dict[str, Any] = {}


class Forms:
    """A row at one size: its tensors, and the forms that compute it."""

    def __init__(self, row: Row, size: int, dtype: str):
        import torch

        import losslang
        from bench.work import prepared

        if not _LOSSES:
            # Until a large tensor is freed glibc gives memory back to the system after every call.
            torch.empty(28 * 2**20, dtype=torch.uint8).fill_(1)
        if row.name not in _LOSSES:
            _LOSSES[row.name] = losslang.compile(row.work.program)
        loss, call = _LOSSES[row.name], prepared(row.work, row.shape(size), "cpu", getattr(torch, dtype))
        self.by_hand, self.call = row.work.by_hand, call
        self.forward: dict[str, Callable[[], Any]] = {
            OURS: lambda: loss(call.pred, call.target, **call.batch),
            HAND: self.in_float32 if dtype != DTYPES[0] else self.as_given,
            AS_GIVEN: self.as_given,
        }

    def as_given(self) -> Any:
        return self.by_hand(self.call.pred, self.call.target, **self.call.batch)

    def in_float32(self) -> Any:
        return self._converted("float")

    def _converted(self, to: str) -> Any:
        pred, target = self.call.pred, self.call.target
        wide = getattr(target, to)() if target.is_floating_point() else target
        return self.by_hand(getattr(pred, to)(), wide, **self.call.batch)

    def run(self, form: str) -> Callable[[], None]:
        """Forward and backward."""
        from bench.sides import Side as Form

        return Form(form, self.forward[form]).both(self.call)

    def error(self, form: str) -> float:
        """By how much of itself a value differs from that of float64."""
        exact = self._converted("double").item()
        return abs(self.forward[form]().item() - exact) / abs(exact)


def answer(name: str, size: int, dtype: str, form: str, number: int) -> float:
    """Seconds of a call of a row, forward and backward, in a turn of so many; READY, or the ERROR of its value."""
    key = name, size, dtype
    if key not in _ROW:
        _ROW.clear()
        _ROW[key] = Forms(next(row for row in ROWS if row.name == name), size, dtype)
    if number == ERROR:
        return _ROW[key].error(form)
    run = _ROW[key].run(form)
    if number == READY:
        return _ready(run)
    clock = _clock()
    gc.disable()
    try:
        start = clock()
        for _ in range(number):
            run()
        return (clock() - start) / number
    finally:
        gc.enable()


def _clock() -> Callable[[], float]:
    import torch

    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def _ready(run: Callable[[], object]) -> float:
    """Runs a few times, so that what is built in a first call is not timed; returns the shortest seconds."""
    found: list[float] = []
    while (
        len(found) < 2 or (len(found) < 3 and sum(found) < SPENT) or (len(found) < 20 and sum(found) < SAMPLE)
    ):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return min(found)


if __name__ == "__main__":
    main()
