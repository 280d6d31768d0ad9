"""A checked program: the weighted sum of its terms, with what identifies it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

from losslang.diagnostics.source import Source
from losslang.meaning.automatic import line
from losslang.meaning.meaning import Apply, Constant, Expression, LossUse, Term, addends, below, loss_uses
from losslang.meaning.parameter import Learned
from losslang.meaning.weighed_together import Group, weighed_together


@dataclass(frozen=True)
class Meaning:
    """A checked program: its terms, the text that they are from, and what was set from outside."""

    terms: tuple[Term, ...]
    source: Source = field(compare=False, repr=False)
    settings: tuple[tuple[str, Any], ...] = field(default=(), compare=False, repr=False)

    @property
    def fingerprint(self) -> str:
        """A hash that is equal for programs of the same mathematics, whatever their names and order."""
        parts = weighed_together(self.terms)
        texts = [text for part in parts for text in _lines(part)]
        whole = sorted([*(parameter.bound for parameter in self.learned), *texts])
        return hashlib.sha256("\n".join(whole).encode()).hexdigest()[:16]

    @property
    def learned(self) -> tuple[Learned, ...]:
        """The parameters that the terms learn, in the order of their first use."""
        wholes = (e for term in self.terms for e in (term.factor, term.body) if e is not None)
        found = {part.name: part for whole in wholes for part in below(whole) if isinstance(part, Learned)}
        return tuple(found.values())

    @property
    def loss_uses(self) -> tuple[LossUse, ...]:
        """The uses of losses in all terms."""
        return tuple(r for term in self.terms for r in loss_uses(term))

    def __str__(self) -> str:
        """The terms with every default written out, one a line, and the source of what is inferred."""
        learned = [parameter.bound for parameter in self.learned]
        return "\n".join([*learned, *(f"{term.name}: {term}{_taken(term)}" for term in self.terms)])


def _lines(part: Term | Group) -> list[str]:
    """The terms of a part of the total in their normal form; a call of a combinator is one line."""
    if isinstance(part, Term):
        return [str(addend) for addend in _addends_of(part) if addend.weight]
    weight, factor = part.outside
    front = f"{weight:.12g}" if factor is None else f"{weight:.12g}*{factor}"
    return [
        line(front, part.found, [[text for t in member for text in _lines(t)] for member in part.members])
    ]


def _addends_of(term: Term) -> list[Term]:
    """A term in its normal form: its weight to twelve digits, a number as a weight of 1, a tensor sum apart."""
    parts: list[tuple[float, Expression]] = [(term.weight, term.body)]
    if not any(isinstance(part, LossUse) for part in below(term.body)):
        pair = [part for part in (term.factor, term.body) if part is not None]
        pair.sort(key=lambda part: not isinstance(part, Constant))
        whole = pair[0] if len(pair) == 1 else Apply("*", tuple(pair))
        term = replace(term, factor=None)
        parts = [(weight, part) for weight, part, _ in addends(whole, term.weight)]
    numbers = [(w * b.value, Constant(1.0)) if isinstance(b, Constant) else (w, b) for w, b in parts]
    # 1 - 0.9 and 0.1 are one weight, though not one float.
    return [replace(term, weight=float(f"{weight:.12g}"), body=body) for weight, body in numbers]


def _taken(term: Term) -> str:
    """A comment that says which universal options of a term are taken, and from which terms."""
    taken = dict.fromkeys(f"{name} taken from {owner}" for r in loss_uses(term) for name, owner in r.taken)
    return f"  # {', '.join(taken)}" if taken else ""
