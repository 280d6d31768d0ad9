"""Losses of a class or of a yes and no.

Shapes: logits and probabilities are (B, C, *S). `labels` are indices (B, *S) or a distribution
(B, C, *S); dense targets are like the prediction. Every value is in nats unless it says otherwise.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from losslang.primitives.decorators import loss
from losslang.primitives.entropy import focus, pick
from losslang.primitives.presets import SUM_OF_MEANS, Preset
from losslang.tensors.lazy import torch
from losslang.tensors.numerics import power
from losslang.vocabulary import Dynamic, Fixed, Float, Fraction, Int, NonNegative, Positive, Tensor

Degree = Annotated[int, Field(ge=1, le=4)]
"""A power of a difference of logits; torch takes 1 and 2."""


@loss(
    aliases=(
        "focal_loss",
        "sigmoid_focal = focal(sigmoid)",
        "sigmoid_focal_loss = focal(sigmoid)",
        "binary_focal_loss_with_logits = focal(sigmoid)",
        "binary_focal_crossentropy",
        "softmax_focal = focal(softmax)",
    ),
    paper="Lin, Goyal, Girshick, He, Dollár 2017, arXiv:1708.02002",
    range=(0, float("inf")),
    zero_when="perfect",
    like={
        "torchvision": Preset("sigmoid, alpha=0.25", takes="gamma alpha reduction"),
        "kornia": Preset(
            "sigmoid, alpha=0.25, reduction=mean_all",
            refuses={
                "softmax": "kornia divides by the classes too: its mean is `focal(softmax, alpha=0.25)` / C"
            },
            hard=True,
            takes="gamma alpha ignore_index class_weight reduction",
        ),
        "mmdet": Preset(
            "sigmoid, alpha=0.25", activations=("sigmoid", "identity"), takes="gamma alpha reduction"
        ),
        "mmseg": Preset(
            "sigmoid, alpha=0.5",
            refuses={"ignore_index": "what mmseg makes of it is not the same on a CPU and on a GPU"},
            takes="gamma alpha class_weight reduction",
        ),
        "fvcore": Preset("sigmoid", takes="gamma alpha reduction"),
        "monai": Preset(
            "sigmoid",
            refuses={
                "softmax": "MONAI divides by the classes too: its mean is `focal(softmax)` / C",
                "ignore_index": "MONAI divides by the places alone then, and its mean is C times larger",
                "reduction=sum": "MONAI takes the mean over space first",
            },
            hard=True,
            takes="gamma alpha class_weight reduction",
        ),
        "smp": Preset(
            "sigmoid",
            activations=("sigmoid", "identity"),
            indexed=True,
            refuses={
                "class_weight": "smp divides by the sum of the weights",
                "reduction=sum": "smp takes the mean over the classes",
                "identity ignore_index": "smp leaves labels out of logits alone",
                "reduction=none": "smp takes the mean over the classes",
            },
            hard=True,
            takes="gamma alpha ignore_index reduction",
        ),
        "optax": Preset("sigmoid", takes="gamma alpha reduction"),
        "toolbelt": Preset(
            "sigmoid, reduction=mean_all",
            refuses={"softmax": "pytorch-toolbelt adds up the sigmoid cross entropies of all classes"},
            takes="gamma alpha ignore_index class_weight reduction",
        ),
        "keras": Preset(
            "identity",
            activations=("identity", "sigmoid"),
            refuses=SUM_OF_MEANS,
            takes="gamma alpha reduction",
        ),
    },
)
def focal(
    p_true: Float[Tensor, "*event"],
    log_p_true: Float[Tensor, "*event"],
    positive_truth: Float[Tensor, "*event"],
    *,
    gamma: Dynamic[NonNegative] = 2.0,
    alpha: Dynamic[Fraction | None] = None,
) -> Float[Tensor, "*event"]:
    """-α_t (1 - p_t)^γ log p_t, with p_t the probability given to what is true.

    After a sigmoid one value per element, after a softmax one per sample and place. `alpha` weighs
    the positives and 1 - alpha the negatives (after a softmax: class 0 is the negative one).

    Of labels between 0 and 1 p_t is t p + (1 - t)(1 - p), as in torchvision; MONAI, kornia and smp each
    have another. After a softmax the means of MONAI and kornia divide by the classes too: C times smaller;
    with an ignore_index MONAI 1.6.1 divides by the places alone after a sigmoid: C times larger. keras
    multiplies all of `CategoricalFocalCrossentropy` by its alpha, 0.25.
    """
    values = -power(1 - p_true, gamma) * log_p_true
    if alpha is None:
        return values
    return (alpha * positive_truth + (1 - alpha) * (1 - positive_truth)) * values


@focal.kernel("sigmoid")
def focal_of_logits(
    logits: Float[Tensor, "*shape"],
    positive_truth: Float[Tensor, "*shape"],
    *,
    gamma: Dynamic[NonNegative] = 2.0,
    alpha: Dynamic[Fraction | None] = None,
) -> Float[Tensor, "*shape"]:
    """`focal` of the logits, with 1 - p_t from both sigmoids: it keeps its digits where p_t is nearly 1."""
    mistaken, entropy = focus(logits, positive_truth)
    values = power(mistaken, gamma) * entropy
    return values if alpha is None else (1 - alpha + (2 * alpha - 1) * positive_truth) * values


@loss(
    aliases=("hinge_loss",),
    range=(0, float("inf")),
    like={
        "keras": Preset(refuses=SUM_OF_MEANS, takes="reduction"),
        "optax": Preset(takes="reduction"),
        "sklearn": Preset(ranks=(1,)),
    },
)
def hinge(
    logits: Float[Tensor, "*shape"], signs: Float[Tensor, "*shape"], *, margin: Dynamic[Positive] = 1.0
) -> Float[Tensor, "*shape"]:
    """max(0, m - y x), y = +1 or -1.

    Source: the support vector machine (Cortes, Vapnik 1995); keras' `Hinge`.
    """
    return torch.relu(margin - signs * logits)


@loss(range=(0, float("inf")), like={"keras": Preset(refuses=SUM_OF_MEANS, takes="reduction")})
def squared_hinge(
    logits: Float[Tensor, "*shape"], signs: Float[Tensor, "*shape"], *, margin: Dynamic[Positive] = 1.0
) -> Float[Tensor, "*shape"]:
    """max(0, m - y x)^2, y = +1 or -1.

    Source: the support vector machine with squared slacks; keras' `SquaredHinge`.
    """
    return torch.relu(margin - signs * logits).square()


@loss(
    aliases=("multi_margin_loss", "weston_watkins"),
    paper="Weston, Watkins 1999",
    range=(0, float("inf")),
    like={"torch": Preset(ranks=(2,), takes="margin class_weight reduction")},
)
def multi_margin(
    logits: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *space"],
    *,
    margin: Dynamic[Positive] = 1.0,
    p: Fixed[Degree, "it is a whole number, which chooses the formula"] = 1,
) -> Float[Tensor, "b *space"]:
    """Σ_{c ≠ y} max(0, m - x_y + x_c)^p / C, as in torch, whose p is 1 or 2.

    Above 4 it is beyond single precision.
    """
    excess = torch.relu(margin - pick(logits, labels).unsqueeze(1) + logits) ** p
    return (excess.sum(1) - margin**p) / logits.shape[1]


@loss(
    aliases=("classification_error", "misclassification"),
    metric_only=True,
    range=(0, 1),
    zero_when="perfect",
)
def zero_one(
    probs: Float[Tensor, "b c *space"], labels: Int[Tensor, "b *space"]
) -> Float[Tensor, "b *space"]:
    """1 where the most probable class is not the true one. One channel: p > 1/2 is class 1.

    Not differentiable: only inside `metric(...)`.

    Source: the rate of misclassification.
    """
    if probs.shape[1] == 1:
        found, true = probs[:, 0] > 0.5, (labels[:, 0] if labels.ndim == probs.ndim else labels) > 0.5
    else:
        # Of equal ones the first, as argmax: that one takes three times as long over an axis in the middle.
        found, true = probs.max(1).indices, labels.argmax(1) if labels.ndim == probs.ndim else labels
    return (found != true).to(probs.dtype)
