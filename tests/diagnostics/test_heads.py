"""Mappings, lists and heads that do not fit a call: the repair is read out of the message, and run."""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import losslang
from losslang.plan.operations.notices import ALREADY_GIVEN

R = torch.Generator().manual_seed(4)
MAP, TRUTH = torch.randn(2, 1, 4, 4, generator=R), torch.rand(2, 1, 4, 4, generator=R)
LOGITS, LABELS = torch.randn(2, 3, 4, 4, generator=R), torch.randint(3, (2, 4, 4), generator=R)
L1 = torch.nn.functional.l1_loss(MAP, TRUTH)
Heads = namedtuple("Heads", "depth seg")


@dataclass
class Record:
    depth: Tensor
    seg: Tensor


def refused(text: str, pred: Any, target: Any, **batch: Any) -> tuple[str, str]:
    """The code and the repair of the mistake that a call is refused for."""
    with pytest.raises(losslang.LossError) as caught:
        losslang.compile(text)(pred, target, **batch)
    (found,) = caught.value.diagnostics
    return found.code, found.fix


def offered(fix: str) -> list[str]:
    return re.findall(r"`([^`]*)`", fix)


PARTS = [
    ("l1", {"depth": MAP, "seg": LOGITS}, TRUTH, "l1@depth"),
    ("l1", {"depth": MAP}, {"depth": TRUTH}, "l1@depth"),
    ("smooth_l1(beta=2)", {"depth": MAP}, TRUTH, "smooth_l1(beta=2)@depth"),
    ("l1", Heads(MAP, LOGITS), TRUTH, "l1@depth"),
    ("l1", Record(MAP, LOGITS), TRUTH, "l1@depth"),
    ("l1", {"pred": MAP}, TRUTH, "l1@(pred.pred, target)"),
    ("l1", {"step": MAP}, TRUTH, "l1@(pred.step, target)"),
    ("l1", [MAP, LOGITS], TRUTH, "l1@(pred[0], target)"),
    ("l1", {"loss": torch.tensor(1.0), "logits": MAP}, TRUTH, "l1@logits"),
    ("l1", MAP, {"depth": TRUTH}, "l1@(pred, target.depth)"),
    ("l1", MAP, [TRUTH], "l1@(pred, target[0])"),
    ("l1@a", {"a": {"x": MAP}}, TRUTH, "l1@a.x"),
    ("l1@a", {"a": MAP}, {"a": {"x": TRUTH}}, "l1@(pred.a, target.a.x)"),
    ("l1(target=batch.t)", {"depth": MAP}, None, "l1(target=batch.t)@depth"),
]


@pytest.mark.parametrize(("text", "pred", "target", "repair"), PARTS, ids=[p[3] for p in PARTS])
def test_a_mapping_or_a_list_is_answered_with_the_term_that_reads_a_part(
    text: str, pred: Any, target: Any, repair: str
) -> None:
    code, fix = refused(text, pred, target, t=TRUTH)
    assert code == "E503"
    assert offered(fix)[0] == repair
    value = losslang.compile(repair)(pred, target, t=TRUTH)
    assert value == losslang.compile(text.replace("@a", ""))(MAP, TRUTH, t=TRUTH)


def test_inside_of_a_group_the_part_is_that_of_the_group() -> None:
    text = "(l1 + mse)@h"
    for pred, target in (({"h": {"a": MAP}}, TRUTH), ({"h": MAP}, {"h": {"a": TRUTH}})):
        while True:
            try:
                value = losslang.compile(text)(pred, target)
                break
            except losslang.LossError as error:
                (found,) = error.diagnostics
                own = text[found.span.start : found.span.end]
                text = text.replace(own, offered(found.fix)[0])
        assert value == losslang.compile("l1 + mse")(MAP, TRUTH)
        text = "(l1 + mse)@h"


def test_a_list_on_both_sides_is_repaired_one_by_one() -> None:
    code, fix = refused("l1", [MAP], [TRUTH])
    first = offered(fix)[0]
    code, fix = refused(first, [MAP], [TRUTH])
    assert (code, offered(fix)[0]) == ("E503", "l1@(pred[0], target[0])")
    assert losslang.compile("l1@(pred[0], target[0])")([MAP], [TRUTH]) == L1


def test_a_mask_or_a_weight_in_a_mapping_is_answered_with_its_path() -> None:
    mask = torch.ones(2) > 0
    for text, path in (("l1(mask=batch.m)", "batch.m.x"), ("batch.m*l1", "batch.m.x")):
        code, fix = refused(text, MAP, TRUTH, m={"x": mask})
        assert (code, offered(fix)) == ("E503", [path])
        assert losslang.compile(text.replace("batch.m", path))(MAP, TRUTH, m={"x": mask}) == L1


