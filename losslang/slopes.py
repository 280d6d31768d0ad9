"""Losses whose derivative is written down: values and slopes come out of one pass over the tensors.

Torch's own derivative of a loss of six operations is six more, and a tensor kept for most of them. A loss
that knows its slope keeps that one tensor, shares what value and slope have in common, computes in place,
and hands out as the gradient the very tensor that it kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from losslang.lazy import is_eager

Plain = Callable[..., Any]
"""The values, for torch to differentiate; of a loss that says what counts, a pair with that."""
Slope = Callable[..., tuple[Any, Tensor | Callable[[Tensor], Tensor]]]
"""The same, and d value / d x, in the shape of x and with memory of its own; or what makes of the flow into the
values that into x."""


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
        ctx.save_for_backward(x, *others)
        found, ctx.rise = how.slope(x, *others, **how.options)
        if isinstance(found, Tensor):
            ctx.how, ctx.number = how, found.numel()
            return _reduced(found, how.reduction)
        _, *counted = found
        ctx.how, ctx.number = how._replace(reduction="none"), 0
        ctx.mark_non_differentiable(*counted)
        return found

    @staticmethod
    def backward(ctx: Any, flow: Tensor, *_: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x, *others), how = ctx.saved_tensors, ctx.how
        if torch.is_grad_enabled() or _stands_for_many(flow):
            # create_graph=True, of which what is handed out will be differentiated, or several flows at once.
            with torch.enable_grad():
                alone = x.view_as(x)
                values = _reduced(_several(how.plain(alone, *others, **how.options))[0], how.reduction)
            (pulled,) = cast(
                "list[Tensor]", torch.autograd.grad(values, alone, flow, create_graph=torch.is_grad_enabled())
            )
        else:
            # The slope turns into the gradient and is gone: a second backward makes it again.
            rise, ctx.rise = ctx.rise, None
            if rise is None:
                _, rise = how.slope(x, *others, **how.options)
            share = flow / ctx.number if how.reduction == "mean" and ctx.number else flow
            pulled = rise(share) if callable(rise) else _along(rise, share)
        return None, pulled, *[None] * len(others)


def _stands_for_many(flow: Tensor) -> bool:
    """Whether a flow is many at once, as under `is_grads_batched`: nothing may be added to in place."""
    return torch._C._functorch.is_legacy_batchedtensor(flow)  # pyright: ignore


def _along(rise: Tensor, flow: Tensor) -> Tensor:
    """What flows into each value, along its slope and in its place."""
    return rise.mul_(flow.reshape(*flow.shape, *[1] * (rise.ndim - flow.ndim)) if flow.ndim else flow)


def _several(found: Any) -> tuple[Tensor, ...]:
    return cast("tuple[Tensor, ...]", found) if isinstance(found, tuple) else (found,)


def _reduced(values: Tensor, reduction: str) -> Tensor:
    """The mean of no values is 0, as everywhere."""
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" and values.numel() else values.sum()
