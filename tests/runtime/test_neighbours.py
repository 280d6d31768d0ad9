"""Terms beside each other on one prediction: what one leaves out the other is told, and the axis of the classes."""

from __future__ import annotations

import re
import warnings
from contextlib import nullcontext
from typing import Any

import pytest
import torch

import losslang
from losslang.plan.operations.notices import ALREADY_GIVEN

R = torch.Generator().manual_seed(5)
LOGITS, TEACHER = torch.randn(2, 6, 5, generator=R), torch.randn(2, 6, 5, generator=R)
LABELS = torch.randint(5, (2, 6), generator=R)
PADDED = LABELS.masked_fill(torch.arange(6) > 3, -100)
VALID = PADDED != -100


@pytest.fixture(autouse=True)
def nothing_told() -> None:
    ALREADY_GIVEN.clear()


def told(code: str, text: str, *tensors: Any, **batch: Any) -> list[str]:
    """The warnings of a code in two calls, each as its lines."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loss = losslang.compile(text)
        for _ in range(2):
            loss(*tensors, **batch)
    return [str(w.message) for w in caught if code in str(w.message)]


@pytest.mark.parametrize(
    ("text", "use", "repair"),
    [
        ("ce(channels=last) + kd(target=batch.t)", "kd(target=batch.t)", "kd(target=batch.t, mask=batch.valid)"),
        ("ce(channels=last) + kd@(pred, batch.t)", "kd@(pred, batch.t)", "kd(mask=batch.valid)@(pred, batch.t)"),
        ("ce(channels=last) + 0.1*mse(target=batch.t)", "mse(target=batch.t)", "mse(target=batch.t, mask=batch.valid)"),
        ("js(softmax, target=batch.q) + ce(channels=last)", "js(softmax, target=batch.q)", "js(softmax, target=batch.q, mask=batch.valid)"),
        ("k = kd(target=batch.t); ce(channels=last) + 0.5*k", "kd(target=batch.t)", "kd(target=batch.t, mask=batch.valid)"),
    ],
)  # fmt: skip
def test_padding_that_a_neighbour_counts_is_told_once(text: str, use: str, repair: str) -> None:
    given = {"t": TEACHER, "q": TEACHER.softmax(2), "valid": VALID}
    (found,) = told("W360", text, LOGITS, PADDED, **given)
    assert "leaves out the places labelled -100" in found
    offered, valid = re.findall("`([^`]+)`", found.partition("fix: ")[2])
    assert offered == repair
    assert torch.equal(eval(valid.removeprefix("valid="), {"labels": PADDED}), VALID)
    repaired = text.replace(use, repair)
    assert told("W360", repaired, LOGITS, PADDED, **given) == []
    # What is padded changes the value no more.
    loss, noise = losslang.compile(repaired), {**given, "t": TEACHER.masked_fill(~VALID[..., None], 7.0)}
    torch.testing.assert_close(loss(LOGITS, PADDED, **given), loss(LOGITS, PADDED, **noise))


def test_a_list_of_labels_is_one_mask() -> None:
    (found,) = told("W360", "ce(channels=last, ignore_index=[0, 1]) + kd(target=batch.t)", LOGITS, LABELS, t=TEACHER)  # fmt: skip
    (valid,) = re.findall("`valid=([^`]+)`", found)
    assert torch.equal(eval(valid, {"labels": LABELS}), LABELS > 1)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("ce(channels=last) + kd(target=batch.t)", LABELS),
        ("ce(channels=last) + kd(target=batch.t, mask=batch.valid)", PADDED),
        ("ce(channels=last) + kd(target=batch.t, weight=batch.valid)", PADDED),
        ("ce(channels=last) + batch.w*kd(target=batch.t)", PADDED),
        ("ce(channels=last, ignore_index=-100) + focal(softmax)", PADDED),
        ("ce(channels=last) + l1(target=0)", PADDED),
        ("ce(channels=last) + kd@(batch.t, batch.t)", PADDED),
    ],
)
def test_nothing_is_told_without_padding_or_with_a_mask(text: str, labels: torch.Tensor) -> None:
    assert told("W360", text, LOGITS, labels, t=TEACHER, valid=VALID.float(), w=VALID.float()) == []


@pytest.mark.parametrize("text", ["kd", "kd(temperature=2)", "0.5*kd", "kd + mse(softmax)"])
@pytest.mark.parametrize("square", [False, True])
def test_two_logits_of_three_axes_are_told_both_spellings(text: str, square: bool) -> None:
    pred, target = (t[:, :5] if square else t for t in (LOGITS, TEACHER))
    (found,) = told("W361", text, pred, target)
    last, first = (spelled for spelled in re.findall("`([^`]+)`", found.partition("fix: ")[2]))
    assert "channels=last" in last
    assert "channels=first" in first
    wanted = {}
    for spelled, axis in ((last, 2), (first, 1)):
        assert told("W361", spelled, pred, target) == []
        wanted[axis] = losslang.compile(spelled)(pred, target)
        temperature = 2.0 if "temperature" in text else 4.0
        student, teacher = ((t / temperature).log_softmax(axis) for t in (pred, target))
        by_hand = temperature**2 * (teacher.exp() * (teacher - student)).sum(axis).mean()
        torch.testing.assert_close(wanted[axis], by_hand)
    assert wanted[1] != wanted[2]


@pytest.mark.parametrize(
    ("text", "pred", "target"),
    [
        ("kd(target=batch.t, channels=last)", LOGITS, None),
        ("kd(target=batch.t, channels=first)", LOGITS, None),
        ("ce(channels=last) + kd(target=batch.t)", LOGITS, LABELS),
        ("ce + kd(target=batch.t)", LOGITS, torch.randint(6, (2, 5), generator=R)),
        ("kd@(pred.a, batch.a)", {"a": LOGITS[:, 0]}, None),
        ("kd@(pred.a, batch.a)", {"a": LOGITS[..., None]}, None),
        ("mse@(pred, batch.t)", LOGITS, None),
    ],
)
def test_an_axis_that_a_word_or_a_label_tells_is_not_told(text: str, pred: Any, target: Any) -> None:
    other = pred["a"] if isinstance(pred, dict) else None
    assert told("W361", text, pred, target, t=TEACHER, a=other) == []


def test_explain_names_the_axis_of_the_classes_where_nothing_is_written() -> None:
    assert "classes      axis 1 (default)" in losslang.explain("kd")
    assert "classes " not in losslang.explain("kd(channels=last)")
    assert "classes " not in losslang.explain("mse")


def test_explain_says_that_a_mask_lies_one_way_or_the_other() -> None:
    said = losslang.explain("ce(mask=batch.m, weight=const.w)")
    assert "mask=batch.m: either of rank 1, one number a sample, or of one rank less" in said
    assert "weight=const.w: either of rank 1, one number a channel, or of one rank less" in said


@pytest.mark.parametrize("text", ["ce", "ce + dice", "dice(softmax, batch=true)", "focal(softmax)", "kd"])
@pytest.mark.parametrize("last", [False, True])
def test_a_softmax_in_the_network_is_told_once(text: str, last: bool) -> None:
    logits = torch.randn(4, 3, 6, generator=R)
    target = torch.randn(4, 3, 6, generator=R) if text == "kd" else torch.randint(3, (4, 6), generator=R)
    if last:
        logits, target = logits.movedim(1, -1), target.movedim(1, -1) if text == "kd" else target
    option = f"channels={'last' if last else 'first'}"
    use = f"{text[:-1]}, {option})" if text.endswith(")") else text.replace("ce", f"ce({option})", 1) if "ce" in text[:2] else f"{text}({option})"  # fmt: skip
    (found,) = told("W363", use, logits.softmax(-1 if last else 1), target)
    assert "let the network end in its logits" in found
    assert ("(identity)`" in found) == (text != "kd")
    assert told("W363", use, logits, target) == []
    if text != "kd":
        said = re.findall(r"`(\w+\(identity\))`", found)[0].replace("(identity", f"(identity, {option}")
        assert told("W363", said, logits.softmax(-1 if last else 1), target) == []


@pytest.mark.parametrize(
    "pred",
    [
        torch.tensor([[0.2, 0.3, 0.5]]),  # one place
        torch.full((4, 4), 0.25)[:, :3] * 4 / 3,  # the same everywhere
        torch.tensor([[0.2, 0.3, 0.5], [0.2, 0.3, 0.6]]),
        torch.tensor([[0.2, 0.3, 0.5], [-0.2, 0.7, 0.5]]),
    ],
)
def test_what_may_be_logits_is_no_softmax_of_the_network(pred: torch.Tensor) -> None:
    assert told("W363", "ce", pred, torch.zeros(len(pred), dtype=torch.long)) == []


def test_a_softmax_of_the_network_in_half_precision_is_told() -> None:
    pred = torch.randn(8, 5, generator=R).softmax(1).bfloat16()
    assert told("W363", "ce(label_smoothing=0.1)", torch.zeros(0, 5), torch.zeros(0, dtype=torch.long)) == []
    assert (
        len(told("W363", "ce", pred.double() / pred.double().sum(1, True), torch.zeros(8, dtype=torch.long)))
        == 1
    )


# ---------------------------------------------------------------------------- logits in the place of logarithms


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("nll", "nll(log_softmax)"),
        ("nll(ignore_index=2)", "nll(log_softmax, ignore_index=2)"),
        ("nll(identity, mask=batch.m)", "nll(log_softmax, mask=batch.m)"),
        ("kl(exp)", "kl(softmax)"),
    ],
)
def test_logits_that_are_read_as_log_probabilities(text: str, written: str) -> None:
    logits = torch.tensor([[3.0, -1, 0.5], [0.2, 2, -3]])
    target: Any = logits.softmax(1) if "kl" in text else torch.tensor([0, 1])
    batch = {"m": torch.tensor([True, True])} if "mask" in text else {}
    with pytest.warns(losslang.LossWarning, match="W347") as told:
        losslang.compile(text)(logits, target, **batch)
    assert f"fix: write `{written}`" in str(told[0].message)
    loss = losslang.compile(text)
    for fine in (logits.log_softmax(1), -logits.abs(), torch.full((2, 3), -torch.inf)):
        loss(fine, target, **batch)
    losslang.compile(written)(logits, target, **batch)


def test_masked_garbage_is_no_log_probability() -> None:
    logs = torch.randn(2, 3).log_softmax(1)
    logs[1] = 7.0
    losslang.compile("nll(mask=batch.m)")(logs, torch.tensor([0, 1]), m=torch.tensor([True, False]))


def test_logits_of_several_channels_may_want_either_activation() -> None:
    pred, truth = 3 * torch.randn(2, 4, 5), torch.rand(2, 4, 5)
    for text, wanted in (("dice", "`dice(softmax)` where a place has one class, `dice(sigmoid)` where"),
                         ("tversky(alpha=0.3)", "`tversky(softmax, alpha=0.3)` where"), ("bce", "`bce(sigmoid)`")):  # fmt: skip
        with pytest.warns(losslang.LossWarning) if text != "bce" else nullcontext():
            loss = losslang.compile(text)
        with pytest.raises(losslang.LossError) as refused:
            loss(pred, truth)
        assert wanted in refused.value.diagnostics[0].fix
        assert ("softmax" in refused.value.diagnostics[0].fix) == (text != "bce")
    with pytest.warns(losslang.LossWarning), pytest.raises(losslang.LossError) as refused:
        losslang.compile("dice")(pred[:, :1], truth[:, :1])
    assert refused.value.diagnostics[0].fix == "if these are logits, write `dice(sigmoid)`"