@pytest.mark.parametrize("key", ["my-key", 0])
def test_a_key_that_no_path_can_name_is_handed_over_as_its_part(key: Any) -> None:
    pred = {key: MAP}
    _, fix = refused("l1", pred, TRUTH)
    assert losslang.compile("l1")(eval(offered(fix)[0], {"pred": pred}), TRUTH) == L1


STEPS: list[tuple[str, Any, Callable[[str, list[str]], str]]] = [
    ("l1@depth", MAP, lambda text, found: text.replace(found[0], "")),
    ("(l1)@depth", MAP, lambda text, found: text.replace(found[0], "")),
    ("l1@a.depth", {"a": MAP}, lambda text, found: text.replace(found[1], found[0])),
    ("l1@(pred.depth, target)", MAP, lambda text, found: text.replace(found[1], found[0])),
    ("l1@(pred.a.depth, target)", {"a": MAP}, lambda text, found: text.replace(found[1], found[0])),
    ("l1@depth", [MAP], lambda text, found: text.replace(found[1], found[0])),
    ("l1@(pred.depth, target)", [MAP], lambda text, found: text.replace(found[1], found[0])),
    ("l1@(pred[0], target)", {"depth": MAP}, lambda text, found: text.replace(found[1], found[0])),
    ("l1@(pred[4], target)", [LOGITS, MAP], lambda text, found: text.replace("[4]", found[1])),
]


@pytest.mark.parametrize(
    ("text", "pred", "repaired"), STEPS, ids=[f"{s[0]} {type(s[1]).__name__}" for s in STEPS]
)
def test_a_step_that_finds_nothing_is_left_out_or_replaced(
    text: str, pred: Any, repaired: Callable[[str, list[str]], str]
) -> None:
    code, fix = refused(text, pred, TRUTH)
    assert code == "E502"
    assert losslang.compile(repaired(text, offered(fix)))(pred, TRUTH) == L1


def test_a_head_of_a_tensor_may_also_be_handed_over() -> None:
    _, fix = refused("l1@depth", MAP, TRUTH)
    assert (
        losslang.compile("l1@depth")(eval(offered(fix)[1].replace("...", "MAP"), {"MAP": MAP}), TRUTH) == L1
    )


def test_several_heads_on_one_target_are_told() -> None:
    pred, text = {"seg": LOGITS, "depth": MAP}, "ce@seg + l1@depth"
    for target in (TRUTH, LABELS, torch.rand(2, 7)):
        _, fix = refused(text, pred, target)
        assert fix.startswith(
            "2 heads read this one tensor: hand over a target for each, `{'depth': ..., 'seg': ...}`"
        )
    assert losslang.compile(text)(pred, {"depth": TRUTH, "seg": LABELS}).isfinite()
    # One head that is read by two terms is no such case.
    assert "heads" not in refused("ce@seg + dice@seg", pred, TRUTH)[1]
    assert "heads" not in refused(text, pred, {"depth": TRUTH, "seg": TRUTH})[1]


@pytest.mark.parametrize(
    ("text", "repairs"),
    [
        ("l1(avg_factor=batch.n)", ["l1(avg_factor=sum(batch.n))"]),
        ("batch.n*sqrt(mse)", ["mean(batch.n)*sqrt(mse)", "sum(batch.n)*sqrt(mse)"]),
        ("l1 + batch.n", ["l1 + mean(batch.n)", "l1 + sum(batch.n)"]),
        ("huber(delta=batch.n)", ["huber(delta=mean(batch.n))"]),
    ],
)
def test_one_number_is_made_of_a_tensor_by_what_is_printed(text: str, repairs: list[str]) -> None:
    """A count adds up: its mean would be another number, and is not offered."""
    code, fix = refused(text, MAP, TRUTH, n=torch.tensor([2.0, 3.0]))
    assert code == "E512"
    found = [one.removeprefix("avg_factor=").removeprefix("delta=") for one in offered(fix)]
    assert [text.replace("batch.n", one) for one in found] == repairs
    for repair in repairs:
        assert losslang.compile(repair)(MAP, TRUTH, n=torch.tensor([2.0, 3.0])).isfinite()


@pytest.mark.parametrize(
    ("factor", "batch"), [("batch.n", {"n": 0}), ("sum(batch.n)", {"n": torch.zeros(2)})]
)
def test_the_factor_that_is_0_is_repaired_as_it_is_written(factor: str, batch: dict[str, Any]) -> None:
    ALREADY_GIVEN.clear()
    text = f"l1(avg_factor={factor})"
    with pytest.warns(losslang.LossWarning, match="W305") as caught:
        assert losslang.compile(text)(MAP, TRUTH, **batch) == 0
    (repair,) = offered(str(caught[0].message).partition("fix:")[2])
    total = torch.nn.functional.l1_loss(MAP, TRUTH, reduction="sum")
    assert losslang.compile(f"l1({repair})")(MAP, TRUTH, **batch) == pytest.approx(float(total))
