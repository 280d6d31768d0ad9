"""Bounds of a program: between which numbers it lies, and whether what is learned holds it.

A loss says its range in its decorator. A tensor of the call has none that anybody knows: where one is read,
the bounds are unknown (None), and nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import learned as mistakes
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

Bounds = tuple[float, float] | None
"""The least and the largest value; None where nobody knows."""
MEANS = ("mean", "mean_all", "mean_of_means", "wmean", "wmean_all", "topk", "ohem", "quantile", "none")
"""Reductions that stay between the least and the largest value."""
GROWING: dict[str, Callable[[float], float]] = {
    "exp": lambda x: math.exp(min(x, 700.0)) if x < math.inf else math.inf,
    "log": lambda x: math.log(x) if 0 < x < math.inf else (math.inf if x > 0 else -math.inf),
    "sqrt": lambda x: math.sqrt(x) if 0 < x < math.inf else max(x, 0.0),
    "softplus": lambda x: max(x, 0.0),
    "sigmoid": lambda x: 0.5 * (1.0 + math.tanh(0.5 * x)),
    "tanh": math.tanh,
}
"""Functions that never fall, at the ends of an interval (softplus from below)."""


def bounds(expression: Expression, registry: Registry) -> Bounds:
    """Between which numbers an expression of reduced losses lies, whatever the network gives."""
    match expression:
        case Constant(value=value):
            return value, value
        case Learned(low=low, high=high):
            return -math.inf if low is None else low, math.inf if high is None else high
        case Input(root=root):
            return (0.0, math.inf) if root in tree.CLOCKS else None
        case LossUse():
            return _of_use(expression, registry)
        case Apply("gradmatch"):
            return 0.0, math.inf
        case Apply(operator=name, arguments=arguments):
            known = [bounds(argument, registry) for argument in arguments]
            found = [each for each in known if each is not None]
            return _of_operator(name, found) if len(found) == len(known) else None


def _of_use(use: LossUse, registry: Registry) -> Bounds:
    own = loss_of(use, registry).range
    if own is None:
        return None
    low, high = own
    weighs = use.get("class_weight") is not None or use.get("pos_weight") is not None
    is_mean = use.reduction.name in MEANS and use.get("avg_factor") is None
    if weighs or not is_mean:
        low, high = (0.0 if low >= 0 else -math.inf), (0.0 if high <= 0 else math.inf)
    shifted = _sum((use.shift, use.shift), _product((use.scale, use.scale), (low, high)))
    if use.factor is None:
        return shifted
    factor = bounds(use.factor, registry)
    return None if factor is None else _product(factor, shifted)


def _of_operator(name: str, of: Sequence[tuple[float, float]]) -> Bounds:
    match name, of:
        case "+", [a, b]:
            return _sum(a, b)
        case "-", [a, b]:
            return _sum(a, _product((-1.0, -1.0), b))
        case "neg", [a]:
            return _product((-1.0, -1.0), a)
        case "*", [a, b]:
            return _product(a, b)
        case "/", [a, (low, high)] if low > 0:
            return _product(a, (1 / high, 1 / low))
        case "abs", [(low, high)]:
            return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
        case "detach", [a]:
            return a
        case "min" | "max", _:
            pick = min if name == "min" else max
            return pick(low for low, _ in of), pick(high for _, high in of)
        case "clip", [(low, high), (least, _), (_, most)]:
            return min(max(low, least), most), min(max(high, least), most)
        case _ if name in GROWING and len(of) == 1:
            return GROWING[name](of[0][0]), GROWING[name](of[0][1])
        case "ramp" | "cyclic", [a, b]:
            return min(a[0], b[0]), max(a[1], b[1])
        case "after" | "until", []:
            return 0.0, 1.0
        case _:
            return None


def _sum(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    return a[0] + b[0], a[1] + b[1]


def _product(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    # A bound of 0 is reached, and holds what is beside it.
    ends = [0.0 if 0.0 in (x, y) else x * y for x in a for y in b]
    return min(ends), max(ends)


def of_terms(terms: Sequence[Term], registry: Registry) -> Bounds:
    """Between which numbers the total lies; what is learned is held by what `unheld` checks."""
    total: Bounds = (0.0, 0.0)
    for term in terms:
        if term.metric or term.dropped:
            continue
        own = _of_term(term, registry)
        total = None if total is None or own is None else _sum(total, own)
    return total


def _of_term(term: Term, registry: Registry) -> Bounds:
    whole: Expression = term.body if term.factor is None else Apply("*", (term.factor, term.body))
    found = bounds(whole, registry)
    if found is None:
        return None
    weighed = found if term.automatic is None else _product((0.0, math.inf), found)
    return _product((term.weight, term.weight), weighed)


# ---------------------------------------------------------------------------- what falls without end


def falling(terms: Sequence[Term], registry: Registry) -> list[Diagnostic]:
    """The mistakes of learned weights that nothing holds, and the warnings about losses that are subtracted."""
    trained = [part for term in terms if not (term.metric or term.dropped) for part in _parts(term)]
    diagnostics: list[Diagnostic] = []
    told: set[Learned] = set()
    for term in trained:
        found = _of_term(term, registry)
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
