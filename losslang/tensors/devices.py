"""What depends on the device of a tensor: whether a number may be looked at, the precision it has, how numbers get there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from losslang.tensors.lazy import torch, traces
from losslang.vocabulary import Tensor

MANY = 2**14
"""Numbers from which on it takes longer to write one gradient for each than to divide once more."""


def can_read_without_sync(tensor: Tensor) -> bool:
    """Whether to look at a number waits for nothing: on a CPU, not on a GPU, which computes later."""
    return tensor.is_cpu


def min_if_cheap(x: Tensor) -> float:
    """The smallest element, if it takes less to ask than to hold all above a bound.

    NaN, which is above nothing, on a GPU, where the answer would have to be waited for; where nothing may be
    asked; and of no elements.
    """
    if type(x) is not torch.Tensor or traces() or not x.is_cpu or not x.numel():
        return math.nan
    asked = x.detach() if x.requires_grad else x
    return (asked.amin() if x.ndim else asked).item()


def wide(x: Tensor) -> Tensor:
    """x in double precision, for differences of sums; as it is on a device that has none."""
    return x.to(widest(x))


def widest(like: Tensor) -> torch.dtype:
    """Double precision, or the tensor's own type on a device that has none."""
    return like.dtype if like.device.type == "mps" else torch.float64


def exact(like: Tensor) -> Any:
    """A block in which autocast lowers no precision: exponents and differences of squares need all of it."""
    kind = like.device.type
    # Not asked of the usual two: torch.compile cannot trace the question until torch 2.8.
    has_autocast = kind in ("cpu", "cuda") or torch.amp.is_autocast_available(kind)
    return torch.autocast(kind if has_autocast else "cpu", enabled=False)


def vector(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers of a program as a tensor.

    On a GPU each is filled in there: one that is copied waits for all that was asked of the GPU before.
    """
    if device.type == "cpu":
        return torch.tensor(values, dtype=dtype, device=device)
    return torch.stack([torch.full((), value, dtype=dtype, device=device) for value in values])
