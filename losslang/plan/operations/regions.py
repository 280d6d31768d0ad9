"""Sums over regions, and the values of regions without elements or without the class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from losslang.tensors.byte_masks import numbers
from losslang.tensors.devices import min_if_cheap
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor


class Region(NamedTuple):
    """The axes that a sum runs over: all but the first `keep`, and axis 0 too if the `batch` is one region.

    A loss that `goes_on` combines the sums of several regions into one value.
    """

    keep: int
    batch: bool = False
    goes_on: bool = False


def present(target: Tensor, mask: Tensor | None, batch: bool) -> Tensor:
    """Returns which classes the target has, per sample or in the batch."""
    seen = (target if mask is None else target * mask) != 0
    held = seen.flatten(2).any(2) if seen.ndim > 2 else seen
    return held.any(0, keepdim=True) if batch else held


def empty(values: Tensor, present: Tensor, policy: str) -> Tensor:
    """Returns the values with those of absent classes replaced by 0 or 1; `skip` masks them later."""
    return torch.where(present, values, 1.0 if policy == "one" else 0.0)


def region_total(mask: Tensor | None, over: Region) -> Callable[..., tuple[Any, ...]]:
    """Returns the function `total` for sums over a region; its first argument is a tensor."""
    if mask is None and not over.batch:
        return partial(_plain_total, over.keep)
    return partial(_total, mask, over)


def _plain_total(keep: int, like: Tensor, *others: Any) -> tuple[Any, ...]:
    dims = tuple(range(keep, like.ndim))
    if not dims:
        return like, *others
    return like.sum(dims), *[
        v.sum(dims) if isinstance(v, torch.Tensor) else v * _number(like, dims) for v in others
    ]


def _total(mask: Tensor | None, over: Region, *parts: Any) -> tuple[Any, ...]:
    sums, count = region_sums(mask, over.keep, over.batch, parts)
    return finished(parts, sums, count, over, masked=mask is not None)


def region_sums(
    mask: Tensor | None, keep: int, batch: bool, parts: Sequence[Any]
) -> tuple[list[Tensor], Any]:
    """Returns the sum of every tensor among `parts` over its region, and the number of elements.

    The sums of two parts of a region add up to those of the region.
    """
    like = parts[0]
    space = tuple(range(keep, like.ndim))
    dims = (0, *space) if batch else space

    def summed(value: Tensor) -> Tensor:
        if not dims:
            return value
        return value.sum(dims, keepdim=True).flatten(1) if batch else value.sum(dims)

    tensors = [v for v in parts if isinstance(v, torch.Tensor)]
    if mask is None:
        return [summed(v) for v in tensors], _number(like, dims)
    share = numbers(mask, like.dtype)
    return [summed(v * share) for v in tensors], summed(mask.expand(like.shape))


def region_sum(values: Tensor, keep: int, batch: bool) -> Tensor:
    """Returns the sum over a region without a mask."""
    return region_sums(None, keep, batch, [values])[0][0]


@dataclass(frozen=True)
class Product:
    """A symbolic product of tensors, to find the arguments that a loss passes to `total`."""

    factors: tuple[str, ...] = ()

    def __mul__(self, other: object) -> Product:
        return Product((*self.factors, *other.factors)) if isinstance(other, Product) else NotImplemented


def of_totals(function: Callable[..., Any], at: int, *totals: Any, **options: Any) -> Any:
    """Returns the value of a loss, given its sums; its first `at` arguments, which made them, are not passed."""

    def total(*_: Any) -> tuple[Any, ...]:
        return totals

    return function(*[Product()] * at, total, **options)


def finished(
    parts: Sequence[Any], sums: Sequence[Tensor], count: Any, over: Region, *, masked: bool
) -> tuple[Any, ...]:
    """Returns the result of `total` for `parts`: the sums of tensors, and numbers times the count.

    The mean over nothing is 0, so the count is at least 1. The sums of a region that is masked entirely are
    set to 1: it is dropped from the mean later, and must stay finite until then. If several regions are
    combined into one value, its sums stay 0.
    """
    # Fast path: mostly every region has elements, and to see that takes less than the where below.
    is_full = not isinstance(count, torch.Tensor) or min_if_cheap(count) > 0
    some = count if is_full else count.clamp(min=1)
    left = iter(sums)
    totals = tuple(next(left) if isinstance(v, torch.Tensor) else v * some for v in parts)
    if not masked or is_full or over.keep == 0 or over.goes_on:
        return totals
    return tuple(torch.where(count > 0, s, 1.0) for s in totals)


def _number(like: Tensor, dims: tuple[int, ...]) -> int:
    """Returns how many elements a region has, at least 1."""
    number = 1
    for dim in dims:
        number *= like.shape[dim]
    return max(number, 1)
