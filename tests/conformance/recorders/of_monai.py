"""MONAI 1.6.1."""

from __future__ import annotations

from functools import cache
from typing import Any

from conformance.points import IGNORED
from conformance.recorders.given import Given, of
from conformance.recorders.loaders import load


@cache
def _losses() -> Any:
    return load("monai.losses")


def _activated(given: Given) -> dict[str, bool]:
    return {"sigmoid": given.activation == "sigmoid", "softmax": given.activation == "softmax"}


def _truth(given: Given) -> tuple[Any, bool]:
    """The truth, and whether MONAI is to make it one-hot. A place to ignore is a row of zeros of one that is."""
    if given.form == "indices":
        return given.target.unsqueeze(1), True
    return (
        given.target.masked_fill(given.target == IGNORED, 0.0) if given.channels > 1 else given.target
    ), False


def _options(given: Given) -> dict[str, Any]:
    return {
        "include_background": given.is_true("background", default=True),
        "to_onehot_y": given.form == "indices",
        "reduction": given.reduction,
    }


@of("monai", "focal")
def focal(given: Given) -> Any:
    given.needs("sigmoid", "softmax")
    alpha = given.number("alpha")
    target, one_hot = _truth(given)
    loss = _losses().FocalLoss(
        to_onehot_y=one_hot,
        gamma=given.number("gamma", 2.0),
        alpha=alpha,
        weight=given.class_weight,
        reduction=given.reduction,
        use_softmax=given.activation == "softmax",
        ignore_index=given.ignore_index,
    )
    return loss(given.pred, target)


def _dice(given: Given, name: str, **options: Any) -> Any:
    smooth = given.number("smooth")
    smoothed = {} if smooth is None else {"smooth_nr": smooth, "smooth_dr": smooth}
    loss = getattr(_losses(), name)(**_options(given), **_activated(given), **smoothed, **options)
    return loss(given.pred, _truth(given)[0])


@of("monai", "dice")
def dice(given: Given) -> Any:
    return _dice(
        given,
        "DiceLoss",
        weight=given.class_weight,
        batch=given.is_true("batch"),
        squared_pred=given.is_true("squared"),
        **_ignored(given, "DiceLoss"),
    )


def _ignored(given: Given, name: str) -> dict[str, Any]:
    import inspect

    if "ignore_index" not in inspect.signature(getattr(_losses(), name).__init__).parameters:
        return {}
    return {"ignore_index": given.ignore_index}


@of("monai", "jaccard")
def jaccard(given: Given) -> Any:
    """`jaccard=True` smooths twice the overlap: half of its s is ours."""
    smooth = given.number("smooth")
    smoothed = {} if smooth is None else {"smooth_nr": smooth, "smooth_dr": smooth}
    loss = _losses().DiceLoss(
        **_options(given),
        **_activated(given),
        **smoothed,
        jaccard=True,
        weight=given.class_weight,
        batch=given.is_true("batch"),
        **_ignored(given, "DiceLoss"),
    )
    return loss(given.pred, _truth(given)[0])


@of("monai", "gdl")
def gdl(given: Given) -> Any:
    return _dice(
        given, "GeneralizedDiceLoss", batch=given.is_true("batch"), **_ignored(given, "GeneralizedDiceLoss")
    )


@of("monai", "tversky")
def tversky(given: Given) -> Any:
    return _dice(
        given,
        "TverskyLoss",
        alpha=given.number("alpha", 0.5),
        batch=given.is_true("batch"),
        **_ignored(given, "TverskyLoss"),
    )


@of("monai", "unified_focal")
def unified_focal(given: Given) -> Any:
    """It reads probabilities, whatever its argument says."""
    target, one_hot = _truth(given)
    loss = _losses().AsymmetricUnifiedFocalLoss(
        to_onehot_y=one_hot, num_classes=max(given.channels, 2), reduction=given.reduction
    )
    return loss(given.probabilities, target)


@of("monai", "hausdorff_dt")
def hausdorff_dt(given: Given) -> Any:
    target, one_hot = _truth(given)
    loss = _losses().HausdorffDTLoss(
        alpha=given.number("alpha", 2.0),
        include_background=given.is_true("background", default=False),
        to_onehot_y=one_hot,
        reduction=given.reduction,
        batch=given.is_true("batch"),
        **_activated(given),
    )
    return loss(given.pred, target)


@of("monai", "giou")
def giou(given: Given) -> Any:
    return _losses().giou_loss.BoxGIoULoss(reduction=given.reduction)(given.pred, given.target)


@of("monai", "infonce")
def infonce(given: Given) -> Any:
    return _losses().ContrastiveLoss(temperature=given.number("temperature", 0.5))(given.pred, given.target)


@of("monai", "barlow_twins")
def barlow_twins(given: Given) -> Any:
    return _losses().BarlowTwinsLoss(lambd=5e-3)(given.pred, given.target)


@of("monai", "ssim")
def ssim(given: Given) -> Any:
    loss = _losses().ssim_loss.SSIMLoss(spatial_dims=given.pred.ndim - 2, reduction=given.reduction)
    value = loss(given.pred, given.target)
    given.text("reduction")
    return len(given.pred) - value if given.reduction == "sum" else 1 - value


@of("monai", "psnr")
def psnr(given: Given) -> Any:
    from monai.metrics import PSNRMetric

    return PSNRMetric(max_val=given.number("max_val", 1.0))(given.pred, given.target).mean()


@of("monai", "lncc")
def lncc(given: Given) -> Any:
    loss = _losses().LocalNormalizedCrossCorrelationLoss(
        spatial_dims=given.pred.ndim - 2, kernel_size=3, reduction=given.reduction
    )
    return loss(given.pred, given.target)
