"""What is found out of a call on a model of it in small: which calls have one, and what a refusal says."""

from __future__ import annotations

from contextlib import nullcontext
from math import prod
from typing import Any

import pytest
import torch
from cutting import cut
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import losslang
from losslang.runtime import fitting
from losslang.runtime.compiled import _understood
from losslang.runtime.kinds import CHEAP, Model


class Elements(TorchDispatchMode):
    """Counts the elements of what is computed, but for tensors without data."""

    def __init__(self) -> None:
        super().__init__()
        self.computed = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor) and not found.is_meta and not found._is_view():
            self.computed += found.numel()
        return found


def volumes(number: int) -> tuple[list[Tensor], list[Tensor]]:
    """Predictions of ever new sizes, all within a call, and their labels."""
    sizes = [range(14 + 3 * i, 17 + 3 * i) for i in range(number)]
    torch.manual_seed(number)
    pred = [torch.randn(1, 4, *size, requires_grad=True) for size in sizes]
    return pred, [torch.randint(4, (1, *size)) for size in sizes]


def test_many_sizes_in_one_call_compute_no_more_than_it_does_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size would be a prime of its own, the last ones larger than what they stand for."""
    pred, target = volumes(8)
    counted, run = Elements(), fitting._found
    asked = 0

    def found(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        with counted:
            return run(*arguments)

    monkeypatch.setattr(fitting, "_found", found)
    _understood.cache_clear()
    loss = losslang.compile("each(ce + dice, over=[pred, target])")
    with cut(60):
        value = loss(pred, target)
    _understood.cache_clear()
    assert asked
    assert counted.computed <= sum(map(Tensor.numel, pred))
    torch.testing.assert_close(
        value, sum(losslang.compile("ce + dice")(*pair) for pair in zip(pred, target, strict=True))
    )


@pytest.mark.parametrize("number", [1, 2, 16, 25, 40])
def test_a_model_is_small_or_the_call_itself(number: int) -> None:
    pred, target = volumes(number)
    shapes = [value.shape for value in (*pred, *target)]
    model = Model(shapes, frozenset())
    small = [model.shape(shape) for shape in shapes]
    assert model.is_small == (number <= 2)
    assert small == shapes or sum(map(prod, small)) <= CHEAP
    assert [model.shape_behind(shape) for shape in small] == shapes
    assert all(zeros.untyped_storage().nbytes() <= 8 for zeros in model.inputs([*pred, *target]))


def test_a_size_that_the_program_names_makes_no_large_model() -> None:
    model = Model([(2, 21, 512, 512), (2, 512, 512)], frozenset({512}))
    assert not model.is_small
    assert model.shape((2, 21, 512, 512)) == (2, 21, 512, 512)


@pytest.mark.parametrize(
    "shape", [(32, 21, 512, 640), (2, 14, 96, 128, 160), (2, 3, 1024, 1024), (4096, 1000)]
)
def test_the_usual_call_has_a_small_model(shape: tuple[int, ...]) -> None:
    """What has none is asked for its shapes without data, which imports torch._dynamo."""
    model = Model([shape, (shape[0], *shape[2:])], frozenset())
    assert model.is_small
    assert prod(model.shape(shape)) <= max(CHEAP, prod(shape) // 16)


ROWS = ("focal(softmax, {})", "poly({})", "multi_margin({})", "ce({0}) + bce(softmax, {0})")


@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "in blocks"])
@pytest.mark.parametrize("text", ROWS)
def test_a_later_refusal_speaks_of_the_shapes_of_the_call(text: str, is_cut: bool, calls: int) -> None:
    """With the repair of a first call, which pasted works."""
    text = text.format("channels=last")
    pred, labels = torch.randn(2, 40, 40, 4), torch.randint(4, (2, 40, 40))
    wrong = {labels[..., :39]: r"\(2, 40, 39\)", labels.flatten(1): r"`target.reshape\(2, 40, 40\)`"}
    with cut(60) if is_cut else nullcontext():
        loss = losslang.compile(text)
        for _ in range(calls):
            value = loss(pred, labels)
        for target, said in wrong.items():
            with pytest.raises(losslang.LossError, match=said) as refused:
                loss(pred, target)
            assert "13" not in str(refused.value)
            assert "17" not in str(refused.value)
        torch.testing.assert_close(loss(pred, labels.flatten(1).reshape(2, 40, 40)), value)


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "in blocks"])
@pytest.mark.parametrize(
    "text", ["mse({}) + bce(sigmoid, {})", "mse({}) + dice(sigmoid, {})", "l1({}) + focal(sigmoid, {})"]
)
def test_the_first_term_that_does_not_fit_is_named(text: str, is_cut: bool) -> None:
    text = text.format("channels=last", "channels=last")
    first = text.partition("(")[0]
    with cut(60) if is_cut else nullcontext():
        loss = losslang.compile(text)
        for _ in range(2):
            with pytest.raises(losslang.LossError, match=f"`target` of `{first}` has shape"):
                loss(torch.randn(2, 31, 31, 14), torch.zeros(1, 31, 31, 14))
            loss(torch.randn(2, 31, 31, 14), torch.zeros(2, 31, 31, 14))
