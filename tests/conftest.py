"""What every test is given: a registry that forgets what a test has registered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from losslang.decorators import DEFINED
from losslang.registry import _registry, current_registry


@pytest.fixture(autouse=True)
def no_leak() -> Iterator[None]:
    """A loss that a test defines is gone when it ends, whatever runs next."""
    current_registry()
    known = len(DEFINED)
    yield
    if len(DEFINED) != known:
        del DEFINED[known:]
        _registry.cache_clear()
