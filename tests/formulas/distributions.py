"""Textbook formulas of the oracle: likelihoods. Nothing shared, fused or stabilised; float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from reference import textbook
from torch import Tensor


@textbook
def tweedie(v: Any, t: Tensor, mask: Tensor, *, p: float, **_: Any):
    mu = torch.exp(v.values)
    return mu ** (2 - p) / (2 - p) - t * mu ** (1 - p) / (1 - p)


@textbook
def gamma_nll(v: Any, t: Tensor, mask: Tensor, **_: Any):
    return v.values + t / torch.exp(v.values)


@textbook
def generalized_kl(v: Any, t: Tensor, mask: Tensor, **_: Any):
    q = torch.exp(v.values)
    entropy = t * torch.log(torch.where(t > 0, t, torch.ones_like(t)))
    return entropy - t * torch.log(q) - t + q


@textbook
def negative_binomial_nll(v: Any, t: Tensor, mask: Tensor, *, extra: dict[str, Tensor], eps: float, **_: Any):
    alpha = extra["dispersion"]
    alpha = alpha + (torch.where(alpha < eps, torch.full_like(alpha, eps), alpha) - alpha).detach()
    r, mu = 1 / alpha, torch.exp(v.values)
    chance = mu / (r + mu)
    ways = torch.lgamma(t + r) - torch.lgamma(r) - torch.lgamma(t + 1)
    return -(ways + r * torch.log(1 - chance) + t * torch.log(chance))


@textbook
def lognormal_nll(
    v: Any, t: Tensor, mask: Tensor, *, extra: dict[str, Tensor], full: bool, eps: float, **_: Any
):
    variance = extra["variance"]
    held = (
        variance + (torch.where(variance < eps, torch.full_like(variance, eps), variance) - variance).detach()
    )
    log = torch.log(torch.where(t > 0, t, torch.full_like(t, torch.finfo(t.dtype).tiny)))
    value = (torch.log(held) + (log - v.values) ** 2 / held) / 2
    return value + math.log(2 * math.pi) / 2 + log if full else value


@textbook
def kl_normal(v: Any, t: Tensor, mask: Tensor, *, extra: dict[str, Tensor], **_: Any):
    mu, s = v.values, extra["logvar"]
    return (torch.exp(s) + mu**2 - 1 - s) / 2


# -------------------------------------------------------------------- data that these losses take

Call = tuple[Tensor, Tensor | None, dict[str, Any]]


def _amounts(*others: str) -> Callable[[torch.Generator], Call]:
    """Real predictions of numbers above 0, and operands above 0."""

    def made(r: torch.Generator) -> Call:
        pred = torch.randn(3, 4, 2, 3, generator=r, dtype=torch.float64)
        above = torch.rand(1 + len(others), 3, 4, 2, 3, generator=r, dtype=torch.float64) + 0.1
        return pred, 2 * above[0], dict(zip(others, above[1:], strict=True))

    return made


def _counts(r: torch.Generator) -> Call:
    pred, target, batch = _amounts("dispersion")(r)
    assert target is not None
    return pred, (3 * target).round(), batch


def _latents(r: torch.Generator) -> Call:
    made = torch.randn(2, 3, 4, 2, 3, generator=r, dtype=torch.float64)
    return made[0], None, {"logvar": made[1]}


DATA: dict[str, Callable[[torch.Generator], Call]] = {
    "tweedie": _amounts(),
    "gamma_nll": _amounts(),
    "generalized_kl": _amounts(),
    "negative_binomial_nll": _counts,
    "lognormal_nll": _amounts("variance"),
    "kl_normal": _latents,
}
OTHER: dict[tuple[str, str], list[str]] = {
    ("tweedie", "p"): ["1.2"],
    ("negative_binomial_nll", "eps"): ["1"],
    ("lognormal_nll", "eps"): ["1"],
}
