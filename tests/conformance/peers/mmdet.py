"""mmdet.models.losses: a mean over everything, times `loss_weight`."""

from __future__ import annotations

from typing import Any

import torch

from conformance.translation import Call, Inexpressible, Ours, Peer, times, use, width

mmdet = Peer("mmdet")


EPSILON = torch.finfo(torch.float32).eps
"""mmdet adds it to the number that it divides by."""


def reduced(call: Call) -> dict[str, Any]:
    call.refuse("avg_factor")
    return {"reduction": call.get("reduction", "mean")}


def weighted(call: Call, text: str, target: str = "target", **more: Any) -> Ours:
    return Ours(times(call.get("loss_weight", 1.0), text), call.tensor("pred"), call.tensor(target), **more)


BOXES = {
    "IoULoss": "iou",
    "GIoULoss": "giou",
    "DIoULoss": "diou",
    "CIoULoss": "ciou",
    "EIoULoss": "extended_iou",
    "SIoULoss": "siou",
}
DIFFERS = {
    "IoULoss": "mmdet holds union and IoU at ε at least; ours adds ε to the union",
    "GIoULoss": "mmdet holds union and hull at ε at least; ours adds ε to them",
    "CIoULoss": "mmdet leaves the ratio out where IoU <= 1/2, and its α has no ε: NaN for equal boxes",
    "SIoULoss": "by default mmdet rewards distance; the paper, and `neg_gamma=True`, punish it",
}


@mmdet.call(*BOXES)
def boxes(call: Call) -> Ours:
    name = call.callable
    options: dict[str, Any] = call.same(eps="eps", smooth_point="smooth_point")
    if name == "IoULoss":
        options["mode"] = "linear" if call.get("linear", False) else call.get("mode", "log")
    differs = DIFFERS.get(name, "")
    if name == "SIoULoss" and call.get("neg_gamma", False):
        differs = ""
    own: dict[str, Any] = {"eps": 1e-6} if name in ("SIoULoss", "CIoULoss") else {"like": "mmdet"}
    options = {**own, **options}
    return weighted(call, use(BOXES[name], **options, **reduced(call)), differs=differs)


@mmdet.call("BoundedIoULoss")
def bounded_iou(call: Call) -> Ours:
    options = {"like": "mmdet", **call.same(eps="eps", beta="beta")}
    how = reduced(call)
    if how.get("reduction") == "none":
        raise Inexpressible("the parts of x, y, w and h apart: ours is their mean, one number per box")
    if how.get("reduction") == "sum":
        how = {"avg_factor": 0.25}
    return weighted(call, use("bounded_iou", **options, **how))


NUMBERS: dict[str, tuple[str, dict[str, str]]] = {
    "SmoothL1Loss": ("smooth_l1", {"beta": "beta"}),
    "L1Loss": ("l1", {}),
    "MSELoss": ("mse", {}),
    "BalancedL1Loss": ("balanced_l1", {"alpha": "alpha", "gamma": "gamma", "beta": "beta"}),
}


@mmdet.call(*NUMBERS)
def numbers(call: Call) -> Ours:
    name, renamed = NUMBERS[call.callable]
    differs = ""
    if name == "balanced_l1" and call.get("beta", 1.0) != 1:
        differs = (
            "mmdet's slope is no longer the paper's where β is not 1: at β = 2 an error of 0.05 gives -0.005"
        )
    return weighted(call, use(name, **call.same(**renamed), **reduced(call)), differs=differs)


@mmdet.call("CrossEntropyLoss")
def ce(call: Call) -> Ours:
    """The mean counts what is ignored unless `avg_non_ignore`, and never divides by weights."""
    pred, label = call.tensor("cls_score"), call.tensor("label")
    call.refuse("use_mask")
    sigmoid, weight, index = (
        call.get("use_sigmoid", False),
        call.get("class_weight"),
        call.get("ignore_index"),
    )
    options: dict[str, Any] = {"like": "mmdet"}
    if index is not None and call.get("avg_non_ignore", False):
        options = {"ignore_index": index}
    elif index is not None:
        why = "a mean that counts what is ignored"
        call.refuse_where("label", lambda labels: (labels == index).any(), why)
    call.get("avg_non_ignore")
    if weight is not None:
        options["pos_weight" if sigmoid else "class_weight"] = weight
    activation = "sigmoid" if sigmoid else "softmax"
    how = reduced(call)
    if "like" in options and how == {"reduction": "mean"}:
        how = {}
    text = use("bce" if sigmoid else "ce", activation, **options, **how)
    return Ours(times(call.get("loss_weight", 1.0), text), pred, label)


