"""Robust losses and forecasts: by hand, against each other, and against numbers of other libraries."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

import losslang

R = torch.Generator().manual_seed(11)


def real(*shape: int) -> Tensor:
    return torch.randn(shape, generator=R, dtype=torch.float64)


def compiled(text: str) -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        return losslang.compile(text)


def t(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def value_and_gradient(text: str, pred: Tensor, target: Any, **batch: Tensor) -> tuple[Tensor, Tensor]:
    x = pred.clone().requires_grad_()
    value = compiled(text)(x, target, **batch)
    return value.detach(), torch.autograd.grad(value.sum(), x)[0]


def same(a: str, b: str, pred: Tensor, target: Tensor, times: float = 1.0, **batch: Tensor) -> None:
    """`a` is `times` as large as `b`, in value and in gradient."""
    one, other = value_and_gradient(a, pred, target, **batch), value_and_gradient(b, pred, target, **batch)
    for found, wanted in zip(one, other, strict=True):
        torch.testing.assert_close(found, times * wanted, rtol=1e-9, atol=1e-12)
    assert one[1].abs().sum() > 0


A, B = 3 * real(7, 5), 3 * real(7, 5)
L2 = math.log(2)

# -------------------------------------------------------------------- by hand

BY_HAND: list[tuple[str, Tensor, Tensor, float]] = [
    # an error of 2 at c = 1, and of 4 at c = 2: (e/c)² = 4
    ("barron", t(2.0), t(0.0), math.sqrt(5) - 1),
    ("barron(alpha=2)", t(2.0), t(0.0), 2.0),
    ("barron(alpha=0)", t(2.0), t(0.0), math.log(3)),
    ("barron(alpha=-2)", t(2.0), t(0.0), 1.0),
    ("barron(alpha=-2, c=2)", t(4.0), t(0.0), 1.0),
    ("barron(alpha=4)", t(2.0), t(0.0), 0.5 * (9 - 1)),  # 2/4 ((4/2 + 1)² - 1)
    ("barron(alpha=-1e18)", t(2.0), t(0.0), 1 - math.exp(-2)),
    ("barron(alpha=1e18)", t(2.0), t(0.0), math.exp(2) - 1),
    ("pseudo_huber", t(2.0), t(0.0), math.sqrt(5) - 1),
    ("pseudo_huber(delta=3)", t(4.0), t(0.0), 9 * (5 / 3 - 1)),
    ("cauchy", t(2.0), t(0.0), math.log(3)),
    ("cauchy(c=2)", t(4.0), t(0.0), math.log(3)),
    ("geman_mcclure", t(2.0), t(0.0), 1.0),
    ("geman_mcclure(c=0.5)", t(1.0), t(0.0), 1.0),
    ("geman_mcclure", t(1e9), t(0.0), 2.0),
    ("welsch", t(2.0), t(0.0), 1 - math.exp(-2)),
    ("welsch(c=2)", t(4.0), t(0.0), 1 - math.exp(-2)),
    ("welsch", t(1e9), t(0.0), 1.0),
    # b = e^3 - 1; at d = 1 both branches are γ + γ/b - α
    ("balanced_l1", t(1.0), t(0.0), 1.5 + 1.5 / math.expm1(3) - 0.5),
    ("balanced_l1", t(3.0), t(0.0), 4.5 + 1.5 / math.expm1(3) - 0.5),
    ("balanced_l1", t(0.0), t(0.5), 0.5 / math.expm1(3) * (1 + math.expm1(3) / 2)
     * math.log(1 + math.expm1(3) / 2) - 0.25),
    # α = γ / log 2 makes b = 1: α (d + 1) log(d + 1) - α d at d = 1/2
    ("balanced_l1(alpha=1, gamma=log(2))", t(0.5), t(0.0), 1.5 * math.log(1.5) - 0.5),
    # wing: 10 log(1 + 2/2), and 15 - 10 + 10 log 6
    ("wing", t(2.0), t(0.0), 10 * L2),
    ("wing", t(15.0), t(0.0), 5 + 10 * math.log(6)),
    ("wing(w=5, epsilon=0.5)", t(2.0), t(0.0), 5 * math.log(5)),
    ("wing(like=toolbelt)", t(2.0), t(0.0), 5 * math.log(5)),
    # huber_quantile: an underestimate of 2 costs q (2 - 1/2), an overestimate 1 - q
    ("huber_quantile(q=0.9)", t(0.0), t(2.0), 0.9 * 1.5),
    ("huber_quantile(q=0.9)", t(2.0), t(0.0), 0.1 * 1.5),
    ("huber_quantile(q=0.9, delta=3)", t(2.0), t(0.0), 0.1 * 2),
    ("huber_quantile(q=[0.1, 0.9])", t([0.0, 0.0]), t(2.0), (0.1 * 1.5 + 0.9 * 1.5) / 2),
    ("epsilon_insensitive", t(0.05, 0.3, -0.3), t(0.0, 0, 0), 0.4 / 3),
    ("epsilon_insensitive(epsilon=1)", t(3.0), t(0.0), 2.0),
    ("squared_epsilon_insensitive(epsilon=1)", t(3.0, 0.5), t(0.0, 0), 2.0),
    # relative errors
    ("mape", t(3.0, 1.0), t(2.0, -4.0), (0.5 + 1.25) / 2),
    ("mape", t(1.0), t(0.0), 1e7),
    ("mape(eps=0)", t(3.0, 1.0), t(2.0, 0.0), 0.25),
    ("mape(eps=10)", t(3.0), t(2.0), 0.1),
    ("smape", t(3.0, -1.0), t(1.0, 4.0), (4 / 4 + 10 / 5) / 2),
    ("smape", t(0.0, 0.0), t(0.0, 5.0), 1.0),
    ("msle", t(math.e - 1, 0.0), t(0.0, math.e**2 - 1), 2.5),
    ("msle", t(-3.0), t(math.e - 1), 1.0),
    ("msle", t(math.e - 1), t(-3.0), 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "pred", "target", "number"), BY_HAND, ids=[row[0] for row in BY_HAND])
def test_by_hand(text: str, pred: Tensor, target: Tensor, number: float):
    value, grad = value_and_gradient(text, pred, target)
    # At its ends barron is within (e/c)⁴ / 4e12 of the limit.
    assert value.item() == pytest.approx(number, rel=1e-11, abs=1e-11)
    assert grad.isfinite().all()


# -------------------------------------------------------------------- laws between them

SAME: list[tuple[str, str, float]] = [
    ("barron(alpha=2)", "half_mse", 1),
    ("barron(alpha=2, c=3)", "half_mse", 1 / 9),
    ("barron", "pseudo_huber", 1),
    ("barron(alpha=1, c=3)", "pseudo_huber(delta=3)", 1 / 9),
    ("barron(alpha=0, c=2)", "cauchy(c=2)", 1),
    ("barron(alpha=-2, c=2)", "geman_mcclure(c=2)", 1),
    ("barron(alpha=-1e18, c=2)", "welsch(c=2)", 1),
    ("pseudo_huber(delta=2)", "4*(charbonnier(eps=2)/2 - 1)", 1),
    ("huber_quantile", "huber", 0.5),
    ("huber_quantile(delta=2)", "huber(delta=2)", 0.5),
    ("huber_quantile(q=0.8, delta=1e-9)", "quantile(q=0.8)", 1e-9),
    ("epsilon_insensitive(epsilon=0)", "l1", 1),
    ("squared_epsilon_insensitive(epsilon=0)", "mse", 1),
    ("wing(w=1e-9, epsilon=1)", "l1", 1),
    ("mape(eps=1e6)", "l1", 1e-6),
    ("relmse(baseline=batch.zero)", "mse/mse@(batch.zero, target)", 1),
]


@pytest.mark.parametrize(("one", "other", "times"), SAME)
def test_what_is_the_same(one: str, other: str, times: float):
    same(one, other, A, B, times, zero=torch.zeros_like(B))


@pytest.mark.parametrize(
    "alpha", [-1e18, -3.0, -2.0, -1e-9, 0.0, 1e-9, 0.5, 1.0, 2 - 1e-9, 2.0, 2 + 1e-9, 3.0]
)
def test_barron_is_smooth_in_its_shape(alpha: float):
    """No jump where a branch begins; half a square near 0, with slope e, for every α."""
    beside = alpha + 1e-7 * max(abs(alpha), 1) if alpha > -1e18 else -9e17
    for found, wanted in zip(
        value_and_gradient(f"barron(alpha={alpha!r})", A, B),
        value_and_gradient(f"barron(alpha={beside!r})", A, B),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-8)
    value, grad = value_and_gradient(f"barron(alpha={alpha!r})", t(1e-5), t(0.0))
    assert value.item() == pytest.approx(0.5e-10, rel=1e-6)
    assert grad.item() == pytest.approx(1e-5, rel=1e-6)


@pytest.mark.parametrize("alpha", [-1e18, -2.0, 0.0, 1e-7, 0.5, 1.0, 1.9999999, 2.0, 2.0000001, 1e18])
def test_barron_in_float32(alpha: float):
    """Not one of them loses its digits."""
    x = torch.linspace(-6, 6, 101, dtype=torch.float64)
    loss = compiled(f"barron(alpha={alpha!r}, reduction=none)")
    found, wanted = loss(x.float(), torch.zeros(101)), loss(x.float().double(), torch.zeros_like(x))
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-12)


def test_barrons_shape_has_ends():
    for wrong in ("1e19", "-1e19"):
        assert [d.code for d in losslang.check(f"barron(alpha={wrong})")] == ["E202"]


@pytest.mark.parametrize(
    "text",
    ["pseudo_huber", "cauchy", "welsch", "geman_mcclure", "balanced_l1", "wing", "huber_quantile(q=0.3)"],
)
def test_small_and_large_errors_in_float32(text: str):
    """An error of 1e-4 has a value, one of 1e6 is finite."""
    e = torch.tensor([1e-4, 1e-2, 1.0, 1e3, 1e6])
    loss = compiled(f"{text.removesuffix(')')}{', ' if '(' in text else '('}reduction=none)")
    found = loss(e.requires_grad_(), torch.zeros(5))
    torch.testing.assert_close(found.double(), loss(e.double(), torch.zeros(5).double()), rtol=1e-4, atol=0)
    found.sum().backward()
    assert e.grad is not None
    assert e.grad.isfinite().all()


def test_balanced_l1_rises_from_0_by_the_slope_of_the_paper():
    """For every β. mmdetection's formula falls below 0 at β = 2: -0.005 at an error of 0.05."""
    b, d = math.expm1(3), t(0.0, 0.01, 0.5, 1.9, 2.1, 7.0)
    value, grad = value_and_gradient("balanced_l1(beta=2, reduction=none)", d, torch.zeros_like(d))
    assert (value >= 0).all()
    wanted = torch.where(d < 2, 0.5 * torch.log1p(b * d / 2), 1.5)
    torch.testing.assert_close(grad, wanted, rtol=1e-12, atol=0)
    theirs = 0.5 / b * (b * 0.05 + 1) * math.log(b * 0.05 / 2 + 1) - 0.5 * 0.05
    assert theirs == pytest.approx(-0.005, abs=1e-4)
    assert value_and_gradient("balanced_l1(beta=2)", t(0.05), t(0.0))[0].item() == pytest.approx(
        0.005, abs=1e-3
    )


