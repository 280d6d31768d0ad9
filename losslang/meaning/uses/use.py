"""Call resolution: a call of a loss becomes a LossUse, its options sorted, its operands bound."""

from __future__ import annotations

from collections.abc import Callable

from losslang.meaning.keys import at_head
from losslang.meaning.meaning import Choice, LossUse
from losslang.meaning.options import Evaluate, frozen, read_all
from losslang.meaning.terms import MistakeError
from losslang.meaning.uses.activation import read_activation
from losslang.meaning.uses.foreign_option import unknown_option
from losslang.meaning.uses.operands import Scope, read_operands
from losslang.meaning.uses.paths import parts_of_tensors
from losslang.meaning.uses.preset import with_preset
from losslang.meaning.uses.universal import check_channels, in_order, read_universal
from losslang.primitives.primitive import Loss
from losslang.registry import NamedLoss, Registry
from losslang.syntax import tree
from losslang.vocabulary import UNIVERSAL

Report = Callable[[MistakeError], None]


def read_use(
    call: tree.Call, named: NamedLoss, scope: Scope, registry: Registry, evaluate: Evaluate, report: Report
) -> LossUse | None:
    """The LossUse of a call of a loss; None after a mistake, which is reported."""
    loss = named.loss
    problems: list[MistakeError] = []
    likeness = None
    try:
        call, likeness = with_preset(call, named)
    except MistakeError as problem:
        problems.append(problem)
    check_channels(call, problems)
    of_loss, universal, operands = _sorted(call, loss, registry, problems)
    options, wrong = read_all(loss, of_loss, evaluate)
    problems += wrong
    activation, origin = read_activation(call, named, registry, evaluate, problems)
    universal_values = read_universal(universal, loss, registry, evaluate, problems)
    tensors = read_operands(call, loss, operands, scope, evaluate, problems)
    problems += parts_of_tensors(call, loss, scope, tensors or (), {**options, **universal_values})
    for problem in problems:
        report(problem)
    if problems or tensors is None:
        return None
    reduction = universal_values.pop("reduction", None)
    if reduction is None:
        weighted = "class_weight" in universal_values and "class_weight" in loss.parameters
        reduction = Choice("wmean" if weighted and loss.reduction == "mean" else loss.reduction)
    if loss.ignore_index is not None:
        universal_values.setdefault("ignore_index", loss.ignore_index)
    return LossUse(
        loss=loss.name,
        operands=tensors,
        activation=activation,
        origin=origin,
        options=tuple((name, frozen(value)) for name, value in options.items()),
        reduction=reduction,
        universal=in_order(universal_values),
        version=loss.version,
        name=at_head(loss.name, scope.head),
        span=call.span,
        spans=tuple((o.name, o.value.span) for o in call.options),
        like=likeness,
    )


def _sorted(
    call: tree.Call, loss: Loss, registry: Registry, problems: list[MistakeError]
) -> tuple[list[tree.Option], dict[str, tree.Option], dict[str, tree.Option]]:
    """The written options in three groups: those of the loss, the universal ones, the operands by name."""
    of_loss, universal, operands = list[tree.Option](), dict[str, tree.Option](), dict[str, tree.Option]()
    names = [operand.name for operand in loss.operands]
    for option in call.options:
        if option.name in loss.option_types:
            of_loss.append(option)
        elif option.name in names:
            operands[option.name] = option
        elif option.name in UNIVERSAL:
            if option.name != "like":  # what stands for it has been put in its place
                universal[option.name] = option
        else:
            problems.append(MistakeError(unknown_option(call, option, loss, registry)))
    return of_loss, universal, operands
