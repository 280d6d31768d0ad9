"""Operands beside prediction and target lie over the prediction as weights do: values and gradients, by hand in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from cutting import cut
from torch import Tensor

import losslang
from losslang.primitives.primitive import Loss
from losslang.registry import current_registry
from losslang.vocabulary import LAYERS

B, C, H, W = 4, 3, 5, 2
R = torch.Generator().manual_seed(7)


def real(*shape: int) -> Tensor:
    return torch.randn(shape, generator=R, dtype=torch.float64)


def positive(*shape: int) -> Tensor:
    return real(*shape).exp() + 0.1


def signs(*shape: int) -> Tensor:
    return 2.0 * (real(*shape) > 0).double() - 1


def gaussian(x: Tensor, t: Tensor, v: Tensor) -> Tensor:
    return 0.5 * (v.log() + (x - t) ** 2 / v)


def lognormal(x: Tensor, t: Tensor, v: Tensor) -> Tensor:
    return gaussian(x, t.log(), v)


def negative_binomial(x: Tensor, t: Tensor, a: Tensor) -> Tensor:
    r, mu = 1 / a, x.exp()
    ways = torch.lgamma(t + r) - torch.lgamma(r) - torch.lgamma(t + 1)
    return r * torch.log1p(mu / r) + t * torch.log1p(r / mu) - ways


def kl_normal(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    return 0.5 * (x**2 + s.exp() - 1 - s)


def ranking(x: Tensor, t: Tensor, y: Tensor) -> Tensor:
    return (0.3 - y * (x - t)).clamp(min=0)


def cosine(x: Tensor, t: Tensor, y: Tensor) -> Tensor:
    cos = (x * t).sum(-1) / (x.norm(dim=-1) * t.norm(dim=-1))
    return torch.where(y > 0, 1 - cos, (cos - 0.1).clamp(min=0))


def contrastive(x: Tensor, t: Tensor, y: Tensor) -> Tensor:
    far = (x - t).norm(dim=-1)
    return torch.where(y > 0, far**2, (3 - far).clamp(min=0) ** 2) / 2


@dataclass(frozen=True)
class Case:
    """A loss by its text, its formula, and what draws its third operand of a shape."""

    text: str
    formula: Callable[[Tensor, Tensor, Tensor], Tensor]
    draw: Callable[..., Tensor]
    target: Callable[..., Tensor] = real
    reduction: str = "mean"


ELEMENTS = {
    "gaussian_nll": Case("gaussian_nll(variance={})", gaussian, positive),
    "lognormal_nll": Case("lognormal_nll(variance={})", lognormal, positive, positive),
    "negative_binomial_nll": Case(
        "negative_binomial_nll(dispersion={})", negative_binomial, positive, lambda *s: positive(*s).round()
    ),
    "kl_normal": Case("kl_normal(logvar={}, reduction=mean)", kl_normal, real),
    "margin_ranking": Case("margin_ranking(sign={}, margin=0.3)", ranking, signs),
}
ROWS = {
    "cosine_embedding": Case("cosine_embedding(sign={}, margin=0.1)", cosine, signs),
    "contrastive": Case("contrastive(sign={}, margin=3)", contrastive, signs),
}
APART = {"relmse", "triplet", "mase", "depth_smoothness", "linear_ce", "perceptual", "lpips"}
"""Losses with operands of other kinds, each with a test of its own below, or with a layer."""

LAID: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), (1, 1, 1, 1)),
    ((1,), (1, 1, 1, 1)),
    ((B,), (B, 1, 1, 1)),
    ((B, 1, 1, 1), (B, 1, 1, 1)),
    ((1, C, 1, 1), (1, C, 1, 1)),
    ((B, C, 1, 1), (B, C, 1, 1)),
    ((B, 1, H, W), (B, 1, H, W)),
    ((1, 1, H, W), (1, 1, H, W)),
    ((B, H, W), (B, 1, H, W)),
    ((1, H, W), (1, 1, H, W)),
    ((B, C, H, W), (B, C, H, W)),
]
"""Shapes of an operand from the batch beside a prediction (B, C, H, W), and how each lies over it."""


def test_every_loss_with_a_further_operand_is_here() -> None:
    registry = current_registry()
    losses = (registry.loss(name) for name in registry.names(Loss))
    with_more = {
        named.loss.name
        for named in losses
        if named is not None
        if {operand.name for operand in named.loss.operands} - {"pred", "target"}
    }
    assert with_more == {*ELEMENTS, *ROWS, *APART}
    assert {"head", "net"} == set(LAYERS)


def compare(
    text: str, wanted: Callable[[Tensor, Tensor, Tensor], Tensor], *tensors: Tensor, **batch: Any
) -> None:
    """The value of a program and the gradients of all its tensors against a formula in float64."""
    for elements in (None, 8):
        given = [x.clone().requires_grad_(x.is_floating_point()) for x in tensors]
        if elements is None:
            found = losslang.compile(text)(*given[:2], v=given[2], **batch)
        else:
            with cut(elements):
                found = losslang.compile(text)(*given[:2], v=given[2], **batch)
        other = [x.clone().requires_grad_(x.is_floating_point()) for x in tensors]
        value = wanted(*other)
        torch.testing.assert_close(found, value, rtol=1e-9, atol=1e-9)
        found.backward()
        value.backward()
        for one, two in zip(given, other, strict=True):
            grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in (one, two)]
            torch.testing.assert_close(*grads, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", ELEMENTS)
@pytest.mark.parametrize(("shape", "lies"), LAID, ids=lambda s: str(s).replace(" ", ""))
def test_an_operand_lies_as_a_weight_does(name: str, shape: tuple[int, ...], lies: tuple[int, ...]) -> None:
    case = ELEMENTS[name]
    x, t, v = real(B, C, H, W), case.target(B, C, H, W), case.draw(*shape)

    def wanted(x: Tensor, t: Tensor, v: Tensor) -> Tensor:
        return case.formula(x, t, v.reshape(lies).expand(x.shape)).mean()

    compare(case.text.format("batch.v"), wanted, x, t, v)


@pytest.mark.parametrize("name", ELEMENTS)
def test_a_masked_element_of_an_operand_counts_for_nothing(name: str) -> None:
    case = ELEMENTS[name]
    x, t, v = real(B, C, H, W), case.target(B, C, H, W), case.draw(B, 1, 1, 1)
    mask = real(B, 1, H, W) > 0
    mask[2] = False
    v[2] = math.nan

    def wanted(x: Tensor, t: Tensor, v: Tensor) -> Tensor:
        shown = mask.expand(x.shape)
        values = case.formula(x, t, v.expand(x.shape).where(shown, torch.ones(()).double()))
        return torch.where(shown, values, 0.0).sum() / shown.sum()

    text = case.text.format("batch.v").removesuffix(")") + ", mask=batch.m)"
    compare(text, wanted, x, t, v, m=mask)


@pytest.mark.parametrize("name", ELEMENTS)
def test_a_vector_from_const_lies_along_the_channels(name: str) -> None:
    case = ELEMENTS[name]
    x, t, v = real(B, C, H, W), case.target(B, C, H, W), case.draw(C)
    loss = losslang.compile(case.text.format("const.v"), const={"v": v})
    torch.testing.assert_close(loss(x, t), case.formula(x, t, v.reshape(1, C, 1, 1).expand(x.shape)).mean())


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize(
    ("shape", "lies"),
    [
        ((), (1, 1)),
        ((1,), (1, 1)),
        ((B,), (B, 1)),
        ((B, H), (B, H)),
        ((1, H), (1, H)),
        ((B, 1), (B, 1)),
        ((B, H, 1), (B, H)),
    ],
    ids=lambda s: str(s).replace(" ", ""),
)
def test_an_operand_of_rows_lies_over_rows(name: str, shape: tuple[int, ...], lies: tuple[int, ...]) -> None:
    case = ROWS[name]
    x, t, v = real(B, H, C), real(B, H, C), case.draw(*shape)

    def wanted(x: Tensor, t: Tensor, v: Tensor) -> Tensor:
        return case.formula(x, t, v.reshape(lies).expand(B, H)).mean()

    compare(case.text.format("batch.v"), wanted, x, t, v)


def test_an_operand_of_rows_moves_with_channels_first() -> None:
    x, t = real(B, C, H, W), real(B, C, H, W)
    loss = losslang.compile("cosine_embedding(sign=batch.v, margin=0.1, channels=first)")
    rows = [value.movedim(1, -1) for value in (x, t)]
    for shape, lies in (((B, 1, H, W), (B, H, W)), ((B, H, W), (B, H, W)), ((B,), (B, 1, 1))):
        v = signs(*shape)
        torch.testing.assert_close(loss(x, t, v=v), cosine(*rows, v.reshape(lies).expand(B, H, W)).mean())


def test_a_baseline_broadcasts() -> None:
    def wanted(x: Tensor, t: Tensor, v: Tensor) -> Tensor:
        return ((x - t) ** 2).sum() / ((v.reshape(B, 1, 1, 1).expand(t.shape) - t) ** 2).sum()

    compare("relmse(baseline=batch.v)", wanted, real(B, C, H, W), real(B, C, H, W), real(B))


def test_one_embedding_is_the_positive_of_all() -> None:
    anchor, positive_, negative = real(6, 5), real(1, 5), real(6, 5)
    loss = losslang.compile("triplet@(pred, batch.p, batch.n)")
    distances = [(anchor - other + 1e-6).norm(dim=1) for other in (positive_, negative)]
    value = loss(anchor, p=positive_, n=negative)
    torch.testing.assert_close(
        value, (1 + distances[0] - distances[1]).clamp(min=0).mean(), rtol=1e-5, atol=1e-6
    )
    of_const = losslang.compile("triplet@(pred, const.p, batch.n)", const={"p": positive_[0]})
    torch.testing.assert_close(of_const(anchor, n=negative), value)
    with pytest.raises(losslang.LossError, match="5 numbers along its last axis"):
        loss(anchor, p=real(6), n=negative)


def test_one_history_is_that_of_all_series() -> None:
    x, t, h = real(B, H), real(B, H), real(1, 9)

    def wanted(x: Tensor, t: Tensor, h: Tensor) -> Tensor:
        return (x - t).abs().mean() / h.diff().abs().mean()

    compare("mase(history=batch.v)", wanted, x, t, h)
    loss = losslang.compile("mase(history=batch.v)")
    for wrong in (real(9), real(3, 9), real()):
        with pytest.raises(losslang.LossError, match="E504"):
            loss(x, t, v=wrong)
    with pytest.raises(losslang.LossError, match=r"one for all of them: `\[None\]`"):
        loss(x, t, v=real(9))


@pytest.mark.parametrize("shape", [(B, 3, H, W), (1, 3, H, W), (B, 1, H, W), (B, H, W)])
def test_an_image_lies_over_the_samples(shape: tuple[int, ...]) -> None:
    x, image = real(B, 1, H, W), real(*shape)
    beside = image if image.ndim == 4 else image[:, None]
    wanted = torch.zeros((), dtype=torch.float64)
    for axis in (2, 3):
        weight = torch.exp(-beside.diff(dim=axis).abs().mean(1, keepdim=True)).expand(B, -1, -1, -1)
        wanted = wanted + (x.diff(dim=axis).abs() * weight).mean()
    torch.testing.assert_close(losslang.compile("depth_smoothness@(pred, batch.v)")(x, v=image), wanted)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("gaussian_nll(variance=batch.v)", (C,)),
        ("gaussian_nll(variance=batch.v)", (H, W)),
        ("gaussian_nll(variance=batch.v)", (B, C, H, W, 1)),
        ("margin_ranking(sign=batch.v)", (B, 2, 1, 1)),
        ("relmse(baseline=batch.v)", (2,)),
    ],
)
def test_an_operand_that_does_not_lie_over_the_prediction_is_refused(
    text: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(losslang.LossError, match="E509"):
        losslang.compile(text)(real(B, C, H, W), real(B, C, H, W), v=signs(*shape))


def test_a_target_still_does_not_broadcast() -> None:
    with pytest.raises(losslang.LossError, match="E504"):
        losslang.compile("gaussian_nll(variance=1)")(real(B, 1), real(B))


def test_a_written_number_below_zero_is_refused_before_it_runs() -> None:
    for text in (
        "gaussian_nll(variance=-0.5)",
        "negative_binomial_nll(dispersion=-1)",
        "lognormal_nll(variance=-1)",
    ):
        (found,) = losslang.check(text)
        assert found.code == "E202"
        assert "must be a number of at least 0, or a path" in str(found.message) + found.caret
