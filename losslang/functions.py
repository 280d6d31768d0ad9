"""Arithmetic that may stand in a program: on numbers, on tensors and on reduced losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from losslang.decorators import function
from losslang.lazy import F, eager, torch, traces
from losslang.vocabulary import Float, Tensor

MANY = 2**14
"""Numbers from which on it takes longer to write one gradient for each than to divide once more."""


def _same(x: float) -> float:
    return x


def _clipped(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _sigmoid(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * x))


@function(fold=min)
def min_(a: Float[Tensor, "*shape"], *others: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The smallest of two or more."""
    for other in others:
        a = torch.minimum(*_tensors(a, other))
    return a


@function(fold=max)
def max_(a: Float[Tensor, "*shape"], *others: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The largest of two or more."""
    for other in others:
        a = torch.maximum(*_tensors(a, other))
    return a


@function(fold=math.fabs)
def abs_(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """|x|."""
    return torch.abs(x)


@function(fold=math.exp)
def exp(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """e^x."""
    return torch.exp(x)


@function(fold=math.log)
def log(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The natural logarithm."""
    return torch.log(x)


@function(fold=math.sqrt)
def sqrt(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The square root; its derivative at 0 is taken as 0, so that `sqrt(mse)` can reach it."""
    return root(x)


@function(fold=_clipped)
def clip(
    x: Float[Tensor, "*shape"], low: Float[Tensor, ""], high: Float[Tensor, ""]
) -> Float[Tensor, "*shape"]:
    """x held between low and high."""
    return torch.clamp(x, low, high)


@function(reduces=True, fold=_same)
def mean(x: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """The mean of all elements; of none it is 0."""
    real = x if x.dtype in (torch.float32, torch.float64) else x.float()
    number = real.numel()
    if number >= MANY and not traces():
        # torch's mean writes its gradient out for every element; that of a sum is one number, expanded.
        return real.sum() / number
    return real.mean() if number else real.sum()


def mean_along(x: Tensor, axis: int) -> Tensor:
    """x.mean(axis). torch's mean divides its gradient after it is as large as x, that of a sum before."""
    return x.sum(axis) / x.shape[axis]


@function(reduces=True, fold=_same)
def sum_(x: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """The sum of all elements."""
    return x.sum()


@function(fold=_softplus)
def softplus(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log(1 + e^x). From x = 40 on it is x, in float64 too; torch's own 20 is enough for float32 alone."""
    return F.softplus(x, threshold=40.0)


@function(fold=_sigmoid)
def sigmoid(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1 / (1 + e^-x)."""
    return torch.sigmoid(x)


@function(fold=math.tanh)
def tanh(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The hyperbolic tangent."""
    return torch.tanh(x)


@function(fold=_same)
def detach(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x without its gradient: it weighs, and is not trained."""
    return x.detach()


def root(x: Tensor) -> Tensor:
    """sqrt(x) whose derivative at 0 is 0."""
    zero = x == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, x).sqrt())


def divided(total: Tensor, number: Tensor) -> Tensor:
    """total / number, and 0 with a gradient of 0 where the number is 0: the mean over nothing."""
    if least(number) > 0:
        return total / number
    nothing = number == 0
    return torch.where(nothing, 0.0, total / torch.where(nothing, 1.0, number))


def xlogx(x: Tensor) -> Tensor:
    """x log x with 0 log 0 = 0; its derivative at 0, where it is infinite, is that at the smallest normal number."""
    if not x.requires_grad:
        return torch.xlogy(x, x)
    return x * x.clamp(min=torch.finfo(x.dtype).tiny).log()


def power(base: Tensor, exponent: float | Tensor) -> Tensor:
    """base ** exponent, with derivative 0 where base is 0 and the exponent below 1.

    A base that should not be below 0, and is by a rounding, has no fraction of a power: it counts as 0.
    """
    if not isinstance(exponent, int | float):
        return base**exponent
    if 0 < exponent < 1:
        if least(base) > 0:
            return base**exponent
        # A base of 1 stands in for what has no slope, by arithmetic: to choose by a mask takes longer.
        return base.detach().sign().relu() * F.threshold(base, 0.0, 1.0) ** exponent
    if exponent != int(exponent):
        base = base.clamp(min=0)
    if exponent <= 0:
        zero = base == 0
        return torch.where(zero, torch.inf if exponent < 0 else 1.0, torch.where(zero, 1.0, base) ** exponent)
    return base**exponent


def above(slope: Tensor, x: Tensor, bound: float) -> Tensor:
    """A slope where x is above its bound, 0 elsewhere; in place."""
    return written(slope, torch.ops.aten.threshold_backward, slope, x, bound)


def written(out: Tensor, operation: Any, *given: Any) -> Tensor:
    """What a derivative of torch's gives, in `out`. A mode that watches what is written to may not find it there."""
    if eager.has_modes():
        return out.copy_(operation.default(*given))
    return operation.grad_input(*given, grad_input=out)


def wide(x: Tensor) -> Tensor:
    """x in double precision, for differences of sums; as it is on a device that has none."""
    return x.to(widest(x))


def widest(like: Tensor) -> torch.dtype:
    """Double precision, or the tensor's own type on a device that has none."""
    return like.dtype if like.device.type == "mps" else torch.float64


def near(tensor: Tensor) -> bool:
    """Whether to look at a number waits for nothing: on a CPU, not on a GPU, which computes later."""
    return tensor.is_cpu


def least(x: Tensor) -> float:
    """The smallest element, if it takes less to ask than to hold all above a bound.

    NaN, which is above nothing, on a GPU, where the answer would have to be waited for; where nothing may be
    asked; and of no elements.
    """
    if type(x) is not torch.Tensor or traces() or not x.is_cpu or not x.numel():
        return math.nan
    asked = x.detach() if x.requires_grad else x
    return (asked.amin() if x.ndim else asked).item()


NO_LABEL = -(2**31)
"""What no label is: torch's kernels leave out -100 unless they are told another."""

REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}
"""As the kernels in `torch_private` know them."""


def exact(like: Tensor) -> Any:
    """A block in which autocast lowers no precision: exponents and differences of squares need all of it."""
    kind = like.device.type
    return torch.autocast(kind if torch.amp.is_autocast_available(kind) else "cpu", enabled=False)


def _tensors(a: Tensor | float, b: Tensor | float) -> tuple[Tensor, Tensor]:
    """Two operands of which one may be a number."""
    if isinstance(a, torch.Tensor):
        return a, b if isinstance(b, torch.Tensor) else _beside(a, b)
    return _beside(b, a), b  # pyright: ignore


def _beside(tensor: Tensor, number: float) -> Tensor:
    """A number in a tensor's type; beside whole numbers a fraction stays one."""
    kept = tensor.dtype if tensor.is_floating_point() else torch.get_default_dtype()
    return torch.full((), number, dtype=kept, device=tensor.device)


def vector(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers of a program as a tensor.

    On a GPU each is filled in there: one that is copied waits for all that was asked of the GPU before.
    """
    if device.type == "cpu":
        return torch.tensor(values, dtype=dtype, device=device)
    return torch.stack([torch.full((), value, dtype=dtype, device=device) for value in values])
