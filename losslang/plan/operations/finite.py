"""Masks of values that are finite, as probabilities: cheaper than a choice between each value and 0."""

from __future__ import annotations

from math import isfinite

from losslang.tensors.byte_masks import cleared, numbers
from losslang.tensors.devices import can_read_without_sync
from losslang.vocabulary import Tensor


def times_mask(value: Tensor, mask: Tensor | None) -> Tensor:
    """Returns values that are finite where masked with 0 there."""
    return value if mask is None else value * numbers(mask, value.dtype)


def finite_masked(value: Tensor, mask: Tensor | None) -> Tensor:
    """Returns values that are finite where masked: as they are if all are, else with 0 there."""
    if mask is None:
        return value
    if can_read_without_sync(value) and isfinite(value.detach().sum().item()):
        return value
    return cleared(value, mask)
