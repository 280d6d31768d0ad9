"""Losses of distances between embeddings: vectors along the last axis, (*B, D)."""

from __future__ import annotations

import math

from losslang.decorators import loss
from losslang.lazy import F, torch
from losslang.vocabulary import Float, NonNegative, Positive, Tensor


@loss(
    aliases=("cosine_distance",),
    activation="identity",
    range=(0, 2),
    zero_when="equal",
)
def cosine(
    embeddings: Float[Tensor, "*b d"], target: Float[Tensor, "*b d"], *, eps: Positive = 1e-8
) -> Float[Tensor, "*b"]:
    """1 - x·y / (|x| |y|), each norm not below ε."""
    return 1 - F.cosine_similarity(embeddings, target, dim=-1, eps=eps)


@loss(
    aliases=("triplet_margin", "triplet_margin_loss"),
    paper="Balntas, Riba, Ponsa, Mikolajczyk 2016; Schroff, Kalenichenko, Philbin 2015, arXiv:1503.03832",
    activation="identity",
    range=(0, math.inf),
)
def triplet(
    anchor: Float[Tensor, "*b d"],
    positive: Float[Tensor, "*b d"],
    negative: Float[Tensor, "*b d"],
    *,
    margin: NonNegative = 1.0,
    p: Positive = 2.0,
    swap: bool = False,
) -> Float[Tensor, "*b"]:
    """max(0, |a - p| - |a - n| + m), with p-norms whose differences carry 1e-6, as in torch.

    `swap` takes the smaller of |a - n| and |p - n|: `triplet@(pred.a, pred.p, pred.n)`.
    """
    near, far = F.pairwise_distance(anchor, positive, p), F.pairwise_distance(anchor, negative, p)
    if swap:
        far = torch.minimum(far, F.pairwise_distance(positive, negative, p))
    return torch.relu(near - far + margin)
