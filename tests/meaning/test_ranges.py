"""Between which numbers a program lies, as `explain` says it: certain, whatever the network gives."""

from __future__ import annotations

import math

import pytest
import torch

import losslang
from losslang.diagnostics.source import Source
from losslang.meaning.bounds import of_terms
from losslang.meaning.checker import analyze
from losslang.registry import current_registry

UNKNOWN = "known when it runs: it reads tensors as they stand"
RANGES = {
    "0.5*bce(sigmoid)": "0 and up",
    "2*dice(sigmoid)": "0 to 2",
    "1 - ssim": "0 to 2",
    "-psnr": UNKNOWN,
    "ce(weight=batch.w)": UNKNOWN,
    "dice(sigmoid, class_weight=[1, 2])": "0 and up",
    "min(ce, 5)": "0 to 5",
    "max(ce, 0.1) + 1": "1.1 and up",
    "ramp(0, 2, steps=5)*dice(sigmoid)": "0 to 2",
    "after(steps=9)*dice(sigmoid) + until(steps=9)*dice(sigmoid)": "0 to 2",
    "clip(batch.x, 0, 2)": "0 to 2",
    "max(batch.x, 0)": "0 and up",
    "min(batch.x, 0)": "at most 0",
    "mean(batch.x)": UNKNOWN,
    "mean(batch.x**2)": "0 and up",
    "ce**2": "0 and up",
    "sqrt(mse)": "0 and up",
    "mean(norm(pred, dim=1))": "0 and up",
    "mean(norm(pred, dim=1)**2)": "0 and up",
    "mean(softmax(pred, dim=1), dim=0)": "0 to 1",
    "sum(softmax(pred, dim=1))": "0 and up",
    "-mean(log_softmax(pred, dim=1))": "0 and up",
    "mean(softmax(pred, dim=1)*log_softmax(pred, dim=1))": "at most 0",
    "mean(normalize(pred, dim=1))": "-1 to 1",
    "mean(logsumexp(sigmoid(pred), dim=1))": "0 and up",
    "mean(logsumexp(pred, dim=1)**2)": "0 and up",
    "max(tanh(pred), dim=1)": "-1 to 1",
    "gls(l1, mse)": "0 and up",
    "each(dice(sigmoid), over=[pred, target], combine=mean)": "0 to 1",
    "each(dice(sigmoid), over=[pred, target], weights=[1, 0.5])": "0 and up",
    "s = learn(0); exp(-s)*ce + s": "any number; the losses that they weigh hold `s`",
    "s = learn(0, min=-1, max=2); exp(-s)*dice(sigmoid) + s": "-1 to 4.71828",
    "ce - ce + max(1, 3)": "any number",
}  # fmt: skip


def total(text: str) -> str:
    said = [line for line in losslang.explain(text).split("\n") if line.startswith("range of the total: ")]
    return said[0].removeprefix("range of the total: ")


@pytest.mark.parametrize(("text", "wanted"), RANGES.items())
def test_the_range_of_a_program(text: str, wanted: str) -> None:
    assert total(text) == wanted


def test_each_term_has_its_range_with_its_weight() -> None:
    said = losslang.explain("0.5*dice(sigmoid) - 2*metric(zero_one) + batch.x")
    assert [line.split("range ")[1].strip() for line in said.split("\n") if line.startswith("  range")] == [
        "0 to 0.5", "-2 to 0", UNKNOWN,
    ]  # fmt: skip


TENSORS = [
    "norm(batch.x, dim=1)", "softmax(batch.x, dim=1)", "log_softmax(batch.x, dim=1)", "normalize(batch.x, dim=1)",
    "logsumexp(sigmoid(batch.x), dim=1)", "mean(sigmoid(batch.x), dim=1)", "max(sigmoid(batch.x), dim=0)",
    "min(sigmoid(batch.x))", "sum(tanh(batch.x)**2)", "sigmoid(batch.x)**0.5", "abs(batch.x)", "max(batch.x, 0.3)",
    "min(batch.x, 0.3)", "clip(batch.x, -1, 2)", "softplus(batch.x)", "tanh(batch.x)**3", "sqrt(abs(batch.x))",
    "max(softmax(batch.x, dim=1), dim=1) - 0.5", "1/(1 + exp(batch.x))",
]  # fmt: skip


@pytest.mark.parametrize("text", TENSORS)
def test_no_tensor_lies_outside(text: str) -> None:
    """Random tensors, large and small, with equal rows and zeros among them."""
    chance = torch.Generator().manual_seed(3)
    checked = analyze(Source(f"mean({text})"))
    assert checked.meaning is not None
    found = of_terms(checked.meaning.terms, current_registry())
    if found is None:
        assert text == "tanh(batch.x)**3"
        return
    low, high = found
    loss = losslang.compile(f"mean({text})")
    for scale in (0.0, 0.1, 1.0, 30.0):
        for _ in range(20):
            value = loss(x=scale * torch.randn(1, 3, generator=chance)).item()
            assert low - 1e-5 <= value <= high + 1e-5
    assert low > -math.inf or high < math.inf


def test_raw_tensors_are_no_mistake_and_no_warning() -> None:
    """Of what is read as it stands nobody knows to which end it comes."""
    for text in ("-mean(batch.d_fake)", "s = learn(0); exp(s)*mean(softmax(pred, dim=1)*log_softmax(pred, dim=1)) + s**2",
                 "-mean(norm(pred, dim=1))", "s = learn(1); s*mean(batch.x)"):  # fmt: skip
        assert [d.code for d in losslang.check(text) if d.code in ("E355", "W356")] == []


def test_a_total_of_nothing() -> None:
    assert of_terms((), current_registry()) == (0.0, 0.0)
