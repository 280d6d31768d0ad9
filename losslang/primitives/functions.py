"""Functions of the language: arithmetic on numbers, on tensors and on reduced losses."""

from __future__ import annotations

import math

from losslang.primitives.decorators import function
from losslang.tensors.devices import MANY
from losslang.tensors.lazy import F, torch, traces
from losslang.tensors.numerics import root
from losslang.vocabulary import Float, Tensor


def _same(x: float) -> float:
    return x


def _clipped(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _sigmoid(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * x))


def _geometric(*losses: float) -> float:
    return math.prod(losses) ** (1 / len(losses))


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


@function(fold=_geometric)
def gls(a: Float[Tensor, ""], *others: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The geometric mean (Π L)^(1/n) of n losses: 1 % less counts the same in each (arXiv:1904.08492).

    A loss of 0 has no gradient through it.
    """
    losses = torch.stack([torch.as_tensor(loss) for loss in (a, *others)])
    return losses.clamp(min=torch.finfo(losses.dtype).tiny).log().mean().exp()


def _tensors(a: Tensor | float, b: Tensor | float) -> tuple[Tensor, Tensor]:
    """Two operands as tensors, of which one may be a number."""
    if isinstance(a, torch.Tensor):
        return a, b if isinstance(b, torch.Tensor) else _beside(a, b)
    return _beside(b, a), b  # pyright: ignore


def _beside(tensor: Tensor, number: float) -> Tensor:
    """A number in the type of a tensor; beside integers a fraction stays a fraction."""
    dtype = tensor.dtype if tensor.is_floating_point() else torch.get_default_dtype()
    return torch.full((), number, dtype=dtype, device=tensor.device)
