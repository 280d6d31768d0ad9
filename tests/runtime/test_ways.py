"""Whichever way a call takes: numbers, types, layouts, devices and modes that only some of them meet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from _executors import NO_MODULE, executor_of
from _oracle import whole_value
from cutting import cut
from torch import Tensor
from torch.export import Dim, export

import losslang
from losslang.plan.plan import Plan, Ref, Step
from losslang.registry import current_registry
from losslang.runtime import block_sizes, compiled
from losslang.runtime.binding import Binding
from losslang.runtime.conditions import LABELS as LABELS_LOOK
from losslang.runtime.conditions import NOTHING, VALUES
from losslang.runtime.executor import Executor
from losslang.runtime.explain import explain_traced, names_of_ways
from losslang.runtime.program import ROOTS, Program, specialized, whole
from losslang.runtime.ways import SPECIALIZED, WAYS

R = torch.Generator().manual_seed(0)
PRED, TRUTH = torch.randn(2, 3, 4, 5, generator=R), torch.rand(2, 3, 4, 5, generator=R)
LABELS = torch.randint(0, 3, (2, 4, 5), generator=R)


@pytest.fixture(params=["whole", "in blocks"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Small tensors as they are, and cut as if they were large."""
    with cut(3) if request.param == "in blocks" else nullcontext():
        yield request.param


# -------------------------------------------------------------------- what a shorter program leaves out


NUMBERS = {
    "mse + 1/batch.n": lambda loss, n: loss + 1 / n,
    "ce + 1/batch.n": lambda loss, n: loss + 1 / n,
    "ce + dice(smooth=1) + batch.n": lambda loss, n: loss + n,
    "mse + batch.n": lambda loss, n: loss + n,
    "mse + batch.n**2 - 1": lambda loss, n: loss + n**2 - 1,
    "batch.n*sqrt(mse)": lambda loss, n: n * loss.sqrt(),
    "mse + sqrt(batch.n)": lambda loss, n: loss + n**0.5,
    "0.5*mse + max(batch.n, 1)": lambda loss, n: 0.5 * loss + max(n, 1),
}
LOSSES = {"ce": "ce", "mse": "mse", "ce + dice(smooth=1)": "ce + dice(smooth=1)"}
KINDS = [2, 2.0, True, torch.tensor(2.0), torch.tensor(2), torch.tensor([2.0])]


def target_of(text: str) -> Tensor:
    return LABELS if "ce" in text else TRUTH


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_for_a_scalar(text: str, way: str):
    """Of one kind in every call, and of another in each: no shorter way may take it for what it was."""
    only = next(t for t in ("ce + dice(smooth=1)", "ce", "mse") if t in text)
    loss = losslang.compile(only)(PRED, target_of(text))
    for calls in [[kind] * 5 for kind in KINDS] + [KINDS * 2, [3.0, 2, 0.5, torch.tensor(4.0), 2.5, True]]:
        compiled = losslang.compile(text)
        for n in calls:
            found = compiled(PRED, target_of(text), n=n)
            torch.testing.assert_close(found, NUMBERS[text](loss, float(n)).to(found.dtype).reshape(()))


@pytest.mark.parametrize("text", ["pred.a + 2*pred.b", "pred.a", "pred.a + batch.c + const.k + 1"])
def test_outputs_that_are_plain_numbers(text: str):
    loss = losslang.compile(text, const={"k": 4}) if "const" in text else losslang.compile(text)
    pred = {"a": 1.5, "b": 2} if "pred.b" in text else {"a": 1.5}
    wanted = {"pred.a + 2*pred.b": 5.5, "pred.a": 1.5, "pred.a + batch.c + const.k + 1": 9.5}[text]
    for _ in range(4):
        assert float(loss(pred, c=3.0)) == wanted
        assert float(loss.detail(pred, c=3).total) == wanted
        assert sum(loss.terms(pred, c=3.0).values(), torch.zeros(())) == wanted
        assert all(isinstance(term, Tensor) for term in loss.terms(pred, c=3.0).values())
    assert float(loss({name: torch.tensor(float(value)) for name, value in pred.items()}, c=3)) == wanted


