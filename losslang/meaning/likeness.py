"""Likeness: a loss that is computed as another library computes it."""

from __future__ import annotations

from typing import NamedTuple

from losslang.diagnostics.source import Span


class Likeness(NamedTuple):
    """The library of a `like=`, where it is written, and the options that are written beside it."""

    library: str
    span: Span
    written: tuple[str, ...]
