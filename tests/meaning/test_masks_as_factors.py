"""A mask in front of a loss is a weight: told where the name says mask, and the repair is the masked mean."""

from __future__ import annotations

import re

import pytest
import torch

import losslang

R = torch.Generator().manual_seed(4)
LOGITS, TRUTH = torch.randn(6, 4, generator=R), (torch.rand(6, 4, generator=R) > 0.5).float()
MASK = torch.tensor([[1.0], [1], [0], [1], [0], [0]]).expand(6, 4)


def warned(text: str) -> list[str]:
    """The repairs of the warnings of a text."""
    found = losslang.check(text)
    assert {one.code for one in found} <= {"W362"}, found
    return [one.fix for one in found]


@pytest.mark.parametrize(
    ("text", "repair"),
    [
        ("bce(sigmoid)*batch.mask", "bce(sigmoid, mask=batch.mask)"),
        ("batch.mask*bce(sigmoid)", "bce(sigmoid, mask=batch.mask)"),
        ("batch.valid*l1", "l1(mask=batch.valid)"),
        ("(batch.w*batch.loss_mask)*mse", "batch.w*mse(mask=batch.loss_mask)"),
        ("2*batch.mask_2d*mse", "mse(mask=batch.mask_2d)"),
        ("m = batch.mask; m*mse@(pred.a, target.b)", "mse(mask=batch.mask)@(pred.a, target.b)"),
        ("batch.mask*(1 - ssim)", "1 - ssim(mask=batch.mask)"),
    ],
)
def test_a_mask_that_multiplies_is_told(text: str, repair: str) -> None:
    (fix,) = warned(text)
    assert fix.startswith(f"`{repair}`; if a weight is meant, write `weight=")
    assert losslang.check(repair) == ()


def test_the_repair_is_the_mean_over_what_counts() -> None:
    (fix,) = warned("bce(sigmoid)*batch.mask")
    masked, weight = re.findall("`([^`]+)`", fix)
    by_hand = torch.nn.functional.binary_cross_entropy_with_logits(LOGITS, TRUTH, reduction="none")
    torch.testing.assert_close(
        losslang.compile(masked)(LOGITS, TRUTH, mask=MASK), (by_hand * MASK).sum() / MASK.sum()
    )
    meant = losslang.compile(f"bce(sigmoid, {weight})")
    torch.testing.assert_close(meant(LOGITS, TRUTH, mask=MASK), (by_hand * MASK).mean())


def test_each_loss_of_a_group_is_told() -> None:
    assert [fix.partition(";")[0] for fix in warned("batch.mask*(ce + dice)")] == [
        "`ce(mask=batch.mask)`",
        "`dice(softmax, mask=batch.mask)`",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "batch.w*mse",
        "mse(weight=batch.mask)",
        "batch.mask*mse(mask=batch.valid)",
        "batch.mask*mse(reduction=sum)",
        "batch.mask*mse(avg_factor=batch.n)",
        "(1 - batch.mask)*l1",
        "batch.masked_share*mse",
        "mean(batch.mask*(pred - target)**2)",
        "mse@(batch.mask*pred, target)",
        "batch.w*(1 - ssim)",
    ],
)
def test_a_weight_is_not_told(text: str) -> None:
    assert warned(text) == []


@pytest.mark.parametrize(
    ("text", "use", "repair"),
    [
        ("dice(softmax, background=false) + 2*focal(softmax, ignore_index=0)", "dice(softmax, background=false)",
         "dice(softmax, ignore_index=none, background=false)"),
        ("ce(ignore_index=[0, 255])@a + 3*dice(softmax, background=false)@a", "dice(softmax, background=false)@a",
         "dice(softmax, ignore_index=none, background=false)@a"),
    ],
)  # fmt: skip
def test_a_background_that_is_dropped_and_ignored_is_told(text: str, use: str, repair: str) -> None:
    (found,) = losslang.check(text)
    assert (found.code, found.fix) == ("W364", f"`{repair}`")
    assert losslang.check(text.replace(use, repair)) == ()


@pytest.mark.parametrize(
    "text",
    [
        "dice(softmax) + focal(softmax, ignore_index=0)",
        "dice(softmax, background=false) + focal(softmax, ignore_index=255)",
        "dice(softmax, background=false, ignore_index=0) + focal(softmax, ignore_index=0)",
    ],
)
def test_a_background_that_is_only_one_of_both_is_not_told(text: str) -> None:
    assert losslang.check(text) == ()
