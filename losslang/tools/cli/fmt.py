"""`losslang fmt`: rewrites expressions in canonical form, in the style of the file around them."""

from __future__ import annotations

import difflib
import os
import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.rendering import full
from losslang.diagnostics.source import Source
from losslang.syntax.formatter import format
from losslang.tools.cli.inputs import exit_status, files_below, from_found, no_file, split_key, standard_input
from losslang.tools.cli.outcome import Outcome, counted, harmless, in_color
from losslang.tools.configfile import read, rewrite
from losslang.tools.expressions import Expressions


class Formatted(NamedTuple):
    """One file before and after, and the errors that keep it as it is."""

    name: str
    before: str = ""
    after: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def changes(self) -> bool:
        """True if the file is not in canonical form yet."""
        return self.before != self.after


def run(arguments: Namespace) -> Outcome:
    """Formats all files: writes them, or reports what would change."""
    done = [one for file in arguments.files for one in _all_formatted(file, arguments.key)]
    errors = [d for one in done for d in one.diagnostics if d.is_error]
    status = exit_status(errors)
    out: list[str] = []
    err = [full(diagnostic, color=in_color(sys.stderr)) + "\n" for diagnostic in errors]
    looks = arguments.check or arguments.diff
    for one in done:
        if arguments.diff:
            out += _difference(one)
        elif one.name == "-" and not looks and not one.diagnostics:
            out.append(one.after)
        elif one.changes and looks:
            out.append(f"would rewrite {harmless(one.name)}")
        elif one.changes:
            refused = _written(one)
            status = max(status, 2 if refused else 0)
            err.append(refused or f"rewrote {harmless(one.name)}")
    if arguments.check and any(one.changes for one in done):
        status = max(status, 1)
    err.append(_closing(done, bool(looks)))
    return Outcome(status, "\n".join(out), "\n".join(filter(None, err)))


# ---------------------------------------------------------------------------- one file


def _all_formatted(argument: str, key: str | None) -> Iterator[Formatted]:
    """The files of one argument, formatted but not written: those of a folder, or one."""
    if os.path.isdir(argument):
        for filename in files_below(argument):
            yield _from(filename, from_found(filename, key))
    else:
        yield _formatted(argument, key)


def _formatted(argument: str, key: str | None) -> Formatted:
    """One argument, formatted but not written."""
    if argument == "-":
        text = standard_input()
        try:
            return Formatted("-", text, format(Source(text, "<stdin>")) + "\n")
        except LossError as error:
            return Formatted("-", diagnostics=error.diagnostics)
    filename, key = split_key(argument, key)
    missing = no_file(filename)
    if missing is not None:
        return Formatted(filename, diagnostics=(missing,))
    return _from(filename, read(filename, key=key), demands=key is not None)


def _from(filename: str, expressions: Expressions, *, demands: bool = False) -> Formatted:
    """One file, formatted but not written. That it holds no expression is a mistake where one is demanded."""
    wrong = [d for d in expressions.diagnostics if d.is_error and (demands or d.code != "E406")]
    if wrong:
        return Formatted(filename, diagnostics=expressions.diagnostics)
    if not expressions.sources:
        return Formatted(filename)
    # Line breaks and a byte order mark stay what they are.
    with open(filename, encoding="utf-8", newline="") as file:
        before = file.read()
    return _rewritten(filename, before, expressions.sources)


def _rewritten(filename: str, before: str, sources: Sequence[Source]) -> Formatted:
    """A file with all expressions formatted; unchanged if one of them has an error."""
    after = before
    errors: list[Diagnostic] = []
    # The last one first: a new text moves what stands behind it.
    for source in sorted(sources, key=lambda source: source.place(0), reverse=True):
        try:
            after = rewrite(after, source, format(source))
        except LossError as error:
            errors = [*error.diagnostics, *errors]
    return Formatted(filename, before, before if errors else after, tuple(errors))


def _written(one: Formatted) -> str:
    """Writes a file, all of it or nothing. Returns the error message, or ''."""
    # The target of a link is rewritten; the link stays one.
    path = Path(os.path.realpath(one.name))
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(handle, "w", encoding="utf-8", newline="") as file:
                file.write(one.after)
            shutil.copymode(path, temporary)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        return f"{harmless(one.name)} cannot be written: {error.strerror or error}"
    return ""


# ---------------------------------------------------------------------------- what is printed


def _difference(one: Formatted) -> list[str]:
    """The unified diff of a file."""
    before, after = one.before.splitlines(), one.after.splitlines()
    name = harmless(one.name)
    return list(difflib.unified_diff(before, after, name, name, lineterm=""))


def _closing(done: Sequence[Formatted], looks: bool) -> str:
    """The last line: `3 files: 1 rewritten, 1 unchanged, 1 left alone`."""
    if [one.name for one in done] == ["-"]:
        return ""
    refused = sum(any(d.is_error for d in one.diagnostics) for one in done)
    changed = sum(one.changes for one in done)
    parts = {
        "would change" if looks else "rewritten": changed,
        "unchanged": len(done) - changed - refused,
        "left alone": refused,
    }
    listed = ", ".join(f"{number} {what}" for what, number in parts.items() if number)
    return f"{counted(len(done), 'file')}: {listed}"
