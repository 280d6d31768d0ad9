"""Calls of other libraries whose options mean more together than alone, and the sentences that a program needs."""

from __future__ import annotations

from collections.abc import Mapping

from losslang.syntax import tree

PACKAGES: Mapping[str, str] = {
    "kornia": "kornia",
    "mmdet": "mmdet",
    "mmseg": "mmseg",
    "monai": "monai",
    "nnunetv2": "nnunet",
    "pytorch_toolbelt": "toolbelt",
    "segmentation_models_pytorch": "smp",
    "smp": "smp",
    "timm": "timm",
}
"""By the first name of a path: the name after `like=`, of libraries whose defaults are others than ours."""
OF_MONAI = {
    "include_background",
    "to_onehot_y",
    "use_softmax",
    "squared_pred",
    "jaccard",
    "smooth_nr",
    "smooth_dr",
}
"""Options that MONAI alone has."""
TRUTHS = OF_MONAI - {"smooth_nr", "smooth_dr"} | {
    "batch",
    "batch_dice",
    "do_bg",
    "exclude_bg",
    "sigmoid",
    "softmax",
}
"""Options that are true or false, and may have been written 1 or 0."""
WRITTEN = {"0": False, "1": True, "false": False, "true": True}
"""Truth values that are not written as such."""
SMOOTHINGS = ("smooth_nr", "smooth_dr")
BACKGROUNDS = ("include_background", "do_bg")
PINNED: Mapping[tuple[str, str], str] = {
    ("DiceFocalLoss", "focal"): "sigmoid",
    ("GeneralizedDiceFocalLoss", "focal"): "sigmoid",
}
"""Parts whose activation no option of the class moves: `softmax=True` is that of the dice alone."""
MODE_OF_SMP = "mode"
CHANNEL_0 = (
    "`focal` has no `background`: without channel 0 its number is, of 3 classes, "
    "`3/2*focal(sigmoid, class_weight=[0, 1, 1])`"
)
NO_PRESET = {"SoftTargetCrossEntropy", "CrossEntropyCustomLoss", "FocalCustomLoss", "SSIM3DLoss"}
"""Classes that are not those whose numbers `like=` gives."""


def plain(call: tree.Call, *, has_eps: bool, library: str = "") -> tree.Call:
    """A call with truth values for 0 and 1, and with other libraries' smoothings as `smooth` and `eps`."""
    call = plain_truths(call)
    if is_smoothed_smp(call, library):
        return call.model_copy(update={"options": (*map(_doubled, call.options), *_of_smp())})
    options = [_halved(option) for option in call.options] if is_jaccard(call) else list(call.options)
    return call.model_copy(update={"options": tuple(_smoothed(options, has_eps))})


def plain_truths(call: tree.Call) -> tree.Call:
    """A call with truth values for 0 and 1."""
    return call.model_copy(update={"options": tuple(map(_truth, call.options))})


def is_jaccard(call: tree.Call) -> bool:
    """True if MONAI's dice is a jaccard."""
    return value_in(tuple(map(_truth, call.options)), "jaccard") is True


def _truth(option: tree.Option) -> tree.Option:
    """`include_background=0` and `exclude_bg=True` as `include_background=False`."""
    value = option.value
    if option.name in TRUTHS:
        said = value.value if isinstance(value, (tree.Number, tree.Text)) else None
        truth = None if said is None else WRITTEN.get(str(said).lower())
        value = value if truth is None else tree.Word(value=truth)
    if option.name == "exclude_bg" and isinstance(value, tree.Word) and value.value is not None:
        return tree.Option(name="background", value=tree.Word(value=not value.value), span=option.span)
    return option.model_copy(update={"value": value})


def _of_smp() -> tuple[tree.Option, ...]:
    """What `dice(like=smp)` stands for, which no `smooth` may stand beside."""
    batch = tree.Option(name="batch", value=tree.Word(value=True))
    return batch, tree.Option(name="empty", value=tree.Call(name="zero"))


def is_smoothed_smp(call: tree.Call, library: str) -> bool:
    """True for smp's dice with a smoothing, of which ours is twice."""
    return library == "smp" and call.name == "DiceLoss" and value_in(call.options, "smooth", 0.0) != 0


def _doubled(option: tree.Option) -> tree.Option:
    """smp smooths the overlap once."""
    if option.name == "smooth" and isinstance(option.value, tree.Number):
        return option.model_copy(update={"value": tree.Number(value=2 * option.value.value)})
    return option


def _halved(option: tree.Option) -> tree.Option:
    """MONAI smooths twice the overlap and twice the union."""
    if option.name in SMOOTHINGS and isinstance(option.value, tree.Number):
        return option.model_copy(update={"value": tree.Number(value=option.value.value / 2)})
    return option


