"""The text of a program: what a caller hands over for it, as a Source, or the mistake that it is no text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import date, time
from numbers import Number
from typing import Any, cast

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.excerpt import one_line
from losslang.diagnostics.mistakes import files
from losslang.diagnostics.source import Source, Span

NOWHERE = Span(0, 0)
PYTHON = "Python"
LONGEST = 60


def source_of(text: Any, filename: str = "<expression>") -> Source:
    """A program as a Source. Raises LossError for a value that is no text, in the words of `losslang check`.

    Mappings and lists are known by their protocols, so that those of OmegaConf need no import.
    """
    if isinstance(text, Source):
        return text
    if isinstance(text, str):
        return Source(text, filename)
    raise LossError([_no_text(text).at(Source("", filename))])


def _no_text(value: Any) -> Diagnostic:
    """The mistake of a value that is no text, by its kind."""
    if value is None:
        return files.empty(NOWHERE, "text", "", PYTHON)
    if isinstance(value, Mapping):
        return _mapping(cast("Mapping[Any, Any]", value))
    if isinstance(value, (bytes, bytearray)):
        return files.not_text(NOWHERE, "text", "bytes", _shown(value), PYTHON)
    if isinstance(value, Sequence):
        return files.container(NOWHERE, "text", "list", PYTHON)
    return files.not_text(NOWHERE, "text", _kind(value), _shown(value), PYTHON)


def _mapping(value: Mapping[Any, Any]) -> Diagnostic:
    """The mistake of a mapping: the config around an expression, one of another library, or any other."""
    if target := target_in(value):
        return files.foreign(NOWHERE, "text", target, PYTHON)
    if isinstance(value.get("text"), str):
        return files.without_target(NOWHERE, "text", PYTHON)
    inside = next((key for key in files.KEYS if isinstance(value.get(key), str)), "")
    return files.container(NOWHERE, "text", "mapping", PYTHON, inside)


def target_in(value: Mapping[Any, Any]) -> str:
    """What Hydra or LightningCLI make of a mapping; '' for plain data."""
    target = value.get("_target_") or value.get("class_path")
    return target if isinstance(target, str) else ""


def _kind(value: Any) -> str:
    """The kind of a value in the words of config files; the name of its type where they have none."""
    if isinstance(value, bool):
        return "truth value"
    if isinstance(value, Number):
        return "number"
    if isinstance(value, (date, time)):
        return "date"
    return "path" if isinstance(value, os.PathLike) else type(value).__name__


def _shown(value: Any) -> str:
    """A value as Python writes it, on one short line."""
    shown = one_line(str(value) if _kind(value) in ("number", "date", "path") else repr(value))
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 3]}..."
