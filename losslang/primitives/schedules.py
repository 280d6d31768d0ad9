"""Schedules: numbers that a clock moves, the optimizer's steps or the epochs.

The clock `t` is a number in an eager call on a CPU, and a 0-d tensor where torch traces or the module is on
another device: a schedule is arithmetic that takes both.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from losslang.primitives.decorators import DEFINED, is_described, name_of
from losslang.primitives.primitive import Primitive
from losslang.tensors.lazy import torch
from losslang.vocabulary import Fraction, NonNegative, Positive

UNITS = {"steps": "step", "epochs": "epoch"}
"""The options that give the length of a schedule, and the clock of each."""


@dataclass(frozen=True)
class Schedule(Primitive):
    """A schedule: a number that a clock moves. The function takes the clock first, and the option `length`.

    A program gives the length by its unit: `units` maps the options that do so to the clocks.
    """

    units: dict[str, str] = field(default_factory=dict[str, str], hash=False)

    @cached_property
    def option_types(self) -> dict[str, Any]:
        """The declared types of the options, a unit in the place of `length`."""
        own = dict(self.declared)
        length = own.pop("length")
        return {**dict.fromkeys(self.units, length), **own}

    @cached_property
    def ends(self) -> tuple[str, ...]:
        """The positional parameters of a program: all but the clock."""
        return self.parameters[1:]

    def requires(self, option: str) -> bool:
        """True for an option without a default; one of the units is needed, none of them alone."""
        return option not in self.units and super().requires(option)


def schedule(
    *, units: Mapping[str, str] = UNITS, paper: str = ""
) -> Callable[[Callable[..., Any]], Schedule]:
    """Registers a schedule: the decorated function gives the number at the time `t`.

    `t` is a number in an eager call on a CPU and a 0-d tensor elsewhere, and so may the other positional
    parameters be: the function is arithmetic that takes both. Its option `length` is written by its unit,
    `steps=` or `epochs=`, in which `t` is counted too.

    Args:
        units: The options that give the length, and the clock of each.
        paper: Where it is from.

    Raises:
        TypeError: The first parameter is not `t`, there is no option `length`, or an option has no type.

    Example:
        >>> from losslang.vocabulary import Positive
        >>> @losslang.schedule()
        ... def halved(t, a, *, length: Positive):
        ...     '''a 2^(-t / length).'''
        ...     return a * 0.5 ** (t / length)
        >>> losslang.check("halved(1, epochs=10)*ce")
        ()
    """

    def define(function: Callable[..., Any]) -> Schedule:
        made = Schedule(name_of(function), function, (), paper, units=dict(units))
        keywords = inspect.signature(function).parameters
        if made.parameters[:1] != ("t",) or "length" not in keywords:
            raise TypeError(f"schedule {made.name}: it takes the clock `t` first, and an option `length`")
        is_described(made)
        DEFINED.append(made)
        return made

    return define


def _between_0_and_1(x: Any) -> Any:
    if isinstance(x, float):
        # In every step of a training: of two comparisons one takes half the time of `max`.
        return 0.0 if x < 0.0 else min(x, 1.0)
    return x.clamp(0, 1) if isinstance(x, torch.Tensor) else min(max(x, 0.0), 1.0)


def _cos(x: Any) -> Any:
    return torch.cos(x) if isinstance(x, torch.Tensor) else math.cos(x)


@schedule()
def ramp(
    t: Any,
    a: Any,
    b: Any,
    *,
    length: Positive,
    start: NonNegative = 0.0,
    shape: Literal["linear", "cosine"] = "linear",
) -> Any:
    """a + (b - a) x, x = (t - start) / length held between 0 and 1; cosine: x = (1 - cos π x) / 2.

    `a` until `start`, `b` from `start` + `length` on. `start` is counted in the unit of the length.
    """
    x = _between_0_and_1((t - start) / length)
    if shape == "cosine":
        x = (1 - _cos(math.pi * x)) / 2
    return a + (b - a) * x


@schedule()
def after(t: Any, *, length: NonNegative) -> Any:
    """0 while t < length, then 1: `after(steps=1000)*ce` is trained from step 1000 on."""
    return 1.0 * (t >= length)


@schedule()
def until(t: Any, *, length: NonNegative) -> Any:
    """1 while t < length, then 0: the other half of `after`."""
    return 1.0 * (t < length)


@schedule(units={**UNITS, "period": "step"}, paper="Fu et al. 2019, arXiv:1903.10145")
def cyclic(t: Any, a: Any, b: Any, *, length: Positive, ratio: Fraction = 0.5) -> Any:
    """a + (b - a) x, x rises from 0 to 1 in the first `ratio` of each length and stays there; then again.

    `period=` counts optimizer steps, as `steps=` does.
    """
    passed = (t % length) / length
    # At a ratio of 0 there is no rise: a step from the very start of the period.
    x = _between_0_and_1(passed / ratio) if ratio else 1.0
    return a + (b - a) * x
