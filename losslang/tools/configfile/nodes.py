"""Config nodes: mappings, sequences and scalars with their offsets, for all formats."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import files
from losslang.diagnostics.source import Source, Span

MAX_CHARACTERS = 500_000
MAX_NESTING = 100

Kind = Literal["text", "number", "truth value", "date", "nothing", "object"]


@dataclass(frozen=True, eq=False)
class Scalar:
    """A value as it is written: `file[start:end]`, with its quotes, without anchor and tag.

    `style` is what it begins with: a quote, three quotes, `|`, `>`, or nothing for a bare value.
    """

    start: int
    end: int
    kind: Kind
    style: str = ""
    value: str = ""  # of YAML alone, where only the parser knows the indentation of a block
    tag: str = ""
    head: int = -1  # of YAML alone: where an anchor or a tag before the value begins


@dataclass(frozen=True, eq=False)
class Sequence:
    """A list, from the offset `start` on."""

    start: int
    tag: str = ""
    items: list[Node] = field(default_factory=list["Node"])


class Entry(NamedTuple):
    """A key of a mapping with its value."""

    name: str
    span: Span  # of the key
    node: Node


@dataclass(frozen=True, eq=False)
class Mapping:
    """A mapping: its entries in the order of the file, a name as often as it is written.

    `merged` are the values of YAML's `<<`: an entry of theirs counts where the mapping has none of that name.
    An alias is the node itself once more, so a mapping may contain itself.
    """

    start: int
    tag: str = ""
    entries: list[Entry] = field(default_factory=list[Entry])
    merged: list[Node] = field(default_factory=list["Node"])


Node = Scalar | Sequence | Mapping


class Decoded(NamedTuple):
    """The text of a scalar, with the offset in the file of each character, and one offset more for the end."""

    text: str
    offsets: tuple[int, ...]


def decode(text: str, span: Span, token: re.Pattern[str], says: Callable[[re.Match[str]], str]) -> Decoded:
    """Decodes `text` in `span` token by token: `says` gives the text of a token.

    All characters of a token that says something else than itself have the offset of its start.
    """
    chunks: list[str] = []
    offsets: list[int] = []
    end = span.start
    for match in token.finditer(text, *span):
        said = says(match)
        if not said:
            continue
        chunks.append(said)
        start, end = match.span()
        offsets += range(start, end) if said == match[0] else [start] * len(said)
    return Decoded("".join(chunks), (*offsets, end))


def each(nodes: list[Node]) -> Iterator[Node]:
    """`nodes` and everything below them, parents first, each once."""
    waiting = nodes[::-1]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        waiting += reversed(below(node))


def below(node: Node) -> list[Node]:
    """The nodes directly below `node`."""
    match node:
        case Scalar():
            return []
        case Sequence(items=items):
            return items
        case Mapping(entries=entries, merged=merged):
            return [*(entry.node for entry in entries), *merged]


def refuse_nesting(file: Source, token: re.Pattern[str]) -> None:
    """Raises LossError where brackets nest too deeply, before a scanner runs out of stack there.

    `token` finds the brackets, and whole strings and comments so that brackets in them do not count.
    The text must be valid up to such a place: a string without an end is looked for very slowly.
    """
    depth = 0
    for match in token.finditer(file.text):
        depth += (match[0] in ("[", "{")) - (match[0] in ("]", "}"))
        if depth > MAX_NESTING:
            raise LossError([too_deep(file, match.start())])


def too_deep(file: Source, at: int) -> Diagnostic:
    """The diagnostic of a value at the character `at` that lies too deep."""
    return files.too_big(Span(at, at + 1), "levels of nesting", MAX_NESTING).at(file)


def invalid(file: Source, form: str, at: int, reason: str) -> LossError:
    """The error of a file whose parser stops at the character `at`."""
    # Some parsers report the end of the file; a caret needs a character to stand below.
    at = max(0, min(at, len(file.text) - 1))
    return LossError([files.invalid(Span(at, at + 1), form, reason).at(file)])
