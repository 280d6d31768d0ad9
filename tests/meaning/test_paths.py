"""Paths behind `@` (LANGUAGE.md 3): heads re-root them, operands leave them alone; what to write instead works."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

import losslang

R = torch.Generator().manual_seed(3)
MU, VAR, Y = torch.randn(4, generator=R), torch.rand(4, generator=R) + 0.1, torch.randn(4, generator=R)


def nll(mu: Tensor, var: Tensor) -> Tensor:
    return nn.functional.gaussian_nll_loss(mu, Y, var)


@pytest.mark.parametrize(
    ("text", "pred"),
    [
        ("gaussian_nll(variance=pred.var)@(pred.mu, target)", {"mu": MU, "var": VAR}),
        ("gaussian_nll(pred=pred.mu, variance=pred.var)", {"mu": MU, "var": VAR}),
        ("gaussian_nll(pred=pred.mu, variance=pred.var)@d", {"d": {"mu": MU, "var": VAR}}),
        ("(gaussian_nll(variance=pred.var)@(pred.mu, target))@d", {"d": {"mu": MU, "var": VAR}}),
        ("v = pred.var; gaussian_nll(variance=v)@mu", {"mu": MU, "var": VAR}),
        ("gaussian_nll(variance=pred[1])@pred[0]", [MU, VAR]),
    ],
)
def test_a_variance_beside_its_mean(text: str, pred: object) -> None:
    torch.testing.assert_close(losslang.compile(text)(pred, Y), nll(MU, VAR))


def test_options_of_a_group_of_operands_read_the_call() -> None:
    """A mask of the prediction beside operands taken out of it."""
    pred = {"a": MU, "keep": torch.tensor([True, False, True, False])}
    loss = losslang.compile("(l1(mask=pred.keep) + mse(weight=pred.a))@(pred.a, target)")
    out = loss.detail(pred, Y)
    torch.testing.assert_close(out.values[0], (MU - Y).abs()[[0, 2]].mean())
    torch.testing.assert_close(out.values[1], (MU * (MU - Y) ** 2).mean())


@pytest.mark.parametrize(
    ("text", "code", "repaired"),
    [
        ("(ce@fine + l1)@(pred.a, target.b)", "E330", "(ce@(pred.a.fine, target.b.fine) + l1)@(pred.a, target.b)"),
        ("((ce + dice)@x[0] + l1)@(2*pred.a, 1)", "E330", "((ce + dice)@(2*pred.a.x[0], 1) + l1)@(2*pred.a, 1)"),
        ("(l1@seg)@pred.x", "E330", "(l1@(pred.x.seg))@pred.x"),
        ("gaussian_nll(variance=pred.var)@depth", "E331", "gaussian_nll(pred=pred.mu, variance=pred.var)@depth"),
        ("ce(mask=target.valid)", "E331", "ce(target=target.labels, mask=target.valid)"),
        ("mse(weight=pred[0])@a.b", "E331", "mse(pred=pred[1], weight=pred[0])@a.b"),
        ("ce(mask=pred.m)@(pred, batch.y)", "E331", "ce(mask=pred.m)@(pred.logits, batch.y)"),
        ("l1@(pred, pred.x)", "E331", "l1@(pred.values, pred.x)"),
        ("mse(avg_factor=max(target.n, 1))", "E331", "mse(target=target.values, avg_factor=max(target.n, 1))"),
    ],
)  # fmt: skip
def test_the_repair_of_a_path_is_a_program(text: str, code: str, repaired: str) -> None:
    (mistake,) = losslang.check(text)
    assert mistake.code == code
    found = re.search(r"`(.+)`", mistake.fix)
    assert found is not None
    part = found[1]
    assert part in repaired
    assert losslang.check(repaired) == ()


def test_slices_and_other_tensors_are_no_parts() -> None:
    for text in ("l1(weight=pred[0:1])", "l1@(pred[0:1], pred[1:2])", "ce(mask=batch.m.x)@(pred.m, target)"):
        assert losslang.check(text) == ()
