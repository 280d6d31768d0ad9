"""monai.losses: channels second, targets one-hot or, with `to_onehot_y`, a channel of class indices."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from conformance.translation import Call, Inexpressible, Ours, Peer, times, use, width

monai = Peer("monai")


def activation(call: Call, channels: int) -> str:
    """Without a flag the prediction is read as it stands. A softmax over one channel is switched off."""
    sigmoid, softmax = call.get("sigmoid", False), call.get("softmax", False)
    return "sigmoid" if sigmoid else "softmax" if softmax and channels > 1 else "identity"


OTHERS = {"<fn _VariableFunctionsClass.tanh>": "tanh(pred)"}


def other(call: Call) -> dict[str, str]:
    """The user's own function of the prediction, if there is one."""
    written = call.get("other_act")
    if written is None:
        return {}
    if written not in OTHERS:
        raise Inexpressible(f"{written.strip('<>').removeprefix('fn ')}, as probabilities")
    return {"pred": OTHERS[written]}


def looks(how: str) -> Literal["first", "never"]:
    """MONAI does not look at what it reads as it stands; ours would refuse what is not from 0 to 1."""
    return "never" if how == "identity" else "first"


def target_of(call: Call, pred: Tensor) -> Tensor:
    """The target as MONAI reads it: like the prediction, or class indices."""
    target: Tensor = call.tensor("target")
    if call.get("to_onehot_y", False) and width(pred) > 1:
        return target.long()
    return target


def is_index(target: Tensor, pred: Tensor) -> bool:
    return width(pred) > 1 and width(target) == 1


def smooth(call: Call, scale: float = 1.0, loss: str = "") -> dict[str, Any]:
    """`smooth_nr` and `smooth_dr`, where they are written: ours is one number, and what is below alone."""
    up, down = call.get("smooth_nr", 1e-5), call.get("smooth_dr", 1e-5)
    if up > down or (up != down and loss != "dice"):
        raise Inexpressible("two smoothings, one above and one below")
    more = {} if up == down else {"eps": scale * (down - up)}
    return {"smooth": scale * up, **more} if call.says("smooth_nr") or more else {}


def reduced(call: Call) -> dict[str, Any]:
    return call.same(reduction="reduction")


def dropped(call: Call, pred: Tensor) -> bool:
    """Whether channel 0 is left out; of one channel nothing is."""
    return not call.get("include_background", True) and width(pred) > 1


def per_class(call: Call, number: int) -> dict[str, Any]:
    """`weight`: one number for all, or one for each class that is left; of one class it is not looked at."""
    weight = call.get("weight")
    if weight is None or number == 1:
        return {}
    values = weight if isinstance(weight, list) else [weight]
    return {"class_weight": values * number if len(values) == 1 else values}


# ------------------------------------------------------------------------- overlap


def overlap(call: Call, pred: Tensor, operands: str = "") -> str:
    """`dice` or `jaccard` with MONAI's flags; `operands` is what it reads, if not pred and target."""
    how = activation(call, width(pred))
    options: dict[str, Any] = other(call) | call.same(batch="batch") | reduced(call)
    without = dropped(call, pred)
    left = width(pred) - without
    if without:
        options["background"] = False
    weight = per_class(call, left)
    if len(weight.get("class_weight", [])) > left:
        weight["class_weight"] = weight["class_weight"][1:]  # as DiceCELoss does for its dice
    options |= weight
    soft(call)
    if call.get("jaccard", False):
        if call.get("squared_pred", False):
            raise Inexpressible("a jaccard of squares")
        # MONAI halves what it adds: (2 I + s) / (2 U + s).
        scaled = smooth(call, 0.5)
        own = {} if scaled else {"like": "monai"}
        return use("jaccard", how, **own, **scaled, **options) + operands
    if call.get("squared_pred", False):
        options["squared"] = True
    return use("dice", how, like="monai", **smooth(call, loss="dice"), **options) + operands


def soft(call: Call) -> None:
    """With hard labels `soft_label` changes nothing."""
    if call.get("soft_label", False):
        why = "soft labels whose overlap is Σ min(p, t)"
        call.refuse_where("target", lambda target: ((target != 0) & (target != 1)).any(), why)


@monai.call("DiceLoss")
def dice(call: Call) -> Ours:
    pred: Tensor = call.tensor("input")
    how = activation(call, width(pred))
    return Ours(overlap(call, pred), pred, target_of(call, pred), validate=looks(how))


@monai.call("GeneralizedDiceLoss")
def generalized_dice(call: Call) -> Ours:
    pred: Tensor = call.tensor("input")
    how = activation(call, width(pred))
    soft(call)
    options = other(call) | call.same(batch="batch", weighting="w_type") | smooth(call) | reduced(call)
    if dropped(call, pred):
        options["background"] = False
    text = use("gdl", how, like="monai", **options)
    return Ours(text, pred, target_of(call, pred), validate=looks(how))


