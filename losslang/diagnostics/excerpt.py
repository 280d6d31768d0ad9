"""Source excerpts: one line of a file for a terminal, made harmless, measured in cells, cut around its marks."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import NamedTuple

WIDTH = 100  # cells of a source line that `full` shows; a longer one is cut around the caret


class Mark(NamedTuple):
    """An underline and its text. It counts characters of its line, after `excerpt` cells of the shown line."""

    start: int
    end: int
    char: str
    style: str
    text: str


def excerpt(line: str, marks: Sequence[Mark]) -> tuple[str, list[Mark]]:
    """A line as it is shown, and its marks in cells. A mark beyond the cut stands under the `…`."""
    glyphs = [_glyph(char) for char in line]
    edges = list(accumulate((width for _, width in glyphs), initial=0))
    marks = [_in_cells(mark, edges) for mark in marks]
    first, last = _window(edges, marks)
    left, right = "…" * (first > 0), "…" * (last < len(line))
    shift = edges[first] - len(left)
    # Without a cut a caret may stand one cell after the text, where something is missing.
    limit = edges[last] - shift
    shown = (left + "".join(glyph for glyph, _ in glyphs[first:last]) + right).rstrip()
    starts = [min(max(mark.start - shift, 0), limit) for mark in marks]
    ends = [min(max(mark.end - shift, 1), limit + 1) for mark in marks]
    return shown, [m._replace(start=s, end=e) for m, s, e in zip(marks, starts, ends, strict=True)]


def _in_cells(mark: Mark, edges: list[int]) -> Mark:
    """A mark that counts cells of a terminal in place of characters."""
    first, last = min(mark.start, len(edges) - 1), min(mark.end, len(edges) - 1)
    start = edges[first]
    # A combining character is drawn into the cell of the character before it.
    if start and edges[first : first + 2] == [start, start]:
        start = edges[bisect_left(edges, start) - 1]
    return mark._replace(start=start, end=max(edges[last], start + 1))


def _window(edges: list[int], marks: Sequence[Mark]) -> tuple[int, int]:
    """The first and the last character to show: all marks in the middle, or the caret if they are too far."""
    if edges[-1] <= WIDTH:
        return 0, len(edges) - 1
    start, end = min((m.start for m in marks), default=0), max((m.end for m in marks), default=0)
    if end - start > WIDTH:
        start, end = marks[0].start, marks[0].end
    low = max(0, min(start - max(0, WIDTH - (end - start)) // 2, edges[-1] - WIDTH))
    # The last character at that edge: those before it combine with one that is cut away.
    first = bisect_right(edges, edges[bisect_left(edges, low)]) - 1
    return first, bisect_right(edges, low + WIDTH) - 1


@cache
def _glyph(char: str) -> tuple[str, int]:
    """The text that stands for a character on a terminal, and the number of cells that it fills.

    Whatever could steer a terminal or hide (control characters, direction marks, lone surrogates)
    is replaced by a visible sign: the control picture (`␛`) where there is one, else `�`.
    """
    if char == "\t":
        return "    ", 4
    category = unicodedata.category(char)
    if category in ("Mn", "Me") or "\u1160" <= char <= "\u11ff":  # the vowels of decomposed Hangul
        return char, 0
    width = 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
    if category == "Zs":
        return " " * width, width
    if not char.isprintable():
        return chr(0x2400 + ord(char)) if char < " " else "␡" if char == "\x7f" else "�", 1
    return char, width


def visible(text: str) -> str:
    """A text with every character that could steer a terminal replaced by a visible sign."""
    return "".join(_glyph(char)[0] for char in text)


def one_line(text: str) -> str:
    """A text on one line, visible, without blanks around its lines."""
    return " ".join(filter(None, (visible(line).strip() for line in text.splitlines())))
