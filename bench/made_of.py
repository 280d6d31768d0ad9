"""What the time of a walk is made of: `python -m bench.made_of`, from the top of the project.

One thread, forward and backward, as torch's profiler counts operations; beside it the time of the bytes that
must move, and that of every operation where it has nothing to compute.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter

import torch
from torch.profiler import ProfilerActivity, profile

from bench import sides, works
from bench.results import OURS
from bench.work import prepared

NAMES = ("bce+dice", "ce+dice", "focal+dice+tversky")
GROUPS = {
    "functions": ("exp", "sigmoid", "log", "log1p_", "pow"),
    "passes in the cache": (
        *("add", "add_", "addcmul", "addcmul_", "sub", "mul", "div_", "neg", "neg_", "clamp", "minimum"),
        *("sigmoid_backward", "copy_"),
    ),
    "sums": ("sum", "dot", "bmm", "min", "aminmax"),
    "by label": ("gather", "scatter_add_", "index_select", "bincount"),
}
"""Operations of torch by what they do; all others prepare or start some."""
STEPS = 7


def main() -> None:
    torch.set_num_threads(1)
    print(f"| program | a step | bytes that move | operations | {' | '.join(GROUPS)} | rest |")
    print(f"|---|---|---|---|{'---|' * len(GROUPS)}---|")
    for name in NAMES:
        print(line(name), flush=True)


def line(name: str) -> str:
    """The row of a program."""
    work = next(work for work in works.TABLE if work.name == name)
    call = prepared(work, work.largest, "cpu")
    (side,) = (
        side for side in sides.sides(work, work.largest, call, only=(OURS,)) if isinstance(side, sides.Side)
    )
    run = side.both(call)
    for _ in range(3):
        run()
    seconds = statistics.median(_timed(run) for _ in range(STEPS))
    # Twice: the first of a process counts what it starts with.
    for _ in range(2):
        with profile(activities=[ProfilerActivity.CPU]) as found:
            run()
    spent, calls = Counter[str](), 0
    for event in found.key_averages():
        operation = event.key.removeprefix("aten::")
        group = next((group for group, names in GROUPS.items() if operation in names), "rest")
        spent[group] += event.self_cpu_time_total
        calls += event.count if group != "rest" else 0
    shares = [f"{100 * spent[group] / spent.total():.0f} %" for group in (*GROUPS, "rest")]
    read, written = call.input_bytes(), call.gradient_bytes()
    copied = torch.empty((read + written) // 8, dtype=torch.float32)
    into = torch.empty_like(copied)
    copy = statistics.median(_timed(lambda: into.copy_(copied)) for _ in range(STEPS))
    return f"| {name} | {1e3 * seconds:.0f} ms | {1e3 * copy:.0f} ms | {calls} | {' | '.join(shares)} |"


def _timed(run: object) -> float:
    assert callable(run)
    start = time.thread_time()
    run()
    return time.thread_time() - start


if __name__ == "__main__":
    main()
