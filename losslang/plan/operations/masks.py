"""Masks and weights: broadcast to a prediction, and reduced to the values of a loss.

A prediction is (B, C, *S) unless its loss says otherwise. A mask is boolean and broadcasts against it;
`frame` says how the values of a loss lie in it: `same` (B, C, *S), `places` (B, *S), `region` (B, C),
`rows` all axes but the last, `values` any shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from losslang.diagnostics.mistakes import tensors
from losslang.meaning.layout import channel_axis
from losslang.tensors.byte_masks import any_of, cleared, differs, holds_all
from losslang.tensors.devices import MANY, can_read_without_sync
from losslang.tensors.lazy import torch, traces
from losslang.tensors.repairs import has_shape
from losslang.tensors.targets import Site, broadcasts_to
from losslang.vocabulary import Tensor


def moved(value: Any, pred: Any, source: int, target: int) -> Any:
    """Moves the channel axis of a tensor of the prediction's rank to where the loss reads it, as a view.

    `channels=last` of a loss of (B, C, *S) moves the last axis to 1; class indices have none to move.
    """
    if not isinstance(value, torch.Tensor) or not isinstance(pred, torch.Tensor):
        return value
    return value.movedim(source, target) if value.ndim == pred.ndim > 1 else value


def broadcast_to_pred(
    value: Any, pred: Tensor, site: Site, channel: int, vector: str, moved: tuple[int, int] | None = None
) -> Any:
    """Returns a mask or a weight in the prediction's rank, so that it broadcasts against it.

    A number stays one.

    Rank and root decide, never sizes. A `vector` of rank 1 is along the "samples" or, from `const`, the
    "channels"; a tensor of the prediction's rank broadcasts, with its channels `moved` as the prediction's
    were; a tensor of one rank less lacks the `channel` axis.
    """
    if value is None or isinstance(value, (int, float)):
        return value
    if not isinstance(value, torch.Tensor):
        raise site.no_tensor(value)
    if value.is_complex():
        raise site.type_error(value, "real numbers", "take `.real` or `.abs()`")
    rank = pred.ndim
    if value.ndim == 0:
        laid = value
    elif value.ndim == 1 < rank:
        laid = along(value, rank, channel_axis(channel, rank) % rank if vector == "channels" else 0)
    elif value.ndim == rank:
        laid = value.movedim(*moved) if moved and rank > 1 else value
    else:
        laid = value.unsqueeze(channel_axis(channel, rank)) if value.ndim == rank - 1 else value
    if laid.ndim and not broadcasts_to(laid, pred.shape):
        # A mask is laid here; an operand was moved, as the prediction, before.
        own = value if moved else site.given(value, pred)[0]
        shapes, axis = (tuple(own.shape), site.shape(pred)), channel_axis(channel, rank)
        axis = (axis if site.moved is None else site.moved[0]) % max(rank, 1)
        along_channels = vector == "channels"
        raise site.error(
            tensors.does_not_lie(
                site.span, site.term, site.operand, *shapes, axis, along_channels, site.frame
            )
        )
    if laid.device != pred.device:
        devices = str(laid.device), str(pred.device)
        raise site.error(tensors.devices_differ(site.span, site.term, site.operand, *devices))
    return laid


def along(vector: Tensor, rank: int, axis: int) -> Tensor:
    """Reshapes a vector to lie along one axis of a tensor of this rank."""
    return vector.reshape([-1 if i == axis else 1 for i in range(rank)])


def mask(laid: Any, pred: Tensor) -> Tensor | None:
    """Returns a boolean mask, True where an element of the prediction counts; None where all do."""
    if isinstance(laid, (int, float)):
        laid = torch.full((), bool(laid), device=pred.device)
    if laid is None:
        return None
    if laid.ndim < pred.ndim:
        # One number masks everything or nothing.
        laid = laid.reshape([1] * pred.ndim)
    return laid if laid.dtype == torch.bool else laid != 0


def not_ignored(
    target: Any, pred: Any, index: int | tuple[int, ...], form: str, looks: bool = True
) -> Tensor | None:
    """Returns a mask, True where the target is no ignored label; None if no label can be ignored.

    With `looks` also None if it finds that none is: on a CPU alone, since on a GPU it would synchronize.
    """
    if not isinstance(target, torch.Tensor):
        return None
    is_distribution = target.dtype.is_floating_point or (
        isinstance(pred, torch.Tensor) and has_shape(target, pred.shape)
    )
    if form == "labels" and is_distribution:
        return None
    labels = (index,) if isinstance(index, int) else index
    if not (target.dtype.is_floating_point or target.dtype == torch.bool):
        # The comparison would convert a label to the type of the target, where it is another number.
        held = torch.iinfo(target.dtype)
        labels = tuple(label for label in labels if held.min <= label <= held.max)
    is_seen = looks and target.is_cpu and target.numel() and not traces()
    return _seen(target, labels) if is_seen else _outside(target, labels)


def _seen(target: Tensor, labels: Sequence[int]) -> Tensor | None:
    """Returns a mask, True where a target is none of the labels; None if they are nowhere."""
    # Fast path: labels outside of the range of labels, as -100 mostly is, need no mask.
    if labels and not target.dtype.is_floating_point and target.dtype != torch.bool:
        # One end of the range tells mostly. A label to ignore that is an end of it is there.
        is_below = labels[-1] < 0
        end = (target.min() if is_below else target.max()).item()
        if end > labels[-1] if is_below else end < labels[0]:
            return None
        if end in labels:
            return _outside(target, labels)
    found = _outside(target, labels)
    # A mask that hides nothing costs less than a look at it, of few floats.
    is_small = target.dtype.is_floating_point and target.numel() < MANY
    return None if found is None or (not is_small and holds_all(found)) else found


def _outside(target: Tensor, labels: Sequence[int]) -> Tensor | None:
    """Returns a mask, True where a target is none of the labels. A run of them is compared by its ends."""
    is_whole = not (target.dtype.is_floating_point or target.dtype == torch.bool)
    found: Tensor | None = None
    for low, high in _runs(labels, is_whole):
        apart = differs(target, low) if low == high else (target < low) | (target > high)
        found = apart if found is None else found & apart
    return found


def _runs(labels: Sequence[int], is_whole: bool) -> list[tuple[int, int]]:
    """Returns sorted labels as runs: 3, 4, 9 as (3, 4) and (9, 9)."""
    runs: list[tuple[int, int]] = []
    for label in labels:
        if is_whole and runs and label == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], label
        else:
            runs.append((label, label))
    return runs


def mask_and(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """Returns a & b, where None is a mask that is True everywhere."""
    if a is None or b is None:
        return b if a is None else a
    return a & b


def zero_masked(value: Any, mask: Tensor | None, lacks: int = 1) -> Any:
    """Returns the value with 0 where masked: what was there, even NaN, reaches neither value nor gradient.

    A value of one rank less than the mask lacks the axis `lacks` of the mask.
    """
    if mask is None or not isinstance(value, torch.Tensor):
        return value
    return cleared(value, mask.any(lacks) if mask.ndim == value.ndim + 1 else mask)


def zero_masked_raw(target: Any, mask: Tensor | None, lacks: int = 1) -> Any:
    """As `zero_masked`, for a target whose shape is not checked yet: one that does not fit stays as it is."""
    if mask is None or not isinstance(target, torch.Tensor):
        return target
    if mask.ndim == target.ndim + 1:
        mask = mask.any(lacks)
    fits = mask.shape == target.shape or broadcasts_to(mask, target.shape)
    return cleared(target, mask) if fits else target


def any_channel_mask(mask: Tensor | None, channel: int = 1) -> Tensor | None:
    """Returns the mask of places where any channel counts: a softmax reads all channels of a place."""
    if mask is None or mask.ndim < 2:
        return mask
    axis = channel_axis(channel, mask.ndim)
    return mask if mask.shape[axis] == 1 else mask.any(axis, keepdim=True)


def inside(value: Any, edge: tuple[int, int] | None) -> Any:
    """Returns a mask or a weight of a prediction without the pixels at its `edge`, which have no value."""
    if edge is None or not isinstance(value, torch.Tensor):
        return value
    for axis in range(2, value.ndim):
        # An axis of size 1 stands for all pixels.
        if value.shape[axis] > 1:
            value = value.narrow(axis, edge[0], value.shape[axis] - sum(edge))
    return value


def value_mask(
    mask: Tensor | None,
    values: Tensor,
    *,
    site: Site,
    frame: str,
    batch: bool,
    edge: tuple[int, int] | None = None,
) -> Tensor | None:
    """Returns the mask of a loss's values, in their shape: True where a value has an unmasked element.

    None if all have, which for regions and samples is read on a CPU alone: on a GPU it would synchronize.
    """
    if mask is None:
        return None
    if frame in ("region", "samples"):
        return over_regions(region_mask(mask, frame=frame, batch=batch), values)
    return _over_values(inside(mask, edge), values, site, frame).expand(values.shape)


def region_mask(mask: Tensor | None, number: Any = None, *, frame: str, batch: bool) -> Tensor | None:
    """Returns for each region, or each sample, whether any element of it is unmasked; None if all have one.

    Each is looked at only if as many elements are masked as a region has: `number` are not, which is counted
    if it is not given.
    """
    if mask is None:
        return None
    keep = 2 if frame == "region" else 1
    is_read = can_read_without_sync(mask) and not traces()
    number = int(torch.count_nonzero(mask)) if is_read and number is None else number
    if isinstance(number, int) and mask.numel() - number < prod(mask.shape[keep:]):
        return None
    seen = any_of(mask.flatten(keep), keep, as_bytes=is_read) if mask.ndim > keep else mask
    seen = seen.any(0, keepdim=True) if batch else seen
    return None if is_read and holds_all(seen) else seen.bool()


def over_regions(seen: Tensor | None, values: Tensor) -> Tensor | None:
    """Returns the mask of regions in the shape of their values."""
    return None if seen is None else seen.expand(values.shape)


def place_mask(given: Any, mask: Tensor, pred: Tensor, site: Site) -> Tensor:
    """Returns the mask of the places of a prediction, (B, *S): what was given, if it is that already."""
    if isinstance(given, torch.Tensor) and given.dtype == torch.bool and given.ndim == pred.ndim - 1:
        return given
    return _over_values(mask, pred.select(1, 0), site, "places")


def filled(value: Tensor, mask: Tensor | None, number: float) -> Tensor:
    """Returns the value with a number where masked, and a gradient of 0 there."""
    return value if mask is None else cleared(value, mask, number)


def counting(mask: Tensor | None, pred: Tensor, frame: str) -> Tensor | None:
    """Returns which rows or samples of a prediction have an unmasked element."""
    if mask is None:
        return None
    wide = mask.expand(pred.shape)
    return wide.any(-1) if frame == "rows" else wide.flatten(1).any(1)


def zero_masked_samples(value: Tensor, mask: Tensor | None) -> Tensor:
    """Returns the value with 0 for samples that are masked entirely.

    It shares only the batch with the mask.
    """
    if mask is None:
        return value
    counts = mask.flatten(1).any(1) if mask.ndim > 1 else mask
    return zero_masked(value, counts.reshape(-1, *[1] * (value.ndim - 1)))


def weigh(laid: Any, values: Tensor, site: Site, frame: str, edge: tuple[int, int] | None = None) -> Any:
    """Returns a weight in the axes and the type of a loss's values."""
    if not isinstance(laid, torch.Tensor) or laid.ndim == 0:
        return laid
    over = _over_values(inside(laid, edge), values, site, frame)
    return over if over.dtype == values.dtype else over.to(values.dtype)


