"""Products of values: numbers scale terms, tensors weigh inside of reductions, what is one number outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from losslang.diagnostics.source import Span
from losslang.meaning.contests import is_contest
from losslang.meaning.keys import key
from losslang.meaning.meaning import Apply, Constant, Expression, Input, LossUse, Term, is_static
from losslang.meaning.terms import (
    NumberValue,
    TensorValue,
    TermsValue,
    Value,
    collapse,
    fold,
    number,
    refuse_weighed,
)
from losslang.syntax import tree
from losslang.syntax.formatter import spell


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
    is_zero = any(_zero_in_place(value, factor) for _, value, factor in parts)
    if linear is None:
        if tensor is None:
            return constant
        factor = Constant(constant.value, in_place=is_zero)
        whole = tensor if constant.value == 1 else Apply("*", (factor, tensor), node.span)
        return TensorValue(
            whole, node.span, *(("", None) if is_zero else _named(parts, constant.value, node))
        )
    if bent:
        return _bent(parts, constant.value, node)
    weighted = [
        replace(
            t, weight=_scaled(constant.value, t, spelled), dropped=t.dropped or (is_zero and _computes(t))
        )
        for t in linear.terms
    ]
    static, tensor = _by_kind(parts, node.span)
    if tensor is not None:
        refuse_weighed(linear, spelled)
        weighted = [_weigh(t, tensor) for t in weighted]
    if static is not None:
        weighted = [replace(t, factor=_times(t.factor, "*", static, t.span)) for t in weighted]
    return TermsValue(tuple(weighted), node.span)


def _named(
    parts: Sequence[tuple[str, Value, tree.Node]], constant: float, node: tree.Node
) -> tuple[str, tuple[float, Expression | None, Expression] | None]:
    """The name of a multiple of one bound tensor, and the multiple; '' for any other product."""
    static, _ = _by_kind(parts, node.span)
    moving = [(o, v) for o, v, _ in parts if isinstance(v, TensorValue) and not is_static(v.expression)]
    if len(moving) != 1 or moving[0][0] != "*" or not moving[0][1].label:
        return "", None
    ((_, bound),) = moving
    weight, factor, inside = bound.split
    if static is not None:
        factor = static if factor is None else _times(factor, "*", static, node.span)
    return bound.label, (weight * constant, factor, inside)


def _by_kind(
    parts: Sequence[tuple[str, Value, tree.Node]], span: Span
) -> tuple[Expression | None, Expression | None]:
    """The product of the factors that are one number whatever the call, and that of its tensors."""
    products: list[Expression | None] = [None, None]
    for operator, value, _ in parts:
        if isinstance(value, TensorValue):
            kind = 0 if is_static(value.expression) else 1
            products[kind] = _times(products[kind], operator, value.expression, span)
    return products[0], products[1]


def _zero_in_place(value: Value, factor: tree.Node) -> bool:
    """True for a factor that is 0 and is written with numbers alone; a bound number may be set from outside."""
    names = (node for node in tree.walk(factor) if isinstance(node, tree.Call) and not node.arguments)
    return isinstance(value, NumberValue) and value.value == 0 and next(names, None) is None


def _computes(term: Term) -> bool:
    """True for a term that a zero in place spares: no metric, which stays, and no number."""
    return not term.metric and not isinstance(term.body, Constant)


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
        case LossUse(operands=((_, Input(root="module")), *_)):
            return None  # a loss of the model's parameters: it is one number, whatever the call
        case LossUse():
            return replace(body, factor=_times(body.factor, "*", tensor, body.span))
        case Apply("+", (Constant(shift), Apply("*", (Constant(scale), LossUse() as use)))) if (
            _pushed(use, tensor) is not None
        ):
            # w (c + k f v) = w c + k (w f) v: the constant is reduced as the loss beside it is.
            constant = replace(use, scale=0.0, shift=shift, factor=tensor)
            weighed = replace(use, factor=_times(use.factor, "*", tensor, body.span))
            if use.factor is None and (use.scale, use.shift) == (1.0, 0.0):
                return replace(weighed, scale=scale, shift=shift)
            scaled = Apply("*", (Constant(scale), weighed), body.span)
            return Apply("+", (constant, scaled), body.span)
        case Apply("detach" | "each" | "matryoshka", (inner,)) if not is_contest(body):
            inside = _pushed(inner, tensor)
            return None if inside is None else replace(body, arguments=(inside,))
        case _:
            return None
