"""One process of the benchmark: measures its share and writes a cell a line.

A process has one number of threads from its start, because compiled code is specialised to it.
Memory is measured apart, with every large tensor in pages of its own.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TextIO

import torch

from bench import hydra_config, works
from bench.measure import Effort, copy_speed, medians, peak
from bench.results import COPY, HAND, OURS, Cell, What
from bench.sides import Side, difference, outcome, sides
from bench.work import Call, Shape, Work, prepared

NEW_TEXT = "losslang, a new text each time"
CONFIG = "compile()"
"""The row of building a loss, which has no tensors."""


@dataclass(frozen=True)
class Job:
    """What a worker does, as it is handed to the process."""

    kind: Literal["time", "memory"]
    threads: int
    most_threads: bool
    device: str
    quick: bool
    only: tuple[str, ...]

    def text(self) -> str:
        return json.dumps(asdict(self))

    def wants(self, work: Work) -> bool:
        if self.only and work.name not in self.only:
            return False
        if self.quick:
            # The last of the table are there for the libraries, which a quick run leaves out.
            return not work.heavy and work.name != "focal alone"
        return not work.heavy or self.most_threads


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    warnings.simplefilter("ignore")
    torch.set_num_threads(job.threads)
    if job.kind == "time":
        _as_in_training()
    with Path(sys.argv[2]).open("w", encoding="utf-8") as out:
        for cell in measured(job):
            _tell(cell, out)


def _as_in_training() -> None:
    """Frees a large tensor. Until one is freed glibc gives memory back to the system after every call.

    Then what is timed, of all sides, is how many tensors of a megabyte are there at once.
    """
    torch.empty(28 * 2**20, dtype=torch.uint8).fill_(1)


def _tell(cell: Cell, out: TextIO) -> None:
    print(cell.line(), file=out, flush=True)


def measured(job: Job) -> Iterator[Cell]:
    """The cells of a job. What one work breaks does not keep the others from being measured."""
    share = _memory if job.kind == "memory" else _time
    for work in works.EVERYTHING if job.kind == "time" else works.LARGE:
        if not job.wants(work):
            continue
        for shape in _shapes(work, job):
            start = time.perf_counter()
            if not _fits(work, shape, job.device):
                yield Cell(work.name, shape, OURS, "note", note="not measured: too little memory")
                continue
            try:
                yield from share(work, shape, job)
            except Exception as error:
                yield Cell(work.name, shape, "all", "note", note=f"failed: {type(error).__name__}: {error}")
            spent = time.perf_counter() - start
            print(f"  {job.kind:<7}{job.threads} threads  {work.name:<20}{shape}  {spent:.1f} s", flush=True)
    if job.kind == "time" and (not job.only or CONFIG in job.only):
        yield from _config(job)


def _shapes(work: Work, job: Job) -> tuple[Shape, ...]:
    if job.kind == "memory":
        return work.timed if work.heavy else (work.largest,)
    if work.heavy:
        # The larger ones take minutes: their memory alone is measured.
        return work.timed[:1]
    return (work.timed[0], work.largest) if job.quick and len(work.timed) > 1 else work.timed


def _fits(work: Work, shape: Shape, device: str) -> bool:
    """Whether a heavy work fits beside everything else: by hand it takes four times its logits."""
    if not work.heavy:
        return True
    need = 5 * 4 * shape[0] * shape[-1]
    if device == "cuda":
        return torch.cuda.mem_get_info()[0] > need
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    return not free or free[0] > need


# -------------------------------------------------------------------- times


def _time(work: Work, shape: Shape, job: Job) -> Iterator[Cell]:
    call = prepared(work, shape, job.device)
    fit: list[Side] = []
    for side in _agreeing(work, shape, call, job):
        if isinstance(side, Side):
            fit.append(side)
        else:
            yield side
    for what in _passes(work, shape, job):
        runs = {s.name: s.forward if what == "forward" else s.both(call) for s in fit}
        for name, seconds in medians(runs, _effort(work, what, job), job.device).items():
            yield Cell(work.name, shape, name, what, job.threads, seconds)
    call.clear()
    if work in works.TABLE:
        bytes_read, gradient = call.input_bytes(), call.gradient_bytes()
        speed = copy_speed(gradient, job.device)
        yield Cell(work.name, shape, COPY, "forward", job.threads, bytes_read / speed)
        yield Cell(work.name, shape, COPY, "both", job.threads, (bytes_read + gradient) / speed)


def _agreeing(work: Work, shape: Shape, call: Call, job: Job) -> Iterator[Side | Cell]:
    """The sides that compute the hand-written form's number; a cell with the reason for the others."""
    wanted = None
    for side in sides(work, shape, call, only=_only(job)):
        if isinstance(side, tuple):
            yield Cell(work.name, shape, side[0], "note", note=side[1])
            continue
        # No room to keep all gradients of a heavy work; the tests compare them at a size that has.
        found = outcome(side, call, gradients=not work.heavy)
        wanted = wanted or found
        wrong = difference(found, wanted)
        yield Cell(work.name, shape, side.name, "note", note=wrong) if wrong else side


def _passes(work: Work, shape: Shape, job: Job) -> tuple[What, ...]:
    if work.metric:
        return ("forward",)
    return ("both",) if job.quick and shape == work.largest and work.compiled else ("forward", "both")


def _only(job: Job) -> tuple[str, ...]:
    return (OURS, HAND, "MONAI") if job.quick else ()


def _effort(work: Work, what: What, job: Job) -> Effort:
    """Rounds enough for a median everywhere; short calls, where noise is large, get the most."""
    # The times of a GPU are alike, and rows have to wait for its kernels to be loaded.
    few = job.quick or job.device == "cuda"
    if work in works.REGISTRY:
        return Effort(0.1, 5) if few else Effort(0.35, 11)
    if few or work.heavy:
        return Effort(0.3, 2 if job.quick else 3)
    return Effort(1.2, 5 if what == "both" and job.most_threads else 3)


def _config(job: Job) -> Iterator[Cell]:
    try:
        runs = {
            OURS: hydra_config.from_text(),
            NEW_TEXT: hydra_config.from_new_texts(),
            "Hydra": hydra_config.from_nodes(),
        }
    except ImportError:
        yield Cell(CONFIG, (), "Hydra", "note", note="not installed")
        return
    for name, seconds in medians(runs, Effort(2, 20), "cpu").items():
        yield Cell(CONFIG, (), name, "both", job.threads, seconds)


# -------------------------------------------------------------------- memory


def _memory(work: Work, shape: Shape, job: Job) -> Iterator[Cell]:
    call = prepared(work, shape, job.device)
    yield Cell(work.name, shape, "", "gradient", value=call.gradient_bytes())
    for side in sides(work, shape, call, only=_only(job)):
        if isinstance(side, Side):
            found = peak(side.both(call), call.clear, job.device)
            if found is not None:
                yield Cell(work.name, shape, side.name, "peak", value=found)


if __name__ == "__main__":
    main()
