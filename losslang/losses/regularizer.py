"""Terms on the parameters of a model: `1e-4*l2_reg(match="*.weight")`. They read no tensor of the call.

The parameters are those of `compile(params=model.named_parameters())`; `match` is a pattern of names as
in a shell. Every one of them is one number, a sum over all elements.
"""

from __future__ import annotations

from losslang.primitives.decorators import loss
from losslang.tensors.lazy import torch
from losslang.vocabulary import Dynamic, Float, NonNegative, Tensor


@loss(aliases=("weight_decay",), paper="Krogh, Hertz 1992", range=(0, float("inf")))
def l2_reg(parameters: Float[Tensor, "parameters"], *, match: str = "*") -> Float[Tensor, ""]:
    """Σ w² / 2.

    λ*l2_reg is the weight decay λ of SGD, and of Adam's coupled form, but not that of AdamW. keras' L2 and
    many papers have no 1/2: there it is 2*l2_reg.
    """
    return 0.5 * _sum([w.square().sum() for w in parameters])


@loss(paper="Tibshirani 1996", range=(0, float("inf")))
def l1_reg(parameters: Float[Tensor, "parameters"], *, match: str = "*") -> Float[Tensor, ""]:
    """Σ |w|; its derivative at 0 is 0."""
    return _sum([w.abs().sum() for w in parameters])


@loss(paper="Zou, Hastie 2005", range=(0, float("inf")))
def elastic_net(
    parameters: Float[Tensor, "parameters"],
    *,
    match: str = "*",
    l1: Dynamic[NonNegative] = 1.0,
    l2: Dynamic[NonNegative] = 1.0,
) -> Float[Tensor, ""]:
    """λ₁ Σ |w| + λ₂ Σ w² / 2."""
    return _sum([l1 * w.abs().sum() + 0.5 * l2 * w.square().sum() for w in parameters])


def _sum(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).sum() if parts else torch.zeros(())
