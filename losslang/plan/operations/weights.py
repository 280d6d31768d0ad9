"""Weights per class, written or computed from the batch, and their product with values."""

from __future__ import annotations

from typing import Any, cast

from losslang.diagnostics.mistakes import tensors
from losslang.diagnostics.mistakes.counts import nothing_counted, one_class_to_balance
from losslang.plan.operations.notices import warn_once
from losslang.tensors.devices import can_read_without_sync, kept_vector, widest
from losslang.tensors.lazy import torch, traces
from losslang.tensors.numerics import divided
from losslang.tensors.targets import Site
from losslang.vocabulary import Tensor


def constant(values: tuple[float, ...]) -> tuple[float, ...]:
    """Returns numbers that the program wrote."""
    return values


def over_factor(total: Tensor, factor: Any, site: Site) -> Tensor:
    """Returns total / factor; 0 with a gradient of 0 where the factor is 0, with a warning on a CPU.

    On a GPU and under tracing the factor is not read, which would synchronize: `where` chooses.
    """
    if isinstance(factor, torch.Tensor) and (not can_read_without_sync(factor) or traces()):
        return divided(total, factor)
    if factor != 0:
        return total / factor
    if not traces():
        warn_once(site, nothing_counted(site.span, site.term, site.source.text[slice(*site.span)]))
    return divided(total, torch.zeros_like(total))


def per_class(
    value: Any,
    pred: Tensor,
    site: Site,
    dropped: int,
    moved: tuple[int, int] | None = None,
    number: int | None = None,
) -> Tensor:
    """Returns weights (C,) for the classes that the loss reads, in its precision.

    `number`: how many channels `classes=` chose. A `pos_weight` may be one number.
    """
    kind = pred.dtype if pred.dtype == torch.float64 else torch.float32
    if isinstance(value, tuple):
        weights = kept_vector(cast("tuple[float, ...]", value), kind, pred.device)
    else:
        weights = torch.as_tensor(value, dtype=kind, device=pred.device)
        axis = moved[0] if moved else 1
        is_along = weights.ndim == pred.ndim > 1 and weights.shape[axis] == weights.numel()
        if weights.ndim > 1 and not is_along:
            shapes = tuple(weights.shape), site.shape(pred)
            wanted, fix = "one number a class, (C,)", f"hand over `{site.operand}` of the shape (C,)"
            raise site.error(tensors.shapes_differ(site.span, site.term, site.operand, *shapes, wanted, fix))
        weights = weights.flatten()
    classes = number or max((pred.shape[1] if pred.ndim > 1 else 1) - dropped, 1)
    length = weights.numel()
    if length != classes and not (length == 1 and site.operand == "pos_weight"):
        raise site.error(
            tensors.wrong_length(
                site.span, site.term, site.operand, length, classes, _shorter(weights, classes, dropped)
            )
        )
    return weights


def _shorter(weights: Tensor, classes: int, dropped: int) -> str:
    """The list without the entries of channels that are left out; '' if that is not what is wrong with it.

    While torch traces, and on the meta device, the entries are no numbers, and none are shown.
    """
    if traces() or weights.is_meta:
        return ""
    kept = cast("list[float]", weights[dropped:].tolist())  # pyright: ignore[reportUnknownMemberType]
    return ", ".join(f"{value:g}" for value in kept) if dropped and len(kept) == classes else ""


def class_weight_balanced(target: Tensor, pred: Tensor, mask: Tensor | None, site: Site) -> Tensor:
    """N / (C N_c): every class of the batch weighs the same in total; 0 for an absent class."""
    return _weights_of(*_class_counts(target, pred, mask, site, "balanced"), "balanced").to(pred.dtype)


def class_weight_complement(target: Tensor, pred: Tensor, mask: Tensor | None, site: Site) -> Tensor:
    """(N - N_c) / N of the batch."""
    return _weights_of(*_class_counts(target, pred, mask, site, "complement"), "complement").to(pred.dtype)


def class_counts(target: Tensor, pred: Tensor, mask: Tensor | None, site: Site, how: str) -> Tensor:
    """Returns the number of places of each class, and of all places, (2, C), for `class_weight_of`."""
    counts, places = _class_counts(target, pred, mask, site, how)
    return torch.stack([part.to(widest(pred)) for part in (counts, places.expand(counts.shape))])


