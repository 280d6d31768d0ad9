"""Learned weights beside schedules: what holds them, and what does not."""

from __future__ import annotations

import re

import pytest

import losslang
from losslang.diagnostics.source import Source
from losslang.meaning.checker import analyze

HELD = [
    "ramp(0.1, 1, steps=4)*uncertainty(mse, l1)",
    "uncertainty(mse@a) + after(steps=1000)*uncertainty(mse@b)",
    "s = learn(0); after(steps=10)*(exp(-s)*mse + s)",
    "s = learn(0); w = after(steps=5); w*exp(-s)*mse + w*s",
    "s = learn(0); (step/1000)*(exp(-s)*mse + s)",
    "s = learn(0); after(steps=9)*exp(-s)*mse + until(steps=9)*exp(-s)*l1 + s",
    "s = learn(0, min=-5); after(steps=10)*exp(-s)*mse + s",
    "uncertainty(mse@a, ramp(0, 1, steps=1000)*mse@b)",
]
OFF = [
    "uncertainty(mse@a, after(steps=1000)*mse@b)",
    "imtl_l(mse@a, until(steps=1000)*2*mse@b, l1@c)",
    "uncertainty(mse@a, ramp(0, 1, steps=1000, start=50)*mse@b)",
    "b = after(epochs=3)*mse@b; uncertainty(mse@a, b)",
    "s = learn(0); max(0, 1 - step/100)*exp(-s)*mse + s",
]
FREE = [
    "w = 0; s = learn(0); exp(-s)*mse + w*s",
    "s = learn(0); after(steps=10)*exp(-s)*mse",
    "s = learn(0); after(steps=10)*(s - exp(-s)*mse)",
    "s = learn(0); ramp(-1, 1, steps=9)*exp(-s)*mse + ramp(-1, 1, steps=9)*s",
]


def codes(text: str, **overrides: float) -> set[str]:
    return {found.code for found in analyze(Source(text), overrides=overrides).diagnostics} & {"E355", "W344"}


@pytest.mark.parametrize("text", HELD)
def test_a_schedule_before_the_loss_and_its_price_holds(text: str) -> None:
    assert not codes(text)


@pytest.mark.parametrize("text", OFF)
def test_a_loss_that_is_turned_off_does_not_hold_its_weight(text: str) -> None:
    assert codes(text) == {"W344"}
    (found,) = (one for one in losslang.check(text) if one.code == "W344")
    (fix,) = re.findall("`(.*)`", found.fix)
    bound = "s = learn(0); " if "(-s)" in fix else ""
    assert not codes(bound + fix), fix


@pytest.mark.parametrize("text", FREE)
def test_nothing_holds_it(text: str) -> None:
    assert "E355" in codes(text)


def test_a_price_that_is_set_to_0_holds_nothing() -> None:
    assert codes("uncertainty(mse, l1)", **{"uncertainty.weight": 0}) == {"E355"}


def test_the_fix_of_a_combinator_is_its_whole_call() -> None:
    (found,) = losslang.check("imtl_l(mse@a, until(steps=9)*2*mse@b, l1@c)")
    assert "`imtl_l(mse@a, l1@c) + until(steps=9)*imtl_l(2*mse@b)`" in found.fix
