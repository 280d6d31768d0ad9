"""A bound program written as one function does what its calls do in turn."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import losslang
from losslang.losses.entropy import ce
from losslang.plan.operations import weights
from losslang.runtime.binding import Calls
from losslang.runtime.written import written


def told(*arguments: Any, **options: Any) -> tuple[Any, ...]:
    return (*arguments, *options.items())


def test_every_kind_of_call_is_the_one_of_the_loop():
    """A function, a partial one with options, one of a partial one, a call of no value, values that are constants."""
    calls = Calls(
        roots=2,
        template=(None, None, 7, None, torch.ones(2), None),
        calls=(
            (2, told, (0, 4)),
            (3, partial(partial(told, "first", site=ce), "second", site=torch, reduction="mean"), (2, 1, 6)),
            (5, told, ()),
            (7, partial(told), (3, 5, 4)),
        ),
    )
    slots = (7, 0, 4, 7)
    found, wanted = written(calls, slots)("a", "b"), calls.run("a", "b")
    assert found == [wanted[slot] for slot in slots]


def test_a_program_of_nothing_gives_its_roots_and_constants():
    assert written(Calls(1, (0.5,), ()), (1, 0))("root") == [0.5, "root"]


@pytest.mark.parametrize("text", ["ce(class_weight=[0.5, 1, 2])", "bce(sigmoid, pos_weight=[0.5, 1, 2])"])
def test_weights_of_a_program_are_kept_for_each_type(text: str):
    """First in inference mode, whose tensors no backward pass may read."""
    r, loss = torch.Generator().manual_seed(0), losslang.compile(text)
    numbers = torch.tensor([0.5, 1.0, 2.0])
    for dtype in (torch.float32, torch.float64, torch.float32):
        pred = torch.randn(6, 3, generator=r, dtype=dtype)
        target = torch.arange(6) % 3 if "ce(c" in text else (torch.rand(6, 3, generator=r) > 0.5).to(dtype)
        with torch.inference_mode():
            for _ in range(3):
                loss(pred, target)
        for _ in range(3):
            given = pred.clone().requires_grad_()
            form = (
                F.cross_entropy(given, target, numbers.to(dtype))
                if "ce(c" in text
                else F.binary_cross_entropy_with_logits(given, target, pos_weight=numbers.to(dtype))
            )
            value = loss(given, target)
            torch.testing.assert_close(value, form)
            torch.testing.assert_close(torch.autograd.grad(value, given), torch.autograd.grad(form, given))


def test_weights_of_a_program_are_no_step_of_a_later_call(monkeypatch: pytest.MonkeyPatch):
    loss, pred, target = (
        losslang.compile("ce(class_weight=[0.5, 1])"),
        torch.ones(3, 2),
        torch.tensor([0, 1, 1]),
    )
    made, calls = weights.kept_vector, list[Any]()
    monkeypatch.setattr(weights, "kept_vector", lambda *given: (calls.append(given), made(*given))[1])  # pyright: ignore
    for _ in range(3):
        loss(pred, target)
    assert calls
    calls.clear()
    loss(pred, target)
    assert not calls
