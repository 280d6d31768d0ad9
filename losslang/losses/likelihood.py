"""Losses of data under a distribution that the prediction describes. Values in nats, one per element.

Shapes: prediction, target and further operands are alike, of any shape. A rate or a mean is predicted as
its logarithm x; one that is predicted itself is read as `tweedie@(log(pred), target)`. Terms of the target
alone are left out where it says so: they change no gradient.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from losslang.losses.distribution import gaussian_nll
from losslang.primitives.decorators import loss
from losslang.primitives.presets import Preset
from losslang.tensors.devices import min_if_cheap
from losslang.tensors.lazy import F, torch
from losslang.tensors.options import Option
from losslang.vocabulary import SMALLEST, Dynamic, Float, Scale, Tensor

Between = Annotated[float, Field(gt=1, lt=2)]


@loss(
    paper="Jørgensen 1987",
    aliases=("tweedie_loss",),
    activation="identity",
    nonnegative=("target",),
    like={"pytorch_forecasting": Preset(ranks=(2,), takes="p")},
)
def tweedie(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, p: Dynamic[Between] = 1.5
) -> Float[Tensor, "*shape"]:
    """μ^(2-p) / (2-p) - t μ^(1-p) / (1-p), μ = e^x: amounts of which many are exactly 0.

    Half the deviance, without terms of the target. The variance grows as μ^p; p = 1 would be `poisson_nll`
    and p = 2 `gamma_nll`. scikit-learn calls p the power, neuralforecast rho.
    """
    least = torch.finfo(values.dtype).min
    finite = F.threshold(values, least, least)
    return ((2 - p) * finite).exp() / (2 - p) + _times_exp(target / (p - 1), finite, 1 - p)


@tweedie.slope
def tweedie_slope(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, p: Between = 1.5
) -> tuple[Tensor, Tensor]:
    """The values and their derivative, μ^(2-p) - t μ^(1-p)."""
    least = torch.finfo(values.dtype).min
    finite = F.threshold(values, least, least)
    falling = target.sign().mul_(finite).mul_(1 - p).exp_().mul_(target)
    rising = finite.mul_(2 - p).exp_()
    slope = rising - falling
    return torch.add(rising.div_(2 - p), falling, alpha=1 / (p - 1)), slope


@loss(activation="identity", nonnegative=("target",))
def gamma_nll(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x + t e^-x of a predicted log-mean x: amounts above 0 whose spread grows with them.

    Half the deviance, without terms of the target, as in scikit-learn; times its shape it is the likelihood.

    Source: the log-likelihood of a gamma distribution with a log link; scikit-learn's `HalfGammaLoss`.
    """
    return values + _times_exp(target, values, -1)


@gamma_nll.slope
def gamma_nll_slope(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]
) -> tuple[Tensor, Tensor]:
    """The values and their derivative, 1 - t e^-x."""
    falling = _times_exp(target, values, -1)
    return values + falling, falling.neg_().add_(1)


@loss(
    paper="Csiszár 1991",
    aliases=("generalized_kl_divergence",),
    activation="identity",
    reduction="batchmean",
    range=(0, math.inf),
    nonnegative=("target",),
    like={
        "optax": Preset(ranks=(2,), refuses={"reduction=none": "optax adds up each row"}, takes="reduction")
    },
)
def generalized_kl(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """t (log t - x) - t + e^x of a predicted log-measure x, with 0 log 0 = 0.

    Divided by the batch as `kl` is.

    Neither side needs to add up to 1. It is `poisson_nll` and what makes that 0 at x = log t.
    """
    apart = values - target.clamp(min=SMALLEST).log()
    near = apart.clamp(-1, 1)
    # t (e^d - 1 - d), d = x - log t: near 0 it is what the plain sum loses.
    beside = target * (torch.expm1(near) - near)
    return torch.where(near.abs() < 1, beside, values.exp() - target - target * apart)


@generalized_kl.slope
def generalized_kl_slope(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]
) -> tuple[Tensor, Tensor]:
    """The values and their derivative, e^x - t; they are computed from d = x - log t."""
    # e^x - t as t (e^d - 1), and as 1 (e^x - 1) + 1 beside a t of 0.
    some = F.threshold(target, 1e-12, 1.0)
    apart = torch.log(some).neg_().add_(values)
    slope = torch.expm1(apart).mul_(some)
    if not min_if_cheap(target) > 1e-12:
        slope.add_(F.threshold(target, 1e-12, 0.0).sign_().neg_().add_(1))
    return torch.addcmul(slope, target, apart, value=-1), slope


