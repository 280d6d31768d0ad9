"""Weights that are found in every call: against the papers and other libraries, and in training."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

import losslang

LOSSES = torch.tensor(
    [
        [[1.0, 0.5, 2.0], [0.9, 0.45, 2.1], [0.8, 0.5, 1.9]],
        [[0.7, 0.4, 1.8], [0.65, 0.42, 1.7], [0.6, 0.38, 1.85]],
        [[0.5, 0.39, 1.2], [0.52, 0.36, 1.3], [0.45, 0.37, 1.1]],
        [[0.4, 0.36, 0.9], [0.42, 0.35, 0.8], [0.38, 0.34, 0.7]],
    ]
)
"""Values of three losses in the three steps of four epochs."""
THREE = "mean(batch.a), mean(batch.b), mean(batch.c)"
METHODS = (
    "dwa(mse, l1)",
    "relobralo(mse, l1, beta=0.5, alpha=0.5)",
    "balance(mse, l1, momentum=0.5)",
    "gradnorm(mse, l1, wrt=batch.z)",
    "mse + gradmatch(mse, l1, wrt=batch.z)*l1",
)


def handed_over(values: Tensor) -> dict[str, Tensor]:
    return {name: value.clone().requires_grad_() for name, value in zip("abc", values, strict=True)}


# ---------------------------------------------------------------------------- the methods


@pytest.mark.parametrize(
    ("temperature", "totals"),
    [
        (
            2.0,
            [
                3.5,
                3.45,
                3.2,
                2.9,
                2.77,
                2.83,
                2.116647289,
                2.209457176,
                1.944883244,
                1.62866266,
                1.543234538,
                1.398871709,
            ],
        ),
        (
            0.5,
            [
                3.5,
                3.45,
                3.2,
                2.9,
                2.77,
                2.83,
                2.198111198,
                2.299790146,
                2.020789258,
                1.536330985,
                1.463788007,
                1.336406906,
            ],
        ),
    ],
)
def test_dwa_is_that_of_torchjd(temperature: float, totals: list[float]) -> None:
    """`DWA(temperature)` of TorchJD 0.18.0 on the same values, `step()` at the end of each epoch."""
    loss = losslang.compile(f"dwa({THREE}, temperature={temperature})")
    found: list[float] = []
    for epoch in LOSSES:
        found += [loss(**handed_over(values)).item() for values in epoch]
        loss.tick("epoch")
    assert found == pytest.approx(totals, abs=2e-6)


def test_dwa_has_the_weights_of_libmtl() -> None:
    """What `DWA.backward` of LibMTL 1.1.5 returns in the epochs 2 and 3, given the means of the epochs."""
    loss = losslang.compile(f"dwa({THREE})")
    for epoch, values in enumerate(LOSSES):
        loss.set_clock(epoch=epoch)
        for step in values:
            loss(**handed_over(step))
        weights = loss.detail(**handed_over(values[0])).weights
        if epoch >= 2:
            of_libmtl = [[0.9546511, 1.0062923, 1.0390563], [0.98224515, 1.0744718, 0.9432831]][epoch - 2]
            torch.testing.assert_close(weights, torch.tensor(of_libmtl), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("beta", "temperature", "totals"),
    [
        (1.0, 1.0, [3.5, 3.4645872, 3.1997838, 2.9101443, 2.7737942, 2.8509381]),
        (1.0, 0.1, [3.5, 3.6030898, 3.2019358, 3.0022411, 2.8018041, 3.0358534]),
        (0.0, 1.0, [3.5, 3.5958736, 3.1957695, 3.011718, 2.8174291, 3.0364945]),
        (0.0, 0.1, [3.5, 4.9808993, 2.9302335, 4.0580354, 3.0888638, 4.7190742]),
    ],
)
def test_relobralo_is_that_of_physicsnemo(beta: float, temperature: float, totals: list[float]) -> None:
    """`Relobralo(alpha=0.9, beta, tau)` of physicsnemo-sym at 9dac911 (2025-03): never, and always looking back."""
    loss = losslang.compile(f"relobralo({THREE}, alpha=0.9, beta={beta}, temperature={temperature})")
    found = [loss(**handed_over(values)).item() for values in LOSSES[:2].flatten(0, 1)]
    assert found == pytest.approx(totals, rel=2e-6)


def test_relobralo_draws_the_share_that_it_says() -> None:
    """Of 2000 draws with β = 0.7, those that look back are close to 30 %: the weights are then those of now."""
    loss = losslang.compile("relobralo(mean(batch.a), mean(batch.b), alpha=1, beta=0.7)")
    torch.manual_seed(0)
    looked: list[bool] = []
    for _ in range(2000):
        before = loss.weights_relobralo[:2].clone()
        a, b = (1 + torch.rand(2)).requires_grad_().unbind()
        loss(a=a, b=b)
        looked.append(not torch.equal(before, loss.weights_relobralo[:2]))
    assert 0.27 < sum(looked) / 2000 < 0.33
    pairs = sum(one and other for one, other in pairwise(looked))
    assert 0.06 < pairs / 2000 < 0.12


def by_hand(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    probs, axes = pred.sigmoid(), (2, 3)
    both = 2 * (probs * target).sum(axes) + 1e-5
    dice = 1 - both / (probs.sum(axes) + target.sum(axes) + 1e-5)
    return F.binary_cross_entropy_with_logits(pred, target), dice.mean()


@pytest.mark.parametrize("size", [8, 512])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.75, 0.25)])
def test_balance_gives_each_its_share(size: int, shares: tuple[float, float]) -> None:
    """Small, and large enough to be walked over in blocks: the weights, the value and the gradient."""
    torch.manual_seed(0)
    target = (torch.rand(2, 1, size, size) > 0.95).float()
    text = f"balance(bce(sigmoid), dice(sigmoid), momentum=0.9, shares=[{shares[0]}, {shares[1]}])"
    loss = losslang.compile(text)
    mean = torch.zeros(2)
    for step in range(1, 5):
        pred = (step * torch.randn(2, 1, size, size)).requires_grad_()
        losses = by_hand(pred, target)
        norms = torch.stack([torch.autograd.grad(each, pred, retain_graph=True)[0].norm() for each in losses])
        mean = 0.9 * mean + 0.1 * norms
        running = mean / (1 - 0.9**step)
        weights = torch.tensor(shares) * running.sum() / running
        wanted = (weights * torch.stack(losses)).sum()
        (of_hand,) = torch.autograd.grad(wanted, pred)
        out = loss.detail(pred, target)
        found = loss(pred, target)
        (gradient,) = torch.autograd.grad(found, pred)
        torch.testing.assert_close(out.weights, weights, rtol=2e-5, atol=0)
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=0)
        torch.testing.assert_close(gradient, of_hand, rtol=1e-4, atol=1e-9)


def test_gradnorm_moves_against_the_gradient_of_the_paper() -> None:
    """Algorithm 1 with torch's own gradient of Σ |w g - mean(w g) r^α|, over mean(g), and steps of SGD."""
    loss = losslang.compile("gradnorm(mse@a, l1@b, wrt=batch.z, alpha=1.2, lr=0.1)")
    torch.manual_seed(1)
    w = torch.ones(2, requires_grad=True)
    first = torch.zeros(2)
    targets = {"a": torch.randn(6, 3), "b": torch.randn(6, 3)}
    for step in range(4):
        z = torch.randn(6, 4, requires_grad=True)
        heads = {"a": z[:, :3] * 2, "b": z[:, 1:] ** 2}
        losses = torch.stack([F.mse_loss(heads["a"], targets["a"]), F.l1_loss(heads["b"], targets["b"])])
        g = torch.stack([torch.autograd.grad(each, z, retain_graph=True)[0].norm() for each in losses])
        first = losses.detach() if not step else first
        fallen = losses.detach() / first
        aim = (w * g).mean().detach() * (fallen / fallen.mean()) ** 1.2
        (slope,) = torch.autograd.grad((w * g - aim).abs().sum(), w)
        found = loss(heads, targets, z=z)
        torch.testing.assert_close(found, (w.detach() * losses).sum(), rtol=1e-5, atol=0)
        with torch.no_grad():
            w -= 0.1 * slope / g.mean()
            w *= 2 / w.sum()


