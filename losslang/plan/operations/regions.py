"""Sums over regions, and what a region that holds nothing gives."""

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
    """What sums run over: all but the first `keep` axes, and the samples too if the `batch` is one region.

    A loss that `goes_on` combines the sums of several regions into one value.
    """

    keep: int
    batch: bool = False
    goes_on: bool = False


def present(target: Tensor, mask: Tensor | None, batch: bool) -> Tensor:
    """True for the classes that the target has, per sample or in the batch."""
    seen = (target if mask is None else target * mask) != 0
    held = seen.flatten(2).any(2) if seen.ndim > 2 else seen
    return held.any(0, keepdim=True) if batch else held


def empty(values: Tensor, present: Tensor, policy: str) -> Tensor:
    """What a class that the target lacks gives: 0, 1, or nothing at all."""
    return torch.where(present, values, 1.0 if policy == "one" else 0.0)


def region_total(mask: Tensor | None, over: Region) -> Callable[..., tuple[Any, ...]]:
    """`total` for sums over a region; a tensor comes first."""
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
    """The sum of every tensor among `parts` over its region, and how many elements that is.

    Sums of two parts of a region add up to those of the whole.
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
    """The sum over a region of which nothing is masked."""
    return region_sums(None, keep, batch, [values])[0][0]


@dataclass(frozen=True)
class Product:
    """Stands for a product of tensors where a loss only hands them to `total`, and can be nothing but multiplied."""

    factors: tuple[str, ...] = ()

    def __mul__(self, other: object) -> Product:
        return Product((*self.factors, *other.factors)) if isinstance(other, Product) else NotImplemented


def of_totals(function: Callable[..., Any], at: int, *totals: Any, **options: Any) -> Any:
    """What a loss makes of its sums: of products of `at` tensors, which it is not handed any more."""

    def total(*_: Any) -> tuple[Any, ...]:
        return totals

    return function(*[Product()] * at, total, **options)


def finished(
    parts: Sequence[Any], sums: Sequence[Tensor], count: Any, over: Region, *, masked: bool
) -> tuple[Any, ...]:
    """What `total` gives for `parts`: their sums, a number times the count, and 1 where nothing counts.

    The mean over nothing is 0, so the count is at least 1; a region that is masked entirely is dropped
    from the mean, and until then it must stay finite. Where it is one of several that go into one value,
    its sums stay 0.
    """
    # Mostly every region holds something: to see that takes less than what follows.
    is_full = not isinstance(count, torch.Tensor) or min_if_cheap(count) > 0
    some = count if is_full else count.clamp(min=1)
    left = iter(sums)
    totals = tuple(next(left) if isinstance(v, torch.Tensor) else v * some for v in parts)
    if not masked or is_full or over.keep == 0 or over.goes_on:
        return totals
    return tuple(torch.where(count > 0, s, 1.0) for s in totals)


def _number(like: Tensor, dims: tuple[int, ...]) -> int:
    """How many elements a region has; at least 1."""
    number = 1
    for dim in dims:
        number *= like.shape[dim]
    return max(number, 1)
