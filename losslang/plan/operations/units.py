"""Denominators in units of the target: how much there is to count, before there is a prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from losslang.diagnostics.mistakes import norms
from losslang.meaning.layout import channel_axis
from losslang.plan.operations.call import as_tensor
from losslang.plan.operations.counts import without_edge
from losslang.plan.operations.masks import along, inside, not_ignored
from losslang.tensors.devices import can_read_without_sync, widest
from losslang.tensors.lazy import torch, traces
from losslang.tensors.targets import Site
from losslang.vocabulary import Tensor


def units(
    source: Any,
    mask: Any,
    weight: Any,
    of_class: Any,
    *,
    frame: str,
    form: str,
    channel: int,
    per_sample: bool = False,
    has_axes: bool = False,
    ignored: int | tuple[int, ...] | None = None,
    roots: Sequence[str] = (),
    moved: tuple[int, int] | None = None,
    kept: tuple[int, ...] | None = None,
    dropped: bool = False,
    by: str = "axis",
    edge: tuple[int, int] | None = None,
) -> Any:
    """Returns how many values of a loss count, or the sum of their weights.

    It reads the target (or whatever tensor says how many values there are), its mask and its weights alone.
    Channels that the target lacks are not counted: their number is the same in every call. `frame` says which
    axes of the prediction the values have (see `masks.py`), `form` the form of the target, `has_axes` that a
    row of it is a vector; `kept` and `dropped` which channels of a mask count, `roots` where mask and weight
    are from, `by` whether a weight of classes is that of a label or of a channel. Pixels at the `edge` of an
    image have no value.
    """
    source, mask, weight = as_tensor(source), _tensor(mask, source), _tensor(weight, source)
    rank, lacks = _rank(source, [mask, weight], frame, form, has_axes)
    axis = channel_axis(channel, rank) % max(rank, 1)

    def laid(value: Tensor, root: str) -> Tensor:
        if value.ndim in (0, 1) and value.ndim < rank:
            return along(value.reshape(-1), rank, axis if root == "const" else 0)
        if value.ndim == rank:
            return value.movedim(*moved) if moved and rank > 1 else value
        return value.unsqueeze(axis) if value.ndim == rank - 1 else value

    def whole(value: Tensor) -> Tensor:
        return value.unsqueeze(axis) if lacks else laid(value, "target")

    shape = without_edge(whole(source).shape, edge)
    seen = None if mask is None else inside(laid(mask, roots[0]), edge) != 0
    counted = None if ignored is None else not_ignored(source, None, ignored, form)
    if counted is not None:
        seen = whole(counted) if seen is None else seen & whole(counted)
    shape, seen = _in_frame(shape, seen, frame, axis, kept, dropped)
    weights = (
        None
        if weight is None
        else _in_frame(shape, inside(laid(weight, roots[1]), edge), frame, axis, None, False)[1]
    )
    if of_class is not None:
        weights = _of_class(weights, of_class, source, seen, shape, by)
    return _total(shape, seen, weights, per_sample)


def over_norm(value: Any, own: Any, number: Any, site: Site) -> Any:
    """Returns value · own / number: a mean over `own` values as its part of a sum over `number` of them.

    0, with a gradient of 0, where both are 0. A number that is no count is refused where it can be read
    without a wait; else a number of 0 over something gives an infinity, which shows.
    """
    if _is_cheap(own) and _is_cheap(number):
        _refuse_norm(float(own), float(number), site)
    if not isinstance(own, torch.Tensor) and not isinstance(number, torch.Tensor):
        return value * (own / number if own else 0.0)
    like = next(part for part in (value, own, number) if isinstance(part, torch.Tensor))
    kind = widest(like)
    own, number = (torch.as_tensor(part, dtype=kind, device=like.device) for part in (own, number))
    share = torch.where(own == 0, 0.0, own / number)
    return value * (share.to(value) if isinstance(value, torch.Tensor) else share)


def _is_cheap(number: Any) -> bool:
    """Whether a number can be read without a wait."""
    if not isinstance(number, torch.Tensor):
        return True
    return type(number) is torch.Tensor and can_read_without_sync(number) and not traces()


def _refuse_norm(own: float, number: float, site: Site) -> None:
    """Raises LossError for a denominator that is no count, or is 0 where a call has something to count."""
    if not 0 <= number < math.inf:
        raise site.error(norms.no_count(site.span, site.term, number))
    if number == 0 and own > 0:
        raise site.error(norms.nothing_for_something(site.span, site.term, own))


def _tensor(value: Any, like: Tensor) -> Tensor | None:
    """Returns a mask or a weight as a tensor; None where there is none."""
    if value is None:
        return None
    return torch.as_tensor(as_tensor(value), device=like.device)


def _rank(
    source: Tensor, beside: Sequence[Tensor | None], frame: str, form: str, has_axes: bool
) -> tuple[int, bool]:
    """Returns the rank that a prediction has, and whether the target lacks its channel axis.

    A target of integers holds labels, any other one number for each element; a mask that fits neither says
    that it is the other way round.
    """
    own = source.ndim
    if frame == "rows":
        return (own, False) if has_axes else (own + 1, True)
    is_dense = frame == "values" or form == "float_target" or source.is_floating_point()
    is_dense = is_dense or (own > 1 and source.shape[1] == 1) or source.dtype == torch.bool
    ranks = [value.ndim for value in beside if value is not None and value.ndim > 1]
    for rank in (own, own + 1) if is_dense else (own + 1, own):
        if all(other in (rank, rank - 1) for other in ranks):
            return rank, rank > own
    return max([own, *ranks]), False


def _in_frame(
    shape: Sequence[int],
    seen: Tensor | None,
    frame: str,
    axis: int,
    kept: tuple[int, ...] | None,
    dropped: bool,
) -> tuple[list[int], Tensor | None]:
    """Returns the shape and the mask, or weight, in the axes of the values; an axis that they lack has size 1."""
    size = list(shape)
    if frame in ("places", "rows"):
        over = axis if frame == "places" else -1
        size[over] = 1
        return size, None if seen is None else seen.amax(over, keepdim=True)
    if frame in ("region", "samples"):
        keep = 2 if frame == "region" else 1
        if seen is not None:
            seen = seen.flatten(keep).amax(keep) if seen.ndim > keep else seen
            if frame == "region" and seen.shape[1] > 1:
                seen = seen[:, 1:] if dropped else seen if kept is None else seen[:, list(kept)]
        return [size[0], 1][:keep], seen
    return size, seen


def _of_class(
    weights: Tensor | None, of_class: Any, source: Tensor, seen: Tensor | None, shape: Sequence[int], by: str
) -> Tensor | None:
    """Returns the weights times that of the class of each value, where a label or a mask by channel tells it.

    Elsewhere every channel counts as often as the others: the sum of their weights is the same in every call.
    """
    vector = torch.as_tensor(of_class, device=source.device).flatten()
    if by == "label" and not source.is_floating_point() and source.dtype != torch.bool:
        is_class = (source >= 0) & (source < len(vector))
        found = torch.where(is_class, vector[torch.where(is_class, source, 0).long()], 0.0)
        found = found.reshape(shape)
    elif by == "axis" and seen is not None and seen.ndim > 1 and seen.shape[1] == len(vector) > 1:
        found = along(vector, seen.ndim, 1)
    else:
        return weights
    return found if weights is None else weights * found


def _total(shape: Sequence[int], seen: Tensor | None, weights: Tensor | None, per_sample: bool) -> Any:
    """Returns the number of values, of samples with one, or the sum of the weights."""
    number = 1
    for size in shape:
        number *= size
    if per_sample:
        return shape[0] if seen is None else seen.expand(_both(shape, seen)).flatten(1).any(1).sum()
    if weights is None:
        return number if seen is None else seen.expand(_both(shape, seen)).sum()
    spread = weights.detach()
    wide = spread.expand(_both(shape, spread)).to(widest(spread))
    return wide.sum() if seen is None else torch.where(seen, wide, 0.0).sum()


def _both(shape: Sequence[int], other: Tensor) -> tuple[int, ...]:
    return tuple(max(a, b) if a and b else 0 for a, b in zip(shape, other.shape, strict=True))
