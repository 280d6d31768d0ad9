"""Reading a config file: its expressions, and the diagnostics of how it holds them."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import PurePath

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import files
from losslang.diagnostics.source import Source, Span
from losslang.tools.configfile.doubts import interpolated
from losslang.tools.configfile.forms import FORMS, SUFFIXES, Form
from losslang.tools.configfile.nodes import MAX_CHARACTERS, Decoded
from losslang.tools.configfile.values import Asked, Values
from losslang.tools.expressions import Expressions

MARK = "\ufeff"  # a byte order mark, which some editors put before UTF-8
WORDS = (*files.KEYS, "_target_", "class_path")
"""A file that holds none of them holds no expression."""


def read(
    filename: str,
    text: str | None = None,
    *,
    key: str | None = None,
    suffix: str | None = None,
    named: bool = True,
) -> Expressions:
    """Reads the expressions of a config file. Never raises: whatever is wrong is a diagnostic.

    In YAML, TOML and JSON an expression is the text under a key called `loss`, `criterion` or `objective`, at
    any depth, or the `text` of what builds a loss: `_target_: losslang.compile` (Hydra), or `class_path`
    with `init_args` (LightningCLI). The suffix of `filename` names the format. `${a.b}` and `${.b}` are
    filled in where the same YAML file answers them.

    A mapping of texts under such a key holds an expression for each of its keys, unless one of them
    configures another program (`values.CONFIGURES`). A value that is no text is an error otherwise. A mapping
    or a list is one only if nothing inside of it is found. A value that YAML aliases repeat is reported once,
    where it is written.

    Left alone, and counted: what another file gives (`???`, a value that is one `${...}`); words of other
    libraries (`other_libraries.WORDS`); objects of other libraries (another `_target_`, a tag) beside
    expressions. Such an object is an error when `key` asks for it, or when a named file holds nothing else.
    The choices of a defaults list of Hydra are no values.

    Args:
        filename: The file, or the name of `text`.
        text: The text to read in place of the file.
        key: The keys to read in place of `loss`, `criterion` and `objective`: a last name, a whole path such
            as `losses[0].loss`, or a pattern of either (`train.*`, `losses[*]`).
        suffix: The format of a text that has no file. Such a config is whole: no other file adds to it.
        named: False for a file that was found in a folder: what is not ours in it is no mistake.
    """
    try:
        form = _form(filename if suffix is None else f"text{suffix}")
        file = Source(_text(filename) if text is None else text.removeprefix(MARK), filename)
        if not named and form is not None and not _may_hold(file.text, key):
            return Expressions()
        if len(file.text) > MAX_CHARACTERS:
            raise LossError([_too_long(file)])
        asked = Asked(key, named, whole=suffix is not None)
        return Values(file, form, asked).read() if form else _whole(file)
    except LossError as error:
        return Expressions((), error.diagnostics)


def _may_hold(text: str, key: str | None) -> bool:
    """False for the text of a file that cannot hold an expression: no word of a key stands in it."""
    # A pattern may match any word.
    words = WORDS if key is None else re.split(r"[.*?\[\]]+", key)[-1:]
    return any(word in text for word in words)


def _form(filename: str) -> Form | None:
    """The format that a suffix names; None for a file that is one expression. Raises LossError."""
    suffix = PurePath(filename).suffix.lower()
    if suffix not in SUFFIXES:
        raise LossError([files.unknown_kind(filename, SUFFIXES).at(Source("", filename))])
    return FORMS.get(suffix)


def _text(filename: str) -> str:
    """The text of a file. Raises LossError if it cannot be read or is no UTF-8."""
    longest = 4 * MAX_CHARACTERS  # a character of UTF-8 has up to four bytes
    try:
        with open(filename, "rb") as file:
            data = file.read(longest + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        nowhere = Source("", filename)
        near = _near(filename) if isinstance(error, FileNotFoundError) else ""
        raise LossError([files.unreadable(filename, reason, near).at(nowhere)]) from None
    if len(data) > longest:
        raise LossError([_too_long(Source(data.decode("utf-8", "replace"), filename))])
    try:
        return data.decode("utf-8").removeprefix(MARK)
    except UnicodeDecodeError as error:
        at = len(data[: error.start].decode("utf-8"))
        shown = Source(data.decode("utf-8", "replace"), filename)
        broken = files.not_utf8(Span(at, at + 1), filename, data[error.start], error.start)
        raise LossError([broken.at(shown)]) from None


def _near(filename: str) -> str:
    """The file beside a missing one that was probably meant, or ''."""
    folder, name = os.path.split(filename)
    try:
        names = os.listdir(folder or os.curdir)
    except OSError:
        return ""
    near = difflib.get_close_matches(name, names, n=1)
    return os.path.join(folder, near[0]) if near else ""


def _too_long(file: Source) -> Diagnostic:
    span = Span(MAX_CHARACTERS, MAX_CHARACTERS + 1)
    return files.too_big(span, "characters", MAX_CHARACTERS).at(file)


def _whole(file: Source) -> Expressions:
    r"""The one expression of a .loss file, with `\n` line breaks."""
    breaks = [match.start() for match in re.finditer("\r\n", file.text)]
    offsets = sorted(set(range(len(file.text) + 1)).difference(breaks))
    written = Decoded(file.text.replace("\r\n", "\n"), tuple(offsets))
    refused = interpolated(written)
    if refused is not None:
        return Expressions((), (refused.at(file),))
    if not breaks:
        return Expressions((file,))
    return Expressions((_source(file, "", written),))


def _source(file: Source, key: str, written: Decoded) -> Source:
    """The Source of a decoded expression."""
    return Source(written.text, file.filename, key, file.text, written.offsets)
