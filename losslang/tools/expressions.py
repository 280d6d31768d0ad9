"""Expressions of one file, standard input or argument, beside what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.source import Source
from losslang.meaning.overrides import Setting

FOREIGN = "of another library"
GIVEN_ELSEWHERE = "given elsewhere"


@dataclass(frozen=True)
class Expressions:
    """The expressions of one file, and the diagnostics of the file; both in the order of the file.

    A value that a diagnostic refuses (E4xx) is not among the sources. A warning leaves it there, but for one
    that another file fills in (W420).
    """

    sources: tuple[Source, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    settings: tuple[Mapping[str, Setting], ...] = ()
    """What the file itself overrides in each of the sources; empty where no source has any."""
    left: tuple[str, ...] = ()
    """Why values under the keys asked for were left alone: FOREIGN or GIVEN_ELSEWHERE."""

    def settings_of(self, at: int) -> Mapping[str, Setting]:
        """What the file overrides in one of its sources."""
        return self.settings[at] if self.settings else {}
