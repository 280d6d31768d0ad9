"""Mistakes of totals that fall without end: learned weights that nothing holds, losses that are subtracted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import learned as mistakes
from losslang.meaning.bounds import Bounds, bounds, of_term
from losslang.meaning.meaning import (
    Apply,
    Constant,
    Expression,
    Input,
    LossUse,
    Term,
    addends,
    below,
    loss_of,
)
from losslang.meaning.parameter import Learned
from losslang.meaning.time import is_scheduled, moments, number_at, value_at
from losslang.primitives.combinators import Combinator
from losslang.primitives.schedules import Schedule
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import spell


class _Part(NamedTuple):
    """A part of the total, and the schedules that multiply it, none below 0: its term is without them."""

    term: Term
    times: tuple[Expression, ...] = ()


def falling(terms: Sequence[Term], program: tree.Program, registry: Registry) -> list[Diagnostic]:
    """The mistakes of learned weights that nothing holds, and the warnings about losses that are subtracted."""
    parts = [part for term in terms if not (term.metric or term.dropped) for part in _parts(term, registry)]
    trained = [part.term for part in parts]
    diagnostics: list[Diagnostic] = []
    told: set[Learned] = set()
    for part in parts:
        term = part.term
        # Of what is read as it stands nobody knows the end that it comes to.
        found = None if _reads_raw(term.body) or _reads_raw(term.factor) else of_term(term, registry)
        learned = _learned_in(term)
        for s in learned:
            endless = found is not None and found[0] == -math.inf and not _is_held(term, s, trained)
            if s in told:
                continue
            if endless or _is_one_way(s, trained, registry):
                told.add(s)
                diagnostics.append(_unheld(term, s, is_endless=endless))
            elif (off := _off_while_priced(part, s, parts, registry)) is not None:
                told.add(s)
                diagnostics.append(_held_for_a_time(s, off, program, registry))
        if not learned and isinstance(term.body, LossUse):
            diagnostics += _subtracted(term, term.body, found, registry)
    return diagnostics


def _off_while_priced(
    price: _Part, s: Learned, parts: Sequence[_Part], registry: Registry
) -> Expression | None:
    """The schedule of a loss that is 0 while `c*s`, which its weight costs, is trained; None where none is."""
    if price.term.body != s or not price.term.weight:
        return None
    falls = -1.0 if price.term.weight > 0 else 1.0
    if (s.low if falls < 0 else s.high) is not None:
        return None
    holding = [part.times for part in parts if _grows(part.term, s, falls)]
    if not holding or not all(holding):
        return None
    for times in moments((price.times, *holding), registry):
        if value_at(price.times, times, registry) > 0 and not any(
            value_at(own, times, registry) for own in holding
        ):
            return _product(holding[0])
    return None


def _parts(term: Term, registry: Registry) -> list[_Part]:
    """A term; one that reads no loss as its addends."""
    factors = [] if term.factor is None else _factors(term.factor)
    numbers = [factor.value for factor in factors if isinstance(factor, Constant)]
    times = tuple(factor for factor in factors if _is_time(factor, registry))
    kept = [f for f in factors if not isinstance(f, Constant) and f not in times]
    term = replace(term, weight=term.weight * math.prod(numbers), factor=_product(kept))
    if kept or _reads(term.body):
        return [_Part(term, times)]
    parts: list[_Part] = []
    for weight, body, _ in addends(term.body, term.weight):
        inside = _factors(body)
        own = tuple(factor for factor in inside if _is_time(factor, registry))
        rest = _product([factor for factor in inside if not _is_time(factor, registry)])
        if own and rest is not None:
            again = _parts(replace(term, weight=weight, body=rest), registry)
            parts += [_Part(part.term, (*times, *own, *part.times)) for part in again]
        else:
            parts.append(_Part(replace(term, weight=weight, body=body), times))
    return parts


def _is_time(factor: Expression, registry: Registry) -> bool:
    """True for a number that a clock moves, nowhere below 0."""
    if isinstance(factor, Constant) or not is_scheduled(factor):
        return False
    found = bounds(factor, registry)
    return found is not None and found[0] >= 0


def _product(factors: Sequence[Expression]) -> Expression | None:
    """The product of factors; None of none."""
    whole: Expression | None = None
    for factor in factors:
        whole = factor if whole is None else Apply("*", (whole, factor))
    return whole


def _learned_in(term: Term) -> list[Learned]:
    wholes = (term.body,) if term.factor is None else (term.factor, term.body)
    return [part for whole in wholes for part in below(whole) if isinstance(part, Learned)]


def _is_held(term: Term, s: Learned, terms: Sequence[Term]) -> bool:
    """True for `c*s` beside a loss whose weight `exp(k*s)` grows without end where `c*s` falls."""
    if term.body != s or term.factor is not None:
        return False
    falls = -1.0 if term.weight > 0 else 1.0
    bounded = s.low if falls < 0 else s.high
    unknown = any(_is_weighed_with_tensors(other, s) for other in terms)
    return bounded is not None or unknown or any(_grows(other, s, falls) for other in terms)


def _is_weighed_with_tensors(term: Term, s: Learned) -> bool:
    """True for a term in which `s` weighs tensors of the call alone, of which nobody knows the sign."""
    if not any(isinstance(part, LossUse) for part in below(term.body)):
        return _reads(term.body) and s in _learned_in(term)
    return s in below(term.body)


def _is_one_way(s: Learned, terms: Sequence[Term], registry: Registry) -> bool:
    """True if the total only falls as `s` moves one way, in which it has no bound: its weight becomes nothing."""
    ways: set[float] = set()
    for term in terms:
        weights = [e for e in (term.factor, None if _reads(term.body) else term.body) if e is not None]
        if s not in _learned_in(term):
            continue
        if _is_weighed_with_tensors(term, s):
            return False  # it is weighed with tensors, and known only when it runs
        try:
            rise = [
                number_at(_with(e, s, 1.0), {}, registry) - number_at(_with(e, s, -1.0), {}, registry)
                for e in weights
            ]
        except (ArithmeticError, ValueError, KeyError):
            return False  # what is known only when it runs
        ways.update(math.copysign(1.0, term.weight * change) for change in rise if term.weight * change)
    return (ways == {1.0} and s.low is None) or (ways == {-1.0} and s.high is None)


def _reads(body: Expression) -> bool:
    """True for what reads a loss or a tensor; the clocks are numbers."""
    return any(
        isinstance(part, LossUse) or (isinstance(part, Input) and part.root not in tree.CLOCKS)
        for part in below(body)
    )


def _reads_raw(expression: Expression | None) -> bool:
    """True for arithmetic with a tensor that no loss reads."""
    match expression:
        case Input(root=root):
            return root not in tree.CLOCKS
        case Apply(arguments=arguments):
            return any(map(_reads_raw, arguments))
        case LossUse(factor=factor):
            return _reads_raw(factor)
        case _:
            return False


def _with(expression: Expression, s: Learned, value: float) -> Expression:
    """An expression with a number in the place of a parameter."""
    match expression:
        case Apply(arguments=arguments):
            return replace(expression, arguments=tuple(_with(a, s, value) for a in arguments))
        case Learned() if expression == s:
            return Constant(value)
        case _:
            return expression


def _grows(term: Term, s: Learned, towards: float) -> bool:
    """True if a term grows without end as `s` goes to minus or plus infinity."""
    factors = _factors(term.factor) if term.factor is not None else []
    slopes = [_slope(f.arguments[0], s) for f in factors if isinstance(f, Apply) and f.operator == "exp"]
    holds_loss = any(isinstance(part, LossUse) for part in below(term.body))
    return term.weight > 0 and holds_loss and any(slope * towards > 0 for slope in slopes)


def _factors(expression: Expression) -> list[Expression]:
    match expression:
        case Apply("*", (left, right)):
            return [*_factors(left), *_factors(right)]
        case _:
            return [expression]


def _slope(expression: Expression, s: Learned) -> float:
    """The number that multiplies `s` in a sum; 0 where it stands in anything else."""
    slope = 0.0
    for weight, part, _ in addends(expression):
        slope += weight if part == s else 0.0
    return slope


def _unheld(term: Term, s: Learned, *, is_endless: bool) -> Diagnostic:
    loss = term.body.loss if isinstance(term.body, LossUse) else "ce"
    fix = f"`exp(-{s.name})*{loss} + {s.name}` with `{s.name} = learn(0)`, or `uncertainty({loss})`"
    return mistakes.unbounded(s.span, s.name, fix, is_endless=is_endless)


def _held_for_a_time(s: Learned, off: Expression, program: tree.Program, registry: Registry) -> Diagnostic:
    """The warning about a weight that is priced while its loss is turned off, with the schedule before both."""
    fix = f"multiply the loss and its price by it: `{off}*(exp(-{s.name})*ce + {s.name})`"
    for call in (node for node in tree.walk(program) if isinstance(node, tree.Call)):
        if registry.get(Combinator, call.name) and any(node.span == s.span for node in call.arguments):
            fix = f"the schedule stands before the brackets: `{off}*{call.name}(ce)`"
            if (regrouped := _regrouped(call, registry)) != spell(call):
                fix = f"the schedule stands before the brackets: `{regrouped}`"
    return mistakes.held_for_a_time(s.span, s.name, str(off), fix)


def _regrouped(call: tree.Call, registry: Registry) -> str:
    """`uncertainty(a, after(steps=9)*b)` as `uncertainty(a) + after(steps=9)*uncertainty(b)`."""
    groups: dict[str, list[str]] = {}
    for node in call.arguments:
        factors = node.factors if isinstance(node, tree.Product) and "/" not in node.operators else (node,)
        early = [f for f in factors if isinstance(f, tree.Call) and registry.get(Schedule, f.name)]
        rest = [spell(f) for f in factors if f not in early]
        before = "".join(f"{spell(factor)}*" for factor in early)
        groups.setdefault(before, []).append("*".join(rest) if early else spell(node))
    return " + ".join(f"{before}{call.name}({', '.join(inside)})" for before, inside in groups.items())


def _subtracted(term: Term, use: LossUse, found: Bounds, registry: Registry) -> list[Diagnostic]:
    loss = loss_of(use, registry)
    reads_truth = any(operand.name == "target" for operand in loss.operands)
    if term.weight >= 0 or loss.index or loss.range is None or found is None or not reads_truth:
        return []
    return [mistakes.falls_without_end(term.span, use.loss, is_endless=found[0] == -math.inf)]