def test_of_every_loss_no_error_is_no_loss():
    for name in ("barron(alpha=0)", "barron(alpha=-1e18)", "pseudo_huber", "cauchy", "welsch", "geman_mcclure",
                 "balanced_l1", "wing", "huber_quantile", "mape", "mape(eps=0)", "smape", "msle"):  # fmt: skip
        for at in (A.abs(), torch.zeros(3, 2, dtype=torch.float64)):
            value, grad = value_and_gradient(name, at, at)
            assert value.item() == 0, name
            assert grad.abs().sum() == 0, name


# -------------------------------------------------------------------- recorded numbers

Y_HAT, Y = t(1.5, 1.0, 0.5, 3.0, -2.0, 5.0).reshape(2, 3), t(1.0, 2.0, 0.0, 4.0, -1.0, 3.0).reshape(2, 3)
"""neuralforecast/losses/pytorch.py at 5ffa0d08b8be."""
BOXES = (
    t([2.79, 2.67, 2.09, -0.17], [2.05, -2.21, -1.15, -0.22], [1.45, -0.09, -2.18, -0.94]),
    t([-1.05, -1.2, -2.01, -0.51], [-0.31, 1.65, 1.78, 0.13], [-0.24, 1.67, 2.32, 1.05]),
)
"""mmdet/models/losses/balanced_l1_loss.py of mmdet 3.3.0."""
KERAS = t([4.0, 8.0, 12.0], [8.0, 1.0, 3.0]), t([1.0, 9, 2], [-5, -2, 6])
"""keras/src/losses/losses_test.py"""
CAUCHY = t(0.8172505, 0.40257275, 0.6959277), t(0.04507637, 0.8956412, 0.8363343)
CHARBONNIER = t(0.5289287, 0.73737985, 0.7957371), t(0.042315066, 0.058618724, 0.074180365)
"""The first numbers of kornia's tests/losses/test_cauchy.py:100 and test_charbonnier.py:100."""

