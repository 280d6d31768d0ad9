"""Masks in the place of a weight, and losses that a function reduces once more, as they are meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import beside
from losslang.meaning.expression_tree import node_of
from losslang.meaning.meaning import Apply, Choice, Expression, Input, LossUse, Term, loss_of, loss_uses
from losslang.meaning.program_tree import sum_of_terms
from losslang.meaning.use_tree import node_of_use
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import spell

MASK = re.compile(r"(^|_)(masks?|valid)($|_)")
"""A key that says that what is behind it leaves out elements."""
COUNTS_ALL = ("sum", "none", "mean_all", "wmean_all")
"""Reductions that divide by nothing, or by all elements on purpose."""


def masks_as_factors(terms: Iterable[Term], registry: Registry) -> list[Diagnostic]:
    """The warnings about factors that are masks by their name, in front of a loss that divides by a count."""
    found: list[Diagnostic] = []
    for use in (use for term in terms for use in loss_uses(term)):
        path, meant = _mask_of(use), _masked(use)
        if (
            path is None
            or meant is None
            or use.reduction.name in COUNTS_ALL
            or use.get("avg_factor") is not None
        ):
            continue
        text = spell(node_of(meant, lambda use: node_of_use(use, registry, defaults=False)))
        found.append(beside.mask_as_factor(path.span, use.name, str(path), text))
    return found


def reduced(terms: Sequence[Term], reduction: str, registry: Registry) -> str:
    """The text of terms that are reduced by this reduction themselves, with masks in place of such factors."""

    def own(term: Term) -> Term:
        if not isinstance(term.body, LossUse) or not loss_of(term.body, registry).result_axes:
            return term
        meant = _masked(term.body) or term.body
        return replace(term, body=replace(meant, reduction=Choice(reduction)))

    return spell(sum_of_terms([own(term) for term in terms], registry, "0"))


def _mask_of(use: LossUse) -> Input | None:
    """The first factor of a use that is a mask by its name; None where it has a mask, or no such factor."""
    if use.factor is None or use.get("mask") is not None:
        return None
    return next((part for part in _parts(use.factor) if _is_mask(part)), None)  # type: ignore[return-value]


def _masked(use: LossUse) -> LossUse | None:
    """A use with the mask among its factors as its `mask=`; None if there is none."""
    path = _mask_of(use)
    if path is None or use.factor is None:
        return None
    kept: Expression | None = None
    is_gone = False
    for part in _parts(use.factor):
        if part is path and not is_gone:
            is_gone = True
        else:
            kept = part if kept is None else Apply("*", (kept, part))
    return replace(use.with_option("mask", path, ""), factor=kept)


def _parts(factor: Expression) -> Iterator[Expression]:
    """The factors of a product from left to right."""
    match factor:
        case Apply("*", (left, right)):
            yield from _parts(left)
            yield from _parts(right)
        case _:
            yield factor


def _is_mask(part: Expression) -> bool:
    """True for a path whose last key is the name of a mask."""
    last = part.steps[-1] if isinstance(part, Input) and part.steps else None
    return isinstance(last, tree.Key) and MASK.search(last.name) is not None
