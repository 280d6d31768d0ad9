"""Small tensors, cut as if they were large."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from losslang.runtime import block_sizes
from losslang.runtime.compiled import _understood


@contextmanager
def cut(elements: int, *, maps: bool = True) -> Iterator[None]:
    """Every tensor is large, and a block holds about so many elements. Without `maps` closed forms alone are cut."""
    sizes: dict[str, object] = {
        "MIN_ELEMENTS": dict.fromkeys(block_sizes.MIN_ELEMENTS, 1),
        "MIN_ELEMENTS_ONE_SUM": 1,
        "MIN_ELEMENTS_GPU": 1,
        "FEWEST": 0,
    }
    sizes |= {"MIN_ELEMENTS_AUTOGRAD": 1, "MIN_ELEMENTS_GPU_AUTOGRAD": 1} if maps else {}
    # A program keeps what it decided for a shape.
    _understood.cache_clear()
    try:
        with patch.multiple(block_sizes, block=lambda *_: elements, **sizes):
            yield
    finally:
        _understood.cache_clear()
