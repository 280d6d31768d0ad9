"""Losses of boxes: four numbers along the last axis, (*B, 4); one value per box.

`format` says what the four are: corners `xyxy`, centre and size `cxcywh`, corner and size `xywh`.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from losslang.decorators import loss
from losslang.lazy import torch
from losslang.vocabulary import Float, Positive, Tensor

Format = Literal["xyxy", "cxcywh", "xywh"]


class Overlap(NamedTuple):
    """Areas of the intersection, of the union and of the smallest box around both."""

    intersection: Tensor
    union: Tensor
    hull: Tensor


@loss(
    aliases=("iou_loss",),
    paper="Yu, Jiang, Wang, Cao, Huang 2016, arXiv:1608.01471",
    activation="identity",
    range=(0, math.inf),
)
def iou(
    boxes: Float[Tensor, "*b 4"],
    target: Float[Tensor, "*b 4"],
    *,
    mode: Literal["linear", "log", "square"] = "linear",
    format: Format = "xyxy",
    eps: Positive = 1e-7,
) -> Float[Tensor, "*b"]:
    """1 - IoU; `mode=log` is -log IoU (not below log ε), `mode=square` is 1 - IoU²."""
    areas = _overlap(boxes, target, format)
    ratio = areas.intersection / (areas.union + eps)
    if mode == "log":
        return -ratio.clamp(min=eps).log()
    return 1 - (ratio if mode == "linear" else ratio.square())


@loss(
    aliases=("giou_loss", "generalized_box_iou_loss"),
    paper="Rezatofighi et al. 2019, arXiv:1902.09630",
    activation="identity",
    range=(0, 2),
)
def giou(
    boxes: Float[Tensor, "*b 4"],
    target: Float[Tensor, "*b 4"],
    *,
    format: Format = "xyxy",
    eps: Positive = 1e-7,
) -> Float[Tensor, "*b"]:
    """1 - IoU + (hull - union) / hull, hull the smallest box around both.

    ε stands in the denominators alone, so two identical boxes without area give 1.
    """
    areas = _overlap(boxes, target, format)
    return 1 - areas.intersection / (areas.union + eps) + (areas.hull - areas.union) / (areas.hull + eps)


def _overlap(a: Tensor, b: Tensor, format: Format) -> Overlap:
    (a_low, a_high), (b_low, b_high) = _corners(a, format), _corners(b, format)
    shared = (torch.minimum(a_high, b_high) - torch.maximum(a_low, b_low)).clamp(min=0)
    intersection = _area(shared)
    union = _area(a_high - a_low) + _area(b_high - b_low) - intersection
    return Overlap(intersection, union, _area(torch.maximum(a_high, b_high) - torch.minimum(a_low, b_low)))


def _area(size: Tensor) -> Tensor:
    return size[..., 0] * size[..., 1]


def _corners(boxes: Tensor, format: Format) -> tuple[Tensor, Tensor]:
    first, second = boxes[..., :2], boxes[..., 2:]
    match format:
        case "xyxy":
            return first, second
        case "xywh":
            return first, first + second
        case "cxcywh":
            return first - second / 2, first + second / 2
