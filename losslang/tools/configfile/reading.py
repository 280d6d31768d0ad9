"""Reading a config file: its expressions, and the diagnostics of how it holds them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import PurePath

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import files
from losslang.diagnostics.source import Source, Span
from losslang.tools.configfile.doubts import cut, interpolated, swallows
from losslang.tools.configfile.find import Match, builds_below, find, rule
from losslang.tools.configfile.forms import FORMS, SUFFIXES, YAML, Form
from losslang.tools.configfile.nodes import MAX_CHARACTERS, Decoded, Mapping, Scalar
from losslang.tools.expressions import Expressions

MARK = "\ufeff"  # a byte order mark, which some editors put before UTF-8


def read(filename: str, text: str | None = None, *, key: str | None = None) -> Expressions:
    """Reads the expressions of a config file. Never raises: whatever is wrong is a diagnostic.

    In YAML, TOML and JSON an expression is the text under a key called `loss`, `criterion` or `objective`, at
    any depth, or the `text` of a Hydra node for losslang (`_target_: losslang.compile`). The suffix of
    `filename` names the format.

    A value that is asked for and is no text is an error. A mapping or a list is one only if nothing inside of
    it is found. An object of another library (a mapping with `_target_`, a value with a tag) is left alone
    beside other expressions, and is an error when `key` asks for it or nothing else is found. A value that
    YAML aliases repeat is reported once, where it is written.

    Args:
        filename: The file, or the name of `text`.
        text: The text to read in place of the file.
        key: The keys to read in place of `loss`, `criterion` and `objective`: a last name, a whole path such
            as `losses[0].loss`, or a pattern of either (`train.*`, `losses[*]`).
    """
    try:
        form = _form(filename)
        file = Source(_text(filename) if text is None else text.removeprefix(MARK), filename)
        if len(file.text) > MAX_CHARACTERS:
            raise LossError([_too_long(file)])
        return _expressions(file, form, key) if form else _whole(file)
    except LossError as error:
        return Expressions((), error.diagnostics)


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
        raise LossError([files.unreadable(filename, reason).at(nowhere)]) from None
    if len(data) > longest:
        raise LossError([_too_long(Source(data.decode("utf-8", "replace"), filename))])
    try:
        return data.decode("utf-8").removeprefix(MARK)
    except UnicodeDecodeError as error:
        at = len(data[: error.start].decode("utf-8"))
        shown = Source(data.decode("utf-8", "replace"), filename)
        broken = files.not_utf8(Span(at, at + 1), filename, data[error.start], error.start)
        raise LossError([broken.at(shown)]) from None


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


# ---------------------------------------------------------------------------- the values of a file


def _expressions(file: Source, form: Form, key: str | None) -> Expressions:
    """The expressions of a YAML, TOML or JSON file."""
    documents = form.tree(file)

    def says(scalar: Scalar) -> str:
        return form.decoded(file.text, scalar).text

    matches = find(file, documents, rule(key), says, hydra=key is None)
    if not matches:
        others = find(file, documents, lambda path, name: key is not None or _sounds_right(name), says)
        return Expressions((), (files.nothing_found(key, _similar(others, key)).at(file),))
    judged: list[tuple[int, Source | Diagnostic]] = []
    foreign = [builds_below(one.node, says) for one in matches]
    # Objects of other libraries are none of our business where a file holds expressions, too.
    left_alone = key is None and not all(foreign)
    for one, target in zip(matches, foreign, strict=True):
        if not (target and left_alone):
            judged += ((one.node.start, item) for item in _judged(file, form, one, target))
    judged.sort(key=lambda pair: pair[0])
    return Expressions(
        tuple(item for _, item in judged if isinstance(item, Source)),
        tuple(item for _, item in judged if isinstance(item, Diagnostic)),
    )


def _sounds_right(name: str) -> bool:
    """True if the name of a key contains one of `files.KEYS`."""
    return any(key in name.lower() for key in files.KEYS)


def _similar(others: list[Match], key: str | None) -> list[str]:
    """The paths of texts that the user may have meant."""
    paths = [one.path for one in others[:1000] if isinstance(one.node, Scalar) and one.node.kind == "text"]
    return paths[:3] if key is None else difflib.get_close_matches(key, paths)


def _judged(file: Source, form: Form, one: Match, builds: str) -> Iterator[Source | Diagnostic]:
    """The Source of a value with its warning, or the mistake that the value is."""
    node = one.node
    if builds or not isinstance(node, Scalar) or node.kind != "text":
        yield _no_text(file, form, one, builds).at(file)
        return
    written = form.decoded(file.text, node)
    refused = interpolated(written) or swallows(file.text, written, form.name)
    if refused is not None:
        yield refused.at(file)
        return
    yield _source(file, one.path, written)
    doubt = cut(file.text, node, written, one.path) if form is YAML else None
    if doubt is not None:
        yield doubt.at(file)


def _no_text(file: Source, form: Form, one: Match, builds: str) -> Diagnostic:
    """The mistake of a value that is no text."""
    node, path = one.node, one.path
    if builds:
        return files.foreign(one.span, path, builds)
    if not isinstance(node, Scalar):
        return files.container(one.span, path, "mapping" if isinstance(node, Mapping) else "list")
    span = Span(node.start if node.head < 0 else node.head, node.end)
    written = file.text[span.start : span.end]
    if node.kind == "nothing":
        return files.empty(span if written else one.span, path, written, form.name)
    return files.not_text(span, path, node.kind, written, form.name)
