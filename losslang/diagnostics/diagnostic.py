"""Diagnostics: one mistake or warning as data.

Its wording stands in `mistakes`, and how it is drawn in `rendering`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from losslang.diagnostics.source import Source, Span


class Label(NamedTuple):
    """A second span that explains the first one."""

    span: Span
    text: str


@dataclass(frozen=True)
class Diagnostic:
    """One mistake or warning, at one span, with one repair.

    Args:
        code: Its code: `E101`, or `W301` for a warning.
        message: The mistake in one sentence.
        span: The characters of the expression that are wrong.
        caret: The words beside the caret.
        labels: Other spans that explain this one.
        why: The damage, only of mistakes that would train silently.
        fix: The repair.
        source: The text, and where it stands in a file.
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
        """False for a warning."""
        return not self.code.startswith("W")

    @property
    def url(self) -> str:
        """The page of this mistake, relative to the top of the project."""
        return f"docs/mistakes.md#{self.code.lower()}"

    def at(self, source: Source) -> Diagnostic:
        """The same diagnostic in the text of `source`."""
        return replace(self, source=source)
