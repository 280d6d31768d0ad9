"""Losses of two embeddings, vectors along the last axis (*B, D), and of what a batch of them varies in.

Row against row the values are one per row; `barlow_twins` and `vicreg` are one number of a batch (B, D).
"""

from __future__ import annotations

import math
from typing import Annotated, cast

from pydantic import Field

from losslang.losses.contrast import products
from losslang.primitives.decorators import loss
from losslang.primitives.presets import Preset
from losslang.tensors.lazy import F, torch
from losslang.tensors.options import Option
from losslang.vocabulary import LARGEST, Dynamic, Fixed, Float, Fraction, NonNegative, Positive, Tensor

Norm = Annotated[float, Field(ge=1, le=LARGEST)]
"""Below 1 it is no norm, and has no slope where two numbers are equal."""


@loss(
    aliases=("cosine_distance",),
    activation="identity",
    range=(0, 2),
    zero_when="equal",
    like={"optax": Preset(takes="reduction")},
)
def cosine(
    embeddings: Float[Tensor, "*b d"], target: Float[Tensor, "*b d"], *, eps: Dynamic[Positive] = 1e-8
) -> Float[Tensor, "*b"]:
    """1 - x·y / (|x| |y|), each norm not below ε.

    As half of the squared distance of rows of length 1: of rows that are nearly alike nothing cancels.

    keras' CosineSimilarity is `cosine - 1`; optax is NaN for a row of zeros, where this is 1.

    Source: one minus the cosine similarity of torch's `cosine_similarity`.
    """
    (own, missing), (other, more) = _held(embeddings, eps), _held(target, eps)
    apart = embeddings / own.unsqueeze(-1) - target / other.unsqueeze(-1)
    return (apart.square().sum(-1) + missing + more) / 2


@cosine.slope
def cosine_slope(
    embeddings: Float[Tensor, "*b d"], target: Float[Tensor, "*b d"], *, eps: Positive = 1e-8
) -> tuple[Tensor, Tensor]:
    """The values and their derivative, (u - v - u (1 - cos)) / |x|, u and v the rows of length 1."""
    norm, (own, missing), (other, more) = _norm(embeddings), _held(embeddings, eps), _held(target, eps)
    unit = embeddings / own.unsqueeze(-1)
    apart = torch.addcdiv(unit, target, other.unsqueeze(-1), value=-1)
    values = _norm(apart).square_().add_(missing.add_(more)).div_(2)
    # The slope of a norm below its bound is that of the norm, as in torch.
    along = torch.where(norm < eps, 1 - (1 - values) * own / F.threshold(norm, 0.0, math.inf), values)
    return values, apart.addcmul_(unit, along.unsqueeze(-1), value=-1).div_(own.unsqueeze(-1))


@loss(
    aliases=("cosine_embedding_loss",),
    activation="identity",
    range=(0, 2),
    like={"torch": Preset(takes="margin reduction")},
)
def cosine_embedding(
    embeddings: Float[Tensor, "*b d"],
    target: Float[Tensor, "*b d"],
    sign: Float[Tensor, "*b"],
    *,
    margin: Dynamic[Fraction] = 0.0,
) -> Float[Tensor, "*b"]:
    """1 - cos of two that belong together (+1), max(0, cos - m) of two that do not (-1).

    `cosine_embedding@(pred.a, pred.b, batch.same)`; of booleans and of 0 and 1, true is together. The cosine
    to a row of zeros is 0.

    Source: torch's `cosine_embedding_loss`.
    """
    (own, missing), (other, more) = _length(embeddings), _length(target)
    apart = embeddings / own.unsqueeze(-1) - target / other.unsqueeze(-1)
    unlike = (apart.square().sum(-1) + missing + more) / 2
    values = torch.where(sign > 0, unlike, torch.relu(1 - margin - unlike))
    return torch.add(values, sign, alpha=0)  # NaN is neither sign


@cosine_embedding.slope
def cosine_embedding_slope(
    embeddings: Float[Tensor, "*b d"],
    target: Float[Tensor, "*b d"],
    sign: Float[Tensor, "*b"],
    *,
    margin: Fraction = 0.0,
) -> tuple[Tensor, Tensor]:
    """The values and their derivative, ±(u - v - u (1 - cos)) / |x|, u and v the rows of length 1."""
    (own, missing), (other, more) = _length(embeddings), _length(target)
    unit = embeddings / own.unsqueeze(-1)
    apart = torch.addcdiv(unit, target, other.unsqueeze(-1), value=-1)
    unlike = _norm(apart).square_().add_(missing.add_(more)).div_(2)
    belong, excess = sign > 0, 1 - margin - unlike
    rise = torch.where(belong, 1.0, excess.sign().relu_().neg_()) / own
    slope = apart.addcmul_(unit, unlike.unsqueeze(-1), value=-1).mul_(rise.unsqueeze(-1))
    return torch.where(belong, unlike, excess.relu_()).add_(sign, alpha=0), slope


