"""The tensors of a use: by position behind `@`, by name, or what `pred` and `target` stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from losslang.diagnostics.mistakes import meaning as meaning_mistakes
from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.diagnostics.source import Span
from losslang.meaning.meaning import Apply, Constant, Expression, Input
from losslang.meaning.options import Evaluate
from losslang.meaning.terms import MistakeError, NumberValue, TensorValue, TermsValue, Value
from losslang.primitives.primitive import Loss
from losslang.syntax import formatter, tree

HERE = Span(0, 0)
PRED, TARGET = Input("pred"), Input("target", soft=True)
PARAMETERS = Input("module", (tree.Key("parameters"),))
"""What `compile(params=...)` was given: the module holds it."""


@dataclass(frozen=True)
class Scope:
    """What `pred` and `target` stand for, and the operands that `@(...)` hands over."""

    pred: Expression = PRED
    target: Expression = TARGET
    head: str = ""
    operands: tuple[Expression, ...] = ()
    span: Span = HERE


def read_operands(
    call: tree.Call,
    loss: Loss,
    written: dict[str, tree.Option],
    scope: Scope,
    evaluate: Evaluate,
    problems: list[MistakeError],
) -> tuple[tuple[str, Expression], ...] | None:
    names = [operand.name for operand in loss.operands]
    if len(scope.operands) > len(names):
        problem = f"is handed {len(scope.operands)} tensors"
        problems.append(
            MistakeError(meaning_mistakes.wrong_operands(call.span, call.name, _listed(loss), problem))
        )
        return None
    if loss.wants == "parameters":
        if scope.operands or scope.head:
            problem = "reads the parameters of the model, and no tensor"
            problems.append(MistakeError(meaning_mistakes.wrong_operands(call.span, call.name, (), problem)))
            return None
        return (("pred", PARAMETERS),)
    given: dict[str, Expression] = {"pred": scope.pred, "target": scope.target}
    given.update(zip(names, scope.operands, strict=False))
    for name, option in written.items():
        if name in names[: len(scope.operands)]:
            problems.append(MistakeError(option_mistakes.given_twice(option.span, name, scope.span)))
        value = evaluate(option.value)
        if value is None:
            return None
        expression = _tensor(value)
        if expression is None:
            problems.append(
                MistakeError(
                    option_mistakes.bad_value(option.value.span, loss.name, name, "a loss", "a tensor")
                )
            )
            return None
        given[name] = expression
    missing = [name for name in names if name not in given]
    if missing:
        problem = f"needs {' and '.join(f'`{m}`' for m in missing)}"
        problems.append(
            MistakeError(meaning_mistakes.wrong_operands(call.span, call.name, _listed(loss), problem))
        )
        return None
    prediction = given["pred"]
    if loss.has_classes and isinstance(prediction, Apply) and prediction.operator in ("sigmoid", "softplus"):
        if not (call.arguments and formatter.spell(call.arguments[0]) == "identity"):
            problems.append(
                MistakeError(
                    meaning_mistakes.wrong_view(
                        prediction.span,
                        call.name,
                        call.name_span,
                        "logits",
                        prediction.operator,
                        "probs",
                        f"`{loss.name}({prediction.operator})` on the logits themselves",
                    )
                )
            )
    return tuple((name, given[name]) for name in names)


def _listed(loss: Loss) -> Sequence[str]:
    return [operand.name for operand in loss.operands]


def _tensor(value: Value) -> Expression | None:
    match value:
        case NumberValue():
            return Constant(value.value, value.span)
        case TensorValue():
            return value.expression
        case TermsValue():
            return None
