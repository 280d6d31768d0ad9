"""Losses of forecasts, and of other differences that are relative: to the target, to a history, to a scale.

Shapes: prediction and target are alike, of any shape; one value per element unless it says otherwise.
A ratio is a ratio: nothing here is multiplied by 100.
"""

from __future__ import annotations

import math

from losslang.losses.regression import squares
from losslang.primitives.decorators import loss
from losslang.primitives.presets import SUM_OF_MEANS, Preset
from losslang.tensors.devices import min_if_cheap
from losslang.tensors.lazy import F, torch
from losslang.tensors.numerics import above, root
from losslang.tensors.options import function_of, is_number, threshold
from losslang.vocabulary import Count, Dynamic, Fixed, Float, Fraction, NonNegative, Positive, Tensor, Total


@loss(
    aliases=("mean_absolute_percentage_error",),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    like={
        "neuralforecast": Preset("eps=0", ranks=(2, 3)),
        "pytorch_forecasting": Preset("eps=1e-8", ranks=(2,)),
    },
)
def mape(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, eps: Dynamic[NonNegative] = 1e-7
) -> Float[Tensor, "*shape"]:
    """|e| / max(|t|, ε): a part of the target, 1 and not 100 for all of it.

    A target of 0 weighs 1/ε, unless `eps=0`: then it gives 0, and counts. keras' number is 100*mape.

    Unit: none, a fraction: 0.1 is ten percent.
    Source: keras' `MeanAbsolutePercentageError`, which is in percent.
    """
    error, size = (values - target).abs(), target.abs().clamp(min=eps)
    return error / size if is_number(eps) and eps else _over(error, size)


@loss(
    paper="Makridakis 1993",
    aliases=("symmetric_mean_absolute_percentage_error",),
    activation="identity",
    range=(0, 2),
    zero_when="equal",
    like={"neuralforecast": Preset(ranks=(2, 3)), "pytorch_forecasting": Preset(ranks=(2,))},
)
def smape(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, eps: Dynamic[Positive] = 1e-8
) -> Float[Tensor, "*shape"]:
    """2 |e| / max(|t| + |p|, ε), p the prediction: 0 to 2, and 0 where both are 0.

    Competitions print 100*smape, 0 to 200; some papers leave out the 2.

    Unit: none, a fraction: 0.1 is ten percent.
    """
    size = torch.lerp(values.abs(), target.abs(), 0.5)
    return (values - target).abs() / threshold(size, eps / 2, eps / 2)


