"""Source positions: spans count characters of an expression, places are rows and columns of its file."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple


class Span(NamedTuple):
    """A half-open range of character offsets in the text of one expression."""

    start: int
    end: int


class Place(NamedTuple):
    """A row and a column of a file, both counted from 1, in characters."""

    row: int
    column: int

    def __str__(self) -> str:
        return f"{self.row}:{self.column}"


@dataclass(frozen=True)
class Source:
    """The text of one expression, and where each of its characters stands in a file.

    An expression given alone is its own file. Inside of a config file `file_text` is the whole file, and
    `offsets[i]` is the offset in it of `text[i]`, with one entry more for the end of the text.
    """

    text: str
    filename: str = "<expression>"
    key: str = ""
    file_text: str | None = field(default=None, repr=False)
    offsets: tuple[int, ...] | None = field(default=None, repr=False)

    @property
    def whole(self) -> Span:
        """The span of the text, without blanks and empty lines around it."""
        return Span(len(self.text) - len(self.text.lstrip()), len(self.text.rstrip()))

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the file, without their breaks."""
        return self._file.split("\n")

    @cached_property
    def _file(self) -> str:
        return self.text if self.file_text is None else self.file_text

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        starts.extend(i + 1 for i, char in enumerate(self._file) if char == "\n")
        return starts

    def place(self, offset: int) -> Place:
        """The row and the column in the file of the character at `offset` of the expression."""
        offset = min(max(offset, 0), len(self.text))
        at = offset if self.offsets is None else self.offsets[offset]
        row = bisect_right(self._line_starts, at)
        return Place(row, at - self._line_starts[row - 1] + 1)

    def places(self, span: Span) -> tuple[Place, Place]:
        """The place of the first character of `span`, and the one behind its last."""
        start = self.place(span.start)
        if span.end <= span.start:
            return start, start
        last = self.place(span.end - 1)
        return start, Place(last.row, last.column + 1)
