"""`losslang lock`: prints a program with every default written out, and the version of each loss."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.source import Source
from losslang.meaning.checker import analyze
from losslang.meaning.lock import locked
from losslang.registry import current_registry
from losslang.tools.cli.inputs import exit_status, from_either, texts_of
from losslang.tools.cli.outcome import Outcome, failed


def run(arguments: Namespace) -> Outcome:
    """Prints the lock of all expressions of a file, or of one."""
    expressions = from_either(arguments.what, arguments.key)

    def text_of(source: Source, settings: Mapping[str, Any]) -> str:
        checked = analyze(source, overrides={**settings, **dict(arguments.settings)})
        if checked.meaning is None:
            raise LossError(checked.diagnostics)
        text = locked(checked.meaning, current_registry())
        if len(expressions.sources) == 1:
            return text
        return f"# {source.filename}:{source.place(0)}  {source.key}".rstrip() + "\n" + text

    texts, diagnostics = texts_of(expressions, text_of)
    return Outcome(exit_status(diagnostics), "\n\n".join(texts), failed(diagnostics))
