"""Targets of a wrong shape: the message shows the shapes of the call, and its repair is run."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

import losslang

R = torch.Generator().manual_seed(3)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=R)


def classes(*shape: int) -> Tensor:
    return torch.randint(3, shape, generator=R)


def one_hot(*shape: int) -> Tensor:
    return torch.eye(3)[classes(*shape)]


def refusal(text: str, pred: Any, target: Any) -> str:
    """The one line of a refusal that says what is wrong, and the one that says what to write."""
    with pytest.raises(losslang.LossError) as caught:
        losslang.compile(text)(pred, target)
    (found,) = caught.value.diagnostics
    assert found.code == "E504"
    return f"{found.message}: {found.fix}"


def value_repaired(text: str, repair: str, pred: Tensor, target: Tensor) -> Tensor:
    """The value once the expression of a repair takes the place of the tensor that it names."""
    names: dict[str, Tensor] = dict.fromkeys(("pred", "logits", "hidden"), pred)
    names |= dict.fromkeys(("target", "labels"), target)
    repaired = eval(repair, {"torch": torch, **names})
    is_target = repair.startswith(("target", "labels", "torch.nn.functional.one_hot"))
    return losslang.compile(text)(*((pred, repaired) if is_target else (repaired, target)))


REPAIRED = [
    ("ce(channels=last)", draw(2, 6, 3), classes(2, 7), "labels[:, 1:]"),
    ("ce(channels=last)", draw(2, 7, 3), classes(2, 6), "logits[:, :-1]"),
    ("ce", draw(2, 3, 6), classes(2, 7), "labels[:, 1:]"),
    ("ce", draw(2, 3, 7), classes(2, 6), "logits[..., :-1]"),
    ("ce(channels=last)", draw(2, 3, 7), classes(2, 7), "logits.transpose(1, 2)"),
    ("ce(channels=last)", draw(2, 3, 4, 5), classes(2, 4, 5), "logits.movedim(1, -1)"),
    ("ce(channels=first)", draw(2, 4, 5, 3), classes(2, 4, 5), "logits.movedim(-1, 1)"),
    ("ce", draw(2, 3, 4, 5), one_hot(2, 4, 5), "target.movedim(-1, 1)"),
    ("dice(softmax)", draw(2, 3, 4, 5), one_hot(2, 4, 5), "target.movedim(-1, 1)"),
    ("kd", draw(2, 3, 4, 5), draw(2, 4, 5, 3), "target.movedim(-1, 1)"),
    ("ce(channels=last)", draw(2, 4, 5, 3), one_hot(2, 4, 5).movedim(-1, 1), "target.movedim(1, -1)"),
    ("ce", draw(2, 4, 5, 3), one_hot(2, 4, 5).movedim(-1, 1), "logits.movedim(-1, 1)"),
    ("dice(softmax, channels=last)", draw(2, 4, 5, 3), one_hot(2, 4, 5).movedim(-1, 1), "target.movedim(1, -1)"),
    ("ce", draw(2, 3, 4), one_hot(2, 4), "target.transpose(1, 2)"),
    ("mse", draw(2, 3, 4, 5), draw(2, 4, 5, 3), "target.movedim(-1, 1)"),
    ("mse", draw(2, 4, 5, 3), draw(2, 3, 4, 5), "pred.movedim(-1, 1)"),
    ("l1", draw(2, 1, 4, 5), draw(2, 4, 5), "target.unsqueeze(1)"),
    ("l1", draw(2, 4, 5), draw(2, 1, 4, 5), "target.squeeze(1)"),
    ("l1", draw(2, 4, 5), draw(2, 4, 5, 1), "target.squeeze(-1)"),
    ("ce", draw(8, 3), classes(8, 1), "target.squeeze(1)"),
    ("ce", draw(14, 3), classes(2, 7), "target.flatten()"),
    ("ce", draw(2, 3, 4, 5), classes(40), "target.reshape(2, 4, 5)"),
    ("ce", draw(2, 3, 4, 5), classes(2, 5, 4), "target.transpose(-2, -1)"),
    ("ce", draw(2, 3, 4, 5), classes(2, 8, 10), "torch.nn.functional.interpolate(pred, size=(8, 10))"),
    ("mse", draw(2, 3, 4, 5), draw(2, 3, 8, 10), "torch.nn.functional.interpolate(pred, size=(8, 10))"),
    ("dice(sigmoid)", draw(2, 1, 4, 5), one_hot(2, 4, 5).movedim(-1, 1), "target[:, 0:1]"),
    ("kl(softmax)", draw(8, 3), classes(8), "torch.nn.functional.one_hot(target, 3).float()"),
    ("mse(softmax)", draw(8, 3), classes(8), "torch.nn.functional.one_hot(target, 3).float()"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "pred", "target", "repair"),
    REPAIRED,
    ids=[f"{text} {tuple(pred.shape)} {tuple(target.shape)}" for text, pred, target, _ in REPAIRED],
)
def test_a_repair_in_python_is_shown_and_works(text: str, pred: Tensor, target: Tensor, repair: str) -> None:
    """The shapes are those of the call, whatever `channels=` has moved; large tensors are told the same."""
    found = refusal(text, pred, target)
    assert f"has shape {tuple(target.shape)}, the prediction {tuple(pred.shape)}" in found
    assert repair in re.findall(r"`([^`]*)`", found), found
    assert value_repaired(text, repair, pred, target).isfinite()


@pytest.mark.parametrize(
    ("text", "pred"),
    [("ce(channels=last)", draw(2, 3, 7)), ("ce(channels=first)", draw(2, 7, 3)), ("ce", draw(2, 7, 3))],
)
def test_the_axis_that_fits_is_written_in_place_of_the_other(text: str, pred: Tensor) -> None:
    found = re.findall(r"`(channels=\w+)`", refusal(text, pred, classes(2, 7)))
    repaired = text.replace(found[1], found[0]) if len(found) > 1 else f"ce({found[0]})"
    axis = 1 if repaired.endswith("first)") else 2
    expected = torch.nn.functional.cross_entropy(pred.movedim(axis, 1), labels := classes(2, 7))
    torch.testing.assert_close(losslang.compile(repaired)(pred, labels), expected)


def test_shifted_labels_of_a_language_model_need_both_repairs() -> None:
    """Nothing is written: the classes are the last axis, and the labels are one longer than the logits."""
    logits, labels = draw(2, 6, 3), classes(2, 7)
    found = re.findall(r"`([^`]*)`", refusal("ce", logits, labels))[2:]
    assert found == ["labels[:, 1:]", "logits[:, :-1]", "channels=last", "logits.transpose(1, 2)"]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(losslang.compile(f"ce({found[2]})")(logits, labels[:, 1:]), expected)


def test_hidden_states_are_shifted_as_logits_are() -> None:
    head = {"head": torch.nn.Linear(4, 3)}
    with pytest.raises(losslang.LossError, match=r"`labels\[:, 1:\]` beside `hidden\[:, :-1\]`"):
        losslang.compile("linear_ce(head=const.head)", const=head)(draw(2, 6, 4), classes(2, 7))


@pytest.mark.parametrize(
    ("text", "pred", "target", "says"),
    [
        ("ce", draw(2, 3, 8), classes(4, 8), "it has 2 samples, the target 4"),
        ("ce(channels=last)", draw(2, 7, 3), classes(2, 4), "a sample has 7 places, one of the target 4"),
        ("mse", draw(8, 5), draw(8), "predict one number a sample in place of 5"),
        ("dice(sigmoid)", draw(2, 2, 4, 4), draw(2, 3, 4, 4), "predict 3 channels in place of 2"),
    ],
)
def test_the_size_that_differs_is_named(text: str, pred: Tensor, target: Tensor, says: str) -> None:
    assert says in refusal(text, pred, target)


MASK = torch.ones(2, 7, 5)


@pytest.mark.parametrize(
    ("text", "pred", "target"),
    [
        ("ce(channels=last)", draw(2, 4, 5, 1), classes(2, 4, 5)),
        ("dice(sigmoid, channels=last, background=false)", draw(2, 4, 5, 1), classes(2, 4, 5)),
        ("dice(softmax, channels=last, mask=batch.m)", draw(2, 4, 5, 3), classes(2, 4, 5)),
        ("ce(channels=last, mask=batch.m)", draw(2, 4, 5, 3), classes(2, 4, 5)),
        ("ce(channels=last, class_weight=batch.m)", draw(2, 4, 5, 3), classes(2, 4, 5)),
        ("cosine(channels=first, mask=batch.m)", draw(2, 4, 5, 3), draw(2, 4, 5, 3)),
        ("triplet(channels=first)@(pred, target, batch.m)", draw(2, 4, 5, 3), draw(2, 4, 5, 3)),
    ],
)
def test_every_shape_is_that_of_the_call(text: str, pred: Tensor, target: Tensor) -> None:
    with pytest.raises(losslang.LossError) as caught:
        losslang.compile(text)(pred, target, m=MASK)
    (found,) = caught.value.diagnostics
    shown = re.findall(r"\([\d, ]+\)", found.message)
    assert set(shown) <= {str(tuple(value.shape)) for value in (pred, target, MASK)}
    assert str(tuple(pred.shape)) in shown


def test_a_mask_beside_shifted_labels_is_shifted_too() -> None:
    logits, labels, mask = draw(2, 6, 3), classes(2, 7), torch.ones(2, 7) > 0
    loss = losslang.compile("ce(channels=last, mask=batch.m)")
    with pytest.raises(losslang.LossError, match=r"E509(.|\n)*as the labels are, `\[:, 1:\]`"):
        loss(logits, labels[:, 1:], m=mask)
    assert loss(logits, labels[:, 1:], m=mask[:, 1:]).isfinite()
