"""kornia 0.9.0."""

from __future__ import annotations

from typing import Any

from conformance.recorders.given import Given, of
from conformance.recorders.loaders import load


def _losses() -> Any:
    return load("kornia.losses")


@of("kornia", "focal")
def focal(given: Given) -> Any:
    given.needs("sigmoid", "softmax")
    index = given.ignore_index
    options: dict[str, Any] = {
        "gamma": given.number("gamma", 2.0),
        "reduction": given.reduction,
        "ignore_index": -100 if index is None else index,
    }
    alpha = given.number("alpha", 0.25)
    if given.activation == "softmax":
        options["weight"] = given.weights
        return _losses().focal_loss(given.pred, given.indices, alpha, **options)
    weights = given.weights
    if weights is not None:
        options["weight"] = weights
    return _losses().binary_focal_loss_with_logits(given.pred, given.dense, alpha=alpha, **options)


def _dice(given: Given, average: str) -> Any:
    given.needs("softmax")
    index = given.ignore_index
    return _losses().dice_loss(
        given.pred,
        given.indices,
        average=average,
        weight=given.weights,
        ignore_index=-100 if index is None else index,
    )


@of("kornia", "gdl")
def gdl(given: Given) -> Any:
    return _dice(given, "micro")


@of("kornia", "dice")
def dice(given: Given) -> Any:
    return _dice(given, "macro")


@of("kornia", "tversky")
def tversky(given: Given) -> Any:
    given.needs("softmax")
    index, alpha = given.ignore_index, given.number("alpha", 0.5)
    return _losses().tversky_loss(
        given.pred, given.indices, alpha, 0.5, ignore_index=-100 if index is None else index
    )


@of("kornia", "lovasz_hinge")
def lovasz_hinge(given: Given) -> Any:
    return _losses().lovasz_hinge_loss(given.pred, given.indices)


@of("kornia", "lovasz_softmax")
def lovasz_softmax(given: Given) -> Any:
    given.needs("softmax")
    return _losses().lovasz_softmax_loss(given.pred, given.indices, weight=given.weights)


@of("kornia", "hausdorff_er")
def hausdorff_er(given: Given) -> Any:
    """It reads the prediction as it stands; its truth is the class of each place."""
    given.needs("identity")
    name = "HausdorffERLoss3D" if given.pred.ndim == 5 else "HausdorffERLoss"
    loss = getattr(_losses(), name)(k=int(given.number("k", 10)), reduction=given.reduction)
    return loss(given.pred, given.indices.unsqueeze(1))


def _plain(loss: str, function: str) -> None:
    @of("kornia", loss)
    def call(given: Given) -> Any:
        return getattr(_losses(), function)(given.pred, given.target, reduction=given.reduction)


_plain("pseudo_huber", "charbonnier_loss")
_plain("cauchy", "cauchy_loss")
_plain("geman_mcclure", "geman_mcclure_loss")
_plain("welsch", "welsch_loss")


@of("kornia", "dssim")
def dssim(given: Given) -> Any:
    return _losses().ssim_loss(given.pred, given.target, 11, reduction=given.reduction)


@of("kornia", "ssim")
def ssim(given: Given) -> Any:
    return 1 - 2 * _losses().ssim_loss(given.pred, given.target, 11, reduction="mean")


@of("kornia", "tv")
def tv(given: Given) -> Any:
    values = _losses().total_variation(given.pred)
    return {"sum": values.sum(), "mean": values.mean(), "none": values}[given.reduction]


@of("kornia", "depth_smoothness")
def depth_smoothness(given: Given) -> Any:
    return _losses().inverse_depth_smoothness_loss(given.pred, given.batch["image"])
