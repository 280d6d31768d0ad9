"""The same mathematics out of other packages, each called as its documentation says.

Options are set so that all compute one number; what that takes is said where it is not plain.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

import losslang
from bench.work import Form

PACKAGES = ("monai", "segmentation-models-pytorch", "kornia", "torchvision", "hydra-core")


def part_of(name: str) -> ModuleType:
    """A submodule without what the packages around it import.

    smp's losses need torch alone, while the package imports its networks, timm and torchvision; the
    focal loss of torchvision needs none of its compiled operators.
    """
    with _bare(name.rpartition(".")[0]):
        return importlib.import_module(name)


@contextmanager
def _bare(package: str) -> Iterator[None]:
    """Empty modules in the place of a package and its parents, taken away again afterwards."""
    before = set(sys.modules)
    top, *below = package.split(".")
    spec = find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{top} is not installed")
    places, name = list(spec.submodule_search_locations), top
    try:
        for inner in ("", *below):
            if inner:
                name, places = f"{name}.{inner}", [f"{place}/{inner}" for place in places]
            bare = ModuleSpec(name, None, is_package=True)
            bare.submodule_search_locations = places
            sys.modules.setdefault(name, module_from_spec(bare))
        yield
    finally:
        for loaded in set(sys.modules) - before:
            if loaded.partition(".")[0] == top:
                del sys.modules[loaded]


# -------------------------------------------------------------------- MONAI


def monai_bce_dice() -> Form:
    from monai.losses.dice import DiceLoss

    dice = DiceLoss(sigmoid=True, smooth_nr=1, smooth_dr=1)
    return lambda pred, target: 0.5 * F.binary_cross_entropy_with_logits(pred, target) + dice(pred, target)


def monai_ce_dice() -> Form:
    from monai.losses.dice import DiceCELoss

    loss = DiceCELoss(softmax=True, to_onehot_y=True)
    return lambda pred, target: loss(pred, target.unsqueeze(1))


def monai_three() -> Form:
    from monai.losses.dice import DiceLoss
    from monai.losses.focal_loss import FocalLoss
    from monai.losses.tversky import TverskyLoss

    focal, dice, tversky = FocalLoss(), DiceLoss(sigmoid=True), TverskyLoss(sigmoid=True)
    return lambda pred, target: focal(pred, target) + dice(pred, target) + 0.3 * tversky(pred, target)


def monai_focal_and_dice_in_one() -> Form:
    from monai.losses.dice import DiceFocalLoss
    from monai.losses.tversky import TverskyLoss

    both, tversky = DiceFocalLoss(sigmoid=True), TverskyLoss(sigmoid=True)
    return lambda pred, target: both(pred, target) + 0.3 * tversky(pred, target)


def monai_focal() -> Form:
    from monai.losses.focal_loss import FocalLoss

    return FocalLoss()


class Dressed(torch.Tensor):
    """A subclass in the place of MetaTensor, where MONAI is not installed."""


def meta_tensor() -> Callable[[Tensor], Tensor]:
    """Makes of a tensor what every loader of MONAI gives."""
    if find_spec("monai") is None:
        return lambda tensor: tensor.as_subclass(Dressed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.data.meta_tensor import MetaTensor

    return MetaTensor


def of_plain_tensors(program: str) -> Callable[[], Form]:
    """The same loss on the plain tensors below a subclass."""
    loss = losslang.compile(program)
    return lambda: lambda pred, target: loss(pred.as_subclass(torch.Tensor), target.as_subclass(torch.Tensor))


def of_flat_rows(program: str) -> Callable[[], Form]:
    """A loss on the rows of a sequence."""
    loss = losslang.compile(program)
    return lambda: lambda pred, target: loss(pred.flatten(0, -2), target.flatten())


def of_levels(program: str, weights: Sequence[float]) -> Callable[[], Form]:
    """The weighted sum of a loss over several outputs, each a call of its own."""
    loss = losslang.compile(program)

    def form(pred: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        parts = [weight * loss(*level) for weight, *level in zip(weights, pred, target, strict=True)]
        return torch.stack(parts).sum()

    return lambda: form


# -------------------------------------------------------------------- segmentation-models-pytorch
#
# Its overlaps are summed over the batch too: samples laid out as channels are summed each by itself.
# Its smooth is added to an overlap that is not doubled, so for a dice it is half of ours.


def smp_bce_dice() -> Form:
    smp = part_of("segmentation_models_pytorch.losses")
    bce, dice = smp.SoftBCEWithLogitsLoss(), smp.DiceLoss("multilabel", smooth=0.5)
    return lambda pred, target: 0.5 * bce(pred, target) + dice(pred.transpose(0, 1), target.transpose(0, 1))


def smp_ce_dice() -> Form:
    smp = part_of("segmentation_models_pytorch.losses")
    dice = smp.DiceLoss("multiclass", smooth=0.5e-5)
    return lambda pred, target: (
        F.cross_entropy(pred, target)
        + sum(dice(pred[i : i + 1], target[i : i + 1]) for i in range(len(pred))) / len(pred)
    )


def smp_three() -> Form:
    smp = part_of("segmentation_models_pytorch.losses")
    focal, dice = smp.FocalLoss("binary"), smp.DiceLoss("multilabel", smooth=0.5e-5)
    tversky = smp.TverskyLoss("multilabel", smooth=1e-5)

    def form(pred, target):
        p, t = pred.transpose(0, 1), target.transpose(0, 1)
        return focal(pred, target) + dice(p, t) + 0.3 * tversky(p, t)

    return form


def smp_focal() -> Form:
    return part_of("segmentation_models_pytorch.losses").FocalLoss("binary")


# -------------------------------------------------------------------- kornia and torchvision


def kornia_ce_dice() -> Form:
    """Its dice is of images: the last two axes of a volume are laid out as one."""
    from kornia.losses import dice_loss

    return lambda pred, target: (
        F.cross_entropy(pred, target)
        + dice_loss(pred.flatten(3), target.flatten(2), average="macro", eps=1e-5)
    )


def kornia_focal() -> Form:
    from kornia.losses import binary_focal_loss_with_logits

    return lambda pred, target: binary_focal_loss_with_logits(pred, target, alpha=None, reduction="mean")


def torchvision_focal() -> Form:
    sigmoid_focal_loss = part_of("torchvision.ops.focal_loss").sigmoid_focal_loss
    return lambda pred, target: sigmoid_focal_loss(pred, target, alpha=-1, reduction="mean")
