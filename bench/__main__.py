"""The whole table in one run: `python -m bench`, from the top of the project.

Writes RESULTS.md and results.png beside this file (with `--device cuda` RESULTS-cuda.md and
results-cuda.png). A part of the table goes into build/bench instead, unless `--out` says where.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from bench import machine, picture, report, works
from bench.results import Cell, Results, read
from bench.worker import CONFIG, Job
from losslang.primitives.primitive import Loss
from losslang.registry import current_registry

ROOT = Path(__file__).parent.parent
NAMES = (*(work.name for work in works.EVERYTHING), CONFIG)
# Every large tensor in a mapping of its own, so that none is laid into what another has left.
EXACT = {"MALLOC_MMAP_THRESHOLD_": str(128 * 1024)}


def main() -> None:
    given = arguments()
    start = time.perf_counter()
    results = Results(
        machine=machine.described(given.device),
        device=given.device,
        threads=given.threads,
        cells=tuple(cell for job in _jobs(given) for cell in _run(job)),
        quick=given.quick,
        missing=missing(),
    )
    given.out.mkdir(parents=True, exist_ok=True)
    ending = "-cuda" if given.device == "cuda" else ""
    page, image = given.out / f"RESULTS{ending}.md", given.out / f"results{ending}.png"
    drawn = picture.draw(results, image)
    text = report.page(results, image.name if drawn else None)
    page.write_text(text, encoding="utf-8")
    print(f"\n{report.asked(results)}\n{time.perf_counter() - start:.0f} s, written to {page}")


def missing() -> tuple[str, ...]:
    """The losses of the registry that nobody has written by hand."""
    known = {work.name for work in works.REGISTRY}
    return tuple(loss.name for loss in current_registry().all(Loss) if loss.name not in known)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures losslang beside others.")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=_numbers, default=(1, 2), help="1,2 unless given; one on a GPU")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and sides, all threads at once")
    parser.add_argument("--only", type=_names, default=(), metavar="NAME,...", help=", ".join(NAMES))
    parser.add_argument("--out", type=Path, metavar="DIR")
    given = parser.parse_args(words)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no GPU")
    if given.quick or given.device == "cuda":
        given.threads = given.threads[-1:]
    part = given.quick or given.only
    given.out = given.out or (ROOT / "build" / "bench" if part else ROOT / "bench")
    return given


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(part) for part in text.split(",")}))


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(NAMES):
        raise argparse.ArgumentTypeError(
            f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}"
        )
    return names


def _jobs(given: argparse.Namespace) -> list[Job]:
    most = given.threads[-1]
    shared = {"device": given.device, "quick": given.quick, "only": given.only}
    times = [Job("time", n, n == most, **shared) for n in given.threads]
    return [*times, Job("memory", most, True, **shared)]


def _run(job: Job) -> tuple[Cell, ...]:
    """The cells of one process, also of one that did not reach its end."""
    print(f"{job.kind}, {job.threads} threads", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cells"
        environment = os.environ | {"OMP_NUM_THREADS": str(job.threads), "MKL_NUM_THREADS": str(job.threads)}
        if job.kind == "memory":
            environment |= EXACT
        command = [sys.executable, "-m", "bench.worker", job.text(), str(out)]
        done = subprocess.run(command, env=environment, cwd=ROOT, check=False)
        cells = read(out.read_text(encoding="utf-8").splitlines()) if out.exists() else ()
    if done.returncode:
        note = f"the process ended early, with code {done.returncode}"
        cells += (Cell("everything after", (), job.kind, "note", note=note),)
    return cells


if __name__ == "__main__":
    main()
