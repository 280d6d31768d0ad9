"""The operations of steps besides the registered primitives: functions of tensors that torch can trace."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from losslang.plan.operations import (
    arithmetic,
    automatic,
    call,
    checks,
    compared,
    counts,
    masks,
    neighbours,
    quick_masks,
    ranks,
    regions,
    repeats,
    rows,
    units,
    views,
    weights,
)
from losslang.primitives import activations, combinators
from losslang.tensors import targets
from losslang.tensors.lazy import torch
from losslang.tensors.numerics import power
from losslang.vocabulary import Tensor


def _add(a: Any, b: Any) -> Any:
    return a + b


def _subtract(a: Any, b: Any) -> Any:
    return a - b


def _multiply(a: Any, b: Any) -> Any:
    return a * b


def _divide(a: Any, b: Any) -> Any:
    try:
        return a / b
    except ZeroDivisionError:
        # Python raises for 1 / 0; tensors give an infinity.
        return ieee(torch.div, a, b)


def _negate(a: Any) -> Any:
    return -a


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, torch.Tensor):
        return power(base, exponent)
    try:
        found = base**exponent
    except ArithmeticError:
        found = None
    # Python makes a root of what is below 0 complex.
    return (
        ieee(partial(power, exponent=exponent), base)
        if found is None or isinstance(found, complex)
        else found
    )


def ieee(function: Callable[..., Tensor], *numbers: float) -> float:
    """Computes on Python numbers as torch would, where Python raises: the result is an infinity or NaN."""
    return function(*(torch.tensor(float(number), dtype=torch.float64) for number in numbers)).item()


MATH: dict[str, Callable[..., Any]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "neg": _negate,
    "**": _power,
}

OPERATIONS: dict[str, Callable[..., Any]] = {
    "input": call.fetch,
    "complete": call.complete,
    "learn": combinators.learn.function,
    "log_softmax": activations.log_softmax.function,
    "check:channels": checks.check_channels,
    "check:region": checks.check_region,
    "check:chosen": checks.check_chosen,
    "check:rank": checks.check_rank,
    "check:layout": checks.check_layout,
    "check:compared": compared.check_compared,
    "check:indexed": compared.check_indexed,
    "check:along": compared.check_along,
    "check:hard": compared.check_hard,
    "check:distribution": compared.check_distribution,
    "check:probs": checks.check_probs,
    "check:classes": checks.check_classes,
    "check:ignored": checks.check_ignored,
    "check:indices": checks.check_indices,
    "check:signs": checks.check_signs,
    "check:bounds": checks.check_bounds,
    "check:option": checks.check_option,
    "check:booleans": checks.check_booleans,
    "check:nonnegative": checks.check_nonnegative,
    "check:boxes": checks.check_boxes,
    "check:position": checks.check_position,
    "check:unmasked": neighbours.warn_of_unmasked,
    "check:axis": neighbours.warn_of_untold_axis,
    "check:activated": neighbours.warn_of_activated,
    "check:log_probs": neighbours.warn_of_logits,
}
"""Operation to function. Operations that are not listed here have the name of their function."""

for _function in (
    activations.log,
    activations.log_complement,
    activations.log_sigmoid,
    activations.log_complement_sigmoid,
    activations.log_complement_softmax,
    call.float_prediction,
    call.hidden,
    call.head,
    call.net,
    call.matching,
    call.scalar,
    call.number,
    masks.moved,
    masks.broadcast_to_pred,
    arithmetic.beside,
    arithmetic.with_axes,
    arithmetic.fitted,
    masks.mask,
    masks.not_ignored,
    quick_masks.times_mask,
    quick_masks.finite_masked,
    quick_masks.masked_dense,
    masks.mask_and,
    masks.zero_masked,
    masks.zero_masked_raw,
    masks.any_channel_mask,
    masks.value_mask,
    masks.region_mask,
    masks.over_regions,
    masks.counting,
    masks.place_mask,
    masks.filled,
    masks.zero_masked_samples,
    masks.weigh,
    counts.count,
    counts.count_true,
    counts.number_of_counted,
    counts.over_counted,
    counts.weights_like,
    counts.class_means,
    units.units,
    units.over_norm,
    automatic.found_weight,
    views.scale_by_temperature,
    views.channels_second,
    views.channels_back,
    views.foreground,
    views.foreground_mask,
    views.chosen,
    views.chosen_mask,
    views.flat,
    views.values_of,
    views.counted_of,
    views.true_class,
    views.true_probs,
    views.log_true_class,
    views.true_element,
    views.log_true_element,
    views.not_background,
    rows.rows,
    rows.rows_of_target,
    rows.rows_of_weight,
    rows.places,
    weights.constant,
    weights.over_factor,
    weights.per_class,
    weights.class_weight_balanced,
    weights.class_weight_complement,
    weights.pos_weight_balanced,
    weights.class_counts,
    weights.class_weight_of,
    weights.positive_counts,
    weights.pos_weight_of,
    weights.positives,
    weights.pos_weighted,
    weights.class_weighted,
    weights.weight_of_class,
    weights.product,
    weights.affine,
    ranks.all_reduced,
    ranks.taken,
    ranks.part,
    ranks.count_like,
    ranks.whole_mean,
    regions.present,
    regions.empty,
    regions.region_sum,
    repeats.resized,
    repeats.values_per,
    repeats.counts_per,
    repeats.beside_values,
    repeats.best,
    repeats.any_counted,
    targets.target_like_pred,
    targets.operand_like_pred,
    targets.float_target,
    targets.last_axis,
    targets.dense,
    targets.labels,
    targets.indices,
    targets.signs,
    targets.sign,
    targets.sign_of_row,
    targets.per_row,
    targets.free,
    targets.position,
):
    OPERATIONS[_function.__name__] = _function

MAPS = {
    "float_prediction", "mask", "mask_and", "zero_masked", "zero_masked_raw", "any_channel_mask", "value_mask", "weigh", "scale_by_temperature", "foreground",
    "foreground_mask", "chosen", "chosen_mask", "true_class", "true_element", "log_true_element", "not_background",
    "pos_weighted", "weights_like", "positives", "class_weighted", "weight_of_class", "product", "affine", "target_like_pred", "operand_like_pred", "float_target",
    "last_axis", "dense", "labels", "signs", "sign", "sign_of_row", "per_row", "position",
    "log", "log_complement", "log_sigmoid", "log_softmax",
    "log_complement_sigmoid", "log_complement_softmax",
}  # fmt: skip
"""Maps: operations that compute a part of the batch or of space without the rest."""
