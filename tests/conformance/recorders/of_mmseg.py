"""mmsegmentation 1.2.2."""

from __future__ import annotations

from typing import Any

from conformance.recorders.given import Given, of
from conformance.recorders.loaders import load

STAND_INS = (
    "mmseg.registry",
    "mmcv",
    "mmcv.ops",
    "mmengine",
    "mmengine.fileio",
    "mmengine.model",
    "mmengine.utils",
)
BARE = ("mmseg", "mmseg.models", "mmseg.models.losses")


def _load(file: str) -> Any:
    return load(f"mmseg.models.losses.{file}", bare=BARE, stand_ins=STAND_INS)


def _ce(given: Given, target: Any, **options: Any) -> Any:
    index = given.ignore_index
    loss = _load("cross_entropy_loss").CrossEntropyLoss(reduction=given.reduction, **options)
    return loss(given.pred, target, ignore_index=-100 if index is None else index)


@of("mmseg", "ce")
def ce(given: Given) -> Any:
    given.needs("softmax")
    return _ce(given, given.indices, class_weight=given.class_weight)


@of("mmseg", "bce")
def bce(given: Given) -> Any:
    """Its class weights are those of the positives."""
    given.needs("sigmoid")
    pos = given.pos_weight
    target = given.indices if given.channels > 1 and given.form == "indices" else given.dense
    if given.channels == 1:
        target = given.indices if given.form != "soft" else given.dense[:, 0]
    return _ce(
        given, target, use_sigmoid=True, class_weight=None if pos is None else pos.reshape(-1).tolist()
    )


@of("mmseg", "focal")
def focal(given: Given) -> Any:
    given.needs("sigmoid")
    loss = _load("focal_loss").FocalLoss(
        gamma=given.number("gamma", 2.0),
        alpha=given.number("alpha", 0.5),
        reduction=given.reduction,
        class_weight=given.class_weight,
    )
    index = given.ignore_index
    if index is not None:
        raise TypeError(
            "its code for a CPU takes no indices, and a truth like the prediction has none to ignore"
        )
    return loss(given.pred, given.dense, ignore_index=255)


@of("mmseg", "tversky")
def tversky(given: Given) -> Any:
    given.needs("softmax")
    index = given.ignore_index
    loss = _load("tversky_loss").TverskyLoss(
        smooth=given.number("smooth", 1),
        class_weight=given.class_weight,
        ignore_index=255 if index is None else index,
        alpha=given.number("alpha", 0.3),
    )
    return loss(given.pred, given.indices)


@of("mmseg", "dice")
def dice(given: Given) -> Any:
    """Its loss puts the classes of a sample together; `ignore_index` is a channel that it drops."""
    loss = _load("dice_loss").DiceLoss(
        use_sigmoid=given.activation == "sigmoid",
        activate=given.activation != "identity",
        reduction=given.reduction,
        naive_dice=not given.is_true("squared", default=True),
        ignore_index=255 if given.ignore_index is None else given.ignore_index,
    )
    return loss(given.pred, given.target)


def _lovasz(given: Given, kind: str, target: Any) -> Any:
    index = given.ignore_index
    loss = _load("lovasz_loss").LovaszLoss(
        loss_type=kind,
        per_image=not given.is_true("batch", default=True),
        reduction=given.reduction if not given.is_true("batch", default=True) else "none",
        class_weight=given.class_weight,
    )
    return loss(given.pred.float(), target, ignore_index=255 if index is None else index)


@of("mmseg", "lovasz_hinge")
def lovasz_hinge(given: Given) -> Any:
    if given.channels > 1:
        raise TypeError("binary")
    return _lovasz(given, "binary", given.indices)


@of("mmseg", "lovasz_softmax")
def lovasz_softmax(given: Given) -> Any:
    given.needs("softmax")
    return _lovasz(given, "multi_class", given.indices)


@of("mmseg", "balanced_bce")
def balanced_bce(given: Given) -> Any:
    """BoundaryLoss, of one channel."""
    given.needs("sigmoid")
    if given.channels > 1:
        raise TypeError("one channel")
    return _load("boundary_loss").BoundaryLoss(loss_weight=1.0)(given.pred.float(), given.indices)


@of("mmseg", "silog")
def silog(given: Given) -> Any:
    loss = _load("silog_loss").SiLogLoss(reduction=given.reduction)
    return loss(given.pred, given.target)
