"""Losses of the pairs within a batch of embeddings, (B, D): each row is compared with all others.

Rows that do not count are in no sum: they are nobody's negative. Similarities are cosines, unless a loss
says otherwise; a row of zeros has similarity 0 to everything. Under DistributedDataParallel a batch is
that of one process.
"""

from __future__ import annotations

import math
from typing import Literal, cast

from losslang.primitives.decorators import loss
from losslang.primitives.presets import Preset
from losslang.tensors.devices import exact
from losslang.tensors.lazy import F, torch
from losslang.tensors.numerics import root
from losslang.vocabulary import Dynamic, Float, Fraction, Int, NonNegative, Positive, Tensor


@loss(
    aliases=("pairwise_contrastive",),
    paper="Hadsell, Chopra, LeCun 2006",
    activation="identity",
    range=(0, math.inf),
)
def contrastive(
    embeddings: Float[Tensor, "*b d"],
    target: Float[Tensor, "*b d"],
    sign: Float[Tensor, "*b"],
    *,
    margin: Dynamic[NonNegative] = 1.0,
) -> Float[Tensor, "*b"]:
    """d² / 2 of two that belong together (+1), max(0, m - d)² / 2 of two that do not (-1), d = |x - y|.

    `contrastive@(pred.a, pred.b, batch.same)`; of booleans and of 0 and 1, true is together, as in
    tensorflow-addons and sentence-transformers, where Flux means the opposite. Without the paper's 1/2, as
    in tensorflow-addons, it is twice as large. InfoNCE, which MONAI calls ContrastiveLoss, is `infonce`.

    Unit: `margin` is a distance; the value in its square.
    """
    square = (embeddings - target).square().sum(-1)
    missing = torch.relu(margin - root(square))
    values = torch.where(sign > 0, square, missing.square())
    return torch.add(0.5 * values, sign, alpha=0)  # NaN is neither sign


@contrastive.slope
def contrastive_slope(
    embeddings: Float[Tensor, "*b d"],
    target: Float[Tensor, "*b d"],
    sign: Float[Tensor, "*b"],
    *,
    margin: NonNegative = 1.0,
) -> tuple[Tensor, Tensor]:
    """The values and their derivative: e = x - y of two that belong together, else -e max(0, m - d) / d."""
    error, together = embeddings - target, sign > 0
    distance = cast("Tensor", torch.linalg.vector_norm(error, dim=-1))  # pyright: ignore
    missing = torch.relu(margin - distance)
    values = torch.where(together, distance, missing).square_().mul_(0.5).add_(sign, alpha=0)
    slope = torch.where(together, 1.0, -missing / F.threshold(distance, 0.0, math.inf))
    return values, error.mul_(slope.unsqueeze(-1))


@loss(
    aliases=("ntxent", "nt_xent", "ntxent_loss", "simclr"),
    paper="van den Oord, Li, Vinyals 2018, arXiv:1807.03748; Chen et al. 2020, arXiv:2002.05709",
    activation="identity",
    range=(0, math.inf),
    whole=True,
    like={
        "optax": Preset("temperature=0.07", takes="temperature"),
        "monai": Preset(takes="temperature"),
        "lightly": Preset(takes="temperature"),
        "pml": Preset("temperature=0.07", takes="temperature"),
    },
)
def infonce(
    embeddings: Float[Tensor, "b d"],
    target: Float[Tensor, "b d"],
    counted: Float[Tensor, "b"] | None,
    *,
    temperature: Dynamic[Positive] = 0.5,
) -> Float[Tensor, "b"]:
    """-log(e^(s_xy / T) / Σ_z e^(s_xz / T)), z the other 2B - 1 rows of both views; mean of both directions.

    `infonce@(pred.z1, pred.z2)`. T is 0.5 in SimCLR, MONAI and lightly, 0.07 in pytorch-metric-learning and
    optax; keras-cv adds the two directions: twice as large. Against the other view alone: `mnrl`.
    """
    both = _unit(torch.cat([embeddings, target]))
    number = len(embeddings)
    logits = products(both, both) / temperature
    others = _others(logits, None if counted is None else counted.repeat(2))
    positive = torch.cat([logits.diagonal(number), logits.diagonal(-number)])
    return (_log_sum(logits, others) - positive).reshape(2, number).mean(0)


