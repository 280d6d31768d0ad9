"""Losses of a margin between scores: of a sign, of the true class, of an order.

Scores are logits of any size: (B, C, *S) where there are classes. Values in the unit of the scores, or nats.
"""

from __future__ import annotations

import math

from losslang.primitives.activations import log_sigmoid
from losslang.primitives.decorators import loss
from losslang.primitives.entropy import pick, times_log
from losslang.primitives.functions import softplus
from losslang.primitives.presets import Preset
from losslang.tensors.lazy import torch
from losslang.vocabulary import Count, Dynamic, Fixed, Float, Int, NonNegative, Positive, Tensor


@loss(
    aliases=("perceptron_loss",),
    paper="Rosenblatt 1958",
    range=(0, math.inf),
    like={"optax": Preset(takes="reduction")},
)
def perceptron(logits: Float[Tensor, "*shape"], signs: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """max(0, -y x), y = +1 or -1: hinge without a margin. At x = 0 it is 0, with no gradient."""
    return torch.relu(-signs * logits)


@loss(
    aliases=("soft_margin", "soft_margin_loss"),
    range=(0, math.inf),
    like={"torch": Preset(takes="reduction")},
)
def logistic(logits: Float[Tensor, "*shape"], signs: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log(1 + e^(-y x)), y = +1 or -1: `bce(sigmoid)` with signs for the truth, in nats.

    Source: the negative log-likelihood of logistic regression; torch's `soft_margin_loss`.
    """
    return -log_sigmoid(signs * logits)


@logistic.slope
def logistic_slope(logits: Float[Tensor, "*shape"], signs: Float[Tensor, "*shape"]) -> tuple[Tensor, Tensor]:
    """The values and their derivative, -y / (1 + e^(y x))."""
    margin = (signs * logits).neg_()
    return softplus.function(margin), margin.sigmoid_().mul_(signs).neg_()


@loss(
    aliases=("multiclass_hinge_loss", "crammer_singer", "categorical_hinge"),
    paper="Crammer, Singer 2001",
    range=(0, math.inf),
    like={"optax": Preset(ranks=(2,), truth="indices", several=True, takes="reduction")},
)
def multiclass_hinge(
    logits: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *space"],
    *,
    margin: Dynamic[NonNegative] = 1.0,
) -> Float[Tensor, "b *space"]:
    """max(0, m + max_{c ≠ y} x_c - x_y); of soft labels max_c (x_c + m (1 - t_c)) - Σ_c t_c x_c.

    Without a margin it is the perceptron of classes. keras takes the largest of (1 - t) x, in which the true
    class is a 0: where all others are below 0 it gives more, 0.5 for the scores (0.5, -2) of class 0, whose
    margin is kept.
    """
    own = pick(logits, labels)
    if labels.ndim == logits.ndim:
        return (logits - own.unsqueeze(1) + margin * (1 - labels)).amax(1)
    others = logits.scatter(1, labels.unsqueeze(1), -torch.inf)
    return (others.amax(1) - own + margin).clamp(min=0)


@loss(
    aliases=("multilabel_margin_loss",),
    range=(0, math.inf),
    like={"torch": Preset(ranks=(2,), takes="reduction")},
)
def multilabel_margin(
    logits: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    *,
    margin: Dynamic[Positive] = 1.0,
) -> Float[Tensor, "b *space"]:
    """Σ_{y true} Σ_{c not} max(0, m - x_y + x_c) / C: every true class ahead of every other.

    The target is 0 or 1 for each class; torch's is a list of classes that ends at -1. Of C² pairs.

    Source: torch's `multilabel_margin_loss`.
    """
    excess = torch.relu(margin - logits.unsqueeze(2) + logits.unsqueeze(1))
    pairs = target.unsqueeze(2) * (1 - target).unsqueeze(1)
    # A class that is ruled out exceeds all others, and is compared with none.
    return (pairs * excess.masked_fill(pairs == 0, 0.0)).sum((1, 2)) / logits.shape[1]


@loss(aliases=("top_k_error",), metric_only=True, range=(0, 1), zero_when="perfect")
def topk_error(
    probs: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *space"],
    *,
    k: Fixed[Count, "it counts classes"] = 5,
) -> Float[Tensor, "b *space"]:
    """1 where the true class is not among the k most probable; of equal ones the first come first.

    Not differentiable: only inside `metric(...)`. k = 1 is `zero_one`, of two channels or more.

    Unit: none, a rate; `k` counts classes.
    Source: the top-5 error of ImageNet (Russakovsky et al. 2015, arXiv:1409.0575).
    """
    true = (labels.argmax(1) if labels.ndim == probs.ndim else labels).unsqueeze(1)
    own = probs.gather(1, true)
    order = torch.arange(probs.shape[1], device=probs.device).reshape(-1, *[1] * (probs.ndim - 2))
    before = (probs > own) | ((probs == own) & (order < true))
    return (before.sum(1) >= k).to(probs.dtype)


@loss(
    aliases=("ranking_softmax", "ranking_softmax_loss"),
    paper="Cao, Qin, Liu, Tsai, Li 2007",
    activation="identity",
    nonnegative=("target",),
    whole=True,
    range=(0, math.inf),
    like={"optax": Preset(ranks=(2,))},
)
def listwise_softmax(
    values: Float[Tensor, "b *items"],
    target: Float[Tensor, "b *items"],
    mask: Float[Tensor, "b *items"] | None,
) -> Float[Tensor, "b"]:
    """-Σ_i y_i log softmax(x)_i over the items of a list, y how relevant each of them is.

    ListNet's, with y as it stands in place of its softmax. One list a sample; a masked item is not in it, so
    lists of unequal length are padded and masked.
    """
    scores = values if mask is None else torch.where(mask, values, torch.finfo(values.dtype).min)
    return -times_log(target.flatten(1), torch.log_softmax(scores.flatten(1), 1)).sum(1)
