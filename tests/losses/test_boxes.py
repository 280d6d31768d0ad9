"""Losses of boxes: by hand, against textbook formulas, against numbers of other libraries, and where others fail."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from reference import evaluate
from torch import Tensor

import losslang

BOXES = ("iou", "giou", "diou", "ciou", "eiou", "extended_iou", "siou", "bounded_iou")
FORMATS = ("xyxy", "xywh", "cxcywh")


def compiled(text: str) -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        return losslang.compile(text)


def t(*rows: Any) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def written(corners: Tensor, format: str) -> Tensor:
    """Boxes given by their corners, in another format."""
    low, high = corners[..., :2], corners[..., 2:]
    return {
        "xyxy": corners,
        "xywh": torch.cat([low, high - low], -1),
        "cxcywh": torch.cat([(low + high) / 2, high - low], -1),
    }[format]


def some(seed: int, *shape: int) -> Tensor:
    """Boxes of which most overlap those of another seed."""
    r = torch.Generator().manual_seed(seed)
    low, size = torch.rand((2, *shape, 2), generator=r, dtype=torch.float64)
    return torch.cat([3 * low, 3 * low + 2 * size + 0.1], -1)


# -------------------------------------------------------------------- by hand

# IoU 1/2; centres 1 apart, the diagonal of the hull √20; sides 2, 2 and 4, 2.
SQUARE, WIDE = t(0, 0, 2, 2), t(0, 0, 4, 2)
V = (2 / math.pi * (math.atan(2) - math.atan(1))) ** 2
E = 1e-12

BY_HAND: list[tuple[str, Tensor, Tensor, float]] = [
    ("diou", SQUARE, WIDE, 1 / 2 + 1 / 20),
    ("diou", SQUARE, t(2, 0, 4, 2), 1 + 4 / 20),
    ("ciou", SQUARE, WIDE, 1 / 2 + 1 / 20 + V * V / (1 / 2 + V)),
    ("ciou", SQUARE, t(2, 0, 4, 2), 1 + 4 / 20),  # of one slope
    ("eiou", SQUARE, WIDE, 1 / 2 + 1 / 20 + 2**2 / 4**2),
    ("eiou", SQUARE, t(0, 0, 2, 1), 1 / 2 + (1 / 2) ** 2 / 8 + 1**2 / 2**2),
    # e = 1/2, above the smooth point and below it
    ("extended_iou", SQUARE, WIDE, 1 / 2 - 0.1 / 2),
    ("extended_iou(smooth_point=1)", SQUARE, WIDE, 1 / 2 * (1 / 2) ** 2),
    # one apart along x, side by side: a shared area of -1 of 1 + 1 + 1
    ("extended_iou", t(0, 0, 1, 1), t(2, 0, 3, 1), 1 + 1 / 3 - 0.05),
    # apart along both: 2 (1·1 - 2·2) of 1 + 1 + 6
    ("extended_iou", t(0, 0, 1, 1), t(2, 2, 3, 3), 1 + 6 / 8 - 0.05),
    # the diagonal: sin 2α = 1, γ = 1, ρ = 7/8
    ("siou", t(0, 0, 1, 1), t(7, 7, 8, 8), 1 + 1 - math.exp(-((7 / 8) ** 2))),
    # along x: sin 2α = 0, γ = 2, ρ = 7/8
    ("siou", t(0, 0, 1, 1), t(7, 0, 8, 1), 1 + (1 - math.exp(-2 * (7 / 8) ** 2)) / 2),
    # one in the other: ω = 1/2 twice
    ("siou", t(0, 0, 4, 4), t(1, 1, 3, 3), 1 - 1 / 4 + (1 - math.exp(-0.5)) ** 4),
    ("siou(theta=2)", t(0, 0, 4, 4), t(1, 1, 3, 3), 1 - 1 / 4 + (1 - math.exp(-0.5)) ** 2),
    # 1 - 8/12 and 1 - 6/14, both above β; the sizes are right
    (f"bounded_iou(eps={E})", t(0, 0, 10, 10), t(1, 2, 11, 12), (1 / 3 - 0.1 + 4 / 7 - 0.1) / 4),
    # a width of 9 for 10: 1/10, below β, and a centre half off: 1 - 9/11, below β
    (f"bounded_iou(eps={E})", t(0, 0, 9, 9), t(0, 0, 10, 9), (0.1**2 + (2 / 11) ** 2) / (2 * 0.2) / 4),
    (f"bounded_iou(eps={E}, beta=0.1)", t(0, 0, 1, 1), t(5, 0, 6, 1), (1 - 0.05) / 4),  # no overlap at all
]


@pytest.mark.parametrize(("text", "pred", "target", "wanted"), BY_HAND)
def test_by_hand(text: str, pred: Tensor, target: Tensor, wanted: float):
    assert compiled(text)(pred, target).item() == pytest.approx(wanted, abs=2e-7)


# -------------------------------------------------------------------- textbook


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", BOXES)
@pytest.mark.parametrize("options", ["", "eps=0.3", "reduction=none"])
def test_textbook(name: str, format: str, options: str):
    """Value and gradient to 1e-9, of boxes in any arrangement."""
    target = written(some(1, 2, 30), format)
    x, y = (written(some(0, 2, 30), format).requires_grad_() for _ in range(2))
    text = f"{name}({', '.join(filter(None, [f'format={format}', options]))})"
    found, wanted = compiled(text)(x, target), evaluate(text, y, target).total
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
    found.sum().backward()
    wanted.sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-9, atol=1e-12)
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("name", BOXES)
def test_a_format_is_a_way_to_write(name: str):
    pred, target = some(0, 20), some(1, 20)
    wanted = compiled(name)(pred, target)
    for format in FORMATS:
        found = compiled(f"{name}(format={format})")(written(pred, format), written(target, format))
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", BOXES)
def test_one_value_per_box_whatever_the_shape(name: str):
    """A mask of rows leaves boxes out, also where there are four."""
    pred, target = some(0, 3, 4), some(1, 3, 4)
    values = compiled(f"{name}(reduction=none)")(pred, target)
    assert values.shape == (3, 4)
    mask = torch.rand(3, 4, generator=torch.Generator().manual_seed(2)) > 0.5
    found = compiled(f"{name}(mask=batch.m)")(pred, target, m=mask)
    torch.testing.assert_close(found, values[mask].mean(), rtol=1e-12, atol=0)


# -------------------------------------------------------------------- other libraries

A, B = [-1.0, -1, 1, 1], [0.0, 0, 1, 1]
UNIT, ABOVE, BESIDE = [0.0, 0, 1, 1], [0.0, 1, 1, 2], [1.0, 1, 2, 2]
# torchvision, test/test_ops.py at 00673be: TestDistanceBoxIouLoss, TestCompleteBoxIouLoss (literals).
TORCHVISION: list[tuple[str, Any, Any, float]] = [
    ("mean", [A], [A], 0.0),
    ("mean", [A], [B], 0.8125),
    ("mean", [A], [ABOVE], 1.1923),
    ("mean", [A], [BESIDE], 1.25),
    ("mean", [UNIT, UNIT], [ABOVE, BESIDE], 1.225),
    ("sum", [UNIT, UNIT], [ABOVE, BESIDE], 2.45),
]


@pytest.mark.parametrize("name", ["diou", "distance_box_iou_loss", "ciou", "complete_box_iou_loss"])
@pytest.mark.parametrize(("reduction", "pred", "target", "wanted"), TORCHVISION)
def test_torchvision(name: str, reduction: str, pred: Any, target: Any, wanted: float):
    found = compiled(f"{name}(like=torchvision, reduction={reduction})")(t(*pred), t(*target))
    assert found.item() == pytest.approx(wanted, abs=1e-4)


PRED = t([0, 0, 10, 10], [2, 3, 7, 9], [1, 1, 4, 5], [0, 0, 2, 2])
TARGET = t([1, 2, 11, 12], [2, 3, 7, 9], [6, 6, 9, 8], [0.5, 0.5, 1.5, 1])
# mmdet 3.3.0, mmdet/models/losses/iou_loss.py, what its classes give by default for these boxes. Its iou
# and giou have ε as a floor of the denominators and not beside them: ε / area apart.
MMDET: list[tuple[str, list[float], float]] = [
    ("iou", [0.5753641449035618, 0.0, 13.815510557964274, 2.0794415416798357], 1e-6),
    ("giou", [0.4678030303030303, 0.0, 1.6785714285714286, 0.875], 1e-6),
    ("diou", [0.45636792885163335, 3.3333332205565114e-08, 1.3628318551961782, 0.8828125302734298], 1e-12),
    ("extended_iou", [0.3875000043945312, 5.555555179632822e-15, 1.5409090774793393, 0.8250000312499921], 1e-12),
    (
        "bounded_iou",
        [
            (0.23338888425964496 + 0.4714591814870367 + 2 * 2.499500074985281e-08) / 4,
            (3 * 9.996001199689023e-08 + 6.942130208205548e-08) / 4,
            (0.9 + 0.9 + 2.775926851440599e-07 + 0.4001249687578107) / 4,
            (2.495007490011761e-06 + 0.9 + 0.4002498750624688 + 0.6501249375312345) / 4,
        ],
        1e-8,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wanted", "within"), MMDET)
def test_mmdet(name: str, wanted: list[float], within: float):
    # mmdet keeps the four parts of a bounded IoU apart, of which these are the means.
    like = "" if name == "bounded_iou" else "like=mmdet, "
    found = compiled(f"{name}({like}reduction=none)")(PRED, TARGET)
    torch.testing.assert_close(found, t(*wanted), rtol=0, atol=within)


def test_the_mean_of_bounded_iou_is_that_of_mmdet():
    """Which keeps four values a box, and divides by all of them."""
    found = compiled("bounded_iou(like=mmdet)")(PRED, TARGET)
    assert found.item() == pytest.approx(0.30345943802818753, abs=1e-12)


# -------------------------------------------------------------------- where others fail


@pytest.mark.parametrize("name", BOXES)
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_perfect_box_is_finite(name: str, format: str, dtype: torch.dtype):
    """mmdet's ciou gives NaN for (10, 10, 50, 50) against itself, and for boxes without area."""
    boxes = t([10, 10, 50, 50], [3, 4, 3, 4], [1, 1, 5, 1], [1, 1, 1, 5], [0, 0, 0, 0])
    pred = written(boxes, format).to(dtype).requires_grad_()
    values = compiled(f"{name}(format={format}, reduction=none)")(pred, pred.detach())
    assert values[0].item() == pytest.approx(0, abs=1e-6)
    assert values.isfinite().all()
    values.sum().backward()
    assert pred.grad.isfinite().all()