@pytest.mark.parametrize(
    ("text", "n", "wanted"),
    [
        ("mse + 1/batch.n", 0, torch.inf),
        ("mse - 1/batch.n", 0.0, -torch.inf),
        ("mse + batch.n**0.5", -2, None),
        ("mse + batch.n**-1", 0, torch.inf),
        ("mse + log(batch.n)", 0, -torch.inf),
        ("mse + sqrt(batch.n)", -1.0, torch.nan),
        ("mse + exp(batch.n)", 1000, torch.inf),
    ],
)
def test_numbers_are_divided_and_raised_as_tensors_are(text: str, n: float, wanted: float | None):
    loss = losslang.compile(text)
    alike = float(loss(PRED, TRUTH, n=torch.tensor(n, dtype=torch.float64)))
    for _ in range(3):
        torch.testing.assert_close(float(loss(PRED, TRUTH, n=n)), alike, equal_nan=True)
    if wanted is not None:
        torch.testing.assert_close(alike, wanted, equal_nan=True)


def test_a_program_that_reads_what_it_leaves_out_is_never_made():
    registry = current_registry()
    plan = losslang.compile("mse + 1/batch.n").plan
    gone = Plan(tuple(step for step in plan.steps if step.operation != "math:/"), plan.outputs)
    with pytest.raises(AssertionError, match="reads \\['ratio'\\], which nothing above it computes"):
        whole(gone, registry, validate=False)
    unread = Plan(tuple(s for s in plan.steps if s.operation != "scalar"), plan.outputs)
    with pytest.raises(AssertionError, match="never computed"):
        specialized(unread, registry, (), {}, filled=True)
    with pytest.raises(AssertionError, match="`ratio` is read, and left out"):
        Binding(registry, ROOTS).step(Step("x", "math:neg", (Ref("ratio"),)))


def test_a_mask_that_is_missing_is_no_step_that_changes_nothing():
    """The next call may have one."""
    calls = whole(losslang.compile("mse").plan, current_registry(), validate=False).calls
    found = Program(calls, (), (), (("mask", 0, 1), ("float_prediction", 2, 3)))
    assert found.noops([None, None, PRED, PRED]) == ("float_prediction",)


# -------------------------------------------------------------------- the rows of the table


class Row(NamedTuple):
    """A call that takes a way. `numbers` is the size of its blocks, if it is cut; `is_far`: as on a GPU."""

    text: str
    target: Any = LABELS
    look: int = LABELS_LOOK
    calls: int = 3
    numbers: int = 0
    is_far: bool = False
    fuse: Any = None


IGNORED = LABELS.masked_fill(torch.rand(LABELS.shape, generator=R) < 0.3, -100)
ROWS = {
    "traced": Row("ce + dice", calls=0),
    "converted": Row("mse", TRUTH.tolist()),
    "labels checked by kernels": Row("ce", IGNORED),
    "labels checked later": Row("dice(softmax)", is_far=True),
    "labels checked by range": Row("ce + dice"),
    "labels checked": Row("dice(softmax, target=target - 1)", LABELS + 1),
    "ignored by kernels": Row("ce(label_smoothing=0.1)", IGNORED),
    "ignored by range": Row("ce(reduction=batchmean)", look=NOTHING),
    "masks asked": Row("nll(log_softmax)", IGNORED),
    "fused": Row("0.5*mse + l1", TRUTH, fuse="eager"),
    "in blocks": Row("ce(ignore_index=-100) + dice(ignore_index=-100)", IGNORED, numbers=3),
    "ignored by kernels beside masks": Row("ce(ignore_index=-100) + dice(ignore_index=-100)", IGNORED),
    "whole": Row("bce + 0.5*dice(identity)", TRUTH, look=VALUES, calls=0),
    "specialized": Row("0.5*bce(sigmoid) + dice(smooth=1)", TRUTH),
}
"""A case of every row, by its name."""


def test_every_row_has_a_case():
    assert list(ROWS) == [way.name for way in (*WAYS, SPECIALIZED)]


