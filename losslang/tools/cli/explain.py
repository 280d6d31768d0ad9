"""`losslang explain`: what an expression means, or what a mistake is about."""

from __future__ import annotations

from argparse import Namespace

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.meaning.explainer import explain
from losslang.tools.cli.inputs import from_either, wrong
from losslang.tools.cli.outcome import Outcome, failed


def run(arguments: Namespace) -> Outcome:
    given = from_either(arguments.what, arguments.key)
    found: list[Diagnostic] = list(given.diagnostics)
    texts: list[str] = []
    for source in given.sources:
        try:
            text = explain(source)
        except LossError as error:
            found += error.diagnostics
        else:
            # One expression needs no title; several in a file do.
            titled = f"{source.filename}:{source.place(0)}  {source.key}".rstrip() + "\n\n" + text
            texts.append(titled if len(given.sources) > 1 else text)
    return Outcome(wrong(tuple(found)), "\n\n\n".join(texts), failed(found))
