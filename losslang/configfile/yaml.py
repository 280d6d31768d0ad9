"""YAML: PyYAML says what is there and where it begins; the place of each character is found here.

Built from events rather than with `yaml.compose`, which recurses: a deep file is refused before it
can hurt, and an alias stays what it is, the same node once more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from losslang.configfile.nodes import (
    MAX_NESTING,
    Decoded,
    Entry,
    Kind,
    Mapping,
    Node,
    Scalar,
    Sequence,
    decode,
    invalid,
    too_deep,
)
from losslang.diagnostics import LossError
from losslang.text import Source, Span

BREAK = r"(?:\r\n|[\r\n\x85\u2028\u2029])"
BREAKS = rf"(?:{BREAK}[ \t]*)+"
# The one group of a token names what it is; a token without a group says itself.
FOLD = rf"[ \t]*(?P<fold>{BREAKS})|[ \t]+"
PLAIN = re.compile(rf"{FOLD}|[^ \t\r\n\x85\u2028\u2029]+")
SINGLE = re.compile(rf"{FOLD}|(?P<quote>'')|[^' \t\r\n\x85\u2028\u2029]+")
DOUBLE = re.compile(
    rf"\\(?P<joined>{BREAKS})|{FOLD}"
    r"|\\(?P<code>x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|\\(?P<letter>.)"
    r"|[^\\ \t\r\n\x85\u2028\u2029]+"
)
LETTERS = dict(zip("0abtnvfreN_LP", "\0\a\b\t\n\v\f\r\x1b\x85\xa0\u2028\u2029", strict=True))
# What may stand between the place where PyYAML says a value begins and the value itself.
PROPERTIES = re.compile(rf"(?:&[0-9A-Za-z_-]+|!<[^>]*>|!\S*|[ \t]|{BREAK}|(?<=\s)#[^\r\n\x85\u2028\u2029]*)*")
LINE = re.compile(rf"([^\r\n\x85\u2028\u2029]*)({BREAK}?)")
UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
BEYOND_UNICODE = re.compile(r"\\U(?!000|0010)")
PLAINER = {
    "mapping values are not allowed here": "a value holds `: `, which only follows a key",
    "expected <block end>, but found '<scalar>'": "text goes on where a value has ended, at its quote or at ` #`",
    "expected <block end>, but found '<block mapping start>'": "a key is indented too far",
    "sequence entries are not allowed here": "a value begins with `- `, which only begins a list item",
    "could not find expected ':'": "a key lacks its `:`, or a value goes on to the left of it",
}
# Reported where they begin, not at the end of the file.
UNCLOSED = {
    "found unexpected end of stream": "this quote is never closed",
    "expected ',' or ']', but got '<stream end>'": "this `[` is never closed",
    "expected ',' or '}', but got '<stream end>'": "this `{` is never closed",
}

CORE = "tag:yaml.org,2002:"
KINDS: dict[str, Kind] = {
    "str": "text",
    "value": "text",
    "merge": "text",
    "int": "number",
    "float": "number",
    "bool": "truth value",
    "null": "nothing",
    "timestamp": "date",
}
CONTAINERS = (None, "!", CORE + "map", CORE + "seq")
RESOLVER: Any = yaml.resolver.Resolver()


def tree(file: Source) -> list[Node]:
    """The documents of a YAML file. Raises LossError where it has none."""
    # libyaml is 25 times as fast, and differs about tabs, `?` and byte order marks. What PyYAML's own
    # parser says is what counts, so it reads such files, and it words every mistake.
    if yaml.__with_libyaml__ and not any(char in file.text for char in "\t?\ufeff"):
        try:
            return _compose(file, _events(file.text, yaml.CSafeLoader))
        except LossError:
            raise
        except (yaml.YAMLError, ValueError):
            pass
    try:
        return _compose(file, _events(file.text, yaml.SafeLoader))
    except LossError:
        raise
    except yaml.MarkedYAMLError as error:
        reason = error.problem or error.context or "it ends too early"
        mark = error.problem_mark or error.context_mark
        if reason in UNCLOSED:
            mark, reason = error.context_mark, UNCLOSED[reason]
        raise invalid(file, "YAML", mark.index if mark else 0, PLAINER.get(reason, reason)) from None
    except yaml.reader.ReaderError as error:
        reason = f"the character U+{ord(file.text[error.position]):04X} may not stand in it"
        raise invalid(file, "YAML", error.position, reason) from None
    except (ValueError, OverflowError):
        found = BEYOND_UNICODE.search(file.text)
        reason = "the escape names a character that Unicode does not have"
        raise invalid(file, "YAML", found.start() if found else 0, reason) from None


def _events(text: str, loader: type[yaml.SafeLoader | yaml.CSafeLoader]) -> Iterator[Any]:
    return yaml.parse(text, loader)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


# ---------------------------------------------------------------------------- events to nodes


def _compose(file: Source, events: Iterator[Any]) -> list[Node]:
    documents = Sequence(0)
    # The containers that are still open, each with what was found in it and where that begins and ends.
    above: list[tuple[Sequence | Mapping, list[tuple[Node, Span]]]] = [(documents, [])]
    anchors: dict[str, Node] = {}
    for event in events:
        span = Span(event.start_mark.index, event.end_mark.index)
        if isinstance(event, yaml.DocumentStartEvent):
            anchors.clear()
        elif isinstance(event, yaml.CollectionEndEvent):
            _fill(*above.pop())
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                reason = f"`*{event.anchor}` is an alias, and no anchor before it has this name"
                raise invalid(file, "YAML", span.start, reason)
            above[-1][1].append((anchors[event.anchor], span))
        elif isinstance(event, yaml.NodeEvent):
            node = _node(file.text, event, span)
            above[-1][1].append((node, span))
            if event.anchor in anchors:
                raise invalid(
                    file, "YAML", span.start, f"the anchor `&{event.anchor}` stands here a second time"
                )
            if event.anchor is not None:
                anchors[event.anchor] = node
            if not isinstance(node, Scalar):
                above.append((node, []))
                if len(above) > MAX_NESTING + 1:
                    raise LossError([too_deep(file, span.start)])
    _fill(*above.pop())
    return documents.items


def _fill(container: Sequence | Mapping, found: list[tuple[Node, Span]]) -> None:
    if isinstance(container, Sequence):
        container.items.extend(node for node, _ in found)
        return
    for (key, span), (value, _) in zip(found[::2], found[1::2], strict=True):
        if isinstance(key, Scalar) and key.value == "<<" and not key.style:
            container.merged.append(value)
        else:
            name = key.value if isinstance(key, Scalar) else "?"
            container.entries.append(Entry(name, span, value))


def _node(text: str, event: Any, span: Span) -> Node:
    tag: str = "" if event.tag in CONTAINERS else event.tag.replace(CORE, "!!")
    match event:
        case yaml.ScalarEvent():
            return _scalar(text, event, span, tag)
        case yaml.MappingStartEvent():
            return Mapping(span.start, tag)
        case _:
            return Sequence(span.start, tag)


def _scalar(text: str, event: Any, span: Span, tag: str) -> Scalar:
    start = span.start
    if event.anchor or event.tag:
        found = PROPERTIES.match(text, *span)
        start = found.end() if found else start
    full: str = event.tag
    if full in (None, "!"):
        full = RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)
    kind = KINDS.get(full.removeprefix(CORE), "object") if full.startswith(CORE) else "object"
    return Scalar(start, span.end, kind, event.style or "", event.value, tag, span.start)


# ---------------------------------------------------------------------------- the place of each character


def decoded(text: str, scalar: Scalar) -> Decoded:
    """What a scalar says, and where."""
    span = Span(scalar.start + len(scalar.style), scalar.end - len(scalar.style))
    match scalar.style:
        case "'":
            return decode(text, span, SINGLE, _says)
        case '"':
            return decode(text, span, DOUBLE, _says)
        case "":
            return decode(text, span, PLAIN, _says)
        case _:
            return _block(text, scalar)


def _says(match: re.Match[str]) -> str:
    written = match[0]
    match match.lastgroup:
        case "fold":
            first, *more = _breaks(match["fold"])
            kept = first if first != "\n" else "" if more else " "
            return kept + "".join(more)
        case "joined":
            return "".join(_breaks(match["joined"])[1:])
        case "quote":
            return "'"
        case "code":
            return chr(int(match["code"][1:], 16))
        case "letter":
            return LETTERS.get(match["letter"], match["letter"])
        case _:
            return written


def _breaks(text: str) -> list[str]:
    """The line breaks of `text`, as YAML hands them over."""
    return [_break(found) for found in re.findall(BREAK, text)]


def _break(written: str) -> str:
    return written if written in ("\u2028", "\u2029") else "\n" if written else ""


def _block(text: str, scalar: Scalar) -> Decoded:
    """`|` keeps its breaks; in `>` one is a blank or goes, which the parser decided: we follow its value."""
    offsets: list[int] = []
    value, end = scalar.value, scalar.start
    for char, start, after in _letters(text, scalar):
        if len(offsets) == len(value):
            break
        wanted = value[len(offsets)]
        if wanted == char or (wanted == " " and after > start and char in "\n\u2028\u2029"):
            offsets.append(start)
            end = after
    missing = len(value) - len(offsets)
    return Decoded(value, (*offsets, *[end] * missing, end))


def _letters(text: str, scalar: Scalar) -> Iterator[tuple[str, int, int]]:
    """The characters of a block without its indentation: what each says, its start and its end."""
    indent = indentation(text, scalar)
    for line in block_lines(text, scalar):
        start, end = line.span(1)
        for at in range(min(start + indent, end), end):
            yield text[at], at, at + 1
        if line[2]:
            yield _break(line[2]), end, line.end()


def block_lines(text: str, scalar: Scalar) -> Iterator[re.Match[str]]:
    """The lines of a block below its header: their text and their break."""
    lines = LINE.finditer(text, scalar.start, scalar.end)
    next(lines)
    return lines


def indentation(text: str, scalar: Scalar) -> int:
    """How many blanks before each line of a block do not belong to it."""
    for line in block_lines(text, scalar):
        if line[1].strip(" \t"):
            value = scalar.value
            first = len(value) - len(value.lstrip(" \t\n\u2028\u2029"))
            belong = first - max(value.rfind(char, 0, first) for char in "\n\u2028\u2029") - 1
            return len(line[1]) - len(line[1].lstrip(" \t")) - belong
    return sum(len(line[1]) for line in block_lines(text, scalar))


# ---------------------------------------------------------------------------- writing


def spellings(text: str, scalar: Scalar, new: str, flat: str | None) -> Iterator[str]:
    """How `new` can be written in the place of a scalar, in its own style where that can hold it."""
    match scalar.style:
        case "|":
            yield _as_block(text, scalar, new.split("\n"))
        case ">" if flat is not None:
            yield _as_block(text, scalar, _separated(new, flat))
        case ">":  # a comment before the end would swallow what is folded onto it
            yield "|" + _as_block(text, scalar, new.split("\n"))[1:]
        case '"':
            yield '"' + _escaped(flat or new) + '"'
        case _ if flat is not None:
            if not scalar.style:
                yield flat
            yield "'" + flat.replace("'", "''") + "'"
        case _:  # no style of one line can hold the breaks: the scalar stays as it is
            return


def _separated(new: str, flat: str) -> list[str]:
    """Lines that fold to `flat`."""
    lines = new.split("\n")
    separated = [line + ";" for line in lines[:-1]] + lines[-1:]
    return separated if " ".join(separated) == flat else [flat]


def _as_block(text: str, scalar: Scalar, lines: list[str]) -> str:
    """The block with its header, its indentation and what follows its last line, around new lines."""
    written = text[scalar.start : scalar.end]
    header = re.match(rf"[^\r\n\x85\u2028\u2029]*{BREAK}", written)
    if header is None:
        return written
    newline = "\r\n" if header[0].endswith("\r\n") else "\n"
    indent = " " * indentation(text, scalar)
    after = written[len(written.rstrip()) :].lstrip(" \t")
    return header[0] + newline.join(indent + line for line in lines) + after


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return UNPRINTABLE.sub(lambda found: f"\\U{ord(found[0]):08x}", text)