@mmdet.call("FocalLoss")
def focal(call: Call) -> Ours:
    """The label after the last class is background: a row of zeros."""
    if not call.get("use_sigmoid", True) or call.get("activated", False):
        raise Inexpressible("a focal of given probabilities")
    pred, label = call.tensor("pred"), call.tensor("target")
    classes = width(pred)
    if label.ndim < pred.ndim:
        why = "a label behind the last class, which is a row of zeros"
        call.refuse_where("target", lambda labels: (labels == classes).any(), why)
    text = use("focal", like="mmdet", **call.same(gamma="gamma", alpha="alpha"), **reduced(call))
    return Ours(times(call.get("loss_weight", 1.0), text), pred, label)


@mmdet.call("DiceLoss")
def dice(call: Call) -> Ours:
    """Each row of the batch is one region. Without `naive_dice` ε stands twice below, and not above."""
    pred, target = (call.tensor(name).flatten(1).unsqueeze(1) for name in ("pred", "target"))
    activate, use_sigmoid = call.get("activate", True), call.get("use_sigmoid", True)
    sigmoid = activate and use_sigmoid
    if activate and not sigmoid:
        raise Inexpressible("an activation that mmdet has not")
    eps, how = call.get("eps", 1e-3), "sigmoid" if sigmoid else "identity"
    if call.get("naive_dice", False):
        text = use("dice", how, smooth=eps, **reduced(call))
    else:
        text = use("dice", how, smooth=0, eps=2 * eps, squared=True, **reduced(call))
        # Recorded from sigmoids of float32: exact arithmetic of mmdet's formula gives ours.
        differs = "recorded in float32: 2e-9 away from mmdet's own formula" if sigmoid else ""
        return Ours(times(call.get("loss_weight", 1.0), text), pred, target, differs=differs)
    return Ours(times(call.get("loss_weight", 1.0), text), pred, target)


@mmdet.call("QualityFocalLoss")
def quality_focal(call: Call) -> Ours:
    """Summed over the classes, then a mean over the rows."""
    how = reduced(call)
    if how.get("reduction") == "mean":
        how = {"reduction": "batchmean"}
    return weighted(call, use("quality_focal", "sigmoid", **call.same(beta="beta"), **how))


@mmdet.call("DistributionFocalLoss")
def dfl(call: Call) -> Ours:
    return weighted(call, use("dfl", **reduced(call)), "label")


@mmdet.call("VarifocalLoss")
def varifocal(call: Call) -> Ours:
    options = call.same(alpha="alpha", gamma="gamma", iou_weighted="iou_weighted")
    return weighted(call, use("varifocal", "sigmoid", **options, **reduced(call)))


@mmdet.call("GaussianFocalLoss")
def gaussian_focal(call: Call) -> Ours:
    """The prediction is probabilities."""
    call.refuse("pos_weight", "neg_weight") if call.get("pos_weight", 1.0) != 1.0 else None
    options = call.same(alpha="alpha", gamma="gamma")
    return weighted(call, use("gaussian_focal", "identity", **options, **reduced(call)))


@mmdet.call("KnowledgeDistillationKLDivLoss")
def kd(call: Call) -> Ours:
    """A mean over the classes too: C times less than the divergence."""
    if reduced(call) != {"reduction": "mean"}:
        raise Inexpressible("a mean over the classes alone")
    text = times(1 / width(call.tensor("pred")), use("kd", temperature=call.get("T", 10), reduction="mean"))
    return weighted(call, text, "soft_label")


@mmdet.call("GHMC", "GHMR")
def ghm(call: Call) -> Ours:
    """A weight of 0 leaves an element out; the others are not looked at."""
    options = call.same(bins="bins", momentum="momentum", mu="mu")
    activation = "sigmoid" if call.callable == "GHMC" else ""
    name = {"GHMC": "ghm_c", "GHMR": "ghm_r"}[call.callable]
    options |= {"mask": "batch.counted", "avg_factor": f"sum(batch.weight) + {EPSILON}"}
    weight = call.tensor("label_weight")
    return weighted(
        call, use(name, activation, **options), batch={"counted": weight.bool(), "weight": weight}
    )
