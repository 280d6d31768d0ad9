"""By hand: robust losses and forecasts, at 1 MB of prediction."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import inputs
from bench.by_hand import PIXELS, PLAIN, ROWS, by_hand
from bench.work import Call, Shape


def amounts(shape: Shape) -> Call:
    """Two numbers above 0."""
    return Call(torch.rand(shape) + 0.1, torch.rand(shape) + 0.1)


def series(shape: Shape) -> Call:
    """A forecast, and as many steps before it."""
    return Call(torch.randn(shape), torch.randn(shape), batch={"history": torch.randn(shape)})


def beside_a_baseline(shape: Shape) -> Call:
    return Call(torch.randn(shape), torch.randn(shape), batch={"baseline": torch.randn(shape)})


@by_hand(inputs.like, PLAIN, "barron(alpha=0.5)")
def barron(pred: Tensor, target: Tensor) -> Tensor:
    return (3 * (((pred - target) ** 2 / 1.5 + 1) ** 0.25 - 1)).mean()


@by_hand(inputs.like, PLAIN)
def pseudo_huber(pred: Tensor, target: Tensor) -> Tensor:
    return (torch.sqrt((pred - target) ** 2 + 1) - 1).mean()


@by_hand(inputs.like, PLAIN)
def cauchy(pred: Tensor, target: Tensor) -> Tensor:
    return torch.log1p(0.5 * (pred - target) ** 2).mean()


@by_hand(inputs.like, PLAIN)
def geman_mcclure(pred: Tensor, target: Tensor) -> Tensor:
    square = (pred - target) ** 2
    return (2 * square / (square + 4)).mean()


@by_hand(inputs.like, PLAIN)
def welsch(pred: Tensor, target: Tensor) -> Tensor:
    return (1 - torch.exp(-0.5 * (pred - target) ** 2)).mean()


@by_hand(inputs.like, PLAIN)
def balanced_l1(pred: Tensor, target: Tensor) -> Tensor:
    error, b = (pred - target).abs(), math.exp(3) - 1
    inside = 0.5 / b * (b * error + 1) * torch.log(b * error + 1) - 0.5 * error
    return torch.where(error < 1, inside, 1.5 * error + 1.5 / b - 0.5).mean()


@by_hand(inputs.like, PLAIN)
def wing(pred: Tensor, target: Tensor) -> Tensor:
    error = (pred - target).abs()
    return torch.where(error < 10, 10 * torch.log1p(error / 2), error - 10 + 10 * math.log(6)).mean()


@by_hand(inputs.like, PLAIN, "huber_quantile(q=0.9)")
def huber_quantile(pred: Tensor, target: Tensor) -> Tensor:
    weight = torch.where(target >= pred, 0.9, 0.1)
    return (weight * F.huber_loss(pred, target, reduction="none")).mean()


@by_hand(inputs.like, PLAIN)
def epsilon_insensitive(pred: Tensor, target: Tensor) -> Tensor:
    return F.relu((pred - target).abs() - 0.1).mean()


@by_hand(inputs.like, PLAIN)
def squared_epsilon_insensitive(pred: Tensor, target: Tensor) -> Tensor:
    return F.relu((pred - target).abs() - 0.1).square().mean()


@by_hand(amounts, PLAIN)
def mape(pred: Tensor, target: Tensor) -> Tensor:
    return ((pred - target).abs() / target.abs().clamp(min=1e-7)).mean()


@by_hand(amounts, PLAIN)
def smape(pred: Tensor, target: Tensor) -> Tensor:
    return (2 * (pred - target).abs() / (pred.abs() + target.abs() + 1e-8)).mean()


@by_hand(amounts, PLAIN)
def msle(pred: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(torch.log1p(pred), torch.log1p(target))


@by_hand(series, ROWS, "mase(history=batch.history)")
def mase(pred: Tensor, target: Tensor, history: Tensor) -> Tensor:
    naive = (history[:, 1:] - history[:, :-1]).abs().mean(1, keepdim=True)
    return ((pred - target).abs() / naive).mean()


@by_hand(beside_a_baseline, PLAIN, "relmse(baseline=batch.baseline)")
def relmse(pred: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    return F.mse_loss(pred, target) / F.mse_loss(baseline, target)


@by_hand(amounts, PIXELS)
def silog(pred: Tensor, target: Tensor) -> Tensor:
    d = (torch.log(pred) - torch.log(target)).flatten(1)
    return torch.sqrt((d**2).mean(1) - 0.5 * d.mean(1) ** 2).mean()
