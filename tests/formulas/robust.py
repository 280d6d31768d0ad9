"""Textbook formulas of the oracle: robust losses and forecasts. Nothing shared, fused or stabilised; float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from reference import FORMS, textbook
from torch import Tensor

FORMS["relmse"] = ("like", "number")
FORMS["silog"] = ("like", "sample")


@textbook
def barron(v: Any, t: Tensor, mask: Tensor, *, alpha: float, c: float, **_: Any):
    x = ((v.values - t) / c) ** 2
    match alpha:
        case 2:
            return x / 2
        case 0:
            return torch.log(x / 2 + 1)
        case 1e18:
            return torch.exp(x / 2) - 1
        case -1e18:
            return 1 - torch.exp(-x / 2)
        case _:
            a = abs(alpha - 2)
            return a / alpha * ((x / a + 1) ** (alpha / 2) - 1)


@textbook
def pseudo_huber(v: Any, t: Tensor, mask: Tensor, *, delta: float, **_: Any):
    return delta**2 * (torch.sqrt(1 + ((v.values - t) / delta) ** 2) - 1)


@textbook
def cauchy(v: Any, t: Tensor, mask: Tensor, *, c: float, **_: Any):
    return torch.log(1 + ((v.values - t) / c) ** 2 / 2)


@textbook
def geman_mcclure(v: Any, t: Tensor, mask: Tensor, *, c: float, **_: Any):
    x = ((v.values - t) / c) ** 2
    return 2 * x / (x + 4)


@textbook
def welsch(v: Any, t: Tensor, mask: Tensor, *, c: float, **_: Any):
    return 1 - torch.exp(-(((v.values - t) / c) ** 2) / 2)


@textbook
def balanced_l1(v: Any, t: Tensor, mask: Tensor, *, alpha: float, gamma: float, beta: float, **_: Any):
    """The paper's at β = 1; of errors in units of β, times β, as smooth_l1 has it."""
    d = (v.values - t).abs() / beta
    b = math.exp(gamma / alpha) - 1
    inside = alpha / b * (b * d + 1) * torch.log(b * d + 1) - alpha * d
    joined = alpha / b * (b + 1) * math.log(b + 1) - alpha - gamma
    return beta * torch.where(d < 1, inside, gamma * d + joined)


@textbook
def wing(v: Any, t: Tensor, mask: Tensor, *, w: float, epsilon: float, **_: Any):
    d = (v.values - t).abs()
    return torch.where(d < w, w * torch.log(1 + d / epsilon), d - (w - w * math.log(1 + w / epsilon)))


@textbook
def huber_quantile(v: Any, t: Tensor, mask: Tensor, *, q: Any, delta: float, **_: Any):
    q = torch.tensor(q, dtype=torch.float64)
    d = t - v.values
    huber = torch.where(d.abs() <= delta, d**2 / 2, delta * (d.abs() - delta / 2))
    return torch.where(d >= 0, q * huber, (1 - q) * huber)


@textbook
def epsilon_insensitive(v: Any, t: Tensor, mask: Tensor, *, epsilon: float, **_: Any):
    d = (v.values - t).abs() - epsilon
    return torch.where(d > 0, d, torch.zeros_like(d))


@textbook
def squared_epsilon_insensitive(v: Any, t: Tensor, mask: Tensor, *, epsilon: float, **_: Any):
    return epsilon_insensitive(v, t, mask, epsilon=epsilon) ** 2


@textbook
def mape(v: Any, t: Tensor, mask: Tensor, *, eps: float, **_: Any):
    size = torch.where(t.abs() > eps, t.abs(), torch.full_like(t, eps))
    return torch.where(
        size == 0, torch.zeros_like(t), (v.values - t).abs() / torch.where(size == 0, 1.0, size)
    )


@textbook
def smape(v: Any, t: Tensor, mask: Tensor, *, eps: float, **_: Any):
    size = v.values.abs() + t.abs()
    return 2 * (v.values - t).abs() / torch.where(size > eps, size, torch.full_like(t, eps))


