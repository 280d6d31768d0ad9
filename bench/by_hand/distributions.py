"""By hand: likelihoods, at 1 MB of prediction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import LogNormal, NegativeBinomial

from bench.by_hand import PLAIN, ROWS, by_hand
from bench.work import Call, Shape


def amounts(shape: Shape) -> Call:
    """Real predictions of numbers above 0."""
    return Call(torch.randn(shape), torch.rand(shape) + 0.1)


def counts(shape: Shape) -> Call:
    """Log-rates, whole numbers, and how far those spread."""
    return Call(
        torch.randn(shape), torch.poisson(torch.ones(shape)), batch={"dispersion": torch.rand(shape) + 0.1}
    )


def with_variance(shape: Shape) -> Call:
    return Call(torch.randn(shape), torch.rand(shape) + 0.1, batch={"variance": torch.rand(shape) + 0.1})


def latents(shape: Shape) -> Call:
    return Call(torch.randn(shape), batch={"logvar": torch.randn(shape)})


@by_hand(amounts, PLAIN)
def tweedie(pred: Tensor, target: Tensor) -> Tensor:
    root = torch.exp(0.5 * pred)
    return (2 * root + 2 * target / root).mean()


@by_hand(amounts, PLAIN)
def gamma_nll(pred: Tensor, target: Tensor) -> Tensor:
    return (pred + target * torch.exp(-pred)).mean()


@by_hand(amounts, ROWS)
def generalized_kl(pred: Tensor, target: Tensor) -> Tensor:
    return F.kl_div(pred, target, reduction="batchmean") + (pred.exp() - target).sum(1).mean()


@by_hand(counts, PLAIN, "negative_binomial_nll(dispersion=batch.dispersion)")
def negative_binomial_nll(pred: Tensor, target: Tensor, dispersion: Tensor) -> Tensor:
    return -NegativeBinomial(1 / dispersion, logits=pred + dispersion.log()).log_prob(target).mean()


@by_hand(with_variance, PLAIN, "lognormal_nll(variance=batch.variance, full=true)")
def lognormal_nll(pred: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    return -LogNormal(pred, variance.sqrt()).log_prob(target).mean()


@by_hand(latents, ROWS, "kl_normal@(pred, batch.logvar)")
def kl_normal(pred: Tensor, target: None, logvar: Tensor) -> Tensor:
    return -0.5 * (1 + logvar - pred.square() - logvar.exp()).sum(1).mean()
