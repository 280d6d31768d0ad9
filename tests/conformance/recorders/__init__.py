"""Calls of other libraries at a point of the grid: one module a library, one function a loss."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from conformance.recorders.given import RECORDERS, Given, SkippedError, family

for _file in sorted(Path(__file__).parent.glob("of_*.py")):
    import_module(f"{__name__}.{_file.stem}")

__all__ = ["RECORDERS", "Given", "SkippedError", "family"]
