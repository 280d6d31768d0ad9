"""`linear_ce`: the last layer and its cross entropy in one, without the logits."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import losslang
from losslang.tensors import linear_chunks, linear_cross_entropy

ROWS, WIDTH, CLASSES = 10, 6, 17
TEXT = "linear_ce(head=const.head)"


@pytest.fixture(params=[3, ROWS, 1, 0], ids=lambda n: f"{n} rows a chunk" if n else "whole", autouse=True)
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Every test with chunks that leave a rest, with a single one, row by row, and of all logits at once."""
    if request.param:
        monkeypatch.setattr(linear_cross_entropy, "SMALL", 0)
        monkeypatch.setattr(linear_chunks, "CHUNK", request.param * CLASSES * 8)
        monkeypatch.setattr(linear_chunks, "FEW", 1)
        monkeypatch.setattr(linear_chunks, "FEW_HALF", 1)
        monkeypatch.setattr(linear_chunks, "PIECE", 2 * CLASSES)
    return request.param


def layer(bias: bool = True, dtype: torch.dtype = torch.float64) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(WIDTH, CLASSES, bias=bias, dtype=dtype)


def data(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Hidden states that want a gradient, and classes, of which a third is ignored."""
    r = torch.Generator().manual_seed(1)
    shape = shape or (ROWS,)
    hidden = torch.randn(*shape, WIDTH, generator=r, dtype=torch.float64).to(dtype)
    target = torch.randint(0, CLASSES, shape, generator=r)
    return hidden.requires_grad_(), target.masked_fill(torch.rand(shape, generator=r) < 0.3, -100)


def compiled(head: Any, *options: str) -> losslang.Loss:
    inside = ", ".join(["head=const.head", *options])
    return losslang.compile(f"linear_ce({inside})", const={"head": head})


def gradients(value: Tensor, hidden: Tensor, head: nn.Linear, **more: Any) -> list[Tensor]:
    return list(torch.autograd.grad(value, [hidden, *head.parameters()], **more))


def same(found: Any, wanted: Any, **within: Any) -> None:
    torch.testing.assert_close(found, wanted, **(within or {"rtol": 1e-12, "atol": 1e-13}))


# -------------------------------------------------------------------- values and gradients


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(ROWS,), (2, 5), (2, 1, 5)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_is_the_layer_and_torchs_cross_entropy(
    bias: bool, shape: tuple[int, ...], smoothing: float, reduction: str
):
    head, (hidden, target) = layer(bias), data(*shape)
    options = [f"label_smoothing={smoothing}", f"reduction={reduction}"]
    options += ["channels=last"] if hidden.ndim > 3 else []
    found = compiled(head, *options)(hidden, target)
    logits = head(hidden).flatten(0, -2)
    wanted = F.cross_entropy(logits, target.flatten(), reduction=reduction, label_smoothing=smoothing)
    same(found, wanted)
    same(gradients(found, hidden, head), gradients(wanted, hidden, head))


def test_what_is_not_ignored_is_no_label():
    """torch's own number to ignore is a label like any other, and none of this layer."""
    head, (hidden, target) = layer(), data()
    loss = losslang.compile(
        "linear_ce(head=const.head, ignore_index=255)", const={"head": head}, validate="never"
    )
    with pytest.raises((IndexError, RuntimeError), match="-100"):
        loss(hidden, target)


def capped(head: nn.Linear, hidden: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(2 * torch.tanh(head(hidden) / 2), target)


def test_softcap():
    head, (hidden, target) = layer(), data()
    found, wanted = compiled(head, "softcap=2")(hidden, target), capped(head, hidden, target)
    same(found, wanted)
    same(gradients(found, hidden, head), gradients(wanted, hidden, head))


@pytest.mark.parametrize("option", ["", "label_smoothing=0.2", "softcap=1.5"])
@pytest.mark.parametrize("reduction", ["reduction=none", "reduction=mean"])
def test_gradcheck(option: str, reduction: str):
    """Through the rows and the weight; `none` lets something else flow into every row."""
    r = torch.Generator().manual_seed(3)
    hidden = torch.randn(4, 3, generator=r, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 3, generator=r, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([4, -100, 0, 2])
    options = ", ".join(["head=batch.head", reduction, *filter(None, [option])])
    loss = losslang.compile(f"linear_ce({options})")

    def function(hidden: Tensor, weight: Tensor) -> Tensor:
        return loss(hidden, target, head=weight)

    assert torch.autograd.gradcheck(function, (hidden, weight))
    assert torch.autograd.gradgradcheck(function, (hidden, weight))


def test_rows_of_different_weight():
    head, (hidden, target) = layer(), data()
    weights = torch.arange(ROWS).double()
    found = compiled(head, "weight=batch.w", "reduction=sum")(hidden, target, w=weights)
    wanted = (weights * F.cross_entropy(head(hidden), target, reduction="none")).sum()
    same(found, wanted)
    same(gradients(found, hidden, head), gradients(wanted, hidden, head))


@pytest.mark.parametrize("weighs", [False, True])
def test_a_second_backward_pass_is_right(weighs: bool):
    """What the first one hands out is the caller's, who may write into it."""
    head, (hidden, target) = layer(), data()
    loss = compiled(head, *(["weight=batch.w"] if weighs else []))
    value = loss(hidden, target, w=torch.arange(ROWS).double())
    first = gradients(value, hidden, head, retain_graph=True)
    kept = [g.clone() for g in first]
    for gradient in first:
        gradient.zero_()
    same(gradients(3 * value, hidden, head), [3 * g for g in kept])


def test_a_gradient_of_a_gradient():
    """create_graph=True: a gradient penalty."""
    head, (hidden, target) = layer(), data()
    penalties = []
    for value in (compiled(head)(hidden, target), F.cross_entropy(head(hidden), target)):
        (slope,) = torch.autograd.grad(value, hidden, create_graph=True)
        penalties.append(gradients(slope.square().sum(), hidden, head, allow_unused=True))
    same(penalties[0], penalties[1])


@pytest.mark.parametrize("learns", ["hidden", "head"])
def test_only_the_gradients_that_are_wanted(learns: str):
    head, (hidden, target) = layer(), data()
    if learns == "hidden":
        head.requires_grad_(False)
    else:
        hidden = hidden.detach()
    compiled(head)(hidden, target).backward()
    assert (hidden.grad is None) is (learns == "head")
    assert (head.weight.grad is None) is (head.bias.grad is None) is (learns == "hidden")


def test_a_gradient_reaches_the_module_that_was_handed_over():
    head, (hidden, target) = layer(), data()
    loss = compiled(head)
    assert {id(p) for p in loss.parameters()} == {id(p) for p in head.parameters()}
    loss(hidden, target).backward()
    found = [hidden.grad, head.weight.grad, head.bias.grad]
    same(found, gradients(F.cross_entropy(head(hidden), target), hidden, head))


def test_a_copy_has_its_own_head():
    head, (hidden, target) = layer(), data()
    loss = compiled(head)
    other = copy.deepcopy(loss)
    head.weight.data.zero_()
    assert other(hidden, target) != loss(hidden, target)


@pytest.mark.parametrize(
    "text", ["linear_ce(pred=pred.hidden, head=pred.weight)", "linear_ce@(pred.hidden, target, pred.weight)"]
)
def test_a_weight_of_the_models_output(text: str):
    """Tied to an embedding, say."""
    head, (hidden, target) = layer(bias=False), data()
    found = losslang.compile(text)({"hidden": hidden, "weight": head.weight}, target)
    wanted = F.cross_entropy(head(hidden), target)
    same(found, wanted)
    same(gradients(found, hidden, head), gradients(wanted, hidden, head))


# -------------------------------------------------------------------- rows that do not count


def test_what_is_hidden_reaches_nothing():
    """NaN under the mask and under an ignored label: neither value nor gradient, nor that of the head."""
    head, (hidden, target) = layer(), data(2, 5)
    loss = compiled(head, "mask=batch.valid")
    valid = torch.arange(10).reshape(2, 5) % 4 != 0
    clean = loss(hidden, target, valid=valid)
    poison = torch.where((valid & (target != -100)).unsqueeze(-1), hidden, torch.nan)
    dirty = loss(poison, target.masked_fill(~valid, 10**6), valid=valid)
    same(dirty, clean)
    found, wanted = gradients(dirty, hidden, head), gradients(clean, hidden, head)
    same(found, wanted)
    assert found[0][~valid].abs().sum() == 0


def test_nothing_counts():
    head, (hidden, target) = layer(), data()
    value = compiled(head)(hidden, torch.full_like(target, -100))
    assert value == 0
    assert all(g.abs().sum() == 0 for g in gradients(value, hidden, head))


def test_a_class_that_the_bias_rules_out():
    head, (hidden, target) = layer(), data()
    with torch.no_grad():
        head.bias[3] = -torch.inf
    target = target.masked_fill(target == 3, 4)
    found, wanted = compiled(head)(hidden, target), F.cross_entropy(head(hidden), target)
    same(found, wanted)
    same(gradients(found, hidden, head), gradients(wanted, hidden, head))


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_huge_logits_are_finite(size: float):
    head, (hidden, target) = layer(), data()
    value = compiled(head)(size * hidden, target)
    assert value.isfinite()
    assert all(g.isfinite().all() for g in gradients(value, hidden, head))


# -------------------------------------------------------------------- types


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("of_head", ["half", "float"])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision(dtype: torch.dtype, of_head: str, autocast: bool):
    """The value is float32, each gradient has the type of its tensor, all within what half can tell."""
    head = layer(dtype=dtype if of_head == "half" else torch.float32)
    hidden, target = data(dtype=dtype)
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        value = compiled(head)(hidden, target)
    assert value.dtype == torch.float32
    found = gradients(value, hidden, head)
    assert [g.dtype for g in found] == [dtype, head.weight.dtype, head.weight.dtype]
    exact, states = copy.deepcopy(head).double(), hidden.detach().double().requires_grad_()
    wanted = F.cross_entropy(exact(states), target)
    same(value.double(), wanted, rtol=1e-2, atol=1e-2)
    same([g.double() for g in found], gradients(wanted, states, exact), rtol=3e-2, atol=3e-3)


def test_float16_does_not_overflow_before_the_mean():
    """The sum over the rows is beyond 65504; their mean is not."""
    head = layer(dtype=torch.float16)
    hidden = torch.full((ROWS, WIDTH), 2e4, dtype=torch.float16, requires_grad=True)
    with torch.no_grad():
        head.weight.zero_()
    value = compiled(head)(hidden, torch.zeros(ROWS, dtype=torch.long))
    (found,) = torch.autograd.grad(value, head.weight)
    # torch 2.8 adds up products of float16 in float16 on a CPU: the sum is 2.2 % off.
    same(found[0].float(), torch.full((WIDTH,), 2e4 * (1 / CLASSES - 1)), rtol=3e-2, atol=1)


# -------------------------------------------------------------------- memory, without a clock


class Largest(TorchDispatchMode):
    """Records how many elements the largest tensor has that an operation finds memory for."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        owned = {memory(value) for value in tree_leaves((args, kwargs))}
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and memory(value) not in owned:
                self.made = max(self.made, value.numel())
        return result


def memory(value: Any) -> int | None:
    """Which memory a tensor lies in: a view lies in that of another."""
    return value.untyped_storage()._cdata if isinstance(value, Tensor) else None


def many() -> tuple[Tensor, Tensor, nn.Linear]:
    """More rows than numbers in each, so that the logits would outgrow the weight."""
    torch.manual_seed(2)
    hidden = torch.randn(64, WIDTH, requires_grad=True)
    return hidden, torch.randint(0, CLASSES, (64,)), nn.Linear(WIDTH, CLASSES)


@pytest.mark.parametrize("option", ["label_smoothing=0.1", "softcap=3", "weight=batch.w", "mask=batch.m"])
def test_no_tensor_holds_all_logits(option: str, rows: int):
    """In both passes, whatever flows back; the same recorder sees the logits of the layer itself."""
    if not rows:
        pytest.skip("of few logits all are made")
    hidden, target, head = many()
    batch = {"w": torch.rand(64), "m": torch.arange(64) % 3 > 0}
    loss = compiled(head, option)
    loss(hidden, target, **batch)
    with Largest() as ours:
        loss(hidden, target, **batch).backward()
    with Largest() as plain:
        F.cross_entropy(head(hidden), target).backward()
    assert plain.made == 64 * CLASSES
    assert ours.made <= 64 * WIDTH < 64 * CLASSES
    with Largest() as value, torch.no_grad():
        loss(hidden, target, **batch)
    assert value.made <= 64 * WIDTH


def test_without_a_gradient_nothing_is_kept_for_one():
    hidden, target, head = many()
    loss = compiled(head)
    loss(hidden, target)
    with Largest() as made, torch.no_grad():
        value = loss(hidden[:2], target[:2])
    assert not value.requires_grad
    assert made.made < head.weight.numel()


# -------------------------------------------------------------------- what cannot be looked into


def test_traces_as_the_plain_formula():
    head, (hidden, target) = layer(), data()
    loss = compiled(head, "label_smoothing=0.1", "softcap=4")
    wanted = loss(hidden, target)
    torch._dynamo.reset()
    found = torch.compile(loss, fullgraph=True, backend="eager")(hidden, target)
    same(found, wanted)
    same(gradients(found, hidden, head), gradients(wanted, hidden, head))
    exported = torch.export.export(loss, (hidden.detach(), target))
    same(exported.module()(hidden.detach(), target), wanted)
    torch._dynamo.reset()


def test_functional_transforms_reach_the_head():
    head, (hidden, target) = layer(), data()
    loss = compiled(head)
    parameters = {name: p.detach() for name, p in loss.named_parameters()}

    def value(parameters: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(loss, parameters, (hidden.detach(), target))

    found = torch.func.grad(value)(parameters)
    same(list(found.values()), gradients(loss(hidden, target), hidden, head)[1:])


# -------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("hidden", "target", "head", "code", "said"),
    [
        ((4, 6), (4,), (6, 17), "E518", "it is transposed"),
        ((4, 6), (4,), (17, 5), "E518", "wants an nn.Linear, or its weight (classes, 6)"),
        ((4, 6), (4,), (17,), "E518", "is a tensor (17,), the hidden states (4, 6)"),
        ((2, 4, 6), (2, 3), (17, 6), "E504", "wants one class a row: (2, 4)"),
        ((2, 4, 6), (2, 4, 1), (17, 6), "E504", "`target.squeeze(-1)`"),
        ((2, 4, 6), (2, 4, 17), (17, 6), "E504", "`target.argmax(-1)`"),
    ],
)
def test_shapes_that_do_not_fit(
    hidden: tuple[int, ...], target: tuple[int, ...], head: tuple[int, ...], code: str, said: str
):
    with pytest.raises(losslang.LossError) as caught:
        compiled(torch.randn(head))(torch.randn(hidden), torch.zeros(target, dtype=torch.long))
    assert [d.code for d in caught.value.diagnostics] == [code]
    assert said in str(caught.value)
    assert "^" in str(caught.value)


@pytest.mark.parametrize("head", [nn.Sequential(nn.Linear(WIDTH, CLASSES)), nn.ReLU(), 3.0])
def test_what_is_no_layer(head: Any):
    with pytest.raises(losslang.LossError, match="E518"):
        compiled(head)(*data())


def test_types_that_do_not_fit():
    hidden, target = data()
    with pytest.raises(losslang.LossError, match="E505"):
        compiled(layer())(hidden, target.double())
    with pytest.raises(losslang.LossError, match="E505"):
        compiled(layer().weight.detach().long())(hidden, target)
    with pytest.raises(losslang.LossError, match="E511"):
        compiled(layer().weight.detach().to("meta"))(hidden, target)


def test_a_class_that_the_head_does_not_know():
    hidden, _ = data()
    with pytest.raises(losslang.LossError, match="the head has classes 0 to 16") as caught:
        compiled(layer())(hidden, torch.full((ROWS,), CLASSES))
    assert "E506" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "code", "fix"),
    [
        ("linear_ce", "E304", "`linear_ce(head=const.head)`"),
        ("linear_ce(softmax, head=const.head)", "E301", "without an activation"),
        ("linear_ce(head=const.head, class_weight=[1, 2])", "E205", "remove"),
    ],
)
def test_a_check_says_what_is_missing(text: str, code: str, fix: str):
    (found,) = losslang.check(text)
    assert found.code == code
    assert fix in found.fix


def test_its_name_elsewhere():
    assert not losslang.check("fused_linear_cross_entropy(head=const.head)")
