"""Likelihoods: against torch's distributions and scikit-learn's formulas, by hand, and at their limits."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Gamma, LogNormal, NegativeBinomial, Normal, Poisson, kl_divergence

import losslang

R = torch.Generator().manual_seed(13)


def real(*shape: int) -> Tensor:
    return torch.randn(shape, generator=R, dtype=torch.float64)


def compiled(text: str) -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        return losslang.compile(text)


def t(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


X, AMOUNTS = real(6, 4), real(6, 4).exp()
COUNTS = torch.randint(0, 7, (6, 4), generator=R).double()
V, S = real(6, 4).exp(), real(6, 4)


# -------------------------------------------------------------------- against torch's distributions


def negative_binomial(x: Tensor, alpha: Tensor) -> Tensor:
    return -NegativeBinomial(1 / alpha, logits=x + alpha.log()).log_prob(COUNTS)


def gamma(x: Tensor, _: Tensor) -> Tensor:
    """Of shape 3 and mean e^x, less what the target alone gives."""
    k = 3.0
    constant = k * math.log(k) - math.lgamma(k) + (k - 1) * AMOUNTS.log()
    return (constant - Gamma(t(k), k * torch.exp(-x)).log_prob(AMOUNTS)) / k


def poisson(x: Tensor, _: Tensor) -> Tensor:
    """generalized_kl is the likelihood of whole numbers, less its smallest value."""
    best = Poisson(COUNTS.clamp(min=1e-300)).log_prob(COUNTS)
    return best - Poisson(x.exp()).log_prob(COUNTS)


def lognormal(x: Tensor, v: Tensor) -> Tensor:
    return -LogNormal(x, v.sqrt()).log_prob(AMOUNTS)


def short_lognormal(x: Tensor, v: Tensor) -> Tensor:
    return lognormal(x, v) - AMOUNTS.log() - 0.5 * math.log(2 * math.pi)


def vae(x: Tensor, s: Tensor) -> Tensor:
    return kl_divergence(Normal(x, (0.5 * s).exp()), Normal(0.0, 1.0))


DISTRIBUTIONS: list[tuple[str, Tensor | None, Tensor, Callable[[Tensor, Tensor], Tensor]]] = [
    ("negative_binomial_nll(dispersion=batch.v, {})", COUNTS, V, negative_binomial),
    ("gamma_nll({})", AMOUNTS, V, gamma),
    ("generalized_kl({})", COUNTS, V, poisson),
    ("lognormal_nll(variance=batch.v, full=true, {})", AMOUNTS, V, lognormal),
    ("lognormal_nll(variance=batch.v, {})", AMOUNTS, V, short_lognormal),
    ("kl_normal(logvar=batch.v, {})", None, S, vae),
]


@pytest.mark.parametrize(
    ("text", "target", "other", "theirs"), DISTRIBUTIONS, ids=[d[0] for d in DISTRIBUTIONS]
)
def test_equals_the_distribution(
    text: str, target: Tensor | None, other: Tensor, theirs: Callable[[Tensor, Tensor], Tensor]
):
    """In every value, and in both gradients."""
    ours, wanted = ([x.clone().requires_grad_() for x in (X, other)] for _ in range(2))
    found = compiled(text.format("reduction=none"))(ours[0], target, v=ours[1])
    expected = theirs(*wanted)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    slopes = torch.autograd.grad(found.sum(), ours, materialize_grads=True)
    wanted = torch.autograd.grad(expected.sum(), wanted, materialize_grads=True)
    torch.testing.assert_close(slopes, wanted, rtol=1e-8, atol=1e-9)
    assert slopes[0].abs().sum() > 0


@pytest.mark.parametrize("p", [1.1, 1.5, 1.9])
def test_tweedie_is_half_the_deviance(p: float):
    """sklearn.metrics.mean_tweedie_deviance is twice what is above the value at a perfect mean."""
    mu = X.exp()
    deviance = 2 * (
        AMOUNTS ** (2 - p) / (1 - p) / (2 - p) - AMOUNTS * mu ** (1 - p) / (1 - p) + mu ** (2 - p) / (2 - p)
    )
    assert (deviance >= 0).all()
    loss = compiled(f"tweedie(p={p}, reduction=none)")
    found = 2 * (loss(X, AMOUNTS) - loss(AMOUNTS.log(), AMOUNTS))
    torch.testing.assert_close(found, deviance, rtol=1e-9, atol=1e-9)


def test_tweedie_lies_between_poisson_and_gamma():
    """Their gradients are its limits: e^x - t, and 1 - t e^-x."""
    for p, other in ((1 + 1e-9, "poisson_nll"), (2 - 1e-9, "gamma_nll")):
        grads: list[Tensor] = []
        for text in (f"tweedie(p={p!r})", other):
            x = X.clone().requires_grad_()
            grads += torch.autograd.grad(compiled(text)(x, AMOUNTS), x)
        torch.testing.assert_close(grads[0], grads[1], rtol=1e-6, atol=1e-9)


# -------------------------------------------------------------------- by hand

BY_HAND: list[tuple[str, Tensor, Tensor | None, dict[str, Tensor], float]] = [
    # μ = 4, √μ = 2: 2·2 + 2·3/2
    ("tweedie", t(math.log(4)), t(3.0), {}, 7.0),
    ("tweedie(like=pytorch_forecasting)", t([math.log(4)]), t([0.0]), {}, 4.0),
    ("tweedie@(log(pred), target)", t(4.0), t(3.0), {}, 7.0),
    ("gamma_nll", t(math.log(2)), t(6.0), {}, math.log(2) + 3),
    ("generalized_kl", t(0.0), t(math.e), {}, 1.0),
    ("generalized_kl", t([0.0, 0.0], [0.0, 0.0]), t([math.e, 0.0], [1.0, 1.0]), {}, 1.0),  # (1 + 1) / 2
    # r = 1, μ = 1: a fair coin until the first success, t = 2 of it: 1/8
    ("negative_binomial_nll(dispersion=1)", t(0.0), t(2.0), {}, 3 * math.log(2)),
    # r = 2, μ = 2: (t + 1) / 2^(t + 2)
    ("negative_binomial_nll(dispersion=0.5)", t(math.log(2)), t(2.0), {}, math.log(16 / 3)),
    ("lognormal_nll(variance=1)", t(1.0), t(math.e**3), {}, 2.0),
    ("lognormal_nll(variance=1, full=true)", t(1.0), t(math.e**3), {}, 5 + math.log(2 * math.pi) / 2),
    ("lognormal_nll(variance=4)", t(1.0), t(math.e**3), {}, math.log(2) + 0.5),
    # two latents: (1 + 4 - 1 - log 4) / 2, and 0; then the mean over two samples of their sums
    ("kl_normal@(pred, batch.s)", t([1.0, 0.0]), None, {"s": t([math.log(4), 0.0])}, 2 - math.log(2)),
    ("kl_normal@(pred, batch.s)", t([1.0, 0.0], [0.0, 3.0]), None,
     {"s": t([math.log(4), 0.0], [0.0, 0.0])}, (2 - math.log(2) + 4.5) / 2),
    ("kl_normal(reduction=mean)@(pred, batch.s)", t([2.0, 0.0]), None, {"s": t([0.0, 0.0])}, 1.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "pred", "target", "batch", "number"), BY_HAND, ids=[row[0] for row in BY_HAND]
)
def test_by_hand(text: str, pred: Tensor, target: Tensor | None, batch: dict[str, Tensor], number: float):
    x = pred.clone().requires_grad_()
    found = compiled(text)(x, target, **batch)
    assert found.item() == pytest.approx(number, rel=1e-12, abs=1e-12)
    found.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


LOG_PREDICTIONS = t(
    [-2.9957, -3.5066, -3.912, -1.204, -0.6931, -2.3026],
    [-1.6094, -1.6094, -1.6094, -2.3026, -1.8971, -1.8971],
)
TARGETS = t([0.2, 0.2, 0.2, 0.1, 0.15, 0.15], [0.05, 0.03, 0.02, 0.3, 0.5, 0.0])
"""optax/losses/_classification_test.py: one value per row."""
RATES, EVENTS = t([1.0, 9.0, 2.0], [5.0, 2.0, 6.0]), t([4.0, 8.0, 12.0], [8.0, 1.0, 3.0])
PARTS, TRUE_PARTS = t([0.4, 0.9, 0.12], [0.36, 0.3, 0.4]), t([0.5, 0.8, 0.12], [0.7, 0.43, 0.8])
"""keras/src/losses/losses_test.py."""

RECORDED: list[tuple[str, Tensor, Tensor, float]] = [
    ("generalized_kl(like=optax)", LOG_PREDICTIONS, TARGETS, (0.88757247 + 0.859308) / 2),
    ("kl(like=optax)", LOG_PREDICTIONS, TARGETS, (0.8875577 + 0.7592807) / 2),
    ("kl(like=keras)", PARTS, TRUE_PARTS, 0.59607387),
    ("poisson_nll(like=keras)", RATES, EVENTS, -3.3065822),
    ("poisson_nll(like=torch)", t(-1.69, 1.12, -0.25), t(0.0, 1.0, 4.0), 1.3027248367857989),
    ("gaussian_nll(variance=1, like=torch)", t(0.5, -1.0), t(1.0, -1.0), 0.0625),
]


@pytest.mark.parametrize(("text", "pred", "target", "number"), RECORDED, ids=[row[0] for row in RECORDED])
def test_numbers_of_other_libraries(text: str, pred: Tensor, target: Tensor, number: float):
    assert compiled(text)(pred, target).item() == pytest.approx(number, rel=1e-5)


# -------------------------------------------------------------------- limits


@pytest.mark.parametrize("alpha", [1e-2, 1e-3, 1e-4])
def test_a_small_dispersion_in_float32(alpha: float):
    """r = 1/α: the values of lgamma near r cost torch's own log_prob its digits, of the gradient above all."""
    x, a = X.clone().requires_grad_(), torch.full_like(X, alpha).requires_grad_()
    wanted = negative_binomial(x, a)
    slopes = torch.autograd.grad(wanted.sum(), (x, a))
    x32, a32 = X.float().requires_grad_(), torch.full_like(X, alpha).float().requires_grad_()
    found = compiled("negative_binomial_nll(dispersion=batch.a, reduction=none)")(x32, COUNTS.float(), a=a32)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)
    grads = torch.autograd.grad(found.sum(), (x32, a32))
    torch.testing.assert_close(grads[0].double(), slopes[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(grads[1].double(), slopes[1], rtol=2e-2, atol=2e-2)


def test_counts_of_no_dispersion_are_poisson():
    found = compiled("negative_binomial_nll(dispersion=0, eps=1e-12, reduction=none)")(X, COUNTS)
    wanted = X.exp() - COUNTS * X + torch.lgamma(COUNTS + 1)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_a_dispersion_of_0_can_grow_again():
    a = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    compiled("negative_binomial_nll(dispersion=batch.a)")(t(0.0), t(9.0), a=a).backward()
    assert a.grad is not None
    assert a.grad.item() == pytest.approx(-(8**2 - 9) / 2, rel=1e-3)


@pytest.mark.parametrize(
    "text", ["tweedie", "gamma_nll", "generalized_kl", "negative_binomial_nll(dispersion=1)"]
)
def test_no_amount_at_the_smallest_rate(text: str):
    """A target of 0 where e^-x is infinite: 0, and not 0 times infinity."""
    x = torch.tensor([-400.0], requires_grad=True)
    value = compiled(text)(x, torch.zeros(1))
    value.backward()
    assert value.isfinite()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert abs(x.grad.item()) <= 1


def test_a_target_of_0_has_a_logarithm_where_one_is_asked_for():
    x = torch.zeros(1, requires_grad=True)
    value = compiled("lognormal_nll(variance=1)")(x, torch.zeros(1))
    assert value.item() == pytest.approx(math.log(torch.finfo(torch.float32).tiny) ** 2 / 2)
    assert torch.autograd.grad(value, x)[0].isfinite().all()


def test_what_is_masked_has_no_logarithm():
    """Hidden targets are 0, and log 0 must reach neither value nor gradient."""
    mask = t([1.0, 0.0], [0.0, 1.0])
    for text, names in [
        ("lognormal_nll", ("variance",)),
        ("negative_binomial_nll", ("dispersion",)),
        ("tweedie", ()),
    ]:
        others = {n: V[:2, :2].clone().requires_grad_() for n in names}
        x = X[:2, :2].clone().requires_grad_()
        target = AMOUNTS[:2, :2].masked_fill(mask == 0, math.nan)
        inside = ", ".join(["mask=batch.mask", *(f"{n}=batch.{n}" for n in names)])
        compiled(f"{text}({inside})")(x, target, mask=mask, **others).backward()
        for grad in (x.grad, *(o.grad for o in others.values())):
            assert grad is not None
            assert grad.isfinite().all()
            assert (grad != 0).equal(mask != 0)


@pytest.mark.parametrize(
    "text",
    [
        "tweedie",
        "gamma_nll",
        "generalized_kl",
        "lognormal_nll(variance=1)",
        "negative_binomial_nll(dispersion=1)",
    ],
)
def test_amounts_below_0_are_refused(text: str):
    with pytest.raises(losslang.LossError, match="at least 0"):
        compiled(text)(X, -AMOUNTS)


def test_a_power_outside_of_1_to_2_is_refused():
    for p in ("1", "2", "0"):
        assert [d.code for d in losslang.check(f"tweedie(p={p})")] == ["E202"]


def test_a_latent_near_the_prior_keeps_its_digits():
    """e^s - 1 - s in float32, of s = 1e-3: 5e-7, and not a rounding of 1."""
    s = torch.tensor([[1e-3, -1e-4]])
    found = compiled("kl_normal(logvar=batch.s, reduction=none)")(torch.zeros(1, 2), None, s=s)
    torch.testing.assert_close(found, s**2 / 4, rtol=2e-3, atol=0)


def test_a_fixed_variance_is_the_squared_error():
    """Its gradient is that of half_mse, divided by the variance: what a constant adds does not matter."""
    x, y = torch.randn(5, dtype=torch.float64, requires_grad=True), torch.randn(5, dtype=torch.float64)
    for variance in (1.0, 4.0):
        (found,) = torch.autograd.grad(compiled(f"gaussian_nll(variance={variance})")(x, y), x)
        (wanted,) = torch.autograd.grad(compiled("half_mse")(x, y) / variance, x)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
