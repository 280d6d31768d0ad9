"""Likeness: a loss that is computed as another library computes it."""

from __future__ import annotations

from dataclasses import dataclass

from losslang.diagnostics.source import Span


@dataclass(frozen=True)
class Likeness:
    """The library of a `like=`, where it is written, and the options that are written beside it."""

    library: str
    span: Span
    written: tuple[str, ...]
