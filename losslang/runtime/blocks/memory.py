"""The memory of large gradients, kept from call to call.

A loss makes a gradient of the same size in every step, and it is gone before the next. malloc hands a piece
that large back to the system each time, and gets it again page by page, cleared: two fifths of the time of a
closed form. Here it stays mapped, in large pages where there are such, while the system may take the pages for
anything else that needs memory: what is in them is of no use to anyone (`MADV_FREE`).

Such a gradient cannot be resized beyond what it is; all else is as of any tensor.
"""

from __future__ import annotations

import mmap
from collections import deque
from contextlib import suppress
from weakref import finalize

from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

IS_KNOWN = hasattr(mmap, "MADV_FREE") and hasattr(mmap, "MADV_HUGEPAGE")
"""Whether the system is one that can be told so: Linux is."""
LEAST, MOST = 2**25 - 2**16, 2**29
"""Bytes of what is kept. Of less than 32 MB, with what malloc adds, glibc takes care by itself, and more than the
last would be a strange sight in a process at rest.
"""
PIECES = 2
"""Kept at most, the latest."""


class Pieces:
    """Pieces of memory that no tensor reads any more."""

    def __init__(self) -> None:
        self.free: deque[mmap.mmap] = deque(maxlen=PIECES)

    def like(self, tensor: Tensor) -> Tensor:
        """A tensor of this shape, type and order of axes, with anything in it."""
        size = tensor.numel() * tensor.element_size()
        if not (IS_KNOWN and tensor.is_cpu and LEAST <= size <= MOST):
            return torch.empty_like(tensor)
        try:
            piece = self._fitting(size) or _mapped(size)
        except OSError:
            # No address is left. Without what is kept there may be; if not, torch says so as it always does.
            self.free.clear()
            return torch.empty_like(tensor)
        view = memoryview(piece)
        # The memory that torch makes of it holds `view` itself, and whatever reads that memory holds it in turn.
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
            # A system that cannot take it later gets it now.
            return
        # Not before: whoever takes it from there may write to it.
        self.free.append(piece)


def _mapped(size: int) -> mmap.mmap:
    piece = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # A kernel may be built without large pages: small ones are right, too.
    with suppress(OSError):
        piece.madvise(mmap.MADV_HUGEPAGE)
    return piece


GRADIENTS = Pieces()
