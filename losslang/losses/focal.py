"""Losses of a class that look less at what is easy, and those that forgive wrong labels.

Shapes as in `classification`: logits and probabilities (B, C, *S). Values in nats unless said otherwise.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from losslang.activations import log_complement_sigmoid, log_sigmoid
from losslang.decorators import loss
from losslang.functions import NO_LABEL, mean_along, power, softplus
from losslang.lazy import F, torch
from losslang.presets import Preset
from losslang.surprise import agreement, binary_entropy, error, pick, times_log
from losslang.vocabulary import Count, Float, Fraction, Int, NonNegative, Positive, Tensor

Tail = Annotated[float, Field(ge=1, le=10)]
"""A temperature of heavy tails; 1 has none, and above 10 the sum of powers is beyond single precision."""


@loss(
    aliases=("qfl", "quality_focal_loss"),
    paper="Li et al. 2020, arXiv:2006.04388",
    range=(0, math.inf),
    zero_when="perfect",
    like={"mmdet": Preset("sigmoid, reduction=batchmean", ranks=(2,)), "toolbelt": "sigmoid"},
)
def quality_focal(
    probs: Float[Tensor, "*shape"],
    log_probs: Float[Tensor, "*shape"],
    log_complement: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    beta: NonNegative = 2.0,
) -> Float[Tensor, "*shape"]:
    """-|t - p|^β (t log p + (1 - t) log(1 - p)), t a score in [0, 1] such as the IoU of a box.

    mmdet sums over the classes and divides by the samples: C times larger.
    """
    return -power((target - probs).abs(), beta) * agreement(log_probs, log_complement, target)


@quality_focal.kernel("sigmoid")
def quality_focal_of_logits(
    logits: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, beta: NonNegative = 2.0
) -> Float[Tensor, "*shape"]:
    """The same, with both logarithms in one."""
    apart = error(logits, target)
    # An even power asks for no absolute value.
    return binary_entropy(logits, target) * power(apart if beta % 2 == 0 else apart.abs(), beta)


@loss(
    aliases=("vfl", "varifocal_loss"),
    paper="Zhang, Wang, Dayoub, Sünderhauf 2021, arXiv:2008.13367",
    range=(0, math.inf),
    like={"mmdet": Preset("sigmoid", takes="gamma")},
)
def varifocal(
    probs: Float[Tensor, "*shape"],
    log_probs: Float[Tensor, "*shape"],
    log_complement: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    alpha: NonNegative = 0.75,
    gamma: NonNegative = 2.0,
    iou_weighted: bool = True,
) -> Float[Tensor, "*shape"]:
    """-w (t log p + (1 - t) log(1 - p)), w = t where t > 0, α p^γ elsewhere; t a score in [0, 1].

    `iou_weighted=false` weighs every positive by 1.
    """
    weight = torch.where(target > 0, target if iou_weighted else 1.0, alpha * power(probs, gamma))
    return -weight * agreement(log_probs, log_complement, target)


@varifocal.kernel("sigmoid")
def varifocal_of_logits(
    logits: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    alpha: NonNegative = 0.75,
    gamma: NonNegative = 2.0,
    iou_weighted: bool = True,
) -> Float[Tensor, "*shape"]:
    """The same, with both logarithms in one, and the weight by arithmetic: to choose takes longer."""
    score = torch.relu(target)
    positive = score.sign()
    easy = power(torch.sigmoid(logits), gamma)
    weight = torch.addcmul(score if iou_weighted else positive, 1 - positive, easy, value=alpha)
    return binary_entropy(logits, target) * weight


@loss(
    aliases=("gaussian_focal_loss", "gaussian_heatmap_focal", "heatmap_focal"),
    paper="Law, Deng 2018, arXiv:1808.01244",
    range=(0, math.inf),
    like={"mmdet": "identity"},
)
def gaussian_focal(
    probs: Float[Tensor, "*shape"],
    log_probs: Float[Tensor, "*shape"],
    log_complement: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    alpha: NonNegative = 2.0,
    gamma: NonNegative = 4.0,
) -> Float[Tensor, "*shape"]:
    """-(1 - p)^α log p where t = 1, -(1 - t)^γ p^α log(1 - p) elsewhere; t a heat map of Gaussians.

    Only t = 1 is a positive. CornerNet divides the sum by their number: `avg_factor=batch.n`.
    """
    is_peak = target == 1
    positive = times_log(power(1 - probs, alpha) * is_peak, log_probs)
    negative = times_log(power(1 - target, gamma) * power(probs, alpha), log_complement)
    return -torch.where(is_peak, positive, negative)


@gaussian_focal.kernel("sigmoid")
def gaussian_focal_of_logits(
    logits: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    alpha: NonNegative = 2.0,
    gamma: NonNegative = 4.0,
) -> Float[Tensor, "*shape"]:
    """The same: with x turned around where t = 1 both cases are -w p^α log(1 - p), w = 1 or (1 - t)^γ."""
    peak = (target == 1).to(logits.dtype)
    wrong = (1 - 2 * peak) * logits
    weight = torch.maximum(peak, power(1 - target, gamma))
    return weight * power(torch.sigmoid(wrong), alpha) * softplus.function(wrong)


@loss(
    aliases=("asymmetric_loss",),
    paper="Ben-Baruch et al. 2021, arXiv:2009.14119",
    reduction="sum",
    range=(0, math.inf),
    zero_when="perfect",
    like={"timm": Preset("sigmoid, reduction=batchmean", takes="gamma_neg")},
)
def asl(
    probs: Float[Tensor, "*shape"],
    log_probs: Float[Tensor, "*shape"],
    log_complement: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    gamma_pos: NonNegative = 1.0,
    gamma_neg: NonNegative = 4.0,
    clip: Fraction = 0.05,
) -> Float[Tensor, "*shape"]:
    """-t (1 - p)^γ₊ log p - (1 - t) q^γ₋ log(1 - q), q = max(0, p - m): negatives below m are forgotten.

    `clip` is m. Summed over all labels of the batch, as the paper's code does: a step grows with the batch.
    """
    missed = times_log(target * power(1 - probs, gamma_pos), log_probs)
    # 1 - q is at least m, and its logarithm finite, unless m is 0.
    log_rest = (1 - probs + clip).clamp(max=1).log() if clip else log_complement
    found = times_log((1 - target) * power(torch.relu(probs - clip), gamma_neg), log_rest)
    return -(missed + found)


@asl.kernel("sigmoid")
def asl_of_logits(
    logits: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    gamma_pos: NonNegative = 1.0,
    gamma_neg: NonNegative = 4.0,
    clip: Fraction = 0.05,
) -> Float[Tensor, "*shape"]:
    """The same, with 1 - p as sigmoid(-x), which keeps its digits where p is nearly 1."""
    absent = torch.sigmoid(-logits)
    missed = times_log(target * power(absent, gamma_pos), log_sigmoid(logits))
    seen = torch.relu(1 - clip - absent) if clip else torch.sigmoid(logits)
    log_rest = (absent + clip).clamp(max=1).log() if clip else log_complement_sigmoid(logits)
    found = times_log((1 - target) * power(seen, gamma_neg), log_rest)
    return -(missed + found)


@loss(
    aliases=("asl_single_label",),
    paper="Ben-Baruch et al. 2021, arXiv:2009.14119",
    activation="softmax",
    range=(0, math.inf),
    zero_when="perfect",
    like={"timm": Preset("gamma_pos=1", ranks=(2,), refuses={"reduction=sum": "timm has the mean alone"})},
)
def asl_single(
    probs: Float[Tensor, "b c *space"],
    log_probs: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *space"],
    *,
    gamma_pos: NonNegative = 0.0,
    gamma_neg: NonNegative = 4.0,
    label_smoothing: Fraction = 0.1,
) -> Float[Tensor, "b *space"]:
    """-Σ_c s_c w_c log p_c, w = (1 - p)^γ₊ for the true class, p^γ₋ for others, s = (1 - ε) t + ε / C.

    `label_smoothing` is ε (called eps in the paper's code, where γ₊ is 0; it is 1 in timm). At ε = 0 the
    other classes have no part.
    """
    share = label_smoothing / probs.shape[1]
    found = times_log(power(probs, gamma_neg), log_probs)
    others = found.sum(1) - pick(found, labels)
    if labels.ndim == probs.ndim:
        missed = times_log(labels * power(1 - probs, gamma_pos), log_probs).sum(1)
    else:
        missed = power(1 - pick(probs, labels), gamma_pos) * pick(log_probs, labels)
    return -((1 - label_smoothing + share) * missed + share * others)


@loss(
    aliases=("poly1", "poly_ce", "poly_loss", "poly_loss_cross_entropy"),
    paper="Leng et al. 2022, arXiv:2204.12511",
    activation="softmax",
    range=(0, math.inf),
    zero_when="perfect",
    like={
        "optax": Preset("epsilon=2", activations=("softmax",), takes="epsilon"),
        "timm": Preset("epsilon=2", activations=("softmax",), ranks=(2,), takes="epsilon"),
    },
)
def poly(
    probs: Float[Tensor, "b c *space"],
    log_probs: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *space"],
    *,
    epsilon: float = 1.0,
) -> Float[Tensor, "b *space"]:
    """-Σ_c t_c log p_c + ε (1 - Σ_c t_c p_c): the cross entropy, with ε more of the first term of its series.

    Below ε = -1 it would no longer fall as p nears 1. The paper takes 2 for ImageNet, -1 for boxes.
    """
    return epsilon * (1 - pick(probs, labels)) - pick(log_probs, labels)


@poly.kernel("softmax")
def poly_of_logits(
    logits: Float[Tensor, "b c *space"], labels: Int[Tensor, "b *space"], *, epsilon: float = 1.0
) -> Float[Tensor, "b *space"]:
    """torch's kernel for the logarithm of one class, and what is left of 1 from there."""
    if labels.ndim == logits.ndim:
        log_probs = torch.log_softmax(logits, 1)
        return poly.function(log_probs.exp(), log_probs, labels, epsilon=epsilon)
    surprise = F.cross_entropy(logits, labels, reduction="none", ignore_index=NO_LABEL)
    return torch.sub(surprise, torch.expm1(-surprise), alpha=epsilon)


@loss(
    aliases=("generalized_ce", "generalized_cross_entropy", "categorical_generalized_cross_entropy"),
    paper="Zhang, Sabuncu 2018, arXiv:1805.07836",
    activation="softmax",
    range=(0, math.inf),
    zero_when="perfect",
    like={"keras": Preset("identity, q=0.5", takes="q")},
)
def gce(
    log_probs: Float[Tensor, "b c *space"], labels: Int[Tensor, "b *space"], *, q: Positive = 0.7
) -> Float[Tensor, "b *space"]:
    """Σ_c t_c (1 - p_c^q) / q: the cross entropy as q goes to 0, 1 - p at q = 1.

    At most 1/q, so that a wrong label pulls no more than it may. The paper's q is 0.7, that of keras 0.5.
    """
    if labels.ndim == log_probs.ndim:
        return -(labels * torch.expm1(q * log_probs)).sum(1) / q
    return -torch.expm1(q * pick(log_probs, labels)) / q


@loss(
    aliases=("bi_tempered_logistic", "bi_tempered_logistic_loss"),
    paper="Amid, Warmuth, Anil, Koren 2019, arXiv:1906.03361",
    activation="softmax",
    range=(0, math.inf),
    zero_when="perfect",
)
def bi_tempered(
    logits: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *space"],
    *,
    t1: Fraction = 0.8,
    t2: Tail = 1.2,
    label_smoothing: Fraction = 0.0,
    iters: Count = 5,
) -> Float[Tensor, "b *space"]:
    """Σ_c y_c (log_t1 y_c - log_t1 p_c) - (y_c^(2-t1) - p_c^(2-t1)) / (2 - t1), p = exp_t2(x - λ), Σ p = 1.

    log_t(u) = (u^(1-t) - 1) / (1 - t), and exp_t is its inverse: t1 < 1 bounds the loss, t2 > 1 gives p a
    heavy tail, t1 = t2 = 1 is the cross entropy (of soft labels, less their entropy). `label_smoothing` is ε
    of (1 - ε) t + ε / C; the authors' is ε (C - 1) / C. λ takes `iters` steps of Newton, which end within
    rounding; the authors' five, of a fixed point, leave Σ p = 1.02 for 1000 logits of spread 3.
    """
    log_p = _log_tempered_softmax(logits, t2, iters)
    tempered = log_p if t1 == 1 else torch.expm1((1 - t1) * log_p) / (1 - t1)
    said = (1 - label_smoothing) * pick(tempered, labels) + label_smoothing * mean_along(tempered, 1)
    # All one-hot truths say the same of themselves: one of them stands for the labels.
    soft = labels.ndim == logits.ndim
    truth = labels if soft else torch.eye(1, logits.shape[1], dtype=logits.dtype, device=logits.device)
    truth = (1 - label_smoothing) * truth + label_smoothing / logits.shape[1]
    if t1 == 1:
        own = torch.xlogy(truth, truth) - truth
    else:
        own = truth ** (2 - t1) / ((1 - t1) * (2 - t1)) - truth / (1 - t1)
    return own.sum(1) - said + torch.exp((2 - t1) * log_p).sum(1) / (2 - t1)


def _log_tempered_softmax(logits: Tensor, t: float, iters: int) -> Tensor:
    """log exp_t(x - λ) over classes, with λ such that they sum to 1: Newton, from below, in λ."""
    if t == 1:
        return torch.log_softmax(logits, 1)
    below = logits.detach().amax(1, keepdim=True) - logits
    shift = torch.zeros_like(below[:, :1])
    for step in range(iters):
        # A step differentiated at the root has the root's derivative, and two have its second too.
        x = below if step >= iters - 2 else below.detach()
        log_p = torch.log1p((t - 1) * (shift + x)) / (1 - t)
        whole, slope = log_p.exp().sum(1, keepdim=True), (t * log_p).exp().sum(1, keepdim=True)
        # Of (Σ p)^(1-t), which is a straight line in λ where all logits are equal.
        shift = shift + torch.expm1((t - 1) * whole.log()) / (t - 1) * whole / slope
    return torch.log1p((t - 1) * (shift + below)) / (1 - t)
