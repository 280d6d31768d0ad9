"""The rows of the sweep: what is trained with, plain, with masks, with labels to ignore and with class weights."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import by_hand, inputs, works
from bench.work import Call, Form, Shape, Work

CHANNELS = 16
LABELS = 255
"""The label to ignore of the rows that have one; a tenth of the places does."""


@dataclass(frozen=True)
class Row:
    """A program at every size. `work.shapes` has the tiny one alone, which the tests compute."""

    family: str
    variant: str
    work: Work
    shape: Callable[[int], Shape]
    most: int = 2**26
    """Elements of the largest prediction."""

    @property
    def name(self) -> str:
        return f"{self.family}, {self.variant}"


# -------------------------------------------------------------------- shapes and tensors


def pixels(elements: int) -> Shape:
    """Eight images of one channel."""
    side = max(1, round(sqrt(elements / 8)))
    return 8, 1, side, side


def classes(elements: int) -> Shape:
    """Two images of logits of sixteen classes."""
    side = max(1, round(sqrt(elements / 2 / CHANNELS)))
    return 2, CHANNELS, side, side


def plain(elements: int) -> Shape:
    return max(1, round(elements / 64)), 64


@lru_cache(maxsize=1)
def latest(make: Callable[[Shape], Call], shape: Shape) -> Call:
    """The tensors of a kind of row, kept until another kind or size is asked for: large ones take a second."""
    return make(shape)


def _masked(make: Callable[[Shape], Call]) -> Callable[[Shape], Call]:
    """Nine tenths of the places count."""

    def masked(shape: Shape) -> Call:
        call = latest(make, shape)
        return replace(call, batch={"valid": torch.rand(call.target.shape) > 0.1})

    return masked


def _ignoring(make: Callable[[Shape], Call]) -> Callable[[Shape], Call]:
    def ignoring(shape: Shape) -> Call:
        call = latest(make, shape)
        return replace(call, target=call.target.masked_fill(torch.rand(call.target.shape) < 0.1, LABELS))

    return ignoring


# -------------------------------------------------------------------- by hand, with masks


def _known(form: Form) -> Form:
    """A form of a mask, of the labels that are not to be ignored."""
    return lambda pred, target: form(pred, target, target != LABELS)


def _regions(pred: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Prediction and target without what does not count, and Σ p t, Σ p and Σ t of what does."""
    pred, target = torch.where(valid, pred, 0), torch.where(valid, target, 0)
    probs = torch.where(valid, torch.sigmoid(pred), 0)
    return pred, target, (probs * target).sum((2, 3)), probs.sum((2, 3)), target.sum((2, 3))


