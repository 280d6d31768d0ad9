"""The works of the table: programs, their tensors, and who else computes them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import by_hand, inputs, libraries
from bench.masked import MASKED
from bench.results import FLAT, PARTS, PLAIN
from bench.work import Library, Work

MISSION = "0.5*bce(sigmoid) + dice(smooth=1)"
HALVED = (8 / 15, 4 / 15, 2 / 15, 1 / 15)
PIXELS = ((3, 1, 4, 5), (32, 1, 16, 16), (4, 1, 256, 256), (16, 1, 1024, 1024))


def bce_dice(pred: Tensor, target: Tensor) -> Tensor:
    both, predicted, true = by_hand.sums(pred, target)
    dice = 1 - (2 * both + 1) / (predicted + true + 1)
    return 0.5 * F.binary_cross_entropy_with_logits(pred, target) + dice.mean()


def ce_dice(pred: Tensor, target: Tensor) -> Tensor:
    space = tuple(range(2, pred.ndim))
    probs = F.softmax(pred, 1)
    true = F.one_hot(target, pred.shape[1]).movedim(-1, 1).to(pred.dtype)
    both = (probs * true).sum(space)
    dice = 1 - (2 * both + 1e-5) / (probs.sum(space) + true.sum(space) + 1e-5)
    return F.cross_entropy(pred, target) + dice.mean()


def ce_dice_of_levels(pred: list[Tensor], target: list[Tensor]) -> Tensor:
    levels = zip(HALVED, pred, target, strict=True)
    return torch.stack([weight * ce_dice(logits, labels) for weight, logits, labels in levels]).sum()


def ce_of_sequences(pred: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(pred.flatten(0, -2), target.flatten())


def bce_dice_of_known(pred: Tensor, target: Tensor) -> Tensor:
    known = (target != 255).to(pred.dtype)
    true = target * known
    bce = F.binary_cross_entropy_with_logits(pred, true, known, reduction="sum") / known.sum()
    probs = torch.sigmoid(pred) * known
    both, predicted, labelled = (probs * true).sum((2, 3)), probs.sum((2, 3)), true.sum((2, 3))
    return 0.5 * bce + (1 - (2 * both + 1) / (predicted + labelled + 1)).mean()


def three(pred: Tensor, target: Tensor) -> Tensor:
    """Focal, dice and tversky of one sigmoid, with the sums shared."""
    probs = torch.sigmoid(pred)
    p_true = probs * target + (1 - probs) * (1 - target)
    values = F.binary_cross_entropy_with_logits(pred, target, reduction="none")
    focal = ((1 - p_true) ** 2 * values).mean()
    both, predicted, true = (probs * target).sum((2, 3)), probs.sum((2, 3)), target.sum((2, 3))
    dice = 1 - (2 * both + 1e-5) / (predicted + true + 1e-5)
    mistaken = 0.5 * (predicted - both) + 0.5 * (true - both)
    tversky = 1 - (both + 1e-5) / (both + mistaken + 1e-5)
    return focal + dice.mean() + 0.3 * tversky.mean()


TABLE = (
    Work(
        "bce+dice",
        MISSION,
        inputs.mask,
        bce_dice,
        PIXELS,
        (Library("MONAI", libraries.monai_bce_dice), Library("smp", libraries.smp_bce_dice)),
        note="smp sums overlaps over the batch: the samples are handed to it as channels.",
        compiled=True,
    ),
    Work(
        "ce+dice",
        "ce + dice",
        inputs.labels,
        ce_dice,
        ((2, 3, 4, 5), (8, 4, 16, 16), (2, 14, 21, 21, 21), (2, 14, 96, 96, 96)),
        (
            Library("MONAI", libraries.monai_ce_dice),
            Library("smp", libraries.smp_ce_dice),
            Library("kornia", libraries.kornia_ce_dice),
        ),
        note="smp sums overlaps over the batch: it is called once a sample. kornia leaves out classes that"
        " a sample does not have; here every sample has all.",
        compiled=True,
    ),
    Work(
        "focal+dice+tversky",
        "focal(sigmoid) + dice + 0.3*tversky",
        inputs.mask,
        three,
        PIXELS,
        (
            Library("MONAI", libraries.monai_three),
            Library("MONAI DiceFocal", libraries.monai_focal_and_dice_in_one),
            Library("smp", libraries.smp_three),
        ),
        note="The libraries are the weighted sum of their own losses.",
        compiled=True,
    ),
    Work(
        "focal alone",
        "focal(sigmoid)",
        inputs.mask,
        by_hand.focal,
        (PIXELS[0], (4, 1, 256, 256), (4, 1, 1024, 1024)),
        (
            Library("MONAI", libraries.monai_focal),
            Library("smp", libraries.smp_focal),
            Library("kornia", libraries.kornia_focal),
            Library("torchvision", libraries.torchvision_focal),
        ),
    ),
    Work(
        "bce+dice ignoring a tenth",
        "0.5*bce(sigmoid, ignore_index=255) + dice(smooth=1, ignore_index=255)",
        inputs.void,
        bce_dice_of_known,
        PIXELS,
        note="As unlabelled pixels are: a tenth of the target is 255.",
    ),
    Work(
        "ce ignoring a tenth",
        "ce",
        inputs.padded,
        by_hand.ce,
        ((6, 7), (4096, 64), (8192, 4096)),
        note="As padding is: a tenth of the labels is -100.",
    ),
    *MASKED,
    Work(
        "deep supervision",
        "each(ce + dice, weights=halving(normalize=true))",
        inputs.levels,
        ce_dice_of_levels,
        ((2, 3, 32, 16), (8, 8, 64, 64), (2, 14, 96, 96, 96)),
        (Library(PARTS, libraries.of_levels("ce + dice", HALVED)),),
        note="Four outputs, each half as wide as the one before, with labels of their own, as in nnU-Net.",
    ),
    Work(
        "ce+dice of MetaTensors",
        "ce + dice",
        inputs.metas,
        ce_dice,
        ((2, 3, 4, 5), (2, 14, 96, 96, 96)),
        (Library(PLAIN, libraries.of_plain_tensors("ce + dice")),),
        note="As every loader of MONAI gives them: a subclass of tensors, in Python around every operation.",
    ),
    Work("ce alone", "ce", inputs.labels, by_hand.ce, ((2, 3, 4, 5), (32, 4, 8, 8))),
)

HEAVY = (
    Work(
        "tokens",
        "ce",
        inputs.labels,
        by_hand.ce,
        ((6, 7), (4096, 32768), (4096, 131072)),
        note="Cross-entropy over the vocabulary of a language model.",
        heavy=True,
    ),
    Work(
        "linear",
        "linear_ce(head=const.head)",
        inputs.tokens,
        by_hand.linear_ce,
        ((6, 5, 7), (4096, 512, 32768)),
        note="By hand: nn.Linear, then F.cross_entropy. The gradient is that of the hidden states"
        " and of the head.",
        heavy=True,
    ),
    Work(
        "tokens with classes last",
        "ce(channels=last)",
        inputs.sequences,
        ce_of_sequences,
        ((2, 3, 5), (8, 512, 32000)),
        (Library(FLAT, libraries.of_flat_rows("ce")),),
        note="As a language model gives them: logits (B, T, V). By hand they are flattened to rows.",
        heavy=True,
    ),
)

REGISTRY = tuple(by_hand.BY_HAND.values())
LARGE = (*TABLE[:-1], *HEAVY)
EVERYTHING = (*TABLE, *HEAVY, *REGISTRY)
