"""torch's cross entropies of class indices, with labels or places left out: the mean of none is 0, never NaN.

What is left out reaches neither value nor gradient, even if its logits are NaN.
"""

from __future__ import annotations

import math

from losslang.tensors.byte_masks import cleared, number_of
from losslang.tensors.devices import can_read_without_sync
from losslang.tensors.lazy import NO_IGNORED_LABEL, REDUCTIONS, kernels, torch, traces
from losslang.tensors.numerics import divided, mean_along
from losslang.tensors.options import Option
from losslang.vocabulary import Tensor


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    class_weight: Tensor | None,
    label_smoothing: Option,
    reduction: str,
    ignore_index: int | None,
) -> Tensor:
    """Returns the cross entropies of logits by torch's kernel, or their mean or sum.

    With `class_weight` the mean divides by the sum of the weights of the labels; where that is 0 it is 0.
    """
    is_readable = can_read_without_sync(logits) and reduction != "none" and not traces()
    if ignore_index is None and (class_weight is None or reduction != "mean" or is_readable):
        how = REDUCTIONS[reduction]
        value = kernels.cross_entropy_loss(
            logits, labels, class_weight, how, NO_IGNORED_LABEL, label_smoothing
        )
        if class_weight is None or reduction != "mean" or not math.isnan(value.item()):
            return value
    leaving_out = _ignoring_cpu if is_readable else _ignoring
    index = NO_IGNORED_LABEL if ignore_index is None else ignore_index
    return leaving_out(logits, labels, class_weight, label_smoothing, reduction, index)


def labels_outside(
    labels: Tensor, mask: Tensor | None, ignore_index: int | None
) -> tuple[Tensor, int | None]:
    """Returns labels with one to ignore where the mask of places is False, and that label."""
    if mask is None:
        return labels, ignore_index
    index = NO_IGNORED_LABEL if ignore_index is None else ignore_index
    return torch.where(mask, labels, index), index


def reduced_over(
    values: Tensor,
    labels: Tensor,
    class_weight: Tensor | None,
    mask: Tensor | None,
    reduction: str,
) -> Tensor:
    """Returns the mean or the sum, as `cross_entropy` takes it, of values that are 0 where the mask is False.

    The mean of soft labels divides by their number, whatever their weights are.
    """
    if reduction != "mean":
        return values if reduction == "none" else values.sum()
    if class_weight is not None and labels.ndim == values.ndim:
        weights = class_weight[labels if mask is None else labels.where(mask, 0)]
        return divided(values.sum(), (weights if mask is None else cleared(weights, mask)).sum())
    number = values.numel() if mask is None else number_of(mask.expand(values.shape))
    return values.sum() / (number.clamp(min=1) if isinstance(number, torch.Tensor) else max(number, 1))


def nll_and_weight(
    log_probs: Tensor, labels: Tensor, class_weight: Tensor | None, how: int, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Returns torch's nll, and the sum of the weights of the labels that it did not ignore: their number."""
    if log_probs.ndim == 2:
        return torch.ops.aten.nll_loss_forward.default(log_probs, labels, class_weight, how, ignore_index)
    if log_probs.ndim != 4:
        log_probs, labels = log_probs.flatten(2).unsqueeze(2), labels.flatten(1).unsqueeze(1)
    return torch.ops.aten.nll_loss2d_forward.default(log_probs, labels, class_weight, how, ignore_index)


def _ignoring_cpu(
    logits: Tensor,
    labels: Tensor,
    class_weight: Tensor | None,
    label_smoothing: Option,
    reduction: str,
    ignore_index: int,
) -> Tensor:
    """Returns the mean or sum by torch's kernel, without ignored labels.

    torch multiplies the softmax of an ignored row by 0, so a NaN or inf logit there makes its gradient NaN.
    If class 0 of any row is NaN, the ignored rows are masked and everything is computed again.
    """
    how = REDUCTIONS[reduction]
    log_probs = torch.log_softmax(logits, 1)
    value, weight = nll_and_weight(log_probs, labels, class_weight, how, ignore_index)
    counted = weight.item()
    if not counted:
        return logits[:0].sum()
    is_whole = class_weight is None and counted == labels.numel()
    if not is_whole and math.isnan(log_probs.detach().select(1, 0).sum().item()):
        hidden = (labels == ignore_index).unsqueeze(1)
        log_probs = torch.log_softmax(logits.masked_fill(hidden, 0.0), 1)
        value, _ = nll_and_weight(log_probs, labels, class_weight, how, ignore_index)
    if label_smoothing:
        spread = _spread(log_probs, class_weight)
        whole = (spread if is_whole else spread.masked_fill(labels == ignore_index, 0.0)).sum()
        evenly = whole / counted if reduction == "mean" else whole
        value = (1 - label_smoothing) * value - label_smoothing * evenly
    return value


def _ignoring(
    logits: Tensor,
    labels: Tensor,
    class_weight: Tensor | None,
    label_smoothing: Option,
    reduction: str,
    ignore_index: int,
) -> Tensor:
    """Returns the same without reading a value, as on a GPU: the gradient is masked in every call."""
    from losslang.tensors.gradient_mask import masked_fill_grad

    kept = labels != ignore_index
    log_probs = torch.log_softmax(masked_fill_grad(logits, kept.unsqueeze(1)), 1)
    how = REDUCTIONS["none"]
    values = kernels.nll_loss_nd(log_probs, labels, class_weight, how, ignore_index)
    if label_smoothing:
        evenly = _spread(log_probs, class_weight).where(kept, 0.0)
        values = (1 - label_smoothing) * values - label_smoothing * evenly
    return reduced_over(values, labels, class_weight, kept, reduction)


def _spread(log_probs: Tensor, class_weight: Tensor | None) -> Tensor:
    """Returns the mean over the classes of the log-probabilities, each with the weight of its class."""
    if class_weight is not None:
        log_probs = log_probs * class_weight.reshape(-1, *[1] * (log_probs.ndim - 2))
    return mean_along(log_probs, 1)
