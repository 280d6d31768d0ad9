"""Combinators: what weighs whole expressions by numbers that are learned, or found in every call.

A combinator whose weights are learned says so in the language itself: L becomes `weight*L + plus`, where `s`
is a parameter of the loss, one for each argument. One whose weights are found is a function of what a call
measures: `primitives/automatic.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from losslang.primitives.decorators import DEFINED, name_of
from losslang.primitives.primitive import Primitive
from losslang.vocabulary import Tensor

WRT = "wrt"
"""The option that names the tensor at which gradients are measured."""


class Weighed(NamedTuple):
    """What a combinator makes of one argument: expressions over `s`, which starts at `start`."""

    weight: str
    plus: str
    start: float = 0.0


@dataclass(frozen=True)
class Combinator(Primitive):
    """A combinator: a function of expressions. Its function gives a Weighed, or what it computes.

    `measures` says from what of the losses its weights are found in every call; it is empty where they are
    not. It gives its arguments as weighed terms, or one weight. From call to call it keeps `rows` of one
    number a loss, of which the first `ones` start at 1 and the others at 0, and `numbers`. `clock` is the
    clock that it reads. What measures gradients has the option `wrt`, a path; `needs_wrt`: it is written.
    """

    measures: Literal["", "values", "gradients"] = ""
    rows: int = 0
    ones: int = 1
    numbers: int = 0
    clock: str = ""
    gives: Literal["terms", "weight"] = "terms"
    needs_wrt: bool = False

    @cached_property
    def option_types(self) -> dict[str, Any]:
        """The declared types of the options, or what they take in words."""
        return {**self.declared, **({WRT: "a path"} if self.measures == "gradients" else {})}

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the options that have one."""
        own = {name: self.signature.parameters[name].default for name in self.declared}
        return {**own, **({WRT: None} if WRT in self.option_types and not self.needs_wrt else {})}


def combinator(
    *,
    paper: str = "",
    measures: Literal["", "values", "gradients"] = "",
    rows: int = 0,
    ones: int = 1,
    numbers: int = 0,
    clock: str = "",
    gives: Literal["terms", "weight"] = "terms",
    needs_wrt: bool = False,
) -> Callable[[Callable[..., object]], Combinator]:
    """Registers a combinator of the language."""

    def define(function: Callable[..., object]) -> Combinator:
        made = Combinator(
            name_of(function), function, (), paper, measures, rows, ones, numbers, clock, gives, needs_wrt
        )
        DEFINED.append(made)
        return made

    return define


@combinator()
def learn(value: Tensor, *, min: float | None = None, max: float | None = None) -> Tensor:
    """A parameter of the loss that starts at `value`, held between `min` and `max`.

    It is bound to a name, which is its name in the module: `s = learn(0); exp(-s)*ce + s` has the parameter
    `learned.s`. The optimizer must be given it: `loss.param_groups()`. A weight that is learned needs a
    price: `learn(1)*ce` is smallest at minus infinity and is refused. Where a step has moved it over a bound,
    the value stays at the bound, and a gradient that leads back passes.
    """
    from losslang.tensors.bounded import held_between

    return held_between(value, min, max)


@combinator(
    paper="Kendall et al. 2018, arXiv:1705.07115, eq. 10, in the one form that LibMTL and TorchJD use"
)
def uncertainty() -> Weighed:
    """Σ (exp(-s) L + s) / 2, with s = log σ² of each learned from 0: a noisy task weighs less."""
    return Weighed("0.5*exp(-s)", "0.5*s")


@combinator(paper="Liu et al. 2021, Towards Impartial Multi-task Learning, IMTL-L")
def imtl_l() -> Weighed:
    """Σ exp(s) L - s, with s of each learned from 0: at its best every exp(s) L is 1."""
    return Weighed("exp(s)", "-s")
