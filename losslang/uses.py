"""One use of a loss: `focal(sigmoid, gamma=2, mask=batch.valid)@seg` becomes a Reading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from losslang import formatter, tree
from losslang.meaning import Apply, Choice, Constant, Expression, Input, Reading
from losslang.mistakes import meaning as meaning_mistakes
from losslang.mistakes import names as name_mistakes
from losslang.mistakes import options as option_mistakes
from losslang.options import Broken, Evaluate, read, read_all
from losslang.primitive import Activation, Loss, NonNegative, Planned, Positive, Primitive, Reduction
from losslang.registry import Found, Registry
from losslang.terms import Num, Problem, Sums, Tens, Value
from losslang.text import Span

Report = Callable[[Problem], None]

BALANCED = ("balanced", "complement")
UNIVERSAL: dict[str, Any] = {
    "reduction": Any,
    "mask": Any,
    "ignore_index": int | None,
    "weight": Any,
    "class_weight": list[NonNegative] | Literal["balanced", "complement"],
    "pos_weight": NonNegative | list[NonNegative] | Literal["balanced"],
    "batch": bool,
    "background": bool,
    "avg_factor": Positive,
    "empty": Literal["formula", "zero", "one", "skip"],
}
"""The options that every loss has where its axes allow. The compiler applies them."""
TENSORS = ("mask", "weight", "class_weight", "pos_weight", "avg_factor")
PLANNED_OPTIONS = {"like": "the numbers of another library"}
TEMPERATURE = {"temperature": Positive}


@dataclass(frozen=True)
class Scope:
    """What `pred` and `target` stand for, and the operands that `@(...)` hands over."""

    pred: Expression = Input("pred")
    target: Expression = Input("target", soft=True)
    head: str = ""
    operands: tuple[Expression, ...] = ()
    span: Span = Span(0, 0)


def read_use(
    call: tree.Call, found: Found, scope: Scope, registry: Registry, evaluate: Evaluate, report: Report
) -> Reading | None:
    """The reading of a call of a loss; None if it is too broken to go on with."""
    loss = found.loss
    problems: list[Problem] = []
    own, universal, operands = _sorted(call, loss, problems)
    options, wrong = read_all(loss, own, evaluate)
    problems += wrong
    activation, origin = _activation(call, found, registry, evaluate, problems)
    said = _universal(universal, loss, registry, evaluate, problems)
    tensors = _operands(call, loss, operands, scope, evaluate, problems)
    for problem in problems:
        report(problem)
    if problems or tensors is None:
        return None
    reduction = said.pop("reduction", None)
    if reduction is None:
        weighted = "class_weight" in said and "class_weight" in loss.parameters
        reduction = Choice("wmean" if weighted and loss.reduction == "mean" else loss.reduction)
    if loss.ignore_index is not None:
        said.setdefault("ignore_index", loss.ignore_index)
    return Reading(
        loss=loss.name,
        operands=tensors,
        activation=activation,
        origin=origin,
        options=tuple((name, _frozen(value)) for name, value in options.items()),
        reduction=reduction,
        universal=tuple((name, _frozen(said[name])) for name in UNIVERSAL if said.get(name) is not None),
        name=f"{loss.name}@{scope.head}" if scope.head else loss.name,
        span=call.span,
        spans=tuple((o.name, o.value.span) for o in call.options),
    )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _sorted(
    call: tree.Call, loss: Loss, problems: list[Problem]
) -> tuple[list[tree.Option], dict[str, tree.Option], dict[str, tree.Option]]:
    """The written options: the loss's own, the universal ones, the operands."""
    own, universal, operands = list[tree.Option](), dict[str, tree.Option](), dict[str, tree.Option]()
    seen: dict[str, Span] = {}
    names = [operand.name for operand in loss.operands]
    for option in call.options:
        if option.name in seen:
            problems.append(Problem(option_mistakes.given_twice(option.span, option.name, seen[option.name])))
        seen[option.name] = option.span
        if option.name in loss.option_types:
            own.append(option)
        elif option.name in names:
            operands[option.name] = option
        elif option.name in UNIVERSAL:
            universal[option.name] = option
        elif option.name in PLANNED_OPTIONS:
            why = PLANNED_OPTIONS[option.name]
            problems.append(Problem(name_mistakes.not_built(option.span, option.name, why)))
        else:
            known = (*loss.option_types, *names, *UNIVERSAL)
            problems.append(
                Problem(option_mistakes.unknown_option(option.span, loss.name, option.name, known))
            )
    return own, universal, operands