def test_gradmatch_is_the_ratio_of_two_gradients() -> None:
    torch.manual_seed(2)
    last, x, y = torch.randn(3, 3, requires_grad=True), torch.randn(5, 3), torch.randn(5, 3)
    pred = x @ last
    a, b = F.l1_loss(pred, y), F.mse_loss(pred, y)
    of_a, of_b = (torch.autograd.grad(each, last, retain_graph=True)[0].norm() for each in (a, b))
    weight = 0.8 * of_a / (of_b + 1e-4)
    loss = losslang.compile("l1 + 0.5*gradmatch(l1, mse, wrt=batch.last, scale=0.8)*mse")
    out = loss.detail(pred, y, last=last)
    torch.testing.assert_close(out.total, a + 0.5 * weight * b)
    torch.testing.assert_close(out.weights, torch.stack([torch.tensor(1.0), 0.5 * weight]))
    torch.testing.assert_close(loss.detail(pred, y, last=last).weights, out.weights)
    (found,) = torch.autograd.grad(out.total, last, retain_graph=True)
    (wanted,) = torch.autograd.grad(a + 0.5 * weight.detach() * b, last)
    torch.testing.assert_close(found, wanted)


def test_what_is_computed_from_the_prediction_is_measured_there() -> None:
    """The score of a critic is handed over, and its gradient counts where the prediction is."""
    torch.manual_seed(3)
    pred, y, critic = torch.randn(5, 3, requires_grad=True), torch.randn(5, 3), nn.Linear(3, 1)
    score = critic(pred)
    loss = losslang.compile("g = -mean(batch.score); l1 + gradmatch(l1, g)*g")
    of_l1, of_g = (
        torch.autograd.grad(each, pred, retain_graph=True)[0].norm()
        for each in (F.l1_loss(pred, y), -score.mean())
    )
    torch.testing.assert_close(loss.detail(pred, y, score=score).weights[1], of_l1 / (of_g + 1e-4))


