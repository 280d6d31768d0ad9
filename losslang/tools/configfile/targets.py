"""Targets: mappings that Hydra or LightningCLI turn into objects, and losslang's own among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import configs
from losslang.diagnostics.source import Span
from losslang.meaning.foreign_config import OF_HYDRA
from losslang.tools.configfile.nodes import Entry, Mapping, Node, Scalar, Sequence, below

Says = Callable[[Scalar], str]

COMPILE = "losslang.compile"
TARGETS = (COMPILE, *(f"losslang.{name}" for name in ("check", "explain", "format", "parse")))
"""The functions that take a text: what a config may name as a target of losslang."""
ALSO = "losslang.runtime.module.compile"
"""The full name of `losslang.compile`, as Hydra prints it."""
ARGUMENTS = (
    "text",
    "device",
    "const",
    "overrides",
    "ignore",
    "params",
    "validate",
    "fuse",
    "distributed",
    "source",
)
NEAR = 0.8


class Target(NamedTuple):
    """A mapping that names what is made of it, with the mapping of its arguments."""

    name: str
    written: Scalar
    arguments: Mapping | None  # None: `class_path` without `init_args`
    path: str  # of the arguments, below that of the mapping

    @property
    def is_ours(self) -> bool:
        """True if losslang makes it of a `text`, or would if its name were spelled right."""
        return self.name in (*TARGETS, ALSO) or _is_meant(self.name)

    def argument(self, name: str) -> Entry | None:
        """The argument of a name; None if it is not written."""
        entries = self.arguments.entries if self.arguments else []
        return next((entry for entry in reversed(entries) if entry.name == name), None)


def target_of(node: Node, says: Says) -> Target | None:
    """The target of a mapping: Hydra's `_target_`, or the `class_path` of jsonargparse; None for plain data."""
    if not isinstance(node, Mapping):
        return None
    for entry in node.entries:
        if (
            entry.name in ("_target_", "class_path")
            and isinstance(entry.node, Scalar)
            and entry.node.kind == "text"
        ):
            if entry.name == "_target_":
                return Target(says(entry.node), entry.node, node, "")
            inside = [other.node for other in node.entries if other.name == "init_args"]
            arguments = next((inner for inner in inside if isinstance(inner, Mapping)), None)
            return Target(says(entry.node), entry.node, arguments, ".init_args")
    return None


def builds(node: Node, says: Says) -> str:
    """The object that another library makes of a value: its target, or a tag; '' for plain data."""
    if isinstance(node, Scalar):
        return node.tag if node.kind == "object" else ""
    if node.tag or isinstance(node, Sequence):
        return node.tag
    target = target_of(node, says)
    return target.name if target else ""


def builds_below(node: Node, says: Says) -> str:
    """The first object that another library makes of a value or of those directly below it; else ''."""
    return next(filter(None, (builds(inner, says) for inner in [node, *below(node)])), "")


def wrong(target: Target) -> Iterator[Diagnostic]:
    """The mistakes of a target: its name misspelled, and arguments that `compile` does not take."""
    span = Span(
        target.written.start + len(target.written.style), target.written.end - len(target.written.style)
    )
    if target.is_ours and target.name not in (*TARGETS, ALSO):
        yield configs.misspelled_target(span, target.name, TARGETS)
    elif target.name in (COMPILE, ALSO) and target.arguments is not None:
        for entry in target.arguments.entries:
            if entry.name not in (*ARGUMENTS, *OF_HYDRA):
                yield configs.unknown_argument(entry.span, entry.name, ARGUMENTS)


def _is_meant(name: str) -> bool:
    """True if a target that is not ours was meant to be: its package is losslang, or it is nearly ours."""
    package, _, rest = name.partition(".")
    if package == "losslang":
        return True
    near = SequenceMatcher(None, package, "losslang").ratio() >= NEAR
    return near and package.isalpha() and SequenceMatcher(None, rest, "compile").ratio() >= NEAR
