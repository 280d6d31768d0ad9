"""Terms that a combinator weighs together, as the arguments of its call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from losslang.meaning.automatic import Automatic
from losslang.meaning.meaning import Apply, Expression, Term


class Group(NamedTuple):
    """One call of a combinator: its arguments as terms, and the weight and the factor in front of it."""

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
    of_call = [(t.automatic, t) for t in terms if t.automatic and t.automatic.group == automatic.group]
    members = [
        tuple(_inside(term) for found, term in of_call if found.member == wanted)
        for wanted in sorted({found.member for found, _ in of_call})
    ]
    return Group(automatic, tuple(members), in_front(of_call[0][1]))


def in_front(term: Term) -> tuple[float, Expression | None]:
    """The weight and the factor in front of the call that a term is an argument of."""
    found = term.automatic
    assert found is not None
    return term.weight / found.weight if found.weight else 1.0, _beyond(term.factor, found.factor)


def _beyond(whole: Expression | None, inside: Expression | None) -> Expression | None:
    """What a factor is multiplied by further out."""
    match whole:
        case _ if whole == inside:
            return None
        case Apply("*", (left, right)) if inside is not None:
            more = _beyond(left, inside)
            return right if more is None else Apply("*", (more, right), whole.span)
        case _:
            return whole


def as_argument(terms: Sequence[Term]) -> tuple[Term | None, Sequence[Term]]:
    """Terms that are an argument of a call: what stands for them there, and they as they are inside of it.

    None where they are no argument: they are a whole call, or none of it.
    """
    weighed = {(t.automatic.group, t.automatic.member) for t in terms if t.automatic and not t.metric}
    if len(weighed) != 1 or any(t.automatic is None and not t.metric for t in terms):
        return None, terms
    first = next(term for term in terms if term.automatic)
    assert first.automatic is not None
    weight, factor = in_front(first)
    found = replace(first.automatic, weight=1.0, factor=None)
    return replace(first, weight=weight, factor=factor, automatic=found), [_inside(term) for term in terms]


def _inside(term: Term) -> Term:
    found = term.automatic
    if found is None:
        return term
    return replace(term, automatic=None, weight=found.weight, factor=found.factor)
