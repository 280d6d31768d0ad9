"""What every test is given: a registry that forgets what a test has registered; and small tensors cut like large ones."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from cutting import cut

from losslang.primitives.decorators import DEFINED
from losslang.registry import _registry, current_registry
from losslang.runtime.blocks.cut import Cut
from losslang.runtime.closed import evaluator
from losslang.runtime.closed.scratch import Scratch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shuffle", type=int, metavar="SEED", help="run the tests in a random order: no test needs another"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Processes side by side have a core each, and so have those that they start."""
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seed = config.getoption("--shuffle")
    if seed is not None:
        Random(seed).shuffle(items)


def pytest_collection_finish() -> None:
    """Every collection of garbage would walk over all that torch and thousands of tests hold: half a second each."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that wants one graph starts with none: torch gives up after eight versions of one function."""
    code = getattr(getattr(item, "function", None), "__code__", None)
    keywords = (c for c in code.co_consts if isinstance(c, tuple)) if code is not None else ()
    if any("fullgraph" in names for names in keywords):
        import torch

        torch.compiler.reset()


@pytest.fixture(autouse=True)
def no_leak() -> Iterator[None]:
    """A loss that a test defines is gone when it ends, whatever runs next."""
    current_registry()
    known = len(DEFINED)
    yield
    if len(DEFINED) != known:
        del DEFINED[known:]
        _registry.cache_clear()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sizes of walks are those of one thread of torch."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def cut_small(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Everything is large, and a block holds three elements. The list grows with every part that is cut off."""
    seen: list[int] = []
    parts = Cut.parts

    def seeing(own: Cut, value: Any) -> list[Any]:
        found = parts(own, value)
        seen.extend([1] * len(found))
        return found

    monkeypatch.setattr(Cut, "parts", seeing)
    with cut(3):
        yield seen


@pytest.fixture
def fresh_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers of their own: those that a test before has left are cut anew, which is counted as an operation."""
    monkeypatch.setattr(evaluator, "SCRATCH", Scratch())
