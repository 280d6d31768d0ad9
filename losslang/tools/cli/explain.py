"""`losslang explain`: prints a program term by term, or the page of a mistake."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from losslang.diagnostics.source import Source
from losslang.meaning.explainer import explain, explained
from losslang.tools.cli.inputs import exit_status, from_either, texts_of
from losslang.tools.cli.outcome import Outcome, failed


def run(arguments: Namespace) -> Outcome:
    """Explains all expressions of a file, or one, or a code."""
    at = {name: time for times in arguments.at for name, time in times.items()}
    expressions = from_either(arguments.what, arguments.key)

    def text_of(source: Source, settings: Mapping[str, Any]) -> str:
        said = explained(source, settings, at) if settings or at else explain(source)
        if len(expressions.sources) == 1:
            return said
        return f"{source.filename}:{source.place(0)}  {source.key}".rstrip() + "\n\n" + said

    texts, diagnostics = texts_of(expressions, text_of)
    return Outcome(exit_status(diagnostics), "\n\n\n".join(texts), failed(diagnostics))
