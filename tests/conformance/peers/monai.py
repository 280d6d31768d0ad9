"""monai.losses: channels second, targets one-hot or, with `to_onehot_y`, a channel of class indices."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from conformance.translation import (
    Call,
    Inexpressible,
    Ours,
    Peer,
    are_probabilities,
    one_hot,
    times,
    use,
)

monai = Peer("monai")


def activation(call: Call, channels: int) -> str:
    """Without a flag the prediction is read as it stands. A softmax over one channel is switched off."""
    sigmoid, softmax = call.get("sigmoid", False), call.get("softmax", False)
    return "sigmoid" if sigmoid else "softmax" if softmax and channels > 1 else "identity"


OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "<fn _VariableFunctionsClass.tanh>": torch.tanh,
    "<fn log_softmax over channels>": lambda logits: torch.log_softmax(logits, 1),
}


def prediction(call: Call) -> Tensor:
    """The prediction, through the user's own function if there is one."""
    given: Tensor = call.tensor("input")
    other = call.get("other_act")
    if other is None:
        return given
    if other not in OTHERS:
        raise Inexpressible(f"a function of the user's that is not recorded: {other}")
    return OTHERS[other](given)


def looks(call: Call, pred: Tensor) -> Literal["first", "never"]:
    """MONAI does not look at what it reads as it stands; ours would refuse what is not from 0 to 1."""
    plain = activation(call, pred.shape[1]) == "identity"
    return "never" if plain and not are_probabilities(pred) else "first"


def target_of(call: Call, pred: Tensor) -> Tensor:
    """The target as MONAI reads it: like the prediction, or made one-hot."""
    target: Tensor = call.tensor("target")
    if call.get("to_onehot_y", False) and pred.shape[1] > 1:
        return one_hot(target, pred)
    return target


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
    return not call.get("include_background", True) and pred.shape[1] > 1


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
    how = activation(call, pred.shape[1])
    options: dict[str, Any] = call.same(batch="batch") | reduced(call)
    without = dropped(call, pred)
    left = pred.shape[1] - without
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
        return use("jaccard", how, like="monai", **smooth(call, 0.5), **options) + operands
    if call.get("squared_pred", False):
        options["squared"] = True
    return use("dice", how, like="monai", **smooth(call, loss="dice"), **options) + operands


def soft(call: Call) -> None:
    """With hard labels `soft_label` changes nothing."""
    if call.get("soft_label", False) and not is_binary(call.tensor("target")):
        raise Inexpressible("soft labels whose overlap is Σ min(p, t)")


def is_binary(target: Tensor) -> bool:
    return bool(((target == 0) | (target == 1)).all())


@monai.call("DiceLoss")
def dice(call: Call) -> Ours:
    pred = prediction(call)
    return Ours(overlap(call, pred), pred, target_of(call, pred), validate=looks(call, pred))


@monai.call("GeneralizedDiceLoss")
def generalized_dice(call: Call) -> Ours:
    pred = prediction(call)
    how = activation(call, pred.shape[1])
    soft(call)
    options = call.same(batch="batch", weighting="w_type") | smooth(call) | reduced(call)
    if dropped(call, pred):
        options["background"] = False
    text = use("gdl", how, like="monai", **options)
    return Ours(text, pred, target_of(call, pred), validate=looks(call, pred))


@monai.call("MaskedDiceLoss")
def masked_dice(call: Call) -> Ours:
    """MONAI multiplies logits and target by the mask, and then activates: what is masked has p = 1/2.

    Ours is `mask=`, which leaves it out.
    """
    pred, mask = prediction(call), call.tensor("mask")
    if mask is None:
        return Ours(overlap(call, pred), pred, target_of(call, pred), validate=looks(call, pred))
    call.tensors["target"] = call.tensor("target") * mask
    text = overlap(call, pred, "@(batch.mask*pred, target)")
    held = {"mask": mask.expand(len(pred), *mask.shape[1:])}
    meant = ("", "")
    if activation(call, pred.shape[1]) != "identity":
        why = "MONAI masks before it activates: what is masked has p = 1/2, and counts (MONAI #8655)"
        meant = (text.replace(")@(batch.mask*pred, target)", ", mask=batch.mask)"), why)
    return Ours(text, pred, target_of(call, pred), held, meant=meant, validate=looks(call, pred))


# ------------------------------------------------------------------------- focal and compounds


