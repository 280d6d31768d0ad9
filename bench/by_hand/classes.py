"""Losses of classes by hand: focal ones, margins, and weights from the batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import inputs
from bench.by_hand import CLASSES, PIXELS, PLAIN, ROWS, by_hand
from bench.work import Call, Shape


def scores(shape: Shape) -> Call:
    """Logits and a quality from 0 to 1, which most places do not have."""
    return Call(torch.randn(shape), (2 * torch.rand(shape) - 1).clamp(min=0))


def peaks(shape: Shape) -> Call:
    """Logits and a heat map, 1 at its peaks."""
    return Call(torch.randn(shape), (2 * torch.rand(shape)).clamp(max=1))


def positions(shape: Shape) -> Call:
    """Logits of bins (B, N) and a place between the first and the last of them."""
    return Call(torch.randn(shape), (shape[-1] - 1) * torch.rand(shape[:-1]))


def relevance(shape: Shape) -> Call:
    """Scores of lists, and how relevant each item is."""
    return Call(torch.randn(shape), torch.randint(0, 5, shape).float())


# -------------------------------------------------------------------- focal


@by_hand(scores, PIXELS, "quality_focal(sigmoid)")
def quality_focal(pred: Tensor, target: Tensor) -> Tensor:
    values = F.binary_cross_entropy_with_logits(pred, target, reduction="none")
    return (values * (torch.sigmoid(pred) - target).abs() ** 2).mean()


@by_hand(scores, PIXELS, "varifocal(sigmoid)")
def varifocal(pred: Tensor, target: Tensor) -> Tensor:
    positive = (target > 0).float()
    weight = target * positive + 0.75 * torch.sigmoid(pred) ** 2 * (1 - positive)
    return (F.binary_cross_entropy_with_logits(pred, target, reduction="none") * weight).mean()


@by_hand(peaks, PIXELS, "gaussian_focal(sigmoid)")
def gaussian_focal(pred: Tensor, target: Tensor) -> Tensor:
    probs, is_peak = torch.sigmoid(pred), (target == 1).float()
    positive = F.logsigmoid(pred) * (1 - probs) ** 2 * is_peak
    negative = F.logsigmoid(-pred) * probs**2 * (1 - target) ** 4 * (1 - is_peak)
    return -(positive + negative).mean()


@by_hand(inputs.mask, ROWS, "asl(sigmoid)")
def asl(pred: Tensor, target: Tensor) -> Tensor:
    probs = torch.sigmoid(pred)
    rest = (1 - probs + 0.05).clamp(max=1)
    values = target * F.logsigmoid(pred) + (1 - target) * rest.log()
    p_true = probs * target + rest * (1 - target)
    return -(values * (1 - p_true) ** (target + 4 * (1 - target))).sum()


@by_hand(inputs.labels, ROWS)
def asl_single(pred: Tensor, target: Tensor) -> Tensor:
    log_probs, truth = F.log_softmax(pred, 1), F.one_hot(target, pred.shape[1])
    weight = torch.where(truth == 1, 1.0, log_probs.exp() ** 4)
    smoothed = 0.9 * truth + 0.1 / pred.shape[1]
    return -(smoothed * weight * log_probs).sum(1).mean()


@by_hand(inputs.labels, CLASSES)
def poly(pred: Tensor, target: Tensor) -> Tensor:
    p_true = F.softmax(pred, 1).gather(1, target[:, None])
    return F.cross_entropy(pred, target) + (1 - p_true).mean()


@by_hand(inputs.labels, CLASSES)
def gce(pred: Tensor, target: Tensor) -> Tensor:
    p_true = F.softmax(pred, 1).gather(1, target[:, None])
    return ((1 - p_true**0.7) / 0.7).mean()


@by_hand(inputs.labels, ROWS)
def bi_tempered(pred: Tensor, target: Tensor) -> Tensor:
    """The authors' iteration, until it no longer moves."""
    below = pred - pred.amax(1, keepdim=True)
    whole = torch.ones_like(below[:, :1])
    for _ in range(20):
        whole = ((1 - 0.2 * below * whole**-0.2) ** -5).sum(1, keepdim=True)
    probs = (1 - 0.2 * below * whole**-0.2) ** -5 / whole
    p_true = probs.gather(1, target[:, None])[:, 0]
    return (-(p_true**0.2 - 1) / 0.2 - (1 - (probs**1.2).sum(1)) / 1.2).mean()


@by_hand(positions, ROWS)
def dfl(pred: Tensor, target: Tensor) -> Tensor:
    left = target.long().clamp(max=pred.shape[1] - 2)
    above = target - left
    lower = F.cross_entropy(pred, left, reduction="none")
    upper = F.cross_entropy(pred, left + 1, reduction="none")
    return (lower * (1 - above) + upper * above).mean()


# -------------------------------------------------------------------- margins


@by_hand(inputs.signs, PLAIN)
def perceptron(pred: Tensor, target: Tensor) -> Tensor:
    return F.relu(-target * pred).mean()


@by_hand(inputs.signs, PLAIN)
def logistic(pred: Tensor, target: Tensor) -> Tensor:
    return F.soft_margin_loss(pred, target)


@by_hand(inputs.labels, ROWS)
def multiclass_hinge(pred: Tensor, target: Tensor) -> Tensor:
    truth = F.one_hot(target, pred.shape[1])
    true = pred.gather(1, target[:, None])[:, 0]
    return ((pred + 1 - truth).amax(1) - true).mean()


@by_hand(inputs.mask, ROWS)
def multilabel_margin(pred: Tensor, target: Tensor) -> Tensor:
    excess = F.relu(1 - pred[:, :, None] + pred[:, None, :])
    pairs = target[:, :, None] * (1 - target)[:, None, :]
    return (excess * pairs).sum((1, 2)).mean() / pred.shape[1]


@by_hand(inputs.labels, ROWS, "ce + metric(topk_error)", metric=True)
def topk_error(pred: Tensor, target: Tensor) -> Tensor:
    """Beside a loss, as `zero_one` is read."""
    found = pred.topk(min(5, pred.shape[1]), 1).indices
    return F.cross_entropy(pred, target) + (found != target[:, None]).all(1).float().mean()


@by_hand(relevance, ROWS)
def listwise_softmax(pred: Tensor, target: Tensor) -> Tensor:
    return -(target * F.log_softmax(pred, 1)).sum(1).mean()


# -------------------------------------------------------------------- balance


@by_hand(inputs.mask, PIXELS, "balanced_bce(sigmoid)")
def balanced_bce(pred: Tensor, target: Tensor) -> Tensor:
    positive = target.mean()
    weight = torch.where(target == 1, 1 - positive, positive)
    return F.binary_cross_entropy_with_logits(pred, target, weight)


def harmony(gradient: Tensor) -> Tensor:
    """How few other gradients are in the same of ten bins."""
    which = (gradient.detach() * 10).long().clamp(max=9)
    counts = torch.bincount(which.flatten(), minlength=10)
    return gradient.numel() / (counts[which] * (counts > 0).sum())


@by_hand(inputs.mask, PIXELS, "ghm_c(sigmoid)")
def ghm_c(pred: Tensor, target: Tensor) -> Tensor:
    weight = harmony((torch.sigmoid(pred) - target).abs())
    return F.binary_cross_entropy_with_logits(pred, target, weight)


@by_hand(inputs.like, PLAIN)
def ghm_r(pred: Tensor, target: Tensor) -> Tensor:
    error = pred - target
    length = torch.sqrt(error**2 + 0.02**2)
    return (harmony(error.abs() / length) * (length - 0.02)).mean()