# ------------------------------------------------------------------------------------ activation


def _activation(
    call: tree.Call, found: Found, registry: Registry, evaluate: Evaluate, problems: list[Problem]
) -> tuple[Choice | None, str]:
    """The activation that is written, carried by the alias, or the loss's default; and from where."""
    loss = found.loss
    default = Choice(loss.activation) if loss.activation else None
    if not call.arguments:
        if found.activation:
            return Choice(found.activation), "written"
        if default is None and not loss.inherits:
            return Choice("identity"), "default"
        return default, "default"
    if len(call.arguments) > 1 or not isinstance(call.arguments[0], tree.Call):
        problems.append(Problem(_not_an_activation(call)))
        return None, ""
    written = call.arguments[0]
    activation = registry.get(Activation, written.name)
    if activation is None:
        problems.append(Problem(_no_activation(written, registry)))
        return None, ""
    choice = _choice(activation, written, evaluate, problems)
    wrong = _fits(call, found, activation, choice, written.span)
    if wrong is not None:
        problems.append(wrong)
    return choice, "written"


def _not_an_activation(call: tree.Call):
    shown = ", ".join(map(formatter.spell, call.arguments))
    if all(isinstance(a, tree.Path) for a in call.arguments):
        fix = f"tensors stand behind `@`: `{call.name}@({shown})`"
    else:
        fix = f"write one activation, such as `{call.name}(sigmoid)`"
    return name_mistakes.wrong_kind(
        call.arguments[0].span, shown, "tensor or an expression", "one activation", fix
    )


def _no_activation(written: tree.Call, registry: Registry):
    kinds = registry.kinds_of(written.name)
    known = registry.names(Activation)
    if not kinds:
        return name_mistakes.unknown_name(written.span, written.name, "activation", known)
    fix = f"reductions are written `reduction={written.name}`" if "reduction" in kinds else ""
    fix = fix or f"an activation is one of {', '.join(f'`{name}`' for name in known)}"
    return name_mistakes.wrong_kind(written.span, written.name, kinds[0], "an activation", fix)


def _choice(primitive: Primitive, written: tree.Call, evaluate: Evaluate, problems: list[Problem]) -> Choice:
    """An activation or a reduction with its options; only those that differ from the defaults."""
    allowed = primitive
    values: dict[str, Any] = {}
    heated = isinstance(primitive, Activation) and primitive.takes == "logits"
    types = {**primitive.option_types, **(TEMPERATURE if heated else {})}
    for argument in written.arguments:
        wanted = "options by name" if types else "no arguments"
        problems.append(
            Problem(
                option_mistakes.wrong_count(argument.span, primitive.name, len(written.arguments), wanted)
            )
        )
    for option in written.options:
        if option.name not in types:
            problem = option_mistakes.unknown_option(option.span, allowed.name, option.name, tuple(types))
            problems.append(Problem(problem))
            continue
        try:
            values[option.name] = read(primitive.name, option, types[option.name], evaluate)
        except Problem as problem:
            problems.append(problem)
        except Broken:
            continue
    defaults = {**primitive.defaults, **({"temperature": 1.0} if heated else {})}
    merged = {**defaults, **values}
    kept = {n: v for n, v in merged.items() if isinstance(primitive, Reduction) or v != defaults.get(n)}
    return Choice(primitive.name, tuple((name, _frozen(value)) for name, value in kept.items()))


