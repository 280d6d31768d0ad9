"""Small tensors, cut as if they were large."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from losslang import large, module


@contextmanager
def cut(elements: int) -> Iterator[None]:
    """Every tensor is large, and a block holds about so many elements."""
    sizes = {"SEVERAL": dict.fromkeys(large.SEVERAL, 1), "ALONE": 1, "MAPS": 1, "FAR": 1, "FAR_MAPS": 1}
    # A program keeps what it decided for a shape.
    module._understood.cache_clear()
    with patch.multiple(large, block=lambda *_: elements, **sizes):
        yield
    module._understood.cache_clear()