@loss(
    aliases=("multiple_negatives_ranking", "in_batch_negatives"),
    paper="Henderson et al. 2017, arXiv:1705.00652",
    activation="identity",
    range=(0, math.inf),
    whole=True,
)
def mnrl(
    embeddings: Float[Tensor, "b d"],
    target: Float[Tensor, "b d"],
    counted: Float[Tensor, "b"] | None,
    *,
    scale: Dynamic[Positive] = 20.0,
    symmetric: bool = False,
) -> Float[Tensor, "b"]:
    """-log(e^(k s_ii) / Σ_j e^(k s_ij)): of all targets of the batch, its own is that of a row.

    `mnrl@(pred.query, pred.passage)`. `symmetric` takes the mean with the other direction, as CLIP does.
    sentence-transformers calls it MultipleNegativesRankingLoss, with k = 20.
    """
    logits = scale * products(_unit(embeddings), _unit(target))
    one = _own(logits, counted)
    return (one + _own(logits.T, counted)) / 2 if symmetric else one


@loss(
    aliases=("n_pairs", "npairs_loss"),
    paper="Sohn 2016",
    activation="identity",
    range=(0, math.inf),
    whole=True,
)
def npairs(
    embeddings: Float[Tensor, "b d"], target: Float[Tensor, "b d"], counted: Float[Tensor, "b"] | None
) -> Float[Tensor, "b"]:
    """log(1 + Σ_j≠i e^(x_i·y_j - x_i·y_i)), of inner products, y_i the positive of the anchor x_i.

    Each pair is of a class of its own: `npairs@(pred.anchor, pred.positive)`. The paper adds a term on the
    length of embeddings, to be written beside it: `0.002*sum(pred.anchor**2)`. pytorch-metric-learning's
    NPairsLoss takes cosines, which is `mnrl(scale=1)`.
    """
    return _own(products(embeddings, target), counted)


@loss(
    aliases=("supervised_contrastive",),
    paper="Khosla et al. 2020, arXiv:2004.11362",
    activation="identity",
    range=(0, math.inf),
    whole=True,
    like={"pml": Preset("one_class=zero", takes="temperature")},
)
def supcon(
    embeddings: Float[Tensor, "b d"],
    indices: Int[Tensor, "b"],
    counted: Float[Tensor, "b"] | None,
    *,
    temperature: Dynamic[Positive] = 0.1,
    one_class: Literal["formula", "zero"] = "formula",
) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
    """-mean over p of log(e^(s_ip / T) / Σ_a≠i e^(s_ia / T)), p the other rows of the same class.

    A row without such a one does not count. The authors' code is NaN there, and multiplies by T / 0.07.
    A batch of one class has no row to tell apart: `one_class=zero` gives 0 for it, as pytorch-metric-
    learning.
    """
    logits = _similarities(embeddings) / temperature
    others, same = _pairs(logits, indices, counted)
    log_probs = torch.log_softmax(_among(logits, others), 1)
    positives = same.sum(1)
    values = -torch.where(same, log_probs, 0.0).sum(1) / positives.clamp(min=1)
    if one_class == "zero":
        values = values * (others & ~same).any()
    return values, positives > 0


