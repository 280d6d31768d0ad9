"""`losslang plan`: prints an expression at one stage of its compilation."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.source import Source
from losslang.meaning.checker import analyze
from losslang.syntax import formatter, tree
from losslang.syntax.parser import parse
from losslang.tools.cli.inputs import exit_status, from_either, texts_of
from losslang.tools.cli.outcome import Outcome, failed


def run(arguments: Namespace) -> Outcome:
    """Prints all expressions of a file, or one, at `--stage`."""
    expressions = from_either(arguments.what, arguments.key)
    texts, diagnostics = texts_of(expressions, lambda source, given: _station(source, given, arguments))
    return Outcome(exit_status(diagnostics), "\n\n".join(texts), failed(diagnostics))


def _station(source: Source, given: Mapping[str, Any], arguments: Namespace) -> str:
    """The text of one expression at a stage; `given` are the overrides of its file. Raises LossError."""
    stage, settings = arguments.stage, {**given, **dict(arguments.settings)}
    if stage == "tree":
        return "\n".join(_tree(parse(source)))
    checked = analyze(source, overrides=settings)
    if checked.meaning is None:
        raise LossError(checked.diagnostics)
    if stage == "meaning":
        return str(checked.meaning)
    if stage == "run":
        # torch is loaded for this stage alone.
        from losslang.tools.cli.run_stage import what_runs

        return what_runs(source, settings, arguments.shape, arguments.call, ignored=arguments.ignored)
    # The compiler is not needed by who only looks at the meaning.
    from losslang.plan.lower import lower
    from losslang.plan.passes import optimize

    plan = lower(checked.meaning)
    return str(optimize(plan) if stage == "optimized" else plan)


def _tree(node: tree.Node, depth: int = 0) -> Iterator[str]:
    """A line for each node, its children indented."""
    kind: str = type(node).model_fields["kind"].default
    yield "  " * depth + " ".join(filter(None, (kind, _label(node))))
    for child in tree.children(node):
        yield from _tree(child, depth + 1)


def _label(node: tree.Node) -> str:
    """The text beside the kind of a node: its name, its operators or its value."""
    match node:
        case tree.Call(name=name) | tree.Option(name=name) | tree.Binding(name=name):
            return name
        case tree.Sum(operators=operators) | tree.Product(operators=operators):
            return " ".join(operators)
        case tree.Number() | tree.Word() | tree.Text() | tree.Path():
            return formatter.spell(node)
        case _:
            return ""