# ---------------------------------------------------------------------------- in training


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def share_of_bce(text: str, epochs: int = 120) -> list[float]:
    """The share that `bce` has of the gradient at the prediction, in training on 1 % foreground."""
    torch.manual_seed(0)
    target = torch.zeros(4, 1, 32, 32)
    target[:, :, 10:13, 20:23] = 1
    images = target + 0.3 * torch.randn_like(target)
    net, loss = Net(), losslang.compile(text)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    found: list[float] = []
    for _ in range(epochs):
        pred = net(images)
        found.append(loss.gradients(pred, target).shares[0].item())
        optimizer.zero_grad()
        loss(pred, target).backward()
        optimizer.step()
    return found


def test_a_plain_sum_decays_to_dice_alone_and_balance_does_not() -> None:
    """At 1 % foreground the mean over all pixels is soon nothing beside an overlap of the few."""
    plain = share_of_bce("bce(sigmoid) + dice(sigmoid)")
    assert max(plain[-50:]) < 0.15
    balanced = share_of_bce("balance(bce(sigmoid), dice(sigmoid))")
    assert all(0.3 < share < 0.7 for share in balanced)


def test_evaluation_has_the_weights_of_the_last_step() -> None:
    loss = losslang.compile("balance(mse, l1)")
    assert loss.eval().detail(torch.ones(4), torch.zeros(4)).weights.tolist() == [1, 1]
    pred = (3 * torch.randn(4)).requires_grad_()
    loss.train()
    loss(pred, torch.zeros(4)).backward()
    weights, kept = loss.detail(pred, torch.zeros(4)).weights, loss.weights_balance.clone()
    for mode in (False, True):
        with torch.no_grad():
            torch.testing.assert_close(loss.train(mode).detail(9 * pred, torch.zeros(4)).weights, weights)
            loss(9 * pred, torch.zeros(4))
    assert torch.equal(loss.weights_balance, kept)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("text", METHODS)
def test_what_is_not_finite_moves_nothing(text: str, bad: float) -> None:
    loss, step = losslang.compile(text), steps(text)
    for at in range(3):
        step(loss, at)
    (name,) = [key for key in loss.state_dict() if key.startswith("weights_")]
    kept = loss.state_dict()[name].clone()
    z = torch.randn(6, requires_grad=True)
    loss(z * bad, torch.zeros(6), z=z)
    assert torch.equal(loss.state_dict()[name], kept)


