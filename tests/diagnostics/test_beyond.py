"""Targets beyond 0 and 1: swapped tensors, logits of a teacher, a scale, a label; each repair is run."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

import losslang

R = torch.Generator().manual_seed(8)
LOGITS, TEACHER = torch.randn(4, 5, 3, generator=R), torch.randn(4, 5, 3, generator=R)
TRUTH = (torch.rand(2, 1, 4, 4, generator=R) > 0.5).float()
MAPS = torch.randn(2, 1, 4, 4, generator=R)


def fix(text: str, *tensors: Any, **batch: Any) -> str:
    with pytest.raises(losslang.LossError) as caught:
        losslang.compile(text)(*tensors, **batch)
    (found,) = caught.value.diagnostics
    assert found.code == "E516"
    return found.fix


@pytest.mark.parametrize("text", ["bce(sigmoid)", "dice(sigmoid)", "focal(sigmoid)", "bce", "jaccard(identity)", "hinge"])  # fmt: skip
@pytest.mark.parametrize("truth", [TRUTH, 2 * TRUTH - 1])
def test_swapped_tensors_are_asked_for(text: str, truth: Tensor) -> None:
    assert "are prediction and target swapped?" in fix(text, truth, MAPS)
    own = truth if text == "hinge" and truth.min() < 0 else TRUTH.long()
    assert (
        losslang.compile(text)(MAPS if text != "bce" and "identity" not in text else MAPS.sigmoid(), own) >= 0
    )


@pytest.mark.parametrize(
    ("text", "repair", "axis"),
    [
        ("kl(softmax, channels=last, target=batch.t)", "kd(channels=last, target=batch.t, temperature=1)", 2),
        ("kl(softmax, channels=first)@(pred, batch.t)", "kd(channels=first, temperature=1)@(pred, batch.t)", 1),
        ("kl(softmax, channels=last, reduction=mean, mask=batch.m)@(pred, batch.t)",
         "kd(channels=last, mask=batch.m, temperature=1)@(pred, batch.t)", 2),
    ],
)  # fmt: skip
def test_logits_of_a_teacher_are_for_kd(text: str, repair: str, axis: int) -> None:
    mask = torch.ones(4, dtype=torch.bool)
    offered = fix(text, LOGITS, t=TEACHER, m=mask)
    assert f"these look like logits: `{repair}`" in offered
    found = losslang.compile(repair)(LOGITS, t=TEACHER, m=mask)
    student, teacher = LOGITS.log_softmax(axis), TEACHER.log_softmax(axis)
    torch.testing.assert_close(found, (teacher.exp() * (teacher - student)).sum(axis).mean())
    (expression,) = re.findall(r"`(target\.softmax\(-?\d\))`", offered)
    probs = eval(expression, {"target": TEACHER})
    assert losslang.compile(text)(LOGITS, t=probs, m=mask) > 0


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("js(softmax)", "target.softmax(1)"),
        ("ce", "target.softmax(1)"),
        ("dice(softmax, channels=last)", "target.softmax(-1)"),
        ("bce(sigmoid)", "target.sigmoid()"),
        ("focal(sigmoid)", "target.sigmoid()"),
    ],
)
def test_logits_of_a_teacher_are_handed_over_as_probabilities(text: str, expression: str) -> None:
    said = fix(text, LOGITS, TEACHER)
    assert (f"`{expression}`" in said, "255" in said) == (True, False)
    assert losslang.compile(text.replace("js(softmax", "js(softmax, channels=first"))(
        LOGITS, eval(expression, {"target": TEACHER})
    ) > 0  # fmt: skip


def test_numbers_of_a_scale_and_labels_are_told_apart() -> None:
    assert fix("bce(sigmoid)", MAPS, 255 * TRUTH).startswith("scale it to 0 and 1, as `target/255`; a label")
    assert fix("bce(sigmoid)", MAPS, 0.5 + 100 * TRUTH) == "scale it to 0 and 1, as `target/255`"
    assert fix("bce(sigmoid)", MAPS, TRUTH.long() - 1).startswith("a label that marks what is unknown")
    assert losslang.compile("bce(sigmoid, ignore_index=-1)")(MAPS, TRUTH.long() - 1) >= 0


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_no_logit_and_no_label(number: float) -> None:
    target = TRUTH.clone()
    target[0, 0, 0, 0] = number
    assert (
        fix("bce(sigmoid)", MAPS, target) == "find where it comes from, or leave it out: `mask=batch.valid`"
    )
    assert losslang.compile("bce(sigmoid, mask=batch.valid)")(MAPS, target, valid=target.isfinite()) > 0
