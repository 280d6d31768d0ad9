"""Masks on a CPU as bytes: vector instructions where torch handles booleans one by one.

Measured on 2^18 elements: `all` takes 12 us instead of 276, conversion to floats 40 instead of 232, a
comparison of floats 51 instead of 164, zeroing masked elements 67 instead of 276.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from losslang.tensors.devices import MANY, can_read_without_sync
from losslang.tensors.lazy import torch, traces
from losslang.vocabulary import Tensor

FEW = 2**10
"""Elements of a mask up to which one conversion to floats takes no longer than three operations on bytes."""
CLEARED = 3 * 2**14
"""Elements from which on to clear values by their bits takes less time than a choice, forward and backward."""
CACHED = 2**20
"""Elements up to which the floats that a comparison is written to stay in the cache."""


def holds_all(mask: Tensor) -> bool:
    """Returns whether all elements are true."""
    return not mask.numel() or bool(mask.view(torch.uint8).min())


def any_of(mask: Tensor, axis: int, *, as_bytes: bool) -> Tensor:
    """Returns, for each position, whether any element along an axis is true: in bytes if there are elements."""
    return mask.view(torch.uint8).amax(axis) if as_bytes and mask.shape[axis] else mask.any(axis)


def numbers(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns 1 where true, 0 elsewhere, in a type of float."""
    is_quick = mask.dtype == torch.bool and mask.numel() > FEW and can_read_without_sync(mask)
    return ones(mask).to(dtype) if is_quick and not traces() else mask.to(dtype)


def ones(mask: Tensor) -> Tensor:
    """Returns the bytes of a mask: 1 where true. Clamped, since a view as booleans may hold any byte."""
    return mask.view(torch.uint8).clamp(max=1)


def bits(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns integers as wide as a type of float, with all bits set where true, and none elsewhere."""
    return ones(mask).view(torch.int8).neg_().to(torch.int32 if dtype.itemsize == 4 else torch.int64)


def number_of(mask: Tensor) -> Tensor:
    """Returns how many elements are true, of a mask that is expanded too.

    torch's `sum` makes integers of eight bytes of all elements first: 17 ms in place of 0.9 for four million.
    """
    if traces():
        return mask.sum()
    if mask.is_contiguous():
        return torch.count_nonzero(mask)
    spread = [axis for axis in range(mask.ndim) if not mask.stride(axis) and mask.shape[axis] > 1]
    number = prod(mask.shape[axis] for axis in spread)
    return torch.count_nonzero(_first_along(mask, spread)) * number


def _first_along(mask: Tensor, axes: Sequence[int]) -> Tensor:
    """Returns the first element along axes on which all are the same."""
    for axis in axes:
        mask = mask.narrow(axis, 0, 1)
    return mask


def differs(values: Tensor, number: float) -> Tensor:
    """Returns values != number."""
    if MANY // 2 < values.numel() <= CACHED and is_quick(values) and not values.requires_grad:
        return torch.ne(values, number, out=torch.empty_like(values)).bool()
    return values != number


def cleared(values: Tensor, mask: Tensor, number: float = 0.0) -> Tensor:
    """Returns the values with a number, and a gradient of 0, where the mask is False, even if NaN is there."""
    if values.numel() > CLEARED and is_quick(values) and _lies_along(mask, values):
        from losslang.tensors.gradient_mask import cleared_bits

        return cleared_bits(values, ones(mask).view(torch.int8), number)
    # A number of a wider kind would make integers of booleans, and floats of integers.
    kind = float if values.dtype.is_floating_point else bool if values.dtype == torch.bool else int
    return torch.where(mask, values, kind(number))


def _lies_along(mask: Tensor, values: Tensor) -> bool:
    """Returns whether a mask has the shape of the values, or is broadcast to it."""
    if mask.shape == values.shape:
        return True
    pairs = zip(mask.shape, values.shape, strict=False)
    return mask.ndim == values.ndim and all(own in (1, size) for own, size in pairs)


def is_quick(values: Tensor) -> bool:
    """Returns whether a comparison may be written to floats like these, which takes vector instructions."""
    is_float = values.dtype.is_floating_point and values.element_size() in (4, 8)
    if not is_float or not can_read_without_sync(values):
        return False
    from losslang.tensors.eager import is_eager

    return is_eager() and not values.is_neg()
