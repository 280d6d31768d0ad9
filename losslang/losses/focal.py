"""Losses of a class that look less at what is easy.

Shapes as in `classification`: logits and probabilities (B, C, *S). Values in nats unless said otherwise.
"""

from __future__ import annotations

import math

from losslang.primitives.activations import log_complement_sigmoid, log_sigmoid
from losslang.primitives.decorators import loss
from losslang.primitives.entropy import agreement, binary_entropy, error, pick, times_log
from losslang.primitives.functions import softplus
from losslang.primitives.presets import Preset
from losslang.tensors.lazy import NO_IGNORED_LABEL, F, torch
from losslang.tensors.numerics import power
from losslang.tensors.options import Option, is_number
from losslang.vocabulary import Dynamic, Float, Fraction, Int, NonNegative, Tensor


@loss(
    aliases=("qfl", "quality_focal_loss"),
    paper="Li et al. 2020, arXiv:2006.04388",
    range=(0, math.inf),
    zero_when="perfect",
    like={
        "mmdet": Preset(
            "sigmoid, reduction=batchmean",
            ranks=(2,),
            refuses={"reduction=none": "mmdet adds up the classes"},
            takes="reduction",
        ),
        "toolbelt": Preset("sigmoid", takes="reduction"),
    },
)
def quality_focal(
    probs: Float[Tensor, "*shape"],
    log_probs: Float[Tensor, "*shape"],
    log_complement: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    beta: Dynamic[NonNegative] = 2.0,
) -> Float[Tensor, "*shape"]:
    """-|t - p|^β (t log p + (1 - t) log(1 - p)), t a score in [0, 1] such as the IoU of a box.

    mmdet sums over the classes and divides by the samples: C times larger.
    """
    return -power((target - probs).abs(), beta) * agreement(log_probs, log_complement, target)


@quality_focal.kernel("sigmoid")
def quality_focal_of_logits(
    logits: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, beta: Dynamic[NonNegative] = 2.0
) -> Float[Tensor, "*shape"]:
    """`quality_focal` of the logits, with one logarithm in place of two."""
    apart = error(logits, target)
    # An even power asks for no absolute value.
    return binary_entropy(logits, target) * power(
        apart if is_number(beta) and beta % 2 == 0 else apart.abs(), beta
    )


@loss(
    aliases=("vfl", "varifocal_loss"),
    paper="Zhang, Wang, Dayoub, Sünderhauf 2021, arXiv:2008.13367",
    range=(0, math.inf),
    like={"mmdet": Preset("sigmoid", takes="gamma reduction")},
)
def varifocal(
    probs: Float[Tensor, "*shape"],
    log_probs: Float[Tensor, "*shape"],
    log_complement: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    alpha: Dynamic[NonNegative] = 0.75,
    gamma: Dynamic[NonNegative] = 2.0,
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
    """`varifocal` of the logits, with one logarithm, and the weight by products: torch.where takes longer."""
    score = torch.relu(target)
    positive = score.sign()
    easy = power(torch.sigmoid(logits), gamma)
    weight = torch.addcmul(score if iou_weighted else positive, 1 - positive, easy, value=alpha)
    return binary_entropy(logits, target) * weight


@loss(
    aliases=("gaussian_focal_loss", "gaussian_heatmap_focal", "heatmap_focal"),
    paper="Law, Deng 2018, arXiv:1808.01244",
    range=(0, math.inf),
    like={"mmdet": Preset("identity", takes="reduction")},
)
def gaussian_focal(
    probs: Float[Tensor, "*shape"],
    log_probs: Float[Tensor, "*shape"],
    log_complement: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    alpha: Dynamic[NonNegative] = 2.0,
    gamma: Dynamic[NonNegative] = 4.0,
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
    alpha: Dynamic[NonNegative] = 2.0,
    gamma: Dynamic[NonNegative] = 4.0,
) -> Float[Tensor, "*shape"]:
    """`gaussian_focal` of the logits: with -x where t = 1 both cases are -w p^α log(1 - p), w = 1 or (1 - t)^γ."""
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
    like={"timm": Preset("sigmoid, reduction=batchmean", hard=True, takes="gamma_neg")},
)
def asl(
    probs: Float[Tensor, "*shape"],
    log_probs: Float[Tensor, "*shape"],
    log_complement: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    gamma_pos: Dynamic[NonNegative] = 1.0,
    gamma_neg: Dynamic[NonNegative] = 4.0,
    clip: Dynamic[Fraction] = 0.05,
) -> Float[Tensor, "*shape"]:
    """-t (1 - p)^γ₊ log p - (1 - t) q^γ₋ log(1 - q), q = max(0, p - m): negatives below m are forgotten.

    `clip` is m. Summed over all labels of the batch, as the paper's code does: a step grows with the batch.
    """
    missed = times_log(target * power(1 - probs, gamma_pos), log_probs)
    # 1 - q is at least m, and its logarithm finite, unless m is 0.
    log_rest = _log_rest(1 - probs, log_complement, clip)
    found = times_log((1 - target) * power(torch.relu(probs - clip), gamma_neg), log_rest)
    return -(missed + found)


