"""segmentation_models_pytorch 0.6.0."""

from __future__ import annotations

from functools import cache
from typing import Any

from conformance.recorders.given import Given, of
from conformance.recorders.loaders import load


@cache
def _losses() -> Any:
    return load("segmentation_models_pytorch.losses", bare=("segmentation_models_pytorch",))


def _region(given: Given, name: str, **options: Any) -> Any:
    """The activation decides the mode; probabilities pass through."""
    logits, mode = given.activation != "identity", "multilabel"
    if given.channels == 1:
        given.needs("identity", "sigmoid")
        mode = "binary"
    if given.activation == "softmax" or (not logits and given.form == "indices"):
        mode = "multiclass"
    target = given.indices if mode == "multiclass" else given.dense
    if name == "DiceLoss":
        options["ignore_index"] = given.ignore_index
    options["smooth"] = given.number("smooth", 0.0)
    return getattr(_losses(), name)(mode, from_logits=logits, **options)(given.pred, target)


@of("smp", "dice")
def dice(given: Given) -> Any:
    return _region(given, "DiceLoss")


@of("smp", "jaccard")
def jaccard(given: Given) -> Any:
    return _region(given, "JaccardLoss")


@of("smp", "tversky")
def tversky(given: Given) -> Any:
    return _region(given, "TverskyLoss", alpha=given.number("alpha", 0.5), ignore_index=given.ignore_index)


@of("smp", "focal")
def focal(given: Given) -> Any:
    given.needs("sigmoid", "identity")
    is_multiclass = given.form == "indices" and given.activation == "sigmoid"
    mode = "multiclass" if is_multiclass else "binary" if given.channels == 1 else "multilabel"
    options: dict[str, Any] = {
        "alpha": given.number("alpha"),
        "gamma": given.number("gamma", 2.0),
        "ignore_index": given.ignore_index,
        "class_weights": given.class_weight,
        "reduction": given.reduction,
        "from_logits": given.activation != "identity",
    }
    target = given.indices if is_multiclass else given.dense
    return _losses().FocalLoss(mode, **options)(given.pred, target)


@of("smp", "lovasz_hinge")
def lovasz_hinge(given: Given) -> Any:
    if given.form == "soft":
        raise TypeError("whole numbers")
    loss = _losses().LovaszLoss("multilabel" if given.channels > 1 else "binary", **_lovasz(given))
    return loss(given.pred.float(), given.dense.long())


@of("smp", "lovasz_softmax")
def lovasz_softmax(given: Given) -> Any:
    given.needs("softmax")
    return _losses().LovaszLoss("multiclass", **_lovasz(given))(given.pred.float(), given.indices)


def _lovasz(given: Given) -> dict[str, Any]:
    return {"per_image": not given.is_true("batch", default=True), "ignore_index": given.ignore_index}


@of("smp", "mcc")
def mcc(given: Given) -> Any:
    return _losses().MCCLoss()(given.probabilities, given.dense)


@of("smp", "bce")
def bce(given: Given) -> Any:
    given.needs("sigmoid")
    loss = _losses().SoftBCEWithLogitsLoss(
        ignore_index=given.ignore_index if given.ignore_index is not None else -100,
        reduction=given.reduction,
        pos_weight=given.pos_weight,
        smooth_factor=given.number("label_smoothing"),
    )
    return loss(given.pred, given.dense)


@of("smp", "ce")
def ce(given: Given) -> Any:
    given.needs("softmax")
    index = given.ignore_index
    loss = _losses().SoftCrossEntropyLoss(
        reduction=given.reduction,
        smooth_factor=given.number("label_smoothing", 0.0),
        ignore_index=-100 if index is None else index,
        dim=1,
    )
    return loss(given.pred, given.indices)


@of("smp", "wing")
def wing(given: Given) -> Any:
    functional = load("segmentation_models_pytorch.losses._functional", bare=("segmentation_models_pytorch",))
    return functional.wing_loss(given.pred, given.target, reduction=given.reduction)
