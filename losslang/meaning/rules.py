"""Rules about a whole program: unused names, nothing to learn, metrics as losses, presets not compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import automatic, beside
from losslang.diagnostics.mistakes import meaning as mistakes
from losslang.diagnostics.mistakes import names as name_mistakes
from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.diagnostics.mistakes import presets as preset_mistakes
from losslang.diagnostics.source import Span
from losslang.meaning.inputs import core
from losslang.meaning.masks_as_factors import masks_as_factors
from losslang.meaning.meaning import (
    Apply,
    Expression,
    Input,
    LossUse,
    Term,
    below,
    is_found,
    is_static,
    loss_of,
    loss_uses,
    show,
)
from losslang.meaning.use_tree import node_of_use
from losslang.meaning.uses.universal import of_classes
from losslang.primitives.libraries import LIBRARIES
from losslang.primitives.presets import MEANS, Preset
from losslang.primitives.primitive import Activation, Loss
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import spell


def given_twice(program: tree.Program) -> list[Diagnostic]:
    """The mistakes of options that a call has twice, whatever it is that is called."""
    found: list[Diagnostic] = []
    for call in (node for node in tree.walk(program) if isinstance(node, tree.Call)):
        first: dict[str, Span] = {}
        for option in call.options:
            if option.name in first:
                found.append(option_mistakes.given_twice(option.span, option.name, first[option.name]))
            first.setdefault(option.name, option.span)
    return found


def unused(program: tree.Program) -> list[Diagnostic]:
    """The warnings about bound names that the result does not use."""
    used = _names(program.result)
    while more := {n for b in program.bindings if b.name in used for n in _names(b.value)} - used:
        used |= more
    unread = [binding for binding in program.bindings if binding.name not in used]
    return [name_mistakes.unused(binding.name_span, binding.name) for binding in unread]


def of_the_whole(terms: Sequence[Term], span: Span, registry: Registry) -> list[Diagnostic]:
    """The mistakes that only the terms of a program together show."""
    diagnostics: list[Diagnostic] = []
    if not any(_learns(term.body) for term in terms):
        detached = any(not is_static(term.body) for term in terms)
        diagnostics.append(mistakes.nothing_to_learn(span, "detached" if detached else "a number"))
    elif not any(_learns(term.body) for term in terms if not term.metric):
        diagnostics.append(mistakes.nothing_to_learn(span, "made of metrics alone"))
    elif not any(term.weight and _learns(term.body) for term in terms if not term.metric):
        diagnostics.append(mistakes.nothing_to_learn(span, "multiplied by 0"))
    diagnostics += masks_as_factors(terms, registry)
    diagnostics += [wrong for term in terms for wrong in _weighs_nothing(term)]
    for term in terms:
        for use in loss_uses(term):
            loss = loss_of(use, registry)
            if loss.metric_only and not term.metric:
                diagnostics.append(mistakes.only_a_metric(use.span, use.loss))
            diagnostics += _yes_or_no(use, registry)
            diagnostics += _without_background(use, registry)
            diagnostics += _not_compared(use, registry)
            diagnostics += _without_effect(use, loss)
            diagnostics += [] if term.metric else _ranked(use, loss)
            if loss.index and core(term.body) is use and term.weight * use.scale > 0 and not term.metric:
                fix = f"1 - {loss.name}" if loss.range is not None else f"-{loss.name}"
                diagnostics.append(mistakes.index_as_loss(use.span, use.loss, fix))
            alone = len(terms) == 1 and term.body is use
            if use.reduction.name == "none" and not alone:
                diagnostics.append(mistakes.not_reduced(use.span, use.loss))
        parts = [p for e in (term.body, term.factor) if e is not None for p in below(e)]
        diagnostics += [mistakes.reserved_input(p.span, "norm") for p in parts if _is_norm(p)]
    return diagnostics


def _weighs_nothing(term: Term) -> list[Diagnostic]:
    """The mistakes of `gradmatch` where it multiplies no term: alone, and inside of a use of a loss."""
    wholes = [term.body] if is_static(term.body) else list(loss_uses(term))
    found = [part for whole in wholes for part in below(whole) if is_found(part)]
    return [automatic.weighs_nothing(part.span, part.operator) for part in found]


def _names(node: tree.Node) -> set[str]:
    """The names that are called in a tree."""
    return {inner.name for inner in tree.walk(node) if isinstance(inner, tree.Call)}


def _learns(expression: Expression) -> bool:
    """True if a gradient can flow from an expression into a tensor of the call."""
    match expression:
        case Apply("detach"):
            return False
        case Apply(arguments=arguments):
            return any(map(_learns, arguments))
        case _:
            return isinstance(expression, (Input, LossUse)) and not is_static(expression)


def _yes_or_no(use: LossUse, registry: Registry) -> list[Diagnostic]:
    """The mistake of `pos_weight` beside an activation over classes, which has no one positive."""
    activation = use.activation and registry.get(Activation, use.activation.name)
    if use.get("pos_weight") is None or not activation or activation.over != "class":
        return []
    why = f"`{activation.name}` tells classes apart, and `class_weight` weighs them"
    span = use.span_of("pos_weight")
    weight = use.get("pos_weight")
    fix = of_classes(show(weight), isinstance(weight, (int, float)))
    return [option_mistakes.does_not_apply(span, use.loss, "pos_weight", why, fix)]


def _without_effect(use: LossUse, loss: Loss) -> list[Diagnostic]:
    """The mistakes of options that do nothing beside another one. Their defaults may be written, as locks do."""
    given, found = dict(use.options), list[Diagnostic]()
    for name, (other, value) in loss.needs.items():
        if given[name] != loss.defaults[name] and given[other] != value:
            needed, why = f"{other}={show(value)}", f"it has no effect beside `{other}={show(given[other])}`"
            fix = f"remove `{name}`, or write `{needed}`"
            found.append(option_mistakes.does_not_apply(use.span_of(name), use.loss, name, why, fix))
    return found


def _ranked(use: LossUse, loss: Loss) -> list[Diagnostic]:
    """The mistake of a reduction to the hardest values, of an index whose largest values are the best."""
    if not loss.index or use.reduction.name not in ("topk", "ohem"):
        return []
    meant = "`dssim`, which is (1 - ssim) / 2, ranks the other way" if use.loss == "ssim" else ""
    fix = meant or "write `reduction=mean`"
    return [option_mistakes.best_ranked(use.span_of("reduction"), use.loss, use.reduction.name, fix)]


def _without_background(use: LossUse, registry: Registry) -> list[Diagnostic]:
    """The warning of a region loss without its background that takes the label 0 to ignore from another term."""
    origin, label = dict(use.taken).get("ignore_index"), use.get("ignore_index")
    if (
        origin is None
        or use.get("background") is not False
        or 0 not in (label if isinstance(label, tuple) else (label,))
    ):
        return []
    meant = replace(use.with_option("ignore_index", "none", ""), factor=None, scale=1.0, shift=0.0)
    return [beside.background_ignored(use.span, use.name, origin, spell(node_of_use(meant, registry)))]


def _not_compared(use: LossUse, registry: Registry) -> list[Diagnostic]:
    """The mistakes of a use with `like=` whose preset was not compared with what stands beside it."""
    if use.like is None:
        return []
    loss, library = loss_of(use, registry), LIBRARIES[use.like.library]
    preset = loss.like[use.like.library]
    activation = use.activation.name if use.activation else ""
    beside = _beside(use, loss, preset)
    diagnostics: list[Diagnostic] = []
    if why := preset.refuses.get(activation) or preset.not_after(activation, loss.has_classes):
        span = use.like.span
        diagnostics.append(
            preset_mistakes.activation_not_compared(span, loss.name, activation, library, why, preset.options)
        )
    for key, why in preset.refuses.items():
        named = [word for word in key.split() if word != activation]
        if named and all(word in beside for word in named):
            diagnostics.append(
                preset_mistakes.option_not_compared(
                    beside[named[0]],
                    loss.name,
                    " and ".join(f"`{word}`" for word in named),
                    library,
                    why,
                    preset_mistakes.without_like(preset.options),
                )
            )
    if why := _another_mean(use, loss, preset):
        span, fix = use.span_of("reduction"), "leave out `reduction`: `like` has the library's own"
        stated = "`reduction=mean`"
        diagnostics.append(preset_mistakes.option_not_compared(span, loss.name, stated, library, why, fix))
    return diagnostics


def _another_mean(use: LossUse, loss: Loss, preset: Preset) -> str:
    """The reason why `mean` is not the mean of the library; '' if it is, or where no mean is asked for."""
    if use.reduction.name != "mean" or use.get("avg_factor") is not None:
        return ""
    by_label = use.get("class_weight") is not None
    library_mean = preset.reduction or loss.reduction
    if library_mean == "mean" and by_label and "class_weight" in loss.parameters:
        library_mean = "wmean"
    all_count = use.get("mask") is None and use.get("ignore_index") in (None, "none")
    all_alike = not by_label and use.get("weight") is None
    same = {"mean": True, "mean_all": all_count, "wmean": all_alike, "wmean_all": all_count and all_alike}
    return "" if same.get(library_mean, False) else MEANS.get(library_mean, f"its mean is `{library_mean}`")


def _beside(use: LossUse, loss: Loss, preset: Preset) -> dict[str, Span]:
    """The options that differ from the preset, as `name` and as `name=value`, with their spans.

    They are written, set by an override, or taken from another term.
    """
    usual = {**loss.defaults, "ignore_index": loss.ignore_index, "reduction": loss.reduction}
    options = dict([*use.options, *use.universal, ("reduction", use.reduction.name)])
    different: dict[str, Span] = {}
    for name, value in options.items():
        stated = f"{name}={show(value)}"
        if not preset.gives(stated) and (preset.sets(name) or value != usual.get(name)):
            different |= dict.fromkeys((name, stated), use.span_of(name))
    return different


def _is_norm(expression: Expression) -> bool:
    """True for `batch.norm`, which the language reserves."""
    return (
        isinstance(expression, Input)
        and expression.root == "batch"
        and expression.steps[:1] == (tree.Key("norm"),)
    )
