"""A label that names no class is refused in whichever call it comes, with the message of a first call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from cutting import cut
from torch import Tensor

import losslang
from losslang.losses import entropy as cross_entropies
from losslang.plan.operations import masks
from losslang.runtime import block_sizes, compiled, label_ranges, runners

R = torch.Generator().manual_seed(0)
PRED = torch.randn(2, 3, 4, 6, generator=R)
LABELS = torch.randint(0, 3, (2, 4, 6), generator=R)
SOME = torch.rand(2, 4, 6, generator=R) < 0.3


@pytest.fixture(params=["whole", "in blocks"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    with cut(3) if request.param == "in blocks" else nullcontext():
        yield request.param


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a GPU: no number is looked at in the call that it comes with."""
    compiled._understood.cache_clear()
    monkeypatch.setattr(block_sizes, "can_read_without_sync", lambda _: False)
    monkeypatch.setattr(cross_entropies, "can_read_without_sync", lambda _: False)
    monkeypatch.setattr(masks, "_seen", masks._outside)
    yield
    compiled._understood.cache_clear()


def refusal(loss: losslang.Loss, pred: Tensor, target: Any, **batch: Any) -> str:
    with pytest.raises(losslang.LossError) as refused:
        loss(pred, target, **batch)
    return str(refused.value)


def with_one(label: int, among: Tensor = LABELS) -> Tensor:
    """One label is another."""
    found = among.clone()
    found[1, 2, 3] = label
    return found


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_one_channel_is_refused_before_its_labels(kind: torch.dtype):
    loss = losslang.compile("ce(ignore_index=255)")
    loss(torch.randn(4, 3), torch.tensor([0, 1, 2, 255], dtype=kind))
    assert "E508" in refusal(loss, torch.randn(3, 1), torch.tensor([[0], [255], [0]], dtype=kind))


TEXTS = [
    "ce", "nll(log_softmax)", "ce(label_smoothing=0.1)", "ce(reduction=sum)", "ce(ignore_index=none)", "ce + dice",
    "ce(ignore_index=255) + dice(ignore_index=255)", "dice(softmax)", "dice(softmax, ignore_index=255)",
    "ce(class_weight=balanced)", "ce(class_weight=[1, 2, 3])", "focal(softmax)", "lovasz_softmax(softmax)", "poly",
    "bce(sigmoid)", "focal(sigmoid) + dice", "ce(reduction=topk)", "ce(ignore_index=0) + dice(ignore_index=0)",
    "ce(weight=batch.w)", "ce@(2*pred, target)", "ce(target=1*target)", "multi_margin", "mse(target=0) + ce",
    "ce(ignore_index=7) + ce(ignore_index=8)", "tversky(softmax, batch=true)", "ce(mask=batch.m)",
]  # fmt: skip
WRONG = [3, -1, -100, 255, 77]


def is_ignored(text: str, label: int) -> bool:
    """Whether every term of a program leaves a label out."""
    terms = [t for t in text.split(" + ") if "target=0)" not in t]
    own = [
        f"ignore_index={label}" in t or (label == -100 and t.startswith(("ce", "nll")) and "ignore" not in t)
        for t in terms
    ]
    return all(own)


@pytest.mark.filterwarnings("ignore:.*W350")  # two labels on purpose
@pytest.mark.parametrize("label", WRONG)
@pytest.mark.parametrize("text", TEXTS)
def test_a_label_that_is_wrong_from_some_call_on(text: str, label: int, way: str):
    """After none, one, two and three calls that were right, and after one with ignored labels."""
    batch = {"w": torch.rand(2, 4, 6, generator=R), "m": torch.ones(2, 4, 6, dtype=torch.bool)}
    bad = with_one(label)
    if is_ignored(text, label):
        loss = losslang.compile(text)
        for target in (LABELS, LABELS, bad, LABELS, bad):
            assert loss(PRED, target, **batch).isfinite()
        return
    first = refusal(losslang.compile(text), PRED, bad, **batch)
    assert f"holds class {label}, and the prediction has classes 0 to 2" in first
    assert re.search(rf"`ignore_index=[^`]*(?<![\w-]){label}(?!\w)[^`]*` in", first), first
    loss = losslang.compile(text)
    for _ in range(3):
        value = loss(PRED, LABELS, **batch)
        for _ in range(2):
            assert refusal(loss, PRED, bad, **batch) == first
        torch.testing.assert_close(loss(PRED, LABELS, **batch), value)


