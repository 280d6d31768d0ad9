"""Losses of boxes: four numbers along the last axis, (*B, 4); one value per box.

`format` says what the four are: corners `xyxy`, centre and size `cxcywh`, corner and size `xywh`.
ε stands in denominators alone: two identical boxes give ε / area and not 0, and two without area 1.
"""

from __future__ import annotations

import math
from typing import Literal

from losslang.primitives.decorators import loss
from losslang.primitives.presets import Preset
from losslang.tensors.lazy import F, torch
from losslang.tensors.numerics import mean_along, power
from losslang.tensors.options import Option, smooth_l1
from losslang.vocabulary import Dynamic, Float, Positive, Scale, Tensor

Format = Literal["xyxy", "cxcywh", "xywh"]
Corners = tuple[Tensor, Tensor]
"""The lower and the upper corner of boxes, (*B, 2) each."""


@loss(
    aliases=("iou_loss",),
    paper="Yu, Jiang, Wang, Cao, Huang 2016, arXiv:1608.01471",
    activation="identity",
    range=(0, math.inf),
    like={"mmdet": Preset("mode=log, eps=1e-6", ranks=(2,), takes="mode reduction")},
)
def iou(
    boxes: Float[Tensor, "*b 4"],
    target: Float[Tensor, "*b 4"],
    *,
    mode: Literal["linear", "log", "square"] = "linear",
    format: Format = "xyxy",
    eps: Dynamic[Positive] = 1e-7,
) -> Float[Tensor, "*b"]:
    """1 - IoU; `mode=log` is -log IoU (not below log ε), `mode=square` is 1 - IoU²."""
    ratio = _iou(_corners(boxes, format), _corners(target, format), eps)
    if mode == "log":
        return -ratio.clamp(min=eps).log()
    return 1 - (ratio if mode == "linear" else ratio.square())


@loss(
    aliases=("giou_loss", "generalized_iou", "generalized_box_iou_loss"),
    paper="Rezatofighi et al. 2019, arXiv:1902.09630",
    activation="identity",
    range=(0, 2),
    like={
        "torchvision": Preset(takes="reduction"),
        "fvcore": Preset(takes="reduction"),
        "monai": Preset("eps=1.1920929e-7", ranks=(2,), takes="reduction"),
        "mmdet": Preset("eps=1e-6", ranks=(2, 3), takes="reduction"),
    },
)
def giou(
    boxes: Float[Tensor, "*b 4"],
    target: Float[Tensor, "*b 4"],
    *,
    format: Format = "xyxy",
    eps: Dynamic[Positive] = 1e-7,
) -> Float[Tensor, "*b"]:
    """1 - IoU + (hull - union) / hull, hull the area of the smallest box around both."""
    a, b = _corners(boxes, format), _corners(target, format)
    shared, union = _areas(a, b)
    hull = _area(_hull(a, b))
    return 1 - shared / (union + eps) + (hull - union) / (hull + eps)


@loss(
    aliases=("diou_loss", "distance_iou", "distance_box_iou_loss"),
    paper="Zheng, Wang, Liu, Li, Ye, Ren 2020, arXiv:1911.08287",
    activation="identity",
    range=(0, 2),
    like={
        "torchvision": Preset(takes="reduction"),
        "detectron2": Preset(takes="reduction"),
        "mmdet": Preset("eps=1e-6", ranks=(2,), takes="reduction"),
    },
)
def diou(
    boxes: Float[Tensor, "*b 4"],
    target: Float[Tensor, "*b 4"],
    *,
    format: Format = "xyxy",
    eps: Dynamic[Positive] = 1e-7,
) -> Float[Tensor, "*b"]:
    """1 - IoU + d² / c², d between the centres, c the diagonal of the smallest box around both."""
    a, b = _corners(boxes, format), _corners(target, format)
    return 1 - _iou(a, b, eps) + _apart(a, b, eps)


