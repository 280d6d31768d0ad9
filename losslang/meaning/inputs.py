"""The paths in an expression, all of them changed at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from losslang.meaning.meaning import Apply, Choice, Expression, Input, LossUse

Options = tuple[tuple[str, Any], ...]


def with_inputs(expression: Expression, change: Callable[[Input], Input]) -> Expression:
    """`expression` with every path replaced by `change(path)`, those of operands and options too."""
    match expression:
        case Input():
            return change(expression)
        case Apply(arguments=arguments):
            return replace(expression, arguments=tuple(with_inputs(a, change) for a in arguments))
        case LossUse():
            return _of_use(expression, change)
        case _:
            return expression


def _of_use(use: LossUse, change: Callable[[Input], Input]) -> LossUse:
    def changed(options: Options) -> Options:
        return tuple((name, _of_value(value, change)) for name, value in options)

    def choice(chosen: Choice) -> Choice:
        return replace(chosen, options=changed(chosen.options))

    return replace(
        use,
        operands=cast("tuple[tuple[str, Expression], ...]", changed(use.operands)),
        activation=None if use.activation is None else choice(use.activation),
        options=changed(use.options),
        reduction=choice(use.reduction),
        universal=changed(use.universal),
        factor=None if use.factor is None else with_inputs(use.factor, change),
    )


def _of_value(value: Any, change: Callable[[Input], Input]) -> Any:
    return with_inputs(value, change) if isinstance(value, (Input, Apply)) else value


def core(body: Expression) -> Expression:
    """The body of an `each` or a `matryoshka`; any other expression is its own."""
    match body:
        case Apply("each" | "matryoshka", (inner,)):
            return inner
        case _:
            return body
