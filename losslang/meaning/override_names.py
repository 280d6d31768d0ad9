"""Repairs of overrides that name nothing: the names that were probably meant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.elsewhere import nearest
from losslang.diagnostics.elsewhere.nearest import distance, nearest_first
from losslang.diagnostics.mistakes import names as mistakes
from losslang.diagnostics.source import Span
from losslang.meaning.keys import modern, split
from losslang.meaning.terms import TermsValue, Value

LISTED = 6
"""How many names a message lists."""


def nothing_called(
    name: str, known: Sequence[str], bound: Mapping[str, Value | None], span: Span
) -> Diagnostic:
    """The mistake of an override that names nothing; `bound` are the values of the names of the program."""
    group = _group(name, bound)
    listed = _listed(name, known)
    meant = () if group else _meant(name, known, bound)
    return mistakes.nothing_to_override(span, name, meant, listed, len(known) - len(listed), group)


def _group(name: str, bound: Mapping[str, Value | None]) -> str:
    """The name of a sum of several losses whose weight is set; '' for anything else."""
    owner, option = split(name)
    group = owner if option == "weight" else name
    value = bound.get(group)
    return group if isinstance(value, TermsValue) and len(value.terms) > 1 else ""


def _meant(name: str, known: Sequence[str], bound: Mapping[str, Value | None]) -> tuple[str, ...]:
    """The names that were probably meant: those that hold all words of this one, else the nearest."""
    old = modern(name, tuple(bound))
    same = tuple(each for each in known if each.lower() == old.lower())
    if same:
        return same
    words = _words(name)
    holding = tuple(each for each in known if words and words <= _words(each))
    if name.isidentifier():  # a term by its name alone: what is set of it most is its weight
        holding = tuple(each for each in holding if split(each)[1] == "weight") or holding
    if holding:
        return holding[:LISTED]
    near = nearest(name, known) or _same_but_for_a_slip(name, known)
    return (near,) if near else ()


def _same_but_for_a_slip(name: str, known: Sequence[str]) -> str:
    """The name of the same option of which one word is misspelled and others are left out; '' if none is.

    `dise.smooth` of a term `seg/dice`: each word is in that name, or nearly.
    """
    words = _words(name)
    for each in known:
        theirs = _words(each)
        if split(each)[1] == split(name)[1] and all(w in theirs or nearest(w, theirs) for w in words):
            return each
    return ""


def _words(name: str) -> frozenset[str]:
    """The parts of a name: those of `seg/dice.smooth` are `seg`, `dice` and `smooth`."""
    return frozenset(filter(None, re.split(r"[./@]", name)))


def _listed(name: str, known: Sequence[str]) -> tuple[str, ...]:
    """The few names that are most like this one."""
    option = split(name)[1]
    last = [each for each in known if distance(split(each)[1], option) <= 1]
    owned = [each for each in known if split(each)[0] == split(name)[0] and split(name)[0]]
    return tuple(dict.fromkeys([*owned, *last, *nearest_first(name, known)]))[:LISTED]
