"""Views of predictions and targets that losses read, besides the activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from losslang.meaning.layout import channel_axis
from losslang.primitives.entropy import agreement, pick
from losslang.tensors.devices import MANY
from losslang.tensors.lazy import NO_IGNORED_LABEL, REDUCTIONS, kernels, torch
from losslang.vocabulary import Tensor


def scale_by_temperature(logits: Tensor, temperature: float) -> Tensor:
    """x / T."""
    return logits / temperature


def channels_second(value: Tensor, channel: int) -> Tensor:
    """Moves the channel axis to axis 1, as a view."""
    return value.movedim(channel_axis(channel, value.ndim), 1) if value.ndim > 1 else value


def channels_back(value: Tensor, channel: int) -> Tensor:
    """Moves axis 1 back to the channel axis, as a view."""
    return value.movedim(1, channel_axis(channel, value.ndim)) if value.ndim > 1 else value


def foreground(value: Tensor) -> Tensor:
    """Drops channel 0, the background; a single channel is no background, and stays."""
    return value[:, 1:] if value.shape[1] > 1 else value


def foreground_mask(mask: Any) -> Any:
    """Drops channel 0 of a mask or a weight; one channel, or a number, is for all classes and stays."""
    is_wide = isinstance(mask, torch.Tensor) and mask.ndim > 1 and mask.shape[1] > 1
    return mask[:, 1:] if is_wide else mask


def chosen(value: Tensor, classes: Sequence[int]) -> Tensor:
    """Returns these channels, in their order: a view if they follow each other, else a copy."""
    first, last = classes[0], classes[-1]
    if tuple(classes) == tuple(range(first, last + 1)):
        return value[:, first : last + 1]
    # Not by a list of indices, which a GPU would wait for.
    return torch.cat([value[:, index : index + 1] for index in classes], 1)


def chosen_mask(mask: Any, classes: Sequence[int]) -> Any:
    """Returns these channels of a mask or a weight; one channel, or a number, is for all classes and stays."""
    is_wide = isinstance(mask, torch.Tensor) and mask.ndim > 1 and mask.shape[1] > 1
    return chosen(mask, classes) if is_wide else mask


def flat(value: Tensor | None, pred: Tensor, batch: bool) -> Tensor | None:
    """Flattens space to one axis, (B, C, N); with `batch` the places of all samples, (1, C, B N).

    A mask with one channel is expanded; None stays None.
    """
    if value is None:
        return None
    wide = value.expand(pred.shape[0], value.shape[1], *pred.shape[2:])
    laid = wide.flatten(2) if wide.ndim > 2 else wide.unsqueeze(-1)
    return laid.transpose(0, 1).flatten(1).unsqueeze(0) if batch else laid


def values_of(found: tuple[Tensor, Tensor]) -> Tensor:
    """Returns the values of a loss that returns (values, counts)."""
    return found[0]


def counted_of(found: tuple[Tensor, Tensor]) -> Tensor:
    """Returns which of those values count: all but counts of 0 or less, so that NaN shows in the result."""
    return ~(found[1].detach() <= 0)


def true_class(values: Tensor, target: Tensor) -> Tensor:
    """Σ_c t_c v_c."""
    return pick(values, target)


def log_true_class(logits: Tensor, target: Tensor) -> Tensor:
    """Σ_c t_c log p_c of a softmax: of few class indices by torch's kernel, which is one operation."""
    if target.ndim < logits.ndim and logits.numel() <= MANY:
        return -kernels.cross_entropy_loss(logits, target, None, REDUCTIONS["none"], NO_IGNORED_LABEL, 0.0)
    return pick(torch.log_softmax(logits, 1), target)


def true_probs(log_true: Tensor, logits: Tensor, target: Tensor) -> Tensor:
    """The probability of the true class from its logarithm, of class indices; of a distribution Σ_c t_c p_c."""
    return log_true.exp() if target.ndim < logits.ndim else pick(torch.softmax(logits, 1), target)


def true_element(probs: Tensor, target: Tensor) -> Tensor:
    """t p + (1 - t)(1 - p): the probability given to what is true."""
    return target * probs + (1 - target) * (1 - probs)


def log_true_element(log_probs: Tensor, log_complement: Tensor, target: Tensor) -> Tensor:
    """t log p + (1 - t) log(1 - p)."""
    return agreement(log_probs, log_complement, target)


def not_background(target: Tensor, pred: Tensor) -> Tensor:
    """Returns 1 where the target is not class 0; for a soft target 1 - t_0."""
    if target.ndim == pred.ndim:
        return 1 - target[:, 0]
    return (target != 0).to(pred.dtype)