def _fits(
    call: tree.Call, found: Found, activation: Activation, choice: Choice, span: Span
) -> Problem | None:
    """The mistake of an activation that does not give what the loss reads."""
    loss, wants, gives = found.loss, found.loss.wants, activation.gives
    fix = f"`{loss.name}`"
    if found.activation:
        wants = "logits"
        fix = f"`{loss.name}({activation.name})`, which compiles to the same stable kernel"
        fits = False
    elif activation.name == "identity":
        fits = loss.activation is None or loss.wants != "logits"
    elif wants == "probs":
        fits = gives == "probs"
        fix = f"`{loss.name}(softmax)`" if gives == "log_probs" else f"`{loss.name}(sigmoid)`"
    elif wants == "log_probs":
        fits = gives == "log_probs"
        fix = "`ce(softmax)`, which is the same with a stable kernel"
    elif wants == "logits" and loss.activation:
        fits = choice == Choice(loss.activation)
        fix += ": it applies its softmax itself, at its own temperature"
    elif wants == "logits":
        fits = gives not in ("probs", "log_probs")
    else:
        fits = True
    if fits:
        return None
    wrong = meaning_mistakes.wrong_view(span, call.name, call.name_span, wants, activation.name, gives, fix)
    return Problem(wrong)


# ------------------------------------------------------------------------------------ universal


def _universal(
    written: dict[str, tree.Option],
    loss: Loss,
    registry: Registry,
    evaluate: Evaluate,
    problems: list[Problem],
) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name, option in written.items():
        why = _pointless(loss, name)
        try:
            if why:
                raise Problem(option_mistakes.does_not_apply(option.span, loss.name, name, why))
            if name == "reduction":
                said[name] = _reduction(option, registry, evaluate, problems)
            else:
                said[name] = _universal_value(option, loss, evaluate)
        except Problem as problem:
            problems.append(problem)
        except Broken:
            continue
    reduction = said.get("reduction")
    if "avg_factor" in said and reduction is not None and reduction.name != "mean":
        problems.append(
            Problem(
                option_mistakes.contradict(
                    written["avg_factor"].span,
                    f"reduction={reduction}",
                    "avg_factor",
                    "a factor is what the sum is divided by in place of the count",
                    "leave out `reduction`",
                )
            )
        )
    if said.get("ignore_index", 0) is None:
        # `none` turns a default off; it must not be filled in again.
        said["ignore_index"] = "none"
    return said


def _pointless(loss: Loss, name: str) -> str:
    """Why a universal option can do nothing for this loss, or ''."""
    labelled = "labels" in loss.parameters or "positive_truth" in loss.parameters
    by_class = loss.has_classes and (
        labelled or "c" in loss.result_axes or loss.result_axes in (("*shape",), ("*event",))
    )
    if name == "class_weight" and not by_class:
        return "its values are not told apart by class"
    if name == "pos_weight" and not {"pos_weight", "positive_truth"} & set(loss.parameters):
        return "it is not a loss of yes and no"
    if name == "ignore_index" and not (
        loss.has_classes and {"labels", "target", "positive_truth"} & set(loss.parameters)
    ):
        return "its target holds no classes"
    if name in ("batch", "background", "empty") and not (loss.has_total and loss.has_classes):
        return "it does not sum over a region"
    if name in ("weight", "reduction") and not loss.result_axes:
        return "it is one number already"
    return ""


