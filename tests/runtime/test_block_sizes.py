"""From which size on tensors are cut, and into what."""

from __future__ import annotations

import pytest
import torch

import losslang
from losslang.runtime import block_sizes

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The elements of a block of every walk that is made."""
    found, of = list[int](), block_sizes.AutogradEvaluator.of
    monkeypatch.setattr(
        block_sizes.AutogradEvaluator, "of", lambda *given: found.append(given[-1]) or of(*given)
    )
    return found


@pytest.mark.parametrize(
    ("text", "shape", "is_cut"),
    [
        ("ce + dice", (1, 2, 2**17), True),
        ("ce + dice", (1, 2, 2**17 - 1), False),
        ("0.5*bce(sigmoid) + dice", (1, 1, 2**19), True),
        ("0.5*bce(sigmoid) + dice", (1, 1, 2**19 - 1), False),
        ("dice(sigmoid)", (1, 1, 2**20), False),
        ("dice(sigmoid)", (1, 1, 2**21), True),
        ("dice(sigmoid, mask=batch.m)", (1, 1, 2**20), False),
        ("bce(sigmoid, mask=batch.m)", (1, 1, 2**21), True),
        ("bce(sigmoid, mask=batch.m) + dice(mask=batch.m)", (1, 1, 2**20), True),
        ("bce(sigmoid, mask=batch.m) + dice(mask=batch.m)", (1, 1, 2**20 - 1), False),
        ("l1 + huber", (1, 1, 2**22), False),
        ("l1 + huber", (1, 1, 2**23), True),
    ],
)
def test_what_is_large(text: str, shape: tuple[int, ...], is_cut: bool, asked: list[int]):
    """Where a walk takes less time than the whole plan: by its activation, and by how many sums it has."""
    pred = torch.zeros(shape, requires_grad=True)
    target = torch.zeros(1, *shape[2:], dtype=torch.long) if text.startswith("ce") else torch.zeros(shape)
    mask = torch.arange(shape[-1]).expand(1, -1) > 0
    losslang.compile(text)(pred, target, m=mask).backward()
    assert bool(asked) == is_cut


@pytest.mark.parametrize(("threads", "elements"), [(1, 3 * 2**19), (2, 2**22), (16, 2**23)])
def test_one_sum_is_walked_over_where_a_team_computes_it(threads: int, elements: int, asked: list[int]):
    torch.set_num_threads(threads)
    loss = losslang.compile(f"bce(sigmoid) + {threads}*0")
    for size, is_cut in ((elements - 1, False), (elements, True)):
        pred = torch.zeros(1, 1, size, requires_grad=True)
        loss(pred, torch.zeros(1, 1, size)).backward()
        assert bool(asked) == is_cut
