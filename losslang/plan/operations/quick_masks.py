"""Masks of probabilities, which are finite, and of class indices: cheaper than a choice for each value."""

from __future__ import annotations

from math import isfinite
from typing import Any

from losslang.plan.operations.masks import zero_masked, zero_masked_raw
from losslang.tensors.byte_masks import cleared, numbers
from losslang.tensors.devices import can_read_without_sync
from losslang.tensors.lazy import torch
from losslang.tensors.targets import Site, dense, one_hot
from losslang.vocabulary import Tensor


def times_mask(value: Tensor, mask: Tensor | None) -> Tensor:
    """Returns the value with 0 where masked. What is masked has to be finite, as probabilities are."""
    return value if mask is None else value * numbers(mask, value.dtype)


def finite_masked(value: Tensor, mask: Tensor | None) -> Tensor:
    """Returns the value itself if it is finite everywhere, else with 0 where masked."""
    if mask is None:
        return value
    if can_read_without_sync(value) and isfinite(value.detach().sum().item()):
        return value
    return cleared(value, mask)


def masked_dense(
    target: Any, mask: Tensor, pred: Tensor, site: Site, over: str, index: tuple[int, ...] | None = None
) -> Tensor:
    """Returns a target in the prediction's shape, as `dense`, with 0 where masked.

    `index` are the labels that the mask hides, if it is one of labels: the rows of those that are no class
    are 0 anyway.
    """
    places = pred.shape[:1] + pred.shape[2:]
    is_index = isinstance(target, torch.Tensor) and target.dtype == torch.long and target.shape == places
    if is_index and pred.ndim > 1 < pred.shape[1] and mask.ndim == pred.ndim and mask.shape[1] == 1:
        is_hidden = index is not None and not any(0 <= label < pred.shape[1] for label in index)
        return one_hot(target if is_hidden else torch.where(mask.squeeze(1), target, -1), pred)
    return zero_masked(dense(zero_masked_raw(target, mask), pred, site, over), mask)