@pytest.mark.parametrize("text", ["balance(mse@a, l1@b)", "dwa(mse@a, l1@b)", "relobralo(mse@a, l1@b)"])
def test_a_head_with_nothing_to_learn_from_comes_back(text: str) -> None:
    """Its gradient is 0 for a while, as without positives: the weights stay numbers, and small ones."""
    loss = losslang.compile(text)
    target = {"a": torch.zeros(3), "b": torch.ones(3)}
    for value in (1.0, *[0.0] * 50, 1.0):
        z = {"a": torch.full((3,), value, requires_grad=True), "b": torch.zeros(3, requires_grad=True)}
        out = loss.detail(z, target)
        loss(z, target).backward()
        assert out.total.isfinite()
        assert (out.weights < 10).all()


@pytest.mark.parametrize(
    ("text", "missed"),
    [
        ("balance(mse@a, l1@b, wrt=pred.a)", "at `pred.a`, and `l1.b` is not computed from it"),
        ("balance(mse@a, l1@c)", "at the predictions, and `l1.c` is not computed from it"),
        (
            "gradnorm(mse@a, l1@b, wrt=batch.other)",
            "at `batch.other`, and `mse.a` and `l1.b` are not computed",
        ),
        ("mse@a + gradmatch(mse@a, l1@b, wrt=pred.b)*l1@b", "at `pred.b`, and `argument 1` is not computed"),
    ],
)
def test_a_loss_without_a_gradient_there_is_named(text: str, missed: str) -> None:
    """Its weight would be as large as it may be, for a loss that other parameters learn from."""
    loss = losslang.compile(text)
    heads = {name: torch.randn(3, requires_grad=True) for name in "ab"} | {"c": torch.randn(3)}
    with pytest.raises(losslang.LossError) as found:
        loss(heads, {name: torch.ones(3) for name in "abc"}, other=torch.zeros(3, requires_grad=True))
    assert [d.code for d in found.value.diagnostics] == ["E545"]
    assert missed in str(found.value)


def test_half_precision_measures_what_it_cannot_hold() -> None:
    """The mean over a million pixels has gradients below the least float16."""
    pred = torch.randn(1, 1, 1024, 1024).half().requires_grad_()
    target = (torch.rand(1, 1, 1024, 1024) > 0.5).float()
    loss = losslang.compile("balance(bce(sigmoid), dice(sigmoid), momentum=0)")
    loss(pred, target)
    exact = losslang.compile("balance(bce(sigmoid), dice(sigmoid), momentum=0)")
    exact(pred.detach().float().requires_grad_(), target)
    torch.testing.assert_close(loss.weights_balance[:2], exact.weights_balance[:2], rtol=0.02, atol=0)


# ---------------------------------------------------------------------------- checkpoints, copies, compilers


def steps(text: str) -> Callable[[losslang.Loss, int], Tensor]:
    """A step of training that depends on its number alone."""

    def step(loss: losslang.Loss, at: int) -> Tensor:
        r = torch.Generator().manual_seed(at)
        z = (torch.randn(6, generator=r) / (1 + at)).requires_grad_()
        total = loss(2 * z, torch.zeros(6), z=z)
        loss.tick()
        if at % 3 == 2:
            loss.tick("epoch")
        return total.detach()

    return step


@pytest.mark.parametrize("text", METHODS)
@pytest.mark.parametrize("how", ["state", "copy", "pickle"])
def test_a_run_goes_on_to_the_bit(text: str, how: str) -> None:
    """Also in the middle of an epoch, and with the draws of `relobralo`."""
    loss, step = losslang.compile(text), steps(text)
    for at in range(7):
        step(loss, at)
    if how == "state":
        other = losslang.compile(text)
        other.load_state_dict(copy.deepcopy(loss.state_dict()), strict=True)
    else:
        other = copy.deepcopy(loss) if how == "copy" else pickle.loads(pickle.dumps(loss))
    for at in range(7, 16):
        assert torch.equal(step(loss, at), step(other, at))
    for key, value in loss.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])


def test_a_checkpoint_without_the_weights_says_so() -> None:
    loss = losslang.compile("balance(mse, l1)")
    with pytest.warns(losslang.LossWarning, match="holds no memory of `balance`"):
        loss.load_state_dict({})


DYNAMO_LOOKS = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
"""torch 2.13 looks at `.grad` of what a call hands over."""


