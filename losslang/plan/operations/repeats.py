"""Steps of `each`: targets in the size of a prediction, and the best of the values of several elements."""

from __future__ import annotations

from typing import Any

from losslang.diagnostics.mistakes import repeats as mistakes
from losslang.meaning.layout import channel_axis
from losslang.tensors.lazy import torch
from losslang.tensors.targets import Site
from losslang.vocabulary import Tensor


def resized(value: Any, pred: Any, site: Site, channel: int, mode: str) -> Any:
    """Returns a target with the places of the prediction: (B, C, *S) or (B, *S) in its *S.

    `nearest` takes the element at floor(i * old / new), as torch's mode of that name, in the target's own
    type; `area` the mean, of floats alone.
    """
    if not isinstance(value, torch.Tensor) or not isinstance(pred, torch.Tensor) or pred.ndim < 2:
        return value
    axis = channel_axis(channel, pred.ndim) % pred.ndim
    sizes = [size for at, size in enumerate(pred.shape) if at not in (0, axis)]
    if value.ndim == pred.ndim:
        axes = [at for at in range(1, pred.ndim) if at != axis]
    elif value.ndim == pred.ndim - 1:
        axes = list(range(1, value.ndim))
    else:
        return value
    if all(value.shape[at] == size for at, size in zip(axes, sizes, strict=True)):
        return value
    if mode == "area":
        if not value.is_floating_point():
            fix = "write `resize=nearest` for labels, or hand over `target.float()`"
            raise site.type_error(value, "floats", fix)
        return _averaged(value, axes, sizes)
    for at, size in zip(axes, sizes, strict=True):
        value = _nearest(value, at, size)
    return value


def _nearest(value: Tensor, axis: int, size: int) -> Tensor:
    old = value.shape[axis]
    if old == size:
        return value
    if old % size == 0:
        return value[(slice(None),) * axis + (slice(None, None, old // size),)]
    index = torch.arange(size, device=value.device) * old // size
    return value.index_select(axis, index)


def _averaged(value: Tensor, axes: list[int], sizes: list[int]) -> Tensor:
    """Returns means over the boxes of `adaptive_avg_pool`, axis by axis: a box is a product of intervals."""
    for axis, size in zip(axes, sizes, strict=True):
        moved = value.movedim(axis, -1)
        flat = moved.reshape(1, -1, moved.shape[-1])
        pooled = torch.nn.functional.adaptive_avg_pool1d(flat, size)
        value = pooled.reshape(*moved.shape[:-1], size).movedim(-1, axis)
    return value


def _axes(values: Tensor, per: str, channel: int | None) -> tuple[int, ...]:
    """Returns the axes that one sample, or one place, has several values along."""
    if per == "sample":
        return tuple(range(1, values.ndim))
    if channel is None or values.ndim < 2:
        return ()
    return (channel_axis(channel, values.ndim) % values.ndim,)


def values_per(
    values: Tensor, counted: Tensor | None, per: str, channel: int | None, sums: bool = False
) -> Tensor:
    """Returns one value for each sample, or each place: the mean of those that count there, or their sum."""
    axes = _axes(values, per, channel)
    if not axes:
        return values
    if sums:
        return values.sum(axes)
    if counted is None:
        return values.mean(axes)
    number = counted.expand(values.shape).sum(axes)
    return values.sum(axes) / number.clamp(min=1)


def counts_per(values: Tensor, counted: Tensor | None, per: str, channel: int | None) -> Tensor | None:
    """Returns for which samples, or places, any value counts."""
    axes = _axes(values, per, channel)
    if counted is None:
        return None
    spread = counted.expand(values.shape)
    return spread.sum(axes) > 0 if axes else spread


def beside_values(one: Tensor, other: Tensor, site: Site) -> Tensor:
    """Returns the sum of the values of two losses, which have one shape."""
    if one.shape != other.shape:
        shapes = [tuple(one.shape), tuple(other.shape)]
        raise site.error(mistakes.candidates_differ(site.span, site.term, shapes))
    return one + other


def best(*given: Any, site: Site, combine: str) -> Tensor:
    """Returns the smallest, or the largest, of the values of several elements; what does not count is none.

    `given` are the values of all elements, then for each which of them count, or None.
    """
    values, counted = given[: len(given) // 2], given[len(given) // 2 :]
    if any(value.shape != values[0].shape for value in values):
        shapes = [tuple(value.shape) for value in values]
        raise site.error(mistakes.candidates_differ(site.span, site.term, shapes))
    worst = float("inf") if combine == "min" else float("-inf")
    shown = [
        value if own is None else torch.where(own, value, worst)
        for value, own in zip(values, counted, strict=True)
    ]
    stacked = torch.stack(shown)
    found = stacked.min(0).values if combine == "min" else stacked.max(0).values
    counts = any_counted(*counted)
    return found if counts is None else torch.where(counts, found, 0.0)


def any_counted(*counted: Tensor | None) -> Tensor | None:
    """Returns where any element counts; None where one counts everywhere."""
    found: Tensor | None = None
    for own in counted:
        if own is None:
            return None
        found = own if found is None else found | own
    return found