@monai.call("MaskedDiceLoss")
def masked_dice(call: Call) -> Ours:
    """MONAI multiplies logits and target by the mask, and then activates: what is masked has p = 1/2.

    Ours is `mask=`, which leaves it out.
    """
    mask: Tensor | None = call.tensor("mask")
    if mask is None:
        return dice(call)
    pred, target = call.tensor("input"), target_of(call, call.tensor("input"))
    how = activation(call, width(pred))
    operands = "@(batch.mask*pred, batch.mask*target)"
    text = overlap(call, pred, operands)
    meant = ("", "")
    if how != "identity":
        why = "MONAI masks before it activates: what is masked has p = 1/2, and counts (MONAI #8655)"
        meant = (text.replace(f"){operands}", ", mask=batch.mask)"), why)
    held = {"mask": mask.to(target.dtype)}
    return Ours(text, pred, target, held, meant=meant, validate=looks(how))


# ------------------------------------------------------------------------- others


@monai.call("BoxGIoULoss")
def giou(call: Call) -> Ours:
    pred: Tensor = call.tensor("input")
    if width(pred, -1) != 4:
        raise Inexpressible("boxes in three dimensions")
    return Ours(use("giou", **reduced(call)), pred, call.tensor("target"))


@monai.call("HausdorffDTLoss", "LogHausdorffDTLoss")
def hausdorff(call: Call) -> Ours:
    """Channel 0 is left out unless it is asked for."""
    pred: Tensor = call.tensor("input")
    how = activation(call, width(pred))
    options = other(call) | call.same(alpha="alpha") | reduced(call)
    how_many = call.get("reduction", "mean")
    if call.get("batch", False) and how_many == "none":
        raise Inexpressible("a mean over the samples alone")
    if call.get("batch", False) and how_many == "sum":  # ... of the means over the samples
        options["reduction"] = "batchmean"
    options["background"] = call.get("include_background", False) or width(pred) == 1
    text = use("hausdorff_dt", how, like="monai", **options)
    if call.callable == "LogHausdorffDTLoss":
        if how_many == "none":
            raise Inexpressible("the logarithm of what is not reduced")
        text = f"log(1 + {text})"
    return Ours(text, pred, target_of(call, pred), validate=looks(how))


@monai.call("SSIMLoss")
def ssim(call: Call) -> Ours:
    """1 - ssim, which is twice dssim."""
    if call.get("spatial_dims") not in (2, 3):
        raise Inexpressible("one dimension")
    options = call.same(max_val="data_range", window="win_size", sigma="kernel_sigma", k1="k1", k2="k2")
    if call.get("kernel_type", "gaussian") != "gaussian":
        options["kernel"] = "box"
    if reduced(call).get("reduction", "mean") != "mean":
        raise Inexpressible("the mean of each sample: our values are those of the pixels")
    text = use("dssim", **options)
    return Ours(times(2, text), call.tensor("input"), call.tensor("target"))


@monai.call("ContrastiveLoss")
def contrastive(call: Call) -> Ours:
    text = use("infonce", like="monai", **call.same(temperature="temperature"))
    return Ours(text, call.tensor("input"), call.tensor("target"))


@monai.call("BarlowTwinsLoss")
def barlow_twins(call: Call) -> Ours:
    text = use("barlow_twins", like="monai", **call.same(offdiag="lambd"))
    return Ours(text, call.tensor("input"), call.tensor("target"))


@monai.call("SoftclDiceLoss")
def cldice(call: Call) -> Ours:
    """This version drops channel 0 always."""
    pred: Tensor = call.tensor("y_pred")
    if width(pred) == 1:
        raise Inexpressible("a loss of no channel: MONAI drops the only one, and gives 0")
    text = use("cldice", "identity", **call.same(iters="iter_", smooth="smooth"))
    return Ours(f"{text}@(pred[1:], target[1:])", pred, call.tensor("y_true"))


@monai.call("SoftDiceclDiceLoss")
def dice_cldice(call: Call) -> Ours:
    """(1 - α) dice + α cldice; its dice is over all classes and samples at once."""
    alpha = call.get("alpha", 0.5)
    pred: Tensor = call.tensor("y_pred")
    smooth_ = call.same(smooth="smooth")
    region = use("gdl", "identity", weighting="uniform", batch=True, **smooth_)
    thin = use("cldice", "identity", **call.same(iters="iter_"), **smooth_)
    text = f"{1 - alpha}*{region}@(pred[1:], target[1:]) + {alpha}*{thin}@(pred[1:], target[1:])"
    return Ours(text, pred, call.tensor("y_true"))


@monai.call("AsymmetricUnifiedFocalLoss")
def unified_focal(call: Call) -> Ours:
    """Its focal part is the sum over the two classes, where ours is their mean: λ F + (1 - λ) T with twice the F."""
    call.get("num_classes")
    weight, options = call.get("weight", 0.5), call.same(gamma="gamma", delta="delta")
    text = use("unified_focal", like="monai", share=2 * weight / (1 + weight), **options)
    text = times(1 + weight, text)
    return Ours(text, call.tensor("y_pred"), call.tensor("y_true"))
