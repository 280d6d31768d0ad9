"""`losslang check`: every mistake of every expression, and what the sound ones mean."""

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
from losslang.tools.cli.inputs import Given, from_file, wrong
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

Judged = tuple[Source, Checked]
SPOILED = ("E407", "E408", "E409", "E410", "E411", "E412")


def run(arguments: Namespace) -> Outcome:
    expressions: list[str] = arguments.expressions
    files: list[str] = arguments.files
    if not expressions and not files:
        arguments.usage_error("name a file, or write an expression: losslang check -e 'ce + dice'")
    given = [from_file(file, arguments.key) for file in files]
    given += [Given((Source(text),)) for text in expressions]
    judged = _judged([source for one in given for source in one.sources], dict(arguments.settings))
    found = tuple(_in_order(given, judged))
    out, err = _reported(arguments.output, found, judged)
    return Outcome(wrong(found), out, err)


def _judged(sources: Sequence[Source], settings: Mapping[str, float]) -> list[Judged]:
    """The meaning of every expression, each with the settings that it has a name for."""
    if len(sources) < 2 or not settings:
        return [(source, analyze(source, overrides=settings)) for source in sources]
    fitting = [{n: v for n, v in settings.items() if _has(source, n, v)} for source in sources]
    # What no expression has a name for is reported in each of them.
    nowhere = {n: v for n, v in settings.items() if not any(n in known for known in fitting)}
    return [
        (s, analyze(s, overrides={**known, **nowhere})) for s, known in zip(sources, fitting, strict=True)
    ]


def _has(source: Source, name: str, value: float) -> bool:
    return all(d.code != "E108" for d in analyze(source, overrides={name: value}).diagnostics)


def _in_order(given: Sequence[Given], judged: Sequence[Judged]) -> Iterator[Diagnostic]:
    """What is wrong, file by file, in the order of each."""
    said = {id(source): checked.diagnostics for source, checked in judged}
    for one in given:
        found = [*one.diagnostics, *(d for source in one.sources for d in said[id(source)])]
        yield from sorted(found, key=lambda d: d.source.place(d.span.start))


# ---------------------------------------------------------------------------- what is printed


def _reported(output: str, found: Sequence[Diagnostic], judged: Sequence[Judged]) -> tuple[str, str]:
    """The text for standard output and the one for standard error."""
    from losslang.diagnostics import formats, rendering

    if output == "json":
        return formats.json_report(found), ""
    if output == "sarif":
        return formats.sarif(found), ""
    if output == "full":
        pictures = [rendering.full(diagnostic, color=in_color(sys.stdout)) for diagnostic in found]
        parts = ["\n".join(_table(judged)), *pictures, _closing(len(judged), found, sys.stdout)]
        return "\n\n".join(filter(None, parts)), ""
    line = formats.github if output == "github" else rendering.concise
    return "\n".join(map(line, found)), _closing(len(judged), found, sys.stderr)


def _table(judged: Sequence[Judged]) -> Iterator[str]:
    """A line for every expression that means something: its place, its key, how it is read."""
    rows = [
        (harmless(f"{source.filename}:{_place(source)}"), harmless(source.key), summary(checked.meaning))
        for source, checked in judged
        if checked.meaning is not None
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    for place, key, reading in rows:
        place = painted(f"{place:<{widths[0]}}", DIM, sys.stdout)
        key = painted(f"{key:<{widths[1]}}", BOLD, sys.stdout)
        yield "  ".join(filter(None, (place, key, reading)))


def _place(source: Source) -> Place:
    """The first character that says something: a block of YAML begins on the line below its header."""
    return source.place(len(source.text) - len(source.text.lstrip()))


def _closing(expressions: int, found: Sequence[Diagnostic], stream: TextIO) -> str:
    """`2 expressions, 1 error, 1 warning in 12 ms`."""
    errors = sum(diagnostic.is_error for diagnostic in found)
    warnings = len(found) - errors
    # A value that the file spoils (`loss: &ce`) is an expression to whoever wrote it.
    expressions += sum(diagnostic.code in SPOILED for diagnostic in found)
    parts = [counted(expressions, "expression")]
    if errors:
        parts.append(painted(counted(errors, "error"), RED, stream))
    if warnings:
        parts.append(painted(counted(warnings, "warning"), YELLOW, stream))
    if not found:
        parts.append(painted("no mistakes", GREEN, stream))
    return f"{', '.join(parts)} in {(perf_counter() - cli.STARTED) * 1000:.0f} ms"
