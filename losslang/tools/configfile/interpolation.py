"""Interpolations of OmegaConf: `${a.b}` and `${.b}`, filled in where the same file answers them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from losslang.tools.configfile.find import Match
from losslang.tools.configfile.nodes import Decoded, Mapping, Node, Scalar, Sequence

INTERPOLATION = re.compile(r"\$\{(?:[^{}]|\{[^{}]*\})*\}?")
REFERENCE = re.compile(
    r"\$\{\s*(?P<dots>\.*)(?P<names>[^\s.:{}\[\]]+(?:\.[^\s.:{}\[\]]+|\[[^\s.:{}\[\]]+\])*)\s*\}"
)
PACKAGE = re.compile(r"\A(?:\s*#[^\n]*\n)*?\s*#\s*@package\s+(\S+)")
NUMBER = re.compile(r"-?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?")
MISSING = "???"
"""OmegaConf's value for what another file, or the command line, has to give."""
MAX_STEPS = 20
MAX_FILLED = 20_000


@dataclass(frozen=True)
class Unanswered:
    """An interpolation that the file does not answer: its characters in the text."""

    start: int
    end: int


Filled = Decoded | Match | Unanswered


@dataclass(frozen=True)
class Filler:
    """Fills in the interpolations of one file. `decoded` gives the text of a scalar with its offsets."""

    decoded: Callable[[Scalar], Decoded]
    package: tuple[str, ...] | None
    """Where Hydra puts the file, by its line `# @package`; None if it says nothing or `_global_`."""

    @classmethod
    def of(cls, text: str, decoded: Callable[[Scalar], Decoded]) -> Filler:
        found = PACKAGE.match(text)
        named = found is not None and found[1] not in ("_global_", "_group_")
        return cls(decoded, tuple(found[1].split(".")) if found and named else None)

    def fill(self, at: Match, steps: int = 0) -> Filled:
        """The text of a scalar with all of its interpolations filled in.

        A Match where the whole value is one interpolation, and another value of the file answers it.
        """
        assert isinstance(at.node, Scalar)
        written = self.decoded(at.node)
        if "${" not in written.text:
            return written
        whole = REFERENCE.fullmatch(written.text.strip())
        if whole is not None:
            found = self._answer(whole, at) if steps < MAX_STEPS else None
            if found is None:
                return Unanswered(0, len(written.text))
            is_text = isinstance(found.node, Scalar) and found.node.kind == "text"
            further = self.fill(found, steps + 1) if is_text else found
            return found if isinstance(further, Decoded) else further
        return self._parts(written, at, steps)

    def _parts(self, written: Decoded, at: Match, steps: int) -> Decoded | Unanswered:
        """A text with each interpolation replaced by what answers it, all at the place of the interpolation."""
        chunks: list[str] = []
        offsets: list[int] = []
        behind = 0
        for match in INTERPOLATION.finditer(written.text):
            start, end = match.span()
            text = self._spelled(match[0], at, steps)
            if text is None or len(text) + sum(map(len, chunks)) > MAX_FILLED:
                return Unanswered(start, end)
            chunks += written.text[behind:start], text
            first, last = written.offsets[start], written.offsets[end - 1]
            offsets += (
                *written.offsets[behind:start],
                *[first] * (len(text) - 1),
                *[last if text[1:] else first][: len(text)],
            )
            behind = end
        chunks.append(written.text[behind:])
        return Decoded("".join(chunks), (*offsets, *written.offsets[behind:]))

    def _spelled(self, interpolation: str, at: Match, steps: int) -> str | None:
        """What stands for one interpolation inside of a text; None if the file does not answer it."""
        reference = REFERENCE.fullmatch(interpolation)
        found = self._answer(reference, at) if reference is not None and steps < MAX_STEPS else None
        if found is None or not isinstance(found.node, Scalar):
            return None
        if found.node.kind == "text":
            filled = self.fill(found, steps + 1)
            if isinstance(filled, Match):
                filled = self.fill(filled, steps + 1)
            is_known = isinstance(filled, Decoded) and filled.text != MISSING
            return filled.text if is_known and isinstance(filled, Decoded) else None
        return _number(self.decoded(found.node).text) if found.node.kind == "number" else None

    def _answer(self, reference: re.Match[str], at: Match) -> Match | None:
        """The value of the file that answers a reference, with the values above it; None if there is none."""
        names = re.findall(r"[^.\[\]]+", reference["names"])
        dots = len(reference["dots"])
        if dots > len(at.above):
            return None
        if not dots and self.package:
            if tuple(names[: len(self.package)]) != self.package:
                return None
            names = names[len(self.package) :]
        above = at.above[: len(at.above) - dots + 1] if dots else at.above[:1]
        node: Node | None = above[-1] if above else None
        above = above[:-1]
        for name in names:
            above = (*above, node) if node is not None else above
            node = None if node is None else _child(node, name)
        return None if node is None else replace(at, node=node, above=above)


def _child(node: Node, name: str) -> Node | None:
    """The value of a mapping or a list under a name; None if there is none."""
    if isinstance(node, Sequence):
        at = int(name) if name.isdecimal() else -1
        return node.items[at] if 0 <= at < len(node.items) else None
    if isinstance(node, Mapping):
        found = [entry.node for entry in node.entries if entry.name == name]
        return found[-1] if found else None
    return None


def _number(written: str) -> str:
    """A number of a config file as the language spells it."""
    if NUMBER.fullmatch(written):
        return written
    try:
        return repr(float(written.replace("_", "")))
    except ValueError:
        return written
