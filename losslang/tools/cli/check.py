"""`losslang check`: prints every mistake of every expression, and a line for each that has none."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.source import Source
from losslang.meaning.checker import Checked, analyze
from losslang.tools.cli.inputs import exit_status, files_below, from_file, from_found, split_key
from losslang.tools.cli.outcome import Outcome
from losslang.tools.cli.report import CheckedSource, Checks, holds, report
from losslang.tools.expressions import Expressions

NOTHING = "E406"
"""A file without an expression: a mistake only where one is demanded."""


class Input(NamedTuple):
    """One argument with what it holds: a reading for each file, or for the one expression of `-e`."""

    name: str
    contents: list[Expressions]
    demands: bool = False  # FILE:KEY has to hold that key

    @property
    def is_folder(self) -> bool:
        """True for a folder that is walked."""
        return bool(self.name) and os.path.isdir(self.name)


def run(arguments: Namespace) -> Outcome:
    """Checks all expressions of files, of folders and of `-e`."""
    expressions: list[str] = arguments.expressions
    files: list[str] = arguments.files
    if not expressions and not files:
        arguments.usage_error(
            "name a file or a folder, or write an expression: losslang check -e 'ce + dice'"
        )
    if arguments.format and "-" not in files:
        arguments.usage_error("--format is the format of standard input: losslang check - --format yaml")
    inputs = [_input(file, arguments.key, arguments.format) for file in files]
    inputs += [Input("", [Expressions((Source(text),))]) for text in expressions]
    contents, hint = _settled(inputs, arguments.key, require=arguments.require)
    checked = _checked(contents, dict(arguments.settings))
    # A setting of the command line is wrong once, in however many expressions.
    diagnostics = tuple(dict.fromkeys(_in_order(contents, checked)))
    status = exit_status(diagnostics)
    if arguments.strict and diagnostics:
        status = max(status, 1)
    of_files = [reading for one in inputs if one.name for reading in one.contents]
    return Outcome(status, *report(arguments.output, Checks(diagnostics, checked, contents, of_files, hint)))


def _input(argument: str, key: str | None, form: str | None) -> Input:
    """What one argument names: a folder, a file, a key of a file, or standard input."""
    if os.path.isdir(argument):
        return Input(argument, [from_found(file, key) for file in files_below(argument)])
    demands = argument != "-" and split_key(argument, key)[1] != key
    return Input(argument, [from_file(argument, key, form)], demands)


def _settled(inputs: Sequence[Input], key: str | None, *, require: bool) -> tuple[list[Expressions], str]:
    """All contents, and the keys that may have been meant where none holds an expression.

    That a file holds none is a mistake where its key is named, and where all hold none and one is demanded.
    """
    held = any(holds(reading) for one in inputs for reading in one.contents)
    demanded = (require or key is not None) and not held
    contents: list[Expressions] = []
    hints: list[str] = []
    for one in inputs:
        for reading in one.contents:
            found = [d for d in reading.diagnostics if d.code == NOTHING]
            hints += [d.fix for d in found if d.fix.startswith("`--key")]
            if found and not (demanded or one.demands):
                reading = replace(reading, diagnostics=())
            contents.append(reading)
        if demanded and one.is_folder:
            contents.append(_empty_folder(one.name, key))
    return contents, hints[0] if hints and not held and not demanded else ""


def _empty_folder(name: str, key: str | None) -> Expressions:
    """A folder that should hold an expression and holds none."""
    from losslang.diagnostics.mistakes.files import nothing_found

    return Expressions(diagnostics=(nothing_found(key, ()).at(Source("", name)),))


def _checked(contents: Sequence[Expressions], settings: Mapping[str, Any]) -> list[CheckedSource]:
    """The result for every expression, with the overrides of its file and the settings that it has a name for."""
    sources = [(s, reading.settings_of(at)) for reading in contents for at, s in enumerate(reading.sources)]
    if len(sources) < 2 or not settings:
        return [(source, _analyzed(source, given, settings)) for source, given in sources]
    fitting = [{n: v for n, v in settings.items() if _has(s, given, n, v)} for s, given in sources]
    # A setting that no expression has a name for is reported in each of them.
    nowhere = {n: v for n, v in settings.items() if not any(n in known for known in fitting)}
    pairs = zip(sources, fitting, strict=True)
    return [(s, _analyzed(s, given, {**known, **nowhere})) for (s, given), known in pairs]


def _analyzed(source: Source, given: Mapping[str, Any], settings: Mapping[str, Any]) -> Checked:
    """The result for one expression; the command line has the last word over its file."""
    return analyze(source, overrides={**given, **settings})


def _has(source: Source, given: Mapping[str, Any], name: str, value: Any) -> bool:
    """True if a setting of this name changes something in the expression."""
    others = {other: setting for other, setting in given.items() if other != name}
    before = sum(d.code == "E108" for d in _analyzed(source, others, {}).diagnostics)
    return before == sum(d.code == "E108" for d in _analyzed(source, others, {name: value}).diagnostics)


def _in_order(contents: Sequence[Expressions], checked: Sequence[CheckedSource]) -> Iterator[Diagnostic]:
    """All diagnostics, file by file, in the order of each file."""
    by_source = {id(source): result.diagnostics for source, result in checked}
    for one in contents:
        diagnostics = [*one.diagnostics, *(d for source in one.sources for d in by_source[id(source)])]
        yield from sorted(diagnostics, key=lambda d: d.source.place(d.span.start))
