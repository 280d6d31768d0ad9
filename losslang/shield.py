"""Tensors that stand beside what is ignored, and whose gradient must not see it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def shielded(x: Tensor, kept: Tensor) -> Tensor:
    """x, with a gradient of 0 where it is not kept, even if none of it is a number there.

    x itself may be none there, as long as nothing reads that: this writes the gradient once more, and to hide x
    would write x too.
    """
    return _Shielded.apply(x, kept)  # pyright: ignore


class _Shielded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(kept)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, flow: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (kept,) = ctx.saved_tensors
        return flow.masked_fill(~kept, 0.0), None
