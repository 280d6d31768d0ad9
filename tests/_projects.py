"""A project of a user: a pyproject.toml that names modules, beside one module of losses."""

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


def project_codes(text: str) -> list[str]:
    """The codes that a pyproject.toml in the working directory gets, beside an empty module `my_losses`."""
    Path("pyproject.toml").write_text(text)
    Path("my_losses.py").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])
        found = wrong_imports(())
    sys.modules.pop("my_losses", None)
    return [diagnostic.code for diagnostic in found]
