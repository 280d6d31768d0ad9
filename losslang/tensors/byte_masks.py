"""Masks on a CPU as bytes: vector instructions where torch handles booleans one by one.

Measured on 2^18 elements: `all` takes 12 us instead of 276, conversion to floats 40 instead of 232, a
comparison of floats 51 instead of 164, zeroing masked elements 67 instead of 276.
"""

from __future__ import annotations

from losslang.tensors.devices import MANY, can_read_without_sync
from losslang.tensors.lazy import torch, traces
from losslang.vocabulary import Tensor

CACHED = 2**20
"""Elements up to which the extra byte tensor stays in the cache, and saves more than it costs."""


def holds_all(mask: Tensor) -> bool:
    """Returns whether all elements are true."""
    return not mask.numel() or bool(mask.view(torch.uint8).min())


def any_of(mask: Tensor, axis: int) -> Tensor:
    """Returns, for each position, whether any element along an axis is true."""
    is_quick = can_read_without_sync(mask) and mask.shape[axis] and not traces()
    return mask.view(torch.uint8).amax(axis).bool() if is_quick else mask.any(axis)


def numbers(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns 1 where true, 0 elsewhere, in a type of float."""
    return (
        ones(mask).to(dtype)
        if mask.dtype == torch.bool and can_read_without_sync(mask) and not traces()
        else mask.to(dtype)
    )


def ones(mask: Tensor) -> Tensor:
    """Returns the bytes of a mask: 1 where true. Clamped, since a view as booleans may hold any byte."""
    return mask.view(torch.uint8).clamp(max=1)


def bits(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns integers as wide as a type of float, with all bits set where true, and none elsewhere."""
    return ones(mask).view(torch.int8).neg_().to(torch.int32 if dtype.itemsize == 4 else torch.int64)


def differs(values: Tensor, number: float) -> Tensor:
    """Returns values != number."""
    if _is_quick(values) and not values.requires_grad:
        return torch.ne(values, number, out=torch.empty_like(values)).bool()
    return values != number


def cleared(values: Tensor, mask: Tensor) -> Tensor:
    """Returns the values with 0, and a gradient of 0, where the mask is False, even if NaN is there."""
    if _is_quick(values) and values.numel() > MANY and mask.shape == values.shape:
        from losslang.tensors.gradient_mask import cleared_bits

        kind = torch.int32 if values.element_size() == 4 else torch.int64
        return cleared_bits(values, ones(mask).view(torch.int8), kind)
    return torch.where(mask, values, torch.zeros((), dtype=values.dtype, device=values.device))


def _is_quick(values: Tensor) -> bool:
    is_float = values.dtype.is_floating_point and values.element_size() in (4, 8)
    if not is_float or values.numel() > CACHED or not can_read_without_sync(values):
        return False
    from losslang.tensors.eager import is_eager

    return is_eager() and not values.is_neg()
