"""What is raised and warned: `LossError`, which carries its diagnostics, and `LossWarning`."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.rendering import full


class LossWarning(UserWarning):
    """A program that is right and may not be meant, or a number that had to be made up for one that is missing."""

    __module__ = "losslang"


class LossError(ValueError):
    """A loss program, a config or a tensor that cannot be right; carries `.diagnostics`.

    Its `str` is the full report with carets, because most people meet a mistake in a traceback.
    """

    __module__ = "losslang"

    def __init__(self, diagnostics: Sequence[Diagnostic]):
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n" + "\n\n".join(full(diagnostic) for diagnostic in self.diagnostics)