RECORDED: list[tuple[str, Tensor, Tensor, float, float]] = [
    ("balanced_l1(like=mmdet)", *BOXES, 3.549677793258525, 1e-12),
    ("mape(like=neuralforecast)", Y_HAT, Y, 0.4861111111111111, 1e-12),
    ("smape(like=neuralforecast)", Y_HAT, Y, 0.753174603174603, 1e-8),
    ("huber_quantile(q=0.9, delta=0.5, like=neuralforecast)", Y_HAT, Y, 0.1875, 1e-12),
    ("100*mape", *KERAS, 211.8518, 1e-5),  # losses_test.py:204
    ("msle(like=keras)", *KERAS, 1.437, 1e-3),  # losses_test.py:276
    ("mse(like=keras)", *KERAS, 49.5, 1e-12),
    ("l1(like=keras)", *KERAS, 5.5, 1e-12),
    ("log_cosh(like=keras)", *KERAS, 4.829245, 1e-6),
    ("l1(like=neuralforecast)", Y_HAT, Y, 1.0, 1e-12),
    ("mse(like=neuralforecast)", Y_HAT, Y, 1.25, 1e-12),
    ("rmse(like=neuralforecast)", Y_HAT, Y, 1.118033988749895, 1e-12),
    ("huber(like=neuralforecast)", Y_HAT, Y, 0.5416666666666666, 1e-12),
    ("quantile(q=0.1, like=neuralforecast)", Y_HAT, Y, 0.5, 1e-12),
    ("smooth_l1(like=mmdet)", *BOXES, 2.1682541666666664, 1e-12),
    # optax/losses/_regression_test.py: l2_loss, the mean of [0.125, 0.5, 1.125, 0]
    ("half_mse(like=optax)", t(-2.0, -1, 0.5, 1), t(-1.5, 0, -1, 1), 1.75 / 4, 1e-12),
    # neuralforecast's tukey gives 3.101950047068924: it lacks the `1 -`
    ("tukey", Y_HAT, Y, 4.685**2 / 6 - 3.101950047068924, 1e-12),
    ("cauchy(like=kornia)", *CAUCHY, (0.260922 + 0.11471901 + 0.009808745) / 3, 1e-5),
    ("pseudo_huber(like=kornia)", *CHARBONNIER, (0.112111926 + 0.20860112 + 0.23314404) / 3, 1e-5),
]


