"""Mistakes of totals that fall without end: learned weights that nothing holds, losses that are subtracted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import learned as mistakes
from losslang.meaning.bounds import Bounds, of_term
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
from losslang.meaning.time import number_at
from losslang.registry import Registry
from losslang.syntax import tree


def falling(terms: Sequence[Term], registry: Registry) -> list[Diagnostic]:
    """The mistakes of learned weights that nothing holds, and the warnings about losses that are subtracted."""
    trained = [part for term in terms if not (term.metric or term.dropped) for part in _parts(term)]
    diagnostics: list[Diagnostic] = []
    told: set[Learned] = set()
    for term in trained:
        # Of what is read as it stands nobody knows the end that it comes to.
        found = None if _reads_raw(term.body) or _reads_raw(term.factor) else of_term(term, registry)
        learned = _learned_in(term)
        for s in learned:
            endless = found is not None and found[0] == -math.inf and not _is_held(term, s, trained)
            if s not in told and (endless or _is_one_way(s, trained, registry)):
                told.add(s)
                diagnostics.append(_unheld(term, s, is_endless=endless))
        if not learned and isinstance(term.body, LossUse):
            diagnostics += _subtracted(term, term.body, found, registry)
    return diagnostics


def _parts(term: Term) -> list[Term]:
    """A term; one that reads no loss as its addends."""
    if term.factor is not None or any(isinstance(part, LossUse) for part in below(term.body)):
        return [term]
    return [replace(term, weight=weight, body=body) for weight, body, _ in addends(term.body, term.weight)]


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
        ways.update(math.copysign(1.0, term.weight * change) for change in rise if change)
    return (ways == {1.0} and s.low is None) or (ways == {-1.0} and s.high is None)


def _reads(body: Expression) -> bool:
    return any(isinstance(part, (LossUse, Input)) for part in below(body))


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


def _subtracted(term: Term, use: LossUse, found: Bounds, registry: Registry) -> list[Diagnostic]:
    loss = loss_of(use, registry)
    reads_truth = any(operand.name == "target" for operand in loss.operands)
    if term.weight >= 0 or loss.index or loss.range is None or found is None or not reads_truth:
        return []
    return [mistakes.falls_without_end(term.span, use.loss, is_endless=found[0] == -math.inf)]
