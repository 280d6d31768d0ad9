"""Warnings about the tensors of a call, each given once for one place of a program."""

from __future__ import annotations

import sys
import warnings

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossWarning
from losslang.diagnostics.rendering import full
from losslang.tensors.targets import Site

ALREADY_GIVEN: set[Diagnostic] = set()
"""The warnings given in this process."""


def warn_once(site: Site, diagnostic: Diagnostic) -> None:
    """Warns with a LossWarning at the line that calls the loss, unless it was given before."""
    placed = diagnostic.at(site.source)
    if placed not in ALREADY_GIVEN:
        ALREADY_GIVEN.add(placed)
        warnings.warn(full(placed), LossWarning, stacklevel=_caller())


def _caller() -> int:
    """Returns the stack level of the code that called the loss, for `warnings.warn`."""
    level, frame = 2, sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    while frame.f_back is not None and _package(frame.f_globals) in ("losslang", "torch"):
        level, frame = level + 1, frame.f_back
    return level


def _package(names: dict[str, object]) -> str:
    return str(names.get("__name__")).partition(".")[0]