@pytest.mark.parametrize(("text", "pred", "target", "number", "rel"), RECORDED)
def test_numbers_of_other_libraries(text: str, pred: Tensor, target: Tensor, number: float, rel: float):
    assert compiled(text)(pred, target).item() == pytest.approx(number, rel=rel)


def test_kerass_sample_weights():
    """losses_test.py:219 and :291: the sum is divided by the number of elements, not by the weights."""
    weight = t(1.2, 3.4)
    assert 100 * compiled("mape(weight=batch.w)")(*KERAS, w=weight).item() == pytest.approx(
        422.8888, rel=1e-5
    )
    assert compiled("msle(weight=batch.w)")(*KERAS, w=weight).item() == pytest.approx(3.7856, rel=1e-4)


RESIDUALS = t(-20.0, -10.3, -1.3, 3.6, 19.9)
BARRON: list[tuple[str, list[float]]] = [
    ("4", [1300.0, 101.19162578124494, 0.2335632812498954, 2.932200000000791, 1274.6881257813923]),
    ("1e18", [5.184705528587072e21, 574495.9113404396, 0.23522112174428034, 4.053090316565393, 3.148616176066838e21]),
    ("-1e18", [1.0, 0.9999982593466035, 0.19042835133204317, 0.802101300916445, 1.0]),
    ("-2", [1.9230769230769231, 1.7378982717667233, 0.19106840022604582, 0.8950276243094843, 1.9223319822334453]),
    ("1", [9.04987562112089, 4.246189093046427, 0.19268604418758395, 1.059126028197547, 9.000124999219041]),
    ("2", [50.0, 13.261249999999645, 0.21124999999991365, 1.6200000000003019, 49.50125000000282]),
    ("0", [3.9318256327243257, 2.657546068928417, 0.19165288422276758, 0.9631743177731208, 3.92199808845028]),
]  # fmt: skip
"""robust_loss_pytorch, tests/general_test.py, TestGeneral: at scale 2, for α = 4, ∞, -∞, -2, 1, 2 and 0."""


