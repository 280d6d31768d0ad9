"""torch's cross entropies of class indices, with labels or places left out: the mean of none is 0, never NaN.

What is left out reaches neither value nor gradient, even if its logits are NaN.
"""

from __future__ import annotations

import math

from losslang.tensors.byte_masks import cleared, number_of
from losslang.tensors.devices import can_read_without_sync
from losslang.tensors.lazy import NO_IGNORED_LABEL, REDUCTIONS, kernels, private, torch
from losslang.tensors.numerics import divided, mean_along
from losslang.tensors.options import Option
from losslang.vocabulary import Tensor

FEW = 2**16
"""Log-probabilities up to which to look at all of them takes less time than at those of one class."""
EXACT = 2**24
"""Up to this number of labels their count is exact in single precision."""


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    class_weight: Tensor | None,
    label_smoothing: Option,
    reduction: str,
    ignore_index: int | None,
    mask: Tensor | None,
) -> Tensor:
    """Returns the cross entropies of logits by torch's kernel, or the mean or sum of those that count.

    With `class_weight` the mean divides by the sum of the weights of the labels; where that is 0 it is 0.
    """
    if mask is not None:
        labels, ignore_index = labels_outside(labels, mask, ignore_index)
    may_ignore = ignore_index is not None
    how, index = REDUCTIONS[reduction], NO_IGNORED_LABEL if ignore_index is None else ignore_index
    if not may_ignore and (class_weight is None or reduction != "mean"):
        return kernels.cross_entropy_loss(logits, labels, class_weight, how, index, label_smoothing)
    if reduction == "none" or not can_read_without_sync(logits):
        return _ignoring(logits, labels, class_weight, label_smoothing, reduction, index)
    if label_smoothing:
        value = kernels.cross_entropy_loss(logits, labels, class_weight, how, index, label_smoothing)
        # A NaN or inf logit of an ignored row makes its gradient NaN: torch multiplies the softmax by 0.
        is_odd = math.isnan(value.item()) or (may_ignore and not math.isfinite(logits.detach().sum().item()))
    else:
        value, weight, log_probs = _nll(logits, labels, class_weight, how, index)
        found = weight.item()
        if class_weight is None and found == labels.numel() <= EXACT:
            return value
        # Such a logit makes all log-probabilities of its row NaN.
        is_odd = not found or (may_ignore and math.isnan(_some(value, log_probs).item()))
    if is_odd:
        return _ignoring_nan(logits, labels, class_weight, label_smoothing, reduction, index)
    return value


def _some(value: Tensor, log_probs: Tensor | None) -> Tensor:
    """Returns a number that is NaN if all log-probabilities of a row are: those that the value keeps, or these."""
    seen = (private.log_probs_of_nll(value) if log_probs is None else log_probs).detach()
    return seen.max() if seen.numel() <= FEW else seen.select(1, 0).sum()


def _nll(
    logits: Tensor, labels: Tensor, class_weight: Tensor | None, how: int, ignore_index: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Returns torch's cross entropy, and the sum of the weights of the labels that count: their number without.

    The log-probabilities too, where the value does not keep them itself.
    """
    if logits.requires_grad and torch.is_grad_enabled() and not private.has_saved_tensor_hooks():
        value = kernels.cross_entropy_loss(logits, labels, class_weight, how, ignore_index, 0.0)
        if (weight := private.weight_of_nll(value)) is not None:
            return value, weight, None
    log_probs = torch.log_softmax(logits, 1)
    given, given_labels = log_probs, labels
    forward = torch.ops.aten.nll_loss_forward if logits.ndim == 2 else torch.ops.aten.nll_loss2d_forward
    if logits.ndim not in (2, 4):
        given, given_labels = log_probs.flatten(2).unsqueeze(2), labels.flatten(1).unsqueeze(1)
    value, weight = forward.default(given, given_labels, class_weight, how, ignore_index)
    return value, weight, log_probs


def labels_outside(labels: Tensor, mask: Tensor, ignore_index: int | None) -> tuple[Tensor, int]:
    """Returns labels with one to ignore where the mask of places is False, and that label."""
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


def _ignoring_nan(
    logits: Tensor,
    labels: Tensor,
    class_weight: Tensor | None,
    label_smoothing: Option,
    reduction: str,
    ignore_index: int,
) -> Tensor:
    """Returns the mean or sum with 0 in place of the logits of ignored labels; the mean of none is 0."""
    ignored = labels == ignore_index
    shown = logits.masked_fill(ignored.unsqueeze(1), 0.0)
    weights = None if class_weight is None else class_weight[labels.masked_fill(ignored, 0)]
    counted = ~ignored if weights is None else weights.masked_fill(ignored, 0.0)
    if reduction == "mean" and not counted.sum().item():
        # 0 with a graph, which a second derivative needs.
        how = REDUCTIONS["sum"]
        return 0 * kernels.cross_entropy_loss(shown, labels, class_weight, how, ignore_index, label_smoothing)
    how = REDUCTIONS[reduction]
    return kernels.cross_entropy_loss(shown, labels, class_weight, how, ignore_index, label_smoothing)


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
