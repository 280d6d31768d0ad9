"""Scratch buffers: the memory that blocks are computed in."""

from __future__ import annotations

import threading
from typing import Any

from losslang.tensors.devices import can_read_without_sync
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

KEPT = 2**22
"""Bytes per thread up to which a buffer stays allocated between calls: those of a block, also in doubles."""


class Scratch(threading.local):
    """A stack of buffers that every block uses anew; each thread has its own.

    To allocate them for each block would cost more than the computation: malloc returns memory of this size
    to the system and gets it again page by page. The allocator of a GPU keeps it, so there `like` allocates.
    """

    def __init__(self) -> None:
        self.buffers: list[Tensor] = []
        self.in_use = 0

    def __enter__(self) -> Scratch:
        return self

    def like(self, tensor: Tensor) -> Tensor:
        """Returns an uninitialized buffer of this shape and type, in use until it is released."""
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
        """Releases all but the first `in_use` buffers: the next calls of `like` return the same memory."""
        self.in_use = in_use

    def __exit__(self, *_: object) -> None:
        """Releases all buffers, and frees those that are larger than a usual block needs."""
        self.in_use = 0
        limit = KEPT * torch.get_num_threads()
        self.buffers = [buffer for buffer in self.buffers if buffer.untyped_storage().nbytes() <= limit]


def _again(buffer: Tensor, like: Tensor) -> Tensor:
    """Returns a tensor of another shape in the memory of a buffer, or a new one if it is too small."""
    memory = buffer.untyped_storage()
    if memory.nbytes() < like.numel() * like.element_size():
        return _empty(like)
    with torch.inference_mode(False):
        empty: Any = torch.empty(0, dtype=like.dtype, device="cpu")
        return empty.set_(memory, 0, like.shape)


def _empty(like: Tensor) -> Tensor:
    # A tensor made in inference mode could not be written to outside of it.
    with torch.inference_mode(False):
        return torch.empty(like.shape, dtype=like.dtype, device="cpu")
