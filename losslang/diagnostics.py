"""What is wrong, as data. Wording lives in `mistakes`, rendering in `report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from losslang.text import Source, Span


class Label(NamedTuple):
    """A second place that explains the first one."""

    span: Span
    text: str


@dataclass(frozen=True)
class Diagnostic:
    """One mistake, at one place, with one repair.

    `why` is given only for mistakes that would train silently.
    """

    code: str
    message: str
    span: Span
    caret: str = ""
    labels: tuple[Label, ...] = ()
    why: str = ""
    fix: str = ""
    source: Source = field(default=Source(""), repr=False)

    @property
    def is_error(self) -> bool:
        return not self.code.startswith("W")

    @property
    def url(self) -> str:
        """The page of this mistake, from the top of the project."""
        return f"docs/mistakes.md#{self.code.lower()}"

    def at(self, source: Source) -> Diagnostic:
        """The same diagnostic, placed in `source`."""
        return replace(self, source=source)


class LossWarning(UserWarning):
    """A program that is right and may not be meant, or a number that had to be made up for one that is missing."""

    __module__ = "losslang"


class LossError(ValueError):
    """A loss program, a config or a tensor that cannot be right; carries `.diagnostics`.

    Its `str` is the full report with carets, because most people meet a mistake in a traceback.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic]):
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        # The renderer stands on a higher floor; an error is printed long after all are loaded.
        from losslang.report import full

        return "\n" + "\n\n".join(full(diagnostic) for diagnostic in self.diagnostics)
