"""Losses with a written derivative (`@loss.slope`): values and slope in one pass over the tensors.

autograd runs six more operations for a loss of six, and saves a tensor for most of them. A loss with a slope
saves that one tensor, shares subexpressions of value and slope, computes in place, and returns the saved
tensor, multiplied by `grad_output` in place, as the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from losslang.tensors.eager import is_batched_grad, is_eager
from losslang.tensors.torch_private import has_saved_tensor_hooks, memory_of

Plain = Callable[..., Any]
"""Returns the values, for autograd; for a loss that says which values count, the pair (values, counts)."""
Slope = Callable[..., tuple[Any, Tensor | Callable[[Tensor], Tensor]]]
"""Returns the same and d value / d x in the shape of x, or a function `grad_output -> grad_input`."""


def applied(
    plain: Plain, slope: Slope, options: dict[str, Any], reduction: str, x: Tensor, *others: Any
) -> Any:
    """Returns the values of a loss, or their mean or sum.

    The slope is used if x alone needs a gradient and torch neither traces nor transforms the call.
    """
    wanted = x.requires_grad and torch.is_grad_enabled() and is_eager()
    if not wanted or any(isinstance(other, Tensor) and other.requires_grad for other in others):
        values, *counted = _several(plain(x, *others, **options))
        return (values, *counted) if counted else _reduced(values, reduction)
    return _Applied.apply(Sloping(plain, slope, options, reduction), x, *others)  # pyright: ignore


class Sloping(NamedTuple):
    """A loss with its slope, its options and its reduction."""

    plain: Plain
    slope: Slope
    options: dict[str, Any]
    reduction: str


class _Applied(torch.autograd.Function):
    """Computes the slope together with the values, and saves it for backward."""

    @staticmethod
    def forward(ctx: Any, how: Sloping, x: Tensor, *others: Any) -> Any:  # pyright: ignore
        found, rise = how.slope(x, *others, **how.options)
        values, *counted = _several(found)
        is_given_up = callable(rise) or (_is_own(rise, (values, x, *others)) and not has_saved_tensor_hooks())
        ctx.rise = rise if is_given_up else None
        ctx.save_for_backward(None if is_given_up else rise, x, *others)
        if isinstance(found, Tensor):
            ctx.how, ctx.number = how, found.numel()
            return _reduced(found, how.reduction)
        ctx.how, ctx.number = how._replace(reduction="none"), 0
        ctx.mark_non_differentiable(*counted)
        return found

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor, *_: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (saved, x, *others), how = ctx.saved_tensors, ctx.how
        # The gradient overwrites the slope: a second backward computes it again.
        rise, ctx.rise = ctx.rise, None
        if torch.is_grad_enabled() or is_batched_grad(grad_output):
            # create_graph=True differentiates the gradient once more; a batched grad_output allows no in-place write.
            with torch.enable_grad():
                alone = x.view_as(x)
                values = _reduced(_several(how.plain(alone, *others, **how.options))[0], how.reduction)
            (grad_input,) = cast(
                "list[Tensor]",
                torch.autograd.grad(values, alone, grad_output, create_graph=torch.is_grad_enabled()),
            )
        else:
            share = grad_output / ctx.number if how.reduction == "mean" and ctx.number else grad_output
            if saved is not None:
                grad_input = saved * _along(share, saved)
            else:
                if rise is None:
                    _, rise = how.slope(x, *others, **how.options)
                grad_input = rise(share) if callable(rise) else rise.mul_(_along(share, rise))
        return None, grad_input, *[None] * len(others)


def _is_own(rise: Tensor, others: Sequence[Any]) -> bool:
    """Returns whether a slope shares its memory with no other tensor, and can be multiplied in place."""
    if not rise.is_floating_point() or not (rise.is_contiguous() or all(rise.stride())):
        return False
    memory = memory_of(rise.untyped_storage())
    for other in others:
        if isinstance(other, Tensor) and memory_of(other.untyped_storage()) == memory:
            return False
    return True


def _along(grad_output: Tensor, rise: Tensor) -> Tensor:
    """Broadcasts the `grad_output` of each value to all elements of x that the value reads."""
    return (
        grad_output.reshape(*grad_output.shape, *[1] * (rise.ndim - grad_output.ndim))
        if grad_output.ndim
        else grad_output
    )


def _several(found: Any) -> tuple[Tensor, ...]:
    return cast("tuple[Tensor, ...]", found) if isinstance(found, tuple) else (found,)


def _reduced(values: Tensor, reduction: str) -> Tensor:
    """Reduces values; the mean of no values is 0, as everywhere."""
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" and values.numel() else values.sum()
