"""Every loss of the registry as one would write it with torch.nn.functional, at 1 MB of prediction.

The name of a function is that of the loss. A loss without a function here is listed in the report.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import inputs
from bench.work import Call, Form, Shape, Work

PLAIN: tuple[Shape, ...] = ((4, 5), (512, 512))
ROWS: tuple[Shape, ...] = ((6, 5), (4096, 64))
PIXELS: tuple[Shape, ...] = ((2, 1, 4, 5), (4, 1, 256, 256))
CLASSES: tuple[Shape, ...] = ((2, 3, 4, 5), (4, 16, 64, 64))
BOXES: tuple[Shape, ...] = ((6, 4), (65536, 4))
TOKENS: tuple[Shape, ...] = ((6, 5, 7), (256, 256, 1024))

BY_HAND: dict[str, Work] = {}


def by_hand(
    make: Callable[[Shape], Call], shapes: tuple[Shape, ...], program: str = "", *, metric: bool = False
) -> Callable[[Form], Form]:
    """Registers a hand-written form; the program is the bare name of the loss unless given."""

    def register(form: Form) -> Form:
        name = form.__name__
        BY_HAND[name] = Work(name, program or name, make, form, shapes, metric=metric)
        return form

    return register


# -------------------------------------------------------------------- classes


@by_hand(inputs.labels, CLASSES)
def ce(pred: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(pred, target)


@by_hand(inputs.log_probabilities, CLASSES)
def nll(pred: Tensor, target: Tensor) -> Tensor:
    return F.nll_loss(pred, target)


@by_hand(inputs.tokens, TOKENS, "linear_ce(head=const.head)")
def linear_ce(pred: Tensor, target: Tensor, head: nn.Linear) -> Tensor:
    return F.cross_entropy(head(pred), target)


@by_hand(inputs.mask, PIXELS, "bce(sigmoid)")
def bce(pred: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(pred, target)


@by_hand(inputs.mask, PIXELS, "focal(sigmoid)")
def focal(pred: Tensor, target: Tensor) -> Tensor:
    probs = torch.sigmoid(pred)
    p_true = probs * target + (1 - probs) * (1 - target)
    values = F.binary_cross_entropy_with_logits(pred, target, reduction="none")
    return ((1 - p_true) ** 2 * values).mean()


@by_hand(inputs.signs, PLAIN)
def hinge(pred: Tensor, target: Tensor) -> Tensor:
    return F.relu(1 - target * pred).mean()


@by_hand(inputs.signs, PLAIN)
def squared_hinge(pred: Tensor, target: Tensor) -> Tensor:
    return F.relu(1 - target * pred).square().mean()


@by_hand(inputs.labels, ROWS)
def multi_margin(pred: Tensor, target: Tensor) -> Tensor:
    return F.multi_margin_loss(pred, target)


@by_hand(inputs.labels, CLASSES, "ce + metric(zero_one)", metric=True)
def zero_one(pred: Tensor, target: Tensor) -> Tensor:
    """A metric is read beside a loss, here their sum: a program of metrics alone trains nothing."""
    return F.cross_entropy(pred, target) + (pred.argmax(1) != target).float().mean()


# -------------------------------------------------------------------- distributions


@by_hand(inputs.distributions, ROWS, "kl(softmax)")
def kl(pred: Tensor, target: Tensor) -> Tensor:
    return F.kl_div(F.log_softmax(pred, 1), target, reduction="batchmean")


@by_hand(inputs.like, ROWS)
def kd(pred: Tensor, target: Tensor) -> Tensor:
    student, teacher = F.log_softmax(pred / 4, 1), F.softmax(target / 4, 1)
    return 16 * F.kl_div(student, teacher, reduction="batchmean")


@by_hand(inputs.distributions, ROWS, "js(softmax)")
def js(pred: Tensor, target: Tensor) -> Tensor:
    probs = F.softmax(pred, 1)
    middle = ((probs + target) / 2).log()
    both = F.kl_div(middle, probs, reduction="batchmean") + F.kl_div(middle, target, reduction="batchmean")
    return both / 2


@by_hand(inputs.with_variance, PLAIN, "gaussian_nll(variance=batch.variance)")
def gaussian_nll(pred: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    return F.gaussian_nll_loss(pred, target, variance)


@by_hand(inputs.counts, PLAIN)
def poisson_nll(pred: Tensor, target: Tensor) -> Tensor:
    return F.poisson_nll_loss(pred, target)


# -------------------------------------------------------------------- embeddings and boxes


@by_hand(inputs.like, ROWS)
def cosine(pred: Tensor, target: Tensor) -> Tensor:
    return (1 - F.cosine_similarity(pred, target)).mean()


@by_hand(inputs.triples, ROWS, "triplet(positive=batch.positive, negative=batch.negative)")
def triplet(pred: Tensor, target: None, positive: Tensor, negative: Tensor) -> Tensor:
    return F.triplet_margin_loss(pred, positive, negative)


def overlap(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The areas of the intersection and of the union."""
    low, high = torch.max(pred[:, :2], target[:, :2]), torch.min(pred[:, 2:], target[:, 2:])
    shared = (high - low).clamp(min=0).prod(1)
    areas = (pred[:, 2:] - pred[:, :2]).prod(1) + (target[:, 2:] - target[:, :2]).prod(1)
    return shared, areas - shared


