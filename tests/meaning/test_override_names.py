"""An override whose name is not there (E108): the nearest names are offered, and each of them works."""

from __future__ import annotations

import re

import pytest

import losslang
from losslang.diagnostics.source import Source
from losslang.meaning.checker import analyze

LONG = "mse + l1 + dice(sigmoid) + huber + smooth_l1 + focal(sigmoid) + tversky(sigmoid)"


def fix(text: str, name: str) -> str:
    (found,) = analyze(Source(text), overrides={name: 1.0}).diagnostics
    assert found.code == "E108"
    return found.fix


@pytest.mark.parametrize(
    ("text", "name", "meant"),
    [
        ("ce@seg", "ce.weight", "ce.seg.weight"),
        ("ce@seg", "seg.weight", "ce.seg.weight"),
        ("ce@seg", "ce@seg.weight", "ce.seg.weight"),
        ("ce@seg", "ce", "ce.seg.weight"),
        ("ce@seg[0]", "ce.seg[0].weight", "ce.seg.0.weight"),
        ("seg = ce + dice; seg", "dice.smooth", "seg/dice.smooth"),
        ("seg = ce + dice; seg", "dise.smooth", "seg/dice.smooth"),
        ("seg = ce + dice; seg", "seg.smooth", "seg/dice.smooth"),
        ("seg = ce + dice; seg", "seg/dice.smoth", "seg/dice.smooth"),
        ("gamma = 2; focal(softmax, gamma=gamma)", "gama", "gamma"),
        ("w = 0.5; w*l1", "W", "w"),
        ("mse + l1", "mes.weight", "mse.weight"),
        ("mse@a + mse@b", "mse.weight", "mse.a.weight mse.b.weight"),
    ],
)
def test_what_was_meant_is_offered_and_works(text: str, name: str, meant: str) -> None:
    offered = re.findall("`([^`]+)`", fix(text, name))
    assert " ".join(offered) == meant
    assert analyze(Source(text), overrides=dict.fromkeys(offered, 1.0)).meaning is not None


def test_no_more_than_six_names_are_listed() -> None:
    assert fix(LONG, "zz") == (
        "what can be set here: `mse.weight`, `l1.weight`, `dice.weight`, `dice.smooth`, `dice.eps`, "
        "`dice.squared`, and 11 more"
    )
    assert fix("dice(sigmoid) + mse", "mse.gamma").startswith("what can be set here: `mse.weight`, ")
    assert fix("pred.loss_a", "alpha") == "what can be set here: `pred.loss_a.weight`"


@pytest.mark.parametrize("name", ["seg.weight", "seg"])
def test_a_named_sum_has_no_weight_of_its_own(name: str) -> None:
    text = "seg = ce + dice; 0.5*seg + mse@depth"
    told = fix(text, name)
    assert told.startswith("a sum has no weight of its own; bind a number and set that")
    bound, used = told.rpartition(": ")[2].strip("`").split("; ")
    loss = losslang.compile(f"seg = ce + dice; {bound}; {used}", overrides={"w_seg": 2})
    assert loss.fingerprint == losslang.compile("2*ce + 2*dice").fingerprint