def focal(call: Call, pred: Tensor, place: str = "pred", softmax: bool = False) -> str:
    """`alpha` balances positives and negatives, or is one number per class. The sum is one of means over space."""
    options, alpha = call.same(gamma="gamma"), call.get("alpha")
    without = dropped(call, pred)
    left = pred.shape[1] - without
    if softmax and left == 1:
        raise Inexpressible("a softmax over one channel, which is always 0")
    options |= per_class(call, left)
    if isinstance(alpha, list) and softmax:
        options["class_weight"] = [
            a * w for a, w in zip(alpha, options.get("class_weight", [1] * left), strict=True)
        ]
    elif isinstance(alpha, list):
        options["pos_weight"] = alpha
    elif alpha is not None and not (softmax and without):  # there it is ignored, with a warning
        options["alpha"] = alpha
    spots = pred[0, 0].numel()
    match call.get("reduction", "mean"):
        case "none":
            options["reduction"] = "none"
        case "sum":
            options["avg_factor"] = spots
        case _ if softmax:
            # A value per place, which MONAI lays out over the classes and averages over them too.
            options["avg_factor"] = len(pred) * left * spots
    operands = f"@({place}[1:], target[1:])" if without else f"@({place}, target)"
    if softmax:  # its mean is another, which `like=monai` refuses
        return use("focal", "softmax", **options) + operands
    return use("focal", "sigmoid", like="monai", **options) + operands


@monai.call("FocalLoss")
def focal_loss(call: Call) -> Ours:
    pred: Tensor = call.tensor("input")
    target, softmax = target_of(call, pred), call.get("use_softmax", False)
    text = focal(call, pred, softmax=softmax)
    if softmax and call.get("reduction", "mean") == "none":
        true = target[:, 1:] if dropped(call, pred) else target
        return Ours(text, pred, target, laid=lambda value: value.unsqueeze(1) * true)
    return Ours(text, pred, target)


def parts(pred: Tensor, how: str) -> tuple[Any, str, str]:
    """The prediction for two losses, one of which reads it as it stands: our language asks for two names."""
    if how == "identity":
        return {"probs": pred, "logits": pred}, "pred.probs", "pred.logits"
    return pred, "pred", "pred"


@monai.call("DiceCELoss")
def dice_ce(call: Call) -> Ours:
    """`weight` is of the classes of the cross entropy; of one channel it is the weight of the positives."""
    whole = prediction(call)
    how = activation(call, whole.shape[1])
    pred, first, second = parts(whole, how)
    target: Any = target_of(call, whole)
    weight = call.get("weight")
    options = reduced(call)
    if whole.shape[1] == 1:
        options |= {"pos_weight": weight} if weight is not None else {}
        other = use("bce", "sigmoid", **options)
    else:
        if call.tensor("target").shape[1] == 1:
            # ... and class indices, of which torch divides by the sum of the weights.
            labels = call.tensor("target").squeeze(1).long()
            target = {"dense": target, "labels": labels}
        options |= {"class_weight": weight} if weight is not None else {}
        other = use("ce", "softmax", **options)
    truths = ("target.dense", "target.labels") if isinstance(target, dict) else ("target", "target")
    dice_text = overlap(call, whole, f"@({first}, {truths[0]})")
    other = f"{other}@({second}, {truths[1]})"
    text = f"{times(call.get('lambda_dice', 1), dice_text)} + {times(call.get('lambda_ce', 1), other)}"
    return Ours(text, pred, target, validate=looks(call, whole))


@monai.call("DiceFocalLoss")
def dice_focal(call: Call) -> Ours:
    """Its focal is that of a sigmoid, whatever its dice is of."""
    whole = prediction(call)
    how = activation(call, whole.shape[1])
    pred, first, second = parts(whole, how)
    dice_text = overlap(call, whole, f"@({first}, target)")
    other = focal(call, whole, second)
    text = f"{times(call.get('lambda_dice', 1), dice_text)} + {times(call.get('lambda_focal', 1), other)}"
    return Ours(text, pred, target_of(call, whole), validate=looks(call, whole))


def inner(call: Call, written: str) -> tuple[str, dict[str, Any]]:
    """`<DiceCELoss(to_onehot_y=True)>` -> its name and its arguments."""
    found = re.fullmatch(r"<(\w+)\((.*)\)>", written)
    if not found:
        raise Inexpressible(f"a loss given as {written}")
    words = {"True": True, "False": False}
    pairs = [part.split("=") for part in found[2].split(", ") if part]
    return found[1], {name: words.get(value, value) for name, value in pairs}


