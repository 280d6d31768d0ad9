"""Masked programs: their rows, their forms by hand with `where`, and careless ones that multiply by the mask.

A careless form takes NaN from masked elements: it is what many projects write, and needs fewer operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import inputs
from bench.work import Call, Form, Library, Shape, Work

CARELESS = "careless"
"""The name of the side that multiplies by the mask."""
WEIGHTS = (1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 1.0, 0.7)
PIXELS = ((2, 1, 4, 5), (4, 1, 32, 32), (4, 1, 128, 128), (4, 1, 512, 512))
CHANNELS = ((2, 3, 4, 5), (4, 4, 128, 128), (4, 4, 256, 256))
CLASSES = ((2, 8, 4, 5), (4, 8, 16, 16), (4, 8, 64, 64), (4, 8, 256, 256))


def _masked(make: Callable[[Shape], Call], *, of: str) -> Callable[[Shape], Call]:
    """Tensors with a mask, of three tenths nothing: of all elements, of one channel or of the places."""

    def made(shape: Shape) -> Call:
        call = make(shape)
        places = shape[:1] + shape[2:]
        laid = {"elements": shape, "one channel": (shape[0], 1, *shape[2:]), "places": places}[of]
        return Call(call.pred, call.target, batch={"m": torch.rand(laid) > 0.3})

    return made


def _share(values: Tensor, m: Tensor) -> Tensor:
    """The mean of values that are 0 where they are masked."""
    return values.sum() / (m.sum() * (values.numel() // m.numel()))


def mse(pred: Tensor, target: Tensor, m: Tensor) -> Tensor:
    return _share(torch.where(m, pred - target, 0.0).square(), m)


def careless_mse(pred: Tensor, target: Tensor, m: Tensor) -> Tensor:
    return _share((pred - target) ** 2 * m, m)


def bce(pred: Tensor, target: Tensor, m: Tensor) -> Tensor:
    values = F.binary_cross_entropy_with_logits(torch.where(m, pred, 0.0), target, reduction="none")
    return _share(torch.where(m, values, 0.0), m)


def careless_bce(pred: Tensor, target: Tensor, m: Tensor) -> Tensor:
    return _share(F.binary_cross_entropy_with_logits(pred, target, reduction="none") * m, m)


def focal(pred: Tensor, target: Tensor, m: Tensor) -> Tensor:
    return _share(torch.where(m, _focal(torch.where(m, pred, 0.0), target), 0.0), m)


def careless_focal(pred: Tensor, target: Tensor, m: Tensor) -> Tensor:
    return _share(_focal(pred, target) * m, m)


def _focal(pred: Tensor, target: Tensor) -> Tensor:
    probs = torch.sigmoid(pred)
    p_true = probs * target + (1 - probs) * (1 - target)
    return (1 - p_true) ** 2 * F.binary_cross_entropy_with_logits(pred, target, reduction="none")


def ce(pred: Tensor, target: Tensor, m: Tensor) -> Tensor:
    return F.cross_entropy(pred, torch.where(m, target, -100))


def careless_ce(pred: Tensor, target: Tensor, m: Tensor) -> Tensor:
    return _share(F.cross_entropy(pred, target, reduction="none") * m, m)


def dice(pred: Tensor, target: Tensor, m: Tensor) -> Tensor:
    shown = m.unsqueeze(1)
    probs = torch.where(shown, F.softmax(torch.where(shown, pred, 0.0), 1), 0.0)
    return _dice(probs, torch.where(shown, _one_hot(pred, target), 0.0), 1e-5)


def careless_dice(pred: Tensor, target: Tensor, m: Tensor) -> Tensor:
    shown = m.unsqueeze(1)
    return _dice(F.softmax(pred, 1) * shown, _one_hot(pred, target) * shown, 1e-5)


def _one_hot(pred: Tensor, target: Tensor) -> Tensor:
    return F.one_hot(target, pred.shape[1]).movedim(-1, 1).to(pred.dtype)


def _dice(probs: Tensor, true: Tensor, smooth: float) -> Tensor:
    both, predicted, labelled = (probs * true).sum((2, 3)), probs.sum((2, 3)), true.sum((2, 3))
    return (1 - (2 * both + smooth) / (predicted + labelled + smooth)).mean()


def bce_dice(pred: Tensor, target: Tensor, m: Tensor) -> Tensor:
    true = torch.where(m, target, 0.0)
    probs = torch.where(m, torch.sigmoid(torch.where(m, pred, 0.0)), 0.0)
    return 0.5 * bce(pred, true, m) + _dice(probs, true, 1.0)


def careless_bce_dice(pred: Tensor, target: Tensor, m: Tensor) -> Tensor:
    return 0.5 * careless_bce(pred, target, m) + _dice(torch.sigmoid(pred) * m, target * m, 1.0)


def ce_dice(pred: Tensor, target: Tensor, m: Tensor) -> Tensor:
    return ce(pred, target, m) + dice(pred, target, m)


def careless_ce_dice(pred: Tensor, target: Tensor, m: Tensor) -> Tensor:
    return careless_ce(pred, target, m) + careless_dice(pred, target, m)


def weighted_ce(pred: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(pred, target, weight=torch.tensor(WEIGHTS))


def focal_of_classes(pred: Tensor, target: Tensor) -> Tensor:
    values = F.cross_entropy(pred, target, reduction="none")
    return ((1 - torch.exp(-values)) ** 2 * values).mean()


def hardest_ce(pred: Tensor, target: Tensor) -> Tensor:
    """The values above -log 0.7, at least 100,000 of them, as mmsegmentation takes them."""
    values = F.cross_entropy(pred, target, reduction="none").flatten()
    least, hard = min(100_000, values.numel()), values[values > -math.log(0.7)]
    return hard.mean() if hard.numel() >= least else values.topk(least).values.mean()


def _work(
    program: str,
    make: Callable[[Shape], Call],
    form: Form,
    shapes: tuple[Shape, ...],
    careless: Form | None = None,
    name: str = "",
) -> Work:
    others = () if careless is None else (Library(CARELESS, lambda: careless),)
    return Work(name or program, program, make, form, shapes, others)


_PIXELS = _masked(inputs.mask, of="elements")
_PLACES = _masked(inputs.labels, of="places")

MASKED = (
    _work("mse(mask=batch.m)", _masked(inputs.like, of="elements"), mse, PIXELS, careless_mse),
    _work(
        "mse(mask=batch.m)",
        _masked(inputs.like, of="one channel"),
        mse,
        CHANNELS,
        careless_mse,
        "mse(mask=batch.m), a mask of one channel",
    ),
    _work("bce(sigmoid, mask=batch.m)", _PIXELS, bce, PIXELS, careless_bce),
    _work("focal(sigmoid, mask=batch.m)", _PIXELS, focal, PIXELS, careless_focal),
    _work(
        "0.5*bce(sigmoid, mask=batch.m) + dice(smooth=1, mask=batch.m)",
        _PIXELS,
        bce_dice,
        PIXELS,
        careless_bce_dice,
    ),
    _work("ce(mask=batch.m)", _PLACES, ce, CLASSES, careless_ce),
    _work("dice(softmax, mask=batch.m)", _PLACES, dice, CLASSES, careless_dice),
    _work("ce(mask=batch.m) + dice(mask=batch.m)", _PLACES, ce_dice, CLASSES, careless_ce_dice),
    _work(f"ce(class_weight={list(WEIGHTS)})", inputs.labels, weighted_ce, CLASSES),
    _work("focal(softmax)", inputs.labels, focal_of_classes, CLASSES),
    _work("ce(reduction=ohem)", inputs.labels, hardest_ce, CLASSES),
)
"""Programs with masks, class weights and hard examples. By hand each is safe from NaN where it is masked."""
