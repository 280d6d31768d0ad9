"""Expressions of one file, standard input or argument, beside what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.source import Source


@dataclass(frozen=True)
class Expressions:
    """The expressions of one file, and the diagnostics of the file; both in the order of the file.

    A value that a diagnostic refuses (E4xx) is not among the sources. A warning leaves it there.
    """

    sources: tuple[Source, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
