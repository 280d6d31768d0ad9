"""Repeats: `each` computes a body for every element of lists, `matryoshka` for prefixes of embeddings."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from losslang.primitives.decorators import DEFINED
from losslang.primitives.primitive import Primitive
from losslang.vocabulary import Positive

LIMIT = 256
"""Elements that a list has at most."""


Dims = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]


@dataclass(frozen=True)
class Repeat(Primitive):
    """A word that computes a body several times. Its function holds the options and the page alone.

    `words` are the types of the options that a reader of its own reads.
    """

    words: dict[str, str] = field(default_factory=dict[str, str], hash=False)

    @cached_property
    def option_types(self) -> dict[str, Any]:
        """The declared types of the options, or what they take in words."""
        return {**self.declared, **self.words}


class Levels(Primitive):
    """Weights of the elements of `each`, first to last: the function takes their number."""


WEIGHTS = "a list of numbers and schedules"


def each(
    body: Any,
    *,
    over: Any = None,
    weights: Any = None,
    combine: Literal["sum", "mean", "min", "max"] = "sum",
    per: Literal["sample", "place", "element"] | None = None,
    resize: Literal["nearest", "area"] | None = None,
) -> None:
    """Σ w_i body_i: inside of the body `pred` and `target` are one element of the lists.

    `over=[pred, target]`, as it is if nothing is written, goes through both, lists or mappings with the same
    keys; with `over=pred` the target stays whole. `combine=mean` divides the sum by the number of elements.
    `combine=min` takes, before the reduction, the smallest of the whole body over the elements, `per=sample`,
    `place` or `element`: what is masked in one element does not compete there, in all it does not count.
    `resize=nearest` (labels) or `area` (floats) brings the target to the size of each prediction.
    `weights=halving()` is heaviest at the first element, `decay(0.8)` at the last.
    """


def matryoshka(body: Any, *, dims: Dims, weights: Any = None) -> None:
    """Σ w_d body_d: the losses of embeddings in the body read the first d numbers of each, for d in dims.

    All weights are 1 if none are written, as in sentence-transformers.
    """


def halving(
    number: int, *, drop_last: Annotated[int, Field(ge=0)] = 0, normalize: bool = False
) -> list[float]:
    """1/2^i for the element i = 0, 1, ...: the first is the heaviest, as in nnU-Net.

    `drop_last=1` leaves the last element out; `normalize=true` divides by the sum of what is left.
    """
    kept = [0.5**i for i in range(max(number - drop_last, 0))]
    return [weight / sum(kept) for weight in kept] if normalize else kept


def decay(number: int, gamma: Positive) -> list[float]:
    """gamma^(n - 1 - i) for the element i of n: the last weighs 1 and is the heaviest, as in RAFT."""
    return [gamma ** (number - 1 - i) for i in range(number)]


for _made in (
    Repeat(
        "each",
        each,
        words={
            "over": "a path, or `[pred_path, target_path]`",
            "weights": f"{WEIGHTS}, `halving(...)`, or `decay(...)`",
        },
    ),
    Repeat("matryoshka", matryoshka, words={"weights": f"{WEIGHTS}, one for each of `dims`"}),
    Levels("halving", halving),
    Levels("decay", decay),
):
    DEFINED.append(_made)