@by_hand(inputs.boxes, BOXES)
def iou(pred: Tensor, target: Tensor) -> Tensor:
    shared, union = overlap(pred, target)
    return (1 - shared / (union + 1e-7)).mean()


@by_hand(inputs.boxes, BOXES)
def giou(pred: Tensor, target: Tensor) -> Tensor:
    shared, union = overlap(pred, target)
    low, high = torch.min(pred[:, :2], target[:, :2]), torch.max(pred[:, 2:], target[:, 2:])
    hull = (high - low).prod(1)
    return (1 - shared / (union + 1e-7) + (hull - union) / (hull + 1e-7)).mean()


# -------------------------------------------------------------------- regions


def sums(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Σ p t, Σ p and Σ t over space, per sample and class."""
    probs = torch.sigmoid(pred)
    return (probs * target).sum((2, 3)), probs.sum((2, 3)), target.sum((2, 3))


@by_hand(inputs.mask, PIXELS, "dice(sigmoid)")
def dice(pred: Tensor, target: Tensor) -> Tensor:
    both, predicted, true = sums(pred, target)
    return (1 - (2 * both + 1e-5) / (predicted + true + 1e-5)).mean()


@by_hand(inputs.mask, PIXELS, "jaccard(sigmoid)")
def jaccard(pred: Tensor, target: Tensor) -> Tensor:
    both, predicted, true = sums(pred, target)
    return (1 - (both + 1e-5) / (predicted + true - both + 1e-5)).mean()


@by_hand(inputs.mask, PIXELS, "tversky(sigmoid)")
def tversky(pred: Tensor, target: Tensor) -> Tensor:
    both, predicted, true = sums(pred, target)
    mistaken = 0.5 * (predicted - both) + 0.5 * (true - both)
    return (1 - (both + 1e-5) / (both + mistaken + 1e-5)).mean()


@by_hand(inputs.mask, PIXELS, "focal_tversky(sigmoid)")
def focal_tversky(pred: Tensor, target: Tensor) -> Tensor:
    both, predicted, true = sums(pred, target)
    mistaken = 0.5 * (predicted - both) + 0.5 * (true - both)
    return ((1 - (both + 1e-5) / (both + mistaken + 1e-5)) ** 0.75).mean()


# -------------------------------------------------------------------- differences


@by_hand(inputs.like, PLAIN)
def mse(pred: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(pred, target)


@by_hand(inputs.like, PLAIN)
def half_mse(pred: Tensor, target: Tensor) -> Tensor:
    return 0.5 * F.mse_loss(pred, target)


@by_hand(inputs.like, PLAIN)
def sse(pred: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(pred, target, reduction="sum")


@by_hand(inputs.like, PLAIN)
def rmse(pred: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(pred, target).sqrt()


@by_hand(inputs.like, PLAIN)
def l1(pred: Tensor, target: Tensor) -> Tensor:
    return F.l1_loss(pred, target)


@by_hand(inputs.like, PLAIN)
def smooth_l1(pred: Tensor, target: Tensor) -> Tensor:
    return F.smooth_l1_loss(pred, target)


@by_hand(inputs.like, PLAIN)
def huber(pred: Tensor, target: Tensor) -> Tensor:
    return F.huber_loss(pred, target)


@by_hand(inputs.like, PLAIN)
def log_cosh(pred: Tensor, target: Tensor) -> Tensor:
    error = pred - target
    return (error + F.softplus(-2 * error) - math.log(2)).mean()


@by_hand(inputs.like, PLAIN)
def charbonnier(pred: Tensor, target: Tensor) -> Tensor:
    return ((pred - target) ** 2 + 1e-6).sqrt().mean()


@by_hand(inputs.like, PLAIN)
def tukey(pred: Tensor, target: Tensor) -> Tensor:
    error, c = pred - target, 4.685
    inside = c**2 / 6 * (1 - (1 - (error / c) ** 2) ** 3)
    return torch.where(error.abs() <= c, inside, c**2 / 6).mean()


@by_hand(inputs.like, PLAIN)
def quantile(pred: Tensor, target: Tensor) -> Tensor:
    missing = target - pred
    return torch.maximum(0.5 * missing, -0.5 * missing).mean()


# Further families, each in a file of its own, register themselves here.
from bench.by_hand import boxes, classes, distributions, embeddings, images, regions, robust  # noqa: E402, F401
