"""kornia.losses."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from conformance.tensors import leaves
from conformance.translation import Call, Inexpressible, Ours, Peer, times, use, width

kornia = Peer("kornia", constants=("weight", "pos_weight"))


def reduced(call: Call, default: str = "mean") -> dict[str, Any]:
    return {"reduction": call.get("reduction", default)}


ROBUST = {
    "charbonnier_loss": "pseudo_huber",
    "CharbonnierLoss": "pseudo_huber",
    "cauchy_loss": "cauchy",
    "CauchyLoss": "cauchy",
    "geman_mcclure_loss": "geman_mcclure",
    "GemanMcclureLoss": "geman_mcclure",
    "welsch_loss": "welsch",
    "WelschLoss": "welsch",
}


@kornia.call(*ROBUST)
def robust(call: Call) -> Ours:
    """Not reduced unless asked to be."""
    text = use(ROBUST[call.callable], like="kornia", **reduced(call, "none"))
    return Ours(text, call.tensor("img1"), call.tensor("img2"))


# ------------------------------------------------------------------------- distributions over space


@kornia.call("js_div_loss_2d", "kl_div_loss_2d")
def divergence(call: Call) -> Ours:
    """Each channel of each sample is a distribution over its places: they are the classes here."""
    pred, target = (call.tensor(name).flatten(0, 1).flatten(1) for name in ("pred", "target"))
    shape = call.tensor("pred").shape[:2]
    how = reduced(call)
    if call.callable == "js_div_loss_2d":
        text = use("js", "identity", **how)
    else:
        text = use("kl", "exp", pred="log(pred)", **how)
    lay = how["reduction"] == "none"
    return Ours(text, pred, target, laid=lambda v: v.reshape(shape) if lay else v)


# ------------------------------------------------------------------------- regions


def batch_of(pred: Tensor, target: Tensor) -> Tensor:
    """One prediction is compared with every target of a larger batch."""
    return pred.expand(target.shape[0], *pred.shape[1:]) if pred.shape[0] == 1 else pred


def ignored(call: Call) -> dict[str, Any]:
    return {"ignore_index": call.get("ignore_index", -100)}


@kornia.call("DiceLoss", "dice_loss")
def dice(call: Call) -> Ours:
    """`micro` sums over the classes too, `macro` divides by the sum of the weights.

    kornia 0.9 leaves absent classes out of the latter.
    """
    target: Tensor = call.tensor("target")
    pred = batch_of(call.tensor("pred"), target)
    weight = call.get("weight")
    options = ignored(call)
    call.get("eps")
    if call.get("average", "micro") == "macro":
        if weight is not None:
            options |= {"class_weight": weight, "reduction": "wmean"}
        return Ours(use("dice", "softmax", smooth=0, empty="one", **options), pred, target)
    if weight is None:
        return Ours(use("gdl", like="kornia", **options), pred, target)
    if any(w not in (0, 1) for w in weight):
        raise Inexpressible("weights that enter the overlap squared and the sizes once")
    # A class of weight 0 is in no sum.
    along: Any = [[float(w)] for w in weight]
    for _ in range(pred.ndim - 3):
        along = [[w] for w in along]
    text = use("gdl", like="kornia", mask="const.weight", **options)
    return Ours(text, pred, target, const={"weight": [along]})


@kornia.call("TverskyLoss", "tversky_loss")
def tversky(call: Call) -> Ours:
    """Summed over the classes of a softmax, what one misses another takes: FP = FN, and only α + β counts.

    kornia 0.9 takes the classes apart.
    """
    target: Tensor = call.tensor("target")
    if call.get("alpha") + call.get("beta") != 1:
        raise Inexpressible("a tversky over all classes at once with α + β other than 1")
    call.get("eps")
    text = use("gdl", like="kornia", **ignored(call))
    return Ours(text, batch_of(call.tensor("pred"), target), target)


# ------------------------------------------------------------------------- focal


COUNTED = "a mean that counts what is ignored"


@kornia.call("FocalLoss", "focal_loss")
def focal(call: Call) -> Ours:
    """kornia's mean counts what is ignored, and every class of a place."""
    pred, target = call.tensor("pred"), call.tensor("target")
    how = reduced(call, "none")
    options = call.same(alpha="alpha", gamma="gamma") | ignored(call)
    if call.get("weight") is not None:
        options["class_weight"] = call.get("weight")
    if how["reduction"] == "none":
        raise Inexpressible("a value for every class of a place: ours is one for its own class")
    if how["reduction"] == "mean":
        call.refuse_where("target", lambda labels: (labels == options["ignore_index"]).any(), COUNTED)
        return Ours(times(1 / width(pred), use("focal", "softmax", **options)), pred, target)
    return Ours(use("focal", "softmax", **options, **how), pred, target)


@kornia.call("BinaryFocalLossWithLogits", "binary_focal_loss_with_logits")
def binary_focal(call: Call) -> Ours:
    """A soft label counts as much of both labels, each with its own (1 - p)^γ: at γ = 0 that is `bce`."""
    pred, target = call.tensor("pred"), call.tensor("target")
    how, gamma = reduced(call, "none"), call.get("gamma", 2.0)
    options = {"like": "kornia", **call.same(alpha="alpha", gamma="gamma"), **ignored(call)}
    for theirs, ours in (("pos_weight", "pos_weight"), ("weight", "class_weight")):
        if call.get(theirs) is not None:
            options[ours] = list(leaves(call.get(theirs)))
    index = options["ignore_index"]
    if how["reduction"] == "mean" and index is not None:
        call.refuse_where("target", lambda labels: (labels == index).any(), COUNTED)
    if gamma == 0 and options.get("alpha", 0) is None:
        del options["gamma"], options["alpha"], options["like"]
        return Ours(use("bce", "sigmoid", **options, **how), pred, target)
    soft = "a focal of soft labels as a mixture of both labels, element by element"
    call.refuse_where(
        "target", lambda t: ((t != 0) & (t != 1) & (t != (-1 if index is None else index))).any(), soft
    )
    return Ours(use("focal", "sigmoid", **options, **how), pred, target)


# ------------------------------------------------------------------------- images


@kornia.call("ssim3d_loss", "SSIM3DLoss")
def ssim3d(call: Call) -> Ours:
    """1 - ssim, in which this version repeats the last pixel; kornia 0.9.0 mirrors the volume at its border."""
    options = call.same(window="window_size", max_val="max_val") | reduced(call)
    call.get("eps")
    return Ours(
        f"1 - {use('ssim', padding='replicate', **options)}", call.tensor("img1"), call.tensor("img2")
    )


@kornia.call("ssim_loss", "SSIMLoss")
def ssim(call: Call) -> Ours:
    """(1 - ssim) / 2 of every pixel, between 0 and 1."""
    options = call.same(window="window_size", max_val="max_val") | reduced(call)
    call.get("eps")
    return Ours(use("dssim", like="kornia", **options), call.tensor("img1"), call.tensor("img2"))


@kornia.call("MS_SSIMLoss")
def ms_ssim(call: Call) -> Ours:
    raise Inexpressible(
        "the mix of Zhao et al.: 200 (α (1 - ms_ssim of blurred windows) + (1 - α) blurred l1)"
    )