def test_nothing_flows_through_the_weight_of_ciou():
    pred, target = some(0, 50).requires_grad_(), some(1, 50)

    def slope(boxes: Tensor) -> Tensor:
        return torch.atan((boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1]))

    v = 4 / math.pi**2 * (slope(target) - slope(pred)).square()
    alpha = v / (compiled("iou(reduction=none)")(pred, target) + v + 1e-7)
    wanted = compiled("diou(reduction=none)")(pred, target) + alpha.detach() * v
    found = compiled("ciou(reduction=none)")(pred, target)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    (grad,) = torch.autograd.grad(found.sum(), pred)
    torch.testing.assert_close(grad, torch.autograd.grad(wanted.sum(), pred)[0], rtol=1e-9, atol=1e-12)


def test_the_aspect_counts_where_boxes_hardly_overlap():
    """mmdet leaves α v out where IoU <= 1/2: it has 0.8828125 for the last of these boxes."""
    found = compiled("ciou(reduction=none)")(PRED, TARGET)
    v = (2 / math.pi * (math.atan(2) - math.atan(1))) ** 2
    assert found[3].item() == pytest.approx(0.8828125 + v * v / (1 - 0.125 + v), abs=1e-7)


def test_siou_punishes_distance():
    """mmdet's default rewards it: 0.0 for two unit boxes 7 apart, where the paper has 1.5350."""
    unit = t([0, 0, 1, 1])
    found = [compiled("siou")(unit, unit + shift).item() for shift in (0.5, 1, 2, 4, 7)]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(1.5350, abs=1e-4)


def test_a_box_alone_is_a_batch_of_one():
    pred, target = torch.tensor([0.0, 0, 1, 1]), torch.tensor([0.0, 0, 1, 2])
    assert losslang.compile("giou(reduction=batchmean)")(pred, target).item() == pytest.approx(0.5)
