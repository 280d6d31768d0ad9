"""Projects of users: a pyproject.toml that names modules, a module of losses, configs with interpolations."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from losslang.tools.cli.imports import wrong_imports

MODULE = """
import losslang
from losslang.vocabulary import Float, Tensor


@losslang.loss(activation="identity")
def own_distance(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    \"\"\"e^4.\"\"\"
    return (values - target) ** 4
"""

FILLED = [
    ("w: 0.5\nloss: ${w}*ce\n", "0.5*ce"),
    ("w: 1e-3\nloss: ${w}*ce\n", "1e-3*ce"),
    ("w: 1.\nloss: ${w}*ce\n", "1.0*ce"),
    ("w: 3\nloss: ${ w }*ce\n", "3*ce"),
    ("a: {b: {w: 2}}\nloss: ${a.b.w}*ce\n", "2*ce"),
    ("a: [1, 2]\nloss: ${a[1]}*ce\n", "2*ce"),
    ("a: [1, 2]\nloss: ${a.0}*ce\n", "1*ce"),
    ("m: {w: 2, loss: '${.w}*ce'}\n", "2*ce"),
    ("w: 2\nm: {loss: '${..w}*ce'}\n", "2*ce"),
    ("m: [{w: 4, loss: '${.w}*ce'}]\n", "4*ce"),
    ("t: dice\nw: 2\ns: ${w}*${t}\nloss: ce + ${s}\n", "ce + 2*dice"),
    ("losses: {main: ce + dice}\nloss: ${losses.main}\n", "ce + dice"),
    ("a: ${b}\nb: ${c}\nc: ce\nloss: ${a}\n", "ce"),
    ("# @package train\nw: 2\nloss: ${train.w}*ce\n", "2*ce"),
    ("# @package _global_\nw: 2\nloss: ${w}*ce\n", "2*ce"),
]
"""Configs, and their losses as OmegaConf 2.3.1 fills them in: tests/libraries/test_configs.py asks it."""


def project_codes(text: str) -> list[str]:
    """The codes that a pyproject.toml in the working directory gets, beside an empty module `my_losses`."""
    Path("pyproject.toml").write_text(text)
    Path("my_losses.py").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])
        found = wrong_imports(())
    sys.modules.pop("my_losses", None)
    return [diagnostic.code for diagnostic in found]
