"""Cross-entropies that forgive wrong labels: no label costs more than it may.

Shapes as in `classification`: logits and probabilities (B, C, *S). Values in nats unless said otherwise.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from losslang.primitives.decorators import loss
from losslang.primitives.entropy import pick
from losslang.primitives.presets import Preset
from losslang.tensors.lazy import torch
from losslang.tensors.numerics import mean_along
from losslang.tensors.options import may_count
from losslang.vocabulary import Count, Dynamic, Fixed, Float, Fraction, Int, Positive, Tensor

Tail = Annotated[float, Field(ge=1, le=10)]
"""A temperature of heavy tails; 1 has none, and above 10 the sum of powers is beyond single precision."""


@loss(
    aliases=("generalized_ce", "generalized_cross_entropy", "categorical_generalized_cross_entropy"),
    paper="Zhang, Sabuncu 2018, arXiv:1805.07836",
    activation="softmax",
    range=(0, math.inf),
    zero_when="perfect",
    like={"keras": Preset("identity, q=0.5", hard=True, several=True, takes="q reduction")},
)
def gce(
    log_probs: Float[Tensor, "b c *space"], labels: Int[Tensor, "b *space"], *, q: Dynamic[Positive] = 0.7
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
    t1: Fixed[Fraction, "at 1 it is another formula"] = 0.8,
    t2: Fixed[Tail, "at 1 it is another formula"] = 1.2,
    label_smoothing: Dynamic[Fraction] = 0.0,
    iters: Fixed[Count, "it counts steps, which are that many operations"] = 5,
) -> Float[Tensor, "b *space"]:
    """Σ_c y_c (log_t1 y_c - log_t1 p_c) - (y_c^(2-t1) - p_c^(2-t1)) / (2 - t1), p = exp_t2(x - λ), Σ p = 1.

    log_t(u) = (u^(1-t) - 1) / (1 - t), and exp_t is its inverse: t1 < 1 bounds the loss, t2 > 1 gives p a
    heavy tail, t1 = t2 = 1 is the cross entropy (of soft labels, less their entropy). `label_smoothing` is ε
    of (1 - ε) t + ε / C; the authors' is ε (C - 1) / C. λ takes `iters` steps of Newton, which end within
    rounding; the authors' five, of a fixed point, leave Σ p = 1.02 for 1000 logits of spread 3.
    """
    log_p = _log_tempered_softmax(logits, t2, iters)
    tempered = log_p if t1 == 1 else torch.expm1((1 - t1) * log_p) / (1 - t1)
    said = pick(tempered, labels)
    if may_count(label_smoothing):
        said = (1 - label_smoothing) * said + label_smoothing * mean_along(tempered, 1)
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
