"""Tensors that stand beside what is ignored, and whose gradient must not see it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from losslang.tensors.eager import is_batched_grad, is_eager


def masked_fill_grad(x: Tensor, kept: Tensor) -> Tensor:
    """x, with a gradient of 0 where it is not kept, even if none of it is a number there.

    x itself may be none there, as long as nothing reads that: this writes the gradient once more, and to hide x
    would write x too.
    """
    return _MaskedFillGrad.apply(x, kept)  # pyright: ignore


class _MaskedFillGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(kept)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (kept,) = ctx.saved_tensors
        return grad_output.masked_fill(~kept, 0.0), None


def cleared_bits(x: Tensor, kept: Tensor, kind: torch.dtype) -> Tensor:
    """x, and 0 where `kept` is 0 and not 1, by the bits of an integer as wide: all of them or none."""
    if x.requires_grad and torch.is_grad_enabled():
        return _Cleared.apply(x, kept, kind)  # pyright: ignore
    bits = kept.neg().to(kind)
    return torch.bitwise_and(x.view(kind), bits, out=bits).view(x.dtype)


class _Cleared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, kind: torch.dtype) -> Tensor:  # pyright: ignore
        ctx.save_for_backward(kept)
        ctx.kind = kind
        return cleared_bits(x.detach(), kept, kind)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (kept,) = ctx.saved_tensors
        # What is differentiated forward or batched has more to it than its bits.
        if is_batched_grad(grad_output) or grad_output.is_neg() or not is_eager():
            return torch.where(kept != 0, grad_output, 0.0), None, None
        return cleared_bits(grad_output, kept, ctx.kind), None, None
