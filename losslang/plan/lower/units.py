"""Emits the denominator of a term as it is known before the prediction: in units of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from losslang.meaning.layout import root_of
from losslang.meaning.meaning import Apply, Expression, Input
from losslang.meaning.splitting import MEANS_OF_SAMPLES, OF_ALL, WEIGHTED, counted_operand
from losslang.plan.plan import Argument, Ref
from losslang.syntax import tree

if TYPE_CHECKING:
    from losslang.plan.lower.use import Use


def norm_of(position: int) -> Input:
    """Returns the path of the denominator of the term at a position, which the call hands over."""
    return Input("module", (tree.Key("norm"), tree.Index(position)))


def units_of(use: Use) -> Ref:
    """Emits how much a use has to count, from its target, its mask and its weights alone."""
    own, operand, axes = use.use, counted_operand(use.use), use.loss.axes
    name = own.reduction.name
    source = dict(own.operands)[operand]
    is_weighted = name in WEIGHTED
    mask = None if name in OF_ALL else own.get("mask")
    weight = own.get("weight") if is_weighted else None
    view = axes[use.loss.views[0]]
    index = own.get("ignore_index")
    return use.emit(
        "units",
        _given(use, source),
        _given(use, mask),
        _given(use, weight),
        _of_class(use) if is_weighted and own.get("class_weight") is not None else None,
        frame=use.frame,
        form=use.form() if operand == "target" else "float_target",
        channel=use.layout.channel,
        per_sample=name in MEANS_OF_SAMPLES,
        has_axes=operand == "pred" or axes.get("target") == view,
        ignored=None if index == "none" or name in OF_ALL or operand == "pred" else index,
        roots=tuple("" if part is None else root_of(part) for part in (mask, weight)),
        moved=use.layout.moved,
        kept=use.classes,
        dropped=use.drops_background,
        by=use.class_axis(),
        **use.edge,
    )


def _given(use: Use, value: Any) -> Argument:
    """Emits a tensor as the call hands it over; a number stays one."""
    if isinstance(value, (int, float)) or value is None:
        return value
    expression: Expression = value
    return use.out.tensor(expression, use.layout.before)


def _of_class(use: Use) -> Argument:
    """Emits the written weights of classes, or the path of them."""
    value = use.use.get("class_weight")
    if isinstance(value, (Input, Apply)):
        return use.out.tensor(value)
    return use.emit("constant", values=tuple(map(float, value)))
