"""Counts: of what a mask leaves and, for `detail`, of the values of a mean, and the mean of each class."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from losslang.plan.operations.masks import inside
from losslang.tensors.devices import can_read_without_sync
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor


def count(
    pred: Tensor,
    mask: Tensor | None,
    frame: str,
    per_sample: bool,
    dropped: bool | None = None,
    channels: int | None = None,
    edge: tuple[int, int] | None = None,
) -> Any:
    """Returns how many values of a loss count, or of how many samples any does: by shapes and the mask alone.

    `frame` says which axes of the prediction the values have: see `masks.py`. Pixels at its `edge` have none.
    """
    shape, mask = without_edge(pred.shape, edge), inside(mask, edge)
    if frame == "places":
        shape = shape[:1] + shape[2:]
    elif frame == "rows":
        shape = shape[:-1]
    elif frame in ("region", "samples"):
        number = channels or shape[1] - (1 if dropped and shape[1] > 1 else 0)
        shape = shape[:1] if frame == "samples" else [shape[0], number]
    if mask is None:
        return shape[0] if per_sample and shape else prod(shape)
    seen = _in_frame(mask, frame)
    if per_sample:
        seen = seen.flatten(1).any(1) if seen.ndim > 1 else seen
        return seen.sum() * (shape[0] // max(seen.numel(), 1))
    return seen.sum() * (prod(shape) // max(seen.numel(), 1))


def without_edge(shape: Sequence[int], edge: tuple[int, int] | None) -> list[int]:
    """Returns the shape of the values of a prediction (B, C, *S): without the pixels at its edge."""
    return list(shape) if edge is None else [*shape[:2], *(max(size - sum(edge), 0) for size in shape[2:])]


def _in_frame(mask: Tensor, frame: str) -> Tensor:
    """Returns a mask of the prediction in the axes of the values."""
    if frame == "places":
        return mask.any(1)
    if frame == "rows":
        return mask.any(-1)
    keep = {"region": 2, "samples": 1}.get(frame, mask.ndim)
    return mask.flatten(keep).any(keep) if mask.ndim > keep else mask


def count_true(counted: Tensor, per_sample: bool) -> Tensor:
    """Returns how many values count, or of how many samples any does."""
    return counted.flatten(1).any(1).sum() if per_sample and counted.ndim > 1 else counted.sum()


def weights_like(weights: Any, values: Tensor) -> Tensor:
    """Returns the weight of each value: 1 where there is none."""
    if weights is None:
        return torch.ones_like(values)
    return torch.as_tensor(weights, dtype=values.dtype, device=values.device).expand(values.shape)


def class_means(
    values: Tensor,
    target: Tensor | None,
    counted: Tensor | None,
    pred: Tensor,
    classes: Sequence[int] | None = None,
    dropped: bool | None = None,
) -> Tensor:
    """Returns the mean of the values of each channel; NaN for one without a value that counts.

    The class of a value is its channel or, with a `target`, the label of its place.
    """
    shown = torch.ones_like(values) if counted is None else counted.expand(values.shape).to(values.dtype)
    clean = torch.where(shown > 0, values.detach(), 0.0)
    if target is None:
        wide = (clean, shown) if values.ndim > 1 else (clean.unsqueeze(1), shown.unsqueeze(1))
        over = [axis for axis in range(wide[0].ndim) if axis != 1]
        sums, numbers = (part.sum(over) for part in wide)
    elif target.ndim == pred.ndim:
        over = [axis for axis in range(target.ndim) if axis != 1]
        sums, numbers = ((target * part.unsqueeze(1)).sum(over) for part in (clean, shown))
    else:
        zeros = clean.new_zeros(pred.shape[1])
        sums, numbers = (zeros.scatter_add(0, target.flatten(), part.flatten()) for part in (clean, shown))
    means = torch.where(numbers > 0, sums / numbers, torch.nan)
    size = pred.shape[1] if pred.ndim > 1 else 1
    if len(means) == size:
        return means if classes is None else means[torch.tensor(classes, device=means.device).argsort()]
    # The channels that do not count are NaN in their places.
    first = 1 if dropped else 0
    at = torch.tensor(classes or range(first, first + len(means)), device=means.device)
    return means.new_full((size,), torch.nan).index_copy(0, at, means)


def number_of_counted(mask: Tensor | None) -> Any:
    """Returns how many elements a mask leaves, None for all: a tensor on a GPU, where to read it would wait."""
    if mask is None:
        return None
    number = torch.count_nonzero(mask)
    return int(number) if can_read_without_sync(number) else number


def over_counted(total: Tensor, number: Any, mask: Tensor | None, pred: Tensor) -> Tensor:
    """Returns a sum over the number of unmasked elements of a prediction; the mean over nothing is 0."""
    if mask is None:
        return total / max(pred.numel(), 1)
    share = pred.numel() // max(mask.numel(), 1)
    return total / (max(number * share, 1) if isinstance(number, int) else (number * share).clamp(min=1))
