"""What the first call of a process loads, and what the calls behind it build anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def said_by(code: str) -> str:
    """What a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("text", ["ce", "balance(ce, dice(softmax))", "each(ce, over=[pred, target])"])
def test_a_program_is_compiled_without_the_compiler_of_torch(text: str) -> None:
    """Its decorators import torch._dynamo and sympy: most of the time of an import, for what nobody compiles."""
    loaded = "[name for name in ('torch._dynamo', 'sympy') if name in sys.modules]"
    assert said_by(f"import sys, losslang; losslang.compile({text!r}); print({loaded})") == "[]"


@pytest.mark.parametrize("before", ["enable", "disable"])
def test_an_import_leaves_the_collection_of_garbage_as_it_was(before: str) -> None:
    code = f"import gc; gc.{before}(); import losslang; losslang.compile('ce'); print(gc.isenabled())"
    assert said_by(code) == str(before == "enable")
