"""Keywords that nothing reads: told once where the name expects an effect, else ignored without a word."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
import torch

import losslang
from losslang.plan.operations.notices import ALREADY_GIVEN
from losslang.runtime.compiled import _understood

LOGITS, LABELS = torch.randn(4, 3, generator=torch.Generator().manual_seed(2)), torch.tensor([0, 1, 2, 0])
TRUTH = torch.tensor([[0.0, 1, 1]] * 4)


@pytest.fixture(autouse=True)
def nothing_told() -> None:
    ALREADY_GIVEN.clear()
    _understood.cache_clear()


def told(text: str, target: Any, pred: Any = LOGITS, **batch: Any) -> list[str]:
    """The warnings of three calls, each as its lines."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loss = losslang.compile(text)
        for _ in range(3):
            loss(pred, target, **batch)
    return [str(w.message) for w in caught if "W320" in str(w.message)]


@pytest.mark.parametrize(
    ("text", "target", "batch", "fix"),
    [
        ("ce", LABELS, {"num_items_in_batch": 7}, "ce(avg_factor=batch.num_items_in_batch)"),
        ("ce + dice(batch=true)", LABELS, {"weights": torch.ones(4)}, "ce(weight=batch.weights)"),
        (
            "0.5*bce(sigmoid)",
            TRUTH,
            {"pos_weight": torch.ones(3)},
            "bce(sigmoid, pos_weight=batch.pos_weight)",
        ),
        ("ce", LABELS, {"class_weights": torch.ones(3)}, "ce(class_weight=batch.class_weights)"),
        ("ce", LABELS, {"mask": LABELS > 0}, "ce(mask=batch.mask)"),
        (
            "ce(channels=last)",
            LABELS,
            {"num_items_in_batch": 7},
            "ce(channels=last, avg_factor=batch.num_items_in_batch)",
        ),
        (
            "s = 0.1; dice(softmax, batch=true) + ce(label_smoothing=s)",
            LABELS,
            {"n": 7},
            "dice(softmax, batch=true, avg_factor=batch.n)",
        ),
        (
            "s = 0.1; ce(label_smoothing=s,)",
            LABELS,
            {"n_valid": 7},
            "ce(label_smoothing=s, avg_factor=batch.n_valid)",
        ),
        ("ce", LABELS, {"valid": LABELS > 0}, "ce(mask=batch.valid)"),
        ("ce", LABELS, {"token_mask": LABELS > 0}, "ce(mask=batch.token_mask)"),
        ("ce", LABELS, {"valid_pixels": LABELS > 0}, "ce(mask=batch.valid_pixels)"),
        ("ce", LABELS, {"mask_2d": LABELS > 0}, "ce(mask=batch.mask_2d)"),
        ("ce", LABELS, {"pixel_weights": torch.ones(4)}, "ce(weight=batch.pixel_weights)"),
        ("ce", LABELS, {"weight": torch.ones(3)}, "ce(class_weight=batch.weight)"),
        ("mse(softmax)", TRUTH, {"weight": torch.ones(4)}, "mse(softmax, weight=batch.weight)"),
        ("ce", LABELS, {"ignore_index": 2}, "ce(ignore_index=2)"),
        ("ce", LABELS, {"reduction": "sum"}, "ce(reduction=sum)"),
        (
            "seg = mse(softmax); seg",
            TRUTH,
            {"sample_weight": torch.ones(4)},
            "mse(softmax, weight=batch.sample_weight)",
        ),
    ],
)
def test_a_name_that_expects_an_effect_is_told_once(
    text: str, target: Any, batch: dict[str, Any], fix: str
) -> None:
    (found,) = told(text, target, **batch)
    (name,) = batch
    assert f"`{name}` is handed over, and the program does not read `batch.{name}`" in found
    assert f"fix: `{fix}`" in found


def test_the_head_is_in_the_repair() -> None:
    with pytest.warns(
        losslang.LossWarning, match=r"fix: `ce\(label_smoothing=0\.1, mask=batch\.valid\)@seg`"
    ):
        losslang.compile("ce(label_smoothing=0.1)@seg + 0*mse")({"seg": LOGITS}, LABELS, valid=LABELS > 0)


