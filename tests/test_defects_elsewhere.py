"""Defects of other code that composes losses: none of them may be here, and each says whose it is.

Seen in threads, and in sources, of 2026; "no library is on record" where only the defect was noted.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import losslang

R = torch.Generator().manual_seed(3)
PRED, TARGET = torch.randn(4, 3, generator=R), torch.randn(4, 3, generator=R)
L1, MSE = (PRED - TARGET).abs().mean(), ((PRED - TARGET) ** 2).mean()


def codes(text: str) -> list[str]:
    return [diagnostic.code for diagnostic in losslang.check(text)]


def value(text: str, **batch: Tensor) -> Tensor:
    return losslang.compile(text)(PRED, TARGET, **batch)


def test_every_loss_on_one_output_is_trained() -> None:
    """A list of losses on one output trains only the first: no library is on record."""
    pred = PRED.clone().requires_grad_()
    losslang.compile("l1 + mse + huber")(pred, TARGET).backward()
    own = PRED.clone().requires_grad_()
    e = own - TARGET
    (e.abs().mean() + (e**2).mean() + nn.functional.huber_loss(own, TARGET)).backward()
    assert pred.grad is not None
    assert own.grad is not None
    torch.testing.assert_close(pred.grad, own.grad)


def test_three_summed_losses_are_three_terms() -> None:
    """Three summed losses fail where two work: segmentation_models.pytorch #401."""
    out = losslang.compile("l1 + mse + l1@(pred, 2*target)").detail(PRED, TARGET)
    assert len(out.names) == 3
    torch.testing.assert_close(out.total, L1 + MSE + (PRED - 2 * TARGET).abs().mean())


def test_the_first_weight_is_applied() -> None:
    """The first weight is not applied: no library is on record."""
    torch.testing.assert_close(value("0.25*l1 + 2*mse"), 0.25 * L1 + 2 * MSE)


@pytest.mark.parametrize("weight", [".1", "0.1", "1e-1", "0.10"])
def test_a_weight_without_a_leading_zero_is_that_number(weight: str) -> None:
    """`.1*x` is misread: no library is on record."""
    torch.testing.assert_close(value(f"{weight}*l1"), 0.1 * L1)


def test_a_typo_is_an_error_and_no_loss_of_before() -> None:
    """A typo re-uses the previous loss: no library is on record; unsloth #10452 collects typos that are swallowed."""
    assert codes("l1 + mes") == ["E101"]
    with pytest.raises(losslang.LossError, match="did you mean `mse`"):
        losslang.compile("l1 + mes")


def test_two_losses_of_one_family_are_two_terms() -> None:
    """Two losses of one family overwrite each other: mmdetection #8704, where two equal ones share a name."""
    out = losslang.compile("l1 + l1@(pred, 2*target) + l1@(pred, 3*target)").detail(PRED, TARGET)
    assert len(set(out.names)) == 3
    torch.testing.assert_close(out.total, sum((PRED - k * TARGET).abs().mean() for k in (1, 2, 3)))


def test_terms_are_in_the_order_of_the_program() -> None:
    """`loss_10` stands before `loss_2`: no library is on record."""
    bound = "; ".join(f"loss_{k} = {k}*l1@(pred, {k}*target)" for k in range(1, 12))
    total = " + ".join(f"loss_{k}" for k in range(1, 12))
    out = losslang.compile(f"{bound}; {total}").detail(PRED, TARGET)
    assert out.names == tuple(f"loss_{k}" for k in range(1, 12))
    assert out.weights.tolist() == list(range(1, 12))


def test_a_number_to_the_power_of_a_loss_is_no_quotient() -> None:
    """`2**loss` is computed as `2/loss`: no library is on record."""
    torch.testing.assert_close(value("2**l1"), 2**L1)
    torch.testing.assert_close(value("2/l1"), 2 / L1)
    torch.testing.assert_close(value("2 - l1"), 2 - L1)
    torch.testing.assert_close(value("l1**2"), L1**2)


@pytest.mark.parametrize("name", ["acc_no_loss", "loss_for_logging", "loss", "accuracy"])
def test_a_name_decides_nothing_about_training(name: str) -> None:
    """A term named `acc_no_loss` is trained: mmsegmentation #1030, where every key with `loss` in it counts."""
    out = losslang.compile(f"{name} = l1; mse + metric({name})").detail(PRED, TARGET)
    torch.testing.assert_close(out.total, MSE)
    assert name in out.names
    torch.testing.assert_close(value(f"{name} = l1; mse + {name}"), MSE + L1)


def test_weights_are_not_divided_by_their_sum() -> None:
    """Weights are divided by their sum without a word: nvalchemi 0.3.0, by default."""
    torch.testing.assert_close(value("3*l1 + 5*mse"), 3 * L1 + 5 * MSE)
    assert losslang.compile("3*l1 + 5*mse").detail(PRED, TARGET).weights.tolist() == [3, 5]


def test_a_missing_weight_is_1_and_nothing_that_is_learned() -> None:
    """A missing weight becomes trainable, and is unbounded: l2o-inverse (2026-04)."""
    loss = losslang.compile("l1 + mse")
    assert list(loss.parameters()) == []
    assert loss.detail(PRED, TARGET).weights.tolist() == [1, 1]


def test_a_zero_weight_keeps_the_head_in_the_graph() -> None:
    """A zero weight breaks DDP, which stops on parameters without a gradient: mmdetection #7298, mmdetection3d #488."""
    a, b = (PRED.clone().requires_grad_() for _ in range(2))
    losslang.compile("w = 0; l1@a + w*l1@b")({"a": a, "b": b}, TARGET).backward()
    assert b.grad is not None
    assert not b.grad.any()


def test_what_a_loss_holds_is_moved_by_to() -> None:
    """Child losses are not moved by `.to`: l2o-inverse (2026-04), which keeps modules in a plain dict."""

    class Model(nn.Module):
        def __init__(self, loss: losslang.Loss):
            super().__init__()
            self.loss = loss

    weighted = Model(losslang.compile("l1(weight=const.w)", const={"w": torch.ones(4, 3)})).to("meta")
    assert weighted.loss.const["w"].is_meta
    remembering = Model(losslang.compile("ghm_c(sigmoid, momentum=0.5)")).to("meta")
    assert all(buffer.is_meta for buffer in remembering.loss.buffers())
    network = nn.Sequential(nn.Conv2d(1, 2, 3))
    perceptual = Model(
        losslang.compile("perceptual(layers=['0'], net=const.net)", const={"net": network})
    ).to("meta")
    assert all(parameter.is_meta for parameter in network.parameters())
    assert next(iter(perceptual.loss.const["net"].parameters())).is_meta


def test_all_calls_log_the_same_names_in_the_same_order() -> None:
    """Ranks that log other names hang in the reduction: mmsegmentation #1030. Nothing in a batch decides the names."""
    loss = losslang.compile("ce(ignore_index=255) + 0.5*dice + metric(zero_one)")
    full, none = torch.zeros(2, 4, 4, dtype=torch.long), torch.full((2, 4, 4), 255)
    logits = torch.randn(2, 3, 4, 4, generator=R)
    assert loss.detail(logits, full).names == loss.detail(logits, none).names == ("ce", "dice", "zero_one")