@textbook
def msle(v: Any, t: Tensor, mask: Tensor, **_: Any):
    p = torch.where(v.values > 0, v.values, torch.zeros_like(t))
    return (torch.log(1 + p) - torch.log(1 + torch.where(t > 0, t, torch.zeros_like(t)))) ** 2


@textbook
def mase(v: Any, t: Tensor, mask: Tensor, *, extra: dict[str, Tensor], seasonality: int, **_: Any):
    values: list[Tensor] = []
    for e, h in zip((v.values - t).abs(), extra["history"].double(), strict=True):
        steps = [(h[i] - h[i - seasonality]).abs() for i in range(seasonality, len(h))]
        naive = torch.stack(steps).mean()
        values.append(e / naive if naive > 0 else 0 * e)
    return torch.stack(values) if values else 0 * (v.values - t)


@textbook
def relmse(v: Any, t: Tensor, mask: Tensor, *, extra: dict[str, Tensor], **_: Any):
    ours, theirs = ((v.values - t) ** 2 * mask).sum(), ((t - extra["baseline"]) ** 2 * mask).sum()
    return ours / theirs if theirs > 0 else 0 * ours


@textbook
def silog(v: Any, t: Tensor, mask: Tensor, *, lam: float, eps: float, **_: Any) -> Any:
    """And which samples count: those with a target."""
    values = [0 * v.values.sum()] * len(t)
    counts = torch.zeros(len(t), dtype=torch.bool)
    for i, (p, y, m) in enumerate(zip(v.values, t, mask, strict=True)):
        seen = m & (y > eps)
        if seen.any():
            d = torch.log(torch.where(p > eps, p, torch.full_like(p, eps))[seen]) - torch.log(y[seen])
            inside = (d**2).mean() - lam * d.mean() ** 2
            values[i], counts[i] = torch.sqrt(inside) if inside > 0 else 0 * inside, True
    return (torch.stack(values) if values else v.values.flatten(1).sum(1)), counts


# -------------------------------------------------------------------- data that these losses take

Call = tuple[Tensor, Tensor, dict[str, Any]]


def _positive(r: torch.Generator) -> Call:
    """Depths, a few of them unknown: (B, 1, H, W)."""
    pred = torch.rand(3, 1, 4, 5, generator=r, dtype=torch.float64) + 0.2
    target = torch.rand(3, 1, 4, 5, generator=r, dtype=torch.float64) + 0.2
    return pred, torch.where(target < 0.3, 0.0, target), {}


def _series(r: torch.Generator) -> Call:
    """A forecast of six steps behind a history of nine."""
    made = torch.randn(4, 21, generator=r, dtype=torch.float64)
    return made[:, :6], made[:, 6:12], {"history": made[:, 12:]}


def _amounts(r: torch.Generator) -> Call:
    """Numbers above 0."""
    made = torch.rand(2, 3, 4, 2, 3, generator=r, dtype=torch.float64) + 0.1
    return made[0], made[1], {}


DATA: dict[str, Callable[[torch.Generator], Call]] = {
    "silog": _positive,
    "mase": _series,
    "mape": _amounts,
    "smape": _amounts,
    "msle": _amounts,
}
OTHER: dict[tuple[str, str], list[str]] = {
    ("barron", "alpha"): ["2", "0", "-2", "1e18", "-1e18", "1.5"],
    ("huber_quantile", "q"): ["0.9"],
    ("huber_quantile", "delta"): ["0.5"],
    ("wing", "w"): ["1"],
    ("balanced_l1", "beta"): ["0.5", "2"],
    ("mape", "eps"): ["0.5"],
    ("smape", "eps"): ["1"],
    ("mase", "seasonality"): ["2"],
    ("silog", "lam"): ["0", "1"],
    ("silog", "eps"): ["0.5"],
}
