"""Sums over the ranks of a process group, as steps: every rank has then the value of the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from losslang.plan.operations.sums import Parts
from losslang.tensors.devices import widest
from losslang.tensors.lazy import torch
from losslang.tensors.numerics import divided
from losslang.vocabulary import Tensor


def all_reduced(ranks: Any, *parts: Any) -> list[Any]:
    """Returns every part summed over the ranks, by one all-reduce; of booleans, whether any rank has one.

    Of Parts it is the value that the step has for the whole batch, with how many elements are behind it.
    """
    tensors = [one for part in parts for one in _tensors(part)]
    like = next(one for one in tensors if isinstance(one, torch.Tensor))
    given = [torch.as_tensor(one, device=like.device) for one in tensors]
    # Tensors without data ask for shapes alone.
    whole = iter(given if like.is_meta else ranks.sum(given))
    return [_put_together(part, whole) for part in parts]


def _tensors(part: Any) -> Sequence[Any]:
    return [*part.sums, part.number] if isinstance(part, Parts) else [part]


def _put_together(part: Any, whole: Any) -> Any:
    if not isinstance(part, Parts):
        return next(whole)
    sums = [next(whole) for _ in part.sums]
    return part.finish(sums, next(whole))


def taken(found: Sequence[Any], index: int) -> Any:
    """Returns one of the sums over ranks."""
    return found[index]


def part(value: Tensor, number: Any) -> Tensor:
    """Returns the sum behind a mean over a number of values, in float64 where the device has it."""
    return value.to(widest(value)) * number


def count_like(number: Any, value: Tensor) -> Tensor:
    """Returns a count as a tensor beside a value, in float64 where the device has it."""
    return torch.as_tensor(number, dtype=widest(value), device=value.device)


def whole_mean(total: Tensor, number: Tensor, value: Tensor) -> Tensor:
    """Returns total / number in the type of a value; 0 with a gradient of 0 where the number is 0."""
    return divided(total, number).to(value.dtype)