@loss(
    aliases=("ciou_loss", "complete_iou", "complete_box_iou_loss"),
    paper="Zheng, Wang, Ren, Liu, Ye, Hu, Zuo 2020, arXiv:2005.03572",
    activation="identity",
    range=(0, 2.5),
    like={"torchvision": Preset(takes="reduction"), "detectron2": Preset(takes="reduction")},
)
def ciou(
    boxes: Float[Tensor, "*b 4"],
    target: Float[Tensor, "*b 4"],
    *,
    format: Format = "xyxy",
    eps: Dynamic[Positive] = 1e-7,
) -> Float[Tensor, "*b"]:
    """diou + α v, v = (2/π (atan w/h - atan w'/h'))², α = v / (1 - IoU + v), no gradient through α.

    ε is in α too: where it is not, as in mmdet, a prediction that equals its target gives NaN. mmdet
    also drops α v where IoU <= 1/2: of (0, 0, 2, 2) and (0.5, 0.5, 1.5, 1) it makes 0.8828, this 0.8847.
    """
    a, b = _corners(boxes, format), _corners(target, format)
    ratio = _iou(a, b, eps)
    v = (2 / math.pi * (_slope(b) - _slope(a))).square()
    alpha = (v / (1 - ratio + v + eps)).detach()
    return 1 - ratio + _apart(a, b, eps) + alpha * v


@loss(
    aliases=("efficient_iou",),
    paper="Zhang, Ren, Zhang, Jia, Wang, Tan 2021, arXiv:2101.08158",
    activation="identity",
    range=(0, 4),
)
def eiou(
    boxes: Float[Tensor, "*b 4"],
    target: Float[Tensor, "*b 4"],
    *,
    format: Format = "xyxy",
    eps: Dynamic[Positive] = 1e-7,
) -> Float[Tensor, "*b"]:
    """diou + (w - w')² / W² + (h - h')² / H², W and H the sides of the smallest box around both.

    mmdet's eiou_loss is another loss: `extended_iou`.
    """
    a, b = _corners(boxes, format), _corners(target, format)
    sides = (_size(a) - _size(b)).square() / (_hull(a, b).square() + eps)
    return 1 - _iou(a, b, eps) + _apart(a, b, eps) + sides.sum(-1)


@loss(
    paper="Peng, Yu 2021, A Systematic IoU-Related Method",
    activation="identity",
    range=(0, 2),
    like={"mmdet": Preset("eps=1e-6", ranks=(2,), takes="reduction")},
)
def extended_iou(
    boxes: Float[Tensor, "*b 4"],
    target: Float[Tensor, "*b 4"],
    *,
    smooth_point: Dynamic[Positive] = 0.1,
    format: Format = "xyxy",
    eps: Dynamic[Positive] = 1e-7,
) -> Float[Tensor, "*b"]:
    """e²/2s where e < s, e - s/2 elsewhere, e = 1 - IoU whose intersection is below 0 for boxes apart.

    mmdet calls it eiou_loss.
    """
    (low, high), (b_low, b_high) = _corners(boxes, format), _corners(target, format)
    corner = torch.minimum(low, b_low)
    sizes = _area(high - low) + _area(b_high - b_low)
    # From the corner of the smallest box around both: where the shared box begins and ends, in this order or not.
    begin, end = torch.maximum(low, b_low) - corner, torch.minimum(high, b_high) - corner
    near = torch.minimum(begin, end)
    far = begin + end - near
    shared = _area(end) + _area(near) - begin[..., 0] * far[..., 1] - far[..., 0] * begin[..., 1]
    reached = shared / (sizes - shared + eps)
    return smooth_l1(reached, torch.ones_like(reached), smooth_point)


@loss(
    aliases=("siou_loss",),
    paper="Gevorgyan 2022, arXiv:2205.12740",
    activation="identity",
    range=(0, 2.1),
)
def siou(
    boxes: Float[Tensor, "*b 4"],
    target: Float[Tensor, "*b 4"],
    *,
    theta: Dynamic[Positive] = 4.0,
    format: Format = "xyxy",
    eps: Dynamic[Scale] = 1e-7,
) -> Float[Tensor, "*b"]:
    """1 - IoU + (Σ (1 - exp(-γ ρ²)) + Σ (1 - exp(-ω))^θ) / 2, sums over x and y.

    ρ = distance of the centres / side of the smallest box around both; γ = 2 - sin 2α, α the angle of the
    line between the centres; ω = |w - w'| / max(w, w'). mmdet has the paper's sign of γ only with
    `neg_gamma=True`: by default distance is rewarded, and (0, 0, 1, 1) beside (7, 7, 8, 8) costs 0 there
    and 1.5350 here.
    """
    a, b = _corners(boxes, format), _corners(target, format)
    between, size, other = _between(a, b), _size(a), _size(b)
    angle = 2 * _area(between).abs() / (between.square().sum(-1) + eps * eps)
    near = torch.exp((angle.unsqueeze(-1) - 2) * (between / (_hull(a, b) + eps)).square())
    alike = torch.exp(-(size - other).abs() / (torch.maximum(size, other) + eps))
    cost = (1 - near + power(1 - alike, theta)).sum(-1)
    return 1 - _iou(a, b, eps) + cost / 2