@monai.call("MaskedLoss")
def masked_loss(call: Call) -> Ours:
    """Any loss of MONAI on input and target times a mask."""
    name = str(call.get("loss")).removeprefix("<class ").removesuffix(">")
    call.get("mask")
    if name not in monai.translations:
        raise Inexpressible(f"a mask for {name}")
    mask = call.tensor("mask")
    if mask is not None:
        call.tensors["input"], call.tensors["target"] = (
            call.tensor("input") * mask,
            call.tensor("target") * mask,
        )
    return monai.translations[name](call)


@monai.call("DeepSupervisionLoss")
def deep_supervision(call: Call) -> Ours:
    """The loss of every level against the target at its size, times 1, 1/2, 1/4, ... not below 1/16."""
    levels = call.tensor("input")
    levels = levels if isinstance(levels, list) else [levels]
    name, arguments = inner(call, call.get("loss"))
    mode = call.get("weight_mode", "exp")
    weights = call.get("weights") or {
        "exp": [max(0.5**i, 0.0625) for i in range(len(levels))],
        "same": [1.0] * len(levels),
        "two": [1.0 if i == 0 else 0.5 for i in range(len(levels))],
    }.get(mode)
    if weights is None:
        raise Inexpressible(f"weight_mode={mode}")
    call.get("weights")
    texts, preds, targets = list[str](), list[Any](), list[Any]()
    validate: Literal["first", "never"] = "first"
    for i, (level, weight) in enumerate(zip(levels, weights, strict=False)):
        target = call.tensor("target")
        if level.shape[2:] != target.shape[2:]:
            target = torch.nn.functional.interpolate(target, size=level.shape[2:], mode="nearest-exact")
        one = call.of(arguments, {"input": level, "target": target})
        ours = monai.translations[name](one)
        one.finish()
        texts.append(times(weight, rooted(ours.text, i)))
        preds.append(ours.pred)
        targets.append(ours.target)
        validate = ours.validate if ours.validate == "never" else validate
    return Ours(" + ".join(texts), preds, targets, validate=validate)


def rooted(text: str, level: int) -> str:
    """A program on one element of the lists."""
    text = re.sub(r"\b(pred|target)\b", rf"\1[{level}]", text)
    return f"({text})" if "@" in text else f"({text})@(pred[{level}], target[{level}])"


# ------------------------------------------------------------------------- others


@monai.call("BoxGIoULoss")
def giou(call: Call) -> Ours:
    pred: Tensor = call.tensor("input")
    if pred.shape[-1] != 4:
        raise Inexpressible("boxes in three dimensions")
    return Ours(use("giou", **reduced(call)), pred, call.tensor("target"))


@monai.call("HausdorffDTLoss", "LogHausdorffDTLoss")
def hausdorff(call: Call) -> Ours:
    """Channel 0 is left out unless it is asked for."""
    pred = prediction(call)
    how = activation(call, pred.shape[1])
    options = call.same(alpha="alpha") | reduced(call)
    how_many = call.get("reduction", "mean")
    if call.get("batch", False) and how_many == "none":
        raise Inexpressible("a mean over the samples alone")
    if call.get("batch", False) and how_many == "sum":  # ... of the means over the samples
        del options["reduction"]
        options["avg_factor"] = len(pred)
    options["background"] = call.get("include_background", False) or pred.shape[1] == 1
    text = use("hausdorff_dt", how, like="monai", **options)
    if call.case.callable == "LogHausdorffDTLoss":
        if how_many == "none":
            raise Inexpressible("the logarithm of what is not reduced")
        text = f"log(1 + {text})"
    return Ours(text, pred, target_of(call, pred), validate=looks(call, pred))


@monai.call("SSIMLoss")
def ssim(call: Call) -> Ours:
    """1 - ssim, which is twice dssim."""
    if call.get("spatial_dims") not in (2, 3):
        raise Inexpressible("one dimension")
    options = call.same(max_val="data_range", window="win_size", sigma="kernel_sigma", k1="k1", k2="k2")
    if call.get("kernel_type", "gaussian") != "gaussian":
        raise Inexpressible("a uniform window")
    text = use("dssim", **options, **reduced(call))
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
    if pred.shape[1] == 1:
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
