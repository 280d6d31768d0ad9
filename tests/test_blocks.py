"""Block by block is the same number: every program of the oracle's list, cut into blocks of a few elements."""

from __future__ import annotations

import pytest
from test_oracle import HAND, compare

from losslang import executor
from losslang.blocks import walk


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Everything is large, and a block holds three elements. The list counts the blocks that were walked."""
    seen: list[int] = []
    monkeypatch.setattr(executor, "LARGE", 1)
    monkeypatch.setattr(executor, "ELEMENTS", 3)
    block = walk.Maps.block
    monkeypatch.setattr(walk.Maps, "block", lambda *given: seen.append(1) or block(*given))
    return seen


@pytest.mark.parametrize(("text", "layout"), HAND, ids=lambda v: v)
def test_every_option_by_hand(text: str, layout: str, blocks: list[int]):
    compare(text, layout)
    is_walked = "reduction=none" not in text and "linear_ce" not in text
    assert (len(blocks) >= 4) == is_walked, (text, len(blocks))


TRACED = [
    ("0.5*bce(sigmoid) + dice(smooth=1)", "bin/soft"),
    ("0.5*bce(sigmoid) + dice(smooth=1)", "seg"),
    ("focal(sigmoid) + dice + 0.3*tversky", "bin"),
    ("focal(sigmoid, gamma=3) + jaccard(batch=true) + dice(squared=true)", "seg/soft"),
    ("bce(sigmoid, label_smoothing=0.1, reduction=batchmean) + focal_tversky(reduction=sum)", "seg"),
    ("focal(sigmoid, alpha=0.25)", "cls"),
    ("ce + dice", "seg"),
    ("ce + dice", "seg/channel"),
    ("ce + 2*dice(batch=true) - 0.1*jaccard + tversky(alpha=0.3, beta=0.7)", "seg3d"),
    ("focal(softmax) + dice(squared=true)", "seg1d"),
    ("ce(reduction=batchmean)", "cls"),
    ("nll@(pred) + 0*ce", "logprobs") if False else ("dice(softmax)", "seg"),
]


@pytest.mark.parametrize(("text", "layout"), TRACED, ids=lambda v: v)
def test_closed_forms(text: str, layout: str, blocks: list[int], monkeypatch: pytest.MonkeyPatch):
    """These are polynomials: not one block is differentiated by torch."""
    monkeypatch.setattr(walk.Maps, "gradients", None)
    compare(text, layout)
