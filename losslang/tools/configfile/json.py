"""JSON files to nodes: the standard library decides what is valid, a scanner finds where it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from losslang.diagnostics.source import Source, Span
from losslang.tools.configfile.nodes import (
    Decoded,
    Entry,
    Kind,
    Mapping,
    Node,
    Scalar,
    Sequence,
    decode,
    invalid,
    refuse_nesting,
)

STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
BRACKETS = re.compile(STRING + r"|[\[\]{}]", re.DOTALL)
TOKEN = re.compile(STRING + r"|[\[\]{}]|[^\s\[\]{},:\"]+", re.DOTALL)
# The halves of a surrogate pair are one character.
CHARACTER = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]+"
)
WORDS: dict[str, Kind] = {"true": "truth value", "false": "truth value", "null": "nothing"}


def tree(file: Source) -> list[Node]:
    """The one value of a JSON file. Raises LossError if it is not valid."""
    try:
        # Numbers stay text: nobody asks for their value, and a very long one is slow to convert.
        json.loads(file.text, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        raise invalid(file, "JSON", error.pos, _reason(error.msg)) from None
    except RecursionError:
        pass
    refuse_nesting(file, BRACKETS)
    tokens = TOKEN.finditer(file.text)
    return [_value(next(tokens), tokens)]


def _reason(message: str) -> str:
    return message[0].lower() + message[1:]


def _value(first: re.Match[str], tokens: Iterator[re.Match[str]]) -> Node:
    """The node that begins with the token `first`."""
    start, end = first.span()
    if first[0] == "[":
        items: list[Node] = []
        while (token := next(tokens))[0] != "]":
            items.append(_value(token, tokens))
        return Sequence(start, items=items)
    if first[0] == "{":
        entries: list[Entry] = []
        while (token := next(tokens))[0] != "}":
            name = str(json.loads(token[0]))
            entries.append(Entry(name, Span(*token.span()), _value(next(tokens), tokens)))
        return Mapping(start, entries=entries)
    if first[0][0] == '"':
        return Scalar(start, end, "text", '"')
    return Scalar(start, end, WORDS.get(first[0], "number"))


def decoded(text: str, scalar: Scalar) -> Decoded:
    """The text of a string, and the offset of each character."""
    return decode(text, Span(scalar.start + 1, scalar.end - 1), CHARACTER, _says)


def _says(match: re.Match[str]) -> str:
    """The text of one token of a string: an escape, or itself."""
    return json.loads(f'"{match[0]}"') if match[0][0] == "\\" else match[0]


def spellings(text: str, scalar: Scalar, new: str, flat: str | None) -> Iterator[str]:
    """The one way to write `new` in the place of a string."""
    # A file that spells such characters as escapes keeps doing so.
    ascii_only = text[scalar.start : scalar.end].isascii()
    yield json.dumps(flat or new, ensure_ascii=ascii_only)