@loss(
    aliases=("margin_ranking_loss",),
    activation="identity",
    range=(0, math.inf),
    like={"torch": Preset(takes="margin reduction")},
)
def margin_ranking(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    sign: Float[Tensor, "*shape"],
    *,
    margin: Dynamic[NonNegative] = 0.0,
) -> Float[Tensor, "*shape"]:
    """max(0, m - y (a - b)): score a above score b where y = +1, below it where y = -1.

    `margin_ranking@(pred.a, pred.b, batch.order)`; of booleans and of 0 and 1, true is +1.

    Source: torch's `margin_ranking_loss`.
    """
    return torch.relu(margin - sign * (values - target))


@loss(
    aliases=("hinge_embedding_loss",),
    activation="identity",
    like={"torch": Preset(takes="margin reduction")},
)
def hinge_embedding(
    values: Float[Tensor, "*shape"], signs: Float[Tensor, "*shape"], *, margin: Dynamic[NonNegative] = 1.0
) -> Float[Tensor, "*shape"]:
    """x of a distance that should be small (+1), max(0, m - x) of one that should be large (-1).

    Unit: `margin` and the value are in that of the distance.
    Source: torch's `hinge_embedding_loss`.
    """
    costs = torch.where(signs > 0, values, torch.relu(margin - values))
    return torch.add(costs, signs, alpha=0)  # NaN is neither sign


@loss(
    aliases=("triplet_margin", "triplet_margin_loss"),
    paper="Balntas, Riba, Ponsa, Mikolajczyk 2016; Schroff, Kalenichenko, Philbin 2015, arXiv:1503.03832",
    activation="identity",
    range=(0, math.inf),
    like={
        "optax": Preset(
            refuses={"p": "optax adds up powers of signed differences"},
            note="optax adds 1e-6 under the root",
            takes="margin reduction",
        ),
        "torch": Preset(takes="margin p swap reduction"),
    },
)
def triplet(
    anchor: Float[Tensor, "*b d"],
    positive: Float[Tensor, "*b d"],
    negative: Float[Tensor, "*b d"],
    *,
    margin: Dynamic[NonNegative] = 1.0,
    p: Fixed[Norm, "it chooses the norm, and the formula with it"] = 2.0,
    swap: bool = False,
) -> Float[Tensor, "*b"]:
    """max(0, |a - p| - |a - n| + m), with p-norms whose differences carry 1e-6, as in torch; p is at least 1.

    `swap` takes the smaller of |a - n| and |p - n|: `triplet@(pred.a, pred.p, pred.n)`. FaceNet squares the
    distances; pytorch-metric-learning makes the triplets of a batch, of unit vectors, with a margin of 0.05.

    Unit: `margin` and the value are distances in the unit of the embeddings.
    """
    near, far = _distance(anchor, positive, p), _distance(anchor, negative, p)
    if swap:
        far = torch.minimum(far, _distance(positive, negative, p))
    return torch.relu(near - far + margin)


@loss(
    aliases=("barlow", "barlow_twins_loss"),
    paper="Zbontar, Jing, Misra, LeCun, Deny 2021, arXiv:2103.03230",
    activation="identity",
    range=(0, math.inf),
    whole=True,
    like={"lightly": "", "monai": "unbiased=true, eps=1e-6"},
)
def barlow_twins(
    embeddings: Float[Tensor, "b d"],
    target: Float[Tensor, "b d"],
    counted: Float[Tensor, "b"] | None,
    *,
    offdiag: Dynamic[NonNegative] = 5e-3,
    unbiased: bool = False,
    eps: Dynamic[Positive] = 1e-5,
) -> Float[Tensor, ""]:
    """Σ_i (1 - c_ii)² + λ Σ_i≠j c_ij², c the correlations of the dimensions of two views over the batch.

    λ is `offdiag`, and ε is added to the variances. A sum over dimensions, as everywhere: it grows with D.
    `unbiased` divides the variances by B - 1 but c by B, as MONAI does: c_ii of equal views is 1 - 1/B then.
    """
    rows = _rows(embeddings, counted)
    number = rows.sum()
    a, b = (_standard(view, rows, int(unbiased), eps) for view in (embeddings, target))
    correlations = products(a.T, b.T) / number.clamp(min=1)
    same = torch.eye(len(correlations), dtype=torch.bool, device=correlations.device)
    wanted = (1 - correlations.diagonal()).square().sum()
    value = wanted + offdiag * correlations.masked_fill(same, 0.0).square().sum()
    return torch.where(number > 0, value, 0.0)


