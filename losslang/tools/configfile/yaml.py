"""YAML files to nodes: PyYAML's events say what stands where.

Built from events rather than with `yaml.compose`, which recurses: a deep file is refused before it
can hurt, and an alias stays what it is, the same node once more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.source import Source, Span
from losslang.tools.configfile.nodes import (
    MAX_NESTING,
    Entry,
    Kind,
    Mapping,
    Node,
    Scalar,
    Sequence,
    invalid,
    too_deep,
)

# What may stand between the place where PyYAML says a value begins and the value itself.
PROPERTIES = re.compile(r"(?:&[0-9A-Za-z_-]+|!<[^>]*>|!\S*|\s|(?<=\s)#[^\r\n\x85\u2028\u2029]*)*")
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
    """The documents of a YAML file. Raises LossError if it is not valid."""
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
    """The parser events of a text."""
    return yaml.parse(text, loader)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


# ---------------------------------------------------------------------------- events to nodes


def _compose(file: Source, events: Iterator[Any]) -> list[Node]:
    """The nodes of the documents, without recursion."""
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
    """Adds its nodes to a container that has ended."""
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
    """The node that an event begins."""
    tag: str = "" if event.tag in CONTAINERS else event.tag.replace(CORE, "!!")
    match event:
        case yaml.ScalarEvent():
            return _scalar(text, event, span, tag)
        case yaml.MappingStartEvent():
            return Mapping(span.start, tag)
        case _:
            return Sequence(span.start, tag)


def _scalar(text: str, event: Any, span: Span, tag: str) -> Scalar:
    """The scalar of an event, without its anchor and tag."""
    start = span.start
    if event.anchor or event.tag:
        found = PROPERTIES.match(text, *span)
        start = found.end() if found else start
    full: str = event.tag
    if full in (None, "!"):
        # Of `! ` before nothing PyYAML says null and libyaml a text.
        written = event.value or event.style
        full = (
            CORE + "null" if not written else RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)
        )
    kind = KINDS.get(full.removeprefix(CORE), "object") if full.startswith(CORE) else "object"
    return Scalar(start, span.end, kind, event.style or "", event.value, tag, span.start)
