"""Time of this losslang beside that of an earlier commit: `python -m bench.since COMMIT`, from the top of the project.

Each of the two has a process of its own, on one thread, whose time on the processor counts. They take turns, a
few milliseconds each, so that a slow moment of the machine strikes both. Medians of pairs are printed as a
table, with what a scheduled weight costs beside a constant one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from bench.turns import ROOT, Side, checked_out

MASK, CLASSES, NUMBERS = "mask", "classes", "numbers"
ROWS = {
    "mse, 10x32": ("mse", NUMBERS, (10, 32)),
    "0.5*bce + dice, 32x1x16x16": ("0.5*bce(sigmoid) + dice(smooth=1)", MASK, (32, 1, 16, 16)),
    "0.5*bce + dice, 1 MB": ("0.5*bce(sigmoid) + dice(smooth=1)", MASK, (4, 1, 256, 256)),
    "focal + tversky, 32x1x16x16": ("focal(sigmoid) + tversky(alpha=0.3, beta=0.7)", MASK, (32, 1, 16, 16)),
    "focal + tversky, 1 MB": ("focal(sigmoid) + tversky(alpha=0.3, beta=0.7)", MASK, (4, 1, 256, 256)),
    "ce(label_smoothing=0.1) + dice, 1 MB": ("ce(label_smoothing=0.1) + dice", CLASSES, (2, 8, 128, 128)),
}
"""Programs without a clock: the text, what its target is, and the shape of the prediction."""
CONSTANT, SCHEDULED = "l1 + 0.3*mse", "l1 + ramp(0.3, 0.3001, steps=1000000)*mse"
SAMPLE = 0.004
"""Seconds of one turn."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.since", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("commit", help="the commit to compare with, as git names it")
    parser.add_argument("--pairs", type=int, default=150, help="turns of each side in every row")
    given = parser.parse_args()
    with (
        checked_out(given.commit) as before,
        Side(before, "bench.since") as old,
        Side(ROOT, "bench.since") as new,
    ):
        print(f"| program | at {given.commit} | now | now / then |\n|---|---|---|---|")
        for name, row in ROWS.items():
            _compare(name, (old, row), (new, row), given.pairs)
        standing, moved = ((SCHEDULED, NUMBERS, (10, 32), moves) for moves in (False, True))
        constant = (CONSTANT, NUMBERS, (10, 32), True)
        print("\n| scheduled weight | constant | scheduled | costs |\n|---|---|---|---|")
        _compare("the clock stands", (new, constant), (new, standing), given.pairs, costs=True)
        _compare("the clock has moved", (new, constant), (new, moved), given.pairs, costs=True)


_KNOWN: dict[tuple[Any, ...], tuple[Callable[[], float], int]] = {}


def answer(*row: Any) -> float:
    """Seconds of a call of a row, forward and backward, in the process of a side."""
    if row not in _KNOWN:
        run = _call(*row)
        once = statistics.median([run() for _ in range(50)])
        _KNOWN[row] = run, max(1, round(SAMPLE / once))
    run, number = _KNOWN[row]
    return sum(run() for _ in range(number)) / number


def _call(text: str, kind: str, shape: tuple[int, ...], moves: bool = False) -> Callable[[], float]:
    """Makes the function that times one step; `moves`: the clock has moved before it, which is not timed."""
    import torch

    import losslang

    loss: Any = losslang.compile(text)
    pred = torch.randn(shape).requires_grad_()
    places = (shape[0], *shape[2:])
    truth = {
        MASK: lambda: (torch.rand(shape) > 0.5).float(),
        CLASSES: lambda: torch.randint(shape[1], places),
        NUMBERS: lambda: torch.randn(shape),
    }[kind]()

    def run() -> float:
        if moves:
            loss.tick()
        pred.grad = None
        start = time.thread_time()
        loss(pred, truth).backward()
        return time.thread_time() - start

    return run


def _compare(
    name: str,
    one: tuple[Side, tuple[Any, ...]],
    two: tuple[Side, tuple[Any, ...]],
    pairs: int,
    *,
    costs: bool = False,
) -> None:
    """Prints a row: the medians of both, and the median of what the second is to the first, pair by pair."""
    for side, row in (one, two) * 3:
        side.ask(*row)
    found: list[tuple[float, float]] = []
    for turn in range(pairs):
        order = (one, two) if turn % 2 == 0 else (two, one)
        times = {row: side.ask(*row) for side, row in order} if costs else None
        if times is None:
            first, second = (side.ask(*row) for side, row in order)
            found.append((first, second) if turn % 2 == 0 else (second, first))
        else:
            found.append((times[one[1]], times[two[1]]))
    medians = [f"{1e6 * statistics.median(times):.1f} us" for times in zip(*found, strict=True)]
    if costs:
        last = f"{1e6 * statistics.median(b - a for a, b in found):.1f} us"
    else:
        last = f"{statistics.median(b / a for a, b in found):.3f}"
    print(f"| {name} | {' | '.join(medians)} | {last} |", flush=True)


if __name__ == "__main__":
    main()
