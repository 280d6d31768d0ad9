"""How the tensors of arithmetic lie beside each other, and the axes that functions name and keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from losslang.diagnostics.mistakes import functions, tensors
from losslang.meaning.layout import channel_axis
from losslang.plan.operations.masks import along
from losslang.tensors.lazy import torch
from losslang.tensors.targets import Site
from losslang.vocabulary import Tensor

ACROSS = {"const", "batch"}
"""Roots of vectors along different axes: a number per channel, and a number per sample."""


def with_axes(value: Any, site: Site, axes: tuple[int, ...], filled: str | None = None) -> Any:
    """Returns a tensor that has these axes, each once; `filled` names a function that needs elements there."""
    shape = tuple(value.shape) if isinstance(value, torch.Tensor) else ()
    for at, axis in enumerate(axes):
        known = -len(shape) <= axis < len(shape)
        if not known or any((axis - before) % len(shape) == 0 for before in axes[:at]):
            raise site.error(functions.beyond_axes(site.span, site.term, site.operand, shape, axis))
    if filled is not None and any(shape[axis] == 0 for axis in axes or range(len(shape))):
        raise site.error(functions.of_nothing(site.span, site.term, site.operand, shape, filled))
    return value


def fitted(value: Any, other: Any, kept: tuple[int, ...], own: tuple[int, ...]) -> Any:
    """Returns a tensor in the rank of another that it is compared with.

    Where the other has axes more, exactly those that a function `kept` with size 1, it gets them; where it
    has such axes of its `own` more, it loses them.
    """
    if not isinstance(value, torch.Tensor) or not isinstance(other, torch.Tensor) or not value.ndim:
        return value
    if value.ndim < other.ndim:
        axes = ones(other.shape, kept)
        return filled_in(value, axes) if len(axes) == other.ndim - value.ndim else value
    axes = ones(value.shape, own)
    return value.squeeze(axes) if 0 < len(axes) == value.ndim - other.ndim else value


def ones(shape: Sequence[int], kept: Sequence[int]) -> tuple[int, ...]:
    """Returns those axes among the kept ones that have size 1, from 0 on, in order."""
    rank = len(shape)
    return tuple(sorted({axis % rank for axis in kept if -rank <= axis < rank and shape[axis] == 1}))


def filled_in(value: Tensor, axes: Sequence[int]) -> Tensor:
    """Returns a tensor with axes of size 1 put in at these places of the result."""
    for axis in axes:
        value = value.unsqueeze(axis)
    return value


def beside(
    value: Any,
    *others: Any,
    site: Site,
    channel: int,
    roots: tuple[str, ...],
    names: tuple[str, ...],
    kept: tuple[tuple[int, ...], ...] = (),
) -> Any:
    """Returns a tensor in the rank of the other operands of its arithmetic.

    Rank 1 is broadcast as a weight is; what lacks exactly the axes that a function kept gets them.

    `roots` are the roots of all, its own first: `const`, `batch`, or `pred` for prediction and target; `kept`
    the axes that each has as ones.
    """
    if not isinstance(value, torch.Tensor) or value.ndim == 0:
        return value
    ranks = [other.ndim if isinstance(other, torch.Tensor) else 0 for other in others]
    rank, laid = max(value.ndim, *ranks), value
    added = _added((value, *others), rank, kept)
    if value.ndim == 1 < rank:
        laid = along(value, rank, channel_axis(channel, rank) % rank if roots[0] == "const" else 0)
    elif added and value.ndim == rank - len(added):
        laid = filled_in(value, added)
    for other, root, name in zip(others, roots[1:], names, strict=True):
        if (
            isinstance(other, torch.Tensor)
            and other.ndim
            and not _meets(laid, other, (roots[0], root), added)
        ):
            shapes = tuple(value.shape), tuple(other.shape)
            across = len(shapes[0]) == len(shapes[1]) == 1 and {roots[0], root} == ACROSS
            raise site.error(tensors.no_arithmetic(site.span, site.term, site.operand, *shapes, name, across))
    return laid


def _added(values: Sequence[Any], rank: int, kept: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Returns the axes that what lacks them gets: those that a function kept in an operand of this rank."""
    found: set[int] = set()
    for value, axes in zip(values, kept, strict=False):
        if axes and isinstance(value, torch.Tensor) and value.ndim == rank:
            found.update(ones(value.shape, axes))
    return tuple(sorted(found))


def _meets(laid: Tensor, other: Tensor, roots: tuple[str, str], added: tuple[int, ...]) -> bool:
    """Returns whether two tensors broadcast: every size is equal, or one of the two is 1."""
    if laid.ndim == other.ndim == 1 and set(roots) == ACROSS:
        # A vector of samples and one of channels, which may be equally long.
        return laid.shape[0] == 1 or other.shape[0] == 1
    if other.ndim < laid.ndim and (other.ndim == 1 or (added and other.ndim == laid.ndim - len(added))):
        # `beside` broadcasts it by its own rank, and refuses it there.
        return True
    return laid.ndim == other.ndim and all(
        a == b or a == 1 or b == 1 for a, b in zip(laid.shape, other.shape, strict=True)
    )
