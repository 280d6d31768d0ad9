"""Masking of gradients: NaN in masked elements must reach no other gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from losslang.tensors.eager import is_batched_grad, is_eager


def masked_fill_grad(x: Tensor, keep: Tensor) -> Tensor:
    """Returns x unchanged; its gradient is 0 where `keep` is False, even if the incoming one is NaN there.

    Shapes: `keep` is boolean and broadcasts against x. Costs one write of the gradient, none of x.
    """
    return _MaskedFillGrad.apply(x, keep)  # pyright: ignore


class _MaskedFillGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(keep)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (keep,) = ctx.saved_tensors
        return grad_output.masked_fill(~keep, 0.0), None


def cleared_bits(x: Tensor, keep: Tensor, kind: torch.dtype) -> Tensor:
    """Returns x with 0 where the byte mask `keep` is 0, by a bitwise and with integers as wide (`kind`)."""
    if x.requires_grad and torch.is_grad_enabled():
        return _Cleared.apply(x, keep, kind)  # pyright: ignore
    bits = keep.neg().to(kind)
    return torch.bitwise_and(x.view(kind), bits, out=bits).view(x.dtype)


class _Cleared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor, kind: torch.dtype) -> Tensor:  # pyright: ignore
        ctx.save_for_backward(keep)
        ctx.kind = kind
        return cleared_bits(x.detach(), keep, kind)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (keep,) = ctx.saved_tensors
        # A dual or batched tensor holds more than its own bits.
        if is_batched_grad(grad_output) or grad_output.is_neg() or not is_eager():
            return torch.where(keep != 0, grad_output, 0.0), None, None
        return cleared_bits(grad_output, keep, ctx.kind), None, None
