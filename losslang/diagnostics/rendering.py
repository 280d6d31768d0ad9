"""Human-readable reports: `full` draws the source with a caret below it, `concise` takes one line.

Pure functions of the data. Text from a user's file is made harmless before it reaches a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import NamedTuple

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.excerpt import Mark, excerpt, one_line, visible
from losslang.diagnostics.source import Source

RED, YELLOW, BLUE, BOLD, PLAIN = "1;31", "1;33", "1;34", "1", ""


class _Piece(NamedTuple):
    """A piece of a line with its ANSI style."""

    text: str
    style: str = PLAIN


# ---------------------------------------------------------------------------- for people


def full(diagnostic: Diagnostic, *, color: bool = False) -> str:
    """A mistake in full: its line of source with a caret below it, why it matters and how to repair it."""
    title = _Piece(f"{level(diagnostic)}[{diagnostic.code}]", RED if diagnostic.is_error else YELLOW)
    header = [title, _Piece(f": {one_line(diagnostic.message)}", BOLD)]
    lines = [header, *_picture(diagnostic)]
    return "\n".join("".join(_paint(piece, color) for piece in line) for line in lines)


def concise(diagnostic: Diagnostic) -> str:
    """A mistake in one line that editors and `grep` can read: position, code, message, repair."""
    place = diagnostic.source.place(diagnostic.span.start)
    fix = f" [fix: {one_line(diagnostic.fix)}]" if diagnostic.fix.strip() else ""
    where = f"{one_line(diagnostic.source.filename)}:{place}"
    return f"{where}: {diagnostic.code} {one_line(diagnostic.message)}{fix}"


def _paint(piece: _Piece, color: bool) -> str:
    return f"\x1b[{piece.style}m{piece.text}\x1b[0m" if color and piece.style else piece.text


def level(diagnostic: Diagnostic) -> str:
    """`error` or `warning`."""
    return "error" if diagnostic.is_error else "warning"


def _picture(diagnostic: Diagnostic) -> Iterator[list[_Piece]]:
    """The lines below the title: position, source with underlines, notes."""
    source = diagnostic.source
    # A file that could not be read, or a program of no characters, has no place to point at.
    drawable = any(source.lines)
    rows = _marks(diagnostic) if drawable else {}
    digits = len(str(max(rows, default=1)))
    gutter = [_Piece(" " * digits + " |", BLUE)]
    place = f":{source.place(diagnostic.span.start)}" if drawable else ""
    yield [_Piece(" " * digits + "-->", BLUE), _Piece(f" {one_line(source.filename)}{place}")]
    for above, row in pairwise([0, *sorted(rows)]):
        if above == 0:
            yield gutter
        elif row - above == 2:  # `...` would take a line too
            yield _numbered(row - 1, digits, excerpt(_line(source, row - 1), [])[0])
        elif row - above > 2:
            yield [_Piece("...", BLUE)]
        shown, marks = excerpt(_line(source, row), rows[row])
        yield _numbered(row, digits, shown)
        yield from ([*gutter, _Piece(" "), *under] for under in _underlines(marks))
    if diagnostic.why or diagnostic.fix:
        yield gutter
    yield from _note(digits, "why", diagnostic.why)
    yield from _note(digits, "fix", diagnostic.fix)


def _numbered(row: int, digits: int, shown: str) -> list[_Piece]:
    """A line of source behind its row number."""
    return [_Piece(f"{row:>{digits}} |", BLUE), _Piece(f" {shown}" if shown else "")]


def _note(digits: int, name: str, text: str) -> Iterator[list[_Piece]]:
    """The lines of `why` or `fix`, the later ones indented."""
    first, *more = [visible(line).rstrip() for line in text.strip().splitlines()] or [""]
    if first:
        yield [_Piece(" " * digits + " =", BLUE), _Piece(f" {name}:", BOLD), _Piece(f" {first}")]
    indent = " " * (digits + len(f" = {name}: "))
    yield from ([_Piece(indent + line if line else "")] for line in more)


def _marks(diagnostic: Diagnostic) -> dict[int, list[Mark]]:
    """The marks of each row, the caret first."""
    rows: dict[int, list[Mark]] = {}
    marks = [("^", RED if diagnostic.is_error else YELLOW, diagnostic.span, diagnostic.caret)]
    marks += [("-", BLUE, span, text) for span, text in diagnostic.labels]
    for char, style, span, text in marks:
        start, end = diagnostic.source.places(span)
        last = end.column - 1
        if end.row != start.row:  # marked in its first row, up to the end of the text there
            last = len(_line(diagnostic.source, start.row).rstrip())
        mark = Mark(start.column - 1, last, char, style, one_line(text))
        rows.setdefault(start.row, []).append(mark)
    return rows


def _underlines(marks: list[Mark]) -> Iterator[list[_Piece]]:
    """The lines below a line of source: all underlines, one text beside them, the others below bars."""
    cells: dict[int, _Piece] = {}
    # Longest first, so that what lies inside another mark stays visible; the caret wins a tie.
    for mark in sorted(marks, key=lambda mark: (mark.start - mark.end, mark.char)):
        cells.update((cell, _Piece(mark.char, mark.style)) for cell in range(mark.start, mark.end))
    last = max(marks, key=lambda mark: (mark.end, mark.start, bool(mark.text)))
    hung = [mark for mark in sorted(marks, key=lambda mark: mark.start) if mark.text and mark is not last]
    yield [*_joined(cells), *([_Piece(f" {last.text}", last.style)] if last.text else [])]
    bars = {mark.start: _Piece("|", mark.style) for mark in hung}
    if bars:
        yield _joined(bars)
    # From the right, so that no text crosses the bar of another.
    for mark in reversed(hung):
        left = {at: bar for at, bar in bars.items() if at < mark.start}
        yield [*_joined(left, mark.start), _Piece(mark.text, mark.style)]


def _joined(cells: dict[int, _Piece], end: int = 0) -> list[_Piece]:
    """Cells as runs of one style, blanks between them, padded up to `end`."""
    row = [cells.get(at, _Piece(" ")) for at in range(max(end, max(cells, default=-1) + 1))]
    runs = groupby(row, key=lambda piece: piece.style)
    return [_Piece("".join(piece.text for piece in run), style) for style, run in runs]


# ---------------------------------------------------------------------------- one line on a screen


def _line(source: Source, row: int) -> str:
    """A line of a source without its carriage return."""
    return source.lines[row - 1].removesuffix("\r")
