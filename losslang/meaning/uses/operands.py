"""Operand binding: the tensors of a use, by position behind `@`, by name, else `pred` and `target`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from losslang.diagnostics.mistakes import meaning as meaning_mistakes
from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.diagnostics.source import Span
from losslang.meaning.expression_tree import no_loss, node_of
from losslang.meaning.meaning import Apply, Constant, Expression, Input
from losslang.meaning.options import Evaluate, ReportedError
from losslang.meaning.terms import MistakeError, NumberValue, TensorValue, TermsValue
from losslang.primitives.primitive import Loss
from losslang.syntax import formatter, tree
from losslang.vocabulary import LAYERS

HERE = Span(0, 0)
PRED, TARGET = Input("pred"), Input("target", soft=True)
PARAMETERS = Input("module", (tree.Key("parameters"),))
"""The parameters of `compile(params=...)`, which the module holds."""


class Scope(NamedTuple):
    """What paths from `pred` and `target` lead to inside of a head, and the operands of `@(...)`.

    Operands are handed to losses, and leave paths alone.
    """

    pred: Input = PRED
    target: Input = TARGET
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
    """The expression of each operand of a loss; None where a mistake leaves one open."""
    try:
        _check_count(call, loss, scope)
        if loss.wants == "parameters":
            return (("pred", PARAMETERS),)
        bound = _bind(call, loss, written, scope, evaluate, problems)
        _check_not_activated_twice(call, loss, bound["pred"])
    except MistakeError as problem:
        problems.append(problem)
        return None
    except ReportedError:
        return None
    return tuple((operand.name, bound[operand.name]) for operand in loss.operands)


def _check_count(call: tree.Call, loss: Loss, scope: Scope) -> None:
    """Raises MistakeError for more tensors behind `@` than the loss has operands."""
    if len(scope.operands) > len(loss.operands):
        problem = f"is handed {len(scope.operands)} tensors"
        items = tuple(node_of(operand, no_loss) for operand in scope.operands[: len(loss.operands)])
        fix = formatter.spell(tree.Routed(body=call, route=tree.Operands(items=items)))  # type: ignore[arg-type]
        raise MistakeError(meaning_mistakes.wrong_operands(call.span, call.name, _listed(loss), problem, fix))
    if loss.wants == "parameters" and (scope.operands or scope.head):
        problem = "reads the parameters of the model, and no tensor"
        raise MistakeError(meaning_mistakes.wrong_operands(call.span, call.name, (), problem))


def _bind(
    call: tree.Call,
    loss: Loss,
    written: dict[str, tree.Option],
    scope: Scope,
    evaluate: Evaluate,
    problems: list[MistakeError],
) -> dict[str, Expression]:
    """The operands by name: those behind `@` in their order, then those that are written as options."""
    names = _listed(loss)
    bound: dict[str, Expression] = {"pred": scope.pred, "target": scope.target}
    bound.update(zip(names, scope.operands, strict=False))
    for name, option in written.items():
        if name in names[: len(scope.operands)]:
            problems.append(MistakeError(option_mistakes.given_twice(option.span, name, scope.span)))
        bound[name] = _tensor(option, loss, evaluate)
    missing = [name for name in names if name not in bound]
    if missing:
        problem = f"needs {' and '.join(f'`{m}`' for m in missing)}"
        fix = _with_missing(call, names, missing, scope)
        raise MistakeError(meaning_mistakes.wrong_operands(call.span, call.name, names, problem, fix))
    return bound


BESIDE = {"positive": "anchor", "logvar": "mu"}
"""By an operand: the key of the prediction that stands beside it."""


def _with_missing(call: tree.Call, names: Sequence[str], missing: Sequence[str], scope: Scope) -> str:
    """A use with the operands that it lacks: further ones by name; behind `@` where all are of the model."""
    if "target" in names and not scope.operands:
        options = tuple(
            tree.Option(
                name=name,
                value=tree.Path(root="const" if name in LAYERS else "batch", steps=(tree.Key(name),)),
            )
            for name in missing
        )
        return formatter.spell(call.model_copy(update={"options": (*call.options, *options)}))
    first = next((BESIDE[name] for name in names if name in BESIDE), "a")
    keys = [first if name == "pred" else name for name in names]
    given = [node_of(operand, no_loss) for operand in scope.operands]
    paths = [tree.Path(root="pred", steps=(*scope.pred.steps, tree.Key(key))) for key in keys]
    items = (*given, *paths[len(given) :])
    kept = tuple(option for option in call.options if option.name not in names)
    body = call.model_copy(update={"options": kept})
    return formatter.spell(tree.Routed(body=body, route=tree.Operands(items=items)))  # type: ignore[arg-type]


def _check_not_activated_twice(call: tree.Call, loss: Loss, prediction: Expression) -> None:
    """Raises MistakeError for `ce@(sigmoid(pred), target)`: the activation belongs into the call."""
    if not (loss.has_classes and isinstance(prediction, Apply)):
        return
    activation = prediction.operator
    if activation not in ("sigmoid", "softplus"):
        return
    if call.arguments and formatter.spell(call.arguments[0]) == "identity":
        return
    raise MistakeError(
        meaning_mistakes.wrong_view(
            prediction.span,
            call.name,
            call.name_span,
            "logits",
            activation,
            "probs",
            f"`{loss.name}({activation})` on the logits themselves",
        )
    )


def _listed(loss: Loss) -> Sequence[str]:
    return [operand.name for operand in loss.operands]


def _tensor(option: tree.Option, loss: Loss, evaluate: Evaluate) -> Expression:
    """The expression of an operand written as an option. Raises MistakeError for a loss."""
    match evaluate(option.value):
        case NumberValue() as constant:
            if option.name in loss.nonnegative and constant.value < 0:
                wanted = "a number of at least 0, or a path"
                shown = f"`{Constant(constant.value)}`"
                raise MistakeError(
                    option_mistakes.bad_value(option.value.span, loss.name, option.name, shown, wanted)
                )
            return Constant(constant.value, constant.span)
        case TensorValue() as tensor:
            return tensor.expression
        case TermsValue():
            raise MistakeError(
                option_mistakes.bad_value(option.value.span, loss.name, option.name, "a loss", "a tensor")
            )
        case None:
            raise ReportedError
