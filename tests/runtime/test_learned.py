"""Learned weights: what they are worth, how they train, and what holds them in optimizers and checkpoints."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import losslang

R = torch.Generator().manual_seed(35)
PRED = {"a": torch.randn(6, 5, generator=R), "b": torch.randn(6, 5, generator=R)}
TARGET = {"a": torch.randn(6, 5, generator=R), "b": torch.randn(6, 5, generator=R)}


def parts() -> tuple[Tensor, Tensor]:
    return (PRED["a"] - TARGET["a"]).square().mean(), (PRED["b"] - TARGET["b"]).abs().mean()


def set_to(loss: losslang.Loss, **values: float) -> losslang.Loss:
    with torch.no_grad():
        for name, value in values.items():
            loss.get_parameter(f"learned.{name}").fill_(value)
    return loss


def test_a_learned_number_is_a_parameter_of_its_name() -> None:
    loss = losslang.compile("s = learn(0.5); exp(-s)*mse@a + s + 0.1*s**2*detach(l1@b)")
    assert dict(loss.named_parameters()).keys() == {"learned.s"}
    s = torch.tensor(0.5, requires_grad=True)
    a, b = parts()
    wanted = torch.exp(-s) * a + s + 0.1 * s**2 * b
    torch.testing.assert_close(loss(PRED, TARGET), wanted)
    loss(PRED, TARGET).backward()
    wanted.backward()
    torch.testing.assert_close(loss.get_parameter("learned.s").grad, s.grad)


def test_bounds_hold_it() -> None:
    loss = losslang.compile("s = learn(1, min=0.5, max=2); mse@a/s + log(s)")
    for value, held in ((0.1, 0.5), (1.5, 1.5), (9.0, 2.0)):
        found = set_to(loss, s=value)(PRED, TARGET)
        torch.testing.assert_close(found, parts()[0] / held + torch.tensor(held).log())


@pytest.mark.parametrize(
    ("value", "gradient", "wanted"),
    [
        (3.0, 2.0, 2.0),
        (3.0, -2.0, 0.0),
        (-1.0, 2.0, 0.0),
        (-1.0, -2.0, -2.0),
        (1.0, -2.0, -2.0),
        (2.0, -2.0, -2.0),
    ],
)
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by torch._dynamo
def test_a_gradient_leads_back_from_outside_of_the_bounds(
    value: float, gradient: float, wanted: float
) -> None:
    """A step goes against the gradient: from 3 down to the bounds 0.5 and 2 where it is above 0."""
    loss = losslang.compile("s = learn(1, min=0.5, max=2); s*batch.w + exp(-s)*mse@a + exp(s)*mse@a")

    def total(s: Tensor, w: Tensor) -> Tensor:
        return torch.func.functional_call(loss, {"learned.s": s}, (TARGET, TARGET), {"w": w})

    s, w = torch.tensor(value), torch.tensor(gradient)
    assert torch.func.grad(total)(s, w) == wanted
    several = torch.func.vmap(torch.func.grad(total), in_dims=(0, None))(torch.stack([s, s]), w)
    assert several.tolist() == [wanted, wanted]
    inside = float(0.5 <= value <= 2)
    assert torch.func.jvp(lambda s: total(s, w), (s,), (torch.ones(()),))[1] == gradient * inside
    compiled: Any = torch.compile(set_to(loss, s=value), backend="aot_eager", fullgraph=True)  # pyright: ignore
    compiled(TARGET, TARGET, w=w).backward()
    assert loss.get_parameter("learned.s").grad == wanted


def test_one_step_too_far_is_taken_back() -> None:
    loss = losslang.compile("s = learn(0, min=-0.5, max=5); exp(-s)*mse@a + s")
    optimizer = torch.optim.SGD(loss.param_groups(), lr=1)
    far = {"a": TARGET["a"] + 3}
    for pred in [TARGET, *[far] * 30]:
        optimizer.zero_grad()
        loss(pred, TARGET).backward()
        optimizer.step()
    assert loss.get_parameter("learned.s").item() == pytest.approx(math.log(9), abs=0.01)


def test_bounds_are_exported() -> None:
    loss = set_to(losslang.compile("s = learn(0, max=1); exp(-s)*mse@a + s"), s=3.0)
    exported = torch.export.export(loss, (PRED, TARGET))
    torch.testing.assert_close(exported.module()(PRED, TARGET), loss(PRED, TARGET))


def test_uncertainty_is_the_form_of_libmtl_and_torchjd() -> None:
    """Σ (exp(-s) L + s) / 2, from s = 0: TorchJD 0.18 `UW`; LibMTL 1.1.5 starts at -0.5."""
    loss = set_to(
        losslang.compile("uncertainty(mse@a, 2*l1@b)"), uncertainty_mse_a=0.3, uncertainty_l1_b=-0.7
    )
    losses = torch.stack([parts()[0], 2 * parts()[1]])
    s = torch.tensor([0.3, -0.7])
    torch.testing.assert_close(loss(PRED, TARGET), ((torch.exp(-s) * losses + s) / 2).sum())
    out = loss.detail(PRED, TARGET)
    assert out.names == ("mse.a", "l1.b", "uncertainty")
    torch.testing.assert_close(out.contributions.sum(), out.total.detach())
    torch.testing.assert_close(out.weights[:2], torch.exp(-s) / 2 * torch.tensor([1.0, 2.0]))


def test_imtl_l_and_gls() -> None:
    a, b = parts()
    loss = set_to(losslang.compile("imtl_l(mse@a, l1@b)"), imtl_l_mse_a=0.3, imtl_l_l1_b=-0.7)
    s = torch.tensor([0.3, -0.7])
    torch.testing.assert_close(loss(PRED, TARGET), s[0].exp() * a - s[0] + s[1].exp() * b - s[1])
    torch.testing.assert_close(losslang.compile("gls(mse@a, l1@b)")(PRED, TARGET), (a * b).sqrt())


def test_the_geometric_mean_of_what_is_0_has_no_gradient() -> None:
    loss = losslang.compile("gls(mse@a, l1@b)")
    pred = {"a": TARGET["a"].clone().requires_grad_(), "b": PRED["b"].clone().requires_grad_()}
    total = loss(pred, TARGET)
    total.backward()
    assert total < 1e-10
    assert all(p.grad is not None and p.grad.isfinite().all() for p in pred.values())


@pytest.mark.parametrize("name", ["uncertainty", "imtl_l"])
def test_it_trains_to_where_the_paper_says(name: str) -> None:
    """For fixed losses the best weight is known: exp(-s) L = 1, and exp(s) L = 1."""
    loss = losslang.compile(f"{name}(mse@a, l1@b)")
    optimizer = torch.optim.Adam(loss.param_groups(), lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        loss(PRED, TARGET).backward()
        optimizer.step()
    sign = -1.0 if name == "uncertainty" else 1.0
    for parameter, part in zip((f"{name}_mse_a", f"{name}_l1_b"), parts(), strict=True):
        weight = torch.exp(sign * loss.get_parameter(f"learned.{parameter}"))
        torch.testing.assert_close(weight * part, torch.tensor(1.0), rtol=1e-3, atol=1e-3)


def test_checkpoints_copies_and_pickles() -> None:
    loss = set_to(losslang.compile("uncertainty(mse@a, l1@b)"), uncertainty_mse_a=0.3)
    fresh = losslang.compile("uncertainty(mse@a, l1@b)")
    fresh.load_state_dict(loss.state_dict(), strict=True)
    for twin in (fresh, copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin(PRED, TARGET) == loss(PRED, TARGET)
        assert twin.get_parameter("learned.uncertainty_mse_a") is not loss.get_parameter(
            "learned.uncertainty_mse_a"
        )
    loss.reset_parameters()
    assert loss.get_parameter("learned.uncertainty_mse_a") == 0


def test_a_file_of_another_program_leaves_what_it_does_not_hold() -> None:
    saved = set_to(losslang.compile("s = learn(0); exp(-s)*mse@a + s"), s=0.4).state_dict()
    loss = losslang.compile("s = learn(0); t = learn(1); exp(-s)*mse@a + s + exp(-t)*l1@b + t")
    with pytest.warns(losslang.LossWarning, match="W308"):
        loss.load_state_dict(saved)
    assert loss.get_parameter("learned.s").item() == pytest.approx(0.4)
    assert loss.get_parameter("learned.t").item() == 1


def test_it_compiles_exports_and_transforms() -> None:
    loss = set_to(losslang.compile("uncertainty(mse@a, l1@b)"), uncertainty_mse_a=0.3)
    wanted = loss(PRED, TARGET)
    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(loss, backend="eager", fullgraph=True)(PRED, TARGET), wanted)
    exported = torch.export.export(loss, (PRED, TARGET))
    torch.testing.assert_close(exported.module()(PRED, TARGET), wanted)
    named = dict(loss.named_parameters())
    found = torch.func.functional_call(loss, {n: torch.zeros(()) for n in named}, (PRED, TARGET))
    torch.testing.assert_close(found, sum(parts(), torch.zeros(())) / 2)


def test_an_optimizer_that_does_not_have_it_is_told() -> None:
    loss, model = losslang.compile("uncertainty(mse@a, l1@b)"), nn.Linear(2, 2)
    with pytest.raises(losslang.LossError, match="E357") as caught:
        loss.check_optimizer(torch.optim.SGD(model.parameters(), lr=0.1))
    assert "`learned.uncertainty_mse_a`" in str(caught.value)
    optimizer = torch.optim.AdamW([{"params": model.parameters()}, *loss.param_groups(lr=1e-2)], lr=1e-4)
    loss.check_optimizer(optimizer)
    assert optimizer.param_groups[1]["weight_decay"] == 0
    assert optimizer.param_groups[1]["lr"] == 1e-2


def test_a_loss_that_learns_nothing_has_no_group() -> None:
    assert losslang.compile("ce").param_groups() == []
    losslang.compile("ce").check_optimizer(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1))


def test_a_parameter_of_const_belongs_to_the_group_too() -> None:
    s = nn.Parameter(torch.tensor(0.0))
    loss = losslang.compile("exp(-const.s)*mse@a + const.s", const={"s": s})
    (group,) = loss.param_groups()
    assert group["params"][0] is s


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("uncertainty(mse@a, mse@a)", ["uncertainty_mse_a", "uncertainty_mse_a_2"]),
        (
            "uncertainty(l1@a, mse@a) + imtl_l(l1@a, l1@b)",
            ["uncertainty_l1_a", "uncertainty_mse_a", "imtl_l_l1_a", "imtl_l_l1_b"],
        ),
        (
            "uncertainty(l1@a) + uncertainty(l1@a, l1@b)",
            ["uncertainty_l1_a", "uncertainty_l1_a_2", "uncertainty_l1_b"],
        ),
        (
            "uncertainty_l1_a = learn(1); exp(-uncertainty_l1_a)*mse@b + uncertainty_l1_a + uncertainty(l1@a)",
            ["uncertainty_l1_a", "uncertainty_l1_a_2"],
        ),
    ],
)
def test_every_argument_has_a_parameter_of_its_own(text: str, names: list[str]) -> None:
    """Also two of one loss, of two combinators, and beside a name of the program."""
    loss = losslang.compile(text)
    assert {name.removeprefix("learned.") for name, _ in loss.named_parameters()} == set(names)
    loss(PRED, TARGET).backward()
    again = losslang.compile(loss.lock)
    assert again.fingerprint == loss.fingerprint
