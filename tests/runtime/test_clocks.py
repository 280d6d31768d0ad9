"""Clocks and schedules: what they are worth in a call, how they are moved, saved, compiled and told."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import losslang
from losslang.plan.operations.notices import ALREADY_GIVEN

R = torch.Generator().manual_seed(19)
PRED, TARGET = torch.randn(3, 4, 5, generator=R), torch.randn(3, 4, 5, generator=R)
TEXT = "l1 + ramp(0, 1, steps=10)*mse"


def weight(text: str, **time: int) -> float:
    """What a schedule is at one time, as `detail` says it."""
    loss = losslang.compile(f"a = l1; ({text})*a + mse")
    loss.set_clock(**time)
    return loss.detail(PRED, TARGET).weights[0].item()


@pytest.mark.parametrize(
    ("text", "times", "wanted"),
    [
        ("ramp(1, 3, steps=10)", range(0, 13, 2), [1, 1.4, 1.8, 2.2, 2.6, 3, 3]),
        ("ramp(1, 3, steps=4, start=2)", range(8), [1, 1, 1, 1.5, 2, 2.5, 3, 3]),
        ("ramp(0, 2, steps=4, shape=cosine)", range(6), [0, 1 - math.sqrt(0.5), 1, 1 + math.sqrt(0.5), 2, 2]),
        ("after(steps=3)", range(5), [0, 0, 0, 1, 1]),
        ("until(steps=3)", range(5), [1, 1, 1, 0, 0]),
        ("cyclic(1, 3, period=4, ratio=0.5)", range(9), [1, 2, 3, 3, 1, 2, 3, 3, 1]),
        ("cyclic(0, 1, steps=4, ratio=1)", range(5), [0, 0.25, 0.5, 0.75, 0]),
        ("cyclic(0, 1, steps=4, ratio=0)", range(5), [1, 1, 1, 1, 1]),
        ("max(0.1, 1 - 0.25*step)", range(5), [1, 0.75, 0.5, 0.25, 0.1]),
        ("ramp(after(steps=2), 2, steps=4)", range(5), [0, 0.5, 1.5, 1.75, 2]),
        ("1/(1 + step)", range(3), [1, 0.5, 1 / 3]),
        ("2**-step", range(3), [1, 0.5, 0.25]),
    ],
)
def test_a_schedule_is_this_number_at_this_time(text: str, times: range, wanted: list[float]) -> None:
    assert [weight(text, step=time) for time in times] == pytest.approx(wanted, abs=1e-6)
    epochs = text.replace("steps=", "epochs=").replace("period=", "epochs=").replace("step", "epoch")
    epochs = epochs.replace("epochs=", "#").replace("epochs", "epoch").replace("#", "epochs=")
    assert [weight(epochs, epoch=time) for time in times] == pytest.approx(wanted, abs=1e-6)


def test_a_schedule_stands_outside_of_the_reduction() -> None:
    """Beside a tensor too: what a mask or a weight divides by stays what it was."""
    loss = losslang.compile("batch.w*ramp(0, 1, epochs=4)*l1(mask=batch.m)")
    m, w = torch.rand(3, 4, 5, generator=R) > 0.4, torch.rand(3, 4, 5, generator=R)
    loss.set_clock(epoch=3)
    wanted = 0.75 * (w * (PRED - TARGET).abs() * m).sum() / m.sum()
    torch.testing.assert_close(loss(PRED, TARGET, w=w, m=m), wanted)


def test_a_scheduled_option() -> None:
    loss = losslang.compile("focal(sigmoid, gamma=ramp(0, 2, epochs=10))")
    labels = (TARGET > 0).float()
    for epoch in (0, 5, 10, 20):
        loss.set_clock(epoch=epoch)
        plain = losslang.compile(f"focal(sigmoid, gamma={min(epoch / 5, 2)})")
        torch.testing.assert_close(loss(PRED, labels), plain(PRED, labels))


def test_it_trains_as_by_hand() -> None:
    """A warm-up of the second term over 20 steps, the model's parameters after 30."""

    def trained(step_loss: Any) -> Tensor:
        torch.manual_seed(0)
        model = nn.Linear(5, 5)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(30):
            optimizer.zero_grad()
            step_loss(model(PRED), step).backward()
            optimizer.step()
        return model.weight.detach()

    loss = losslang.compile("l1 + ramp(0, 1, steps=20)*mse")

    def ours(out: Tensor, _: int) -> Tensor:
        total = loss(out, TARGET)
        loss.tick()
        return total

    def by_hand(out: Tensor, step: int) -> Tensor:
        return (out - TARGET).abs().mean() + min(step / 20, 1) * (out - TARGET).square().mean()

    torch.testing.assert_close(trained(ours), trained(by_hand))