@DYNAMO_LOOKS
@pytest.mark.parametrize("text", METHODS[:2])
def test_what_is_found_from_values_is_one_graph(text: str) -> None:
    torch.compiler.reset()
    loss, eager, step = losslang.compile(text), losslang.compile(text), steps(text)
    counter = CompileCounter()
    compiled: Any = torch.compile(loss, backend=counter, fullgraph=True)
    for at in range(12):
        r = torch.Generator().manual_seed(at)
        z = (torch.randn(6, generator=r) / (1 + at)).requires_grad_()
        torch.testing.assert_close(compiled(2 * z, torch.zeros(6)).detach(), step(eager, at))
        loss.tick()
        if at % 3 == 2:
            loss.tick("epoch")
    assert counter.frame_count == 1


@DYNAMO_LOOKS
@pytest.mark.parametrize("text", METHODS[2:])
def test_what_measures_gradients_breaks_the_graph_and_says_why(text: str) -> None:
    torch.compiler.reset()
    loss, eager, step = losslang.compile(text), losslang.compile(text), steps(text)
    compiled: Any = torch.compile(loss, backend="eager")
    for at in range(4):
        r = torch.Generator().manual_seed(at)
        z = (torch.randn(6, generator=r) / (1 + at)).requires_grad_()
        torch.testing.assert_close(compiled(2 * z, torch.zeros(6), z=z).detach(), step(eager, at))
    torch.compiler.reset()
    whole: Any = torch.compile(losslang.compile(text), backend="eager", fullgraph=True)
    z = torch.randn(6, requires_grad=True)
    with pytest.raises(Exception, match="leave `fullgraph=True` out, or weigh by values"):
        whole(2 * z, torch.zeros(6), z=z)


@pytest.mark.parametrize("text", METHODS)
def test_it_is_exported_as_it_evaluates(text: str) -> None:
    loss, step = losslang.compile(text), steps(text)
    for at in range(5):
        step(loss, at)
    loss.eval()
    call = (torch.randn(6), torch.randn(6))
    exported = torch.export.export(loss, call, {"z": torch.randn(6)})
    found = exported.module()(*call, z=torch.randn(6))
    torch.testing.assert_close(found, loss(*call, z=torch.randn(6)))
    assert any(name.startswith("weights_") for name in dict(exported.named_buffers()))


@pytest.mark.parametrize("text", METHODS)
def test_a_step_reads_no_number_of_a_tensor(text: str) -> None:
    """As many as the plain sum reads: on a GPU each would be a wait."""

    def reads(program: str) -> int:
        loss = losslang.compile(program)
        z = torch.randn(6, requires_grad=True)
        for _ in range(2):
            loss(2 * z, torch.zeros(6), z=z)
        with torch.profiler.profile() as profile:
            loss(2 * z, torch.zeros(6), z=z).backward()
        events = {event.key: event.count for event in profile.key_averages()}
        return events.get("aten::_local_scalar_dense", 0)

    of_clock = 1 if text.startswith("dwa") else 0  # on a CPU it is a number
    assert reads(text) - reads("mse + l1") == of_clock


# ---------------------------------------------------------------------------- several, and beside others


def test_two_calls_are_two_weighings() -> None:
    loss = losslang.compile("2*balance(mse@a, l1@a) + 0.5*dwa(mse@b, l1@b) + balance(mse@c, l1@c) + l1@a")
    kept = [key for key in loss.state_dict() if key.startswith("weights_")]
    assert kept == ["weights_balance", "weights_dwa", "weights_balance_2"]
    heads = {name: torch.randn(4, requires_grad=True) for name in "abc"}
    out = loss.detail(heads, {name: torch.randn(4) for name in "abc"})
    torch.testing.assert_close(out.contributions.sum(), out.total.detach())
    assert out.weights[2:4].tolist() == [0.5, 0.5]
    assert out.weights[-1] == 1


def test_a_sum_is_one_argument() -> None:
    loss = losslang.compile("pair = mse + 3*l1; balance(pair, huber, momentum=0)")
    pred, target = torch.randn(5, requires_grad=True), torch.randn(5)
    pair = F.mse_loss(pred, target) + 3 * F.l1_loss(pred, target)
    norms = [
        torch.autograd.grad(x, pred, retain_graph=True)[0].norm() for x in (pair, F.huber_loss(pred, target))
    ]
    out = loss.detail(pred, target)
    weight = (norms[0] + norms[1]) / norms[0] / 2
    torch.testing.assert_close(out.weights[:2], weight * torch.tensor([1.0, 3.0]))
    assert loss.canonical == "pair = mse + 3*l1\nbalance(pair, huber, momentum=0)"


