"""Calls that hand over tensors without a name, as None, or masks that are none: the repair is run."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import losslang

R = torch.Generator().manual_seed(5)
LOGITS, LABELS = torch.randn(4, 3, generator=R), torch.tensor([0, 1, 2, 0])
VALID = torch.tensor([True, False, True, True])
CALLS: list[Callable[[losslang.Loss], Callable[..., Any]]] = [
    lambda loss: loss,
    lambda loss: loss.detail,
    lambda loss: loss.terms,
]


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    """The code and the repair of the mistake that a call is refused for."""
    with pytest.raises(losslang.LossError) as caught:
        call()
    (found,) = caught.value.diagnostics
    return found.code, found.fix


def offered(fix: str) -> list[str]:
    return re.findall(r"`([^`]*)`", fix)


@pytest.mark.parametrize("call", CALLS, ids=["call", "detail", "terms"])
def test_a_third_tensor_is_answered_with_the_keyword_that_the_program_reads(
    call: Callable[[losslang.Loss], Callable[..., Any]],
) -> None:
    loss = losslang.compile("ce(mask=batch.valid)")
    code, fix = refused(lambda: call(loss)(LOGITS, LABELS, VALID))
    assert (code, offered(fix)) == ("E541", ["loss(pred, target, valid=...)"])
    repaired = offered(fix)[0].replace("...", "valid")
    names = {"loss": loss, "pred": LOGITS, "target": LABELS, "valid": VALID}
    assert eval(repaired, names) == loss(LOGITS, LABELS, valid=VALID)


def test_all_paths_of_the_batch_are_named() -> None:
    loss = losslang.compile("batch.w*ce(mask=batch.valid)")
    assert "`loss(pred, target, valid=..., w=...)`" in refused(lambda: loss(LOGITS, LABELS, VALID, LOGITS))[1]
    assert "`loss(pred, target, w=..., valid=...)`" in refused(lambda: loss(LOGITS, LABELS, VALID, w=2))[1]


@pytest.mark.parametrize(("third", "option"), [(VALID, "mask"), (torch.rand(4, generator=R), "weight")])
def test_a_third_tensor_that_nothing_reads_gets_an_option(third: Tensor, option: str) -> None:
    code, fix = refused(lambda: losslang.compile("ce")(LOGITS, LABELS, third))
    program, call = offered(fix)
    assert (code, program, call) == (
        "E541",
        f"ce({option}=batch.{option})",
        f"loss(pred, target, {option}=...)",
    )
    value = losslang.compile(program)(LOGITS, LABELS, **{option: third})
    each = torch.nn.functional.cross_entropy(LOGITS, LABELS, reduction="none")
    number = third.sum() if option == "mask" else 4
    torch.testing.assert_close(value, (each * third).sum() / number)


def test_a_program_of_numbers_takes_no_third_tensor() -> None:
    assert "leave it out" in refused(lambda: losslang.compile("mean(pred)")(LOGITS, None, VALID))[1]


@pytest.mark.parametrize("text", ["ce(mask=batch.valid)", "ce(weight=batch.valid)"])
def test_a_keyword_that_is_none_is_named_beside_others(text: str) -> None:
    loss = losslang.compile(text)
    with pytest.raises(losslang.LossError, match=r"`batch\.valid` is read here, and `valid` is None"):
        loss(LOGITS, LABELS, valid=None, step=3)
    (repair,) = offered(refused(lambda: loss(LOGITS, LABELS, valid=None, step=3))[1])
    torch.testing.assert_close(eval(f"loss(x, y, {repair})", {"loss": loss, "x": LOGITS, "y": LABELS}),
                               losslang.compile("ce")(LOGITS, LABELS))  # fmt: skip


def test_a_count_that_is_none_gets_no_number() -> None:
    code, fix = refused(lambda: losslang.compile("ce(avg_factor=batch.n)")(LOGITS, LABELS, n=None))
    assert (code, fix) == ("E501", "call `loss(pred, target, n=...)`")


SOFT = torch.tensor([0.5, 0.0, 1.0, 1.0])
LARGE = torch.rand(2, 3, 300, 300, generator=R), torch.rand(2, 3, 300, 300, generator=R)


@pytest.mark.parametrize(
    "text", ["ce(mask=batch.m)", "2*ce(mask=batch.m) + metric(zero_one)", "ce(mask=batch.m)@a"]
)
def test_a_mask_of_fractions_is_refused_and_both_repairs_work(text: str) -> None:
    pred, each = (
        {"a": LOGITS} if "@" in text else LOGITS,
        torch.nn.functional.cross_entropy(LOGITS, LABELS, reduction="none"),
    )
    code, fix = refused(lambda: losslang.compile(text)(pred, LABELS, m=SOFT))
    yes, weight = offered(fix)
    assert code == "E552"
    scale = 2 if text.startswith("2") else 1
    found = losslang.compile(text)(pred, LABELS, m=eval(yes, {"m": SOFT}))
    torch.testing.assert_close(found, scale * each[SOFT > 0].mean())
    found = losslang.compile(text.replace("mask=batch.m", weight))(pred, LABELS, m=SOFT)
    torch.testing.assert_close(found, scale * (each * SOFT).sum() / 4)


def test_nan_is_no_mask_and_no_weight() -> None:
    mask = torch.tensor([torch.nan, 0, 1, 1])
    code, fix = refused(lambda: losslang.compile("ce(mask=batch.m)")(LOGITS, LABELS, m=mask))
    assert (code, offered(fix)) == ("E552", ["m > 0"])
    assert losslang.compile("ce(mask=batch.m)")(LOGITS, LABELS, m=mask > 0).isfinite()


@pytest.mark.parametrize(
    ("text", "offers"),
    [("dice(sigmoid, mask=batch.m)", ["m > 0"]), ("l1(weight=batch.w, mask=batch.m)", ["m > 0"]),
     ("l1(mask=batch.m)", ["m > 0", "weight=batch.m"])],
)  # fmt: skip
def test_a_weight_is_offered_only_where_it_fits(text: str, offers: list[str]) -> None:
    """Large tensors, which are walked over in blocks, are looked at too; numbers, arrays and lists alike."""
    soft = torch.full((2, 300, 300), 0.5)
    code, fix = refused(lambda: losslang.compile(text)(*LARGE, m=soft, w=torch.ones(2)))
    assert (code, offered(fix)) == ("E552", offers)
    for mask in (soft.numpy(), 0.5, [0.5, 1.0]):
        loss = partial(losslang.compile(text), *LARGE, m=mask, w=torch.ones(2))
        assert refused(loss)[0] == "E552"


def test_masks_of_yes_and_no_are_any_integers_booleans_and_0_and_1() -> None:
    expected = losslang.compile("ce")(LOGITS[VALID], LABELS[VALID])
    for mask in (VALID, VALID.float(), VALID.half(), VALID.long() * 255, VALID.to(torch.uint8) * 255):
        torch.testing.assert_close(losslang.compile("ce(mask=batch.m)")(LOGITS, LABELS, m=mask), expected)


def test_masks_are_looked_at_as_validate_says() -> None:
    assert losslang.compile("ce(mask=batch.m)", validate="never")(LOGITS, LABELS, m=SOFT).isfinite()
    first = losslang.compile("ce(mask=batch.m)")
    first(LOGITS, LABELS, m=VALID.float())
    assert first(LOGITS, LABELS, m=SOFT).isfinite()
    always = losslang.compile("ce(mask=batch.m)", validate="always")
    always(LOGITS, LABELS, m=VALID.float())
    assert refused(lambda: always(LOGITS, LABELS, m=SOFT))[0] == "E552"


WRITTEN = [
    (
        "huber(delta=batch.n)",
        {"n": torch.tensor(-1.0)},
        "E550",
        ["delta=max(batch.n, 1e-06)", "delta=exp(batch.n)"],
    ),
    ("gaussian_nll(variance=batch.n)", {"n": -torch.ones(4, 3)}, "E516", ["variance=exp(batch.n)"]),
    ("hinge(target=batch.n)", {"n": torch.zeros(4, 3)}, "E514", ["target=2*target - 1"]),
]


@pytest.mark.parametrize(("text", "batch", "code", "repairs"), WRITTEN, ids=[w[0] for w in WRITTEN])
def test_an_option_is_repaired_as_it_is_written(
    text: str, batch: dict[str, Any], code: str, repairs: list[str]
) -> None:
    found, fix = refused(lambda: losslang.compile(text)(LOGITS, LOGITS, **batch))
    assert (found, offered(fix)[: len(repairs)]) == (code, repairs)
    for repair in repairs:
        option, _, value = repair.partition("=")
        repaired = re.sub(rf"{option}=[\w.]+", repair.replace("target - 1", "batch.n - 1"), text)
        assert losslang.compile(repaired)(LOGITS, LOGITS, **batch).isfinite(), value


def test_boxes_written_otherwise_have_the_other_formats() -> None:
    boxes = torch.tensor([[2.0, 2, 1, 1]])
    _, fix = refused(lambda: losslang.compile("giou")(boxes, boxes))
    assert offered(fix) == ["format=cxcywh", "format=xywh"]
    for repair in offered(fix):
        assert losslang.compile(f"giou({repair})")(boxes, boxes).isfinite()


def test_a_channel_that_is_not_there_is_left_out_of_the_list() -> None:
    maps, labels = torch.randn(1, 3, 4, generator=R), torch.tensor([[0, 1, 2, 0]])
    _, fix = refused(lambda: losslang.compile("dice(softmax, classes=[1, 3])")(maps, labels))
    assert losslang.compile(f"dice(softmax, {offered(fix)[0]})")(maps, labels).isfinite()
    assert (
        "choose from 0 to 2"
        in refused(lambda: losslang.compile("dice(softmax, classes=[3])")(maps, labels))[1]
    )


def test_losses_that_nothing_reads_are_added_as_printed() -> None:
    pred = {name: torch.tensor(1.0) for name in ("cls", "box", "rpn")}
    _, fix = refused(lambda: losslang.compile("pred.cls")(pred))
    assert losslang.compile(f"pred.cls {offered(fix)[0]}")(pred) == 3


# ---------------------------------------------------------------------------- twice, one too many, of a list


@pytest.mark.parametrize(
    "text",
    [
        "balance(mse, l1, momentum=0.7, momentum=0.8)",
        "balance(mse, l1, wrt=pred.a, wrt=pred.b)",
        "mse + gradmatch(mse, l1, scale=1, scale=2)*l1",
        "s = learn(0, min=-1, min=-2); exp(-s)*mse + s",
        "huber(delta=1, delta=2)",
        "ramp(0, 1, steps=4, steps=5)*mse",
        "mse + mean(max(pred, dim=1, dim=2))",
        "each(ce, combine=mean, combine=mean)",
        "ce(reduction=topk(frac=0.1, frac=0.2))",
        "ce(weight=batch.w, weight=batch.v)",
    ],
)
def test_an_option_is_given_once_whatever_is_called(text: str) -> None:
    assert [found.code for found in losslang.check(text)] == ["E203"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ramp(0, 1, 100)*mse", "`ramp(0, 1, steps=100)`"),
        ("after(1000)*mse", "`after(steps=1000)`"),
        ("balance(mse, l1, shares=[1, 0])", "each entry of `shares` is a number above 0"),
        ("relobralo(mse, l1, seed=2000000)", "1048576"),
        ("(step > 1000)*mse", "`after(steps=1000)*mse`"),
        ("mse*(epoch < 3)", "`until(epochs=3)*ce`"),
        ("mse if step else l1", "`after(steps=1000)*dice`"),
        ("deep_supervision(ce)", "`each(ce, weights=halving())`"),
        ("steps/1000*mse", "did you mean `step`?"),
        ("epochs/10*mse", "did you mean `epoch`?"),
        ("sum(mse@p for p in pred)", "`each(ce)`"),
        ("mse@pred[i] for i in pred", "`each(ce)`"),
    ],
)
def test_what_was_meant(text: str, wanted: str) -> None:
    (found,) = losslang.check(text)
    assert wanted in found.fix + found.caret
