"""Sums over regions, and what a region that holds nothing gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from losslang.lazy import torch
from losslang.vocabulary import Tensor


def present(target: Tensor, mask: Tensor | None, batch: bool) -> Tensor:
    """True for the classes that the target has, per sample or in the batch."""
    seen = (target if mask is None else target * mask) != 0
    held = seen.flatten(2).any(2) if seen.ndim > 2 else seen
    return held.any(0, keepdim=True) if batch else held


def empty(values: Tensor, present: Tensor, policy: str) -> Tensor:
    """What a class that the target lacks gives: 0, 1, or nothing at all."""
    return torch.where(present, values, 1.0 if policy == "one" else 0.0)


def region_total(mask: Tensor | None, keep: int, batch: bool) -> Callable[..., tuple[Any, ...]]:
    """`total` for a loss whose values keep the first `keep` axes of what it sums; a tensor comes first."""
    if mask is None and not batch:
        return partial(_plain_total, keep)
    return partial(_total, mask, keep, batch)


def _plain_total(keep: int, like: Tensor, *others: Any) -> tuple[Any, ...]:
    dims = tuple(range(keep, like.ndim))
    if not dims:
        return like, *others
    return like.sum(dims), *[
        v.sum(dims) if isinstance(v, torch.Tensor) else v * _count(like, None, dims) for v in others
    ]


def _total(mask: Tensor | None, keep: int, batch: bool, like: Tensor, *others: Any) -> tuple[Any, ...]:
    space = tuple(range(keep, like.ndim))
    dims = (0, *space) if batch else space

    def summed(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value * _count(like, mask, dims)
        whole = value if mask is None else value * mask
        if batch:
            return whole.sum(dims, keepdim=True).flatten(1)
        return whole.sum(dims) if dims else whole

    sums = tuple(map(summed, (like, *others)))
    if mask is None or keep == 0:
        return sums
    # A region that is masked entirely is dropped from the mean; until then it must stay finite.
    seen = summed(torch.ones_like(like)) > 0
    return tuple(torch.where(seen, s, 1.0) for s in sums)


def _count(like: Tensor, mask: Tensor | None, dims: tuple[int, ...]) -> Any:
    """How many elements are summed; at least 1, so that the mean over nothing is 0."""
    if mask is not None:
        return mask.expand(like.shape).sum(dims).clamp(min=1)
    number = 1
    for dim in dims:
        number *= like.shape[dim]
    return max(number, 1)
