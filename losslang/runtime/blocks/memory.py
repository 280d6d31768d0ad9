"""A pool for the memory of large gradients, reused from call to call.

A loss allocates a gradient of the same size in every step, and frees it before the next. malloc returns a
piece of that size to the system each time and gets it again page by page, zeroed: two fifths of the time of a
closed form. The pool keeps it mapped, in huge pages where the system has them, and lets the system take the
pages whenever it needs memory (`MADV_FREE`): their content is not needed any more.

A gradient from the pool cannot be resized beyond its size; otherwise it is a tensor as any other.
"""

from __future__ import annotations

import mmap
from collections import deque
from contextlib import suppress
from weakref import finalize

from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

IS_KNOWN = hasattr(mmap, "MADV_FREE") and hasattr(mmap, "MADV_HUGEPAGE")
"""Whether the system has these options: Linux has."""
LEAST, MOST = 2**25 - 2**16, 2**29
"""Sizes in bytes that the pool serves.

glibc reuses pieces below 32 MB (with its own header) by itself; an idle process should not hold more than the
upper bound.
"""
PIECES = 2
"""How many free pieces are kept at most: the latest ones."""


class Pieces:
    """The pieces of memory that no tensor reads any more."""

    def __init__(self) -> None:
        self.free: deque[mmap.mmap] = deque(maxlen=PIECES)

    def like(self, tensor: Tensor) -> Tensor:
        """Returns an uninitialized tensor of this shape, type and memory format."""
        size = tensor.numel() * tensor.element_size()
        if not (IS_KNOWN and tensor.is_cpu and LEAST <= size <= MOST):
            return torch.empty_like(tensor)
        try:
            piece = self._fitting(size) or _mapped(size)
        except OSError:
            # No address space is left. Freeing the pool may help; if it does not, torch raises its usual error.
            self.free.clear()
            return torch.empty_like(tensor)
        view = memoryview(piece)
        # torch's storage holds `view`, and every tensor on that memory holds the storage.
        finalize(view, self._release, piece).atexit = False
        memory = torch.frombuffer(view, dtype=tensor.dtype, count=tensor.numel()).untyped_storage()
        strides = torch.empty_like(tensor, device="meta").stride()
        return torch.empty(0, dtype=tensor.dtype, device="cpu").set_(memory, 0, tensor.shape, strides)  # pyright: ignore

    def _fitting(self, size: int) -> mmap.mmap | None:
        for _ in range(len(self.free)):
            try:
                piece = self.free.popleft()
            except IndexError:
                # Another thread took the last one.
                return None
            if size <= len(piece) <= 2 * size:
                return piece
            self.free.append(piece)
        return None

    def _release(self, piece: mmap.mmap) -> None:
        try:
            piece.madvise(mmap.MADV_FREE)
        except OSError:
            # Where the system cannot take the pages later, the piece is freed now.
            return
        # Appended last: once in the pool, another thread may take it and write to it.
        self.free.append(piece)


def _mapped(size: int) -> mmap.mmap:
    piece = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # A kernel may be built without huge pages; small ones are slower, not wrong.
    with suppress(OSError):
        piece.madvise(mmap.MADV_HUGEPAGE)
    return piece


GRADIENTS = Pieces()
