"""Terms that a combinator weighs together, as the arguments of its call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from losslang.meaning.automatic import Automatic
from losslang.meaning.meaning import Expression, Term


class Group(NamedTuple):
    """One call of a combinator: its arguments as terms, and the weight and factor that all of them have."""

    found: Automatic
    members: tuple[tuple[Term, ...], ...]
    outside: tuple[float, Expression | None]


def weighed_together(terms: Sequence[Term]) -> list[Term | Group]:
    """Terms in order, those that one call weighs as a group where the first of them stands."""
    found: list[Term | Group] = []
    done: set[str] = set()
    for term in terms:
        automatic = term.automatic
        if automatic is None:
            found.append(term)
        elif automatic.group not in done:
            done.add(automatic.group)
            found.append(_group(automatic, terms))
    return found


def _group(automatic: Automatic, terms: Sequence[Term]) -> Group:
    of_call = [(t.automatic.member, t) for t in terms if t.automatic and t.automatic.group == automatic.group]
    outside = {(term.weight, term.factor) for _, term in of_call}
    common = outside.pop() if len(outside) == 1 else (1.0, None)
    plain = {"weight": 1.0, "factor": None} if common != (1.0, None) else {}
    members = [
        tuple(replace(term, automatic=None, **plain) for member, term in of_call if member == wanted)
        for wanted in sorted({member for member, _ in of_call})
    ]
    return Group(automatic, tuple(members), common)


def as_argument(terms: Sequence[Term]) -> tuple[Automatic | None, Sequence[Term]]:
    """Terms that are one argument of a call, or part of it, without its weight; None where they are none."""
    weighed = {term.automatic for term in terms if not term.metric}
    if len(weighed) != 1:
        return None, terms
    (found,) = weighed
    return found, [replace(term, automatic=None) for term in terms]
