"""What a command says and how it ends. Commands print nothing themselves."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

RED, GREEN, YELLOW, BOLD, DIM = "31", "32", "33", "1", "2"


class Outcome(NamedTuple):
    """`status` is 0 when all is well, 1 for mistakes, 2 when nothing could be done."""

    status: int
    out: str = ""
    err: str = ""


def in_color() -> bool:
    """Whether standard output takes colour: a terminal does, unless NO_COLOR or FORCE_COLOR decide."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def painted(text: str, style: str) -> str:
    """`text` in a style, where standard output takes colour."""
    return f"\x1b[{style}m{text}\x1b[0m" if text and in_color() else text


def counted(number: int, name: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {name}{'s' * (number != 1)}"
