"""Textbook formulas of the oracle: boxes. Nothing shared, fused or stabilised; float64."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from reference import FORMS, textbook
from torch import Tensor

for _name in ("diou", "ciou", "eiou", "extended_iou", "siou", "bounded_iou"):
    FORMS[_name] = ("like", "row")

OTHER: dict[tuple[str, str], list[str]] = {
    **{
        (name, "format"): ["xywh", "cxcywh"]
        for name in ("diou", "ciou", "eiou", "extended_iou", "siou", "bounded_iou")
    },
    ("extended_iou", "smooth_point"): ["0.9"],
}


class _Sides(NamedTuple):
    """The sides of two boxes and of what is around both, and the way between their centres."""

    w: Tensor
    h: Tensor
    w2: Tensor
    h2: Tensor
    hull_w: Tensor
    hull_h: Tensor
    dx: Tensor
    dy: Tensor


def _ends(b: Tensor, format: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    i, j, k, n = b.unbind(-1)
    if format == "xyxy":
        return i, k, j, n
    if format == "xywh":
        return i, i + k, j, j + n
    return i - k / 2, i + k / 2, j - n / 2, j + n / 2


def _sides(a: Tensor, b: Tensor, format: str) -> _Sides:
    l, r, u, d = _ends(a, format)  # noqa: E741
    l2, r2, u2, d2 = _ends(b, format)
    hull = torch.maximum(r, r2) - torch.minimum(l, l2), torch.maximum(d, d2) - torch.minimum(u, u2)
    dx, dy = (l2 + r2) / 2 - (l + r) / 2, (u2 + d2) / 2 - (u + d) / 2
    return _Sides(r - l, d - u, r2 - l2, d2 - u2, *hull, dx, dy)


def _iou(a: Tensor, b: Tensor, format: str, eps: float) -> Tensor:
    l, r, u, d = _ends(a, format)  # noqa: E741
    l2, r2, u2, d2 = _ends(b, format)
    w = torch.relu(torch.minimum(r, r2) - torch.maximum(l, l2))
    h = torch.relu(torch.minimum(d, d2) - torch.maximum(u, u2))
    return w * h / ((r - l) * (d - u) + (r2 - l2) * (d2 - u2) - w * h + eps)


@textbook
def diou(v: Any, t: Tensor, mask: Tensor, *, format: str, eps: float, **_: Any):
    s = _sides(v.values, t, format)
    penalty = (s.dx**2 + s.dy**2) / (s.hull_w**2 + s.hull_h**2 + eps)
    return 1 - _iou(v.values, t, format, eps) + penalty


@textbook
def ciou(v: Any, t: Tensor, mask: Tensor, *, format: str, eps: float, **_: Any):
    s, iou = _sides(v.values, t, format), _iou(v.values, t, format, eps)
    sized = (s.w != 0) | (s.h != 0), (s.w2 != 0) | (s.h2 != 0)
    mine = torch.atan(s.w / torch.where(sized[0], s.h, torch.ones_like(s.h)))
    true = torch.atan(s.w2 / torch.where(sized[1], s.h2, torch.ones_like(s.h2)))
    ratio = 4 / math.pi**2 * (true - mine) ** 2
    alpha = ratio / (1 - iou + ratio + eps)
    return diou(v, t, mask, format=format, eps=eps) + alpha.detach() * ratio


@textbook
def eiou(v: Any, t: Tensor, mask: Tensor, *, format: str, eps: float, **_: Any):
    s = _sides(v.values, t, format)
    widths = (s.w - s.w2) ** 2 / (s.hull_w**2 + eps)
    heights = (s.h - s.h2) ** 2 / (s.hull_h**2 + eps)
    return diou(v, t, mask, format=format, eps=eps) + widths + heights


@textbook
def extended_iou(v: Any, t: Tensor, mask: Tensor, *, format: str, smooth_point: float, eps: float, **_: Any):
    l, r, u, d = _ends(v.values, format)  # noqa: E741
    l2, r2, u2, d2 = _ends(t, format)
    left, top = torch.minimum(l, l2), torch.minimum(u, u2)
    x1, x2 = torch.maximum(l, l2), torch.minimum(r, r2)
    y1, y2 = torch.maximum(u, u2), torch.minimum(d, d2)
    # Apart along an axis: what lies between, a negative area, is counted from the corner of the hull.
    w, h = x2 - x1, y2 - y1
    apart_x, apart_y = w < 0, h < 0
    along_x = w * ((y2 - top) + (y1 - top))
    along_y = h * ((x2 - left) + (x1 - left))
    both = 2 * ((x2 - left) * (y2 - top) - (x1 - left) * (y1 - top))
    shared = torch.where(
        apart_x & apart_y, both, torch.where(apart_x, along_x, torch.where(apart_y, along_y, w * h))
    )
    e = 1 - shared / ((r - l) * (d - u) + (r2 - l2) * (d2 - u2) - shared + eps)
    return torch.where(e < smooth_point, e**2 / (2 * smooth_point), e - smooth_point / 2)


@textbook
def siou(v: Any, t: Tensor, mask: Tensor, *, format: str, theta: float, eps: float, **_: Any):
    s = _sides(v.values, t, format)
    # sin 2α from the two legs of the line between the centres; ε² keeps it a number where there is no line.
    angle = 2 * s.dx.abs() * s.dy.abs() / (s.dx**2 + s.dy**2 + eps**2)
    cost = torch.zeros_like(s.dx)
    for gap, hull in ((s.dx, s.hull_w), (s.dy, s.hull_h)):
        cost = cost + 1 - torch.exp(-(2 - angle) * (gap / (hull + eps)) ** 2)
    for a, b in ((s.w, s.w2), (s.h, s.h2)):
        cost = cost + (1 - torch.exp(-(a - b).abs() / (torch.maximum(a, b) + eps))) ** theta
    return 1 - _iou(v.values, t, format, eps) + cost / 2


@textbook
def bounded_iou(v: Any, t: Tensor, mask: Tensor, *, format: str, beta: float, eps: float, **_: Any):
    s = _sides(v.values, t, format)
    bounds: list[Tensor] = []
    for gap, side in ((s.dx, s.w2), (s.dy, s.h2)):
        bounds.append(torch.relu((side - 2 * gap.abs()) / (side + 2 * gap.abs() + eps)))
    for mine, side in ((s.w, s.w2), (s.h, s.h2)):
        bounds.append(torch.minimum(side / (mine + eps), mine / (side + eps)))
    total = torch.zeros_like(s.dx)
    for bound in bounds:
        e = 1 - bound
        total = total + torch.where(e < beta, e**2 / (2 * beta), e - beta / 2)
    return total / 4
