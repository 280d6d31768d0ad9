"""`losslang check`: prints every mistake of every expression, and a line for each that has none."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import TextIO

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.source import Place, Source
from losslang.meaning.checker import Checked, analyze
from losslang.meaning.summary import summary
from losslang.tools import cli
from losslang.tools.cli.inputs import exit_status, from_file
from losslang.tools.cli.outcome import (
    BOLD,
    DIM,
    GREEN,
    RED,
    YELLOW,
    Outcome,
    counted,
    harmless,
    in_color,
    painted,
)
from losslang.tools.expressions import Expressions

CheckedSource = tuple[Source, Checked]
SPOILED = ("E407", "E408", "E409", "E410", "E411", "E412")


def run(arguments: Namespace) -> Outcome:
    """Checks all expressions of files and of `-e`."""
    expressions: list[str] = arguments.expressions
    files: list[str] = arguments.files
    if not expressions and not files:
        arguments.usage_error("name a file, or write an expression: losslang check -e 'ce + dice'")
    inputs = [from_file(file, arguments.key) for file in files]
    inputs += [Expressions((Source(text),)) for text in expressions]
    checked = _checked([source for one in inputs for source in one.sources], dict(arguments.settings))
    diagnostics = tuple(_in_order(inputs, checked))
    out, err = _report(arguments.output, diagnostics, checked)
    return Outcome(exit_status(diagnostics), out, err)


def _checked(sources: Sequence[Source], settings: Mapping[str, float]) -> list[CheckedSource]:
    """The result for every expression, each with the settings that it has a name for."""
    if len(sources) < 2 or not settings:
        return [(source, analyze(source, overrides=settings)) for source in sources]
    fitting = [{n: v for n, v in settings.items() if _has(source, n, v)} for source in sources]
    # What no expression has a name for is reported in each of them.
    nowhere = {n: v for n, v in settings.items() if not any(n in known for known in fitting)}
    return [
        (s, analyze(s, overrides={**known, **nowhere})) for s, known in zip(sources, fitting, strict=True)
    ]


def _has(source: Source, name: str, value: float) -> bool:
    """True if a setting of this name changes something in the expression."""
    return all(d.code != "E108" for d in analyze(source, overrides={name: value}).diagnostics)


def _in_order(inputs: Sequence[Expressions], checked: Sequence[CheckedSource]) -> Iterator[Diagnostic]:
    """All diagnostics, file by file, in the order of each file."""
    by_source = {id(source): result.diagnostics for source, result in checked}
    for one in inputs:
        diagnostics = [*one.diagnostics, *(d for source in one.sources for d in by_source[id(source)])]
        yield from sorted(diagnostics, key=lambda d: d.source.place(d.span.start))


# ---------------------------------------------------------------------------- what is printed


def _report(
    output: str, diagnostics: Sequence[Diagnostic], checked: Sequence[CheckedSource]
) -> tuple[str, str]:
    """The text for standard output, and the one for standard error."""
    from losslang.diagnostics import formats, rendering

    if output == "json":
        return formats.json_report(diagnostics), ""
    if output == "sarif":
        return formats.sarif(diagnostics), ""
    if output == "full":
        pictures = [rendering.full(diagnostic, color=in_color(sys.stdout)) for diagnostic in diagnostics]
        parts = ["\n".join(_table(checked)), *pictures, _closing(len(checked), diagnostics, sys.stdout)]
        return "\n\n".join(filter(None, parts)), ""
    line = formats.github if output == "github" else rendering.concise
    return "\n".join(map(line, diagnostics)), _closing(len(checked), diagnostics, sys.stderr)


def _table(checked: Sequence[CheckedSource]) -> Iterator[str]:
    """A line for every expression without errors: its place, its key, its summary."""
    rows = [
        (harmless(f"{source.filename}:{_place(source)}"), harmless(source.key), summary(result.meaning))
        for source, result in checked
        if result.meaning is not None
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    for place, key, line in rows:
        place = painted(f"{place:<{widths[0]}}", DIM, sys.stdout)
        key = painted(f"{key:<{widths[1]}}", BOLD, sys.stdout)
        yield "  ".join(filter(None, (place, key, line)))


def _place(source: Source) -> Place:
    """The place of the first character that is not blank: a block of YAML begins below its header."""
    return source.place(len(source.text) - len(source.text.lstrip()))


def _closing(expressions: int, diagnostics: Sequence[Diagnostic], stream: TextIO) -> str:
    """The last line: `2 expressions, 1 error, 1 warning in 12 ms`."""
    errors = sum(diagnostic.is_error for diagnostic in diagnostics)
    warnings = len(diagnostics) - errors
    # A value that the file spoils (`loss: &ce`) is an expression to whoever wrote it.
    expressions += sum(diagnostic.code in SPOILED for diagnostic in diagnostics)
    parts = [counted(expressions, "expression")]
    if errors:
        parts.append(painted(counted(errors, "error"), RED, stream))
    if warnings:
        parts.append(painted(counted(warnings, "warning"), YELLOW, stream))
    if not diagnostics:
        parts.append(painted("no mistakes", GREEN, stream))
    return f"{', '.join(parts)} in {(perf_counter() - cli.STARTED) * 1000:.0f} ms"
