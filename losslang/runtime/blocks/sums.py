"""The sums that end a walk: their part of a block, and the arithmetic on the totals (combine).

A loss or a reduction sums by one call of `total`. The arguments of `total` are computed block by block and
added up; the rest of the function runs once, on a block without elements and with the totals of all blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from losslang.plan.operations.regions import Region, finished, region_sums
from losslang.plan.plan import Step
from losslang.registry import Registry
from losslang.runtime.binding import bound, region
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor


@dataclass(frozen=True)
class Sum:
    """A step that ends a walk.

    `at` is the position of `total`; None for a step that needs all values, as a sort.
    """

    function: Callable[..., Any]
    at: int | None
    over: Region
    is_loss: bool

    @classmethod
    def of(cls, step: Step, registry: Registry) -> Sum:
        function, at = bound(step, registry)
        over = Region(0) if at is None else region(step, registry)
        return cls(function, at, over, step.kind == "loss")

    @property
    def per_sample(self) -> bool:
        """Whether every sample has a sum of its own."""
        return self.over.keep > 0 and not self.over.batch

    def part(self, arguments: Sequence[Any]) -> list[Tensor]:
        """Returns the sums of a block; with a mask the number of unmasked elements too, last.

        For a step that needs all values: every argument that is a tensor.
        """
        if self.at is None:
            shape = arguments[0].shape
            return [value.expand(shape) for value in arguments if isinstance(value, torch.Tensor)]
        parts, mask = self.handed(arguments)
        sums, count = region_sums(mask, self.over.keep, self.over.batch, parts)
        return sums if mask is None else [*sums, count]

    def number(self, shape: Sequence[int]) -> int:
        """Returns how many elements of a tensor of this shape each sum has, if nothing is masked."""
        return max(prod(shape[self.over.keep :]) * (shape[0] if self.over.batch else 1), 1)

    def combine(self, arguments: Sequence[Any], totals: Sequence[Tensor], number: int) -> Any:
        """Returns the value of the step, given the totals of all blocks and arguments without elements.

        `number`: how many elements each sum has if nothing is masked.
        """
        if self.at is None:
            left = iter(totals)
            return self.function(*(next(left) if isinstance(v, torch.Tensor) else v for v in arguments))

        is_called = False

        def total(*parts: Any) -> tuple[Any, ...]:
            nonlocal is_called
            if is_called:
                raise TypeError(f"{self.function} calls `total` twice: hand it all that is summed at once")
            is_called = True
            length = sum(isinstance(part, torch.Tensor) for part in parts)
            count = number if mask is None else totals[length]
            return finished(parts, totals[:length], count, self.over, masked=mask is not None)

        given, mask = self._given(arguments, total)
        return self.function(*given)

    def _given(self, arguments: Sequence[Any], total: Callable[..., Any]) -> tuple[list[Any], Any]:
        """Returns the arguments of the function, with `total`, and the mask of a loss, its last input."""
        given = list(arguments)
        if not self.is_loss:
            return [*given, total], None
        mask = given.pop()
        given[self.at or 0] = total
        return given, mask

    def handed(self, arguments: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
        """Calls the function up to its call of `total`; returns the arguments of that, and the mask."""
        given, mask = self._given(arguments, _hand_over)
        try:
            self.function(*given)
        except _HandedOverError as handed:
            return handed.parts, mask
        raise TypeError(f"{self.function} takes `total` and does not call it")


class _HandedOverError(Exception):
    """Leaves a function at its call of `total`, with the arguments of that."""

    def __init__(self, parts: tuple[Any, ...]):
        self.parts = parts


def _hand_over(*parts: Any) -> Any:
    raise _HandedOverError(parts)
