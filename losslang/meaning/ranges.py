"""Between which numbers a program lies, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from losslang.meaning.bounds import Bounds, of_term, of_terms
from losslang.meaning.meaning import Expression, Term, below
from losslang.meaning.parameter import Learned
from losslang.registry import Registry
from losslang.syntax import formatter

UNKNOWN = "known when it runs: it reads tensors as they stand"


def said(bounds: Bounds) -> str:
    """Bounds in words: `0 to 1`, `0 and up`, `at most 0`, `any number`."""
    if bounds is None:
        return UNKNOWN
    low, high = bounds
    if low == high:
        return f"always {_number(low)}"
    if low == -math.inf:
        return "any number" if high == math.inf else f"at most {_number(high)}"
    return f"{_number(low)} and up" if high == math.inf else f"{_number(low)} to {_number(high)}"


def of_program(terms: Sequence[Term], registry: Registry) -> str:
    """The range of the total in words, and what holds the learned weights where it has no lower end."""
    trained = [term for term in terms if not (term.metric or term.dropped)]
    found = of_terms(trained, registry)
    wholes: list[Expression | None] = [part for term in trained for part in (term.factor, term.body)]
    names = {p.name for whole in wholes if whole is not None for p in below(whole) if isinstance(p, Learned)}
    if found is None or found[0] > -math.inf or not names:
        return said(found)
    listed = " and ".join(f"`{name}`" for name in sorted(names))
    return f"{said(found)}; the losses that they weigh hold {listed}"


def of_one(term: Term, registry: Registry) -> str:
    """The range of what a term adds in words, with its weight; that of a metric as it is logged."""
    return said(of_term(term, registry))


def _number(value: float) -> str:
    return formatter.number(float(f"{value:.6g}"))
