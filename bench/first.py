"""What a first call costs, beside an earlier commit: `python -m bench.first COMMIT`, from the top of the project.

An import and a first call are measured in fresh processes, which take turns; images of new sizes beside seen ones
in one process. Time on the processor counts, of one thread; medians are printed as a table.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.turns import ROOT, Side, checked_out

BOTH = "0.5*bce(sigmoid) + dice(smooth=1)"
COMPILES = f"import losslang; losslang.compile({BOTH!r})"
TIMED = "import time, torch; start = time.process_time(); {code}; print(time.process_time() - start)"
"""What a process runs that measures some code beyond `import torch`."""
LARGE = {
    "bce + dice, 16x1x1024x1024": (BOTH, (16, 1, 1024, 1024)),
    "ce, 2x21x512x512": ("ce", (2, 21, 512, 512)),
    "ce + dice, 2x21x512x512": ("ce + dice", (2, 21, 512, 512)),
}
"""Programs of which the first call of a process is measured, and the shape of the prediction."""
SIZES = {
    "bce + dice, 1x1, 0.8M": (BOTH, 1, 900),
    "ce, 1x8, 0.8M": ("ce", 8, 320),
    "ce + dice, 1x8, 0.8M": ("ce + dice", 8, 320),
    "bce + dice, 1x1x32x32": (BOTH, 1, 32),
    "ce + dice, 1x8x32x32": ("ce + dice", 8, 32),
}
"""Programs that are called with images of ever new sizes, their channels, and the side of a square image."""
NEW = 24
"""Images of new sizes in a process."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.first", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("commit", help="the commit to compare with, as git names it")
    parser.add_argument("--turns", type=int, default=9, help="fresh processes of each side in every row")
    given = parser.parse_args()
    with checked_out(given.commit) as before, tempfile.TemporaryDirectory() as compiled:
        # An import of an installed package reads what is compiled already.
        os.environ |= {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": "", "OMP_NUM_THREADS": "1"}
        print(f"| a fresh process | at {given.commit} | now |\n|---|---|---|")
        imports = [lambda root=root: beyond_torch(root) for root in (before, ROOT)]
        _row(
            "`import losslang; losslang.compile(...)`, beyond `import torch`", _in_turns(imports, given.turns)
        )
        whole = [lambda root=root: whole_process(root, COMPILES) for root in (before, ROOT)]
        alone, *both = _in_turns([lambda: whole_process(ROOT, "pass"), *whole], given.turns)
        _row("the whole process, its exit too, beyond one of `import torch`", [t - alone for t in both])
        for name, row in LARGE.items():
            calls = [lambda root=root, row=row: _asked(root, "first", *row) for root in (before, ROOT)]
            _row(f"first call beyond the second: {name}", _in_turns(calls, given.turns))
        print(f"\n| a new size, a seen one = 1 | at {given.commit} | now |\n|---|---|---|")
        for name, row in SIZES.items():
            calls = [lambda root=root, row=row: _asked(root, "sizes", *row) for root in (before, ROOT)]
            print(f"| {name} | {' | '.join(f'{x:.2f}' for x in _in_turns(calls, 3))} |", flush=True)


def _row(name: str, seconds: list[float]) -> None:
    print(f"| {name} | {' | '.join(f'{1e3 * s:.0f} ms' for s in seconds)} |", flush=True)


def _in_turns(runs: list[Callable[[], float]], turns: int) -> list[float]:
    """The median of each, after one turn in which what is imported is compiled."""
    for run in runs:
        run()
    found = [[run() for run in runs] for _ in range(turns)]
    return [statistics.median(times) for times in zip(*found, strict=True)]


def beyond_torch(root: Path) -> float:
    """Seconds on the processor that a fresh process takes to compile with the losslang of a checkout."""
    return float(_started(root, COMPILES).communicate()[0])


def whole_process(root: Path, code: str) -> float:
    """Seconds on the processor of a whole process that imports torch and runs some code."""
    with _started(root, code) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, code
    return used.ru_utime + used.ru_stime


def _started(root: Path, code: str) -> subprocess.Popen[str]:
    """A process that measures some code, with the losslang of a checkout."""
    here = os.environ | {"PYTHONPATH": str(root)}
    timed = [sys.executable, "-c", TIMED.format(code=code)]
    return subprocess.Popen(timed, env=here, cwd=root, text=True, stdout=subprocess.PIPE)


def _asked(root: Path, *row: Any) -> float:
    """What a fresh process answers."""
    with Side(root, "bench.first") as side:
        return side.ask(*row)


def answer(what: str, text: str, *size: Any) -> float:
    """In the process of a side: seconds of a first call beyond the second, or a new size as a part of a seen one."""
    import torch

    import losslang

    loss: Any = losslang.compile(text)

    def call(shape: tuple[int, ...]) -> float:
        pred = torch.randn(shape).requires_grad_()
        truth = torch.rand(shape).round()
        if shape[1] > 1:
            truth = torch.randint(shape[1], (shape[0], *shape[2:]))
        start = time.thread_time()
        loss(pred, truth).backward()
        return time.thread_time() - start

    if what == "first":
        (shape,) = size
        return call(shape) - call(shape)
    channels, side = size
    for _ in range(4):
        call((1, channels, side, side))
    pairs = [
        # As many elements, or nearly so.
        (call((1, channels, side, side)), call((1, channels, side + turn, side - turn)))
        for turn in range(1, NEW + 1)
    ]
    seen, new = (statistics.median(times) for times in zip(*pairs, strict=True))
    return new / seen


if __name__ == "__main__":
    main()
