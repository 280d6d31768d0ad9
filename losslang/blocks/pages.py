"""Large pages for a gradient: a hint to Linux, worth a fifth of the time of a large loss.

New memory comes in pages of 4 KiB, each at the price of a trap. torch asks for large ones only where
THP_MEM_ALLOC_ENABLE is set before it starts.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

from losslang.vocabulary import Tensor

HUGE = 2**21
MADV_HUGEPAGE = 14
LEAST = 16 * HUGE
"""Below, the allocator may hand out memory that it had before."""


def in_large_pages(tensor: Tensor) -> Tensor:
    """`tensor`, which nobody has written to yet."""
    if sys.platform == "linux" and tensor.device.type == "cpu" and tensor.nbytes >= LEAST:
        first = -(-tensor.data_ptr() // HUGE) * HUGE
        length = (tensor.data_ptr() + tensor.nbytes - first) // HUGE * HUGE
        # A hint: what it returns changes nothing.
        _libc().madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), MADV_HUGEPAGE)
    return tensor


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
