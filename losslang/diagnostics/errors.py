"""The exception LossError, which carries diagnostics, and the warning LossWarning."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.rendering import full


class LossWarning(UserWarning):
    """Warns of a program that is valid and may not be meant, or of a value that a loss had to replace."""

    __module__ = "losslang"


class LossError(ValueError):
    """Raised for a program, a config or a tensor that cannot be right.

    Its `str` and its `repr` are the full report with carets, because most people meet a mistake in a
    traceback.

    Args:
        diagnostics: The mistakes, which `.diagnostics` holds as a tuple.
    """

    __module__ = "losslang"

    def __init__(self, diagnostics: Sequence[Diagnostic]):
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __repr__(self) -> str:
        """The report too: Hydra prints the `repr` of what a target raises."""
        return f"LossError:{self}"

    def __str__(self) -> str:
        return "\n" + "\n\n".join(full(diagnostic) for diagnostic in self.diagnostics)