def _log_rest(absent: Tensor, log_complement: Tensor, clip: Option) -> Tensor:
    if is_number(clip):
        return (absent + clip).clamp(max=1).log() if clip else log_complement
    none = clip == 0
    return torch.where(none, log_complement, (absent + torch.where(none, 1.0, clip)).clamp(max=1).log())


@asl.kernel("sigmoid")
def asl_of_logits(
    logits: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    gamma_pos: NonNegative = 1.0,
    gamma_neg: NonNegative = 4.0,
    clip: Fraction = 0.05,
) -> Float[Tensor, "*shape"]:
    """`asl` of the logits, with 1 - p as sigmoid(-x), which keeps its digits where p is nearly 1."""
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
    like={
        "timm": Preset(
            "gamma_pos=1",
            ranks=(2,),
            refuses={"reduction=sum": "timm has the mean alone"},
            hard=True,
            takes="reduction",
        )
    },
)
def asl_single(
    probs: Float[Tensor, "b c *space"],
    log_probs: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *space"],
    *,
    gamma_pos: Dynamic[NonNegative] = 0.0,
    gamma_neg: Dynamic[NonNegative] = 4.0,
    label_smoothing: Dynamic[Fraction] = 0.1,
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
        "optax": Preset("epsilon=2", activations=("softmax",), takes="epsilon reduction"),
        "timm": Preset("epsilon=2", activations=("softmax",), ranks=(2,), takes="epsilon reduction"),
    },
)
def poly(
    probs: Float[Tensor, "b c *space"],
    log_probs: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *space"],
    *,
    epsilon: Dynamic[float] = 1.0,
) -> Float[Tensor, "b *space"]:
    """-Σ_c t_c log p_c + ε (1 - Σ_c t_c p_c): the cross entropy, with ε more of the first term of its series.

    Below ε = -1 it would no longer fall as p nears 1. The paper takes 2 for ImageNet, -1 for boxes.
    """
    return epsilon * (1 - pick(probs, labels)) - pick(log_probs, labels)


@poly.kernel("softmax")
def poly_of_logits(
    logits: Float[Tensor, "b c *space"], labels: Int[Tensor, "b *space"], *, epsilon: float = 1.0
) -> Float[Tensor, "b *space"]:
    """`poly` of the logits: torch's cross entropy h of the true class, and 1 - p as -expm1(-h)."""
    if labels.ndim == logits.ndim:
        log_probs = torch.log_softmax(logits, 1)
        return poly.function(log_probs.exp(), log_probs, labels, epsilon=epsilon)
    surprise = F.cross_entropy(logits, labels, reduction="none", ignore_index=NO_IGNORED_LABEL)
    return torch.sub(surprise, torch.expm1(-surprise), alpha=epsilon)