@loss(activation="identity", nonnegative=("target", "dispersion"))
def negative_binomial_nll(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    dispersion: Float[Tensor, "*shape"],
    *,
    eps: Dynamic[Scale] = 1e-6,
) -> Float[Tensor, "*shape"]:
    """r log(1 + μ/r) + t log(1 + r/μ) - log(Γ(t + r) / Γ(r) t!), μ = e^x, r = 1/α.

    Counts whose variance is μ + α μ². The third operand is the dispersion α, not below ε, and its gradient
    passes that bound: `negative_binomial_nll@(pred.x, target, pred.alpha)`. torch's total_count is r, and its
    logits are x + log α; unlike its log_prob this one is exact in float32 where α is small.

    Source: the negative log-likelihood of a negative binomial distribution of mean μ, variance μ + α μ².
    """
    alpha = dispersion + (dispersion.clamp(min=eps) - dispersion).detach()
    logits = values + alpha.log()
    ways = _log_rising(1 / alpha, target) - torch.lgamma(target + 1)
    return F.softplus(logits) / alpha + target * F.softplus(-logits) - ways


@negative_binomial_nll.slope
def negative_binomial_nll_slope(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    dispersion: Float[Tensor, "*shape"],
    *,
    eps: Scale = 1e-6,
) -> tuple[Tensor, Tensor]:
    """The values and their derivative, r σ(l) - t σ(-l), l = x + log α: where the mean is t it is 0."""
    alpha = dispersion.clamp(min=eps)
    r, logits = 1 / alpha, alpha.log().add_(values)
    ways = _log_rising(r, target).sub_(torch.lgamma(target + 1))
    other = -logits
    found = F.softplus(logits).mul_(r).addcmul_(target, F.softplus(other)).sub_(ways)
    return found, logits.sigmoid_().mul_(r).addcmul_(target, other.sigmoid_(), value=-1)


@loss(activation="identity", nonnegative=("target", "variance"))
def lognormal_nll(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    variance: Float[Tensor, "*shape"],
    *,
    full: bool = False,
    eps: Dynamic[Scale] = 1e-6,
) -> Float[Tensor, "*shape"]:
    """(log v + (log t - x)²/v) / 2, v the variance of log t, not below ε; `full` adds log t + (log 2π) / 2.

    It is `gaussian_nll` of log t, and reads its operands: `lognormal_nll@(pred.x, target, pred.var)`. A
    target of 0 counts as the smallest number above it.

    Source: the negative log-likelihood of a log-normal distribution.
    """
    log = target.clamp(min=torch.finfo(target.dtype).tiny).log()
    nll = gaussian_nll.function(values, log, variance, full=full, eps=eps)
    return nll + log if full else nll


@loss(
    paper="Kingma, Welling 2014, arXiv:1312.6114",
    activation="identity",
    reduction="batchmean",
    range=(0, math.inf),
)
def kl_normal(values: Float[Tensor, "*shape"], logvar: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """(μ² + e^s - 1 - s) / 2, s the log-variance: KL(N(μ, e^s) | N(0, 1)), divided by the batch.

    A VAE's second term, summed over the latents of a sample: `kl_normal@(pred.mu, pred.logvar)`. With
    `reduction=mean` it is smaller by the number of latents.
    """
    return torch.addcmul(torch.expm1(logvar) - logvar, values, values).mul(0.5)


@kl_normal.slope
def kl_normal_slope(
    values: Float[Tensor, "*shape"], logvar: Float[Tensor, "*shape"]
) -> tuple[Tensor, Tensor]:
    """The values and their derivative by μ, which is μ."""
    return torch.expm1(logvar).sub_(logvar).addcmul_(values, values).mul_(0.5), values


def _times_exp(factor: Tensor, x: Tensor, slope: Option) -> Tensor:
    """f e^(s x) of f >= 0 and a finite x; 0 where f is 0, even if e^(s x) is infinite."""
    return factor * (slope * factor.sign() * x).exp()


def _log_rising(r: Tensor, t: Tensor) -> Tensor:
    """log Γ(r + t) - log Γ(r): a difference that two values of lgamma lose where r is large.

    By Stirling's series at r + n, and the factors 1 + t/(r + k) that lie between, k and n - 1 - k in one.
    What torch's derivative does not read again is added to in place.
    """
    n, terms = (8, 5) if r.dtype == torch.float64 else (4, 4)
    x = r + n
    y = x + t
    pair, more = r * (r + (n - 1)), t * (2 * r + (n - 1) + t)
    between = torch.log1p(more / pair)
    for k in range(1, n // 2):
        between = between.add_(torch.log1p(more / (pair + k * (n - 1 - k))))
    stirling = torch.addcmul((x - 0.5) * torch.log1p(t / x), t, y.log()).sub_(t)
    return stirling.add_(_stirling_rest(y, terms)).sub_(_stirling_rest(x, terms)).sub_(between)


STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)


def _stirling_rest(x: Tensor, terms: int) -> Tensor:
    """log Γ(x) minus Stirling's formula: 5 terms are 1e-12 exact from x = 8 on, 4 terms 4e-9 from x = 4."""
    z = x.square().reciprocal()
    *others, second, last = STIRLING[:terms]
    rest = torch.add(x.new_full((), second), z, alpha=last)
    for number in reversed(others):
        rest = torch.addcmul(x.new_full((), number), z, rest)
    return rest / x
