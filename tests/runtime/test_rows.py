"""Predictions with their classes last are read as rows where they lie: the same numbers as moved by hand, and no copy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from _every_loss import LOSSES, TRAINED, compiled, data, text_of, uses
from _executors import ways
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

import losslang
from losslang.meaning.layout import is_of_rows
from losslang.runtime.compiled import _understood

R = torch.Generator().manual_seed(11)
OF_CLASSES = [name for name in TRAINED if LOSSES[name].has_classes and not is_of_rows(LOSSES[name])]
USES = [(name, use) for name in OF_CLASSES for use in uses(name)]
each_use = pytest.mark.parametrize(("name", "use"), USES, ids=[f"{n}-{u}" if u else n for n, u in USES])
SHAPE = (3, 4, 2, 3)


def last(value: Any) -> Any:
    """A tensor of the prediction's rank with its classes last, in memory too."""
    is_moved = isinstance(value, Tensor) and value.ndim == len(SHAPE)
    return value.movedim(1, -1).contiguous() if is_moved else value


def evaluated(text: str, pred: Tensor, target: Any, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """The value and the gradient of a later call."""
    loss, leaf = compiled(text), pred.clone().requires_grad_()
    loss(leaf, target, **batch)
    value = loss(leaf, target, **batch)
    return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]


def same_as_moved(text: str, pred: Tensor, target: Any, batch: dict[str, Any]) -> None:
    """`channels=last` on moved tensors gives the number and the gradient of the program without it."""
    wanted, slope = evaluated(text.replace("channels=last", "channels=first"), pred, target, batch)
    moved = {name: last(value) for name, value in batch.items()}
    found, gradient = evaluated(text, last(pred), last(target), moved)
    assert_close(found, wanted)
    assert_close(gradient, last(slope))


@each_use
def test_every_loss_of_classes_gives_its_number(name: str, use: str) -> None:
    pred, target, batch = data(name, use, shape=SHAPE)
    same_as_moved(text_of(name, use, "channels=last"), pred, target, batch)


@each_use
def test_every_loss_of_classes_gives_its_number_in_blocks(name: str, use: str, cut_small: list[int]) -> None:
    pred, target, batch = data(name, use, shape=SHAPE)
    same_as_moved(text_of(name, use, "channels=last"), pred, target, batch)


OPTIONS: dict[str, dict[str, Any]] = {
    "mask=batch.m": {"m": torch.rand(3, 2, 3, generator=R) < 0.6},
    "mask=batch.whole": {"whole": torch.tensor([True, False, True])},
    "mask=batch.wide": {"wide": torch.rand(3, 1, 2, 1, generator=R) < 0.6},
    "weight=batch.w": {"w": torch.rand(3, 2, 3, generator=R, dtype=torch.float64)},
    "weight=batch.v": {"v": torch.rand(3, generator=R, dtype=torch.float64)},
    "weight=batch.w, mask=batch.m, reduction=wmean": {
        "w": torch.rand(3, 2, 3, generator=R, dtype=torch.float64),
        "m": torch.rand(3, 2, 3, generator=R) < 0.6,
    },
    "class_weight=[1, 2, 3, 4]": {},
    "class_weight=batch.c": {"c": torch.rand(4, generator=R, dtype=torch.float64)},
    "class_weight=balanced, ignore_index=2": {},
    "class_weight=complement": {},
    "ignore_index=1": {},
    "ignore_index=1, class_weight=[1, 2, 3, 4], mask=batch.m": {"m": torch.rand(3, 2, 3, generator=R) < 0.6},
    "reduction=sum": {},
    "reduction=none": {},
    "reduction=none, mask=batch.m": {"m": torch.rand(3, 2, 3, generator=R) < 0.6},
    "reduction=batchmean": {},
    "reduction=mean_of_means, ignore_index=0": {},
    "reduction=topk(frac=0.3)": {},
    "reduction=ohem(min_kept=2)": {},
    "reduction=hard_negative(ratio=1)": {},
    "reduction=quantile(q=0.7), ignore_index=0": {},
    "avg_factor=batch.n": {"n": torch.tensor(7.0)},
}


