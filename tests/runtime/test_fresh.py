"""Every loss in torch.compile, the first use in a fresh process: what a test before it has loaded is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from _forks import differentiates_in_a_fork

ROOT = Path(__file__).parents[2]
FOLDERS = [str(ROOT), str(ROOT / "tests")]
LISTED = ["ce", "ce + dice", "nll", "dice(softmax, ignore_index=255)", "ce(class_weight=balanced)"]


@pytest.mark.slow
@differentiates_in_a_fork
@pytest.mark.parametrize("texts", [[], LISTED], ids=["every loss", "before anything is loaded"])
def test_the_first_use_is_traced_in_one_graph(texts: list[str]) -> None:
    """torch.compile(fullgraph=True) of a program that nothing has run before: an import would break the graph.

    Value and gradient are those of the same program as it stands; every other use of the loss is traced behind it.
    """
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("fresh.py"), *texts],
        # A process that forks has one thread.
        env=os.environ | {"PYTHONPATH": os.pathsep.join(FOLDERS), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
