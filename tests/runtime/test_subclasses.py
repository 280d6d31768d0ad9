"""Tensors of subclasses that override `__torch_function__` alone run as plain tensors: no operation reaches the subclass."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from _executors import ways
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import losslang
from losslang.tensors.subclasses import is_dressed, undressed

R = torch.Generator().manual_seed(3)
LOGITS, TRUTH = torch.randn(4, 3, 6, 5, generator=R), torch.rand(4, 3, 6, 5, generator=R)
LABELS = torch.randint(3, (4, 6, 5), generator=R)
VALID, ROWS = torch.rand(4, 6, 5, generator=R) < 0.7, torch.rand(4, generator=R)
SHARES = torch.tensor([1.0, 2.0, 3.0])


class Loud(torch.Tensor):
    """A subclass that lets nothing but its attributes and its size be read."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name not in ("__get__", "__set__", "numel", "backward", "requires_grad_"):
            raise AssertionError(f"{name} of a subclass")
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


class Quiet(torch.Tensor):
    """A subclass that is none but in name, which every operation hands on."""


@dataclass
class Out:
    seg: Tensor


def loud(value: Tensor) -> Tensor:
    return torch.Tensor.as_subclass(value, Loud)


PROGRAMS: dict[str, tuple[str, Any, Any, dict[str, Any]]] = {
    "prediction, labels and mask": ("ce(mask=batch.valid) + dice", LOGITS, LABELS, {"valid": VALID}),
    "ignored labels": ("ce(ignore_index=1) + dice", LOGITS, LABELS, {}),
    "labels of small integers": ("ce + dice", LOGITS, LABELS.to(torch.uint16), {}),
    "half precision": ("ce", LOGITS.half(), LABELS, {}),
    "weights": ("batch.w*ce(class_weight=batch.share)", LOGITS, LABELS, {"w": ROWS, "share": SHARES}),
    "a further operand": ("gaussian_nll(variance=batch.var)", LOGITS, TRUTH, {"var": TRUTH + 0.1}),
    "arithmetic": ("mean(batch.w*(pred - target)**2)", LOGITS, TRUTH, {"w": TRUTH}),
    "slices": ("mse@(pred[0:2], target[1:])", LOGITS, TRUTH, {}),
    "a scalar of the model": ("mse + batch.aux", LOGITS, TRUTH, {"aux": torch.tensor(2.0)}),
    "values": ("mse(reduction=none)", LOGITS, TRUTH, {}),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_subclass_gives_the_plain_number_and_gradient(name: str) -> None:
    text, pred, target, batch = PROGRAMS[name]
    loss = losslang.compile(text)
    plain = pred.clone().requires_grad_()
    wanted = loss(plain, target, **batch)
    wanted.sum().backward()
    for _ in range(3):
        leaf = loud(pred.clone()).requires_grad_()
        given = {key: loud(value) for key, value in batch.items()}
        value = loss(leaf, loud(target), **given)
        assert type(value) is Tensor
        assert torch.equal(value, wanted)
        value.sum().backward()
        assert plain.grad is not None
        assert leaf.grad is not None
        assert torch.equal(undressed(leaf.grad), plain.grad)


@pytest.mark.parametrize(
    ("text", "wrap"),
    [
        ("(ce + dice)@seg", lambda value: {"seg": value}),
        ("(ce + dice)@seg", lambda value: Out(value)),
        ("(ce + dice)@(pred[0], target[0])", lambda value: [value]),
    ],
)
def test_inside_of_mappings_lists_and_records(text: str, wrap: Callable[[Tensor], Any]) -> None:
    loss = losslang.compile(text)
    wanted = loss(wrap(LOGITS), wrap(LABELS))
    for _ in range(2):
        assert torch.equal(loss(wrap(loud(LOGITS)), wrap(loud(LABELS))), wanted)


def test_detail_and_terms_are_plain() -> None:
    loss = losslang.compile("ce + dice + metric(zero_one)")
    leaf = loud(LOGITS.clone()).requires_grad_()
    detail = loss.detail(leaf, loud(LABELS))
    assert {type(value) for value in detail if not isinstance(value, (tuple, dict))} == {Tensor}
    assert torch.equal(detail.values, loss.detail(LOGITS, LABELS).values)
    terms = loss.terms(leaf, loud(LABELS))
    assert {type(value) for value in terms.values()} == {Tensor}
    assert all(value.requires_grad for value in terms.values())


def test_large_ones_take_the_way_of_plain_ones() -> None:
    pred, target = torch.randn(2, 8, 256, 256, generator=R), torch.randint(8, (2, 256, 256), generator=R)
    passed = ways("ce + dice", pred, target)
    assert "in blocks" in passed
    assert ways("ce + dice", pred, loud(target)) == ["converted", *passed]
    assert ways("ce + dice", loud(pred), loud(target)) == ["converted", *passed]


def test_fused_plans_take_them() -> None:
    loss = losslang.compile("0.5*mse + l1")
    loss._programs.total.fuse = "eager"  # type: ignore[assignment]
    try:
        assert torch.equal(loss(loud(LOGITS), loud(TRUTH)), loss(LOGITS, TRUTH))
    finally:
        loss._programs.total.fuse = None


def test_a_wrong_shape_is_named() -> None:
    with pytest.raises(losslang.LossError, match=r"E504.*has shape \(4, 6\), the prediction \(4, 3, 6, 5\)"):
        losslang.compile("ce")(loud(LOGITS), loud(LABELS[..., 0]))


# ---------------------------------------------------------------------------- constants and parameters


def test_a_constant_becomes_plain_where_it_is_given() -> None:
    loss = losslang.compile("ce(class_weight=const.w)", const={"w": loud(SHARES.clone())})
    assert type(loss.const["w"]) is Tensor
    wanted = losslang.compile("ce(class_weight=const.w)", const={"w": SHARES})(LOGITS, LABELS)
    for twin in (loss, copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert torch.equal(twin(LOGITS, LABELS), wanted)


def test_a_trained_constant_stays_itself() -> None:
    share = loud(SHARES.clone()).requires_grad_()
    loss = losslang.compile("ce(class_weight=const.w)", const={"w": share})
    assert loss.const["w"] is share
    loss(LOGITS, LABELS).backward()
    assert share.grad is not None
    learned = nn.Parameter(torch.Tensor.as_subclass(SHARES.clone(), Quiet))
    loss = losslang.compile("ce(class_weight=const.w)", const={"w": learned})
    assert list(loss.parameters()) == [learned]
    value = loss(LOGITS, LABELS)
    assert type(value) is Tensor
    value.backward()
    assert learned.grad is not None


def test_parameters_of_models() -> None:
    weight = nn.Parameter(torch.Tensor.as_subclass(torch.ones(7, 3), Quiet))
    assert type(weight) is Quiet
    value = losslang.compile("l2_reg", params=[("weight", weight)])()
    assert type(value) is Tensor
    assert value.item() == 10.5
    head = nn.Linear(3, 7, bias=False)
    head.weight = weight
    hidden, tokens = torch.randn(5, 3, generator=R), torch.randint(7, (5,), generator=R)
    value = losslang.compile("linear_ce(head=const.head)", const={"head": head})(hidden, tokens)
    assert type(value) is Tensor


# ---------------------------------------------------------------------------- what is left alone


def test_what_computes_otherwise_is_left_alone() -> None:
    import warnings

    fake = FakeTensorMode().from_tensor(LOGITS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # masked tensors and nested ones are prototypes
        masked = torch.masked.as_masked_tensor(LOGITS, LOGITS > 0)
        nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    lazy = nn.LazyLinear(3).weight
    plain = (LOGITS, nn.Parameter(LOGITS), nn.Buffer(LOGITS))
    for value in (fake, masked, nested, lazy, *plain):
        assert not is_dressed(value)
        assert undressed(value) is value
    assert is_dressed(loud(LOGITS))


def test_transforms_of_torch_func() -> None:
    loss = losslang.compile("mse")
    quiet = torch.Tensor.as_subclass(LOGITS, Quiet)
    wanted = torch.func.vmap(loss)(LOGITS, TRUTH)
    torch.testing.assert_close(torch.func.vmap(loss)(quiet, TRUTH), wanted)
    slope = torch.func.grad(loss)(quiet, TRUTH)
    torch.testing.assert_close(undressed(slope), torch.func.grad(loss)(LOGITS, TRUTH))


def test_torch_compile_reads_a_subclass_as_torch_does() -> None:
    """Dynamo cannot leave a subclass: it hands its operations on, and the number is the same."""
    loss = losslang.compile("ce + dice")
    quiet = torch.Tensor.as_subclass(LOGITS, Quiet)
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(undressed(compiled(quiet, LABELS)), loss(LOGITS, LABELS))
