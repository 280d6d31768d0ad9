"""Losses of a difference that outliers do not rule.

Shapes: prediction and target are alike, of any shape; one value per element. The scale of a residual
(`c`, `delta`, `beta`, `w`, `epsilon`) is in the unit of the target, and at least 1e-12 where errors are
squared in it.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from losslang.primitives.decorators import loss
from losslang.primitives.presets import Preset
from losslang.tensors import options
from losslang.tensors.devices import vector
from losslang.tensors.lazy import F, torch
from losslang.tensors.options import Option, function_of, is_number
from losslang.vocabulary import (
    LARGEST,
    SMALLEST,
    Dynamic,
    Float,
    Fraction,
    NonNegative,
    Positive,
    Scale,
    Tensor,
)

Shape = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Pull = Annotated[float, Field(ge=0.02, le=LARGEST)]
Most = Annotated[float, Field(ge=SMALLEST, le=40)]


@loss(
    paper="Barron 2019, arXiv:1701.03077",
    aliases=("general_robust",),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    like={"robust_loss": Preset(takes="alpha")},
)
def barron(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    alpha: Dynamic[Shape] = 1.0,
    c: Dynamic[Scale] = 1.0,
) -> Float[Tensor, "*shape"]:
    """|α - 2|/α ((e²/(c² |α - 2|) + 1)^(α/2) - 1): half a square near 0, further out what α says.

    α = 2 is e²/(2c²), 1 pseudo_huber / c², 0 cauchy, -2 geman_mcclure. The ends of its range stand for
    infinity: -1e18 is welsch, 1e18 is e^(e²/2c²) - 1. robust_loss_pytorch asks for α and calls c the scale;
    its adaptive form begins at α = 1.
    """
    square = ((values - target) / c).square()
    if not is_number(alpha):
        return _bent(square, alpha)
    if alpha == 2:
        return 0.5 * square
    if alpha == 0:
        return torch.log1p(0.5 * square)
    bend = abs(alpha - 2)
    return bend / alpha * torch.expm1(0.5 * alpha * torch.log1p(square / bend))


def _bent(square: Tensor, alpha: Option) -> Tensor:
    """`barron` of an α that is a tensor: at 0 and at 2 by the formula of an α that is hardly another."""
    least = torch.finfo(square.dtype).eps
    bend = (alpha - 2).abs().clamp(min=least)
    alpha = torch.where(alpha.abs() < least, least, alpha)
    return bend / alpha * torch.expm1(0.5 * alpha * torch.log1p(square / bend))


@loss(
    paper="Charbonnier, Blanc-Féraud, Aubert, Barlaud 1994",
    aliases=("pseudo_huber_loss",),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    like={"kornia": Preset(takes="reduction")},
)
def pseudo_huber(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, delta: Dynamic[Scale] = 1.0
) -> Float[Tensor, "*shape"]:
    """δ² (sqrt(1 + (e/δ)²) - 1): e²/2 near 0, δ |e| far out.

    At δ = 1 it is kornia's charbonnier_loss. It is δ times `charbonnier(eps=δ)`, less δ²: 0 at no error.
    """
    square = (values - target).square()
    return square / (1 + (1 + square / delta**2).sqrt())


@pseudo_huber.slope
def pseudo_huber_slope(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, delta: Scale = 1.0
) -> tuple[Tensor, Tensor]:
    """The values and their derivative: δ e² / (h + δ) and δ e / h, h = sqrt(e² + δ²)."""
    error = values - target
    square = error.square()
    hypotenuse = (square + delta**2).sqrt_()
    slope = error.div_(hypotenuse).mul_(delta)
    return square.div_(hypotenuse.add_(delta)).mul_(delta), slope


@loss(
    paper="Black, Anandan 1996",
    aliases=("cauchy_loss", "lorentzian"),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    like={"kornia": Preset(takes="reduction")},
)
def cauchy(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, c: Dynamic[Scale] = 1.0
) -> Float[Tensor, "*shape"]:
    """log(1 + (e/c)²/2): barron's α = 0.

    Statistics writes k²/2 log(1 + (e/k)²), with k = 2.385: that is c² times this one at c = k/√2.
    """
    return torch.log1p(F.mse_loss(values, target, reduction="none") / (2 * c**2))


@loss(
    paper="Geman, McClure 1985",
    aliases=("geman_mcclure_loss",),
    activation="identity",
    range=(0, 2),
    zero_when="equal",
    like={"kornia": Preset(takes="reduction")},
)
def geman_mcclure(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, c: Dynamic[Scale] = 1.0
) -> Float[Tensor, "*shape"]:
    """2 (e/c)² / ((e/c)² + 4): barron's α = -2, never above 2."""
    square = (values - target).square()
    return 2 * square / (square + 4 * c**2)


