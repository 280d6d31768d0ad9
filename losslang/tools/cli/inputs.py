"""Input arguments of the commands: files, keys of files, standard input, expressions."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import replace

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import files
from losslang.diagnostics.source import Source
from losslang.tools.expressions import Expressions

WITH_KEY = re.compile(r"(?P<file>.+?\.(?:ya?ml|toml|json|loss)):(?P<key>.+)", re.IGNORECASE | re.DOTALL)
A_FILE = re.compile(r"[^()*+=@\n]*\.(?:ya?ml|toml|json|loss)", re.IGNORECASE)
LONGEST = 1_000_000  # bytes of standard input; the parser refuses an expression long before


def from_file(argument: str, key: str | None) -> Expressions:
    """The expressions of an argument `FILE`, `FILE:KEY` or `-`."""
    if argument == "-":
        return Expressions((Source(standard_input(), "<stdin>"),))
    # YAML and the formats beside it are loaded for a file alone.
    from losslang.tools.configfile import read

    filename, key = split_key(argument, key)
    missing = no_file(filename)
    if missing is not None:
        return Expressions(diagnostics=(missing,))
    return read(filename, key=key)


def no_file(filename: str) -> Diagnostic | None:
    """The mistake of an argument that names no file: a directory, or an expression without `-e`; else None."""
    if os.path.isdir(filename):
        reason, fix = "it is a directory", "name the files in it: the shell fills in `conf/*.yaml`"
    elif not os.path.lexists(filename) and not A_FILE.fullmatch(filename):
        reason = "there is no such file"
        fix = f"an expression stands behind -e: losslang check -e '{filename}'"
    else:
        return None
    return replace(files.unreadable(filename, reason), fix=fix).at(Source("", filename))


def split_key(argument: str, key: str | None) -> tuple[str, str | None]:
    """Splits `FILE:KEY`. An argument that exists as a file has no key."""
    match = None if os.path.exists(argument) else WITH_KEY.fullmatch(argument)
    return (match["file"], match["key"]) if match else (argument, key)


def from_either(argument: str, key: str | None) -> Expressions:
    """The argument of `explain` and `plan`: an expression, unless it is named like a file."""
    bare, _ = split_key(argument, key)
    if argument == "-" or A_FILE.fullmatch(bare):
        return from_file(argument, key)
    return Expressions((Source(argument),))


def standard_input() -> str:
    r"""Reads standard input as UTF-8 text with `\n` line breaks."""
    data = sys.stdin.buffer.read(LONGEST)
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    return text.replace("\r\n", "\n")


def exit_status(diagnostics: Iterable[Diagnostic]) -> int:
    """The exit status for diagnostics: 0, 1 for errors, 2 if a file is unreadable or has no expression."""
    codes = {diagnostic.code for diagnostic in diagnostics if diagnostic.is_error}
    return 2 if codes & UNREAD else 1 if codes else 0


UNREAD = {f"E40{number}" for number in range(1, 7)}
"""The mistakes of a file as a whole: unreadable, no UTF-8, unknown, too big, invalid, without expression."""
