"""Contests: bodies of `each(combine=min)`, whose values are compared before they are reduced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import repeats as mistakes
from losslang.meaning.frame import edge, frame
from losslang.meaning.meaning import Apply, Constant, Expression, LossUse, Term, below, is_static, loss_of
from losslang.primitives.primitive import Activation
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import spell

PLACES = ("same", "places", "values", "rows")
"""Frames of values that have a place."""


class Part(NamedTuple):
    """An addend of a body: `weight * factors * use`, or a constant."""

    weight: float
    factors: tuple[Expression, ...]
    use: LossUse | None


def parts(body: Expression, weight: float = 1.0, factors: tuple[Expression, ...] = ()) -> list[Part]:
    """The addends of a body. Raises ValueError for one that is no weighted sum of losses."""
    match body:
        case Constant(value=value):
            return [Part(weight * value, factors, None)]
        case LossUse():
            return [Part(weight, factors, body)]
        case Apply("+", (left, right)):
            return parts(left, weight, factors) + parts(right, weight, factors)
        case Apply("-", (left, right)):
            return parts(left, weight, factors) + parts(right, -weight, factors)
        case Apply("neg", (inner,)):
            return parts(inner, -weight, factors)
        case Apply("*", (Constant(value), inner)):
            return parts(inner, weight * value, factors)
        case Apply("*", (factor, inner)) if is_static(factor):
            return parts(inner, weight, (*factors, factor))
        case _:
            raise ValueError(str(body))


def check_contest(
    terms: Sequence[Term], combine: str, per: str, call: tree.Call, registry: Registry
) -> list[Diagnostic]:
    """The mistakes of a body whose values can not be compared."""
    uses: list[LossUse] = []
    for term in terms:
        whole = term.body if term.factor is None else Apply("*", (term.factor, term.body))
        try:
            found = parts(whole)
        except ValueError:
            fix = "write a weighted sum of losses, such as `0.85*dssim + 0.15*l1`"
            named = f"`{spell(call.arguments[0])}` is arithmetic on reduced losses"
            return [mistakes.no_contest(term.span, named, combine, fix)]
        uses += [part.use for part in found if part.use is not None]
    return [problem for use in uses for problem in _of_use(use, uses[0], combine, per, registry)]


def _of_use(use: LossUse, first: LossUse, combine: str, per: str, registry: Registry) -> list[Diagnostic]:
    name = use.reduction.name
    if name not in ("mean", "sum") or use.get("avg_factor") is not None:
        what = f"`{use.loss}` is reduced by `{'avg_factor' if name in ('mean', 'sum') else name}`"
        fix = "write `reduction=mean` or `reduction=sum`"
        return [mistakes.no_contest(use.span, what, combine, fix)]
    if name != first.reduction.name:
        what = f"`{first.loss}` is reduced by `{first.reduction.name}`, `{use.loss}` by `{name}`"
        return [mistakes.no_contest(use.span, what, combine, "reduce all by the same")]
    own, others = (_frame(each, registry) for each in (use, first))
    if own == "number":
        fix = "write a loss that has values for each sample or element"
        return [mistakes.no_contest(use.span, f"`{use.loss}` is one number", combine, fix)]
    if per == "place" and own not in PLACES:
        fix = "write `per=sample`"
        return [mistakes.no_contest(use.span, f"`{use.loss}` has no value for a place", combine, fix)]
    if per != "sample" and _edge(use, registry) != _edge(first, registry):
        short = use if _edge(use, registry) else first
        what = f"`{short.loss}` has no value at the border of an image, and a term beside it has one"
        return [mistakes.no_contest(short.span, what, combine, "write `padding=same`")]
    same = {"values": "same"}
    if per == "element" and same.get(own, own) != same.get(others, others):
        what = f"`{first.loss}` and `{use.loss}` have values on different axes"
        return [mistakes.no_contest(use.span, what, combine, "write `per=sample` or `per=place`")]
    return []


def _frame(use: LossUse, registry: Registry) -> str:
    """The axes of the values of a use. An activation that is taken later changes those of losses of classes."""
    name = use.activation.name if use.activation else ""
    activation = registry.get(Activation, name)
    return frame(loss_of(use, registry), activation.over if activation else "element")


def _edge(use: LossUse, registry: Registry) -> dict[str, tuple[int, int]]:
    return edge(use, loss_of(use, registry))


def is_contest(expression: Expression) -> bool:
    """True for an `each` whose elements compete."""
    return isinstance(expression, Apply) and dict(expression.options).get("combine") in ("min", "max")


def uses_of(body: Expression) -> list[LossUse]:
    return [part for part in below(body) if isinstance(part, LossUse)]
