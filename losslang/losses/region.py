"""Losses of overlap between a predicted region and the true one.

Shapes: probabilities and targets (B, C, *S); one value per sample and class, summed over space.
With `batch=true` the samples are summed too. All of them are 1 minus a ratio, in [0, 1].
"""

from __future__ import annotations

from losslang.primitives.decorators import loss
from losslang.primitives.presets import Preset
from losslang.tensors.lazy import torch
from losslang.tensors.numerics import power
from losslang.tensors.options import Option, is_number, may_count, plus
from losslang.vocabulary import Dynamic, Float, NonNegative, Positive, Tensor, Total


@loss(
    aliases=("dice_loss", "soft_dice", "f1", "soft_f1", "sorensen"),
    paper="Milletari, Navab, Ahmadi 2016, arXiv:1606.04797",
    range=(0, 1),
    zero_when="perfect",
    like={
        "monai": Preset(takes="smooth squared ignore_index class_weight batch background reduction"),
        "smp": Preset(
            "smooth=0, batch=true, empty=zero",
            hard=True,
            refuses={"smooth": "smp smooths the overlap once: its s is half of ours"},
            takes="ignore_index",
        ),
        "toolbelt": Preset("smooth=0, batch=true, empty=zero", hard=True, takes="smooth ignore_index"),
        "nnunet": Preset(
            "smooth=1", note="1 more than nnU-Net's, which is -1 to 0", takes="smooth batch background"
        ),
        "optax": Preset(
            "smooth=2",
            activations=("softmax", "identity"),
            refuses={"smooth": "optax smooths the overlap once: its s is half of ours"},
            takes="class_weight background",
        ),
        "mmdet": Preset(
            "sigmoid, smooth=0, eps=2e-3, squared=true",
            activations=("sigmoid", "identity"),
            channels=(1,),
            takes="squared reduction",
        ),
        "mmseg": Preset(
            "sigmoid, smooth=0, eps=2e-3, squared=true",
            activations=("sigmoid", "identity"),
            channels=(1,),
            ranks=(4,),
            refuses={"ignore_index": "mmseg leaves out the channel of that number"},
            takes="squared reduction",
        ),
        "kornia": Preset(
            "softmax, smooth=0, empty=skip, reduction=mean_of_means",
            ranks=(4,),
            hard=True,
            refuses={"class_weight": "kornia divides by the weights of the classes of each sample"},
            note="dice_loss(average='macro'); a sample that is ignored wholly is 1 there, and is not counted here",
            takes="ignore_index",
        ),
    },
)
def dice(
    probs: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    total: Total,
    *,
    smooth: Dynamic[NonNegative] = 1e-5,
    eps: Dynamic[NonNegative] = 0.0,
    squared: bool = False,
) -> Float[Tensor, "b c"]:
    """1 - (2 Σ p t + s) / (Σ p + Σ t + s), sums over space.

    `smooth` (s) decides what an absent class gives; at s = 0 a class absent from both is no loss, the limit
    of s/s. `eps` is added below alone, where libraries smooth twice: such a class is a loss of ε / (s + ε).
    `squared` puts Σ p² + Σ t² in the denominator, as the paper does. nnU-Net's value is 1 less. kornia and
    keras sum over the classes too: `gdl(weighting=uniform, smooth=0)`.
    """
    predicted, true = (probs * probs, target * target) if squared else (probs, target)
    overlap, predicted, true = total(probs * target, predicted, true)
    both = predicted + true
    apart = torch.sub(both, overlap, alpha=2)
    if may_count(eps):
        return divide_or_zero(apart + eps, both + (smooth + eps), eps)
    return divide_or_zero(apart, both + smooth, smooth)


