"""Input arguments of the commands: files, folders, keys of files, standard input, expressions."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import files
from losslang.diagnostics.source import Source
from losslang.tools.cli.clock import CLOCK
from losslang.tools.expressions import Expressions

WITH_KEY = re.compile(r"(?P<file>.+?\.(?:ya?ml|toml|json|loss)):(?P<key>.+)", re.IGNORECASE | re.DOTALL)
A_FILE = re.compile(r"[^()*+=@\n]*\.(?:ya?ml|toml|json|loss)", re.IGNORECASE)
CONFIG = re.compile(r".+\.(?:ya?ml|toml|json|loss)", re.IGNORECASE | re.DOTALL)
LOOKS = {
    "yaml": re.compile(r"(?:\s*#[^\n]*\n|\s*\n)*(?:---\s|[\w./-]+:(?:\s|$))"),
    "json": re.compile(r"\s*\{"),
    "toml": re.compile(r"(?:\s*#[^\n]*\n|\s*\n)*\[[\w.-]+\]\s*(?:\n|$)"),
}
"""How a config begins; no expression does."""
LONGEST = 1_000_000  # bytes of standard input; the parser refuses an expression long before
STDIN = "<stdin>"
SKIPPED = frozenset(
    ["node_modules", "__pycache__", "venv", "outputs", "multirun", "lightning_logs", "wandb", "mlruns"]
)
"""Folders that are not walked: what others have installed, and the records of runs. Nor are hidden ones."""
NO_CONFIG = ("E402", "E404", "E406")
"""The mistakes of a file that say, of one found in a folder, that it is no config of ours."""


def from_file(argument: str, key: str | None, form: str | None = None) -> Expressions:
    """The expressions of an argument `FILE`, `FILE:KEY` or `-`; `form` is the format of standard input."""
    if argument == "-":
        return from_stdin(standard_input(), key, form)
    # YAML and the formats beside it are loaded for a file alone.
    from losslang.tools.configfile import read

    filename, key = split_key(argument, key)
    missing = no_file(filename)
    if missing is not None:
        return Expressions(diagnostics=(missing,))
    return read(filename, key=key)


def from_stdin(text: str, key: str | None, form: str | None) -> Expressions:
    """The expressions of standard input: one, or those of a config in the format `form`."""
    looks = next((name for name, begins in LOOKS.items() if begins.match(text)), None)
    if form is not None and not text.strip():
        reason, fix = "it is empty", "see what the command before the pipe says"
    elif form is None and looks is not None:
        reason = f"it looks like {looks.upper()}, not like one expression"
        fix = f"name its format: losslang check - --format {looks}"
    elif form is None:
        return Expressions((Source(text, STDIN),))
    else:
        from losslang.tools.configfile import read

        return read(STDIN, text, key=key, suffix=f".{form}")
    refused = replace(files.unreadable(STDIN, reason), fix=fix)
    return Expressions(diagnostics=(refused.at(Source("", STDIN)),))


def from_found(filename: str, key: str | None) -> Expressions:
    """The expressions of a file that was found in a folder: what is none of ours in it is no mistake."""
    from losslang.tools.configfile import read

    reading = read(filename, key=key, named=False)
    return replace(reading, diagnostics=tuple(d for d in reading.diagnostics if d.code not in NO_CONFIG))


def files_below(folder: str) -> Iterator[str]:
    """The config files below a folder, by name. Links to folders are not followed."""
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_skipped(above, name))
        for name in sorted(names):
            if CONFIG.fullmatch(name) and not name.startswith("."):
                yield os.path.join(above, name)


def _is_skipped(above: str, name: str) -> bool:
    """True for a folder that holds no configs of this project: hidden, installed, or the record of a run."""
    is_environment = os.path.exists(os.path.join(above, name, "pyvenv.cfg"))
    return name.startswith(".") or name in SKIPPED or is_environment


def no_file(filename: str) -> Diagnostic | None:
    """The mistake of an argument that names no file: a directory, or an expression without `-e`; else None."""
    if os.path.isdir(filename):
        reason, fix = (
            "it is a directory",
            "name one file of it; `losslang check` and `losslang fmt` take folders",
        )
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


def texts_of(
    expressions: Expressions, text_of: Callable[[Source, Mapping[str, Any]], str]
) -> tuple[list[str], tuple[Diagnostic, ...]]:
    """The text of each expression that has no mistake, with the overrides of its file; and all diagnostics."""
    texts: list[str] = []
    diagnostics = expressions.diagnostics
    for at, source in enumerate(expressions.sources):
        try:
            texts.append(text_of(source, expressions.settings_of(at)))
        except LossError as error:
            diagnostics += error.diagnostics
    return texts, diagnostics


def standard_input() -> str:
    r"""Reads standard input as UTF-8 text with `\n` line breaks."""
    with CLOCK.stopped():  # somebody may be typing
        data = sys.stdin.buffer.read(LONGEST)
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    return text.replace("\r\n", "\n")


def exit_status(diagnostics: Iterable[Diagnostic]) -> int:
    """The exit status for diagnostics: 0, 1 for errors, 2 if a file is unreadable or has no expression."""
    codes = {diagnostic.code for diagnostic in diagnostics if diagnostic.is_error}
    return 2 if codes & UNREAD else 1 if codes else 0


UNREAD = {*(f"E40{number}" for number in range(1, 7)), "E424"}
"""The mistakes of a file as a whole: unreadable, no UTF-8, unknown, too big, invalid, without expression; and of
a module that cannot be imported."""
