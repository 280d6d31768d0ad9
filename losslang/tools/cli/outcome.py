"""The result of a command: its text and its exit status. Commands print nothing themselves."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import NamedTuple, TextIO

from losslang.diagnostics.diagnostic import Diagnostic

RED, GREEN, YELLOW, BOLD, DIM = "31", "32", "33", "1", "2"


class Outcome(NamedTuple):
    """The texts of a command; `status` is 0 when all is well, 1 for mistakes, 2 when nothing could be done."""

    status: int
    out: str = ""
    err: str = ""


def in_color(stream: TextIO | None) -> bool:
    """True if a stream takes colour: a terminal does, unless NO_COLOR or FORCE_COLOR decide."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def painted(text: str, style: str, stream: TextIO) -> str:
    """`text` in an ANSI style, if the stream takes colour."""
    return f"\x1b[{style}m{text}\x1b[0m" if text and in_color(stream) else text


def failed(diagnostics: Iterable[Diagnostic]) -> str:
    """The full reports of diagnostics, for standard error."""
    # The renderer is loaded where there is something to render.
    from losslang.diagnostics.rendering import full

    return "\n\n".join(full(diagnostic, color=in_color(sys.stderr)) for diagnostic in diagnostics)


def harmless(text: str) -> str:
    """A file name or a key without characters that could steer a terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)


def counted(number: int, name: str) -> str:
    """A number with its noun: `1 error`, `2 errors`."""
    return f"{number} {name}{'s' * (number != 1)}"


def columns(rows: list[tuple[str, str]], least: int = 0) -> list[str]:
    """Rows of two cells as lines, the second cells below each other."""
    width = max([least, *(len(left) + 2 for left, _ in rows)])
    return [f"{left:<{width}}{right}".rstrip() for left, right in rows]