def test_a_schedule_stands_in_front_of_the_whole() -> None:
    loss = losslang.compile("ramp(0, 1, steps=10)*balance(mse, l1) + after(steps=5)*gradmatch(mse, l1)*l1")
    pred, target = torch.randn(5, requires_grad=True), torch.randn(5)
    assert loss(pred, target).item() == 0
    loss.set_clock(step=5)
    weights = loss.detail(pred, target).weights
    assert weights.isfinite().all()
    assert (weights > 0).all()


def test_every_tensor_that_is_read_is_measured_once() -> None:
    """Slices of one prediction, and two predictions: the gradient is that of all of them as one vector."""
    pred, target = torch.randn(3, 4, 5, 2, requires_grad=True), torch.randn(3, 4, 5, 2)
    loss = losslang.compile("balance(mse@(pred[0:2], target[0:2]), l1@(pred[1:4], target[1:4]), momentum=0)")
    losses = [F.mse_loss(pred[:, :2], target[:, :2]), F.l1_loss(pred[:, 1:], target[:, 1:])]
    norms = torch.stack([torch.autograd.grad(x, pred, retain_graph=True)[0].norm() for x in losses])
    torch.testing.assert_close(loss.detail(pred, target).weights, norms.sum() / norms / 2)


def test_a_norm_is_refused_and_named() -> None:
    loss = losslang.compile("balance(mse, l1) + mse")
    with pytest.raises(losslang.LossError) as found:
        loss(torch.zeros(4, requires_grad=True), torch.ones(4), norm=8)
    assert [d.code for d in found.value.diagnostics] == ["E371", "E371"]
    assert "finds its weight in each call" in str(found.value)


def test_an_option_that_is_overridden_is_measured_as_it_is_trained() -> None:
    text = "h = huber; mse + gradmatch(mse, h)*h"
    pred, target = torch.randn(5, requires_grad=True), torch.randn(5)
    found = losslang.compile(text, overrides={"h.delta": 0.1}).detail(pred, target)
    wanted = losslang.compile(text.replace("huber", "huber(delta=0.1)")).detail(pred, target)
    torch.testing.assert_close(found.weights, wanted.weights)


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("ramp(0, 1, steps=6)*gradnorm(mse, l1, wrt=batch.z)", "gradnorm(mse, l1, wrt=batch.z)"),
        ("(1 + epoch)*dwa(mse, l1)", "dwa(mse, l1)"),
        ("after(steps=2)*relobralo(mse, l1, beta=0)", "relobralo(mse, l1, beta=0)"),
        ("ramp(0, 1, steps=6)*balance(mse, l1)", "balance(mse, l1)"),
    ],
)
def test_what_stands_in_front_is_not_measured(text: str, inner: str) -> None:
    loss, alone, step = losslang.compile(text), losslang.compile(inner), steps(text)
    for at in range(9):
        step(loss, at)
        step(alone, at)
    kept = [key for key in loss.state_dict() if key.startswith("weights_")]
    for key in kept:
        assert torch.equal(loss.state_dict()[key], alone.state_dict()[key])
    assert losslang.compile(text).fingerprint != alone.fingerprint
    assert losslang.compile(losslang.compile(text).lock).fingerprint == loss.fingerprint


def test_a_weight_from_outside_is_that_inside_of_the_call() -> None:
    loss = losslang.compile("2*dwa(mse, l1)", overrides={"mse.weight": 3})
    pred, target = torch.randn(5, requires_grad=True), torch.randn(5)
    assert loss.detail(pred, target).weights.tolist() == [6, 2]
    assert loss.fingerprint == losslang.compile("2*dwa(3*mse, l1)").fingerprint
    assert losslang.compile(loss.canonical).fingerprint == loss.fingerprint


def test_a_term_that_is_dropped_is_no_argument() -> None:
    pred, target = torch.randn(5, requires_grad=True), torch.randn(5)
    wanted = losslang.compile("balance(mse, l1, shares=[1, 3])").detail(pred, target)
    for text in (
        "balance(mse, l1, 0*huber, shares=[1, 3, 9])",
        "balance(0*huber, mse, l1, shares=[9, 1, 3])",
    ):
        found = losslang.compile(text).detail(pred, target)
        torch.testing.assert_close(found.total, wanted.total)
    zero = losslang.compile("balance(mse, l1, huber)", overrides={"huber.weight": 0}).detail(pred, target)
    torch.testing.assert_close(zero.total, losslang.compile("balance(mse, l1)").detail(pred, target).total)


