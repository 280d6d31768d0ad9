"""Emits what `detail` says beside the value of a use: its count, and its values by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from losslang.meaning.splitting import MEANS, MEANS_OF_SAMPLES, SUMS, WEIGHTED
from losslang.meaning.uses.universal import is_by_class
from losslang.plan.plan import Argument, Ref

if TYPE_CHECKING:
    from losslang.plan.lower.use import Use

COUNT, BY_CLASS, FACTOR, BODY, UNITS, MEAN = (
    " count",
    " by class",
    " factor",
    " body",
    " units",
    " mean",
)
"""What is behind the name of a term in the names of these outputs: no log key has a blank."""


def count_of(use: Use) -> Argument:
    """Emits what the sum of a use is divided by; 0 for a sum, None for what is no quotient of sums."""
    factor, name = use.use.get("avg_factor"), use.use.reduction.name
    if factor is not None:
        return use.factor(factor)
    if use.frame == "number" or use.use.get("batch"):
        return None
    if name in SUMS:
        return 0.0
    values, weights, counted = use.reduced
    if name in WEIGHTED:
        spread = use.emit("weights_like", weights, values)
        if counted is not None and name == "wmean":
            spread = use.emit("zero_masked", spread, counted)
        return use.emit("reduction:sum", spread, None, None)
    if name not in (*MEANS, *MEANS_OF_SAMPLES):
        return None
    per_sample = name in MEANS_OF_SAMPLES
    if use.skipped is not None:
        return use.emit("count_true", counted, per_sample=per_sample)
    mask = None if name == "mean_all" else use.region_mask()
    channels = len(use.classes) if use.classes is not None else None
    return use.emit(
        "count",
        use.raw,
        mask,
        frame=use.frame,
        per_sample=per_sample,
        dropped=use.drops_background or None,
        channels=channels,
        **use.edge,
    )


def by_class(use: Use) -> Ref | None:
    """Emits the mean of the values of each class, by channel; None for a loss without classes."""
    if not is_by_class(use.loss) or use.frame == "number":
        return None
    values, _, counted = use.reduced
    target = use.target if use.class_axis() == "label" else None
    return use.emit(
        "class_means",
        values,
        target,
        counted,
        use.raw,
        classes=use.classes,
        dropped=use.drops_background or None,
    )