@loss(
    aliases=("mean_squared_logarithmic_error", "mean_squared_log_error"),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    like={"keras": Preset(refuses=SUM_OF_MEANS, takes="reduction"), "sklearn": Preset(ranks=(1, 2))},
)
def msle(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """(log(1 + p) - log(1 + t))², p the prediction; below 0 both count as 0, as in keras.

    A prediction below 0 has no gradient: `msle(softplus)` keeps it above. Flux has no 1 + in the logarithms,
    so that its numbers are others, above all for small targets.

    Unit: none, squares of natural logarithms.
    Source: keras' `MeanSquaredLogarithmicError`.
    """
    log, log_target = torch.log1p(torch.relu(values)), torch.log1p(torch.relu(target))
    return F.mse_loss(log, log_target, reduction="none")


@msle.slope
def msle_slope(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> tuple[Tensor, Tensor]:
    """The values d² and their derivative, 2 d / (1 + p) where p is above 0, else 0.

    Where all p are above 0, which is asked first, the prediction needs no relu.
    """
    held = not min_if_cheap(values) > 0
    log_target = torch.log1p(target if min_if_cheap(target) >= 0 else torch.relu(target))
    difference = (torch.relu(values) if held else values).log1p().sub_(log_target)
    half = torch.add(values.new_full((), 0.5), values, alpha=0.5, out=log_target)
    slope = torch.div(difference, half, out=half)
    return difference.square_(), above(slope, values, 0.0) if held else slope


@loss(
    paper="Hyndman, Koehler 2006",
    aliases=("mean_absolute_scaled_error",),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    whole=True,
    like={"neuralforecast": Preset(ranks=(2, 3))},
)
def mase(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    history: Float[Tensor, "b t"],
    *,
    seasonality: Fixed[Count, "it counts steps, by which the history is shifted"] = 1,
) -> Float[Tensor, "*shape"]:
    """|e| / mean |h_i - h_(i-m)|, h the history (B, T) before the forecast, m the seasonality.

    The error in units of what the seasonal naive forecast errs there: `mase@(pred, target, batch.history)`.
    A history that repeats itself gives 0, as in neuralforecast. pytorch-forecasting's MASE counts the target
    into its history, and knows no seasons.

    Unit: none: 1 is the error of the seasonal naive forecast. `seasonality` counts steps.
    Raises: ValueError if the history is not longer than `seasonality`.
    """
    return _over((values - target).abs(), _naive(history, seasonality, values))


@mase.slope
def mase_slope(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    history: Float[Tensor, "b t"],
    *,
    seasonality: Count = 1,
) -> tuple[Tensor, Tensor]:
    """The values and their derivative, sign(e) / mean |h_i - h_(i-m)|."""
    scale = F.threshold(_naive(history, seasonality, values), 0.0, math.inf)
    error = values - target
    slope = error.sign().div_(scale)
    return error.abs_().div_(scale), slope


def _naive(history: Tensor, seasonality: int, like: Tensor) -> Tensor:
    """What the seasonal naive forecast errs on average, one number a series."""
    if history.shape[-1] <= seasonality:
        raise ValueError(
            f"mase: a history of {history.shape[-1]} is no longer than its season, {seasonality}; "
            "hand over a longer one, or a smaller `seasonality`"
        )
    error = (history[..., seasonality:] - history[..., :-seasonality]).abs().mean(-1)
    return error.reshape(error.shape + (1,) * (like.ndim - error.ndim))


@loss(
    paper="Olivares, Meetei, Ma, Reddy, Cao, Dicker 2021, arXiv:2110.13179",
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
)
def relmse(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    baseline: Float[Tensor, "*shape"],
    total: Total,
) -> Float[Tensor, ""]:
    """Σ e² / Σ (t - b)² over everything, b a forecast to beat; 0 where b is perfect."""
    errors, unit = total(
        F.mse_loss(values, target, reduction="none"), F.mse_loss(baseline, target, reduction="none")
    )
    return _over(errors, unit)


@relmse.kernel("identity")
def relmse_of_values(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], baseline: Float[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """`relmse` by torch's kernel for squares, which sums them itself."""
    return _over(squares(values, target, "sum"), squares(baseline, target, "sum"))


@loss(
    paper="Eigen, Puhrsch, Fergus 2014, arXiv:1406.2283",
    aliases=("silog_loss",),
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    whole=True,
    like={"mmseg": Preset(takes="reduction")},
)
def silog(
    values: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    *,
    lam: Dynamic[Fraction] = 0.5,
    eps: Dynamic[Positive] = 1e-6,
) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
    """sqrt(mean d² - λ (mean d)²) of each sample, d = log p - log t; targets up to ε are left out.

    Depths below ε count as ε. A sample with no target does not count; mmsegmentation counts it as 0, and its
    gradient at a perfect prediction is NaN. What is masked is a target of 0. The paper has no root; AdaBins'
    is 10*silog(lam=0.85).

    Unit: none, a difference of logarithms; `eps` in that of the target.
    """
    # By arithmetic: to choose by a mask takes longer. A target that is no number is not known.
    given = torch.nan_to_num(target, 0.0, math.inf, -math.inf).flatten(1)
    known = threshold(given, eps, 0.0).sign()
    ratio = threshold(values.flatten(1), eps, eps) / threshold(given, eps, 1.0)
    distance, number = ratio.log() * known, known.sum(1)
    counted = number.clamp(min=1)
    # mean d² - λ m², m = mean d, is the mean of (d + s m)² for this s: a sum in which nothing cancels.
    shift = (function_of("sqrt", 1 - lam) - 1) * distance.sum(1) / counted
    squares = torch.addcmul(distance, known, shift.unsqueeze(1)).square()
    return root(squares.sum(1) / counted), number > 0


@silog.slope
def silog_slope(
    values: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    *,
    lam: Fraction = 0.5,
    eps: Positive = 1e-6,
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The values L and which of them count; their derivative, (d - λ mean d) / (n L p) where p is above ε."""
    if min_if_cheap(target) > eps and min_if_cheap(values) > eps:
        return _silog_of_known(values, target, lam)
    given = torch.nan_to_num(target, 0.0, math.inf, -math.inf).flatten(1)
    known, depth = F.threshold(given, eps, 0.0).sign_(), F.threshold(values.flatten(1), eps, eps)
    given = F.threshold(given, eps, 1.0, inplace=True)
    distance = torch.div(depth, given, out=given).log_().mul_(known)
    number = known.sum(1)
    counted = number.clamp(min=1)
    mean = (distance.sum(1) / counted).unsqueeze(1)
    squares = torch.addcmul(distance, known, mean, value=math.sqrt(1 - lam) - 1).square_()
    found = (squares.sum(1) / counted).sqrt()
    scale = F.threshold(counted * found, 0.0, math.inf).unsqueeze(1)
    slope = distance.addcmul_(known, mean, value=-lam).div_(depth.mul_(scale)).view_as(values)
    return (found, number > 0), above(slope, values, eps)


def _silog_of_known(values: Tensor, target: Tensor, lam: float) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The same of depths that are all known and above their bound."""
    depth = values.flatten(1)
    distance = torch.div(depth, target.flatten(1)).log_()
    mean = distance.mean(1, keepdim=True)
    found = torch.add(distance, mean, alpha=math.sqrt(1 - lam) - 1).square_().mean(1).sqrt_()
    scale = F.threshold(depth.shape[1] * found, 0.0, math.inf).unsqueeze(1)
    slope = distance.sub_(mean, alpha=lam).div_(depth * scale)
    return (found, torch.ones_like(found, dtype=torch.bool)), slope.view_as(values)


def _over(a: Tensor, b: Tensor) -> Tensor:
    """a / b of b >= 0, and 0 where b is 0."""
    return a / F.threshold(b, 0.0, math.inf)