@pytest.mark.parametrize("scale", [1e-3, 40.0])
def test_float16_moves_whatever_its_size(scale: float) -> None:
    """Large gradients overflow when they are multiplied, small ones vanish when they are not."""
    loss = losslang.compile("balance(mse(reduction=sum), l1, momentum=0)")
    exact = losslang.compile("balance(mse(reduction=sum), l1, momentum=0)")
    pred = (scale * torch.randn(64)).half()
    loss(pred.clone().requires_grad_(), torch.zeros(64))
    exact(pred.float().requires_grad_(), torch.zeros(64))
    assert loss.weights_balance[1] != 1
    torch.testing.assert_close(loss.weights_balance[:2], exact.weights_balance[:2], rtol=0.01, atol=0)


def test_types_may_differ_between_the_heads() -> None:
    heads = {
        "a": torch.randn(4, requires_grad=True),
        "b": torch.randn(4, dtype=torch.float64, requires_grad=True),
    }
    target = {name: torch.zeros(4) for name in "ab"}
    one = losslang.compile("balance(mse@a, l1@b)").detail(heads, target).weights
    other = losslang.compile("balance(l1@b, mse@a)").detail(heads, target).weights
    torch.testing.assert_close(one, other.flip(0))


def test_a_long_gradient_is_measured_exactly() -> None:
    pred = torch.full((3, 10_000_000), 2.0, requires_grad=True)
    loss = losslang.compile("balance(mse(reduction=sum), l1(reduction=sum), momentum=0)")
    loss(pred, torch.zeros_like(pred))
    # |2 e| = 4 and |sign e| = 1 in every place.
    torch.testing.assert_close(loss.weights_balance[:2], torch.tensor([5 / 8, 5 / 2]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("text", METHODS[3:])
def test_evaluation_needs_nothing_to_measure_at(text: str) -> None:
    loss, step = losslang.compile(text), steps(text)
    step(loss, 0)
    with pytest.raises(losslang.LossError) as found:
        loss(torch.randn(6, requires_grad=True), torch.zeros(6))
    assert [d.code for d in found.value.diagnostics] == ["E547"]
    assert loss.eval()(torch.randn(6), torch.zeros(6)).isfinite()


@pytest.mark.filterwarnings("ignore::losslang.LossWarning")
@pytest.mark.parametrize("other", ["balance(l1, mse)", "balance(mse, huber)", "balance(mse, l1, huber)"])
def test_what_was_kept_of_other_losses_is_not_taken(other: str) -> None:
    loss, step = losslang.compile("balance(mse, l1)"), steps("balance(mse, l1)")
    step(loss, 0)
    new = losslang.compile(other)
    fresh = new.weights_balance.clone()
    new.load_state_dict(loss.state_dict(), strict=False)
    assert torch.equal(new.weights_balance, fresh)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("w = balance(mse, l1); w + 0.5*w", "balance(mse, l1) + 0.5*balance(mse, l1)"),
        (
            "w = dwa(mse, 2*l1); ramp(1, 2, steps=5)*w + 3*w",
            "ramp(1, 2, steps=5)*dwa(mse, 2*l1) + 3*dwa(mse, 2*l1)",
        ),
    ],
)
def test_a_call_that_is_used_twice_is_two_calls(text: str, written: str) -> None:
    loss = losslang.compile(text)
    pred, target = torch.randn(5, requires_grad=True), torch.randn(5)
    assert len([key for key in loss.state_dict() if key.startswith("weights_")]) == 2
    for same in (written, loss.lock):
        assert losslang.compile(same).fingerprint == loss.fingerprint
        torch.testing.assert_close(losslang.compile(same)(pred, target), losslang.compile(text)(pred, target))


def test_a_lock_keeps_the_name_of_an_argument() -> None:
    loss = losslang.compile("b = mse + 2*l1; 3*balance(huber, b)")
    again = losslang.compile(loss.lock)
    assert again.fingerprint == loss.fingerprint
    assert [term.name for term in again.meaning.terms] == ["huber", "b/mse", "b/l1"]