@pytest.mark.parametrize("large", [False, True], ids=["whole", "in blocks"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(
    "text", ["ce", "ce(label_smoothing=0.1)", "nll(log_softmax)", "focal(softmax)", "poly"]
)
def test_masks_weights_and_reductions(
    text: str, options: str, large: bool, request: pytest.FixtureRequest
) -> None:
    if large:
        request.getfixturevalue("cut_small")
    name, _, inside = text.removesuffix(")").partition("(")
    pred, target, _ = data(name, "softmax" if "softmax" in inside else "", shape=SHAPE)
    pred = torch.randn(SHAPE, generator=R, dtype=torch.float64)
    program = f"{name}({', '.join(filter(None, [inside, 'channels=last', options]))})"
    same_as_moved(program, pred, target, OPTIONS[options])


@pytest.mark.parametrize(
    "text", ["ce(channels=last)", "bce(sigmoid, channels=last)", "focal(sigmoid, channels=last)"]
)
@pytest.mark.parametrize("form", ["indices", "one index a place", "one-hot", "soft"])
def test_forms_of_a_target(text: str, form: str) -> None:
    pred = torch.randn(SHAPE, generator=R, dtype=torch.float64)
    labels = torch.randint(4, (3, 2, 3), generator=R)
    hot = torch.nn.functional.one_hot(labels, 4).movedim(-1, 1)
    forms = {
        "indices": labels,
        "one index a place": labels.unsqueeze(1),
        "one-hot": hot,
        "soft": torch.softmax(torch.randn(SHAPE, generator=R, dtype=torch.float64), 1),
    }
    same_as_moved(text, pred, forms[form], {})


@pytest.mark.parametrize("shape", [(3, 2, 1), (3, 2, 3, 1)])
def test_one_channel(shape: tuple[int, ...]) -> None:
    pred = torch.randn(shape, generator=R, dtype=torch.float64)
    target = (torch.rand(shape[:-1], generator=R) < 0.5).double()
    wanted = losslang.compile("bce(sigmoid)")(pred.movedim(-1, 1), target)
    for truth in (target, target.unsqueeze(-1)):
        assert_close(losslang.compile("bce(sigmoid, channels=last)")(pred, truth), wanted)


def test_other_operands_lie_beside_the_prediction() -> None:
    pred, teacher = torch.randn(2, 3, 5, 4, generator=R), torch.randn(2, 3, 5, 4, generator=R)
    found = losslang.compile("kd(target=batch.t, channels=last)")(pred, t=teacher)
    assert_close(found, losslang.compile("kd(target=batch.t)")(pred.movedim(-1, 1), t=teacher.movedim(-1, 1)))


# ---------------------------------------------------------------------------- what is read as rows


@pytest.mark.parametrize(
    ("text", "flat"),
    [
        ("ce(channels=last)", True),
        ("ce(channels=last) + 0.5*poly + metric(zero_one)", True),
        ("ce(channels=last, reduction=none)", True),
        ("ce(channels=last, mask=batch.m, weight=batch.w, class_weight=balanced)", True),
        ("bce(sigmoid, channels=last)", True),
        ("ce(channels=last, pred=pred.a) + l1@(pred.b, target)", True),
        ("ce(channels=last) + dice", False),
        ("ce(channels=last, reduction=batchmean)", False),
        ("ce(channels=last, reduction=hard_negative)", False),
        ("ce", False),
        ("cosine(channels=last)", False),
    ],
)
def test_a_prediction_is_read_as_rows_where_all_that_reads_it_can(text: str, flat: bool) -> None:
    plan = losslang.compile(text).plan
    assert any(step.operation == "rows" for step in plan.steps) == flat
    computed = [s for s in plan.steps if s.kind in ("kernel", "loss") and "moved" in s.input_names]
    assert not (flat and computed)


def test_each_prediction_by_itself() -> None:
    steps = losslang.compile("ce(channels=last)@a + dice(softmax, channels=last)@b").plan.steps
    assert sum(step.operation == "rows" for step in steps) == 1
    assert sum(step.operation == "float_prediction" for step in steps) == 2


# ---------------------------------------------------------------------------- nothing is copied


class Made(TorchDispatchMode):
    """The operations that make a tensor, without views, and the bytes that they make."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        found = function(*arguments, **(options or {}))
        if not any(value.alias_info for value in function._schema.returns):
            self.names.append(str(function))
            self.bytes += sum(
                x.nbytes for x in (found if isinstance(found, tuple) else [found]) if isinstance(x, Tensor)
            )
        return found


@pytest.fixture
def one_thread(fresh_scratch: None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(loss: losslang.Loss, pred: Tensor, target: Tensor, **batch: Tensor) -> Made:
    leaf = pred.clone().requires_grad_()
    for _ in range(4):
        leaf.grad = None
        with Made() as seen:
            loss(leaf, target, **batch).backward()
    return seen


@pytest.mark.parametrize("shape", [(4, 16, 50), (8, 256, 1500)], ids=["small", "large"])
@pytest.mark.parametrize("ignored", [False, True], ids=["", "ignored"])
@pytest.mark.parametrize(
    "options",
    ["", "label_smoothing=0.1", "class_weight=const.c", "mask=batch.m", "weight=batch.m"],
)
def test_the_operations_are_those_of_flat_rows(
    shape: tuple[int, ...], ignored: bool, options: str, one_thread: None
) -> None:
    pred, labels = torch.randn(shape, generator=R), torch.randint(shape[-1], shape[:-1], generator=R)
    if ignored:
        labels[torch.rand(labels.shape, generator=R) < 0.1] = -100
    given = torch.rand(shape[:-1], generator=R) if "weight=batch" in options else labels > 3
    batch, flat = ({"m": given}, {"m": given.flatten()}) if "batch" in options else ({}, {})
    const = {"c": torch.rand(shape[-1], generator=R)}
    by_hand = losslang.compile(f"ce({options})", const=const)
    ours = losslang.compile(f"ce({', '.join(filter(None, ['channels=last', options]))})", const=const)
    rows = made(by_hand, pred.flatten(0, 1), labels.flatten(), **flat)
    found = made(ours, pred, labels, **batch)
    assert found.names == rows.names
    assert found.bytes == rows.bytes


@pytest.mark.parametrize("shape", [(4, 16, 50), (8, 256, 1500)], ids=["small", "large"])
def test_the_way_is_that_of_flat_rows(shape: tuple[int, ...]) -> None:
    pred, labels = torch.randn(shape, generator=R), torch.randint(shape[-1], shape[:-1], generator=R)
    _understood.cache_clear()
    wanted = ways("ce", pred.flatten(0, 1), labels.flatten())
    assert ways("ce(channels=last)", pred, labels) == wanted


# ---------------------------------------------------------------------------- what does not fit


def refused(text: str, pred: Any, target: Any, **batch: Any) -> str:
    with pytest.raises(losslang.LossError) as caught:
        losslang.compile(text)(pred, target, **batch)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "target", "batch"),
    [
        ("ce(channels=last)", torch.zeros(8, 4).long(), {}),
        ("ce(channels=last)", torch.zeros(32).long(), {}),
        ("ce(channels=last)", torch.zeros(4, 7).long(), {}),
        ("kl(softmax, channels=last)", torch.zeros(4, 8), {}),
        ("ce(channels=last, mask=batch.m)", torch.zeros(4, 8).long(), {"m": torch.ones(8, 4)}),
        ("ce(channels=last, mask=batch.m)", torch.zeros(4, 8).long(), {"m": torch.ones(4, 8, 3) > 0}),
        ("ce(channels=last, weight=batch.m)", torch.zeros(4, 8).long(), {"m": torch.ones(5)}),
    ],
)
def test_sizes_are_compared_before_rows_are_made(text: str, target: Tensor, batch: dict[str, Any]) -> None:
    """(8, 4) labels are not (4, 8) ones; no message speaks of 32 rows."""
    found = refused(text, torch.randn(4, 8, 3), target, **batch)
    assert "(32, 3)" not in found
    assert str(tuple(batch.get("m", target).shape)) in found


def test_one_axis_and_no_tensor() -> None:
    assert "E517" in refused("ce(channels=last)", torch.randn(3), torch.zeros(3).long())
    assert "E5" in refused("ce(channels=last)", {"a": torch.randn(3)}, torch.zeros(3).long())
    assert "E506" in refused("ce(channels=last)", torch.randn(2, 4, 3), torch.full((2, 4), 3))


# ---------------------------------------------------------------------------- traced


def test_traced_calls() -> None:
    pred, labels = torch.randn(4, 8, 3, generator=R), torch.randint(3, (4, 8), generator=R)
    loss = losslang.compile("ce(channels=last, mask=batch.m)")
    mask = labels > 0
    wanted = loss(pred, labels, m=mask)
    assert_close(torch.compile(loss, fullgraph=True, backend="eager")(pred, labels, m=mask), wanted)
    found = torch.func.grad(lambda x: loss(x, labels, m=mask))(pred)
    leaf = pred.clone().requires_grad_()
    loss(leaf, labels, m=mask).backward()
    assert leaf.grad is not None
    assert_close(found, leaf.grad)


def test_traced_calls_of_any_length() -> None:
    """Sizes are symbolic then: `in` on a shape does not compare them."""
    loss = losslang.compile("ce(channels=last, mask=batch.m)")
    traced = torch.compile(loss, fullgraph=True, backend="eager", dynamic=True)
    for length in (8, 9, 11):
        pred, labels = torch.randn(4, length, 3, generator=R), torch.randint(3, (4, length), generator=R)
        assert_close(traced(pred, labels, m=labels > 0), loss(pred, labels, m=labels > 0))
