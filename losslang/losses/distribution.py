"""Losses of a distribution against another, or of data under one. Values in nats."""

from __future__ import annotations

import math

from losslang.primitives.decorators import loss
from losslang.primitives.entropy import possible, times_log
from losslang.primitives.presets import SUM_OF_MEANS, Preset
from losslang.tensors.lazy import F, torch
from losslang.tensors.numerics import xlogx
from losslang.tensors.options import is_number
from losslang.vocabulary import Dynamic, Float, Positive, Scale, Tensor


@loss(
    aliases=("kl_div", "kldiv", "kl_divergence"),
    paper="Kullback, Leibler 1951",
    reduction="batchmean",
    range=(0, math.inf),
    zero_when="perfect",
    like={
        "keras": Preset("identity, reduction=mean", takes="reduction"),
        "optax": Preset("exp, reduction=mean", takes="reduction"),
    },
)
def kl(
    log_probs: Float[Tensor, "b c *space"], target_probs: Float[Tensor, "b c *space"]
) -> Float[Tensor, "b *space"]:
    """Σ_c t_c (log t_c - log p_c), with 0 log 0 = 0; divided by the batch unless told otherwise.

    torch's `reduction="mean"` divides by the classes too, and its batchmean is this one. mmsegmentation puts
    a softmax where the log-softmax belongs, and can be negative.
    """
    logs = possible(log_probs, target_probs)
    return torch.addcmul(xlogx(target_probs), target_probs, logs, value=-1).sum(1)


@loss(
    aliases=("distillation",),
    paper="Hinton, Vinyals, Dean 2015, arXiv:1503.02531",
    activation="softmax",
    range=(0, math.inf),
    zero_when="equal",
)
def kd(
    logits: Float[Tensor, "b c *space"],
    target_logits: Float[Tensor, "b c *space"],
    *,
    temperature: Dynamic[Positive] = 4.0,
) -> Float[Tensor, "b *space"]:
    """T² Σ_c q_c (log q_c - log p_c), q and p the softmax of teacher / T and prediction / T.

    The target is the teacher's logits; no gradient flows into it. T² keeps the gradient's size as
    T changes. Summed over classes, so libraries that average over them too are C times smaller, as
    mmdetection's at its T = 10.
    """
    student = torch.log_softmax(logits / temperature, 1)
    teacher = torch.log_softmax(target_logits.detach() / temperature, 1)
    shares = teacher.exp()
    apart = possible(teacher, shares) - possible(student, shares)
    return temperature**2 * (shares * apart).sum(1)


@loss(
    aliases=("js_div", "jensen_shannon"),
    paper="Lin 1991",
    range=(0, math.log(2)),
    zero_when="perfect",
)
def js(
    probs: Float[Tensor, "b c *space"],
    log_probs: Float[Tensor, "b c *space"],
    target_probs: Float[Tensor, "b c *space"],
) -> Float[Tensor, "b *space"]:
    """(KL(p, m) + KL(t, m)) / 2, m = (p + t) / 2: 0 to log 2 nats."""
    middle = ((probs + target_probs) / 2).clamp(min=torch.finfo(probs.dtype).tiny).log()
    p_part = times_log(probs, log_probs - middle)
    t_part = xlogx(target_probs) - target_probs * middle
    return 0.5 * (p_part + t_part).sum(1)


@loss(
    aliases=("normal_nll", "gaussian_nll_loss"),
    paper="Nix, Weigend 1994",
    activation="identity",
    nonnegative=("variance",),
    like={"torch": Preset(takes="full reduction")},
)
def gaussian_nll(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    variance: Float[Tensor, "*shape"],
    *,
    full: bool = False,
    eps: Dynamic[Scale] = 1e-6,
) -> Float[Tensor, "*shape"]:
    """(log v + e²/v) / 2, v the variance, not below ε; `full` adds (log 2π) / 2.

    The bound on v passes the gradient through, as in torch, so that a variance of 0 can grow again; 1/ε² is
    in it, and ε at least 1e-12. The third operand is the variance, no standard deviation and no logarithm:
    `gaussian_nll@(pred.mu, target, exp(pred.logvar))`; a number fixes it.

    Unit: nats; the variance and `eps` in the square of the target's.
    """
    bounded = variance + (variance.clamp(min=eps) - variance).detach()
    values = 0.5 * (bounded.log() + (values - target).square() / bounded)
    return values + 0.5 * math.log(2 * math.pi) if full else values


@loss(
    aliases=("poisson_nll_loss",),
    activation="identity",
    nonnegative=("target",),
    like={
        "torch": Preset(takes="log_input full reduction"),
        "keras": Preset("log_input=false, eps=1e-7", refuses=SUM_OF_MEANS, takes="reduction"),
        "pytorch_forecasting": Preset(ranks=(2,)),
    },
)
def poisson_nll(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    log_input: bool = True,
    full: bool = False,
    eps: Dynamic[Positive] = 1e-8,
) -> Float[Tensor, "*shape"]:
    """e^x - t x of a predicted log-rate x; x - t log(x + ε) of a rate with `log_input=false`.

    `full` adds Stirling's t log t - t + log(2πt)/2 where t > 1, as in torch.

    Source: torch's `poisson_nll_loss`.
    """
    if is_number(eps) or log_input:
        small = eps if is_number(eps) else 0.0
        values = F.poisson_nll_loss(values, target, log_input=log_input, eps=small, reduction="none")
    else:
        values = values - target * (values + eps).log()
    if not full:
        return values
    many = target.clamp(min=1)
    stirling = many * many.log() - many + 0.5 * torch.log(2 * math.pi * many)
    return values + torch.where(target > 1, stirling, 0.0)


@loss(
    aliases=("distribution_focal", "distribution_focal_loss"),
    paper="Li et al. 2020, arXiv:2006.04388",
    range=(0, math.inf),
    like={"mmdet": Preset(ranks=(2,), takes="reduction")},
)
def dfl(logits: Float[Tensor, "*b n"], position: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """-(l + 1 - y) log p_l - (y - l) log p_{l+1}, p the softmax over n bins, l the bin below y.

    y is a real number from 0 to n - 1. At y = n - 1 it is -log p_{n-1}; mmdet looks for bin n there, which
    is an IndexError, and its callers hold y below it.

    Unit: nats; the target counts bins.
    """
    log_probs, last = torch.log_softmax(logits, -1), logits.shape[-1] - 1
    # A position that is NaN has no bin, and weighs those of bin 0 with NaN.
    below = position.detach().floor().nan_to_num(0.0).clamp(0, max(last - 1, 0))
    above = position - below
    left, right = below.long().unsqueeze(-1), (below.long() + 1).clamp(max=last).unsqueeze(-1)
    chosen = log_probs.gather(-1, torch.cat([left, right], -1))
    return -(times_log(1 - above, chosen[..., 0]) + times_log(above, chosen[..., 1]))
