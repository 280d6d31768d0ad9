"""Universal options: those that every loss has where its axes allow. The compiler applies them."""

from __future__ import annotations

import re
from typing import Any, cast

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.elsewhere import nearest
from losslang.diagnostics.elsewhere.options import REDUCTIONS
from losslang.diagnostics.mistakes import names as name_mistakes
from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.meaning.meaning import Choice
from losslang.meaning.options import Evaluate, ReportedError, frozen, read
from losslang.meaning.terms import MistakeError, TensorValue, TermsValue
from losslang.meaning.uses.activation import read_choice
from losslang.primitives.primitive import Loss, Reduction
from losslang.registry import Registry
from losslang.syntax import formatter, tree
from losslang.vocabulary import UNIVERSAL, UNIVERSAL_TYPES

PLAIN_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
BALANCED = ("balanced", "complement")
_COUNTED = {"labels", "target", "signs", "positive_truth", "p_true"}
"""The target parameters that hold the class of each element or pixel."""
PATHS = {"class_weight": "const.w", "pos_weight": "const.w", "avg_factor": "batch.n"}
"""Options that are numbers, lists or paths, with the path that each is usually given."""
TENSORS = ("mask", "weight", "class_weight", "pos_weight", "avg_factor")


def read_universal(
    written: dict[str, tree.Option],
    loss: Loss,
    registry: Registry,
    evaluate: Evaluate,
    problems: list[MistakeError],
) -> dict[str, Any]:
    """The universal options of a use that are written, checked against what its loss can do with them."""
    values: dict[str, Any] = {}
    for name, option in written.items():
        why = pointless(loss, name)
        try:
            if why:
                fix = in_its_place(option, loss)
                raise MistakeError(option_mistakes.does_not_apply(option.span, loss.name, name, why, fix))
            if name == "reduction":
                values[name] = _reduction(option, registry, evaluate, problems)
                _check_has_truth(option, values[name], loss, registry)
            else:
                values[name] = _universal_value(option, loss, evaluate)
                if name in ("class_weight", "pos_weight"):
                    _check_has_classes(option, loss, values[name])
        except MistakeError as problem:
            problems.append(problem)
        except ReportedError:
            continue
    reduction = values.get("reduction")
    if "avg_factor" in values and reduction is not None and reduction.name != "mean":
        problems.append(_two_denominators(written["avg_factor"], reduction))
    if isinstance(labels := values.get("ignore_index"), list):
        distinct = sorted(set(cast("list[int]", labels)))
        values["ignore_index"] = distinct if len(distinct) > 1 else distinct[0]
    if values.get("ignore_index", 0) is None:
        # `none` turns a default off; it must not be filled in again.
        values["ignore_index"] = "none"
    return values


def check_channels(call: tree.Call, problems: list[MistakeError]) -> None:
    """Enters the mistakes of a list of `classes`: a channel twice, and `background` beside it."""
    written = {option.name: option for option in call.options}
    listed = written.get("classes")
    if listed is None or not isinstance(listed.value, tree.Items):
        return
    shown = [formatter.spell(item) for item in listed.value.items]
    if len(set(shown)) < len(shown):
        text, wanted = f"`{formatter.spell(listed.value)}`", "a list of different channels"
        wrong = option_mistakes.bad_value(listed.value.span, call.name, "classes", text, wanted)
        problems.append(MistakeError(wrong))
    if (beside := written.get("background")) is not None:
        said, why = f"background={formatter.spell(beside.value)}", "both say which channels count"
        clash = option_mistakes.contradict(listed.span, said, "classes", why, "leave out `background`")
        problems.append(MistakeError(clash))


def _two_denominators(option: tree.Option, reduction: Choice) -> MistakeError:
    """The mistake of an `avg_factor` beside a reduction that does not divide by a count."""
    return MistakeError(
        option_mistakes.contradict(
            option.span,
            f"reduction={reduction}",
            "avg_factor",
            "a factor is what the sum is divided by in place of the count",
            "leave out `reduction`: divided by its factor it is a sum"
            if reduction.name in ("sum", "batchmean", "none", "mean_all")
            else f"leave out `avg_factor`: `{reduction.name}` divides by what it takes",
        )
    )


