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


def cleared_bits(x: Tensor, keep: Tensor, number: float = 0.0) -> Tensor:
    """Returns x with a number where the byte mask `keep` is 0, by bitwise operations on integers as wide as x.

    `keep` broadcasts against x.
    """
    if x.requires_grad and torch.is_grad_enabled():
        return _Cleared.apply(x, keep, number)  # pyright: ignore
    kind = torch.int32 if x.element_size() == 4 else torch.int64
    bits = keep.neg().to(kind)
    if number:
        other = torch.full((), number, dtype=x.dtype).view(kind)
        found = x.view(kind) & bits
        return found.bitwise_or_(bits.bitwise_not_().bitwise_and_(other)).view(x.dtype)
    own = x.view(kind)
    return (bits.bitwise_and_(own) if bits.shape == x.shape else own & bits).view(x.dtype)


class _Cleared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor, number: float) -> Tensor:  # pyright: ignore
        ctx.save_for_backward(keep)
        return cleared_bits(x.detach(), keep, number)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (keep,) = ctx.saved_tensors
        # A dual or batched tensor holds more than its own bits.
        if is_batched_grad(grad_output) or grad_output.is_neg() or not is_eager():
            return torch.where(keep != 0, grad_output, 0.0), None, None
        return cleared_bits(grad_output, keep), None, None