def class_weight_of(counts: Tensor, pred: Tensor, how: str) -> Tensor:
    """Returns the weights of classes that are balanced, or complements, by their numbers of places."""
    return _weights_of(counts[0], counts[1], how).to(pred.dtype)


def _weights_of(counts: Tensor, places: Tensor, how: str) -> Tensor:
    if how == "complement":
        return (places - counts) / places.clamp(min=1)
    held = torch.where(counts > 0, counts, 1.0)
    return torch.where(counts > 0, places / (counts.numel() * held), 0.0)


def _class_counts(
    target: Tensor, pred: Tensor, mask: Tensor | None, site: Site, how: str
) -> tuple[Tensor, Tensor]:
    """Returns the number of places of each class, and the number of all places; both without gradient."""
    if target.ndim == pred.ndim:
        if (target.ndim < 2 or target.shape[1] == 1) and not traces():
            warn_once(site, one_class_to_balance(site.span, site.term, how))
        dims = [i for i in range(target.ndim) if i != 1]
        target = target.detach()
        counts = torch.ones_like(target) if mask is None else mask.expand_as(target).to(target.dtype)
        return (target * counts).sum(dims), counts.sum(dims)
    counts = torch.ones_like(target) if mask is None else mask.any(1).expand_as(target).long()
    zeros = torch.zeros(pred.shape[1], dtype=torch.long, device=pred.device)
    found = zeros.scatter_add(0, target.flatten(), counts.flatten())
    return found.to(pred.dtype), counts.sum()


def positives(signs: Tensor) -> Tensor:
    """Returns 1 where the sign is +1, 0 where it is -1."""
    return (signs > 0).to(signs.dtype)


def pos_weight_balanced(target: Tensor, pred: Tensor, mask: Tensor | None) -> Tensor:
    """Returns negatives / positives of the batch; 1 if there is no positive."""
    return pos_weight_of(positive_counts(target, pred, mask))


def positive_counts(target: Tensor, pred: Tensor, mask: Tensor | None) -> Tensor:
    """Returns the number of positives, and of all elements, for `pos_weight_of`."""
    target = target.detach()
    seen = torch.ones_like(target) if mask is None else mask.to(target.dtype).expand_as(target)
    return torch.stack([(target * seen).sum(), seen.sum()])


def pos_weight_of(counts: Tensor) -> Tensor:
    """Returns negatives / positives, given the number of positives and of all; 1 if there is no positive."""
    number, places = counts.unbind()
    weight = (places - number) / torch.where(number > 0, number, 1.0)
    return torch.where(number > 0, weight, 1.0)


def pos_weighted(values: Tensor, weight: Tensor, positive: Tensor) -> Tensor:
    """Multiplies the values of positives by the weight."""
    along = weight.reshape(-1, *[1] * (values.ndim - 2)) if weight.ndim and values.ndim > 1 else weight
    return values * (1 + (along - 1) * positive)


def class_weighted(values: Tensor, weight: Tensor, target: Tensor, by: str) -> Tensor:
    """Multiplies values by the weight of their class: by class axis, or by the label of the place."""
    if by == "axis":
        return values * (weight.reshape(-1, *[1] * (values.ndim - 2)) if values.ndim > 1 else weight)
    return values * _of_label(weight, target, values)


def _of_label(weight: Tensor, target: Tensor, values: Tensor) -> Tensor:
    if target.ndim == values.ndim:
        return weight[target]
    return (target * weight.reshape(-1, *[1] * (target.ndim - 2))).sum(1)


def weight_of_class(weight: Tensor, target: Tensor, values: Tensor, by: str) -> Tensor | None:
    """Returns the class weight of each value, for a mean that divides by the sum of weights.

    None for soft labels: their mean divides by the count, as torch's does.
    """
    if by == "axis":
        return weight.reshape(-1, *[1] * (values.ndim - 2)).expand(values.shape)
    return weight[target] if target.ndim == values.ndim else None


def product(a: Any, b: Any) -> Any:
    """Returns a b; None stands for 1."""
    return a if b is None else b if a is None else a * b


def affine(values: Tensor, scale: float, shift: float) -> Tensor:
    """scale v + shift."""
    return values * scale + shift
