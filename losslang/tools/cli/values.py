"""The values of arguments of the command line, parsed."""

from __future__ import annotations

import argparse
import math
from typing import Any

from losslang.syntax.tree import CLOCKS


def setting(text: str) -> tuple[str, Any]:
    """Parses `NAME=NUMBER`: a name, and a Setting that stands on the command line."""
    from losslang.diagnostics.source import Source
    from losslang.meaning.overrides import Setting

    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not name.strip() or not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"`{text}` is not NAME=NUMBER, such as alpha=0.3")
    at = (name, value)
    places = [(text.index(part), text.index(part) + len(part)) for part in at]
    key, written = (Source(text[a:b], "<--set>", "", text, tuple(range(a, b + 1))) for a, b in places)
    return name.strip(), Setting(number, key, written)


def times(text: str) -> dict[str, int]:
    """The times of clocks that `--at` names. Raises ArgumentTypeError for anything else."""
    found: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = (piece.strip() for piece in part.partition("="))
        digits = number.replace("_", "")
        if name not in CLOCKS or not (digits.isascii() and digits.isdigit()):
            raise argparse.ArgumentTypeError(f"write `step=3000` or `epoch=4`, not `{text}`")
        found[name] = int(digits)
    return found


def shape(text: str) -> tuple[int, ...]:
    """`4,5,16,16` as sizes."""
    sizes = text.split(",")
    if len(sizes) < 2 or not all(size.strip().isdecimal() and int(size) for size in sizes):
        raise argparse.ArgumentTypeError(f"`{text}` is no shape of two axes or more, such as 4,5,16,16")
    return tuple(map(int, sizes))
