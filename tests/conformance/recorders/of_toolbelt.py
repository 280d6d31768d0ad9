"""pytorch-toolbelt 0.8.0."""

from __future__ import annotations

from typing import Any

from conformance.recorders.given import Given, of
from conformance.recorders.loaders import load


def _load(file: str) -> Any:
    return load(
        f"pytorch_toolbelt.losses.{file}",
        bare=("pytorch_toolbelt", "pytorch_toolbelt.losses"),
        stand_ins=(
            "pytorch_toolbelt.utils",
            "pytorch_toolbelt.utils.torch_utils",
            "pytorch_toolbelt.utils.distributed",
        ),
    )


@of("toolbelt", "focal")
def focal(given: Given) -> Any:
    given.needs("sigmoid", "softmax")
    if given.activation == "softmax":
        alpha = given.number("alpha")
        if alpha is not None:
            raise TypeError("alpha")
        loss = _load("focal").CrossEntropyFocalLoss(
            gamma=given.number("gamma", 2.0),
            ignore_index=-100 if given.ignore_index is None else given.ignore_index,
            reduction=given.reduction,
            class_weights=given.weights,
        )
        return loss(given.pred, given.indices)
    loss = _load("focal").BinaryFocalLoss(
        alpha=given.number("alpha"),
        gamma=given.number("gamma", 2.0),
        ignore_index=given.ignore_index,
        reduction=given.reduction,
        class_weights=given.class_weight,
    )
    return loss(given.pred, given.target if given.channels > 1 else given.dense)


def _region(given: Given, name: str, file: str, **options: Any) -> Any:
    mode, target = "multilabel", given.dense
    if given.channels == 1:
        given.needs("identity", "sigmoid")
        mode = "binary"
    elif given.activation == "softmax":
        mode, target = "multiclass", given.indices
    loss = getattr(_load(file), name)(mode, from_logits=given.activation != "identity", **options)
    return loss(given.pred, target)


@of("toolbelt", "dice")
def dice(given: Given) -> Any:
    smooth = given.number("smooth", 0.0)
    return _region(given, "DiceLoss", "dice", smooth=smooth, ignore_index=given.ignore_index)


@of("toolbelt", "jaccard")
def jaccard(given: Given) -> Any:
    return _region(given, "JaccardLoss", "jaccard", smooth=given.number("smooth", 0.0))


@of("toolbelt", "bce")
def bce(given: Given) -> Any:
    given.needs("sigmoid")
    index = given.ignore_index
    loss = _load("soft_bce").SoftBCEWithLogitsLoss(
        ignore_index=-100 if index is None else index,
        reduction=given.reduction,
        pos_weight=given.pos_weight,
        smooth_factor=given.number("label_smoothing"),
    )
    return loss(given.pred, given.dense)


@of("toolbelt", "ce")
def ce(given: Given) -> Any:
    given.needs("softmax")
    index = given.ignore_index
    loss = _load("soft_ce").SoftCrossEntropyLoss(
        reduction=given.reduction,
        smooth_factor=given.number("label_smoothing", 0.0),
        ignore_index=-100 if index is None else index,
    )
    return loss(given.pred, given.indices)


@of("toolbelt", "quality_focal")
def quality_focal(given: Given) -> Any:
    given.needs("sigmoid")
    return _load("quality_focal_loss").QualityFocalLoss(reduction=given.reduction)(given.pred, given.target)


@of("toolbelt", "balanced_bce")
def balanced_bce(given: Given) -> Any:
    given.needs("sigmoid")
    loss = _load("balanced_bce").BalancedBCEWithLogitsLoss(
        reduction=given.reduction, ignore_index=given.ignore_index
    )
    return loss(given.pred, given.dense)


@of("toolbelt", "lovasz_hinge")
def lovasz_hinge(given: Given) -> Any:
    loss = _load("lovasz").BinaryLovaszLoss(
        per_image=not given.is_true("batch", default=True), ignore_index=given.ignore_index
    )
    return loss(given.pred.float(), given.dense.float())


@of("toolbelt", "lovasz_softmax")
def lovasz_softmax(given: Given) -> Any:
    """It reads probabilities."""
    loss = _load("lovasz").LovaszLoss(
        per_image=not given.is_true("batch", default=True), ignore=given.ignore_index
    )
    return loss(given.probabilities.float(), given.indices)


@of("toolbelt", "log_cosh")
def log_cosh(given: Given) -> Any:
    return _load("functional").log_cosh_loss(given.pred, given.target)


@of("toolbelt", "wing")
def wing(given: Given) -> Any:
    return _load("functional").wing_loss(given.pred, given.target, reduction=given.reduction)
