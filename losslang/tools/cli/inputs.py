"""What the arguments of a command stand for: files, standard input, expressions."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, replace

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import files
from losslang.diagnostics.source import Source

WITH_KEY = re.compile(r"(?P<file>.+?\.(?:ya?ml|toml|json|loss)):(?P<key>.+)", re.IGNORECASE | re.DOTALL)
A_FILE = re.compile(r"[^()*+=@\n]*\.(?:ya?ml|toml|json|loss)", re.IGNORECASE)
LONGEST = 1_000_000  # bytes of standard input; the parser refuses an expression long before


@dataclass(frozen=True)
class Given:
    """The expressions of one argument, and what is wrong with the file that should hold them."""

    sources: tuple[Source, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def from_file(argument: str, key: str | None) -> Given:
    """The expressions of `FILE`, `FILE:KEY` or `-`."""
    if argument == "-":
        return Given((Source(standard_input(), "<stdin>"),))
    # YAML and the formats beside it are loaded for a file alone.
    from losslang.tools.configfile import read

    filename, key = split(argument, key)
    missing = no_file(filename)
    if missing is not None:
        return Given(diagnostics=(missing,))
    reading = read(filename, key=key)
    return Given(reading.sources, reading.diagnostics)


def no_file(filename: str) -> Diagnostic | None:
    """What is named like no file and is none: a directory, or an expression in the wrong place."""
    if os.path.isdir(filename):
        found = files.unreadable(filename, "it is a directory")
        found = replace(found, fix="name the files in it: the shell fills in `conf/*.yaml`")
    elif not os.path.lexists(filename) and not A_FILE.fullmatch(filename):
        found = files.unreadable(filename, "there is no such file")
        found = replace(found, fix=f"an expression stands behind -e: losslang check -e '{filename}'")
    else:
        return None
    return found.at(Source("", filename))


def split(argument: str, key: str | None) -> tuple[str, str | None]:
    """`FILE:KEY` as the two. What is a file as it stands has no key."""
    found = None if os.path.exists(argument) else WITH_KEY.fullmatch(argument)
    return (found["file"], found["key"]) if found else (argument, key)


def from_either(argument: str, key: str | None) -> Given:
    """What `explain` and `plan` are asked about: an expression, unless it is named like a file."""
    bare, _ = split(argument, key)
    if argument == "-" or A_FILE.fullmatch(bare):
        return from_file(argument, key)
    return Given((Source(argument),))


def standard_input() -> str:
    """The text on standard input, its line breaks as every parser hands them over."""
    data = sys.stdin.buffer.read(LONGEST)
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    return text.replace("\r\n", "\n")


def wrong(diagnostics: tuple[Diagnostic, ...]) -> int:
    """The exit status of diagnostics: 2 where a file could not be read or holds no expression."""
    codes = {diagnostic.code for diagnostic in diagnostics if diagnostic.is_error}
    return 2 if codes & UNREAD else 1 if codes else 0


UNREAD = {f"E40{number}" for number in range(1, 7)}
"""The mistakes of a file as a whole: unreadable, no UTF-8, unknown, too big, invalid, without expression."""