@pytest.mark.parametrize(("alpha", "numbers"), BARRON)
def test_barrons_own_numbers(alpha: str, numbers: list[float]):
    """The ends of the range are infinity to the last digit."""
    loss = compiled(f"barron(alpha={alpha}, c=2, reduction=none, like=robust_loss)")
    # Their residuals were summed up from -20: 19.9 is 19.900000000000567.
    torch.testing.assert_close(loss(RESIDUALS, torch.zeros(5).double()), t(*numbers), rtol=1e-10, atol=0)


# -------------------------------------------------------------------- with a history

HISTORY = t([1.0, 3, 2, 6], [5.0, 5, 5, 5])
"""Steps of 2, 1, 4: 7/3 on the average, and of two at once 1, 3: 2. The second never moves."""


def test_mase_by_hand():
    pred, target = t([1.0, 2.0], [1.0, 2.0]), t([2.0, 4.0], [0.0, 0.0])
    first = compiled("mase@(pred, target, batch.history)")
    assert first(pred[:1], target[:1], history=HISTORY[:1]).item() == pytest.approx(1.5 / (7 / 3))
    seasons = compiled("mase(seasonality=2, history=batch.history)")
    assert seasons(pred[:1], target[:1], history=HISTORY[:1]).item() == pytest.approx(0.75)
    value, grad = value_and_gradient("mase(history=batch.h, like=neuralforecast)", pred, target, h=HISTORY)
    assert value.item() == pytest.approx(1.5 / (7 / 3) / 2)
    assert grad[1].abs().sum() == 0
    torch.testing.assert_close(grad[0], t(-3 / 28, -3 / 28))


def test_mase_of_several_series_has_a_history_of_each():
    pred, target, history = real(2, 3, 4), real(2, 3, 4), real(2, 3, 9)
    found = compiled("mase(history=batch.h)")(pred, target, h=history)
    flat = compiled("mase(history=batch.h)")(
        pred.flatten(0, 1), target.flatten(0, 1), h=history.flatten(0, 1)
    )
    torch.testing.assert_close(found, flat)


def test_mase_beside_a_history_of_nearly_nothing():
    """A scale whose reciprocal is no number: no error is still 0, with a gradient of 0."""
    history = torch.tensor([[0, 1e-40, 0, 1e-40]])
    value, grad = value_and_gradient("mase(history=batch.h)", torch.zeros(1, 3), torch.zeros(1, 3), h=history)
    assert value.item() == 0
    assert grad.abs().sum() == 0


def test_mase_of_a_history_shorter_than_its_season():
    with pytest.raises(ValueError, match="no longer than its season, 4"):
        compiled("mase(seasonality=4, history=batch.h)")(real(2, 3), real(2, 3), h=HISTORY)


def test_relmse_by_hand():
    pred, target, baseline = t(1.0, 2.0), t(2.0, 4.0), t(2.0, 2.0)
    loss = compiled("relmse@(pred, target, batch.b)")
    assert loss(pred, target, b=baseline).item() == pytest.approx(5 / 4)
    value, grad = value_and_gradient("relmse(baseline=batch.b)", pred, target, b=target)
    assert value.item() == 0
    assert grad.abs().sum() == 0


# -------------------------------------------------------------------- depths

DEPTH = torch.rand(3, 1, 4, 5, generator=R, dtype=torch.float64) + 0.2
TRUE = torch.rand(3, 1, 4, 5, generator=R, dtype=torch.float64) + 0.2