def in_order(values: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Universal options as a LossUse holds them: hashable, in the order of UNIVERSAL, without those unset."""
    return tuple((name, frozen(values[name])) for name in UNIVERSAL if values.get(name) is not None)


def _check_has_truth(option: tree.Option, chosen: Choice, loss: Loss, registry: Registry) -> None:
    """Raises MistakeError for a reduction over positives and negatives of a loss that has neither."""
    reduction = registry.get(Reduction, chosen.name)
    by_element = {"target", "signs"} & set(loss.parameters) and loss.result_axes == ("*shape",)
    has_truth = loss.has_classes and (by_element or {"labels", "positive_truth"} & set(loss.parameters))
    if reduction is not None and reduction.reads_truth and not has_truth:
        why = f"`{chosen.name}` tells positives from the background, and it has neither"
        raise MistakeError(option_mistakes.does_not_apply(option.span, loss.name, "reduction", why))


def takes(loss: Loss, name: str) -> bool:
    """True if a loss takes an option: its own, an operand, or a universal one that has an effect on it."""
    if name in loss.option_types or name in (operand.name for operand in loss.operands):
        return True
    return name in UNIVERSAL and not pointless(loss, name)


def is_by_class(loss: Loss) -> bool:
    """True if the values of a loss are told apart by class: by channel, or by the label of each place."""
    labelled = "labels" in loss.parameters or "positive_truth" in loss.parameters
    return loss.has_classes and (
        labelled or "c" in loss.result_axes or loss.result_axes in (("*shape",), ("*event",))
    )


def pointless(loss: Loss, name: str) -> str:
    """The reason why a universal option can do nothing for this loss; '' where it can."""
    if loss.wants == "parameters":
        return "it reads no tensor of the call"
    if name == "class_weight" and not is_by_class(loss):
        return "its values are not told apart by class"
    if name == "pos_weight" and not {"pos_weight", "positive_truth"} & set(loss.parameters):
        return "it is not a loss of yes and no"
    if name == "ignore_index" and not loss.reads_classes:
        return "its target holds no classes"
    if name in ("batch", "background", "classes", "empty") and not loss.is_region:
        return "it does not sum over a region"
    if name == "batch" and not (loss.has_total or loss.is_flat):
        return "its regions have a form, and samples cannot be put together"
    if name == "empty" and "c" not in loss.result_axes:
        return "its values are not told apart by class"
    if name in ("weight", "reduction") and not loss.result_axes:
        return "it is one number already"
    return ""


def in_its_place(option: tree.Option, loss: Loss) -> str:
    """The repair of a universal option that can do nothing for this loss; '' where it is left out."""
    spelled = formatter.spell(option.value)
    if option.name == "ignore_index" and spelled != "none" and loss.wants != "parameters":
        return "what does not count is told by a mask, True where it counts: `mask=batch.valid`"
    if (
        option.name == "class_weight"
        and loss.result_axes == ("*shape",)
        and not isinstance(option.value, tree.Call)
    ):
        given = spelled if isinstance(option.value, tree.Path) else "const.w"
        return f"a weight for each channel is `weight={given}`, a tensor (C,) of `compile(const=...)`"
    if option.name in ("background", "classes") and spelled != "true" and takes(loss, "class_weight"):
        return "classes are left out by a weight of 0, here of 3 without channel 0: `class_weight=[0, 1, 1]`"
    if option.name == "pos_weight" and is_by_class(loss):
        return of_classes(spelled, isinstance(option.value, tree.Number))
    return ""


def of_classes(weight: str, is_number: bool) -> str:
    """The weights of classes that are written in the place of a weight of what is positive."""
    if is_number:
        return (
            f"weights of classes are `class_weight=[1, {weight}]`, here of two: class 1 is what is positive"
        )
    return f"weights of classes are `class_weight={weight}`"


def _check_has_classes(option: tree.Option, loss: Loss, value: Any) -> None:
    """Raises MistakeError for `balanced` weights of a loss whose target holds no classes to count."""
    if isinstance(value, str) and not _COUNTED & set(loss.parameters):
        why = "its target holds no classes to count"
        raise MistakeError(
            option_mistakes.does_not_apply(option.span, loss.name, f"{option.name}={value}", why)
        )


def _universal_value(option: tree.Option, loss: Loss, evaluate: Evaluate) -> Any:
    """The value of a universal option: a tensor expression, or what its declared type allows."""
    node, name = option.value, option.name
    declared = UNIVERSAL_TYPES[name]
    is_word = isinstance(node, tree.Call) and not node.arguments and not node.options
    if name in TENSORS and not isinstance(node, (tree.Items, tree.Word, tree.Text)):
        if not (is_word and isinstance(node, tree.Call) and node.name in BALANCED):
            value = evaluate(node)
            if value is None:
                raise ReportedError
            if isinstance(value, TensorValue):
                return value.expression
            if isinstance(value, TermsValue) or declared is Any:
                shown = "a loss" if isinstance(value, TermsValue) else f"`{formatter.spell(node)}`"
                raise MistakeError(_no_path(option, loss, shown))
    elif declared is Any:
        raise MistakeError(_no_path(option, loss, f"`{formatter.spell(node)}`"))
    return read(loss.name, option, declared, evaluate, PATHS.get(name, ""))


def _no_path(option: tree.Option, loss: Loss, shown: str) -> Diagnostic:
    """The mistake of an option that is read from the call: a number is a factor, a list weighs classes."""
    spelled, fix = formatter.spell(option.value), ""
    if option.name == "weight" and isinstance(option.value, (tree.Number, tree.Product, tree.Power)):
        fix = f"a factor stands before the loss: `{spelled}*{loss.name}`"
    elif option.name == "weight" and isinstance(option.value, tree.Items) and takes(loss, "class_weight"):
        fix = f"weights of classes are `class_weight={spelled}`"
    if isinstance(option.value, tree.Text) and PLAIN_PATH.fullmatch(option.value.value):
        path = option.value.value
        root = "" if path.partition(".")[0] in tree.ROOTS else "batch."
        fix = f"a path has no quotes: `{option.name}={root}{path}`"
    wanted = f"a path, such as `batch.{'valid' if option.name == 'mask' else 'w'}`"
    return option_mistakes.bad_value(option.value.span, loss.name, option.name, shown, wanted, fix)


def _reduction(
    option: tree.Option, registry: Registry, evaluate: Evaluate, problems: list[MistakeError]
) -> Choice:
    """The reduction that `reduction=` names, with its options."""
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
            raise MistakeError(option_mistakes.bad_value(other.span, "a loss", "reduction", shown, wanted))
    reduction = registry.get(Reduction, written.name)
    if reduction is not None:
        return read_choice(reduction, written, evaluate, problems)
    known = registry.names(Reduction)
    fix = f"here it is `reduction={REDUCTIONS[written.name]}`" if written.name in REDUCTIONS else ""
    if not fix and not nearest(written.name, known):
        fix = f"a reduction is one of {', '.join(f'`{name}`' for name in known)}"
    raise MistakeError(name_mistakes.unknown_name(written.span, written.name, "reduction", known, fix))