@pytest.mark.parametrize("name", ROWS)
def test_a_row_gives_the_numbers_of_the_plain_plan(name: str, monkeypatch: pytest.MonkeyPatch):
    """The total and its gradient, in double precision, by a call that passes the row."""
    row = ROWS[name]
    pred = (PRED.sigmoid() if name == "whole" else PRED).double().requires_grad_()
    target = row.target.double() if row.target is TRUTH else row.target
    compiled._understood.cache_clear()
    if row.is_far:
        monkeypatch.setattr(block_sizes, "can_read_without_sync", lambda _: False)
    with cut(row.numbers) if row.numbers else nullcontext():
        executor = executor_of(row.text, row.fuse)
        roots = (pred, target, {}, {}, NO_MODULE)
        for look in (VALUES, *[LABELS_LOOK] * row.calls)[: row.calls]:
            executor.run(roots, look)
        if name == "traced":
            traced = torch.compile(losslang.compile(row.text), backend="eager", fullgraph=True)
            total = traced(pred, target)
            assert "1. traced, because torch traces" in explain_traced(executor)
        else:
            assert name in names_of_ways(executor, roots, row.look)
            total = executor.plan.total(executor.run(roots, row.look))
    plain = whole_value(losslang.compile(row.text), pred, torch.as_tensor(target, dtype=tensor_type(target)))
    torch.testing.assert_close(total, plain, rtol=1e-12, atol=1e-12)
    slopes = (torch.autograd.grad(value, pred)[0] for value in (total, plain))
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-12)
    compiled._understood.cache_clear()
    torch._dynamo.reset()


def tensor_type(target: Any) -> torch.dtype:
    return torch.float64 if isinstance(target, list) else target.dtype


def test_a_plan_that_reads_an_input_for_its_mask_alone_is_refused():
    """Without the mask the inputs would be others than those that a call was read for."""
    executor = executor_of("ce")
    mask = Step("read", "not_ignored", (Ref("input3"), Ref("input")), (("index", -100), ("form", "labels")))
    plan = losslang.compile("mse(mask=batch.m)").plan
    steps = [
        step
        if step.operation != "mask"
        else replace(mask, name=step.name, inputs=(Ref("input3"), Ref("input")))
        for step in plan.steps
        if not step.check
    ]
    with pytest.raises(AssertionError, match="an input is read for its mask alone"):
        Executor(Plan(tuple(steps), plan.outputs), executor.registry).without(("mask",))


# -------------------------------------------------------------------- types


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64], ids=str)
@pytest.mark.parametrize(
    "text",
    [
        "ce", "ce + dice", "ce(ignore_index=2)", "dice(softmax, ignore_index=2)", "nll(log_softmax)", "bce(sigmoid)",
        "ce(class_weight=balanced)", "focal(softmax)", "lovasz_softmax(softmax)", "multi_margin", "hinge",
        "ce(mask=batch.m)", "ce(weight=batch.m)", "ce@(pred, batch.m)", "ce(target=target + 0)",
    ],
)  # fmt: skip
def test_labels_without_a_sign(text: str, dtype: torch.dtype, way: str):
    """16-bit label maps: the same numbers, in every call, and traced."""
    m = (LABELS > 0).long()
    wanted = losslang.compile(text)(PRED, LABELS, m=m)
    loss = losslang.compile(text)
    for _ in range(4):
        torch.testing.assert_close(loss(PRED, LABELS.to(dtype), m=m.to(dtype)), wanted)
    if way == "whole" and dtype == torch.uint16:
        traced = torch.compile(loss, backend="eager", fullgraph=True)
        torch.testing.assert_close(traced(PRED, LABELS.to(dtype), m=m.to(dtype)), wanted)
    torch._dynamo.reset()


BALANCED = [
    "bce(sigmoid, pos_weight=balanced)", "focal(sigmoid, pos_weight=balanced)", "ce(class_weight=balanced)",
    "ce(class_weight=complement)", "bce(sigmoid, class_weight=balanced)", "dice(sigmoid, class_weight=balanced)",
]  # fmt: skip


@pytest.mark.parametrize("text", BALANCED)
def test_balanced_weights_are_detached(text: str, way: str):
    """The gradient of a soft target is that of the loss with these weights held."""
    target = TRUTH.softmax(1).requires_grad_()
    detached = target.detach()
    positives = detached.sum()
    counts, number = detached.sum((0, 2, 3)), detached[:, 0].numel()
    held = {
        "pos_weight": (detached.numel() - positives) / positives,
        "balanced": number / (3 * counts),
        "complement": (number - counts) / number,
    }
    name = "complement" if "complement" in text else "pos_weight" if "pos_weight" in text else "balanced"
    given = text.replace("=balanced", "=batch.w").replace("=complement", "=batch.w")
    wanted = losslang.compile(given)(PRED, target, w=held[name])
    (slope,) = torch.autograd.grad(wanted, target)
    for _ in range(3):
        loss = losslang.compile(text)(PRED, target)
        torch.testing.assert_close(loss, wanted)
        torch.testing.assert_close(torch.autograd.grad(loss, target)[0], slope)