@loss(
    aliases=("circle_loss",),
    paper="Sun et al. 2020, arXiv:2002.10857",
    activation="identity",
    range=(0, math.inf),
    whole=True,
    like={"keras": Preset(takes="margin reduction"), "pml": Preset(takes="margin")},
)
def circle(
    embeddings: Float[Tensor, "b d"],
    indices: Int[Tensor, "b"],
    counted: Float[Tensor, "b"] | None,
    *,
    margin: Dynamic[Fraction] = 0.4,
    gamma: Dynamic[Positive] = 80.0,
) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
    """log(1 + Σ_n e^(γ α_n (s_n - m)) Σ_p e^(-γ α_p (s_p - 1 + m))), α_n = [s_n + m]+, α_p = [1 + m - s_p]+.

    Over the positives p and negatives n of a row. The weights α pass no gradient, as in the paper. A row that
    lacks either does not count, as in keras and pytorch-metric-learning.
    """
    similar = _similarities(embeddings)
    others, same = _pairs(similar, indices, counted)
    different = others & ~same
    held = similar.detach()
    near = -gamma * torch.relu(1 + margin - held) * (similar - 1 + margin)
    far = gamma * torch.relu(held + margin) * (similar - margin)
    value = F.softplus(_log_sum(near, same) + _log_sum(far, different))
    return value, same.any(1) & different.any(1)


@loss(
    aliases=("multi_similarity_loss",),
    paper="Wang, Han, Huang, Dong, Scott 2019, arXiv:1904.06627",
    activation="identity",
    range=(0, math.inf),
    whole=True,
    like={"pml": ""},
)
def multi_similarity(
    embeddings: Float[Tensor, "b d"],
    indices: Int[Tensor, "b"],
    counted: Float[Tensor, "b"] | None,
    *,
    alpha: Dynamic[Positive] = 2.0,
    beta: Dynamic[Positive] = 50.0,
    base: Dynamic[Fraction] = 0.5,
) -> Float[Tensor, "b"]:
    """log(1 + Σ_p e^(-α (s_p - λ))) / α + log(1 + Σ_n e^(β (s_n - λ))) / β, λ the base.

    Over the positives p and negatives n of a row, all of them: the paper's mining of pairs is not part of it.
    """
    similar = _similarities(embeddings)
    others, same = _pairs(similar, indices, counted)
    near = F.softplus(_log_sum(alpha * (base - similar), same)) / alpha
    return near + F.softplus(_log_sum(beta * (similar - base), others & ~same)) / beta


# -------------------------------------------------------------------- lengths and products


def length(rows: Tensor) -> Tensor:
    """The length of each row; 1 of one that is shorter than the precision: it has no direction."""
    return F.threshold(rows.square().sum(-1), torch.finfo(rows.dtype).eps ** 2, 1.0).sqrt()


def products(x: Tensor, y: Tensor) -> Tensor:
    """The inner product of each row of x with each row of y."""
    with exact(x):
        return x @ y.T


def _unit(x: Tensor) -> Tensor:
    """Rows of length 1."""
    return x / length(x).unsqueeze(-1)


def _similarities(embeddings: Tensor) -> Tensor:
    """The cosine of each two rows."""
    unit = _unit(embeddings)
    return products(unit, unit)


# -------------------------------------------------------------------- who is compared with whom


def _others(similar: Tensor, counted: Tensor | None) -> Tensor:
    """True where two rows may be compared: both count, and they are two."""
    others = ~torch.eye(len(similar), dtype=torch.bool, device=similar.device)
    return others if counted is None else others & counted & counted.unsqueeze(1)


def _pairs(similar: Tensor, indices: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    """Where two rows may be compared, and where those are of one class."""
    others = _others(similar, counted)
    return others, others & (indices == indices.unsqueeze(1))


def _among(logits: Tensor, among: Tensor) -> Tensor:
    """The lowest number where a row is not among those compared."""
    return logits.masked_fill(~among, torch.finfo(logits.dtype).min)


def _log_sum(logits: Tensor, among: Tensor) -> Tensor:
    """log Σ e^z of each row over those that are among them; the lowest number where none is."""
    if not logits.shape[1]:
        return logits.sum(1)
    logits = _among(logits, among)
    largest = logits.detach().amax(1, keepdim=True)
    # Beside e^0 nothing is left of e^-80, and on a CPU exponentials of less take ten times as long.
    below = F.threshold(logits - largest, -80.0, -80.0)
    return below.exp().sum(1).log() + largest.squeeze(1)


def _own(logits: Tensor, counted: Tensor | None) -> Tensor:
    """-log softmax of each row at its own place, over the columns that count."""
    if counted is not None:
        logits = _among(logits, counted)
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device), reduction="none")
