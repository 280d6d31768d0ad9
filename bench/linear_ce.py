"""`linear_ce` beside torch's own fused form: `python -m bench.linear_ce`, from the top of the project.

    python -m bench.linear_ce                        four shapes, one thread and two, about ten minutes
    python -m bench.linear_ce --shapes 512x256x8192  tokens, width and classes

torch.nn.functional.linear_cross_entropy computes all logits unless it is handed options; with
`LinearCrossEntropyOptions()` it goes by chunks of rows. The sides take turns; peaks are of processes of their own.
The error is the distance of a gradient from that in float64, in units of its length: the larger of the two.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.__main__ import EXACT
from bench.report import duration, size
from bench.results import OURS
from bench.turns import ROOT, Side

WHOLE, CHUNKED = "torch", "torch by chunks"
SIDES = (OURS, WHOLE, CHUNKED)
DTYPES = ("float32", "bfloat16")
SHAPES = ((64, 128, 1000), (512, 256, 8192), (2048, 1024, 50257), (4096, 512, 32768))
"""Tokens, width and classes."""
SAMPLE, TURNS, FEWEST, SPENT = 0.02, 9, 3, 4.0
"""Seconds of a turn, or one call; turns of each side, but no more than the fewest after so many seconds."""
Row = tuple[tuple[int, ...], str, str]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.linear_ce", description="Measures linear_ce beside torch."
    )
    parser.add_argument("--threads", type=_numbers, default=(1, 2), help="1,2 unless given")
    parser.add_argument("--shapes", type=_shapes, default=SHAPES, metavar="NxDxC,...")
    parser.add_argument("--dtypes", type=lambda text: text.split(","), default=DTYPES)
    given = parser.parse_args(words)
    print("| tokens x width x classes | dtype | side | " + " | ".join(map(_head, given.threads)), end="")
    print(" | beyond the gradients | error |\n|---|---|---|" + "---|" * (len(given.threads) + 2))
    with contextlib.ExitStack() as stack:
        timed = [stack.enter_context(Side(ROOT, "bench.linear_ce", threads)) for threads in given.threads]
        exact = stack.enter_context(Side(ROOT, "bench.linear_ce", 1, EXACT))
        for shape in given.shapes:
            for dtype in given.dtypes:
                rows: list[Row] = [(shape, dtype, side) for side in SIDES]
                times = [medians(process, rows) for process in timed]
                others = [(exact.ask("peak", *row), exact.ask("error", *row)) for row in rows]
                print("\n".join(lines(rows, times, others)), flush=True)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _shapes(text: str) -> tuple[tuple[int, ...], ...]:
    return tuple(_numbers(part.replace("x", ",")) for part in text.split(","))


def _head(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"


def lines(rows: list[Row], times: list[list[float]], others: list[tuple[int, float]]) -> Iterator[str]:
    """A row of the table for each side; times with their ratio to those of losslang."""
    for i, (shape, dtype, side) in enumerate(rows):
        cells = [f"{duration(each[i])} ({each[i] / each[0]:.2f})" for each in times]
        peak, error = others[i]
        cells += [size(max(peak, 0)), f"{error:.1e}"]
        yield f"| {'x'.join(map(str, shape))} | {dtype} | {side} | {' | '.join(cells)} |"


def medians(process: Side, rows: list[Row]) -> list[float]:
    """Seconds of a call of each side, forward and backward, in turns."""
    once = [process.ask("time", *row, 0) for row in rows]
    calls = [max(1, round(SAMPLE / seconds)) for seconds in once]
    found: list[list[float]] = [[] for _ in rows]
    start = time.perf_counter()
    for turn in range(TURNS):
        if turn >= FEWEST and time.perf_counter() - start > SPENT:
            break
        order = range(len(rows)) if turn % 2 == 0 else reversed(range(len(rows)))
        for i in order:
            found[i].append(process.ask("time", *rows[i], calls[i]))
    return [statistics.median(each) for each in found]


# -------------------------------------------------------------------- in the process of a side


_KNOWN: dict[tuple[Any, ...], tuple[Any, dict[str, Callable[[], Any]]]] = {}


def answer(what: str, shape: tuple[int, ...], dtype: str, side: str, calls: int = 1) -> float:
    """Seconds of a call, the bytes that it holds beyond its gradients, or how far these are off."""
    import torch

    from bench.measure import peak
    from bench.work import Call

    key = shape, dtype
    if key not in _KNOWN:
        _KNOWN.clear()
        call: Call = _call(*key)
        _KNOWN[key] = call, _forms(call)
    call, forms = _KNOWN[key]
    run = forms[side]

    def both() -> None:
        call.clear()
        run().backward()

    if what == "peak":
        found = peak(both, call.clear, "cpu")
        assert found is not None
        return found - call.gradient_bytes()
    if what == "error":
        both()
        made = [tensor.grad for tensor in call.trained]
        return max(_distance(a, b) for a, b in zip(made, _exact(call), strict=True))
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    if calls == 0:
        # The first calls of losslang look at more, and build what later ones run.
        start = time.perf_counter()
        for _ in range(3):
            if time.perf_counter() - start < 1:
                both()
    start = clock()
    for _ in range(max(1, calls)):
        both()
    return (clock() - start) / max(1, calls)


def _call(shape: tuple[int, ...], dtype: str) -> Any:
    import torch

    from bench import inputs
    from bench.work import Work, prepared

    work = Work("linear", "", inputs.tokens, torch.add, (shape,))
    return prepared(work, shape, "cpu", getattr(torch, dtype))


def _forms(call: Any) -> dict[str, Callable[[], Any]]:
    import torch
    import torch.nn.functional as F

    import losslang

    loss = losslang.compile("linear_ce(head=const.head)", const=dict(call.const))
    weight, options = call.const["head"].weight, torch.nn.LinearCrossEntropyOptions()
    return {
        OURS: lambda: loss(call.pred, call.target),
        WHOLE: lambda: F.linear_cross_entropy(call.pred, weight, call.target),
        CHUNKED: lambda: F.linear_cross_entropy(call.pred, weight, call.target, options=options),
    }


def _exact(call: Any) -> list[Any]:
    """The gradients in float64, some rows at a time."""
    import torch
    import torch.nn.functional as F

    pred, weight = (tensor.detach().double().requires_grad_() for tensor in call.trained)
    for rows in torch.arange(len(pred)).split(256):
        logits = F.linear(pred[rows], weight)
        (F.cross_entropy(logits, call.target[rows], reduction="sum") / len(pred)).backward()
    return [pred.grad, weight.grad]


def _distance(found: Any, exact: Any) -> float:
    return ((found.double() - exact).norm() / exact.norm()).item()


if __name__ == "__main__":
    main()