# -------------------------------------------------------------------- layouts and devices


def code_of(call: Any) -> str:
    with pytest.raises(losslang.LossError) as refused:
        call()
    return refused.value.diagnostics[0].code


LAID = {
    "coo": lambda x: x.to_sparse(),
    "csr": lambda x: x.to_sparse_csr(),
    "nested": lambda x: torch.nested.nested_tensor([x[:1], x[1:]]),
    "jagged": lambda x: torch.nested.nested_tensor([x[:1], x[1:]], layout=torch.jagged),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lay", LAID.values(), ids=LAID)
@pytest.mark.parametrize("validate", ["first", "never"])
def test_a_tensor_that_is_not_dense_is_refused(lay: Any, validate: Any):
    """Also after dense ones of the same shape, for which a way is known."""
    x, y = torch.rand(4, 3), torch.rand(4, 3).round()
    for text, call in {
        "mse": lambda loss: loss(lay(x), y),
        "l1": lambda loss: loss(x, lay(y)),
        "mse(mask=batch.m)": lambda loss: loss(x, y, m=lay(y)),
        "mse(weight=batch.m)": lambda loss: loss(x, y, m=lay(y)),
        "mse + mean(batch.m)": lambda loss: loss(x, y, m=lay(y)),
    }.items():
        loss = losslang.compile(text, validate=validate)
        for _ in range(2):
            assert code_of(lambda loss=loss, call=call: call(loss)) == "E524"
        loss(x, y, m=y)
        assert code_of(lambda loss=loss, call=call: call(loss)) == "E524"


ELSEWHERE = {
    "mse(mask=batch.m)": (2, 4, 5),
    "mse(weight=batch.m)": (2, 4, 5),
    "batch.m*mse": (),
    "batch.m*sqrt(mse)": (),
    "mse + batch.m": (),
    "mse + 1/batch.m": (1,),
    "mse(avg_factor=batch.m)": (),
    "mse(mask=batch.m) + l1": (),
    "mse(target=target*batch.m)": (2, 3, 4, 5),
    "mean((pred - batch.m)**2)": (2, 3, 4, 5),
    "bce(sigmoid, pos_weight=batch.m)": (3,),
    "bce(sigmoid, class_weight=batch.m)": (3,),
    "max(mse, batch.m)": (),
    "mse@(pred, batch.m)": (2, 3, 4, 5),
}


@pytest.mark.parametrize("text", ELSEWHERE)
def test_what_is_on_another_device_is_refused(text: str, way: str):
    """Before a call that fits, and after."""
    loss, m = losslang.compile(text), torch.ones(ELSEWHERE[text])
    for _ in range(2):
        assert code_of(lambda: loss(PRED, TRUTH, m=m.to("meta"))) == "E511"
        loss(PRED, TRUTH, m=m)


@pytest.mark.parametrize("weight", ["balanced", "complement"])
def test_a_mask_by_class_beside_weights_of_the_batch(weight: str):
    loss = losslang.compile(f"ce(class_weight={weight}, mask=batch.m)")
    assert code_of(lambda: loss(PRED, LABELS, m=TRUTH > 0.5)) == "E510"
    mask = (LABELS > 0).unsqueeze(1)
    wanted = loss(PRED, LABELS, m=mask)
    for laid in (
        mask.contiguous(memory_format=torch.channels_last),
        mask.mT.contiguous().mT,
        mask.squeeze(1),
    ):
        torch.testing.assert_close(loss(PRED, LABELS, m=laid), wanted)


@pytest.mark.parametrize(
    "text",
    ["mse", "0.5*bce(sigmoid) + dice(smooth=1)", "quantile(q=0.9)", "ce", "ce + dice", "nll(log_softmax)"],
)
def test_tensors_without_data(text: str, way: str):
    loss, target = losslang.compile(text), (LABELS if text[0] in "cn" else TRUTH).to("meta")
    for _ in range(3):
        pred = PRED.to("meta").requires_grad_()
        value = loss(pred, target)
        value.backward()
        assert value.is_meta
        assert pred.grad is not None
        assert pred.grad.shape == PRED.shape


# -------------------------------------------------------------------- modes


@pytest.mark.parametrize("labels", [40, 3000])
@pytest.mark.parametrize("cap", ["", ", softcap=5"])
def test_a_last_layer_under_several_flows(labels: int, cap: str):
    """Batched gradients of few logits, and of as many as are made some rows at a time."""
    head = torch.nn.Linear(8, 1000)
    loss = losslang.compile(f"linear_ce(head=const.head{cap})", const={"head": head})
    hidden = torch.randn(labels, 8, generator=R).requires_grad_()
    leaves = [hidden, head.weight, head.bias]
    value = loss(hidden, torch.randint(0, 1000, (labels,), generator=R))
    wanted = torch.autograd.grad(value, leaves, retain_graph=True)
    found = torch.autograd.grad(value, leaves, torch.tensor([1.0, -2.0]), is_grads_batched=True)
    for both, one in zip(found, wanted, strict=True):
        torch.testing.assert_close(both, torch.stack([one, -2 * one]), rtol=1e-4, atol=1e-7)


SLOPED = ["bce(sigmoid) + dice", "focal(sigmoid) + dice", "tversky(sigmoid)", "huber", "smooth_l1", "hinge", "squared_hinge",
          "wing", "balanced_l1", "ce + dice", "pseudo_huber", "log_cosh"]  # fmt: skip


@pytest.mark.parametrize("text", SLOPED)
def test_saved_tensors_may_be_changed(text: str, way: str):
    """`allow_mutation_on_saved_tensors` watches every operation, and what it writes to."""
    target = LABELS if text.startswith("ce") else TRUTH.round()
    target = 2 * target - 1 if "hinge" in text else target
    wanted = PRED.clone().requires_grad_()
    losslang.compile(text)(wanted, target).backward()
    loss = losslang.compile(text)
    for _ in range(3):
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            pred = PRED.clone().requires_grad_()
            loss(pred, target).backward()
        torch.testing.assert_close(pred.grad, wanted.grad)


@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_made_in_inference_mode_remembers_outside_of_it(compiled: bool):
    pred, target = torch.randn(4, 3, generator=R), torch.ones(4, 3)
    with torch.inference_mode():
        loss = losslang.compile("ghm_c(sigmoid, momentum=0.75)")
        run = torch.compile(loss, backend="aot_eager") if compiled else loss
        run(pred, target)
    other = losslang.compile("ghm_c(sigmoid, momentum=0.75)")
    other(pred, target)
    leaf = pred.clone().requires_grad_()
    torch.testing.assert_close(loss(leaf, target), other(pred, target))
    loss(leaf, target).backward()
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore::losslang.LossWarning")  # of axes of one size
@pytest.mark.parametrize("space", [(5, 6), (5,)], ids=["of two axes", "of one"])
@pytest.mark.parametrize(
    "text",
    [
        "ce",
        "ce + dice",
        "nll(log_softmax)",
        "ce(ignore_index=255)",
        "lovasz_softmax(softmax)",
        "focal(softmax)",
    ],
)
def test_a_space_axis_may_be_as_long_as_there_are_classes(text: str, space: tuple[int, ...]):
    """Exported without Dynamo, with a dynamic axis of space whose range contains the number of classes."""
    loss, h = losslang.compile(text), Dim("h", min=3, max=64)

    class Module(torch.nn.Module):
        def forward(self, pred: Tensor, target: Tensor) -> Tensor:
            return loss(pred, target)

    call = torch.randn(2, 3, *space, generator=R), torch.randint(0, 3, (2, *space), generator=R)
    shapes = {"pred": {2: h}, "target": {1: h}}
    program = export(Module(), call, dynamic_shapes=shapes, strict=False).module()
    for rows in (3, 5, 9):
        pred = torch.randn(2, 3, rows, *space[1:], generator=R)
        target = torch.randint(0, 3, (2, rows, *space[1:]), generator=R)
        torch.testing.assert_close(program(pred, target), loss(pred, target))
