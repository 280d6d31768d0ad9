"""Chunks of rows of a linear layer, of the size that they have outside of tests."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import losslang
from losslang.tensors import linear_cross_entropy


@pytest.mark.parametrize("trained", [0.0, 4.0, 16.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_as_near_to_float64_as_torchs(
    dtype: torch.dtype, trained: float, monkeypatch: pytest.MonkeyPatch
):
    """From the first step to the last, where every class is known, by chunks of the usual size."""
    monkeypatch.setattr(linear_cross_entropy, "SMALL", 0)
    r = torch.Generator().manual_seed(0)
    weight = torch.randn(2000, 64, generator=r) / 8
    target = torch.randint(2000, (600,), generator=r)
    hidden = torch.randn(600, 64, generator=r) + trained * weight[target]
    given = [x.to(dtype).requires_grad_() for x in (hidden, weight)]
    exact = [x.detach().double().requires_grad_() for x in given]
    wanted = torch.autograd.grad(F.cross_entropy(F.linear(*exact), target), exact)
    loss = losslang.compile("linear_ce(head=batch.weight)")
    found = torch.autograd.grad(loss(given[0], target, weight=given[1]), given)
    torchs = torch.autograd.grad(F.cross_entropy(F.linear(*given), target), given)
    for ours, theirs, true in zip(found, torchs, wanted, strict=True):
        assert (ours - true).norm() <= 1.01 * (theirs - true).norm()
