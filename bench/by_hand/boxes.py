"""By hand: boxes, at 1 MB of prediction."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import inputs
from bench.by_hand import BOXES, by_hand, overlap


def hull(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Width and height of the smallest box around both."""
    low, high = torch.min(pred[:, :2], target[:, :2]), torch.max(pred[:, 2:], target[:, 2:])
    return (high - low).unbind(1)


def centres(box: Tensor) -> Tensor:
    return (box[:, :2] + box[:, 2:]) / 2


def sizes(box: Tensor) -> tuple[Tensor, Tensor]:
    return (box[:, 2:] - box[:, :2]).unbind(1)


def ratio(pred: Tensor, target: Tensor) -> Tensor:
    shared, union = overlap(pred, target)
    return shared / (union + 1e-7)


def distance(pred: Tensor, target: Tensor) -> Tensor:
    """The squared distance of the centres over the squared diagonal."""
    w, h = hull(pred, target)
    return ((centres(pred) - centres(target)) ** 2).sum(1) / (w**2 + h**2 + 1e-7)


@by_hand(inputs.boxes, BOXES)
def diou(pred: Tensor, target: Tensor) -> Tensor:
    return (1 - ratio(pred, target) + distance(pred, target)).mean()


@by_hand(inputs.boxes, BOXES)
def ciou(pred: Tensor, target: Tensor) -> Tensor:
    (w, h), (w2, h2), iou = sizes(pred), sizes(target), ratio(pred, target)
    v = 4 / math.pi**2 * (torch.atan(w2 / h2) - torch.atan(w / h)) ** 2
    with torch.no_grad():
        alpha = v / (1 - iou + v + 1e-7)
    return (1 - iou + distance(pred, target) + alpha * v).mean()


@by_hand(inputs.boxes, BOXES)
def eiou(pred: Tensor, target: Tensor) -> Tensor:
    (w, h), (w2, h2), (hull_w, hull_h) = sizes(pred), sizes(target), hull(pred, target)
    sides = (w - w2) ** 2 / (hull_w**2 + 1e-7) + (h - h2) ** 2 / (hull_h**2 + 1e-7)
    return (1 - ratio(pred, target) + distance(pred, target) + sides).mean()


@by_hand(inputs.boxes, BOXES)
def extended_iou(pred: Tensor, target: Tensor) -> Tensor:
    x, y = torch.min(pred[:, 0], target[:, 0]), torch.min(pred[:, 1], target[:, 1])
    x1, y1 = torch.max(pred[:, 0], target[:, 0]) - x, torch.max(pred[:, 1], target[:, 1]) - y
    x2, y2 = torch.min(pred[:, 2], target[:, 2]) - x, torch.min(pred[:, 3], target[:, 3]) - y
    shared = x2 * y2 + torch.min(x1, x2) * torch.min(y1, y2) - x1 * torch.max(y1, y2) - torch.max(x1, x2) * y1
    (w, h), (w2, h2) = sizes(pred), sizes(target)
    error = 1 - shared / (w * h + w2 * h2 - shared + 1e-7)
    return torch.where(error < 0.1, 5 * error**2, error - 0.05).mean()


@by_hand(inputs.boxes, BOXES)
def siou(pred: Tensor, target: Tensor) -> Tensor:
    (w, h), (w2, h2), (hull_w, hull_h) = sizes(pred), sizes(target), hull(pred, target)
    dx, dy = (centres(target) - centres(pred)).unbind(1)
    # 2 - cos(2 asin s - π/2), as the authors write it, has no derivative at s = 1; this is the same number.
    gamma = 2 - 2 * (dx * dy).abs() / (dx**2 + dy**2 + 1e-14)
    place = 2 - torch.exp(-gamma * (dx / hull_w) ** 2) - torch.exp(-gamma * (dy / hull_h) ** 2)
    wide, high = (w - w2).abs() / torch.max(w, w2), (h - h2).abs() / torch.max(h, h2)
    shape = (1 - torch.exp(-wide)) ** 4 + (1 - torch.exp(-high)) ** 4
    return (1 - ratio(pred, target) + (place + shape) / 2).mean()


@by_hand(inputs.boxes, BOXES)
def bounded_iou(pred: Tensor, target: Tensor) -> Tensor:
    (w, h), (w2, h2) = sizes(pred), sizes(target)
    dx, dy = (centres(target) - centres(pred)).abs().unbind(1)
    errors = [1 - F.relu((side - 2 * gap) / (side + 2 * gap + 1e-3)) for gap, side in ((dx, w2), (dy, h2))]
    errors += [1 - torch.min(side / (s + 1e-3), s / (side + 1e-3)) for s, side in ((w, w2), (h, h2))]
    every = torch.stack(errors, 1)
    return F.smooth_l1_loss(every, torch.zeros_like(every), beta=0.2)