def _smoothed(options: list[tree.Option], has_eps: bool) -> list[tree.Option]:
    """`smooth_nr=0, smooth_dr=1e-5` as `smooth=0, eps=1e-5`: what is added below alone is their difference."""
    if not set(SMOOTHINGS) & {option.name for option in options}:
        return options
    above, below = (value_in(options, name, 1e-5) for name in SMOOTHINGS)
    if isinstance(above, bool) or isinstance(below, bool):
        return options
    if not isinstance(above, (int, float)) or not isinstance(below, (int, float)):
        return options
    kept = [option for option in options if option.name not in SMOOTHINGS]
    kept.append(tree.Option(name="smooth", value=tree.Number(value=above)))
    if below > above and has_eps:
        kept.append(tree.Option(name="eps", value=tree.Number(value=float(f"{below - above:.12g}"))))
    return kept


def value_in(options: list[tree.Option] | tuple[tree.Option, ...], name: str, usual: object = None) -> object:
    """The number, text or truth value that an option of this name has; else the usual one."""
    for option in options:
        if option.name == name:
            return (
                option.value.value
                if isinstance(option.value, (tree.Number, tree.Word, tree.Text))
                else option.value
            )
    return usual


def has_both(call: tree.Call) -> bool:
    """True if both smoothings of MONAI are written."""
    return set(SMOOTHINGS) <= {option.name for option in call.options}


def is_without_background(call: tree.Call) -> bool:
    """True if a call leaves out channel 0."""
    return any(value_in(call.options, name) is False for name in (*BACKGROUNDS, "background"))


def pinned(call: tree.Call, loss: str) -> str:
    """The activation that a loss has in this class, whatever the options say; '' if they say it."""
    if call.name == "FocalLoss" and value_in(call.options, MODE_OF_SMP) is not None:
        return "sigmoid"
    return PINNED.get((call.name, loss), "")


def weights_of(call: tree.Call, loss: str) -> tree.Value | None:
    """The class weights of one loss where they are others than the list of the call; None where they are not."""
    given = value_in(call.options, "weight")
    without = is_without_background(call)
    if not isinstance(given, tree.Items) or not without:
        return None
    if call.name == "DiceCELoss" and loss in ("dice", "jaccard"):
        return tree.Items(items=given.items[1:])
    if loss == "focal":
        return tree.Items(items=(tree.Number(value=0), *given.items))
    return None


def ratio_of(call: tree.Call, loss: str) -> tuple[int, int] | None:
    """What makes the mean of a focal loss that of MONAI, where the number of classes is known from a list."""
    given = value_in(call.options, "weight")
    if loss != "focal" or not isinstance(given, tree.Items) or not given.items:
        return None
    if value_in(call.options, "use_softmax") is True:
        return None if is_without_background(call) else (1, len(given.items))
    return (len(given.items) + 1, len(given.items)) if is_without_background(call) else None


def settled(call: tree.Call, library: str) -> set[str]:
    """The losses of which this module says itself how their number is that of the library."""
    found: set[str] = set()
    if value_in(call.options, "use_softmax") is True or is_without_background(call):
        found.add("focal")
    if is_smoothed_smp(call, library):
        found.add("dice")
    if is_jaccard(call) and value_in(call.options, "smooth") is not None:
        found.add("jaccard")
    return found


def cautions(call: tree.Call, losses: set[str], library: str) -> list[str]:
    """What has to be known of a program that is not, or not always, the number of the class."""
    said: list[str] = []
    without, is_softmax = is_without_background(call), value_in(call.options, "use_softmax") is True
    weight = value_in(call.options, "weight")
    is_known = isinstance(weight, tree.Items)
    if "focal" in losses and is_softmax and without:
        said.append("not the same number: MONAI takes its softmax over the channels without the first")
    elif "focal" in losses and is_softmax and not is_known:
        said.append(
            "the library divides by the number of classes too: of 3 classes its number is `focal(softmax)/3`"
        )
    elif "focal" in losses and without and not is_known:
        said.append(CHANNEL_0)
    if (library, call.name) == ("kornia", "DiceLoss"):
        said.append("kornia's average over classes is `dice(softmax, like=kornia)`")
    if call.name == "KLDivLoss" and value_in(call.options, "reduction", "mean") == "mean":
        said.append("torch's batchmean: its mean is, of 3 classes, `kl(exp, reduction=mean)/3`")
    if call.name == "KLDivLoss":
        said.append("of the logits of a student and a teacher it is `kd(temperature=1)`")
    if call.name == "DiceCELoss" and value_in(call.options, "sigmoid") is True:
        said.append(
            "of several channels MONAI's cross entropy is a softmax all the same: `ce + dice(sigmoid)`"
        )
    if call.name == "DiceCELoss" and without and weight is not None and not is_known:
        said.append("`dice` takes the weights without their first entry, since channel 0 is left out")
    below, above = (value_in(call.options, name, 1e-5) for name in ("smooth_dr", "smooth_nr"))
    if isinstance(below, (int, float)) and isinstance(above, (int, float)) and below != above:
        if below < above or "dice" not in losses:
            said.append("not the same number: MONAI adds one number above and another below")
    return said


def library_of(call: tree.Call) -> str:
    """The library of a call whose options one library alone has; '' if there are none."""
    return "monai" if {option.name for option in call.options} & OF_MONAI else ""
