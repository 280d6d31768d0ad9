"""Block by block is the same number: every program of the oracle's list, cut into blocks of a few elements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_oracle import HAND, compare, compiled, data, program

import losslang
from losslang import executor
from losslang.blocks import walk


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Everything is large, and a block holds three elements. The list counts the blocks that were walked."""
    seen: list[int] = []
    monkeypatch.setattr(executor, "LARGE", 1)
    monkeypatch.setattr(walk, "ELEMENTS", 3)
    parts = walk.Maps.parts
    monkeypatch.setattr(walk.Maps, "parts", lambda self, inputs: seen.append(1) or parts(self, inputs))
    yield seen


@pytest.mark.parametrize(("text", "layout"), HAND, ids=lambda v: v)
def test_every_option_by_hand(text: str, layout: str, blocks: list[int]):
    compare(text, layout)
    is_walked = "reduction=none" not in text
    assert (len(blocks) >= 4) == is_walked, (text, len(blocks))
