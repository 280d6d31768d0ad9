"""Term algebra: numbers fold, tensors weight, losses add up as named terms.

A value is a number, a tensor expression that holds no loss, or a sum of terms. Multiplying keeps a
sum a sum for as long as it stays linear; what does not becomes one term of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import meaning as mistakes
from losslang.diagnostics.source import Span
from losslang.meaning.keys import below_name, key
from losslang.meaning.meaning import NOWHERE, Apply, Constant, Expression, LossUse, Term, addends
from losslang.syntax import tree
from losslang.syntax.formatter import spell


class MistakeError(Exception):
    """Raised for a mistake inside of one node: the checker reports it and goes on with the next node."""

    def __init__(self, diagnostic: Diagnostic):
        self.diagnostic = diagnostic
        super().__init__(diagnostic.message)


@dataclass(frozen=True)
class NumberValue:
    """The value of a constant expression."""

    value: float
    span: Span = NOWHERE


@dataclass(frozen=True)
class TensorValue:
    """The value of arithmetic on tensors of the call. `label` is the name that it is bound to."""

    expression: Expression
    span: Span = NOWHERE
    label: str = ""


@dataclass(frozen=True)
class TermsValue:
    """The value of an expression with losses: a weighted sum of terms."""

    terms: tuple[Term, ...]
    span: Span = NOWHERE


Value = NumberValue | TensorValue | TermsValue


def number(value: float, span: Span, spelled: str) -> NumberValue:
    """A folded constant. Raises MistakeError if no float can hold it."""
    if isinstance(value, complex):
        raise MistakeError(mistakes.impossible_number(span, spelled, "is not a real number"))
    if not math.isfinite(value):
        raise MistakeError(mistakes.impossible_number(span, spelled, "is not a finite number"))
    return NumberValue(value, span)


def fold(compute: Callable[[], float], span: Span, spelled: str) -> NumberValue:
    """The constant that `compute` gives. Raises MistakeError where it divides by 0 or is not defined."""
    try:
        return number(compute(), span, spelled)
    except ZeroDivisionError:
        raise MistakeError(mistakes.impossible_number(span, spelled, "divides by 0")) from None
    except OverflowError:
        raise MistakeError(mistakes.impossible_number(span, spelled, "is too large for a float")) from None
    except ValueError:
        raise MistakeError(mistakes.impossible_number(span, spelled, "is not defined")) from None


def add(parts: Sequence[tuple[float, Value]], node: tree.Node) -> Value:
    """The value of a sum: Σ sign * value."""
    spelled = spell(node)
    if all(isinstance(value, NumberValue) for _, value in parts):
        return fold(
            lambda: sum(s * float(v.value) for s, v in parts if isinstance(v, NumberValue)),
            node.span,
            spelled,
        )
    if not any(isinstance(value, TermsValue) for _, value in parts):
        total: Expression | None = None
        for sign, value in parts:
            addend = collapse(value, spelled)
            if total is None:
                total = addend if sign > 0 else Apply("neg", (addend,), node.span)
            else:
                total = Apply("+" if sign > 0 else "-", (total, addend), node.span)
        assert total is not None
        return TensorValue(total, node.span)
    beside = _beside_one_loss(parts)
    if beside is not None:
        shift, term = beside
        body = _affine(term, shift)
        return TermsValue((Term(key(spelled), 1.0, body, span=node.span),), node.span)
    terms = [replace(t, weight=sign * t.weight) for sign, value in parts for t in as_terms(value)]
    return TermsValue(tuple(terms), node.span)


def _beside_one_loss(parts: Sequence[tuple[float, Value]]) -> tuple[float, Term] | None:
    """The constant and the term of `1 - ssim`; None unless one plain loss has constants beside it."""
    constants = [s * v.value for s, v in parts if isinstance(v, NumberValue)]
    others = [(s, v) for s, v in parts if not isinstance(v, NumberValue)]
    if not constants or len(others) != 1:
        return None
    sign, value = others[0]
    if not isinstance(value, TermsValue) or len(value.terms) != 1 or value.terms[0].metric:
        return None
    term = value.terms[0]
    if not isinstance(term.body, LossUse) or term.factor is not None:
        return None
    return sum(constants), replace(term, weight=sign * term.weight)


def _affine(term: Term, shift: float) -> Expression:
    """The body `shift + weight*body` of a term."""
    scaled = Apply("*", (Constant(term.weight), term.body), term.span)
    return Apply("+", (Constant(shift), scaled), term.span)


def multiply(parts: Sequence[tuple[str, Value, tree.Node]], node: tree.Node) -> Value:
    """The value of a product or a quotient; the first operator is `*`."""
    spelled = spell(node)
    constant = fold(lambda: _constant(parts), node.span, spelled)
    tensor: Expression | None = None
    linear: TermsValue | None = None
    bent = False
    for operator, value, _ in parts:
        if isinstance(value, TensorValue):
            tensor = _times(tensor, operator, value.expression, node.span)
        elif isinstance(value, TermsValue):
            bent = bent or operator == "/" or linear is not None
            linear = linear or value
    if linear is None:
        if tensor is None:
            return constant
        scaled = tensor if constant.value == 1 else Apply("*", (Constant(constant.value), tensor), node.span)
        return TensorValue(scaled, node.span)
    if bent:
        return _bent(parts, constant.value, node)
    is_zero = any(_zero_in_place(value, factor) for _, value, factor in parts)
    weighted = [
        replace(
            t, weight=_scaled(constant.value, t, spelled), dropped=not t.metric and (t.dropped or is_zero)
        )
        for t in linear.terms
    ]
    if tensor is not None:
        weighted = [_weigh(t, tensor) for t in weighted]
    return TermsValue(tuple(weighted), node.span)


def _zero_in_place(value: Value, factor: tree.Node) -> bool:
    """True for a factor that is 0 and is written with numbers alone; a bound number may be set from outside."""
    names = (node for node in tree.walk(factor) if isinstance(node, tree.Call) and not node.arguments)
    return isinstance(value, NumberValue) and value.value == 0 and next(names, None) is None


def _constant(parts: Sequence[tuple[str, Value, tree.Node]]) -> float:
    """The product of the constants among the factors."""
    folded = 1.0
    for operator, value, _ in parts:
        if isinstance(value, NumberValue):
            folded = folded * float(value.value) if operator == "*" else folded / float(value.value)
    return folded


def _scaled(constant: float, term: Term, spelled: str) -> float:
    return number(constant * term.weight, term.span, spelled).value


def _bent(parts: Sequence[tuple[str, Value, tree.Node]], constant: float, node: tree.Node) -> TermsValue:
    """The one term of a product of losses, or of a division by one, named by its text without numbers."""
    body: Expression | None = None
    factors: list[tuple[str, tree.Node]] = []
    for operator, value, factor in parts:
        if isinstance(value, NumberValue):
            continue
        body = _times(body, operator, collapse(value, spell(node)), node.span)
        factors.append((operator, factor))
    assert body is not None
    if factors[0][0] == "/":
        factors.insert(0, ("*", tree.Number(value=1)))
    named = tree.Product.model_construct(
        factors=tuple(factor for _, factor in factors),
        operators=tuple(operator for operator, _ in factors[1:]),
    )
    name = spell(named) if len(factors) > 1 else spell(factors[0][1])
    is_zero = any(_zero_in_place(value, factor) for _, value, factor in parts)
    return TermsValue((Term(key(name), constant, body, dropped=is_zero, span=node.span),), node.span)


def _times(left: Expression | None, operator: str, right: Expression, span: Span) -> Expression:
    """`left*right` or `left/right`; a missing left side is 1."""
    if left is None:
        return right if operator == "*" else Apply("/", (Constant(1.0), right), span)
    return Apply(operator, (left, right), span)


def _weigh(term: Term, tensor: Expression) -> Term:
    """A term with a tensor factor: inside of its reduction where there is one."""
    inside = _pushed(term.body, tensor)
    if inside is None:
        return replace(term, factor=_times(term.factor, "*", tensor, term.span))
    return replace(term, body=inside)


def _pushed(body: Expression, tensor: Expression) -> Expression | None:
    """A body with a tensor factor inside of the reduction; None where it is not linear in one loss."""
    match body:
        case LossUse():
            return replace(body, factor=_times(body.factor, "*", tensor, body.span))
        case Apply("+", (Constant(shift), Apply("*", (Constant(scale), LossUse() as use)))):
            # w (c + k f v) = w c + k (w f) v: the constant is reduced as the loss beside it is.
            constant = replace(use, scale=0.0, shift=shift, factor=tensor)
            weighed = replace(use, factor=_times(use.factor, "*", tensor, body.span))
            if use.factor is None and (use.scale, use.shift) == (1.0, 0.0):
                return replace(weighed, scale=scale, shift=shift)
            scaled = Apply("*", (Constant(scale), weighed), body.span)
            return Apply("+", (constant, scaled), body.span)
        case Apply("detach", (inner,)):
            inside = _pushed(inner, tensor)
            return None if inside is None else replace(body, arguments=(inside,))
        case _:
            return None


def power(base: Value, exponent: Value, node: tree.Node) -> Value:
    """The value of base ** exponent."""
    spelled = spell(node)
    if isinstance(base, NumberValue) and isinstance(exponent, NumberValue):
        b, e = float(base.value), float(exponent.value)
        return fold(lambda: b**e, node.span, spelled)
    return applied("**", (base, exponent), node)


def negate(value: Value, node: tree.Node) -> Value:
    """The value of -value."""
    match value:
        case NumberValue():
            return NumberValue(-value.value, node.span)
        case TensorValue():
            return TensorValue(Apply("neg", (value.expression,), node.span), node.span)
        case TermsValue():
            return TermsValue(tuple(replace(t, weight=-t.weight) for t in value.terms), node.span)


def applied(operator: str, values: Sequence[Value], node: tree.Node) -> Value:
    """The value of an operator that is not linear: one tensor, or one term named by its text."""
    spelled = spell(node)
    expression = Apply(operator, tuple(collapse(v, spelled) for v in values), node.span)
    if any(isinstance(value, TermsValue) for value in values):
        return TermsValue((Term(key(spelled), 1.0, expression, span=node.span),), node.span)
    return TensorValue(expression, node.span)


def each_term(value: Value, change: Callable[[Term], Term]) -> TermsValue:
    """A value with the same change to each of its terms."""
    return TermsValue(tuple(map(change, as_terms(value))), value.span)


def as_terms(value: Value) -> tuple[Term, ...]:
    """The terms of a value: a number is one, and so is each addend of a tensor sum."""
    match value:
        case TermsValue():
            return value.terms
        case NumberValue():
            return (Term(key(str(Constant(value.value))), 1.0, Constant(value.value), span=value.span),)
        case TensorValue(label=""):
            return tuple(
                Term(key(str(part)), weight, part, span=part.span or value.span)
                for weight, part in addends(value.expression)
            )
        case TensorValue():
            return (Term(value.label, 1.0, value.expression, named=True, span=value.span),)


def collapse(value: Value, outside: str) -> Expression:
    """A value as one expression. Raises MistakeError for a metric, which has no place in arithmetic."""
    match value:
        case NumberValue():
            return Constant(value.value, value.span)
        case TensorValue():
            return value.expression
        case TermsValue():
            total: Expression | None = None
            for term in value.terms:
                if term.metric:
                    raise MistakeError(mistakes.metric_in_arithmetic(term.span, outside))
                addend = term.body
                if term.factor is not None:
                    addend = Apply("*", (term.factor, addend), term.span)
                if term.weight != 1:
                    addend = Apply("*", (Constant(term.weight), addend), term.span)
                total = addend if total is None else Apply("+", (total, addend), term.span)
            assert total is not None
            return total


def renamed(value: Value, name: str) -> Value:
    """A bound value where it is used: its terms are logged under the name."""
    match value:
        case NumberValue():
            return value
        case TensorValue():
            return replace(value, label=name)
        case TermsValue(terms=(only,)):
            return replace(value, terms=(replace(only, name=name, named=True),))
        case TermsValue():
            parts = (replace(t, name=below_name(name, t.name), named=True) for t in value.terms)
            return replace(value, terms=tuple(parts))
