"""The memory that blocks are computed in."""

from __future__ import annotations

import threading
from typing import Any

from losslang.runtime.blocks.cut import workers
from losslang.tensors.devices import can_read_without_sync
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

KEPT = 2**22
"""Bytes, for each thread, of a buffer that is kept from call to call: those of a block, and room for doubles."""


class Scratch(threading.local):
    """The tensors that blocks are computed in, the same ones for every block; each thread has its own.

    Allocated anew they would cost more than what is computed in them: the allocator hands memory of
    this size back to the system, and gets it again page by page. That of a GPU keeps it by itself.
    """

    def __init__(self) -> None:
        self.buffers: list[Tensor] = []
        self.in_use = 0

    def __enter__(self) -> Scratch:
        return self

    def like(self, tensor: Tensor) -> Tensor:
        """A tensor of this shape and type, with anything in it, until it is taken back."""
        if not can_read_without_sync(tensor):
            return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
        if self.in_use == len(self.buffers):
            self.buffers.append(_empty(tensor))
        found = self.buffers[self.in_use]
        if found.shape != tensor.shape or found.dtype != tensor.dtype:
            found = self.buffers[self.in_use] = _again(found, tensor)
        self.in_use += 1
        return found

    def release(self, in_use: int) -> None:
        """Takes back all but the first `in_use` tensors: the next ones are the same memory."""
        self.in_use = in_use

    def __exit__(self, *_: object) -> None:
        """Nothing reads them any more; what an uncommonly large one took is given back."""
        self.in_use = 0
        kept = KEPT * workers()
        self.buffers = [buffer for buffer in self.buffers if buffer.untyped_storage().nbytes() <= kept]


def _again(buffer: Tensor, like: Tensor) -> Tensor:
    """Another tensor in the memory of a buffer, if it has room for it."""
    memory = buffer.untyped_storage()
    if memory.nbytes() < like.numel() * like.element_size():
        return _empty(like)
    with torch.inference_mode(False):
        empty: Any = torch.empty(0, dtype=like.dtype, device="cpu")
        return empty.set_(memory, 0, like.shape)


def _empty(like: Tensor) -> Tensor:
    # What is made in inference mode could not be written to outside of it.
    with torch.inference_mode(False):
        return torch.empty(like.shape, dtype=like.dtype, device="cpu")