def silog(pred: Tensor, target: Tensor, lam: float = 0.5, eps: float = 1e-6) -> Tensor:
    """mmsegmentation's, from its text, sample by sample: the mean over those that have a target."""
    found: list[Tensor] = []
    for p, y in zip(pred.flatten(1), target.flatten(1), strict=True):
        d = torch.log(y[y > eps]) - torch.log(p[y > eps].clamp(min=eps))
        if d.numel():
            found.append(torch.sqrt(d.pow(2).mean() - lam * d.mean().pow(2)))
    return torch.stack(found).mean()


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.85, 1.0])
def test_silog_equals_the_formula(lam: float):
    some = torch.where(torch.rand(3, 1, 4, 5, generator=R) < 0.3, 0.0, TRUE)
    for target in (TRUE, some, torch.cat([some[:2], torch.zeros(1, 1, 4, 5).double()])):
        x, y = DEPTH.clone().requires_grad_(), DEPTH.clone().requires_grad_()
        found, wanted = compiled(f"silog(lam={lam})")(x, target), silog(y, target, lam)
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
        slopes = torch.autograd.grad(found, x) + torch.autograd.grad(wanted, y)
        torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-9, atol=1e-12)


def test_silog_by_hand():
    """d is 1 and -1, then 1 and 3: the roots of 1 - 0, and of 5 - 4/2."""
    pred = torch.exp(t([[1.0, -1.0]], [[1.0, 3.0]]))
    ones = torch.ones_like(pred)
    values = compiled("silog(reduction=none, channels=first)")(pred, ones)
    assert values.tolist() == pytest.approx([1.0, math.sqrt(3)])
    # of λ = 1 only what is left around the mean counts: the scale is free
    assert compiled("silog(lam=1, reduction=none, channels=first)")(7 * pred, ones).tolist() == pytest.approx(
        [1.0, 1.0]
    )


def test_silog_leaves_out_what_is_masked_or_unknown():
    mask = torch.rand(3, 4, 5, generator=R) < 0.6
    masked = torch.where(mask.unsqueeze(1), TRUE, 0.0)
    unknown = torch.where(mask.unsqueeze(1), TRUE, torch.nan)
    wanted = value_and_gradient("silog", DEPTH, masked)
    for found in (
        value_and_gradient("silog(mask=batch.m)", DEPTH, TRUE, m=mask),
        value_and_gradient("silog(mask=batch.m)", DEPTH, unknown, m=mask),
        value_and_gradient("silog", DEPTH, unknown),
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-15)


def test_silog_at_a_perfect_prediction():
    """mmsegmentation's gradient there is NaN: the root of 0."""
    x = TRUE.clone().requires_grad_()
    assert torch.autograd.grad(silog(x, TRUE), x)[0].isnan().all()
    for dtype in (torch.float32, torch.float64):
        value, grad = value_and_gradient("silog", TRUE.to(dtype), TRUE.to(dtype))
        assert value.item() == 0
        assert grad.abs().sum() == 0
        # a scale apart, λ = 1 asks for the root of what is nearly 0
        value, grad = value_and_gradient("silog(lam=1)", 3 * TRUE.to(dtype), TRUE.to(dtype))
        assert abs(value.item()) < 1e-6
        assert grad.isfinite().all()


def test_silog_of_no_target_at_all():
    value, grad = value_and_gradient("silog", DEPTH, torch.zeros_like(TRUE))
    assert value.item() == 0
    assert grad.abs().sum() == 0


def test_msle_below_0_has_no_gradient_whatever_the_target():
    """Neither an infinite target nor one that is no number reaches a prediction that counts as 0."""
    pred = torch.tensor([0.0, -0.5, -1.0, -2.0], requires_grad=True)
    for target in (torch.inf, torch.nan, 3.0):
        value = losslang.compile("msle(reduction=sum)")(pred, torch.full((4,), target))
        (found,) = torch.autograd.grad(value, pred)
        assert torch.equal(found, torch.zeros(4))


def test_msle_takes_no_notice_of_what_else_is_below_0():
    """Whether all are above is asked first; the gradient of one element does not depend on the answer."""
    text = "msle(reduction=sum)"
    below, beside = torch.tensor([-0.5]), torch.tensor([2.0])
    pred, target = torch.tensor([0.0, 0.3, 3.0, 3.0]), torch.tensor([0.5, 0.0, 2.0, 3.0])
    _, wanted = value_and_gradient(text, pred, target)
    for more, other in ((below, beside), (beside, below), (below, below)):
        _, found = value_and_gradient(text, torch.cat([pred, more]), torch.cat([target, other]))
        assert torch.equal(found[:4], wanted)
    assert wanted[0] == 0
