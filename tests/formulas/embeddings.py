"""Textbook formulas: losses of embeddings, row by row and pair by pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from reference import FORMS, textbook
from torch import Tensor

Data = tuple[Tensor, Any, dict[str, Any]]

FORMS |= {
    "cosine_embedding": ("like", "row"),
    "hinge_embedding": ("signs", "element"),
    "contrastive": ("like", "row"),
    "infonce": ("like", "row"),
    "mnrl": ("like", "row"),
    "npairs": ("like", "row"),
    "supcon": ("rows", "row"),
    "circle": ("rows", "row"),
    "multi_similarity": ("rows", "row"),
    "barlow_twins": ("like", "number"),
    "vicreg": ("like", "number"),
}


def _length(x: Tensor) -> Tensor:
    """The length of a vector; its derivative at 0 is 0."""
    square = (x * x).sum()
    return torch.sqrt(square) if square > 0 else 0 * square


def _cosine(x: Tensor, y: Tensor) -> Tensor:
    """0 where either has no length."""
    lengths = _length(x) * _length(y)
    return (x * y).sum() / lengths if lengths > 0 else 0 * (x * y).sum()


def _counting(mask: Tensor) -> list[int]:
    """The rows that count."""
    return [i for i in range(len(mask)) if mask[i].any()]


def _rows(values: dict[int, Tensor], x: Tensor) -> Tensor:
    """One value per row; 0 where there is none."""
    none = 0 * x.sum()
    return torch.stack([values.get(i, none) for i in range(len(x))]) if len(x) else x.sum(-1)


# -------------------------------------------------------------------- two at a time


@textbook
def cosine_embedding(v: Any, t: Tensor, mask: Tensor, *, extra: dict[str, Tensor], margin: float, **_: Any):
    pairs = zip(v.values.reshape(-1, t.shape[-1]), t.reshape(-1, t.shape[-1]), strict=True)
    found = [_cosine(x, y) for x, y in pairs]
    cos = torch.stack(found).reshape(t.shape[:-1]) if found else t.sum(-1)
    apart = torch.where(cos > margin, cos - margin, torch.zeros_like(cos))
    return torch.where(extra["sign"] > 0, 1 - cos, apart)


@textbook
def margin_ranking(v: Any, t: Tensor, mask: Tensor, *, extra: dict[str, Tensor], margin: float, **_: Any):
    missing = margin - extra["sign"] * (v.values - t)
    return torch.where(missing > 0, missing, torch.zeros_like(missing))


@textbook
def hinge_embedding(v: Any, t: Tensor, mask: Tensor, *, margin: float, **_: Any):
    x = v.values
    return torch.where(t > 0, x, torch.where(x < margin, margin - x, torch.zeros_like(x)))


@textbook
def contrastive(v: Any, t: Tensor, mask: Tensor, *, extra: dict[str, Tensor], margin: float, **_: Any):
    square = ((v.values - t) ** 2).sum(-1)
    zero = square == 0
    d = torch.where(
        zero, torch.zeros_like(square), torch.sqrt(torch.where(zero, torch.ones_like(square), square))
    )
    apart = torch.where(d < margin, margin - d, torch.zeros_like(d))
    return torch.where(extra["sign"] > 0, square, apart**2) / 2


# -------------------------------------------------------------------- a row against all others


@textbook
def infonce(v: Any, t: Tensor, mask: Tensor, *, temperature: float, **_: Any):
    rows, x = _counting(mask), v.values
    views = {(i, 0): x[i] for i in rows} | {(i, 1): t[i] for i in rows}
    values: dict[int, Tensor] = {}
    for i in rows:
        both = []
        for anchor, positive in (((i, 0), (i, 1)), ((i, 1), (i, 0))):
            e = {z: torch.exp(_cosine(views[anchor], views[z]) / temperature) for z in views if z != anchor}
            both.append(-torch.log(e[positive] / torch.stack(list(e.values())).sum()))
        values[i] = (both[0] + both[1]) / 2
    return _rows(values, x)


def _ranked(score: Callable[[int, int], Tensor], rows: list[int]) -> dict[int, Tensor]:
    """-log of the share of a row's own score among all."""
    found = {}
    for i in rows:
        e = {j: torch.exp(score(i, j)) for j in rows}
        found[i] = -torch.log(e[i] / torch.stack(list(e.values())).sum())
    return found


@textbook
def mnrl(v: Any, t: Tensor, mask: Tensor, *, scale: float, symmetric: bool, **_: Any):
    rows, x = _counting(mask), v.values
    values = _ranked(lambda i, j: scale * _cosine(x[i], t[j]), rows)
    if symmetric:
        others = _ranked(lambda i, j: scale * _cosine(x[j], t[i]), rows)
        values = {i: (values[i] + others[i]) / 2 for i in rows}
    return _rows(values, x)


@textbook
def npairs(v: Any, t: Tensor, mask: Tensor, **_: Any):
    x = v.values
    return _rows(_ranked(lambda i, j: (x[i] * t[j]).sum(), _counting(mask)), x)


def _classes(t: Tensor, mask: Tensor, i: int) -> tuple[list[int], list[int]]:
    """The other rows of the same class, and those of another."""
    others = [j for j in _counting(mask) if j != i]
    return [j for j in others if t[j, 0] == t[i, 0]], [j for j in others if t[j, 0] != t[i, 0]]