def bce_dice(pred: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    pred, target, both, predicted, true = _regions(pred, target, valid)
    weight, count = valid.to(pred.dtype), valid.sum()
    bce = F.binary_cross_entropy_with_logits(pred, target, weight, reduction="sum") / count
    return 0.5 * bce + (1 - (2 * both + 1) / (predicted + true + 1)).mean()


def bce_dice_weighted(pred: Tensor, target: Tensor) -> Tensor:
    both, predicted, true = by_hand.sums(pred, target)
    bce = F.binary_cross_entropy_with_logits(pred, target, pos_weight=_weights(pred)[-1])
    return 0.5 * bce + (1 - (2 * both + 1) / (predicted + true + 1)).mean()


def three(pred: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    pred, target, both, predicted, true = _regions(pred, target, valid)
    probs = torch.sigmoid(pred)
    p_true = probs * target + (1 - probs) * (1 - target)
    values = F.binary_cross_entropy_with_logits(pred, target, reduction="none")
    focal = torch.where(valid, (1 - p_true) ** 2 * values, 0).sum() / valid.sum()
    dice = 1 - (2 * both + 1e-5) / (predicted + true + 1e-5)
    mistaken = 0.5 * (predicted - both) + 0.5 * (true - both)
    tversky = 1 - (both + 1e-5) / (both + mistaken + 1e-5)
    return focal + dice.mean() + 0.3 * tversky.mean()


def mse(pred: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    difference = torch.where(valid, pred - target, 0)
    return difference.square().sum() / valid.sum()


def ce(pred: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    return F.cross_entropy(pred, torch.where(valid, target, -100))


def ce_ignoring(pred: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(pred, target, ignore_index=LABELS)


def ce_weighted(pred: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(pred, target, _weights(pred))


def _dice(pred: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    probs = F.softmax(pred, 1)
    if valid is not None:
        probs, target = torch.where(valid.unsqueeze(1), probs, 0), torch.where(valid, target, 0)
    true = F.one_hot(target, pred.shape[1]).movedim(-1, 1).to(pred.dtype)
    if valid is not None:
        true = true * valid.unsqueeze(1)
    both, sizes = (probs * true).sum((2, 3)), probs.sum((2, 3)) + true.sum((2, 3))
    return (1 - (2 * both + 1e-5) / (sizes + 1e-5)).mean()


def ce_dice(pred: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    return ce(pred, target, valid) + _dice(pred, target, valid)


def ce_dice_weighted(pred: Tensor, target: Tensor) -> Tensor:
    return ce_weighted(pred, target) + _dice(pred, target, None)


WEIGHTS = [round(0.5 + 0.1 * i, 1) for i in range(CHANNELS)]
_KEPT: dict[torch.dtype, Tensor] = {}


def _weights(pred: Tensor) -> Tensor:
    """One a class, made once, as a buffer of a module is."""
    if pred.dtype not in _KEPT:
        _KEPT[pred.dtype] = torch.tensor(WEIGHTS, dtype=pred.dtype)
    return _KEPT[pred.dtype]


# -------------------------------------------------------------------- rows

PLAIN, MASK, IGNORED, WEIGHTED = "plain", "mask", "ignored", "weights"
VALID = "mask=batch.valid"
_THREE = "focal(sigmoid{}) + dice{} + 0.3*tversky{}"
_TINY = {pixels: (2, 1, 4, 5), classes: (2, CHANNELS, 4, 5), plain: (4, 5)}


def _row(
    family: str,
    variant: str,
    program: str,
    make: Callable[[Shape], Call],
    form: Form,
    shape: Callable[[int], Shape],
    most: int = 2**26,
) -> Row:
    work = Work(f"{family}, {variant}", program, make, form, (_TINY[shape],))
    return Row(family, variant, work, shape, most)


def _three(option: str) -> str:
    return _THREE.format(f", {option}", f"({option})", f"({option})")


def _written() -> list[Row]:
    mask, labels, like = (partial(latest, make) for make in (inputs.mask, inputs.labels, inputs.like))
    shaded, hidden = _masked(inputs.mask), _masked(inputs.labels)
    void, unknown = _ignoring(inputs.mask), _ignoring(inputs.labels)
    both = "0.5*bce(sigmoid, {0}) + dice(smooth=1, {0})"
    ignore, weight = f"ignore_index={LABELS}", f"class_weight={WEIGHTS}"
    return [
        _row("bce+dice", PLAIN, works.MISSION, mask, works.bce_dice, pixels),
        _row("bce+dice", MASK, both.format(VALID), shaded, bce_dice, pixels),
        _row("bce+dice", IGNORED, both.format(ignore), void, _known(bce_dice), pixels),
        _row(
            "bce+dice",
            WEIGHTED,
            f"0.5*bce(sigmoid, pos_weight={WEIGHTS[-1]}) + dice(smooth=1)",
            mask,
            bce_dice_weighted,
            pixels,
        ),
        _row("focal+dice+tversky", PLAIN, _THREE.format("", "", ""), mask, works.three, pixels),
        _row("focal+dice+tversky", MASK, _three(VALID), shaded, three, pixels),
        _row("focal+dice+tversky", IGNORED, _three(ignore), void, _known(three), pixels),
        _row("ce+dice", PLAIN, "ce + dice", labels, works.ce_dice, classes),
        _row("ce+dice", MASK, f"ce({VALID}) + dice({VALID})", hidden, ce_dice, classes),
        _row("ce+dice", IGNORED, f"ce({ignore}) + dice", unknown, _known(ce_dice), classes),
        _row("ce+dice", WEIGHTED, f"ce({weight}) + dice", labels, ce_dice_weighted, classes),
        _row("ce", PLAIN, "ce", labels, by_hand.ce, classes),
        _row("ce", MASK, f"ce({VALID})", hidden, ce, classes),
        _row("ce", IGNORED, f"ce({ignore})", unknown, ce_ignoring, classes),
        _row("ce", WEIGHTED, f"ce({weight})", labels, ce_weighted, classes),
        _row("mse", PLAIN, "mse", like, by_hand.mse, plain),
        _row("mse", MASK, f"mse({VALID})", _masked(inputs.like), mse, plain),
    ]


RANDOM, SEED, LONGEST = "random", 20, 3
OTHER = {"cldice", "hausdorff_dt", "hausdorff_er", "lovasz_hinge", "lovasz_softmax"}
"""Losses that sort, erode or measure distances: that is their time, however they are written."""
KINDS = ((inputs.mask, pixels), (inputs.labels, classes), (inputs.like, plain))


def drawn(number: int = 10, seed: int = SEED) -> list[Row]:
    """Weighted sums of up to three losses that read the same tensors, by hand the sum of their forms."""
    chance, rows = random.Random(seed), list[Row]()
    pools: list[list[Work]] = [
        [
            work
            for work in works.REGISTRY
            if work.inputs is make and len(work.tiny) == len(_TINY[shape]) and work.name not in OTHER
            if work.program.partition("(")[0] == work.name and not work.metric
        ]
        for make, shape in KINDS
    ]
    for which in range(number):
        kind = which * len(KINDS) // number
        (make, shape), pool = KINDS[kind], pools[kind]
        chosen = chance.sample(pool, chance.randint(2, LONGEST))
        weights = [round(chance.uniform(0.1, 2), 2) for _ in chosen]
        text = " + ".join(f"{w}*{work.program}" for w, work in zip(weights, chosen, strict=True))
        forms = [work.by_hand for work in chosen]
        summed = _weighted(weights, forms)
        rows.append(_row(RANDOM, text, text, partial(latest, make), summed, shape, 2**23))
    return rows


def _weighted(weights: list[float], forms: list[Form]) -> Form:
    def total(pred: Tensor, target: Tensor) -> Tensor:
        parts = [w * form(pred, target) for w, form in zip(weights, forms, strict=True)]
        return torch.stack(parts).sum()

    return total


ROWS = (*_written(), *drawn())
