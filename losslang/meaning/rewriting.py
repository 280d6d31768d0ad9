"""Rewriting of a program: the same change to every use of a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from losslang.meaning.meaning import LossUse, Term, rewrite


def rewrite_terms(terms: Sequence[Term], change: Callable[[LossUse], LossUse]) -> tuple[Term, ...]:
    """The terms with every use of a loss replaced by `change(use)`, those that a factor measures too."""
    return tuple(
        replace(
            t, body=rewrite(t.body, change), factor=None if t.factor is None else rewrite(t.factor, change)
        )
        for t in terms
    )
