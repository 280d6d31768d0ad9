"""TOML files to nodes: the standard library decides what is valid, a scanner finds where it stands."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from losslang.diagnostics.errors import LossError
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

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
# Every entry of every table of a file, for a table may be opened in one place and extended in another.
Index = dict[tuple[int, str], Node]

BASIC = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
LITERAL = r"'[^'\n]*'"
# Up to two quotes may stand just before the closing three.
MULTILINE_BASIC = r'"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"{3,5}'
MULTILINE_LITERAL = r"'''.*?'{3,5}"
STRING = f"{MULTILINE_BASIC}|{MULTILINE_LITERAL}|{BASIC}|{LITERAL}"

BRACKETS = re.compile(STRING + r"|#[^\n]*|[\[\]{}]", re.DOTALL)
VALUE = re.compile(f"(?P<text>{STRING})|(?P<open>[\\[{{])|[^,\\]}}#\\r\\n]+", re.DOTALL)
NAME = re.compile(f"{BASIC}|{LITERAL}|[^\\s.=\\]]+")
BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
CHARACTER = re.compile(
    r"\\[ \t]*\r?\n[ \t\r\n]*"  # a backslash at the end of a line joins it to the next
    r"|\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\."
    r"|\r\n|[^\\\r]+|\r"
)
PLAIN = re.compile(r"\r\n|[^\r]+|\r")
ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}
SPELLED = {char: "\\" + letter for letter, char in ESCAPES.items() if letter != "e"} | {
    '"': '\\"',
    "\\": "\\\\",
}
DATE = re.compile(r"\d{4}-\d\d|\d\d:\d\d")


def tree(file: Source) -> list[Node]:
    """The table of a TOML file. Raises LossError if it is not valid."""
    try:
        tomllib.loads(file.text)
    except ValueError as error:  # also of a number that is too long for an int
        raise _refused(file, str(error)) from None
    except RecursionError:
        pass
    refuse_nesting(file, BRACKETS)
    root = table = Mapping(0)
    index: Index = {}
    at = _skip(file.text, 0)
    while at < len(file.text):
        if file.text[at] == "[":
            table, at = _header(file.text, at, root, index)
        else:
            at = _pair(file.text, at, table, index)
        at = _skip(file.text, at)
    return [root]


def _refused(file: Source, message: str) -> LossError:
    # Of a very long number Python tells at length what one could do about it.
    reason, _, where = message.partition(";")[0].partition(" (at ")
    found = re.match(r"line (\d+), column (\d+)", where)
    at = len(file.text)
    if found:
        rows_above = file.lines[: int(found[1]) - 1]
        at = sum(len(line) + 1 for line in rows_above) + int(found[2]) - 1
    return invalid(file, "TOML", at, reason[0].lower() + reason[1:])


def _skip(text: str, at: int) -> int:
    found = BLANK.match(text, at)
    return found.end() if found else at


def _header(text: str, at: int, root: Mapping, index: Index) -> tuple[Mapping, int]:
    """The table that `[a.b]` or `[[a.b]]` opens, and the offset behind its header."""
    brackets = 2 if text.startswith("[[", at) else 1
    names, end = _key(text, at + brackets)
    if brackets == 1:
        return _table(root, names, index), end + 1
    parent = _table(root, names[:-1], index)
    name, span = names[-1]
    tables = index.get((id(parent), name))
    if not isinstance(tables, Sequence):
        tables = Sequence(span.start)
        _add(parent, name, span, tables, index)
    table = Mapping(span.start)
    tables.items.append(table)
    return table, end + 2


def _table(table: Mapping, names: list[tuple[str, Span]], index: Index) -> Mapping:
    """The table below `table` with the path `names`; missing ones are made."""
    for name, span in names:
        node = index.get((id(table), name))
        if isinstance(node, Sequence):
            node = node.items[-1]
        if not isinstance(node, Mapping):
            node = Mapping(span.start)
            _add(table, name, span, node, index)
        table = node
    return table


def _add(table: Mapping, name: str, span: Span, node: Node, index: Index) -> None:
    table.entries.append(Entry(name, span, node))
    index[id(table), name] = node


def _pair(text: str, at: int, table: Mapping, index: Index) -> int:
    names, end = _key(text, at)
    node, end = _value(text, _skip(text, end + 1), index)
    _add(_table(table, names[:-1], index), *names[-1], node, index)
    return end


def _key(text: str, at: int) -> tuple[list[tuple[str, Span]], int]:
    """The names of a dotted key with their spans, and the offset of the `=` or `]` behind it."""
    names: list[tuple[str, Span]] = []
    while True:
        start, end = _match(NAME, text, _skip(text, at)).span()
        quoted = text[start] in "'\""
        name = decoded(text, Scalar(start, end, "text", text[start])).text if quoted else text[start:end]
        names.append((name, Span(start, end)))
        at = _skip(text, end)
        if text[at] != ".":
            return names, at
        at += 1


def _value(text: str, at: int, index: Index) -> tuple[Node, int]:
    """The node of a value, and the offset behind it."""
    found = _match(VALUE, text, at)
    if found["text"]:
        style = text[at] * (3 if text.startswith(text[at] * 3, at) else 1)
        return Scalar(at, found.end(), "text", style), found.end()
    if found["open"]:
        return _nested(text, at, index)
    written = found[0].rstrip()
    kind: Kind = "truth value" if written in ("true", "false") else "number"
    return Scalar(at, at + len(written), "date" if DATE.search(written) else kind), at + len(written)


def _nested(text: str, at: int, index: Index) -> tuple[Node, int]:
    """An array or an inline table, and the offset behind it."""
    node = Sequence(at) if text[at] == "[" else Mapping(at)
    at = _skip(text, at + 1)
    while text[at] not in "]}":
        if isinstance(node, Sequence):
            item, at = _value(text, at, index)
            node.items.append(item)
        else:
            at = _pair(text, at, node, index)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return node, at + 1


def _match(pattern: re.Pattern[str], text: str, at: int) -> re.Match[str]:
    found = pattern.match(text, at)
    # tomllib has read the whole text: only a mistake of this file gets here.
    assert found is not None, f"the scanner and tomllib disagree at {text[at : at + 20]!r}"
    return found


def decoded(text: str, scalar: Scalar) -> Decoded:
    """The text of a string, and the offset of each character."""
    start, end = scalar.start + len(scalar.style), scalar.end - len(scalar.style)
    if len(scalar.style) == 3:  # a break just after the quotes does not count
        start += 2 if text.startswith("\r\n", start) else text.startswith("\n", start)
    if '"' in scalar.style:
        return decode(text, Span(start, end), CHARACTER, _says)
    return decode(text, Span(start, end), PLAIN, _broken)


def _broken(match: re.Match[str]) -> str:
    return "\n" if match[0] == "\r\n" else match[0]


def _says(match: re.Match[str]) -> str:
    """The text of one token of a string: an escape, a line break, or itself."""
    if match[0][0] != "\\":
        return _broken(match)
    letter, digits = match[0][1], match[0][2:]
    if letter in "xuU":
        return chr(int(digits, 16))
    if letter in " \t\r\n":
        return ""
    return ESCAPES.get(letter, letter)


def spellings(text: str, scalar: Scalar, new: str, flat: str | None) -> Iterator[str]:
    """The ways to write `new` in the place of a string, its own style first."""
    if len(scalar.style) == 3:
        yield _multiline(text, scalar, new)
    if scalar.style == "'" and flat is not None:
        yield f"'{flat}'"
    yield '"' + _escaped(flat or new) + '"'


def _multiline(text: str, scalar: Scalar, new: str) -> str:
    """`new` between three quotes, with the blanks around the old text and the indentation of its lines."""
    old, offsets = decoded(text, scalar)
    first = offsets[len(old) - len(old.lstrip())]
    last = offsets[len(old.rstrip())]
    before, after = text[scalar.start : first], text[last : scalar.end]
    indent = before.rpartition("\n")[2] if "\n" in before else ""
    if '"' in scalar.style:
        new = new.replace("\\", "\\\\").replace('"""', '""\\"')
    newline = "\r\n" if "\r\n" in text else "\n"
    return before + new.replace("\n", newline + indent) + after


def _escaped(text: str) -> str:
    spelled = (
        SPELLED.get(char, f"\\u{ord(char):04x}" if char < " " or char == "\x7f" else char) for char in text
    )
    return "".join(spelled)