@loss(
    aliases=("vicreg_loss",),
    paper="Bardes, Ponce, LeCun 2022, arXiv:2105.04906",
    activation="identity",
    range=(0, math.inf),
    whole=True,
    like={"lightly": "", "pml": ""},
)
def vicreg(
    embeddings: Float[Tensor, "b d"],
    target: Float[Tensor, "b d"],
    counted: Float[Tensor, "b"] | None,
    *,
    invariance: Dynamic[NonNegative] = 25.0,
    variance: Dynamic[NonNegative] = 25.0,
    covariance: Dynamic[NonNegative] = 1.0,
    eps: Dynamic[Positive] = 1e-4,
) -> Float[Tensor, ""]:
    """λ mse(x, y) + μ mean over views and dimensions of [1 - sqrt(var + ε)]+ + ν Σ_views Σ_i≠j cov_ij² / D.

    λ, μ and ν are `invariance`, `variance` and `covariance`; variances and covariances divide by B - 1.
    """
    rows = _rows(embeddings, counted)
    number, width = rows.sum(), max(embeddings.shape[1], 1)
    value = invariance * (embeddings - target).square().sum() / (number.clamp(min=1) * width)
    for view in (embeddings, target):
        centred = _centred(view, rows)
        spread = products(centred.T, centred.T) / (number - 1).clamp(min=1)
        deviation = (spread.diagonal() + eps).sqrt()
        same = torch.eye(len(spread), dtype=torch.bool, device=spread.device)
        value = value + variance / 2 * torch.relu(1 - deviation).sum() / width
        value = value + covariance * spread.masked_fill(same, 0.0).square().sum() / width
    return torch.where(number > 0, value, 0.0)


# -------------------------------------------------------------------- lengths and distances


def _norm(rows: Tensor) -> Tensor:
    return cast("Tensor", torch.linalg.vector_norm(rows, dim=-1))  # pyright: ignore


def _held(rows: Tensor, eps: Option) -> tuple[Tensor, Tensor]:
    """Returns norms clamped to ε, with the slope of the norm; and 1 - (norm / ε)² below ε, else 0."""
    norm = _norm(rows)
    held = norm + (norm.clamp(min=eps) - norm).detach()
    return held, torch.where(norm < eps, 1 - (norm / held).square(), 0.0)


def _length(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the norm of each row and 0; 1 and 1 for a row without a direction: 0 within precision."""
    own, least = _norm(rows), torch.finfo(rows.dtype).eps
    return F.threshold(own, least, 1.0), 1 - F.threshold(own.detach(), least, 0.0).sign()


def _distance(x: Tensor, y: Tensor, p: float) -> Tensor:
    """Returns the p-norm of x - y + 1e-6; for a large p scaled by the largest element against underflow."""
    if p <= 4:
        return F.pairwise_distance(x, y, p)
    apart = x - y + 1e-6
    unit = F.threshold(apart.detach().abs().amax(-1, keepdim=True), 0.0, 1.0)
    return cast("Tensor", torch.linalg.vector_norm(apart / unit, p, dim=-1)) * unit.squeeze(-1)  # pyright: ignore


# -------------------------------------------------------------------- statistics of the rows that count


def _rows(embeddings: Tensor, counted: Tensor | None) -> Tensor:
    """1 for each row that counts, as a column."""
    one = torch.ones_like(embeddings[:, :1])
    return one if counted is None else one * counted.unsqueeze(1)


def _centred(x: Tensor, rows: Tensor) -> Tensor:
    """Rows less their mean; 0 where they do not count."""
    return (x - (x * rows).sum(0) / rows.sum().clamp(min=1)) * rows


def _standard(x: Tensor, rows: Tensor, correction: int, eps: Option) -> Tensor:
    """Columns of mean 0 and variance 1."""
    centred = _centred(x, rows)
    variance = centred.square().sum(0) / (rows.sum() - correction).clamp(min=1)
    return centred / (variance + eps).sqrt()
