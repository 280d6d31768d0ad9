"""Sums over regions, and what a region that holds nothing gives."""

from __future__ import annotations

from collections.abc import Callable
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
    """`total` for a loss whose values keep the first `keep` axes of what it sums."""

    def summed(value: Tensor) -> Tensor:
        whole = value if mask is None else value * mask
        dims = list(range(keep, value.ndim))
        if batch:
            return whole.sum([0, *dims], keepdim=True).flatten(1)
        return whole.sum(dims) if dims else whole

    def total(*values: Any) -> tuple[Any, ...]:
        shape = next(v for v in values if isinstance(v, torch.Tensor))
        sums = [summed(v) if isinstance(v, torch.Tensor) else v * _count(shape, mask, keep) for v in values]
        if mask is None or keep == 0:
            return tuple(sums)
        # A region that is masked entirely is dropped from the mean; until then it must stay finite.
        seen = summed(torch.ones_like(shape)) > 0
        return tuple(torch.where(seen, s, 1.0) for s in sums)

    return total


def _count(like: Tensor, mask: Tensor | None, keep: int) -> Any:
    """How many elements are summed; at least 1, so that the mean over nothing is 0."""
    if mask is not None:
        return mask.expand(like.shape).sum(list(range(keep, like.ndim))).clamp(min=1)
    number = 1
    for size in like.shape[keep:]:
        number *= size
    return max(number, 1)
