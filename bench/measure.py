"""Two measurements: the median time of several forms in turns, and the peak of memory of one call."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from losslang.runtime.blocks.memory import GRADIENTS

Run = Callable[[], object]

SAMPLE = 0.005
"""Seconds that one sample should last: a short call is repeated so often within it."""
SLOW, ENOUGH = 1.5, 3
"""A call of more seconds than the first is measured as often as the second, and no oftener."""
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Effort:
    """How long a comparison may take. At least `rounds` rounds are made whatever that takes."""

    seconds: float
    rounds: int
    most: int = 60


def medians(runs: Mapping[str, Run], effort: Effort, device: str) -> dict[str, float]:
    """Seconds a call of each form; all are measured in turns, so that a slow moment strikes them alike.

    Every form has been called before: what is built or compiled on a first call is not timed.
    """
    calls, samples = dict[str, int](), dict[str, list[float]]()
    for name, run in runs.items():
        once = _sample(run, 1, device)
        # A long call is a sample already; of short ones the first few settle caches and clocks.
        samples[name] = [once] if once > SAMPLE else []
        calls[name] = 1 if once > SAMPLE else max(1, round(SAMPLE / _sample(run, 20, device)))
    slow = [name for name, found in samples.items() if found and found[0] > SLOW]
    wanted = {name: min(ENOUGH, effort.rounds) if name in slow else effort.rounds for name in runs}
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for done in range(effort.most):
            lacking = [name for name in runs if len(samples[name]) < wanted[name]]
            if not lacking and time.perf_counter() - start > effort.seconds:
                break
            turn = [name for name in runs if name in lacking or wanted[name] == effort.rounds]
            # There and back, so that none always follows the same neighbour.
            for name in turn if done % 2 == 0 else reversed(turn):
                samples[name].append(_sample(runs[name], calls[name], device))
    finally:
        gc.enable()
    return {name: statistics.median(times) for name, times in samples.items()}


def _sample(run: Run, calls: int, device: str) -> float:
    _wait(device)
    start = time.perf_counter()
    for _ in range(calls):
        run()
    _wait(device)
    return (time.perf_counter() - start) / calls


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak(run: Run, clear: Run, device: str) -> int | None:
    """The most bytes that a call holds beyond what was there before it. None where nothing tells.

    On a CPU that is the high-water mark of the process's resident memory, which the kernel keeps and
    forgets on request; on a GPU that of torch's allocator. A first call fills caches and is not
    counted.
    """
    if device == "cpu" and not (STATUS.exists() and RESET.exists()):
        return None
    run()
    clear()
    found = _peak_on_gpu(run) if device == "cuda" else _peak_on_cpu(run)
    clear()
    return found


def _peak_on_gpu(run: Run) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _peak_on_cpu(run: Run) -> int:
    gc.collect()
    # What is kept of freed memory, by losslang or by malloc, would be used again without being seen.
    GRADIENTS.free.clear()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    RESET.write_text("5")
    before = _resident("VmRSS")
    run()
    return _resident("VmHWM") - before


def _resident(field: str) -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def copy_speed(size: int, device: str) -> float:
    """Bytes a second that a copy of `size` bytes moves: read once and written once."""
    # Written once: pages of zeros that nobody has touched are no memory.
    source, target = torch.empty(2, size, dtype=torch.uint8, device=device).fill_(1)
    seconds = medians({"copy": lambda: target.copy_(source)}, Effort(0.2, 5), device)["copy"]
    return 2 * size / seconds