class Operations(TorchDispatchMode):
    """The torch operations of a call, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        self.names.append(str(function))
        return function(*arguments, **(options or {}))


def operations(loss: losslang.Loss) -> list[str]:
    """The operations of a later call, besides the looks at clocks, and of its backward pass."""
    for _ in range(3):
        loss(PRED, TARGET)
    pred = PRED.clone().requires_grad_()
    with Operations() as seen:
        loss(pred, TARGET).backward()
    return [name for name in seen.names if "_local_scalar_dense" not in name]


@pytest.mark.parametrize(
    "weight", ["ramp(0, 1, steps=10)", "max(0.1, 1 - 0.1*step)", "cyclic(1, 2, period=7)"]
)
def test_a_scheduled_weight_runs_the_operations_of_a_constant_one(weight: str) -> None:
    loss = losslang.compile(f"l1 + 2*{weight}*mse")
    loss.set_clock(step=3)
    assert operations(loss) == operations(losslang.compile("l1 + 0.6*mse"))


WEIGHTS = [
    "ramp(0, 1, steps=10)*l1 + 2*after(steps=3)*mse + huber", "a = ramp(0, 1, steps=9); a*(l1 + mse) + (1 - a)*huber",
    "until(epochs=2)*ramp(0, 1, steps=10)*mse(mask=batch.m)", "l1 + metric(ramp(0, 1, steps=9)*mse)",
    "1/step*l1", "ramp(0, 1, steps=10)*huber(delta=ramp(1, 2, steps=10))", "s = learn(0); ramp(0, 1, steps=9)*exp(-s)*l1 + s",
    "sqrt(ramp(1, 2, steps=10)*l1) + ramp(0, 2, steps=10)*batch.m*mse", "ramp(1, 2, steps=9)*const.c*l1",
    "each(l1 + mse, over=[pred, target], weights=[1, 0.5])*ramp(0, 1, steps=10)",
]  # fmt: skip


@pytest.mark.parametrize("text", WEIGHTS)
def test_numbers_and_steps_of_a_plan_say_the_same(text: str) -> None:
    """What clocks weigh is computed beside the plan in an eager call, and in it where the clock is a tensor."""
    loss = losslang.compile(text, const={"c": 2.0})
    m = torch.rand(3, 4, 5, generator=R) > 0.4
    of_lists = "each" in text
    target: Any = [TARGET, TARGET] if of_lists else TARGET
    for step in (0, 4, 12):
        loss.set_clock(step=step, epoch=step // 4)
        pred = PRED.clone().requires_grad_()
        eager = loss([pred, pred] if of_lists else pred, target, m=m)
        detail = loss.detail([pred, pred] if of_lists else pred, target, m=m)
        torch.testing.assert_close(detail.total, eager)
        found = torch.func.grad(lambda p: loss([p, p] if of_lists else p, target, m=m))(PRED)
        if eager.isfinite():
            torch.testing.assert_close(torch.autograd.grad(eager, pred)[0], found)


def test_whoever_writes_to_a_clock_is_seen() -> None:
    """A checkpoint, a broadcast of buffers, an average of models: none of them calls `set_clock`."""
    loss = losslang.compile("ramp(0, 1, steps=10)*l1")
    unit = losslang.compile("l1")(PRED, TARGET)
    clock = loss.get_buffer("step")
    writes = [
        lambda: clock.fill_(1), lambda: clock.data.fill_(2), lambda: clock.detach().copy_(torch.tensor(3)),
        lambda: loss.load_state_dict({**loss.state_dict(), "step": torch.tensor(4)}),
        lambda: loss.load_state_dict({**loss.state_dict(), "step": torch.tensor(5)}, assign=True),
        lambda: setattr(loss, "step", torch.tensor(6)), lambda: loss.tick(),
    ]  # fmt: skip
    for time, write in enumerate(writes, 1):
        write()
        torch.testing.assert_close(loss(PRED, TARGET), time / 10 * unit)


def test_modules_of_one_text_have_clocks_of_their_own() -> None:
    one, other = losslang.compile(TEXT), losslang.compile(TEXT)
    one.set_clock(step=10)
    for _ in range(2):
        assert one(PRED, TARGET) > other(PRED, TARGET)


def test_detail_logs_the_weight_in_force() -> None:
    loss = losslang.compile("l1 + 2*ramp(0, 1, steps=10)*mse")
    loss.set_clock(step=3)
    out = loss.detail(PRED, TARGET)
    torch.testing.assert_close(out.weights, torch.tensor([1.0, 0.6]))
    torch.testing.assert_close(out.values[1], (PRED - TARGET).square().mean())
    torch.testing.assert_close(out.contributions.sum(), out.total)
    torch.testing.assert_close(out.sums / out.counts, out.values.double())


def test_the_clock_is_saved_and_copied() -> None:
    loss = losslang.compile(TEXT)
    for _ in range(7):
        loss.tick()
    assert loss.state_dict()["step"] == 7
    fresh = losslang.compile(TEXT)
    fresh.load_state_dict(loss.state_dict())
    for twin in (fresh, copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), loss.half(), loss.float()):
        assert twin(PRED, TARGET).item() == pytest.approx(loss(PRED, TARGET).item(), abs=0)
        assert twin.get_buffer("step").dtype == torch.int64
    twin = copy.deepcopy(loss)
    twin.tick()
    assert (loss.get_buffer("step"), twin.get_buffer("step")) == (7, 8)


def test_a_file_without_a_clock_leaves_it_where_it_is() -> None:
    loss = losslang.compile("ce + after(steps=9)*dice + 0.1*ghm_c(softmax, momentum=0.5)")
    state = {key: value for key, value in loss.state_dict().items() if key != "step"}
    loss.set_clock(step=4)
    loss.load_state_dict(state)
    assert loss.get_buffer("step") == 4


def test_a_checkpoint_of_another_program_may_hold_a_clock() -> None:
    """From a loss with a schedule to one without, where the user says that it is another program."""
    loss = losslang.compile("ce + 0.1*ghm_c(softmax, momentum=0.5)")
    with pytest.warns(losslang.LossWarning, match="W308"):
        loss.load_state_dict(losslang.compile("after(steps=9)*ce").state_dict())


def test_no_clock_no_key() -> None:
    assert not losslang.compile("ce + dice").state_dict()


def test_clocks_that_nobody_reads_are_left_out() -> None:
    loss = losslang.compile("ce")
    loss.set_clock(step=3, epoch=2)
    loss.tick()
    assert not loss.state_dict()


def test_of_a_fraction_of_an_epoch_the_whole_part_counts() -> None:
    loss = losslang.compile("ramp(0, 1, epochs=4)*l1")
    loss.set_clock(epoch=2.75)
    assert loss.get_buffer("epoch") == 2


def test_the_meta_device_has_no_time() -> None:
    loss = losslang.compile(TEXT)
    loss.set_clock(step=5)
    loss.to("meta").to_empty(device="cpu")
    assert loss.get_buffer("step") == 0


def test_a_hundred_steps_are_one_graph() -> None:
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    loss, eager = losslang.compile(TEXT), losslang.compile(TEXT)
    compiled: Any = torch.compile(loss, backend=backend, fullgraph=True)  # pyright: ignore
    for _ in range(100):
        torch.testing.assert_close(compiled(PRED, TARGET), eager(PRED, TARGET))
        loss.tick()
        eager.tick()
    assert len(graphs) == 1


def test_export_carries_the_clock_as_a_buffer() -> None:
    loss = losslang.compile(TEXT)
    exported = torch.export.export(loss, (PRED, TARGET))
    assert list(exported.graph_signature.buffers) == ["step"]
    loss.set_clock(step=5)
    module = exported.module()
    module.load_state_dict({"step": torch.tensor(5)})
    torch.testing.assert_close(module(PRED, TARGET), loss(PRED, TARGET))


def test_a_transformed_call_reads_the_clock() -> None:
    loss = losslang.compile(TEXT)
    loss.set_clock(step=5)
    found = torch.func.grad(loss)(PRED, TARGET)
    pred = PRED.clone().requires_grad_()
    loss(pred, TARGET).backward()
    torch.testing.assert_close(found, pred.grad)


# ---------------------------------------------------------------------------- a clock that nobody moves


def told(loss: losslang.Loss, calls: int, *, moves: bool = False) -> int:
    """How many warnings about clocks that many calls give."""
    ALREADY_GIVEN.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(calls):
            loss(PRED, TARGET)
            if moves:
                loss.tick()
    return sum("W342" in str(warning.message) for warning in caught)


def test_a_clock_that_stands_is_told_once() -> None:
    loss = losslang.compile(TEXT)
    assert told(loss, 99) == 0
    assert told(loss, 1) == 1
    assert told(loss, 200) == 0


def test_it_is_not_told_in_evaluation_nor_where_it_is_moved() -> None:
    assert told(losslang.compile(TEXT).eval(), 200) == 0
    assert told(losslang.compile(TEXT), 200, moves=True) == 0
    loss = losslang.compile(TEXT)
    loss.set_clock(step=0)
    assert told(loss, 200) == 0
    assert told(losslang.compile("l1"), 200) == 0


def test_both_clocks_are_told() -> None:
    loss = losslang.compile("ramp(0, 1, steps=2)*l1 + ramp(0, 1, epochs=2)*mse")
    assert told(loss, 100) == 2


# ---------------------------------------------------------------------------- names and times that are none


@pytest.mark.parametrize("name", ["steps", "foo", None])
def test_another_clock_is_refused(name: Any) -> None:
    for text in (TEXT, "ce"):
        with pytest.raises(ValueError, match=r"write `loss.tick\(\)`"):
            losslang.compile(text).tick(name)


@pytest.mark.parametrize("time", [-3, -0.5, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(time: float) -> None:
    for text in (TEXT, "ce"):
        with pytest.raises(ValueError, match=r"write `loss.set_clock\(epoch=0\)`"):
            losslang.compile(text).set_clock(epoch=time)


def test_a_clock_that_only_weights_read_is_told_in_their_words() -> None:
    loss = losslang.compile("dwa(l1, mse)")
    ALREADY_GIVEN.clear()
    for _ in range(99):
        loss(PRED, TARGET)
    with pytest.warns(losslang.LossWarning, match="weights of `dwa`"):
        loss(PRED, TARGET)
