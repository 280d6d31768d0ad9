"""Processes that take turns: each with the losslang of one checkout, all with the rows of this bench.

A slow moment of the machine strikes all sides alike, and two versions of losslang never share a process.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).parent.parent
# Finds losslang in the folder of the side, and everything else of the bench in this one.
_PROGRAM = """
import sys, losslang
sys.path.insert(0, sys.argv[1])
from bench.turns import serve
serve(sys.argv[2], sys.argv[3])
"""


class Side:
    """A process that answers by `answer(*row)` of a module of the bench; `root` is the checkout of its losslang."""

    def __init__(
        self, root: Path, module: str, threads: int = 1, environment: Mapping[str, str] = MappingProxyType({})
    ):
        number = str(threads)
        here = os.environ | {"PYTHONPATH": str(root), "PYTHONWARNINGS": "ignore"}
        here |= {"OMP_NUM_THREADS": number, "MKL_NUM_THREADS": number, **environment}
        command = [sys.executable, "-c", _PROGRAM, str(ROOT), str(root), module]
        self.process = subprocess.Popen(command, env=here, cwd=root, text=True, stdin=-1, stdout=-1)

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, *row: Any) -> Any:
        """What `answer` returns for a row; both are plain values, as they are written in Python."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{row!r}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process ended at {row}")
        return ast.literal_eval(line)


def serve(root: str, module: str) -> None:
    """Answers each row that is asked for, in the process of a side."""
    import losslang

    assert str(Path(losslang.__file__).parent.parent) == root, losslang.__file__
    answer = importlib.import_module(module).answer
    for line in sys.stdin:
        print(repr(answer(*ast.literal_eval(line))), flush=True)


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """The project as it was at a commit, in a folder that goes again."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "then")
        subprocess.run(
            ["git", "worktree", "add", "--detach", "--quiet", str(place), commit], cwd=ROOT, check=True
        )
        try:
            yield place.resolve()
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(place)], cwd=ROOT, check=True)
