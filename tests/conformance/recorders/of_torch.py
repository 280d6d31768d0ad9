"""torch, torchvision, fvcore and detectron2: functions of the same names and arguments."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from conformance.recorders.given import Given, SkippedError, of
from conformance.recorders.loaders import load


@of("torch", "ce")
def ce(given: Given) -> Any:
    given.needs("softmax")
    index = given.ignore_index
    return F.cross_entropy(
        given.pred,
        given.target,
        weight=given.weights,
        ignore_index=-100 if index is None else index,
        reduction=given.reduction,
        label_smoothing=given.number("label_smoothing", 0.0),
    )


@of("torch", "nll")
def nll(given: Given) -> Any:
    """Of logits, which are no log-probabilities: torch does not ask."""
    index = given.ignore_index
    return F.nll_loss(
        given.pred,
        given.target,
        weight=given.weights,
        ignore_index=-100 if index is None else index,
        reduction=given.reduction,
    )


@of("torch", "bce")
def bce(given: Given) -> Any:
    given.needs("sigmoid", "identity")
    if given.activation == "identity":
        if given.pos_weight is not None:
            raise SkippedError
        return F.binary_cross_entropy(given.pred, given.dense, reduction=given.reduction)
    return F.binary_cross_entropy_with_logits(
        given.pred, given.dense, pos_weight=given.pos_weight, reduction=given.reduction
    )


PLAIN = {
    "mse": (F.mse_loss, ()),
    "l1": (F.l1_loss, ()),
    "smooth_l1": (F.smooth_l1_loss, ("beta",)),
    "huber": (F.huber_loss, ("delta",)),
    "logistic": (F.soft_margin_loss, ()),
    "hinge_embedding": (F.hinge_embedding_loss, ("margin",)),
}


def _plain(name: str) -> None:
    function, options = PLAIN[name]

    @of("torch", name)
    def call(given: Given) -> Any:
        said = {option: given.number(option) for option in options if given.number(option) is not None}
        return function(given.pred, given.target, reduction=given.reduction, **said)


for _name in PLAIN:
    _plain(_name)


@of("torch", "poisson_nll")
def poisson_nll(given: Given) -> Any:
    return F.poisson_nll_loss(
        given.pred,
        given.target,
        log_input=given.is_true("log_input", default=True),
        full=given.is_true("full"),
        reduction=given.reduction,
    )


@of("torch", "gaussian_nll")
def gaussian_nll(given: Given) -> Any:
    return F.gaussian_nll_loss(
        given.pred,
        given.target,
        given.batch["variance"],
        full=given.is_true("full"),
        reduction=given.reduction,
    )


@of("torch", "cosine_embedding")
def cosine_embedding(given: Given) -> Any:
    margin = given.number("margin", 0.0)
    sign = given.batch["sign"]
    return F.cosine_embedding_loss(given.pred, given.target, sign, margin=margin, reduction=given.reduction)


@of("torch", "margin_ranking")
def margin_ranking(given: Given) -> Any:
    margin = given.number("margin", 0.0)
    sign = given.batch["sign"]
    return F.margin_ranking_loss(given.pred, given.target, sign, margin=margin, reduction=given.reduction)


@of("torch", "triplet")
def triplet(given: Given) -> Any:
    return F.triplet_margin_loss(
        *given.pred.values(),
        margin=given.number("margin", 1.0),
        p=given.number("p", 2.0),
        swap=given.is_true("swap"),
        reduction=given.reduction,
    )


@of("torch", "multi_margin")
def multi_margin(given: Given) -> Any:
    margin = given.number("margin", 1.0)
    return F.multi_margin_loss(
        given.pred, given.target, margin=margin, weight=given.weights, reduction=given.reduction
    )


@of("torch", "multilabel_margin")
def multilabel_margin(given: Given) -> Any:
    """Its truth is the indices of the positives, the first of them first, and -1 behind."""
    places = torch.arange(given.channels).expand(given.dense.shape)
    indices = torch.where(given.dense == 1, places, given.channels).sort(-1).values
    return F.multilabel_margin_loss(
        given.pred, indices.masked_fill(indices == given.channels, -1), reduction=given.reduction
    )


# ------------------------------------------------------------------------- boxes, and focal losses


def _boxes(library: str, loss: str, module: str, function: str, bare: tuple[str, ...], **eps: float) -> None:
    @of(library, loss)
    def call(given: Given) -> Any:
        found = getattr(load(module, bare=bare), function)
        return found(given.pred, given.target, reduction=given.reduction, **eps)


def _focal(library: str, module: str, bare: tuple[str, ...], alpha: float) -> None:
    @of(library, "focal")
    def call(given: Given) -> Any:
        given.needs("sigmoid")
        found = load(module, bare=bare).sigmoid_focal_loss
        options = {"alpha": given.number("alpha", alpha), "gamma": given.number("gamma", 2.0)}
        return found(given.pred, given.dense, reduction=given.reduction, **options)


VISION = ("torchvision", "torchvision.ops")
for _loss in ("giou", "diou", "ciou"):
    _boxes(
        "torchvision", _loss, f"torchvision.ops.{_loss}_loss", {"giou": "generalized", "diou": "distance", "ciou": "complete"}[_loss] + "_box_iou_loss", VISION
    )  # fmt: skip
    _module = f"detectron2.layers.losses.{_loss}_loss"
_focal("torchvision", "torchvision.ops.focal_loss", VISION, 0.25)
FVCORE = ("fvcore", "fvcore.nn")
_boxes("fvcore", "giou", "fvcore.nn.giou_loss", "giou_loss", FVCORE)
_focal("fvcore", "fvcore.nn.focal_loss", FVCORE, -1)


@of("fvcore", "smooth_l1")
def smooth_l1(given: Given) -> Any:
    beta = given.number("beta", 1.0)
    found = load("fvcore.nn.smooth_l1_loss", bare=FVCORE).smooth_l1_loss
    return found(given.pred, given.target, beta=beta, reduction=given.reduction)


DETECTRON = ("detectron2", "detectron2.layers")
for _loss in ("diou", "ciou"):
    _boxes("detectron2", _loss, "detectron2.layers.losses", f"{_loss}_loss", DETECTRON)