@textbook
def supcon(v: Any, t: Tensor, mask: Tensor, *, temperature: float, **_: Any):
    values, x = {}, v.values
    for i in _counting(mask):
        same, different = _classes(t, mask, i)
        if same:
            e = {j: torch.exp(_cosine(x[i], x[j]) / temperature) for j in (*same, *different)}
            whole = torch.stack(list(e.values())).sum()
            values[i] = sum(-torch.log(e[p] / whole) for p in same) / len(same)
    return _rows(values, x), torch.tensor([i in values for i in range(len(x))])


@textbook
def circle(v: Any, t: Tensor, mask: Tensor, *, margin: float, gamma: float, **_: Any):
    values, x = {}, v.values
    for i in _counting(mask):
        same, different = _classes(t, mask, i)
        if same and different:
            products = []
            for p in same:
                for n in different:
                    s_p, s_n = _cosine(x[i], x[p]), _cosine(x[i], x[n])
                    a_p, a_n = (1 + margin - s_p.detach()).clamp(min=0), (s_n.detach() + margin).clamp(min=0)
                    products.append(gamma * (a_n * (s_n - margin) - a_p * (s_p - (1 - margin))))
            exponents = torch.stack(products)
            top = exponents.max().detach().clamp(min=0)
            values[i] = top + torch.log(torch.exp(-top) + torch.exp(exponents - top).sum())
    return _rows(values, x), torch.tensor([i in values for i in range(len(x))])


@textbook
def multi_similarity(v: Any, t: Tensor, mask: Tensor, *, alpha: float, beta: float, base: float, **_: Any):
    values, x = {}, v.values
    for i in _counting(mask):
        same, different = _classes(t, mask, i)
        near = sum((torch.exp(-alpha * (_cosine(x[i], x[p]) - base)) for p in same), 1 + 0 * x.sum())
        far = sum((torch.exp(beta * (_cosine(x[i], x[n]) - base)) for n in different), 1 + 0 * x.sum())
        values[i] = torch.log(near) / alpha + torch.log(far) / beta
    return _rows(values, x)


# -------------------------------------------------------------------- statistics of the batch


@textbook
def barlow_twins(v: Any, t: Tensor, mask: Tensor, *, offdiag: float, unbiased: bool, eps: float, **_: Any):
    rows = _counting(mask)
    if not rows:
        return 0 * v.values.sum()
    a, b = v.values[rows], t[rows]
    spread = [x.var(0, correction=int(unbiased)) if len(rows) > 1 else 0 * x[0] for x in (a, b)]
    value = 0 * a.sum()
    for i in range(a.shape[1]):
        for j in range(a.shape[1]):
            x, y = a[:, i] - a[:, i].mean(), b[:, j] - b[:, j].mean()
            c = (x * y).mean() / torch.sqrt((spread[0][i] + eps) * (spread[1][j] + eps))
            value = value + ((1 - c) ** 2 if i == j else offdiag * c**2)
    return value


@textbook
def vicreg(
    v: Any,
    t: Tensor,
    mask: Tensor,
    *,
    invariance: float,
    variance: float,
    covariance: float,
    eps: float,
    **_: Any,
):
    rows = _counting(mask)
    if not rows:
        return 0 * v.values.sum()
    a, b = v.values[rows], t[rows]
    width = a.shape[1]
    value = invariance * ((a - b) ** 2).mean()
    for x in (a, b):
        cov = torch.cov(x.T).reshape(width, width) if len(rows) > 1 else torch.zeros(width, width).double()
        for i in range(width):
            missing = 1 - torch.sqrt(cov[i, i] + eps)
            value = value + variance * missing.clamp(min=0) / (2 * width)
            for j in range(width):
                value = value + covariance * (cov[i, j] ** 2 if i != j else 0.0) / width
    return value


# -------------------------------------------------------------------- what the laws are tried on


def _real(r: torch.Generator, *size: int) -> Tensor:
    return torch.randn(size, generator=r, dtype=torch.float64)


def _views(r: torch.Generator) -> Data:
    """Two views of five rows."""
    x = _real(r, 5, 4)
    return x, x + 0.5 * _real(r, 5, 4), {}


def _classed(r: torch.Generator) -> Data:
    """Five rows of two classes, each with another of its class even without the last."""
    return _real(r, 5, 4), torch.tensor([0, 1, 0, 1, 0]), {}


def _signed(r: torch.Generator) -> Data:
    """Near pairs, some of which should be far."""
    x = _real(r, 5, 4)
    return x, x + 0.2 * _real(r, 5, 4), {"sign": torch.tensor([1.0, -1, -1, 1, -1], dtype=torch.float64)}


DATA: dict[str, Callable[[torch.Generator], Data]] = {
    "cosine_embedding": _signed,
    "contrastive": _signed,
    "infonce": _views,
    "mnrl": _views,
    "npairs": _views,
    "barlow_twins": _views,
    "vicreg": _views,
    "supcon": _classed,
    "circle": _classed,
    "multi_similarity": _classed,
}
OTHER: dict[tuple[str, str], list[str]] = {}
