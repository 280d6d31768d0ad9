"""Further losses of overlap between a predicted region and the true one.

Shapes: (B, C, *S); one value per sample and class, or per sample where classes speak to each other.
With `batch=true` all samples are one region.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from losslang.losses.region import divide_or_zero
from losslang.primitives.decorators import loss
from losslang.primitives.entropy import possible, times_log
from losslang.primitives.presets import PROBABILITIES, Preset
from losslang.tensors.lazy import torch
from losslang.tensors.numerics import power, power_by_logarithm
from losslang.vocabulary import (
    SMALLEST,
    Channels,
    Dynamic,
    Float,
    Fraction,
    NonNegative,
    Positive,
    Proportion,
    Scale,
    Tensor,
    Total,
)

Power = Annotated[float, Field(ge=SMALLEST, le=4)]
"""Of a logarithm that may be 1e5: its 8th power is beyond single precision."""


@loss(
    aliases=("generalized_dice", "generalized_dice_loss"),
    paper="Sudre, Li, Vercauteren, Ourselin, Cardoso 2017, arXiv:1707.03237",
    range=(0, 1),
    zero_when="perfect",
    like={
        "monai": Preset(takes="smooth batch background reduction"),
        "kornia": Preset(
            "softmax, weighting=uniform, smooth=0, ignore_index=-100",
            ranks=(4,),
            hard=True,
            takes="ignore_index",
        ),
        "keras": Preset("weighting=uniform, smooth=0, batch=true", takes="reduction"),
    },
)
def gdl(
    probs: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    total: Float[Total, "b c"],
    *,
    weighting: Literal["square", "simple", "uniform"] = "square",
    smooth: Dynamic[NonNegative] = 1e-5,
) -> Float[Tensor, "b"]:
    """1 - (2 Σ_c w Σ p t + s) / (Σ_c w Σ (p + t) + s), w = 1 / (Σ t)², inner sums over space.

    `weighting=simple` is w = 1 / Σ t, `uniform` 1: the dice of kornia and keras. An absent class
    would get weight inf; it gets the largest finite weight of its sample, as in MONAI, or all is 0.
    """
    overlap, predicted, true = total(probs * target, probs, target)
    weights = _by_volume(true.detach(), weighting)
    both = (weights * (predicted + true)).sum(1)
    return divide_or_zero(both - 2 * (weights * overlap).sum(1), both + smooth, smooth)


def _by_volume(volume: Tensor, weighting: str) -> Tensor:
    if weighting == "uniform":
        return torch.ones_like(volume)
    weights = volume.reciprocal() if weighting == "simple" else volume.reciprocal().square()
    finite = weights.isfinite()
    return torch.where(finite, weights, torch.where(finite, weights, 0.0).amax(1, keepdim=True))


@loss(
    aliases=("lovasz_hinge_loss",),
    paper="Berman, Triki, Blaschko 2018, arXiv:1705.08790",
    whole=True,
    range=(0, math.inf),
    like={
        "smp": Preset("batch=true", channels=(1,), hard=True, takes="ignore_index batch"),
        "toolbelt": Preset(
            "batch=true",
            channels=(1,),
            takes="ignore_index batch",
        ),
        "mmseg": Preset(
            "batch=true, ignore_index=255",
            channels=(1,),
            ranks=(4,),
            hard=True,
            takes="ignore_index batch reduction",
        ),
        "kornia": Preset(channels=(1,), ranks=(4,), hard=True),
    },
)
def lovasz_hinge(
    logits: Float[Tensor, "b c n"],
    target: Float[Tensor, "b c n"],
    mask: Float[Tensor, "b c n"] | None,
) -> Float[Tensor, "b c"]:
    """Σ_i max(0, e_i) ΔJ_i, e = 1 - x (2 t - 1), the largest first; ΔJ_i what the i-th adds to 1 - IoU.

    Each channel is a yes and no, each image alone, as the authors'; smp and mmseg have `batch=true`.
    """
    return _lovasz(1 - logits * (2 * target - 1), target, mask)


@loss(
    aliases=("lovasz_softmax_loss",),
    paper="Berman, Triki, Blaschko 2018, arXiv:1705.08790",
    reduction="mean_of_means",
    whole=True,
    range=(0, 1),
    zero_when="perfect",
    like={
        "smp": Preset("softmax, batch=true", ranks=(2, 4, 5), hard=True, takes="ignore_index batch"),
        "toolbelt": Preset(
            "identity, batch=true",
            activations=PROBABILITIES,
            ranks=(2, 4, 5),
            several=True,
            hard=True,
            takes="ignore_index batch",
        ),
        "mmseg": Preset(
            "softmax, batch=true, ignore_index=255",
            ranks=(4,),
            refuses={
                "reduction=sum": "mmseg adds up images, each with the mean of its classes",
                "reduction=none": "mmseg has taken the mean over the classes before",
            },
            hard=True,
            takes="ignore_index class_weight batch",
        ),
        "kornia": Preset("softmax, classes=all", ranks=(4,), hard=True, takes="class_weight"),
    },
)
def lovasz_softmax(
    probs: Float[Tensor, "b c n"],
    target: Float[Tensor, "b c n"],
    mask: Float[Tensor, "b c n"] | None,
    *,
    classes: Literal["present", "all"] | Channels = "present",
) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
    """Σ_i e_i ΔJ_i, e = |t - p|, the largest first; ΔJ_i what the i-th adds to the class's 1 - IoU.

    Classes that are not there do not count, unless `classes=all`, or a list such as `[1, 2]`: the value
    of one is its largest p. The mean over classes, then images; the authors' default is `batch=true`. kornia
    before 0.9 sorted class indices: 0.4911 for 0.6897. The authors', smp's and toolbelt's fail in float64.
    """
    values = _lovasz((target - probs).abs(), target, mask)
    # An ignored label may stand for class 0 here: what is masked is not there.
    present = target if mask is None else target * mask
    counts = present if classes == "present" else torch.ones_like(target)
    return values, counts.detach().sum(-1)


def _lovasz(errors: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """The Lovász extension of 1 - IoU at errors; those below 0 are none, and what is masked comes last.

    ΔJ = (t + (1 - t) K') / U, K' the IoU before and U the union after: no difference of nearly equal numbers.
    """
    if mask is not None:
        errors, target = torch.where(mask, errors, -1.0), torch.where(mask, target, 0.0)
    errors, order = errors.sort(-1, descending=True)
    truth = target.detach().gather(-1, order)
    volume = truth.sum(-1, keepdim=True)
    union = volume + (1 - truth).cumsum(-1)
    before = ((volume - truth.cumsum(-1)) / union)[..., :-1]
    before = torch.cat([torch.ones_like(union[..., :1]), before], -1)
    return (errors.relu() * (truth + (1 - truth) * before) / union).sum(-1)


@loss(
    aliases=("matthews", "mcc_loss"),
    paper="Abhishek, Hamarneh 2021, arXiv:2010.13454",
    range=(0, 2),
    like={"smp": Preset("identity, batch=true", activations=("identity", "sigmoid"), channels=(1,))},
)
def mcc(
    probs: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    total: Total,
    *,
    smooth: Dynamic[Scale] = 1e-5,
) -> Float[Tensor, "b c"]:
    """1 - (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN)), s added to each of the four.

    A class absent from both gives 1/2: nothing can be said of a correlation. smp takes probabilities and
    puts channels together; MONAI adds its 1e-5 under the root alone.
    """
    both = probs * target
    hit, invented, missed, number = total(both, probs - both, target - both, 1)
    # Rounding leaves some of these below 0, and no root is taken of that.
    counts = hit, invented, missed, number - hit - invented - missed
    tp, fp, fn, tn = (torch.where(count < 0, 0.0, count) + smooth for count in counts)
    # Two roots: the product of all four may be beyond single precision.
    return 1 - (tp * tn - fp * fn) / (((tp + fp) * (tp + fn)).sqrt() * ((tn + fp) * (tn + fn)).sqrt())


@loss(
    paper="Brosch, Yoo, Tang, Li, Traboulsee, Tam 2015",
    range=(0, 1),
    zero_when="perfect",
)
def sensitivity_specificity(
    probs: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    total: Total,
    *,
    r: Dynamic[Fraction] = 0.1,
    smooth: Dynamic[NonNegative] = 1e-5,
) -> Float[Tensor, "b c"]:
    """r Σ e² t / (Σ t + s) + (1 - r) Σ e² (1 - t) / (Σ (1 - t) + s), e = t - p."""
    squares, absent = (target - probs).square(), 1 - target
    missed, invented, true, false = total(squares * target, squares * absent, target, absent)
    of_true = divide_or_zero(missed, true + smooth, smooth)
    return r * of_true + (1 - r) * divide_or_zero(invented, false + smooth, smooth)


@loss(
    aliases=("asymmetric_unified_focal",),
    paper="Yeung, Sala, Schönlieb, Rundo 2022, arXiv:2102.04525",
    range=(0, math.inf),
    zero_when="perfect",
    like={
        "monai": Preset(
            "identity, smooth=1e-7, background=alone",
            activations=PROBABILITIES,
            channels=(1, 2),
            ranks=(4, 5),
            distribution=True,
            refuses={
                "reduction=sum": "MONAI has taken the mean before",
                "reduction=none": "MONAI has taken the mean before",
            },
            takes="reduction",
        ),
    },
)
def unified_focal(
    probs: Float[Tensor, "b c *space"],
    log_probs: Float[Tensor, "b c *space"],
    log_complement: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    total: Total,
    *,
    share: Dynamic[Fraction] = 0.5,
    gamma: Dynamic[Proportion] = 0.5,
    delta: Dynamic[Fraction] = 0.7,
    smooth: Dynamic[NonNegative] = 1e-5,
) -> Float[Tensor, "b c"]:
    """λ F + (1 - λ) T of each class against the rest: a focal and a Tversky part that spare what is rare.

    F is the mean of -(δ t log p + (1 - δ) (1 - t) p^γ log(1 - p)) / 2, T that of V(t)^(1 - γ) and
    V(1 - t), V(t) = 1 - (TP + s) / (TP + δ FN + (1 - δ) FP + s). `share` is λ. The paper's two channels are
    `unified_focal(softmax, background=false)`; MONAI takes probabilities, though it speaks of a sigmoid.
    """
    absent = 1 - target
    # p^γ by its logarithm: a power takes as long as all the rest.
    spared = times_log(absent * torch.exp(gamma * log_probs), log_complement)
    yes, no, missed, invented, true, number = total(
        times_log(target, log_probs),
        spared,
        torch.addcmul(target, probs, target, value=-1),
        probs * absent,
        target,
        1,
    )
    mistaken = delta * missed + (1 - delta) * invented
    rare = power(divide_or_zero(mistaken, true - missed + mistaken + smooth, smooth), 1 - gamma)
    mistaken = delta * invented + (1 - delta) * missed
    usual = divide_or_zero(mistaken, number - true - invented + mistaken + smooth, smooth)
    return (1 - share) * (rare + usual) / 2 - share * (delta * yes + (1 - delta) * no) / (2 * number)


@loss(
    aliases=("exponential_logarithmic",),
    paper="Wong, Moradi, Tang, Syeda-Mahmood 2018, arXiv:1809.00076",
    range=(0, math.inf),
)
def exp_log(
    probs: Float[Tensor, "b c *space"],
    log_probs: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    total: Float[Total, "b c"],
    *,
    w_dice: Dynamic[NonNegative] = 0.8,
    w_ce: Dynamic[NonNegative] = 0.2,
    gamma: Dynamic[Power] = 0.3,
    smooth: Dynamic[Positive] = 1e-5,
) -> Float[Tensor, "b"]:
    """a mean_c (-log D)^γ + b Σ_c Σ t (-log p)^γ / n, D = (2 Σ p t + s) / (Σ p + Σ t + s) over n places.

    `w_dice` is a and `w_ce` is b. The weights that the paper gives to labels are left out. γ ends at 4:
    of a probability of 0 the power of its logarithm would be infinite.
    """
    surprise = power_by_logarithm(-possible(log_probs, target), gamma)
    overlap, predicted, true, surprise, number = total(probs * target, probs, target, target * surprise, 1)
    alike = (2 * overlap + smooth) / (predicted + true + smooth)
    # Rounding may leave it above 1, where its logarithm would be no base of a power.
    unlike = power(-alike.clamp(max=1).log(), gamma)
    return w_dice * unlike.mean(1) + w_ce * (surprise / number).sum(1)