def _over_values(laid: Tensor, values: Tensor, site: Site, frame: str) -> Tensor:
    """Drops the axes that the values no longer have; refuses what differs along them."""
    if laid.ndim == 0 or frame in ("same", "values"):
        return laid
    if frame == "places" and laid.shape[1] == 1:
        return laid.squeeze(1)
    if frame == "rows" and laid.shape[-1] == 1:
        return laid.squeeze(-1)
    if frame == "samples" and laid.flatten(1).shape[1] == 1:
        return laid.flatten()
    per_region = laid.flatten(2).shape[2] == 1 if laid.ndim > 2 else True
    if frame == "region" and per_region and broadcasts_to(laid.flatten(1), values.shape):
        return laid.flatten(1)
    kinds = {
        "places": "one per sample and place",
        "rows": "one per row",
        "region": "one per sample and class",
        "samples": "one per sample",
        "number": "one number",
    }
    shapes = _coarser(laid, values, site, frame)
    found = site.shape(laid) if laid.ndim > 1 else tuple(laid.shape)
    raise site.error(tensors.too_fine(site.span, site.term, site.operand, found, kinds[frame], shapes))


def _coarser(laid: Tensor, values: Tensor, site: Site, frame: str) -> list[tuple[int, ...]]:
    """Returns the shapes that a weight or a mask of these values may have, as the call hands it over."""
    own = tuple(values.shape)
    if frame == "number":
        return []
    if frame in ("samples", "region"):
        # Of regions over all samples a weight tells the classes apart alone.
        return [(laid.shape[0],)] if own[0] == laid.shape[0] else [(*own, *[1] * (laid.ndim - 2))]
    return [own, (*own, 1) if frame == "rows" or site.moved else (*own[:1], 1, *own[1:])]
