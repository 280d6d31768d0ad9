"""Losses of a difference between numbers.

Shapes: prediction and target are alike, of any shape; one value per element, in the square or the
unit of the target.
"""

from __future__ import annotations

import math

from losslang.primitives.decorators import loss
from losslang.primitives.presets import SUM_OF_MEANS, Preset
from losslang.tensors import options
from losslang.tensors.devices import min_if_cheap, vector
from losslang.tensors.lazy import REDUCTIONS, F, kernels, torch
from losslang.tensors.numerics import root
from losslang.vocabulary import Dynamic, Float, Fraction, NonNegative, Positive, Scale, Tensor, Total


@loss(
    aliases=("mean_squared_error", "mse_loss", "squared_error"),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    like={
        "torch": Preset(takes="reduction"),
        "keras": Preset(refuses=SUM_OF_MEANS, takes="reduction"),
        "mmdet": Preset(takes="reduction"),
        "neuralforecast": Preset(ranks=(2, 3)),
        "sklearn": Preset(ranks=(1, 2)),
    },
)
def mse(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """e^2, e = prediction - target.

    Unit: the square of the target's.
    Source: least squares; torch's `mse_loss`.
    """
    return (values - target).square()


@mse.kernel("identity")
def mse_of_values(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, reduction: str = "none"
) -> Float[Tensor, "*shape"]:
    """`mse` by torch's kernel, which takes the mean or the sum itself."""
    return squares(values, target, reduction)


@loss(
    aliases=("half_squared_error",),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    like={"optax": Preset(takes="reduction")},
)
def half_mse(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """e^2 / 2; its gradient is e. optax calls it l2_loss.

    Unit: the square of the target's.
    Source: least squares; optax's `l2_loss`.
    """
    return 0.5 * (values - target).square()


@half_mse.kernel("identity")
def half_mse_of_values(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, reduction: str = "none"
) -> Float[Tensor, "*shape"]:
    """`half_mse` by torch's kernel, which takes the mean or the sum itself."""
    return 0.5 * squares(values, target, reduction)


@loss(
    aliases=("sum_squared_error",),
    activation="identity",
    reduction="sum",
    range=(0, math.inf),
    zero_when="equal",
)
def sse(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """e^2, summed over all counted elements: no 1/2 and no division.

    Unit: the square of the target's.
    Source: the residual sum of squares of least squares.
    """
    return (values - target).square()


@sse.kernel("identity")
def sse_of_values(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, reduction: str = "none"
) -> Float[Tensor, "*shape"]:
    """`sse` by torch's kernel, which takes the mean or the sum itself."""
    return squares(values, target, reduction)


@loss(
    aliases=("root_mean_squared_error",),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    like={
        "neuralforecast": Preset(ranks=(2, 3)),
        "pytorch_forecasting": Preset(ranks=(2,)),
        "sklearn": Preset(ranks=(1,)),
    },
)
def rmse(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], total: Total) -> Float[Tensor, ""]:
    """sqrt(Σ e^2 / n) over everything; its derivative at 0 is 0.

    Source: least squares, in the unit of the target; the root of torch's `mse_loss`.
    """
    squares, number = total(F.mse_loss(values, target, reduction="none"), 1)
    return root(squares / number)


@rmse.kernel("identity")
def rmse_of_values(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """`rmse` by torch's kernel for the mean of squares; 0 for empty tensors.

    A relu lets no gradient through at 0, where that of a square root is infinite; to ask takes less, on a
    CPU.
    """
    mean = squares(values, target, "mean")
    if min_if_cheap(mean) > 0:
        return mean.sqrt()
    return mean.relu().sqrt() if values.numel() else values.sum()


@loss(
    aliases=("mae", "l1_loss", "mean_absolute_error", "absolute_error"),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    like={
        "torch": Preset(takes="reduction"),
        "keras": Preset(refuses=SUM_OF_MEANS, takes="reduction"),
        "mmdet": Preset(takes="reduction"),
        "neuralforecast": Preset(ranks=(2, 3)),
        "pytorch_forecasting": Preset(ranks=(2,)),
        "sklearn": Preset(ranks=(1, 2)),
    },
)
def l1(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """|e|; its derivative at 0 is 0.

    Source: least absolute deviations; torch's `l1_loss`.
    """
    return (values - target).abs()


@loss(
    aliases=("smooth_l1_loss",),
    paper="Girshick 2015, arXiv:1504.08083",
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    like={
        "fvcore": Preset(takes="beta reduction"),
        "torch": Preset(takes="beta reduction"),
        "mmdet": Preset(takes="beta reduction"),
    },
)
def smooth_l1(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, beta: Dynamic[NonNegative] = 1.0
) -> Float[Tensor, "*shape"]:
    """e^2 / 2β where |e| < β, |e| - β/2 elsewhere; β = 0 is l1. It is huber(δ=β) / β.

    Unit: `beta` in that of the target, and so is the value.
    """
    return options.smooth_l1(values, target, beta)


@smooth_l1.kernel("identity")
def smooth_l1_of_values(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    beta: NonNegative = 1.0,
    reduction: str = "none",
) -> Float[Tensor, "*shape"]:
    """`smooth_l1` by torch's kernel, which takes the mean or the sum itself."""
    return kernels.smooth_l1_loss(values, target, REDUCTIONS[reduction], beta)


@loss(
    aliases=("huber_loss",),
    paper="Huber 1964",
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    like={
        "torch": Preset(takes="delta reduction"),
        "keras": Preset(refuses=SUM_OF_MEANS, takes="delta reduction"),
        "optax": Preset(takes="delta reduction"),
        "neuralforecast": Preset(ranks=(2, 3), takes="delta"),
    },
)
def huber(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, delta: Dynamic[Positive] = 1.0
) -> Float[Tensor, "*shape"]:
    """e^2 / 2 where |e| <= δ, δ (|e| - δ/2) elsewhere.

    The `delta` of torch and keras. It is δ times `smooth_l1(beta=δ)`: a smaller δ makes the loss smaller
    too. The `sigma` of older detectors is sqrt(1/β) of `smooth_l1`.

    Unit: `delta` in that of the target; the value in its square.
    """
    distance = (values - target).abs()
    near = distance.clamp(max=delta)
    return near * (distance - 0.5 * near)


@huber.kernel("identity")
def huber_of_values(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    delta: Positive = 1.0,
    reduction: str = "none",
) -> Float[Tensor, "*shape"]:
    """`huber` by torch's kernel, which takes the mean or the sum itself."""
    return kernels.huber_loss(values, target, REDUCTIONS[reduction], delta)


@loss(
    aliases=("logcosh",),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    like={
        "keras": Preset(refuses=SUM_OF_MEANS, takes="reduction"),
        "optax": Preset(takes="reduction"),
        "toolbelt": "",
    },
)
def log_cosh(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log cosh e = e + log(1 + e^(-2e)) - log 2: e^2 / 2 near 0, |e| - log 2 far out, no overflow.

    Unit: none: the target has to be without a unit.
    Source: keras' `LogCosh`.
    """
    error = values - target
    return error + F.softplus(-2 * error) - math.log(2)


@loss(
    paper="Charbonnier, Blanc-Féraud, Aubert, Barlaud 1994",
    activation="identity",
    range=(0, math.inf),
)
def charbonnier(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, eps: Dynamic[Scale] = 1e-3
) -> Float[Tensor, "*shape"]:
    """sqrt(e^2 + ε^2): ε at a perfect prediction, not 0.

    As in image restoration; BasicSR's ε is 1e-6. kornia's charbonnier_loss is `pseudo_huber(delta=1)`.

    Unit: `eps` in that of the target, and so is the value.
    """
    return (F.mse_loss(values, target, reduction="none") + eps * eps).sqrt()


@loss(
    aliases=("tukey_biweight", "bisquare"),
    paper="Beaton, Tukey 1974",
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
)
def tukey(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, c: Dynamic[Scale] = 4.685
) -> Float[Tensor, "*shape"]:
    """c²/6 (1 - (1 - (e/c)²)³) where |e| <= c, c²/6 beyond: an outlier pulls no more.

    Residuals are taken as they are; divide them by their scale before, if they have another. neuralforecast's
    has no `1 -` inside of c: it is 3.66 at no error, and falls to 0 at c.

    Unit: `c` in that of the target; the value in its square.
    """
    # 1 - (1 - u)³ as u (3 - 3 u + u²), of which nothing is lost near 0.
    square = ((values - target) / c).square().clamp(max=1)
    return c * c / 6 * square * (square * (square - 3) + 3)


@loss(
    aliases=("pinball", "pinball_loss"),
    paper="Koenker, Bassett 1978",
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    extra_axis="q",
    like={"neuralforecast": Preset(ranks=(2, 3), takes="q"), "sklearn": Preset(ranks=(1, 2), takes="q")},
)
def quantile(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    q: Dynamic[Fraction | list[Fraction]] = 0.5,
) -> Float[Tensor, "*shape"]:
    """max(q d, (q - 1) d), d = target - prediction; half of l1 at q = 0.5.

    A list of quantiles reads one per entry of the prediction's last axis. pytorch-forecasting's is twice
    this.

    Unit: that of the target; `q` counts from 0 to 1.
    """
    missing = target - values
    at = vector(q, values.dtype, values.device) if isinstance(q, (list, tuple)) else q
    return torch.maximum(at * missing, (at - 1) * missing)


def squares(values: Tensor, target: Tensor, reduction: str) -> Tensor:
    """(values - target)², of tensors of one shape."""
    return kernels.mse_loss(values, target, REDUCTIONS[reduction])
