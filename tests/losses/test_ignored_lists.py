"""`ignore_index=[254, 255]`: several labels that do not count, as if all were one."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from _every_loss import LOSSES, compiled
from cutting import cut
from torch import Tensor
from torch.nn import functional as F

import losslang
from losslang.plan.operations import masks

R = torch.Generator().manual_seed(5)
PRED = torch.randn(3, 4, 6, 2, generator=R, dtype=torch.float64)
LABELS = torch.randint(4, (3, 6, 2), generator=R)
PLACES = torch.rand(3, 6, 2, generator=R)


def marked(*labels: int) -> Tensor:
    """Labels of which a tenth each are these."""
    found = LABELS.clone()
    for i, label in enumerate(labels):
        found[(0.1 * i < PLACES) & (0.1 * (i + 1) > PLACES)] = label
    return found


USES = [
    ("ce", ""),
    ("ce", "label_smoothing=0.1"),
    ("ce", "class_weight=[1, 2, 3, 4]"),
    ("ce", "class_weight=balanced"),
    ("ce", "reduction=sum"),
    ("ce", "reduction=batchmean"),
    ("ce", "reduction=topk(frac=0.5)"),
    ("ce", "mask=batch.m"),
    ("nll", ""),
    ("focal", "softmax"),
    ("focal", "sigmoid"),
    ("bce", "sigmoid"),
    ("dice", "softmax"),
    ("dice", "sigmoid"),
    ("dice", "softmax, batch=true, classes=[1, 3]"),
    ("gdl", "softmax"),
    ("tversky", "softmax"),
    ("lovasz_softmax", "softmax"),
    ("lovasz_hinge", ""),
    ("multi_margin", ""),
    ("hinge", ""),
    ("gce", "softmax"),
    ("asl_single", "softmax"),
]


@pytest.mark.parametrize(("name", "options"), USES, ids=str)
@pytest.mark.parametrize("labels", [(254, 255), (-1, 255), (-100, 7, 8, 9, 50)], ids=str)
@pytest.mark.parametrize("elements", [None, 16])
def test_a_list_leaves_out_what_one_label_would(
    name: str, options: str, labels: tuple[int, ...], elements: int | None
) -> None:
    inside = f"{options}, " if options else ""
    mask = PLACES > 0.05
    one, several = f"{name}({inside}ignore_index=255)", f"{name}({inside}ignore_index={list(labels)})"
    raw = PRED.log_softmax(1) if name == "nll" else PRED
    first, second = raw.clone().requires_grad_(), raw.clone().requires_grad_()
    target = marked(*labels)
    as_one = torch.where(torch.isin(target, torch.tensor(labels)), 255, target)
    wanted = compiled(one)(first, as_one, m=mask)
    for _ in range(3):
        if elements is None:
            found = compiled(several)(second, target, m=mask)
        else:
            with cut(elements):
                found = compiled(several)(second, target, m=mask)
        torch.testing.assert_close(found, wanted)
    for value in (wanted, found):
        value.backward()
    torch.testing.assert_close(second.grad, first.grad)


def test_every_loss_that_reads_classes_takes_a_list() -> None:
    for name, loss in LOSSES.items():
        found = losslang.check(f"metric({name}(ignore_index=[254, 255])) + ce")
        assert any(d.code == "E205" for d in found) != loss.reads_classes, name


def test_by_hand_beside_any_label() -> None:
    """In every call: without labels to ignore, with one of them, with both, and again without."""
    loss = losslang.compile("ce(ignore_index=[254, 255]) + dice")
    plain = losslang.compile("ce + dice")
    for target in (LABELS, marked(255), marked(254), marked(254, 255), LABELS):
        shown = target < 254
        logs = PRED.log_softmax(1)
        ce = -logs.gather(1, target.where(shown, 0)[:, None])[:, 0][shown].mean()
        p = logs.exp() * shown[:, None]
        t = F.one_hot(target.where(shown, 0), 4).movedim(-1, 1) * shown[:, None]
        both = (p + t).sum((2, 3))
        dice = 1 - (2 * (p * t).sum((2, 3)) + 1e-5) / (both + 1e-5)
        torch.testing.assert_close(loss(PRED, target), ce + dice.mean())
    torch.testing.assert_close(loss(PRED, LABELS), plain(PRED, LABELS))


@pytest.mark.parametrize("kind", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_narrow_types_hold_what_they_can(kind: torch.dtype) -> None:
    loss = losslang.compile("ce(ignore_index=[-1, 254, 255]) + dice")
    held = torch.iinfo(kind)
    labels = [label for label in (-1, 254, 255) if held.min <= label <= held.max]
    target = marked(*labels)
    wanted = losslang.compile("ce(ignore_index=255) + dice")(
        PRED, torch.where(torch.isin(target, torch.tensor(labels)), 255, target)
    )
    for _ in range(3):
        torch.testing.assert_close(loss(PRED, target.to(kind)), wanted)


def test_a_class_that_is_none_is_still_refused() -> None:
    loss = losslang.compile("ce(ignore_index=[254, 255])")
    loss(PRED, marked(254, 255))
    for wrong in (253, -100, 4):
        with pytest.raises(losslang.LossError, match="E506"):
            loss(PRED, marked(254, wrong))


def test_targets_of_zero_and_one_have_labels_to_ignore_too() -> None:
    logits = PRED[:, :1]
    truth = (LABELS > 1).double()[:, None]
    shown = PLACES[:, None] > 0.2
    target = truth.where(shown, 255.0).where(PLACES[:, None] > 0.1, 254.0)
    for text, values in {
        "bce(sigmoid, ignore_index=[254, 255])": F.binary_cross_entropy_with_logits(
            logits[shown], truth[shown]
        ),
        "hinge(ignore_index=[254, 255])": (1 - (2 * truth - 1) * logits).clamp(min=0)[shown].mean(),
    }.items():
        integers = target.long()
        torch.testing.assert_close(losslang.compile(text)(logits, integers), values)
        torch.testing.assert_close(losslang.compile(text)(logits, integers[:, 0].to(torch.uint8)), values)
    torch.testing.assert_close(
        losslang.compile("bce(sigmoid, ignore_index=[254, 255])")(logits, target),
        F.binary_cross_entropy_with_logits(logits[shown], truth[shown]),
    )


def test_one_hot_labels_have_no_class_to_ignore() -> None:
    onehot = F.one_hot(LABELS, 4).movedim(-1, 1)
    with pytest.raises(losslang.LossError, match="E528"):
        losslang.compile("ce(ignore_index=[1, 255])")(PRED, onehot)
    value = losslang.compile("ce(ignore_index=[254, 255])")(PRED, onehot)
    torch.testing.assert_close(value, F.cross_entropy(PRED, LABELS))


def test_rows_of_a_last_layer() -> None:
    hidden, head = PRED[:, :, 0].transpose(1, 2), torch.randn(5, 4, generator=R, dtype=torch.float64)
    target = marked(254, 255)[:, 0, :]
    shown = target < 254
    logits = (hidden @ head.T)[shown]
    value = losslang.compile("linear_ce(head=batch.h, ignore_index=[254, 255])")(hidden, target, h=head)
    torch.testing.assert_close(value, F.cross_entropy(logits, target[shown]))


def test_one_target_has_one_list() -> None:
    text = str(losslang.compile("ce(ignore_index=[255, 254, 255]) + dice").meaning)
    assert text.count("ignore_index=[254, 255]") == 2
    assert "taken from ce" in text
    assert not losslang.check("ce(ignore_index=[254, 255]) + focal(softmax, ignore_index=[255, 254]) + dice")
    (found,) = losslang.check("ce(ignore_index=[254, 255]) + focal(softmax, ignore_index=255) + dice")
    assert found.code == "E314"
    for repair in re.findall(r"`(.*?)`", found.fix):
        assert not losslang.check(
            f"ce(ignore_index=[254, 255]) + focal(softmax, ignore_index=255) + {repair}"
        )
    # A list of one is that one.
    assert (
        losslang.compile("ce(ignore_index=[255])").fingerprint
        == losslang.compile("ce(ignore_index=255)").fingerprint
    )
    for wrong in ("[]", "[1.5]", "[a]", "[none]", "batch.i"):
        assert losslang.check(f"ce(ignore_index={wrong})"), wrong


def test_labels_beyond_the_range_of_a_call_ask_for_no_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the smallest and the largest label show needs no comparison with each label."""
    seen: list[Any] = []
    outside = masks._outside
    monkeypatch.setattr(masks, "_outside", lambda *given: seen.append(given) or outside(*given))
    loss = losslang.compile("ce(ignore_index=[254, 255]) + dice")
    for _ in range(3):
        loss(PRED, LABELS)
    assert not seen
    assert masks._runs([3, 4, 5, 9, 254, 255], True) == [(3, 5), (9, 9), (254, 255)]
    assert masks._runs([254, 255], False) == [(254, 254), (255, 255)]


def test_a_traced_program_leaves_out_the_same() -> None:
    loss = losslang.compile("ce(ignore_index=[254, 255]) + dice")
    traced = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(traced(PRED, marked(254, 255)), loss(PRED, marked(254, 255)))


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("ce(ignore_index=255) + dice(softmax, ignore_index=254)", True),
        ("ce(ignore_index=[0, 255]) + dice(softmax, ignore_index=[254, 255])", True),
        ("ce(ignore_index=255) + dice(softmax, ignore_index=[254, 255])", False),
        ("ce(ignore_index=255) + dice(softmax, ignore_index=255)", False),
        ("ce(ignore_index=255) + dice(softmax, ignore_index=none)", False),
        ("ce(ignore_index=255)@a + dice(softmax, ignore_index=254)@b", False),
        ("ce(ignore_index=255) + metric(dice(softmax, ignore_index=254))", False),
    ],
)
def test_terms_that_ignore_different_labels_are_told(text: str, warned: bool) -> None:
    found = losslang.check(text)
    assert [wrong.code for wrong in found] == (["W350"] if warned else [])
    if text.startswith("ce(ignore_index=255)") and warned:
        assert "`ignore_index=[254, 255]`" in found[0].fix
