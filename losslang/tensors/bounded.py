"""Numbers that are held between bounds, and come back from outside of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from losslang.tensors.eager import compiles


def held_between(x: Tensor, low: float | None, high: float | None) -> Tensor:
    """Returns x within its bounds; outside of them a gradient passes that leads back, and no other.

    The gradient of a clamp is 0 there: what an optimizer has moved over a bound would stay there for ever.
    """
    # torch.compile takes no function with a derivative for forward mode.
    return (_Held if compiles() else _HeldForward).apply(x, low, high)  # pyright: ignore


class _Held(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, low: float | None, high: float | None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return x.clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, ctx.low, ctx.high = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        # A step goes against the gradient.
        if ctx.low is not None:
            grad_output = torch.where((x < ctx.low) & (grad_output > 0), 0.0, grad_output)
        if ctx.high is not None:
            grad_output = torch.where((x > ctx.high) & (grad_output < 0), 0.0, grad_output)
        return grad_output, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> Any:
        return held_between(*inputs), in_dims[0]


class _HeldForward(_Held):
    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        return torch.where(x.clamp(ctx.low, ctx.high) == x, tangent, 0.0)
