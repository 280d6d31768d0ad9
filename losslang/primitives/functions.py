"""Functions of the language: arithmetic on numbers, on tensors and on reduced losses.

Those with `dim` compute along axes of a tensor, which are counted as the tensor has them, -1 the last. What
reduces keeps them with size 1, and without `dim` reduces everything.
"""

from __future__ import annotations

import math

from losslang.primitives.decorators import function
from losslang.tensors.devices import MANY
from losslang.tensors.lazy import F, torch, traces
from losslang.tensors.numerics import log_sum, root, unit
from losslang.vocabulary import Axes, Float, Positive, Tensor


def _same(x: float) -> float:
    return x


def _smallest(*x: float) -> float:
    return min(x)


def _largest(*x: float) -> float:
    return max(x)


def _clipped(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _sigmoid(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * x))


def _geometric(*losses: float) -> float:
    return math.prod(losses) ** (1 / len(losses))


@function(fold=_smallest, reduces=True)
def min_(
    a: Float[Tensor, "*shape"], *others: Float[Tensor, "*shape"], dim: Axes | None = None
) -> Float[Tensor, "*shape"]:
    """The smallest of two or more; of one tensor its smallest element, equal ones share the gradient."""
    if not others:
        return a.amin(_every(a, dim), keepdim=dim is not None)
    for other in others:
        a = torch.minimum(*_tensors(a, other))
    return a


@function(fold=_largest, reduces=True)
def max_(
    a: Float[Tensor, "*shape"], *others: Float[Tensor, "*shape"], dim: Axes | None = None
) -> Float[Tensor, "*shape"]:
    """The largest of two or more; of one tensor its largest element, equal ones share the gradient."""
    if not others:
        return a.amax(_every(a, dim), keepdim=dim is not None)
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
def mean(x: Float[Tensor, "*shape"], *, dim: Axes | None = None) -> Float[Tensor, "*shape"]:
    """The mean of all elements, or along axes; of none it is 0."""
    real = x if x.dtype in (torch.float32, torch.float64) else x.float()
    if dim is not None:
        number = math.prod(real.shape[axis] for axis in _every(real, dim))
        return real.sum(_every(real, dim), keepdim=True) / max(number, 1)
    number = real.numel()
    if number >= MANY and not traces():
        # torch's mean writes its gradient out for every element; that of a sum is one number, expanded.
        return real.sum() / number
    return real.mean() if number else real.sum()


@function(reduces=True, fold=_same)
def sum_(x: Float[Tensor, "*shape"], *, dim: Axes | None = None) -> Float[Tensor, "*shape"]:
    """The sum of all elements, or along axes."""
    return x.sum() if dim is None else x.sum(_every(x, dim), keepdim=True)


@function(reduces=True, fold=_same)
def logsumexp(x: Float[Tensor, "*shape"], *, dim: Axes | None = None) -> Float[Tensor, "*shape"]:
    """log Σ e^x over all elements, or along axes. Where every x is -inf it is -inf, with no gradient."""
    return log_sum(x, _every(x, dim), dim is not None)


@function(reduces=True, fold=math.fabs)
def norm(x: Float[Tensor, "*shape"], *, dim: Axes | None = None) -> Float[Tensor, "*shape"]:
    """sqrt(Σ x^2) over all elements, or along axes; its derivative at 0 is 0."""
    return torch.linalg.vector_norm(x, dim=_every(x, dim), keepdim=dim is not None)  # pyright: ignore


@function()
def softmax(x: Float[Tensor, "*shape"], *, dim: int) -> Float[Tensor, "*shape"]:
    """e^x / Σ e^x along an axis. As an activation, in `ce(softmax)`, it needs no axis."""
    return torch.softmax(x, dim)


@function()
def log_softmax(x: Float[Tensor, "*shape"], *, dim: int) -> Float[Tensor, "*shape"]:
    """x - log Σ e^x along an axis. As an activation, in `nll(log_softmax)`, it needs no axis."""
    return torch.log_softmax(x, dim)


@function()
def normalize(x: Float[Tensor, "*shape"], *, dim: Axes, eps: Positive = 1e-12) -> Float[Tensor, "*shape"]:
    """x / max(|x|, ε), |x| the norm along an axis. Where |x| is 0 it is 0, with no gradient: torch's is 1 / ε."""
    return unit(x, _every(x, dim), eps)


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


def _every(x: Tensor, dim: Axes | None) -> tuple[int, ...]:
    """The axes that `dim` names, from 0 on; all without one."""
    named = range(x.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    return tuple(axis % x.ndim for axis in named)


def _tensors(a: Tensor | float, b: Tensor | float) -> tuple[Tensor, Tensor]:
    """Two operands as tensors, of which one may be a number."""
    if isinstance(a, torch.Tensor):
        return a, b if isinstance(b, torch.Tensor) else _beside(a, b)
    return _beside(b, a), b  # pyright: ignore


def _beside(tensor: Tensor, number: float) -> Tensor:
    """A number in the type of a tensor; beside integers a fraction stays a fraction."""
    dtype = tensor.dtype if tensor.is_floating_point() else torch.get_default_dtype()
    return torch.full((), number, dtype=dtype, device=tensor.device)
