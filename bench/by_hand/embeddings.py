"""By hand: embeddings, at 1 MB of prediction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import inputs
from bench.by_hand import PLAIN, ROWS, by_hand
from bench.work import Call, Shape


def views(shape: Shape) -> Call:
    """Two views of the same things."""
    view = torch.randn(shape)
    return Call(view, view + 0.5 * torch.randn(shape))


def small_views(shape: Shape) -> Call:
    """Views whose products are some units: as large as `views`, each would be sure of itself."""
    call = views(shape)
    return Call(call.pred / shape[-1] ** 0.5, call.target / shape[-1] ** 0.25)


def judged(shape: Shape) -> Call:
    """Two views, and whether they are of one thing."""
    call = views(shape)
    return Call(call.pred, call.target, batch={"sign": torch.arange(len(call.pred)) % 2})


def ordered(shape: Shape) -> Call:
    """Two scores, and which should be above."""
    return Call(torch.randn(shape), torch.randn(shape), batch={"sign": torch.rand(shape) > 0.5})


def classed(shape: Shape) -> Call:
    """Rows, each with another of its class."""
    return Call(torch.randn(shape), torch.arange(shape[0]) // 2)


# -------------------------------------------------------------------- two at a time


@by_hand(judged, ROWS, "cosine_embedding(sign=batch.sign)")
def cosine_embedding(pred: Tensor, target: Tensor, sign: Tensor) -> Tensor:
    return F.cosine_embedding_loss(pred, target, 2 * sign - 1)


@by_hand(ordered, PLAIN, "margin_ranking(sign=batch.sign)")
def margin_ranking(pred: Tensor, target: Tensor, sign: Tensor) -> Tensor:
    return F.margin_ranking_loss(pred, target, 2.0 * sign - 1)


@by_hand(inputs.signs, PLAIN)
def hinge_embedding(pred: Tensor, target: Tensor) -> Tensor:
    return F.hinge_embedding_loss(pred, target)


@by_hand(judged, ROWS, "contrastive(sign=batch.sign, margin=4)")
def contrastive(pred: Tensor, target: Tensor, sign: Tensor) -> Tensor:
    distance = (pred - target).norm(dim=1)
    return (0.5 * torch.where(sign > 0, distance**2, F.relu(4 - distance) ** 2)).mean()


# -------------------------------------------------------------------- a row against all others


def cosines(x: Tensor, y: Tensor) -> Tensor:
    return F.normalize(x, dim=1) @ F.normalize(y, dim=1).T


def off_diagonal(x: Tensor) -> Tensor:
    return ~torch.eye(len(x), dtype=torch.bool, device=x.device)


@by_hand(views, PLAIN)
def infonce(pred: Tensor, target: Tensor) -> Tensor:
    both = torch.cat([pred, target])
    logits = (cosines(both, both) / 0.5).masked_fill(~off_diagonal(both), float("-inf"))
    return F.cross_entropy(logits, torch.arange(len(both), device=pred.device).roll(len(pred)))


@by_hand(views, PLAIN)
def mnrl(pred: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(20 * cosines(pred, target), torch.arange(len(pred), device=pred.device))


@by_hand(small_views, PLAIN)
def npairs(pred: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(pred @ target.T, torch.arange(len(pred), device=pred.device))


@by_hand(classed, PLAIN)
def supcon(pred: Tensor, target: Tensor) -> Tensor:
    logits = (cosines(pred, pred) / 0.1).masked_fill(~off_diagonal(pred), float("-inf"))
    same = (target[:, None] == target) & off_diagonal(pred)
    log_probs = F.log_softmax(logits, 1).masked_fill(~same, 0.0)
    return -(log_probs.sum(1) / same.sum(1)).mean()


@by_hand(classed, PLAIN)
def circle(pred: Tensor, target: Tensor) -> Tensor:
    similar = cosines(pred, pred)
    same, other = (target[:, None] == target) & off_diagonal(pred), target[:, None] != target
    near = -80 * F.relu(1.4 - similar.detach()) * (similar - 0.6)
    far = 80 * F.relu(similar.detach() + 0.4) * (similar - 0.4)
    none = float("-inf")
    sums = near.masked_fill(~same, none).logsumexp(1) + far.masked_fill(~other, none).logsumexp(1)
    return F.softplus(sums).mean()


@by_hand(classed, PLAIN)
def multi_similarity(pred: Tensor, target: Tensor) -> Tensor:
    similar = cosines(pred, pred)
    same, other = (target[:, None] == target) & off_diagonal(pred), target[:, None] != target
    near = torch.log(1 + (torch.exp(-2 * (similar - 0.5)) * same).sum(1)) / 2
    far = torch.log(1 + (torch.exp(50 * (similar - 0.5)) * other).sum(1)) / 50
    return (near + far).mean()


# -------------------------------------------------------------------- statistics of the batch


@by_hand(views, PLAIN)
def barlow_twins(pred: Tensor, target: Tensor) -> Tensor:
    a, b = (F.batch_norm(x, None, None, training=True) for x in (pred, target))
    c = a.T @ b / len(a)
    return (1 - c.diagonal()).square().sum() + 5e-3 * c[off_diagonal(c)].square().sum()


@by_hand(views, PLAIN)
def vicreg(pred: Tensor, target: Tensor) -> Tensor:
    total, width = 25 * F.mse_loss(pred, target), pred.shape[1]
    for x in (pred, target):
        total = total + 25 * F.relu(1 - (x.var(0) + 1e-4).sqrt()).mean() / 2
        cov = torch.cov(x.T)
        total = total + cov[off_diagonal(cov)].square().sum() / width
    return total
