"""Options that a schedule moves: at any time a loss is what it is with the number of that time.

In an eager call on a CPU the number is one, as if it were written. Where torch transforms or traces, and on a
GPU, it is a tensor, which other branches of a formula compute with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from _every_loss import LOSSES, compiled, data, text_of, uses
from test_dynamic_options import DYNAMIC, VALUES, within
from torch import Tensor

import losslang
from losslang.meaning.options import is_dynamic
from losslang.primitives.primitive import Reduction
from losslang.registry import current_registry

R = torch.Generator().manual_seed(4)
TIMES = (0, 1, 4)
REDUCTIONS = [
    (r.name, o) for r in current_registry().all(Reduction) for o, t in r.option_types.items() if is_dynamic(t)
]


@pytest.fixture(autouse=True)
def doubles() -> Iterator[None]:
    """Schedules of a clock that is a tensor are computed in torch's default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def agrees(text: str, ends: tuple[float, float], call: tuple[Tensor, Any, dict[str, Any]]) -> None:
    """Asserts that a text with NUMBER is the same with a schedule and with its number, at three times."""
    pred, target, batch = call
    pred = pred.detach().requires_grad_()
    # In evaluation what a loss remembers stays as it is.
    scheduled = compiled(text.replace("NUMBER", f"ramp({ends[0]}, {ends[1]}, steps=4)")).eval()
    values: list[float] = []
    for time in TIMES:
        plain = compiled(text.replace("NUMBER", repr(ends[0] + (ends[1] - ends[0]) * time / 4))).eval()
        scheduled.set_clock(step=time)
        wanted, found = plain(pred, target, **batch), scheduled(pred, target, **batch)
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
        (slope,) = torch.autograd.grad(wanted, pred)
        torch.testing.assert_close(torch.autograd.grad(found, pred)[0], slope, rtol=1e-8, atol=1e-10)
        of_tensor = torch.func.grad(lambda p: scheduled(p, target, **batch))(pred.detach())
        torch.testing.assert_close(of_tensor, slope, rtol=1e-7, atol=1e-10)
        values.append(wanted.item())
    assert len(set(values)) > 1 or "eps" in text, values


@pytest.mark.parametrize(("name", "option"), DYNAMIC, ids=str)
@pytest.mark.filterwarnings("ignore::losslang.LossWarning")
def test_of_a_loss(name: str, option: str) -> None:
    use, given = uses(name)[0], data(name, uses(name)[0])
    value = VALUES.get(option)
    ends = within(LOSSES[name], option, value, 0.9), within(LOSSES[name], option, value and 0.8 * value, 0.7)
    agrees(text_of(name, use, f"{option}=NUMBER"), ends, given)


@pytest.mark.parametrize("mask", ["", ", mask=batch.m"])
@pytest.mark.parametrize(("name", "option"), REDUCTIONS, ids=str)
def test_of_a_reduction(name: str, option: str, mask: str) -> None:
    pred, target, m = (
        torch.randn(3, 4, 5, generator=R),
        torch.rand(3, 4, 5, generator=R),
        torch.rand(3, 4, 5, generator=R),
    )
    target = (target > 0.6).double()
    more = ", min_kept=1" if name == "ohem" else ""
    agrees(
        f"focal(sigmoid, reduction={name}({option}=NUMBER{more}){mask})",
        {"ratio": (2.0, 0.4), "temperature": (2.0, 0.1)}.get(option, (0.9, 0.2)),
        (pred, target, {"m": m > 0.3}),
    )


@pytest.mark.parametrize(
    "text",
    [
        "ce(softmax(temperature=NUMBER))", "bce(sigmoid(temperature=NUMBER)) + dice", "nll(log_softmax(temperature=NUMBER))",
        "s = softmax; dice(softmax(temperature=NUMBER), mask=batch.m) + ce(softmax(temperature=NUMBER))",
        "cosine(normalize(eps=NUMBER))@(pred, batch.y)", "bce(sigmoid, pos_weight=NUMBER)", "ce(avg_factor=NUMBER)",
        "elastic_net(l1=NUMBER) + ce",
    ],
)  # fmt: skip
def test_of_an_activation_or_of_the_compiler(text: str) -> None:
    pred, target = torch.randn(3, 4, 5, generator=R), torch.randint(4, (3, 5), generator=R)
    batch = {"m": torch.rand(3, 5, generator=R) > 0.3, "y": torch.randn(3, 4, 5, generator=R)}
    if "elastic" not in text:
        agrees(text.removeprefix("s = softmax; "), (0.5, 1.5), (pred, target, batch))
        return
    w = torch.randn(4, 4, generator=R, requires_grad=True)
    loss = losslang.compile(text.replace("NUMBER", "ramp(0.5, 1.5, steps=4)"), params=[("w", w)])
    for time in TIMES:
        loss.set_clock(step=time)
        plain = losslang.compile(text.replace("NUMBER", str(0.5 + time / 4)), params=[("w", w)])
        torch.testing.assert_close(loss(pred, target), plain(pred, target))
        torch.testing.assert_close(torch.vmap(lambda p: loss(p, target))(pred[None])[0], plain(pred, target))
