"""Arithmetic with an option of a loss, which is a number or a tensor of one number.

A written number, and a schedule in an eager call on a CPU, keep torch's kernels, which take numbers alone. A
tensor is what training moves, and a schedule on a GPU or in a traced call: nothing asks for its value, and
its gradient is that of the formula.
"""

from __future__ import annotations

import math
from typing import Any, TypeGuard

from losslang.tensors.lazy import F, torch
from losslang.vocabulary import Tensor

Option = Any
"""A float, or a tensor of one number."""


def is_number(option: Option) -> TypeGuard[float]:
    """Returns whether an option can be compared: it is no tensor, and no stand-in for one."""
    return isinstance(option, (int, float))


def may_count(option: Option) -> bool:
    """Returns False for the number 0, so that what it multiplies can be left out."""
    return not is_number(option) or option != 0


def fixed(option: Option) -> Option:
    """Returns an option that gets no gradient."""
    return option if is_number(option) else option.detach()


def function_of(name: str, option: Option) -> Option:
    """Returns a function of an option by its name in `math` and in torch: "log1p"."""
    return getattr(math if is_number(option) else torch, name)(option)


def at_least(option: Option, bound: float) -> Option:
    """Returns the larger of the two."""
    return max(option, bound) if is_number(option) else option.clamp(min=bound)


def plus(a: Tensor, b: Tensor, times: Option) -> Tensor:
    """Returns a + times b, in one operation for a number."""
    return torch.add(a, b, alpha=times) if is_number(times) else a + times * b


def threshold(x: Tensor, bound: Option, otherwise: Option) -> Tensor:
    """Returns x where it is above a bound, else another number; NaN stays NaN."""
    if is_number(bound) and is_number(otherwise):
        return F.threshold(x, bound, otherwise)
    return torch.where(x <= bound, otherwise, x)


def softshrunk(x: Tensor, by: Option) -> Tensor:
    """Returns x that is nearer to 0 by a number, and 0 where it is as near already."""
    return F.softshrink(x, by) if is_number(by) else x.sign() * torch.relu(x.abs() - by)


def huber(x: Tensor, target: Tensor, delta: Option) -> Tensor:
    """Returns the Huber loss of each element."""
    if is_number(delta):
        return F.huber_loss(x, target, reduction="none", delta=delta)
    distance = (x - target).abs()
    near = distance.minimum(delta.to(x.dtype))
    return near * (distance - 0.5 * near)


def smooth_l1(x: Tensor, target: Tensor, beta: Option) -> Tensor:
    """Returns the smooth L1 loss of each element; of a β of 0 it is the distance."""
    if is_number(beta):
        return F.smooth_l1_loss(x, target, reduction="none", beta=beta)
    distance, none = (x - target).abs(), beta == 0
    near = distance.minimum(beta.to(x.dtype))
    bent = near * (distance - 0.5 * near) / torch.where(none, 1.0, beta)
    return torch.where(none, distance, bent)
