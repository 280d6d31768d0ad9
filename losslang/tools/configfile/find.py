"""Expression search: the rule that says which keys hold expressions, and the walk that applies it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

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
from losslang.tools.configfile.targets import Says, target_of

MAX_ALIASED = 200_000
A_FILE = re.compile(r"[\w./@${}:-]+|\?\?\?")
"""A name in a defaults list of Hydra: `dice_ce`, `/db@backup: mysql`, `${model}_small`."""

# Takes the path of a value and its last key ("" for a list item): True if the value is asked for.
Rule = Callable[[str, str], bool]


@dataclass(frozen=True)
class Match:
    """A value that the rule asks for. `span` is that of its key, or its place in a list."""

    path: str
    node: Node
    span: Span
    above: tuple[Node, ...] = ()
    """The values that it stands in, the document first."""

    def below(self, step: str, node: Node, span: Span) -> Match:
        """A value directly below this one; `step` is the rest of its path."""
        path = self.path + step if self.path or not step.startswith(".") else step[1:]
        return Match(path, node, span, (*self.above, self.node))


def rule(key: str | None) -> Rule:
    """The rule of `--key KEY`: a name, a path or a pattern of one. Without a key: one of `files.KEYS`."""
    if key is None:
        return lambda path, name: name in files.KEYS
    # `losses[0]` and `losses[*]` mean an item of a list here, not a set of characters.
    pattern = re.sub(r"\[(\d+|\*)\]", r"[[]\1]", key)
    return lambda path, name: fnmatchcase(path, pattern) or (bool(name) and fnmatchcase(name, pattern))


def find(file: Source, documents: list[Node], asked: Rule, says: Says, targets: bool = False) -> list[Match]:
    """Finds every value that the rule asks for, once, under the first path that leads to it.

    A mapping or a list that is asked for is found itself only if nothing inside of it is. With `targets`, a
    mapping that builds a loss of losslang is asked for too, and Hydra's choices of groups are not:
    `- loss: dice_ce` in the list `defaults` at the top names a file.
    """
    search = _Search(file, asked, says, targets)
    for document in documents:
        search.visit(Match("", document, Span(0, 0)), False, 0)
    return search.matches


@dataclass
class _Search:
    """A walk over the values of a file. It follows aliases, so it counts the values that it sees again."""

    file: Source
    asked: Rule
    says: Says
    targets: bool
    matches: list[Match] = field(default_factory=list[Match])
    taken: set[int] = field(default_factory=set[int])
    seen: set[int] = field(default_factory=set[int])
    above: set[int] = field(default_factory=set[int])
    repeated: int = 0

    def visit(self, at: Match, asked: bool, depth: int) -> bool:
        """Searches a value. True if anything is found in it, for the first time or not."""
        node = at.node
        asked = asked or self._builds_ours(node)
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
                child = at.below(f"[{i}]", item, Span(item.start, item.start + 1))
                wanted = self.asked(child.path, "")
                if wanted or not isinstance(item, Scalar):
                    yield child, wanted
        if isinstance(at.node, Mapping):
            for name, span, value in self._entries(at.node):
                if self.targets and not at.above and name == "defaults" and _chooses_groups(value, self.says):
                    continue
                child = at.below(f".{name}", value, span)
                wanted = self.asked(child.path, name)
                if wanted or not isinstance(value, Scalar):
                    yield child, wanted

    def _builds_ours(self, node: Node) -> bool:
        """True if targets are asked for, and a value is one of losslang's."""
        target = target_of(node, self.says) if self.targets else None
        return target is not None and target.is_ours

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


def _chooses_groups(node: Node, says: Says) -> bool:
    """True if a value is a defaults list of Hydra: names of files, or a choice of a file for a group."""
    if not isinstance(node, Sequence):
        return False
    for item in node.items:
        if isinstance(item, Mapping):
            if len(item.entries) != 1:
                return False
            item = item.entries[0].node
        chosen = item.items if isinstance(item, Sequence) else [item]
        if not all(
            isinstance(one, Scalar) and (one.kind != "text" or A_FILE.fullmatch(says(one))) for one in chosen
        ):
            return False
    return True
