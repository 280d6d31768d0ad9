"""Reports of `losslang check`: mistakes as people or tools read them, a line for what is right, a closing line."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TextIO

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.source import Place, Source
from losslang.meaning.checker import Checked
from losslang.meaning.summary import summary
from losslang.tools.cli.clock import CLOCK
from losslang.tools.cli.outcome import BOLD, DIM, GREEN, RED, YELLOW, counted, harmless, in_color, painted
from losslang.tools.expressions import Expressions

CheckedSource = tuple[Source, Checked]
SPOILED = ("E407", "E408", "E409", "E410", "E411", "E412", "E421", "W420")
"""The mistakes of a value that would be an expression: it counts as one to whoever wrote it."""


class Checks(NamedTuple):
    """What was checked: all diagnostics, every expression, and what was read of every file."""

    diagnostics: Sequence[Diagnostic]
    checked: Sequence[CheckedSource]
    contents: Sequence[Expressions]
    of_files: Sequence[Expressions]
    hint: str


def holds(reading: Expressions) -> bool:
    """True if a file holds an expression, also one that the file spoils."""
    return bool(reading.sources) or any(d.code in SPOILED for d in reading.diagnostics)


def report(output: str, checks: Checks) -> tuple[str, str]:
    """The text for standard output, and the one for standard error."""
    from losslang.diagnostics import formats, rendering

    diagnostics = checks.diagnostics
    if output == "json":
        return formats.json_report(diagnostics), ""
    if output == "sarif":
        return formats.sarif(diagnostics), ""
    if output == "full":
        pictures = [rendering.full(diagnostic, color=in_color(sys.stdout)) for diagnostic in diagnostics]
        parts = ["\n".join(_table(checks.checked)), *pictures, _closing(checks, sys.stdout)]
        return "\n\n".join(filter(None, parts)), ""
    line = formats.github if output == "github" else rendering.concise
    return "\n".join(map(line, diagnostics)), _closing(checks, sys.stderr)


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


# ---------------------------------------------------------------------------- the closing line


def _closing(checks: Checks, stream: TextIO) -> str:
    """The last line: `2 expressions in 1 of 3 files, 1 value left alone (1 given elsewhere), 1 error in 12 ms`."""
    diagnostics = checks.diagnostics
    errors = sum(diagnostic.is_error for diagnostic in diagnostics)
    warnings = len(diagnostics) - errors
    parts = [_counted_expressions(checks), *_left_alone(checks)]
    if errors:
        parts.append(painted(counted(errors, "error"), RED, stream))
    if warnings:
        parts.append(painted(counted(warnings, "warning"), YELLOW, stream))
    if not diagnostics and checks.checked:
        parts.append(painted("no mistakes", GREEN, stream))
    joined = ", ".join(parts) + ("" if len(parts) > 1 else ",")
    line = f"{joined} in {CLOCK.milliseconds:.0f} ms"
    return line + (f"\na key that may be meant: {checks.hint}" if checks.hint else "")


def _counted_expressions(checks: Checks) -> str:
    """`2 expressions in 1 of 3 files`; without the files where it is clear in how many they are."""
    spoiled = sum(d.code in SPOILED for reading in checks.contents for d in reading.diagnostics)
    number = counted(len(checks.checked) + spoiled, "expression")
    files = len(checks.of_files)
    holding = sum(map(holds, checks.of_files))
    if not checks.checked and not checks.diagnostics:
        return f"no expression in {counted(files, 'file')}"
    if holding == files <= 1:
        return number
    return (
        f"{number} in {counted(files, 'file')}"
        if holding == files
        else f"{number} in {holding} of {counted(files, 'file')}"
    )


def _left_alone(checks: Checks) -> Iterator[str]:
    """`3 values left alone (1 given elsewhere, 2 of another library)`, if there are any."""
    reasons = Counter(reason for reading in checks.contents for reason in reading.left)
    if reasons:
        listed = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
        yield f"{counted(reasons.total(), 'value')} left alone ({listed})"
