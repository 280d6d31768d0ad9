"""One use of a loss in words: what it reads, where each option is from, how its values lie and are reduced."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from losslang.diagnostics.source import Source
from losslang.meaning.expression_tree import node_of
from losslang.meaning.layout import lies
from losslang.meaning.likeness import Likeness
from losslang.meaning.meaning import (
    Apply,
    Expression,
    Input,
    LossUse,
    loss_of,
    show,
)
from losslang.primitives.libraries import LIBRARIES
from losslang.primitives.presets import Preset
from losslang.primitives.primitive import Activation, Loss
from losslang.primitives.primitive import Reduction as ReductionPrimitive
from losslang.registry import current_registry
from losslang.syntax import formatter, tree
from losslang.vocabulary import IN_WORDS

Row = tuple[str, str]


def use_rows(use: LossUse, source: Source) -> Iterator[Row]:
    """One use of a loss, from its formula to its reduction."""
    loss = loss_of(use, current_registry())
    written = {name for name, _ in use.spans}
    yield "formula", loss.summary.rstrip(".")
    if loss.wants == "parameters":
        yield "reads", IN_WORDS["parameters"]
    else:
        yield "reads", _operands(use)
        yield "activation", _activation(use, loss, source)
        if _is_over_classes(use) and use.get("channels") is None:
            yield "classes", "axis 1 (default); `channels=last` where they are the last axis"
    options = [_option(name, value, loss, written) for name, value in use.options]
    universal = [_universal(name, value, loss, use) for name, value in use.universal]
    for label, listed in (("options", options), ("universal", universal)):
        yield from zip([label, *[""] * len(listed)], columns(listed), strict=False)
    laid = lies(use, loss)
    yield from zip(["lies", *[""] * len(laid)], laid, strict=False)
    yield "reduction", _reduction(use, loss, written)
    yield from _elements(use)
    if use.like is not None:
        yield "like", _likeness(use.like, use, loss)


def _operands(use: LossUse) -> str:
    """The operands in words: `pred against target`, or each by its name."""
    spelled = [_operand(value) for _, value in use.operands]
    names = [name for name, _ in use.operands]
    if names == ["pred", "target"]:
        return " against ".join(spelled)
    return ", ".join(f"{name}={value}" for name, value in zip(names, spelled, strict=True))


def _operand(value: Expression) -> str:
    if isinstance(value, Input) and value.soft and value.steps:
        return f"{value} (or {value.root}, if that is one tensor)"
    return str(value)


def _activation(use: LossUse, loss: Loss, source: Source) -> str:
    """`sigmoid (taken from `bce`): logits to probabilities`."""
    chosen = use.activation
    activation = current_registry().get(Activation, chosen.name) if chosen else None
    origin = _origin(use, loss, source)
    if chosen is None or activation is None or chosen.name == "identity":
        what = f"as {IN_WORDS[loss.wants]}" if loss.wants in IN_WORDS else "as it stands"
        return f"identity ({origin}): {use.prediction} is read {what}"
    takes, gives = (IN_WORDS.get(view, view) for view in (activation.takes, activation.gives))
    return f"{chosen} ({origin}): {takes} to {gives}"


def _origin(use: LossUse, loss: Loss, source: Source) -> str:
    """The source of an activation in brackets: written, default, assumed, or the term it is taken from."""
    name = re.match(r"\w*", source.text[use.span.start :])
    named = current_registry().loss(name[0]) if name else None
    if use.origin == "written" and name and named and named.activation:
        return f"`{name[0]}` is `{loss.name}({named.activation})`"
    if use.origin == "assumed":
        return "assumed: nothing says otherwise"
    if use.origin in ("written", "default"):
        return use.origin
    return f"taken from `{use.origin}`"


def _option(name: str, value: object, loss: Loss, written: Iterable[str]) -> Row:
    shown = f"{name}={show(value)}"
    if name not in written:
        return shown, "(default)"
    return shown, f"(default {show(loss.defaults[name])})" if name in loss.defaults else "(required)"


def _universal(name: str, value: object, loss: Loss, use: LossUse) -> Row:
    shown, origin = f"{name}={show(value)}", dict(use.taken).get(name)
    if origin is not None:
        return shown, f"(taken from `{origin}`)"
    return shown, "(written)" if name in dict(use.spans) else f"(default of `{loss.name}`)"


def _reduction(use: LossUse, loss: Loss, written: Iterable[str]) -> str:
    chosen, factor = use.reduction, use.get("avg_factor")
    if factor is not None:
        return f"sum, divided by `avg_factor` (written): {_over(factor, use)} over the counted values"
    reduction = current_registry().get(ReductionPrimitive, chosen.name)
    if not loss.result_axes:
        return "none needed: the loss is one number"
    if "reduction" in written:
        origin = "written"
    elif chosen.name != loss.reduction:
        origin = f"because of `class_weight`; without it {loss.reduction}"
    else:
        origin = "default"
    by_label = (
        chosen.name in ("wmean", "wmean_all") and use.get("class_weight") is not None and _by_label(use, loss)
    )
    soft = "; of soft and one-hot labels Σ v / n, as torch's" if by_label else ""
    return f"{chosen} ({origin})" + (f": {reduction.summary.rstrip('.')}{soft}" if reduction else "")


def _over(factor: object, use: LossUse) -> str:
    """The quotient of a use with an `avg_factor`: `Σ w v / batch.n`."""
    weighs = use.get("weight") is not None or use.get("class_weight") is not None
    below = f"({show(factor)})" if isinstance(factor, Apply) and factor.operator in "+-*/" else show(factor)
    return f"Σ {'w ' * weighs}v / {below}"


def _by_label(use: LossUse, loss: Loss) -> bool:
    """True if the values of a use are those of labels, so that each has the weight of its class."""
    return "labels" in loss.parameters or (_is_over_classes(use) and "positive_truth" in loss.parameters)


def _is_over_classes(use: LossUse) -> bool:
    """True if the activation of a use runs over an axis of classes."""
    activation = use.activation and current_registry().get(Activation, use.activation.name)
    return bool(activation) and activation.over == "class"


def _elements(use: LossUse) -> Iterator[Row]:
    """The rows about the natural values before they are reduced."""
    if use.scale != 1 or use.shift:
        shifted = node_of(replace(use, factor=None), lambda _: tree.Call(name="v"))
        yield "values", f"{formatter.spell(shifted)} in the place of v, before the reduction"
    if use.factor is not None:
        yield "times", f"{use.factor}, before the reduction; the count stays what it was"


def _likeness(like: Likeness, use: LossUse, loss: Loss) -> str:
    """The row of `like=`: the library whose number it is, or whose options stand beside others."""
    preset, operands = loss.like[like.library], [operand.name for operand in loss.operands]
    options = dict.fromkeys((*like.written, *(name for name, _ in use.taken)))
    beside = [name for name in options if name not in operands and not _is_compared(name, use, preset)]
    library = LIBRARIES[like.library]
    if not beside:
        return "; ".join(filter(None, (f"the number of {library}", preset.note)))
    named = ", ".join(f"`{name}`" for name in beside)
    remark = f"{named} beside it: ours alone, or not compared"
    return "; ".join(filter(None, (f"the options of {library}", preset.note, remark)))


def _is_compared(name: str, use: LossUse, preset: Preset) -> bool:
    """True if the library has an option too, and was compared with it."""
    if name == "reduction":
        chosen = use.reduction.name
        known = ("mean", "sum", "none") if preset.takes_option(name) else ("mean",)
        return chosen == preset.reduction or chosen in known
    # A word makes weights of the batch, which no library does.
    of_batch = name in ("class_weight", "pos_weight") and isinstance(use.get(name), str)
    return preset.takes_option(name) and not of_batch


def table(rows: Iterable[Row], indent: str) -> Iterator[str]:
    """Rows of a name and a text, the texts below each other."""
    yield from (indent + line for line in columns(rows, 13))


def columns(rows: Iterable[Row], least: int = 0) -> list[str]:
    rows = list(rows)
    width = max([least, *(len(left) + 2 for left, _ in rows)])
    return [f"{left:<{width}}{right}".rstrip() for left, right in rows]
