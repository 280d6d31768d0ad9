"""Combinators: what weighs whole expressions by parameters that are learned beside the network.

A combinator that weighs each of its arguments says so in the language itself: L becomes `weight*L + plus`,
where `s` is a parameter of the loss, one for each argument.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from losslang.primitives.decorators import DEFINED, name_of
from losslang.primitives.primitive import Primitive
from losslang.vocabulary import Tensor


class Weighed(NamedTuple):
    """What a combinator makes of one argument: expressions over `s`, which starts at `start`."""

    weight: str
    plus: str
    start: float = 0.0


@dataclass(frozen=True)
class Combinator(Primitive):
    """A combinator: a function of expressions. Its function gives a Weighed, or what it computes."""


def combinator(*, paper: str = "") -> Callable[[Callable[..., object]], Combinator]:
    """Registers a combinator of the language."""

    def define(function: Callable[..., object]) -> Combinator:
        made = Combinator(name_of(function), function, (), paper)
        DEFINED.append(made)
        return made

    return define


@combinator()
def learn(value: Tensor, *, min: float | None = None, max: float | None = None) -> Tensor:
    """A parameter of the loss that starts at `value`, held between `min` and `max`.

    It is bound to a name, which is its name in the module: `s = learn(0); exp(-s)*ce + s` has the parameter
    `learned.s`. The optimizer must be given it: `loss.param_groups()`. A weight that is learned needs a
    price: `learn(1)*ce` is smallest at minus infinity and is refused.
    """
    return value.clamp(min, max)


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