def _universal_value(option: tree.Option, loss: Loss, evaluate: Evaluate) -> Any:
    node, name = option.value, option.name
    declared = UNIVERSAL[name]
    is_word = isinstance(node, tree.Call) and not node.arguments and not node.options
    if name in TENSORS and not isinstance(node, tree.Items | tree.Word | tree.Text):
        if not (is_word and isinstance(node, tree.Call) and node.name in BALANCED):
            value = evaluate(node)
            if value is None:
                raise Broken
            if isinstance(value, Tens):
                return value.expression
            if isinstance(value, Sums) or declared is Any:
                shown = "a loss" if isinstance(value, Sums) else f"`{formatter.spell(node)}`"
                raise Problem(
                    option_mistakes.bad_value(node.span, loss.name, name, shown, "a path, such as `batch.w`")
                )
    elif declared is Any:
        raise Problem(
            option_mistakes.bad_value(
                node.span, loss.name, name, f"`{formatter.spell(node)}`", "a path, such as `batch.w`"
            )
        )
    return read(loss.name, option, declared, evaluate)


def _reduction(
    option: tree.Option, registry: Registry, evaluate: Evaluate, problems: list[Problem]
) -> Choice:
    match option.value:
        case tree.Call() as written:
            pass
        case tree.Text(value=name, span=span):
            written = tree.Call(name=name, name_span=span, span=span)
        case tree.Word(value=None, span=span):
            written = tree.Call(name="none", name_span=span, span=span)
        case other:
            wanted = "the name of a reduction, such as `mean`"
            shown = f"`{formatter.spell(other)}`"
            raise Problem(option_mistakes.bad_value(other.span, "a loss", "reduction", shown, wanted))
    found = registry.get(Reduction, written.name)
    if found is not None:
        return _choice(found, written, evaluate, problems)
    planned = registry.get(Planned, f"reduction:{written.name}")
    if planned is not None:
        raise Problem(name_mistakes.not_built(written.span, written.name, planned.summary))
    known = registry.names(Reduction)
    raise Problem(name_mistakes.unknown_name(written.span, written.name, "reduction", known))


# ------------------------------------------------------------------------------------ operands


def _operands(
    call: tree.Call,
    loss: Loss,
    written: dict[str, tree.Option],
    scope: Scope,
    evaluate: Evaluate,
    problems: list[Problem],
) -> tuple[tuple[str, Expression], ...] | None:
    names = [operand.name for operand in loss.operands]
    if len(scope.operands) > len(names):
        problem = f"is handed {len(scope.operands)} tensors"
        problems.append(
            Problem(meaning_mistakes.wrong_operands(call.span, call.name, _listed(loss), problem))
        )
        return None
    given: dict[str, Expression] = {"pred": scope.pred, "target": scope.target}
    given.update(zip(names, scope.operands, strict=False))
    for name, option in written.items():
        if name in names[: len(scope.operands)]:
            problems.append(Problem(option_mistakes.given_twice(option.span, name, scope.span)))
        value = evaluate(option.value)
        if value is None:
            return None
        expression = _tensor(value)
        if expression is None:
            problems.append(
                Problem(option_mistakes.bad_value(option.value.span, loss.name, name, "a loss", "a tensor"))
            )
            return None
        given[name] = expression
    missing = [name for name in names if name not in given]
    if missing:
        problem = f"needs {' and '.join(f'`{m}`' for m in missing)}"
        problems.append(
            Problem(meaning_mistakes.wrong_operands(call.span, call.name, _listed(loss), problem))
        )
        return None
    prediction = given["pred"]
    if loss.has_classes and isinstance(prediction, Apply) and prediction.operator in ("sigmoid", "softplus"):
        if not (call.arguments and formatter.spell(call.arguments[0]) == "identity"):
            problems.append(
                Problem(
                    meaning_mistakes.wrong_view(
                        prediction.span,
                        call.name,
                        call.name_span,
                        "logits",
                        prediction.operator,
                        "probs",
                        f"`{loss.name}({prediction.operator})` on the logits themselves",
                    )  # fmt: skip
                )
            )
    return tuple((name, given[name]) for name in names)


def _listed(loss: Loss) -> Sequence[str]:
    return [operand.name for operand in loss.operands]


def _tensor(value: Value) -> Expression | None:
    match value:
        case Num():
            return Constant(value.value, value.span)
        case Tens():
            return value.expression
        case Sums():
            return None
