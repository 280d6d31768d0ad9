"""Numerically safe arithmetic: value and gradient of roots and powers at 0, 0 log 0, and means of nothing."""

from __future__ import annotations

import math
from typing import Any, cast

from losslang.tensors.devices import min_if_cheap
from losslang.tensors.lazy import F, eager, torch
from losslang.vocabulary import Tensor


def mean_along(x: Tensor, axis: int) -> Tensor:
    """x.mean(axis). torch's mean divides its gradient after expanding it to the size of x, sum / n before."""
    return x.sum(axis) / x.shape[axis]


def root(x: Tensor) -> Tensor:
    """sqrt(x) whose derivative at 0 is 0."""
    zero = x == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, x).sqrt())


def log_sum(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    """log Σ e^x over axes. Where every x is -inf it is -inf with a gradient of 0, where torch's is NaN."""
    found = torch.logsumexp(x, axes, True)
    if not min_if_cheap(found) > -torch.inf:
        nothing = found.detach() == -torch.inf
        found = torch.where(nothing, -torch.inf, torch.logsumexp(torch.where(nothing, 0.0, x), axes, True))
    return found if keepdim else found.reshape(())


def unit(x: Tensor, axes: tuple[int, ...], eps: float | Tensor) -> Tensor:
    """x / max(|x|, ε), |x| the norm over axes; where |x| is 0 it is 0 with a gradient of 0."""
    length = cast("Tensor", torch.linalg.vector_norm(x, dim=axes, keepdim=True))  # pyright: ignore
    return torch.where(length == 0, 0.0, x / length.clamp(min=eps))


def divided(total: Tensor, number: Tensor) -> Tensor:
    """total / number; 0 with a gradient of 0 where the number is 0: the mean over nothing."""
    if min_if_cheap(number) > 0:
        return total / number
    nothing = number == 0
    return torch.where(nothing, 0.0, total / torch.where(nothing, 1.0, number))


def xlogx(x: Tensor) -> Tensor:
    """x log x with 0 log 0 = 0.

    At 0 the derivative, which is infinite, is that at the smallest normal number.
    """
    if not x.requires_grad:
        return torch.xlogy(x, x)
    return x * x.clamp(min=torch.finfo(x.dtype).tiny).log()


def power(base: Tensor, exponent: float | Tensor) -> Tensor:
    """base ** exponent, with derivatives of 0 where base is 0 and the exponent a fraction below 2.

    A base below 0, as a rounding may leave it, counts as 0 if the exponent is a fraction: NaN otherwise.
    """
    if not isinstance(exponent, (int, float)):
        # Where the slope is infinite the power is a constant: 0, or 1 of an exponent of 0.
        bent = (base == 0) & (exponent < 1)
        return torch.where(
            bent, torch.zeros_like(base) ** exponent.detach(), torch.where(bent, 1.0, base) ** exponent
        )
    if 0 < exponent < 2 and exponent != 1:
        if min_if_cheap(base) > 0:
            return base**exponent
        # 1 replaces bases without a slope, by arithmetic: torch.where takes longer.
        return base.detach().sign().relu() * F.threshold(base, 0.0, 1.0) ** exponent
    if exponent != int(exponent):
        base = base.clamp(min=0)
    if exponent <= 0:
        zero = base == 0
        return torch.where(zero, torch.inf if exponent < 0 else 1.0, torch.where(zero, 1.0, base) ** exponent)
    return base**exponent


def power_by_logarithm(base: Tensor, exponent: float | Tensor) -> Tensor:
    """base ** exponent, without a slope at 0: in half the time of a power and its slope."""
    tiny = torch.finfo(base.dtype).tiny
    if min_if_cheap(base) > 4 * tiny:
        return torch.exp(exponent * base.log())
    logarithm = base.clamp(min=tiny).log()
    # What is no larger than `tiny` is 0, and its logarithm as low as can be multiplied by any exponent.
    return torch.exp(exponent * F.threshold(logarithm, math.log(tiny) + 1e-3, -1e30))


def above(slope: Tensor, x: Tensor, bound: float) -> Tensor:
    """Sets a slope to 0 where x is not above its bound, in place."""
    return written(slope, torch.ops.aten.threshold_backward, slope, x, bound)


def written(out: Tensor, operation: Any, *given: Any) -> Tensor:
    """Writes the result of one of torch's backward operations to `out`; by a copy under a dispatch mode."""
    if eager.has_modes():
        return out.copy_(operation.default(*given))
    return operation.grad_input(*given, grad_input=out)
