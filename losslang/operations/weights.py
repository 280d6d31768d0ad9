"""Weights per class: given, or from the batch."""

from __future__ import annotations

from typing import Any, cast

from losslang.functions import vector
from losslang.lazy import torch
from losslang.mistakes import tensors
from losslang.targets import Site
from losslang.vocabulary import Tensor


def constant(values: tuple[float, ...]) -> tuple[float, ...]:
    """Numbers of the program."""
    return values


def per_class(value: Any, pred: Tensor, site: Site, dropped: int) -> Tensor:
    """One weight per class that is left in the loss, in the precision of the loss; a single one is for all."""
    kind = pred.dtype if pred.dtype == torch.float64 else torch.float32
    if isinstance(value, tuple):
        weights = vector(cast("tuple[float, ...]", value), kind, pred.device)
    else:
        weights = torch.as_tensor(value, dtype=kind, device=pred.device).flatten()
    classes = max((pred.shape[1] if pred.ndim > 1 else 1) - dropped, 1)
    number = weights.numel()
    if number != classes and not (number == 1 and site.operand == "pos_weight"):
        raise site.error(tensors.wrong_length(site.span, site.term, site.operand, number, classes))
    return weights


def _class_counts(target: Tensor, pred: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """How many places each class has, and how many there are for it."""
    if target.ndim == pred.ndim:
        dims = [i for i in range(target.ndim) if i != 1]
        counted = torch.ones_like(target) if mask is None else mask.expand_as(target).to(target.dtype)
        return (target * counted).sum(dims), counted.sum(dims)
    counted = torch.ones_like(target) if mask is None else mask.squeeze(1).expand_as(target).long()
    zeros = torch.zeros(pred.shape[1], dtype=torch.long, device=pred.device)
    counts = zeros.scatter_add(0, target.flatten(), counted.flatten())
    return counts.to(pred.dtype), counted.sum()


def class_weight_balanced(target: Tensor, pred: Tensor, mask: Tensor | None) -> Tensor:
    """N / (C N_c), the weights that give every class of the batch the same say; an absent one has none."""
    counts, places = _class_counts(target, pred, mask)
    held = torch.where(counts > 0, counts, 1.0)
    return torch.where(counts > 0, places / (counts.numel() * held), 0.0).to(pred.dtype)


def class_weight_complement(target: Tensor, pred: Tensor, mask: Tensor | None) -> Tensor:
    """(N - N_c) / N of the batch."""
    counts, places = _class_counts(target, pred, mask)
    return ((places - counts) / places.clamp(min=1)).to(pred.dtype)


def pos_weight_balanced(target: Tensor, pred: Tensor, mask: Tensor | None) -> Tensor:
    """Negatives / positives of the batch; 1 where there is no positive to weigh."""
    seen = torch.ones_like(target) if mask is None else mask.to(target.dtype).expand_as(target)
    positives = (target * seen).sum()
    weight = (seen.sum() - positives) / torch.where(positives > 0, positives, 1.0)
    return torch.where(positives > 0, weight, 1.0)


def pos_weighted(values: Tensor, weight: Tensor, positive: Tensor) -> Tensor:
    """Values of positives times the weight."""
    along = weight.reshape(-1, *[1] * (values.ndim - 2)) if weight.ndim and values.ndim > 1 else weight
    return values * (1 + (along - 1) * positive)


def class_weighted(values: Tensor, weight: Tensor, target: Tensor, by: str) -> Tensor:
    """Values times the weight of their class: along their class axis, or by the label of their place."""
    if by == "axis":
        return values * (weight.reshape(-1, *[1] * (values.ndim - 2)) if values.ndim > 1 else weight)
    return values * _of_label(weight, target, values)


def _of_label(weight: Tensor, target: Tensor, values: Tensor) -> Tensor:
    if target.ndim == values.ndim:
        return weight[target]
    return (target * weight.reshape(-1, *[1] * (target.ndim - 2))).sum(1)


def weight_of_class(weight: Tensor, target: Tensor, values: Tensor, by: str) -> Tensor | None:
    """The class weight of each value, for a mean that divides by their sum.

    None for soft labels: there the mean divides by the count, as torch's does.
    """
    if by == "axis":
        return weight.reshape(-1, *[1] * (values.ndim - 2)).expand(values.shape)
    return weight[target] if target.ndim == values.ndim else None


def product(a: Any, b: Any) -> Any:
    """a b, either of which may be missing."""
    return a if b is None else b if a is None else a * b


def affine(values: Tensor, scale: float, shift: float) -> Tensor:
    """scale v + shift."""
    return values * scale + shift
