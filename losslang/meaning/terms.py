"""Term algebra: numbers fold, tensors weight, losses add up as named terms.

A value is a number, a tensor expression that holds no loss, or a sum of terms. Multiplying keeps a
sum a sum for as long as it stays linear; what does not becomes one term of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import automatic
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


class NumberValue(NamedTuple):
    """The value of a constant expression."""

    value: float
    span: Span = NOWHERE


class TensorValue(NamedTuple):
    """The value of arithmetic on tensors of the call.

    `label` is the name that it is bound to; a multiple of a bound one keeps the name, and `inside` is what is
    bound, with the weight and the factor in front of it.
    """

    expression: Expression
    span: Span = NOWHERE
    label: str = ""
    inside: tuple[float, Expression | None, Expression] | None = None

    @property
    def split(self) -> tuple[float, Expression | None, Expression]:
        """The weight, the factor and what they multiply."""
        return self.inside or (1.0, None, self.expression)


class TermsValue(NamedTuple):
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
            weight, factor, inside = value.split
            negative = Apply("neg", (value.expression,), node.span)
            split = (-weight, factor, inside) if value.label else None
            return TensorValue(negative, node.span, value.label, split)
        case TermsValue():
            return TermsValue(tuple(replace(t, weight=-t.weight) for t in value.terms), node.span)


def applied(
    operator: str,
    values: Sequence[Value],
    node: tree.Node,
    options: tuple[tuple[str, Any], ...] = (),
    written: tuple[str, ...] = (),
) -> Value:
    """The value of an operator that is not linear: one tensor, or one term named by its text."""
    spelled = spell(node)
    inside = tuple(collapse(value, spelled) for value in values)
    expression = Apply(operator, inside, node.span, options, written)
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
                Term(key(str(part)), weight, part, dropped=dropped, span=part.span or value.span)
                for weight, part, dropped in addends(value.expression)
            )
        case TensorValue():
            weight, factor, inside = value.split
            return (Term(value.label, weight, inside, factor, named=True, span=value.span),)


def collapse(value: Value, outside: str) -> Expression:
    """A value as one expression. Raises MistakeError for a metric, which has no place in arithmetic."""
    match value:
        case NumberValue():
            return Constant(value.value, value.span)
        case TensorValue():
            return value.expression
        case TermsValue():
            refuse_weighed(value, outside)
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


def refuse_weighed(value: Value, outside: str) -> None:
    """Raises MistakeError for terms whose weights are found in every call: they stand in the total alone."""
    found = [t.automatic for t in value.terms if t.automatic] if isinstance(value, TermsValue) else []
    if found:
        raise MistakeError(automatic.weighed_terms_only(found[0].span, found[0].method, outside))


def renamed(value: Value, name: str) -> Value:
    """A bound value where it is used: its terms are logged under the name."""
    match value:
        case NumberValue():
            return value
        case TensorValue():
            return value._replace(label=name, inside=None)
        case TermsValue(terms=(only,)):
            return value._replace(terms=(replace(only, name=name, named=True),))
        case TermsValue():
            parts = (replace(t, name=below_name(name, t.name), named=True) for t in value.terms)
            return value._replace(terms=tuple(parts))
