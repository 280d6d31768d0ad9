"""Bounds of a program: between which numbers it lies.

A loss says its range in its decorator. A tensor of the call has none that anybody knows: where one is read,
the bounds are unknown (None), and nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

from losslang.meaning.meaning import (
    Apply,
    Constant,
    Expression,
    Input,
    LossUse,
    Term,
    is_found,
    loss_of,
)
from losslang.meaning.parameter import Learned
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
OF_ANYTHING: dict[str, tuple[float, float]] = {
    "norm": (0.0, math.inf),
    "softmax": (0.0, 1.0),
    "log_softmax": (-math.inf, 0.0),
    "normalize": (-1.0, 1.0),
    "abs": (0.0, math.inf),
    "exp": (0.0, math.inf),
    "sqrt": (0.0, math.inf),
    "softplus": (0.0, math.inf),
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
}
"""Between which numbers a function lies, whatever it is given."""


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
        case _ if is_found(expression):
            return 0.0, math.inf
        case Apply(operator="each" | "matryoshka"):
            return _of_elements(expression, registry)
        case Apply(operator=name, arguments=arguments):
            known = [bounds(argument, registry) for argument in arguments]
            found = [each for each in known if each is not None]
            is_known = len(found) == len(known)
            inside = _of_operator(name, found) if is_known else None
            return _within(inside or _of_anything(name, known), OF_ANYTHING.get(name))


def _of_elements(repeat: Apply, registry: Registry) -> Bounds:
    """The bounds of a body over the elements of a list, of which nobody knows how many there are."""
    options = dict(repeat.options)
    of_body = bounds(repeat.arguments[0], registry)
    given: Any = options["weights"]
    listed = cast("tuple[Expression | None, ...]", given if isinstance(given, tuple) else ())
    weights = [bounds(weight, registry) for weight in listed if weight is not None]
    if of_body is None or any(own is None or own[0] < 0 for own in weights):
        return None
    if options.get("combine") in ("min", "max", "mean") and not weights and given is None:
        return of_body
    return _of_sum(of_body)


def _of_sum(of_one: tuple[float, float]) -> tuple[float, float]:
    """The bounds of a sum of any number of numbers."""
    low, high = of_one
    return (0.0 if low >= 0 else -math.inf), (0.0 if high <= 0 else math.inf)


def _of_anything(name: str, known: Sequence[Bounds]) -> Bounds:
    """The bounds of an operator where some operands are not known: a square, what is held by a number."""
    match name, known:
        case "**", [_, (power, same)] if power == same and power > 0 and power % 2 == 0:
            return 0.0, math.inf
        case "max", [_, *_] if len(known) > 1:
            return max(own[0] for own in known if own is not None), math.inf
        case "min", [_, *_] if len(known) > 1:
            return -math.inf, min(own[1] for own in known if own is not None)
        case "clip", [_, (least, _), (_, most)]:
            return least, most
        case _:
            return None


def _within(found: Bounds, most: Bounds) -> Bounds:
    """The bounds of what has two of them."""
    if found is None or most is None:
        return found or most
    return max(found[0], most[0]), min(found[1], most[1])


def _of_use(use: LossUse, registry: Registry) -> Bounds:
    own = loss_of(use, registry).range
    if own is None:
        return None
    low, high = own
    weighs = use.get("class_weight") is not None or use.get("pos_weight") is not None
    is_mean = use.reduction.name in MEANS and use.get("avg_factor") is None
    if weighs or not is_mean:
        low, high = _of_sum((low, high))
    shifted = _sum((use.shift, use.shift), _product((use.scale, use.scale), (low, high)))
    for weight in (use.factor, use.get("weight")):
        if weight is not None:
            own = bounds(weight, registry)
            if own is None:
                return None
            shifted = _product(own, shifted)
    return shifted


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
        case "mean" | "gls", [(low, high), *_] if name == "mean" or low >= 0:
            return low if name == "mean" else min(x for x, _ in of), max(x for _, x in of)
        case "sum", [a]:
            return _of_sum(a)
        case "logsumexp", [(low, _)]:
            return low, math.inf
        case "**", [(low, high), (power, same)] if power == same and power > 0:
            ends = [end**power for end in (low, high)] if low >= 0 else None
            even = (0.0, max(abs(low), abs(high)) ** power) if power % 2 == 0 else None
            return even if ends is None else (ends[0], ends[1])
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
        own = of_term(term, registry)
        total = None if total is None or own is None else _sum(total, own)
    return total


def of_term(term: Term, registry: Registry) -> Bounds:
    """Between which numbers a term lies, its weight included."""
    whole: Expression = term.body if term.factor is None else Apply("*", (term.factor, term.body))
    found = bounds(whole, registry)
    if found is None:
        return None
    weighed = found if term.automatic is None else _product((0.0, math.inf), found)
    return _product((term.weight, term.weight), weighed)