@loss(
    aliases=("jaccard_loss", "soft_iou"),
    paper="Rahman, Wang 2016",
    range=(0, 1),
    zero_when="perfect",
    like={
        "monai": Preset(
            "smooth=5e-6",
            refuses={"smooth": "MONAI smooths twice the overlap: its s is twice ours"},
            takes="ignore_index class_weight batch background reduction",
        ),
        "smp": Preset("smooth=0, batch=true, empty=zero", hard=True, takes="smooth"),
        "toolbelt": Preset("smooth=0, batch=true, empty=zero", hard=True, takes="smooth"),
    },
)
def jaccard(
    probs: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    total: Total,
    *,
    smooth: Dynamic[NonNegative] = 1e-5,
) -> Float[Tensor, "b c"]:
    """1 - (Σ p t + s) / (Σ p + Σ t - Σ p t + s), sums over space.

    MONAI's DiceLoss(jaccard=True) smooths 2 Σ p t: its s counts half.
    """
    overlap, predicted, true = total(probs * target, probs, target)
    union = predicted + true - overlap
    return divide_or_zero(union - overlap, union + smooth, smooth)


@loss(
    aliases=("tversky_loss",),
    paper="Salehi, Erdogmus, Gholipour 2017, arXiv:1706.05721",
    range=(0, 1),
    zero_when="perfect",
    like={
        "monai": Preset(takes="alpha smooth ignore_index batch background reduction"),
        "smp": Preset("smooth=0, batch=true, empty=zero", hard=True, takes="alpha smooth ignore_index"),
        "mmseg": Preset(
            "softmax, alpha=0.3, beta=0.7, smooth=1, ignore_index=255",
            hard=True,
            takes="alpha smooth ignore_index class_weight",
        ),
        "optax": Preset(
            "smooth=1",
            activations=("softmax", "identity"),
            takes="alpha smooth class_weight background",
        ),
        "kornia": Preset(
            "softmax, smooth=0, empty=skip, reduction=mean_of_means",
            ranks=(4,),
            note="a sample that is ignored wholly is 1 there, and is not counted here",
            hard=True,
            takes="alpha ignore_index",
        ),
    },
)
def tversky(
    probs: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    total: Total,
    *,
    alpha: Dynamic[NonNegative] = 0.5,
    beta: Dynamic[NonNegative] = 0.5,
    smooth: Dynamic[NonNegative] = 1e-5,
) -> Float[Tensor, "b c"]:
    """1 - (TP + s) / (TP + α FP + β FN + s), with TP = Σ p t, FP = Σ p - TP, FN = Σ t - TP.

    `alpha` weighs what is found and not there, `beta` what is missed, as in MONAI, smp, mmsegmentation
    and optax. In keras (3.8 to 3.15, whose page says otherwise) and Flux `alpha` weighs what is missed:
    exchange the two. kornia 0.8 sums over the classes too, where both mistakes are as many: it knows only
    alpha + beta; 0.9 is as here. keras sums over the classes too.
    """
    overlap, predicted, true = total(probs * target, probs, target)
    mistaken = plus(alpha * (predicted - overlap), true - overlap, beta)
    return divide_or_zero(mistaken, overlap + mistaken + smooth, smooth)


@loss(
    paper="Abraham, Khan 2018, arXiv:1810.07842",
    range=(0, 1),
    zero_when="perfect",
)
def focal_tversky(
    probs: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    total: Total,
    *,
    alpha: Dynamic[NonNegative] = 0.5,
    beta: Dynamic[NonNegative] = 0.5,
    smooth: Dynamic[NonNegative] = 1e-5,
    gamma: Dynamic[Positive] = 0.75,
) -> Float[Tensor, "b c"]:
    """tversky ** γ, class by class. The paper writes 1/γ, with γ = 4/3.

    smp's TverskyLoss(gamma=...) takes the power of the mean: `tversky(like=smp)**gamma`.
    """
    return power(tversky.function(probs, target, total, alpha=alpha, beta=beta, smooth=smooth), gamma)


def divide_or_zero(numerator: Tensor, denominator: Tensor, smooth: Option) -> Tensor:
    """a / b; with a `smooth` of 0 it is 0 with a gradient of 0 where b is 0, for an absent class.

    1 - (a + s) / (b + s) is called as (b - a) / (b + s): exact where a is nearly b, and one operation less.
    """
    if is_number(smooth) and smooth:
        return numerator / denominator
    absent = denominator == 0
    return torch.where(absent, 0.0, numerator / torch.where(absent, 1.0, denominator))