def test_the_repair_does_what_the_name_says() -> None:
    (found,) = told("ce", LABELS, num_items_in_batch=8)
    repair = re.search(r"fix: `([^`]*)`", found)
    assert repair is not None
    value = losslang.compile(repair[1])(LOGITS, LABELS, num_items_in_batch=8)
    torch.testing.assert_close(value, torch.nn.functional.cross_entropy(LOGITS, LABELS, reduction="sum") / 8)
    assert told(repair[1], LABELS, num_items_in_batch=8) == []


def test_an_option_that_no_loss_takes_has_no_repair() -> None:
    (found,) = told("mse(softmax)", TRUTH, class_weight=torch.ones(3))
    assert "no loss of this program takes `class_weight`: leave the keyword out" in found


@pytest.mark.parametrize(
    ("text", "target", "batch", "says"),
    [
        ("ce(mask=batch.a)", LABELS, {"a": LABELS > 0, "valid": LABELS > 0},
         "`mask=batch.a` is written already: leave the keyword out, or did you mean `a=`?"),
        ("ce(mask=batch.a)@x + ce(mask=batch.b)@x", {"x": LABELS}, {"a": LABELS > 0, "b": LABELS > 0, "mask": LABELS},
         "`mask=batch.a`, `mask=batch.b` is written already: leave the keyword out, or did you mean `a=` or `b=`?"),
        ("ce(reduction=sum)", LABELS, {"reduction": "mean"}, "`reduction=sum` is written already: leave"),
        ("ce(class_weight=[1, 2, 3])", LABELS, {"class_weights": torch.ones(3)}, "`class_weight=[1, 2, 3]` is written"),
        ("ce(avg_factor=batch.k)", LABELS, {"k": 3, "num_items": 4}, "or did you mean `k=`?"),
        # misspelled
        ("ce(mask=batch.ok)", LABELS, {"ok": LABELS > 0, "vaild": LABELS > 0}, "did you mean `valid=`? `mask=batch.ok` is"),
        ("ce", LABELS, {"vaild": LABELS > 0}, "did you mean `valid=`? `ce(mask=batch.vaild)`"),
        ("ce", LABELS, {"wieght": torch.ones(4)}, "did you mean `weight=`? `ce(weight=batch.wieght)`"),
    ],
)  # fmt: skip
def test_a_keyword_in_vain_is_told_why(text: str, target: Any, batch: dict[str, Any], says: str) -> None:
    pred = {"x": LOGITS} if isinstance(target, dict) else LOGITS
    (found,) = told(text, target, pred=pred, **batch)
    assert says in found


def test_a_keyword_that_is_nearly_one_that_is_read_is_told() -> None:
    with pytest.raises(losslang.LossError, match=r"`batch\.teacher` is read here"):
        losslang.compile("kd(target=batch.teacher)")(LOGITS, teahcer=LOGITS)
    assert (
        told("ce", LABELS, values=1, mark=LOGITS, image=LOGITS, id=3, height=5, weeks=2, label=LABELS) == []
    )


def test_what_is_read_and_what_expects_nothing_is_not_told() -> None:
    assert told("ce(mask=batch.mask)", LABELS, mask=LABELS > 0) == []
    assert told("ce(weight=batch.weights[0])", LABELS, weights=[torch.ones(4)]) == []
    assert told("ce + metric(ce(mask=batch.mask))", LABELS, mask=LABELS > 0) == []
    assert told("ce", LABELS, image=LOGITS, step=3, attention_mask=LABELS) == []


def test_detail_and_terms_tell_it_too() -> None:
    for method in ("detail", "terms"):
        ALREADY_GIVEN.clear()
        _understood.cache_clear()
        loss = losslang.compile("ce")
        with pytest.warns(losslang.LossWarning, match="W320"):
            getattr(loss, method)(LOGITS, LABELS, weight=2.0)


def test_torch_compile_is_told_nothing() -> None:
    torch.compiler.reset()
    loss = losslang.compile("ce")
    with warnings.catch_warnings():
        warnings.simplefilter("error", losslang.LossWarning)
        found = torch.compile(loss, fullgraph=True, backend="eager")(LOGITS, LABELS, weight=torch.ones(4))
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(LOGITS, LABELS))
