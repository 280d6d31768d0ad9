"""mmdet 3.3.0."""

from __future__ import annotations

from typing import Any

import torch

from conformance.recorders.given import Given, of
from conformance.recorders.loaders import load

STAND_INS = (
    "mmdet.registry", "mmdet.structures", "mmcv", "mmcv.ops", "mmengine", "mmengine.model", "mmengine.logging",
)  # fmt: skip
BARE = ("mmdet", "mmdet.models", "mmdet.models.losses", "mmdet.models.utils", "mmdet.structures")


def _load(file: str) -> Any:
    if file == "iou_loss":
        _overlaps()
    return load(f"mmdet.models.losses.{file}", bare=BARE, stand_ins=STAND_INS)


def _overlaps() -> None:
    """mmdet's own overlaps, in the place of a package that loads all of its structures."""
    import sys
    from types import ModuleType

    if "mmdet.structures.bbox" in sys.modules:
        return
    import importlib.util

    from conformance.recorders.loaders import folder_of

    file = f"{folder_of('mmdet')}/structures/bbox/bbox_overlaps.py"
    spec = importlib.util.spec_from_file_location("mmdet_bbox_overlaps", file)
    assert spec is not None
    assert spec.loader is not None
    overlaps = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(overlaps)
    for name in ("mmdet", "mmdet.structures"):
        sys.modules.setdefault(name, ModuleType(name))
    module = ModuleType("mmdet.structures.bbox")
    module.bbox_overlaps = overlaps.bbox_overlaps  # type: ignore[attr-defined]
    sys.modules["mmdet.structures.bbox"] = module


def _ce(given: Given, target: Any, **options: Any) -> Any:
    loss = _load("cross_entropy_loss").CrossEntropyLoss(
        reduction=given.reduction, ignore_index=given.ignore_index, **options
    )
    return loss(given.pred, target)


@of("mmdet", "ce")
def ce(given: Given) -> Any:
    given.needs("softmax")
    return _ce(given, given.indices, class_weight=given.class_weight)


@of("mmdet", "bce")
def bce(given: Given) -> Any:
    """Its class weights are those of the positives."""
    given.needs("sigmoid")
    pos = given.pos_weight
    weights = None if pos is None else pos.reshape(-1).tolist()
    return _ce(given, given.target, use_sigmoid=True, class_weight=weights)


@of("mmdet", "focal")
def focal(given: Given) -> Any:
    given.needs("sigmoid", "identity")
    loss = _load("focal_loss").FocalLoss(
        gamma=given.number("gamma", 2.0),
        alpha=given.number("alpha", 0.25),
        reduction=given.reduction,
        activated=given.activation == "identity",
    )
    return loss(given.pred, given.dense)


@of("mmdet", "dice")
def dice(given: Given) -> Any:
    given.needs("sigmoid", "identity")
    loss = _load("dice_loss").DiceLoss(
        activate=given.activation == "sigmoid",
        naive_dice=not given.is_true("squared", default=True),
        reduction=given.reduction,
    )
    return loss(given.pred, given.dense)


@of("mmdet", "quality_focal")
def quality_focal(given: Given) -> Any:
    given.needs("sigmoid")
    module = _load("gfocal_loss")
    return module.quality_focal_loss_tensor_target(given.pred, given.target, reduction=given.reduction)


@of("mmdet", "varifocal")
def varifocal(given: Given) -> Any:
    given.needs("sigmoid")
    loss = _load("varifocal_loss").VarifocalLoss(gamma=given.number("gamma", 2.0), reduction=given.reduction)
    return loss(given.pred, given.target)


@of("mmdet", "gaussian_focal")
def gaussian_focal(given: Given) -> Any:
    given.needs("identity")
    return _load("gaussian_focal_loss").GaussianFocalLoss(reduction=given.reduction)(given.pred, given.target)


@of("mmdet", "ghm_c")
def ghm_c(given: Given) -> Any:
    """In float32, as its edges are."""
    given.needs("sigmoid")
    if given.reduction != "mean":
        raise TypeError("a mean alone")
    if given.pred.shape != given.dense.shape or given.pred.ndim != 2:
        raise TypeError("rows")
    pred = given.pred.float()
    return _load("ghm_loss").GHMC()(pred, given.dense.float(), torch.ones_like(pred))


@of("mmdet", "ghm_r")
def ghm_r(given: Given) -> Any:
    if given.reduction != "mean":
        raise TypeError("a mean alone")
    pred = given.pred.float()
    return _load("ghm_loss").GHMR()(pred, given.target.float(), torch.ones_like(pred))


@of("mmdet", "dfl")
def dfl(given: Given) -> Any:
    return _load("gfocal_loss").DistributionFocalLoss(reduction=given.reduction)(given.pred, given.target)


def _plain(loss: str, file: str, name: str, *options: str) -> None:
    @of("mmdet", loss)
    def call(given: Given) -> Any:
        said = {option: given.number(option) for option in options if given.number(option) is not None}
        found = getattr(_load(file), name)(reduction=given.reduction, **said)
        return found(given.pred, given.target)


_plain("mse", "mse_loss", "MSELoss")
_plain("l1", "smooth_l1_loss", "L1Loss")
_plain("smooth_l1", "smooth_l1_loss", "SmoothL1Loss", "beta")
_plain("balanced_l1", "balanced_l1_loss", "BalancedL1Loss")
_plain("giou", "iou_loss", "GIoULoss")
_plain("diou", "iou_loss", "DIoULoss")
_plain("extended_iou", "iou_loss", "EIoULoss")
_plain("bounded_iou", "iou_loss", "BoundedIoULoss")


@of("mmdet", "iou")
def iou(given: Given) -> Any:
    loss = _load("iou_loss").IoULoss(mode=given.text("mode") or "log", reduction=given.reduction)
    return loss(given.pred, given.target)
