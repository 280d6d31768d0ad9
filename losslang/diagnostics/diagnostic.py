"""One mistake or warning as data. Its wording stands in `mistakes`, how it is drawn in `rendering`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from losslang.diagnostics.source import Source, Span


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