FORMS = {
    "int32": lambda t: t.int(),
    "int16": lambda t: t.short(),
    "uint8": lambda t: t.byte(),
    "uint16": lambda t: t.to(torch.uint16),
    "transposed": lambda t: t.mT.contiguous().mT,
    "every other": lambda t: t.repeat_interleave(2, -1)[..., ::2],
    "many": lambda t: t.repeat(1, 20, 20),
    "with a channel": lambda t: t.unsqueeze(1),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("text", ["ce", "ce + dice", "dice(softmax)", "dice(softmax, ignore_index=255)"])
def test_labels_of_every_kind(text: str, form: Any, way: str):
    pred = PRED.repeat(1, 1, 20, 20) if form is FORMS["many"] else PRED
    for label in (3, 200, 2**32 + 1, -3):
        bad = form(with_one(label))
        if not bool((bad.long() == label).any()):
            # No label of this type.
            continue
        loss = losslang.compile(text)
        loss(pred, form(LABELS))
        assert f"holds class {label}," in refusal(loss, pred, bad)


def test_truths_of_one_channel_are_0_or_1(way: str):
    loss, pred = losslang.compile("bce(sigmoid) + dice"), PRED[:, :1]
    for _ in range(3):
        loss(pred, LABELS.clamp(max=1).unsqueeze(1))
        assert "holds 255" in refusal(loss, pred, with_one(255, LABELS.clamp(max=1)).unsqueeze(1))


def test_one_hot_integers_are_0_or_1(way: str):
    loss, hot = losslang.compile("ce + dice"), torch.nn.functional.one_hot(LABELS, 3).movedim(-1, 1)
    for _ in range(3):
        loss(PRED, hot)
        assert "between 0 and 1" in refusal(loss, PRED, 2 * hot)


def test_a_number_for_every_label():
    loss = losslang.compile("ce(target=batch.k)")
    for _ in range(3):
        loss(PRED, k=2)
        assert "holds class 3" in refusal(loss, PRED, None, k=3)


def test_what_is_masked_may_be_any_number(way: str):
    loss, odd = losslang.compile("ce(mask=batch.m) + dice(mask=batch.m)"), LABELS.masked_fill(SOME, 9)
    wanted = losslang.compile("ce(mask=batch.m) + dice(mask=batch.m)")(PRED, LABELS, m=~SOME)
    for _ in range(3):
        torch.testing.assert_close(loss(PRED, odd, m=~SOME), wanted)
        assert "holds class 9" in refusal(loss, PRED, odd, m=torch.ones_like(SOME))


def test_labels_of_a_last_layer():
    head = torch.nn.Linear(6, 5)
    loss = losslang.compile("linear_ce(head=const.head, channels=last)", const={"head": head})
    bad, hidden = with_one(5), torch.randn(2, 4, 6, 6, generator=R)
    for _ in range(3):
        loss(hidden, LABELS)
        loss(hidden, LABELS.masked_fill(SOME, -100))
        assert "holds class 5, and the head has classes 0 to 4" in refusal(loss, hidden, bad)


def test_several_heads():
    loss = losslang.compile("(ce + dice)@a + dice(softmax)@b")
    good = {"a": LABELS, "b": LABELS}
    for _ in range(3):
        loss({"a": PRED, "b": PRED}, good)
        for head in good:
            assert f"of `dice.{head}` holds class 3" in refusal(
                loss, {"a": PRED, "b": PRED}, good | {head: with_one(3)}
            ).replace("`ce.a`", "`dice.a`")


@pytest.mark.parametrize("validate", ["first", "always", "never"])
def test_never_looks_at_nothing(validate: Any, monkeypatch: pytest.MonkeyPatch):
    looked: list[int] = []
    ends = label_ranges._ends
    monkeypatch.setattr(label_ranges, "_ends", lambda given: looked.append(1) or ends(given))
    loss = losslang.compile("dice(softmax)", validate=validate)
    for _ in range(4):
        loss(PRED, LABELS)
    assert len(looked) == {"first": 3, "always": 0, "never": 0}[validate]
    if validate == "never":
        assert loss(PRED, with_one(3)).isfinite()
        with pytest.raises(IndexError):
            losslang.compile("ce", validate="never")(PRED, with_one(3))


def test_nothing_is_looked_at_in_a_trace():
    torch.compiler.reset()
    loss = losslang.compile("dice(softmax)")
    loss(PRED, LABELS)
    traced = torch.compile(loss, backend="eager", fullgraph=True)
    assert traced(PRED, with_one(3)).isfinite()
    torch._dynamo.reset()


# -------------------------------------------------------------------- as on a GPU


LATER = ["dice(softmax)", "dice(softmax, ignore_index=255)", "bce(sigmoid)", "focal(sigmoid) + dice",
         "tversky(softmax, batch=true)", "dice(softmax, mask=batch.m)"]  # fmt: skip
"""Programs that read a label which is no class as one of none; of others a CPU that plays a GPU has torch's error."""


@pytest.mark.parametrize("text", LATER)
def test_on_a_gpu_a_wrong_label_is_refused_in_the_next_call(text: str, far: None):
    """Once; the call that it came with is not waited for."""
    batch = {"m": torch.ones_like(SOME)}
    first = refusal(losslang.compile(text), PRED, with_one(3), **batch)
    loss = losslang.compile(text)
    loss(PRED, LABELS, **batch)
    for _ in range(3):
        value = loss(PRED, LABELS, **batch)
        assert loss(PRED, with_one(3), **batch).isfinite()
        assert refusal(loss, PRED, LABELS, **batch) == first
        torch.testing.assert_close(loss(PRED, LABELS, **batch), value)


@pytest.mark.parametrize("text", ["ce + dice(ignore_index=-100)", "dice(softmax, ignore_index=255)"])
def test_on_a_gpu_an_ignored_label_is_not_refused(text: str, far: None):
    index = 255 if "255" in text else -100
    loss = losslang.compile(text)
    for target in (LABELS, LABELS.masked_fill(SOME, index), torch.full_like(LABELS, index), LABELS) * 2:
        assert loss(PRED, target).isfinite()


def test_on_a_gpu_a_number_for_every_label(far: None):
    loss = losslang.compile("dice(softmax, target=batch.k)")
    for _ in range(3):
        loss(PRED, k=1)
    loss(PRED, k=2)
    assert "holds 2; it must be between 0 and 1" in refusal(loss, PRED, None, k=1)


def test_on_a_gpu_an_answer_that_is_not_there_yet_is_not_waited_for(
    far: None, monkeypatch: pytest.MonkeyPatch
):
    class Event:
        is_there = False

        def query(self) -> bool:
            return self.is_there

    made: list[Any] = []
    monkeypatch.setattr(runners, "Later", lambda *given: made.append(label_ranges.Later(*given)) or made[-1])
    loss = losslang.compile("dice(softmax)")
    loss(PRED, LABELS)
    loss(PRED, LABELS)
    (later,) = made
    loss(PRED, with_one(3))
    later.event = event = Event()
    for _ in range(3):
        loss(PRED, LABELS)
    event.is_there = True
    assert "holds class 3" in refusal(loss, PRED, LABELS)
    assert loss(PRED, LABELS).isfinite()


@pytest.mark.parametrize(
    "text",
    ["dice(softmax, channels=last)", "ce(channels=last)", "ce(channels=last) + dice", "dice(softmax, target=target - 1)",
     "ce(target=target - 1)"],
)  # fmt: skip
def test_labels_behind_a_layout_or_arithmetic_are_looked_at_too(text: str, way: str):
    """From any call on: what moves axes or subtracts a number stands between the labels and their check."""
    pred = PRED.movedim(1, -1) if "last" in text else PRED
    good = LABELS + ("- 1" in text)
    loss = losslang.compile(text)
    for _ in range(4):
        loss(pred, good)
        with pytest.raises(losslang.LossError, match="E506"):
            loss(pred, with_one(9, good))
