"""`losslang explain`: prints a program term by term, or the page of a mistake."""

from __future__ import annotations

from argparse import Namespace

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.meaning.explainer import explain
from losslang.tools.cli.inputs import exit_status, from_either
from losslang.tools.cli.outcome import Outcome, failed


def run(arguments: Namespace) -> Outcome:
    """Explains all expressions of a file, or one, or a code."""
    expressions = from_either(arguments.what, arguments.key)
    diagnostics: list[Diagnostic] = list(expressions.diagnostics)
    texts: list[str] = []
    for source in expressions.sources:
        try:
            text = explain(source)
        except LossError as error:
            diagnostics += error.diagnostics
        else:
            # One expression needs no title; several in a file do.
            titled = f"{source.filename}:{source.place(0)}  {source.key}".rstrip() + "\n\n" + text
            texts.append(titled if len(expressions.sources) > 1 else text)
    return Outcome(exit_status(diagnostics), "\n\n\n".join(texts), failed(diagnostics))
