"""Expression search: the rule that says which keys hold expressions, and the walk that applies it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import files
from losslang.diagnostics.source import Source, Span
from losslang.tools.configfile.nodes import (
    MAX_NESTING,
    Entry,
    Mapping,
    Node,
    Scalar,
    Sequence,
    below,
    too_deep,
)

MAX_ALIASED = 200_000

# Takes the path of a value and its last key ("" for a list item): True if the value is asked for.
Rule = Callable[[str, str], bool]
Says = Callable[[Scalar], str]


class Match(NamedTuple):
    """A value that the rule asks for. `span` is that of its key, or its place in a list."""

    path: str
    node: Node
    span: Span


def rule(key: str | None) -> Rule:
    """The rule of `--key KEY`: a name, a path or a pattern of one. Without a key: one of `files.KEYS`."""
    if key is None:
        return lambda path, name: name in files.KEYS
    # `losses[0]` and `losses[*]` mean an item of a list here, not a set of characters.
    pattern = re.sub(r"\[(\d+|\*)\]", r"[[]\1]", key)
    return lambda path, name: fnmatchcase(path, pattern) or (bool(name) and fnmatchcase(name, pattern))


def find(file: Source, documents: list[Node], asked: Rule, says: Says, hydra: bool = False) -> list[Match]:
    """Finds every value that the rule asks for, once, under the first path that leads to it.

    A mapping or a list that is asked for is found itself only if nothing inside of it is. With `hydra`, the
    `text` of a mapping whose `_target_` is losslang's is asked for too.
    """
    search = _Search(file, asked, says, hydra)
    for document in documents:
        search.visit(Match("", document, Span(0, 0)), False, 0)
    return search.matches


def builds(node: Node, says: Says) -> str:
    """The object that another library makes of a value: Hydra's `_target_`, or a tag; '' for plain data."""
    if isinstance(node, Scalar):
        return node.tag if node.kind == "object" else ""
    if node.tag or isinstance(node, Sequence):
        return node.tag
    targets = (entry.node for entry in node.entries if entry.name == "_target_")
    return next((says(node) for node in targets if isinstance(node, Scalar) and node.kind == "text"), "")


def builds_below(node: Node, says: Says) -> str:
    """The first object that another library makes of a value or of those directly below it; else ''."""
    return next(filter(None, (builds(inner, says) for inner in [node, *below(node)])), "")


@dataclass
class _Search:
    """A walk over the values of a file. It follows aliases, so it counts the values that it sees again."""

    file: Source
    asked: Rule
    says: Says
    hydra: bool
    matches: list[Match] = field(default_factory=list[Match])
    taken: set[int] = field(default_factory=set[int])
    seen: set[int] = field(default_factory=set[int])
    above: set[int] = field(default_factory=set[int])
    repeated: int = 0

    def visit(self, at: Match, asked: bool, depth: int) -> bool:
        """Searches a value. True if anything is found in it, for the first time or not."""
        node = at.node
        if id(node) in self.above:  # an alias of the mapping that it stands in
            return False
        if depth > MAX_NESTING:
            raise LossError([too_deep(self.file, node.start)])
        if id(node) in self.seen:
            self._count(node, 1 + len(below(node)))
        self.seen.add(id(node))
        self.above.add(id(node))
        inside = False
        for child, wanted in self._children(at):
            inside = self.visit(child, wanted, depth + 1) or inside
        self.above.discard(id(node))
        if asked and not inside and id(node) not in self.taken:
            self.taken.add(id(node))
            self.matches.append(at)
        return asked or inside

    def _children(self, at: Match) -> Iterator[tuple[Match, bool]]:
        """The values below one that may hold an expression, each with True if the rule asks for it."""
        if isinstance(at.node, Sequence):
            for i, item in enumerate(at.node.items):
                path = f"{at.path}[{i}]"
                wanted = self.asked(path, "")
                if wanted or not isinstance(item, Scalar):
                    yield Match(path, item, Span(item.start, item.start + 1)), wanted
        if isinstance(at.node, Mapping):
            ours = self.hydra and builds(at.node, self.says).startswith("losslang.")
            for name, span, value in self._entries(at.node):
                path = f"{at.path}.{name}" if at.path else name
                wanted = self.asked(path, name) or (ours and name == "text")
                if wanted or not isinstance(value, Scalar):
                    yield Match(path, value, span), wanted

    def _entries(self, mapping: Mapping) -> Iterator[Entry]:
        """The entries of a mapping, then those that it merges with `<<` under names it lacks."""
        yield from mapping.entries
        names = {entry.name for entry in mapping.entries}
        waiting, seen = mapping.merged[::-1], {id(mapping)}
        while waiting:
            node = waiting.pop()
            self._count(node, 1)
            if isinstance(node, Sequence):
                waiting += node.items[::-1]
            elif isinstance(node, Mapping) and id(node) not in seen:
                seen.add(id(node))
                self._count(node, len(node.entries))
                yield from (entry for entry in node.entries if entry.name not in names)
                names.update(entry.name for entry in node.entries)
                waiting += node.merged[::-1]

    def _count(self, node: Node, more: int) -> None:
        """Adds to the count of repeated values. Raises LossError beyond MAX_ALIASED."""
        self.repeated += more
        if self.repeated > MAX_ALIASED:
            span = Span(node.start, node.start + 1)
            what = "values repeated by aliases"
            raise LossError([files.too_big(span, what, MAX_ALIASED).at(self.file)])