@loss(
    paper="Dennis, Welsch 1978",
    aliases=("welsch_loss", "leclerc"),
    activation="identity",
    range=(0, 1),
    zero_when="equal",
    like={"kornia": Preset(takes="reduction")},
)
def welsch(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, c: Dynamic[Scale] = 1.0
) -> Float[Tensor, "*shape"]:
    """1 - e^(-(e/c)²/2): barron's α = -∞, never above 1."""
    return -torch.expm1(F.mse_loss(values, target, reduction="none") / (-2 * c**2))


@loss(
    paper="Pang, Chen, Shi, Feng, Ouyang, Lin 2019 (Libra R-CNN), arXiv:1904.02701",
    aliases=("balanced_l1_loss",),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    like={"mmdet": Preset(takes="reduction")},
)
def balanced_l1(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    alpha: Dynamic[Pull] = 0.5,
    gamma: Dynamic[Most] = 1.5,
    beta: Dynamic[Positive] = 1.0,
) -> Float[Tensor, "*shape"]:
    """α/b (b d + β) log(b d/β + 1) - α d where d < β, γ d + (γ/b - α) β elsewhere; d = |e|, b = e^(γ/α) - 1.

    Its slope is the paper's, α log(b d/β + 1) up to γ: small errors weigh more than in smooth_l1, large ones
    less than in mse. mmdetection writes 1 for the β of `b d + β`: the same at β = 1, but at β = 2 an error
    of 0.05 gives -0.005 there, and 0.005 here. γ/α is at most 80: single precision ends at e^88.

    Raises: ValueError if `gamma` is more than 80 `alpha`.
    """
    ratio = gamma / alpha
    if is_number(ratio) and ratio > 80:
        raise ValueError(
            f"balanced_l1: e^(gamma / alpha) is e^{ratio:g}; take a `gamma` of at most 80 `alpha`"
        )
    distance = (values - target).abs()
    b = function_of("expm1", ratio)
    inside = alpha / b * (b * distance + beta) * torch.log1p(b / beta * distance) - alpha * distance
    return torch.where(distance < beta, inside, gamma * distance + (gamma / b - alpha) * beta)


@loss(
    paper="Feng, Kittler, Awais, Huber, Wu 2018, arXiv:1711.06753",
    aliases=("wing_loss",),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    like={
        "toolbelt": Preset("w=5, epsilon=0.5", takes="reduction"),
        "smp": Preset("w=5, epsilon=0.5", takes="reduction"),
    },
)
def wing(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    w: Dynamic[Positive] = 10.0,
    epsilon: Dynamic[Positive] = 2.0,
) -> Float[Tensor, "*shape"]:
    """w log(1 + |e|/ε) where |e| < w, |e| - w + w log(1 + w/ε) elsewhere.

    Errors are in pixels: w is where the logarithm ends, ε bends it. pytorch-toolbelt calls them width and
    curvature.

    Unit: `w` and `epsilon` in that of the target, and so is the value.
    """
    distance = (values - target).abs()
    shift = w - w * function_of("log1p", w / epsilon)
    return torch.where(distance < w, w * torch.log1p(distance / epsilon), distance - shift)


@loss(
    paper="Dabney, Rowland, Bellemare, Munos 2018, arXiv:1710.10044",
    aliases=("quantile_huber",),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    extra_axis="q",
    like={"neuralforecast": Preset(ranks=(2, 3))},
)
def huber_quantile(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    q: Dynamic[Fraction | list[Fraction]] = 0.5,
    delta: Dynamic[Positive] = 1.0,
) -> Float[Tensor, "*shape"]:
    """|q - [d < 0]| huber(d, δ), d = target - prediction; half of huber at q = 0.5.

    A list of quantiles reads one per entry of the prediction's last axis. QR-DQN divides by δ.
    neuralforecast's HuberMQLoss puts q inside of huber and divides by the number of quantiles twice.
    """
    missing = target - values
    at = vector(q, values.dtype, values.device) if isinstance(q, (list, tuple)) else q
    side = (at - (missing < 0).to(values.dtype)).abs()
    return side * options.huber(missing, torch.zeros_like(missing), delta)


@loss(
    paper="Vapnik 1995",
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
)
def epsilon_insensitive(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, epsilon: Dynamic[NonNegative] = 0.1
) -> Float[Tensor, "*shape"]:
    """max(0, |e| - ε): an error within ε is none. The loss of support vector regression."""
    return options.softshrunk(values - target, epsilon).abs()


@loss(
    paper="Vapnik 1995",
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
)
def squared_epsilon_insensitive(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, epsilon: Dynamic[NonNegative] = 0.1
) -> Float[Tensor, "*shape"]:
    """max(0, |e| - ε)²."""
    return torch.relu((values - target).abs() - epsilon).square()
