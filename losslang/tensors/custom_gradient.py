"""Losses whose derivative is written down: values and slopes come out of one pass over the tensors.

Torch's own derivative of a loss of six operations is six more, and a tensor kept for most of them. A loss
that knows its slope keeps that one tensor, shares what value and slope have in common, computes in place,
and hands out as the gradient the very tensor that it kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from losslang.tensors.eager import is_batched_grad, is_eager
from losslang.tensors.torch_private import has_saved_tensor_hooks, memory_of

Plain = Callable[..., Any]
"""The values, for torch to differentiate; of a loss that says what counts, a pair with that."""
Slope = Callable[..., tuple[Any, Tensor | Callable[[Tensor], Tensor]]]
"""The same, and d value / d x, in the shape of x; or what makes of the flow into the values that into x."""


def applied(
    plain: Plain, slope: Slope, options: dict[str, Any], reduction: str, x: Tensor, *others: Any
) -> Any:
    """The values of a loss, or their mean or sum.

    The slope serves where x alone wants a gradient, and nothing traces or transforms the call.
    """
    wanted = x.requires_grad and torch.is_grad_enabled() and is_eager()
    if not wanted or any(isinstance(other, Tensor) and other.requires_grad for other in others):
        values, *counted = _several(plain(x, *others, **options))
        return (values, *counted) if counted else _reduced(values, reduction)
    return _Applied.apply(Sloping(plain, slope, options, reduction), x, *others)  # pyright: ignore


class Sloping(NamedTuple):
    """A loss with its slope, its options, and the reduction that is asked of it."""

    plain: Plain
    slope: Slope
    options: dict[str, Any]
    reduction: str


class _Applied(torch.autograd.Function):
    """The slope is made with the values, and waits for what flows back."""

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
        # What is given up turns into the gradient and is gone: a second backward makes it again.
        rise, ctx.rise = ctx.rise, None
        if torch.is_grad_enabled() or is_batched_grad(grad_output):
            # create_graph=True, of which what is handed out will be differentiated, or several flows at once.
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
    """Whether a slope has memory that nobody else reads, and can be multiplied in place."""
    if not rise.is_floating_point() or not (rise.is_contiguous() or all(rise.stride())):
        return False
    memory = memory_of(rise.untyped_storage())
    for other in others:
        if isinstance(other, Tensor) and memory_of(other.untyped_storage()) == memory:
            return False
    return True


def _along(grad_output: Tensor, rise: Tensor) -> Tensor:
    """What flows into each value, beside all elements of x that the value reads."""
    return (
        grad_output.reshape(*grad_output.shape, *[1] * (rise.ndim - grad_output.ndim))
        if grad_output.ndim
        else grad_output
    )


def _several(found: Any) -> tuple[Tensor, ...]:
    return cast("tuple[Tensor, ...]", found) if isinstance(found, tuple) else (found,)


def _reduced(values: Tensor, reduction: str) -> Tensor:
    """The mean of no values is 0, as everywhere."""
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" and values.numel() else values.sum()
