"""monai.losses: focal losses, and losses that hold others."""

from __future__ import annotations

import re
from typing import Any, Literal

from torch import Tensor

from conformance.peers.monai import (
    activation,
    dropped,
    is_index,
    looks,
    monai,
    overlap,
    per_class,
    reduced,
    target_of,
)
from conformance.translation import Call, Inexpressible, Ours, times, use, width


def focal(call: Call, pred: Tensor, target: Tensor, place: str = "pred") -> str:
    """Of a softmax, MONAI lays the value of a place out over the classes, and averages over them too."""
    softmax, without = call.get("use_softmax", False), dropped(call, pred)
    left = width(pred) - without
    options = balanced(call, left, softmax, without)
    match call.get("reduction", "mean"):
        case "none" if softmax:
            raise Inexpressible("a value for every class of a place: ours is one for its own class")
        case "none":
            options["reduction"] = "none"
        case "sum":
            raise Inexpressible("a sum over samples and classes of means over their places")
        case _:
            pass
    factor, operands = 1 / left if softmax else 1.0, f"@({place}, target)"
    if without and is_index(target, pred):
        if softmax or "pos_weight" in options:
            raise Inexpressible("a focal of class indices without the first channel")
        # The first channel is in no sum, and not in the mean.
        options["class_weight"] = [0, *options.get("class_weight", [1] * left)]
        factor = width(pred) / left
    elif without:
        operands = f"@({place}[1:], target[1:])"
    text = use("focal", "softmax", **options) if softmax else use("focal", "sigmoid", like="monai", **options)
    return times(factor, text + operands)


def balanced(call: Call, left: int, softmax: bool, without: bool) -> dict[str, Any]:
    """`alpha` balances positives and negatives, or is one number per class."""
    if softmax and left == 1:
        raise Inexpressible("a softmax over one channel, which is always 0")
    options, alpha = call.same(gamma="gamma") | per_class(call, left), call.get("alpha")
    if isinstance(alpha, list) and softmax:
        weights = options.get("class_weight", [1] * left)
        return options | {"class_weight": [a * w for a, w in zip(alpha, weights, strict=True)]}
    if isinstance(alpha, list):
        return options | {"pos_weight": alpha}
    ignored = softmax and without  # with a warning
    return options if alpha is None or ignored else options | {"alpha": alpha}


@monai.call("FocalLoss")
def focal_loss(call: Call) -> Ours:
    pred: Tensor = call.tensor("input")
    target = target_of(call, pred)
    return Ours(focal(call, pred, target), pred, target)


def parts(pred: Tensor, how: str) -> tuple[Any, str, str]:
    """The prediction for two losses, one of which reads it as it stands: our language asks for two names."""
    if how == "identity":
        return {"probs": pred, "logits": pred}, "pred.probs", "pred.logits"
    return pred, "pred", "pred"


@monai.call("DiceCELoss")
def dice_ce(call: Call) -> Ours:
    """`weight` is of the classes of the cross entropy; of one channel it is the weight of the positives."""
    whole: Tensor = call.tensor("input")
    how = activation(call, width(whole))
    pred, first, second = parts(whole, how)
    target: Any = target_of(call, whole)
    weight = call.get("weight")
    options = reduced(call)
    if width(whole) == 1:
        options |= {"pos_weight": weight} if weight is not None else {}
        entropy = use("bce", "sigmoid", **options)
    else:
        options |= {"class_weight": weight} if weight is not None else {}
        entropy = use("ce", "softmax", **options)
    dice_text = times(call.get("lambda_dice", 1), overlap(call, whole, f"@({first}, target)"))
    text = f"{dice_text} + {times(call.get('lambda_ce', 1), entropy)}@({second}, target)"
    return Ours(text, pred, target, validate=looks(how))


@monai.call("DiceFocalLoss")
def dice_focal(call: Call) -> Ours:
    """Its focal is that of a sigmoid, whatever its dice is of."""
    whole: Tensor = call.tensor("input")
    how, target = activation(call, width(whole)), target_of(call, whole)
    pred, first, second = parts(whole, how)
    dice_text = times(call.get("lambda_dice", 1), overlap(call, whole, f"@({first}, target)"))
    text = f"{dice_text} + {times(call.get('lambda_focal', 1), focal(call, whole, target, second))}"
    return Ours(text, pred, target, validate=looks(how))


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
    ours = monai.translations[name](call)
    if call.tensor("mask") is not None:
        raise Inexpressible("a loss of input and target times a mask")
    return ours


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
        target = nearest(call.tensor("target"), level.shape[2:])
        one = call.of(arguments, {"input": level, "target": target})
        ours = monai.translations[name](one)
        one.finish()
        texts.append(times(weight, rooted(ours.text, i)))
        preds.append(ours.pred)
        targets.append(ours.target)
        validate = ours.validate if ours.validate == "never" else validate
    return Ours(" + ".join(texts), preds, targets, validate=validate)


def nearest(target: Tensor, size: tuple[int, ...]) -> Tensor:
    """A target at another size: each place of it is one of the target, that in the middle."""
    for axis, number in enumerate(size, 2):
        whole = target.shape[axis]
        places = [int((2 * i + 1) * whole // (2 * number)) for i in range(number)]
        target = target[(slice(None),) * axis + (places,)]
    return target


def rooted(text: str, level: int) -> str:
    """A program on one element of the lists."""
    text = re.sub(r"\b(pred|target)\b", rf"\1[{level}]", text)
    return f"({text})" if "@" in text else f"({text})@(pred[{level}], target[{level}])"