@loss(
    aliases=("bounded_iou_loss",),
    paper="Tychsen-Smith, Petersson 2018, arXiv:1711.00164",
    activation="identity",
    range=(0, 1),
    like={
        "mmdet": Preset(
            ranks=(2,),
            refuses={
                "reduction=sum": "mmdet adds up x, y, w and h, of which this is the mean",
                "reduction=none": "mmdet keeps x, y, w and h apart",
            },
            takes="reduction",
        ),
    },
)
def bounded_iou(
    boxes: Float[Tensor, "*b 4"],
    target: Float[Tensor, "*b 4"],
    *,
    beta: Dynamic[Positive] = 0.2,
    format: Format = "xyxy",
    eps: Dynamic[Scale] = 1e-3,
) -> Float[Tensor, "*b"]:
    """The mean over x, y, w, h of smooth_l1 with β of 1 - the largest IoU that a box so far off can have.

    That IoU is (w' - 2|dx|) / (w' + 2|dx|), not below 0, and min(w/w', w'/w). mmdet keeps the four
    apart: the mean over boxes is the same, its sum four times this one.
    """
    missed = _missed(boxes, target, format, eps)
    return mean_along(smooth_l1(missed, torch.zeros_like(missed), beta), -1)


@bounded_iou.kernel("identity")
def bounded_iou_of_boxes(
    boxes: Float[Tensor, "*b 4"],
    target: Float[Tensor, "*b 4"],
    *,
    beta: float,
    format: Format,
    eps: float,
    reduction: str = "none",
) -> Float[Tensor, "*b"]:
    """`bounded_iou` with a `reduction`: a mean is taken over boxes and their four numbers at once."""
    if reduction == "mean":
        missed = _missed(boxes, target, format, eps)
        return F.smooth_l1_loss(missed, torch.zeros_like(missed), beta=beta)
    values = bounded_iou.function(boxes, target, beta=beta, format=format, eps=eps)
    return values.sum() if reduction == "sum" else values


def _missed(boxes: Tensor, target: Tensor, format: Format, eps: Option) -> Tensor:
    """What the largest IoU for each of the four, as far off as they are, lacks of 1."""
    a, b = _corners(boxes, format), _corners(target, format)
    size, true = _size(a), _size(b)
    # Between their centres, twice: corner by corner, since far from the origin sums of corners are rounded.
    off = ((b[0] - a[0]) + (b[1] - a[1])).abs()
    place = ((2 * off + eps) / (true + off + eps)).clamp(max=1)
    more = size - true
    extent = torch.maximum((more + eps) / (size + eps), (eps - more) / (true + eps))
    return torch.cat([place, extent], -1)


def _areas(a: Corners, b: Corners) -> tuple[Tensor, Tensor]:
    """Of the intersection and of the union."""
    shared = _area((torch.minimum(a[1], b[1]) - torch.maximum(a[0], b[0])).clamp(min=0))
    return shared, _area(_size(a)) + _area(_size(b)) - shared


def _iou(a: Corners, b: Corners, eps: Option) -> Tensor:
    shared, union = _areas(a, b)
    return shared / (union + eps)


def _hull(a: Corners, b: Corners) -> Tensor:
    """The sides of the smallest box around both."""
    return torch.maximum(a[1], b[1]) - torch.minimum(a[0], b[0])


def _between(a: Corners, b: Corners) -> Tensor:
    """From the centre of one to that of the other, along x and y: by differences, far from the origin too."""
    return ((b[0] - a[0]) + (b[1] - a[1])) / 2


def _apart(a: Corners, b: Corners, eps: Option) -> Tensor:
    """The squared distance of the centres, in squared diagonals of the smallest box around both."""
    return _between(a, b).square().sum(-1) / (_hull(a, b).square().sum(-1) + eps)


def _size(box: Corners) -> Tensor:
    return box[1] - box[0]


def _slope(box: Corners) -> Tensor:
    """atan w/h. A box without size gets 0, and a gradient that is a number."""
    width, height = _size(box).unbind(-1)
    return torch.atan2(width, torch.where((width == 0) & (height == 0), 1.0, height))


def _area(size: Tensor) -> Tensor:
    return size[..., 0] * size[..., 1]


def _corners(boxes: Tensor, format: Format) -> Corners:
    first, second = boxes.chunk(2, -1)
    match format:
        case "xyxy":
            return first, second
        case "xywh":
            return first, first + second
        case "cxcywh":
            return first - second / 2, first + second / 2
