"""segmentation_models_pytorch.losses: sums over batch and space, absent classes count as 0."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from conformance.translation import Call, Inexpressible, Ours, Peer, use, width

smp = Peer("smp", constants=("dims",))

SCORES = {"soft_dice_score": "dice", "soft_jaccard_score": "jaccard", "soft_tversky_score": "tversky"}


@smp.call(*SCORES)
def score(call: Call) -> Ours:
    """1 - the loss. An absent class has the score 0, since ε is in the denominator alone."""
    name = SCORES[call.callable]
    pred, target, summed = call.tensor("output"), call.tensor("target"), call.get("dims")
    call.get("eps")
    options: dict[str, Any] = call.same(alpha="alpha", beta="beta")
    smooth = call.get("smooth", 0.0)
    options |= {"smooth": 2 * smooth if name == "dice" else smooth}
    options |= {} if smooth else {"empty": "one"}
    if summed is None:
        return Ours(f"1 - {use(name, 'identity', **options)}", *(v.reshape(1, 1, -1) for v in (pred, target)))
    kept = [a for a in range(pred.ndim) if a not in summed]
    pred, target = (v.permute(*kept, *summed).flatten(len(kept)) for v in (pred, target))
    pred, target = (v.flatten(0, len(kept) - 1).unsqueeze(1) for v in (pred, target))
    text = f"const.one*(1 - {use(name, 'identity', **options, reduction='none')})"
    return Ours(text, pred, target, const={"one": [1.0]})


def region(call: Call) -> tuple[str, Tensor, Tensor]:
    """Activation, prediction and target with space as one axis."""
    pred, target = call.tensor("y_pred"), call.tensor("y_true")
    mode = call.get("mode")
    call.get("eps")
    call.refuse("log_loss", "classes", "ignore_index")
    logits = call.get("from_logits", True)
    if mode == "multiclass":
        pred = pred.flatten(2) if pred.ndim > 2 else pred.unsqueeze(-1)
        labels = target.long().reshape(pred.shape[0], -1)
        return "softmax" if logits else "identity", pred, labels
    channels = 1 if mode == "binary" else pred.shape[1]
    pred, target = (v.reshape(pred.shape[0], channels, -1) for v in (pred, target))
    return "sigmoid" if logits else "identity", pred, target


@smp.call("DiceLoss")
def dice(call: Call) -> Ours:
    """`smooth` stands beside the overlap, once, so it is twice ours."""
    how, pred, target = region(call)
    options: dict[str, Any] = {"like": "smp"}
    if call.get("smooth"):
        options = {"smooth": 2 * call.get("smooth"), "batch": True, "empty": "zero"}
    return Ours(use("dice", how, **options), pred, target)


@smp.call("JaccardLoss")
def jaccard(call: Call) -> Ours:
    how, pred, target = region(call)
    return Ours(use("jaccard", how, like="smp", **call.same(smooth="smooth")), pred, target)


@smp.call("TverskyLoss")
def tversky(call: Call) -> Ours:
    """γ is the power of the mean."""
    how, pred, target = region(call)
    options = call.same(alpha="alpha", beta="beta", smooth="smooth")
    text, gamma = use("tversky", how, like="smp", **options), call.get("gamma", 1.0)
    return Ours(text if gamma == 1 else f"({text})**{gamma}", pred, target)


@smp.call("MCCLoss")
def mcc(call: Call) -> Ours:
    """All samples and channels are one."""
    pred, target = (call.tensor(name).reshape(1, 1, -1) for name in ("y_pred", "y_true"))
    return Ours(use("mcc", "identity", like="smp", **call.same(smooth="eps")), pred, target)


@smp.call("FocalLoss")
def focal(call: Call) -> Ours:
    """`multiclass` is the mean of one sigmoid against the rest for each class; so is `multilabel`."""
    pred, target = call.tensor("y_pred"), call.tensor("y_true")
    call.refuse("normalized", "reduced_threshold", "ignore_index")
    options, how = call.same(alpha="alpha", gamma="gamma"), call.get("reduction", "mean")
    if how not in ("mean", "sum"):
        raise Inexpressible(f"reduction={how} of the mean over classes")
    if call.get("mode") == "multiclass":
        raise Inexpressible("one sigmoid against the rest for each class of an index")
    channels = 1 if call.get("mode") == "binary" else width(pred)
    options |= {"reduction": "mean"} if how == "mean" else {"avg_factor": channels}
    pred, target = (v.reshape(pred.shape[0], channels, -1) for v in (pred, target.to(pred.dtype)))
    return Ours(use("focal", like="smp", **options), pred, target)


def reduced(call: Call, index: int | None) -> dict[str, Any]:
    """smp's mean counts what is ignored, ours what is left."""
    how = call.get("reduction", "mean")
    if how == "mean":
        call.refuse_where(
            "y_true", lambda labels: (labels == index).any(), "a mean that counts what is ignored"
        )
        return {}
    return {"reduction": how}


@smp.call("SoftCrossEntropyLoss")
def ce(call: Call) -> Ours:
    if call.get("dim", 1) != 1:
        raise Inexpressible("classes along another axis than the second")
    pred, target = call.tensor("y_pred"), call.tensor("y_true")
    index, smoothing = call.get("ignore_index", -100), call.get("smooth_factor")
    options = {"label_smoothing": smoothing or 0.0, "ignore_index": index}
    return Ours(use("ce", "softmax", **options, **reduced(call, index)), pred, target)


@smp.call("SoftBCEWithLogitsLoss")
def bce(call: Call) -> Ours:
    """(1 - t) s + t (1 - s): half of our smoothing."""
    pred, target = call.tensor("y_pred"), call.tensor("y_true")
    index, smoothing = call.get("ignore_index", -100), call.get("smooth_factor")
    call.refuse("weight")
    own: dict[str, Any] = {"label_smoothing": 2 * smoothing} if smoothing else {"like": "smp"}
    options: dict[str, Any] = {**own, "ignore_index": index}
    if call.get("pos_weight") is not None:
        options["pos_weight"] = call.get("pos_weight")
    return Ours(use("bce", "sigmoid", **options, **reduced(call, index)), pred, target)


@smp.call("LovaszLoss")
def lovasz(call: Call) -> Ours:
    """The whole batch is one image unless `per_image`; of one image all classes that are there."""
    pred, target = call.tensor("y_pred"), call.tensor("y_true")
    call.refuse("ignore_index")
    batch = not call.get("per_image", False)
    if call.get("mode") == "multiclass":
        return Ours(use("lovasz_softmax", "softmax", like="smp", batch=batch), pred, target)
    pred, target = (v.reshape(len(v), 1, -1) for v in (pred, target))
    return Ours(use("lovasz_hinge", like="smp", batch=batch), pred, target)
