"""Steps that sum, in two halves: their part of a block or of a rank, and the arithmetic on the totals (combine).

A loss or a reduction sums by one call of `total`. The arguments of `total` are computed part by part and
added up; the rest of the function runs once, on tensors without elements and with the totals of all parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from losslang.plan.operations.regions import Region, finished, region_sums
from losslang.tensors.devices import widest
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor


class Parts(NamedTuple):
    """The sums of a step over a part of a batch, how many elements each has, and the rest of the step.

    `finish` returns the value of the step, and how many elements are behind each number of it.
    """

    sums: list[Tensor]
    number: Tensor
    finish: Callable[[list[Tensor], Tensor], tuple[Any, Tensor]]


@dataclass(frozen=True)
class Sum:
    """A step that sums: it ends a walk, or computes its part of a batch.

    `at` is the position of `total`; None for a step that needs all values, as a sort. `is_parted`: its value
    are Parts, whose sums other ranks add to.
    """

    function: Callable[..., Any]
    at: int | None
    over: Region
    is_loss: bool
    is_parted: bool = False
    options: frozenset[int] = frozenset()
    """The arguments that are options: tensors of one number, or numbers."""

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
            return [arguments[place].expand(shape) for place in self._summed(arguments)]
        parts, mask = self.handed(arguments)
        sums, count = region_sums(mask, self.over.keep, self.over.batch, parts)
        return sums if mask is None else [*sums, count]

    def _summed(self, arguments: Sequence[Any]) -> list[int]:
        """Returns the places of the arguments that are tensors, and no options."""
        tensors = (i for i, value in enumerate(arguments) if isinstance(value, torch.Tensor))
        return [place for place in tensors if place not in self.options]

    def number(self, shape: Sequence[int]) -> int:
        """Returns how many elements of a tensor of this shape each sum has, if nothing is masked."""
        return max(prod(shape[self.over.keep :]) * (shape[0] if self.over.batch else 1), 1)

    def combine(self, arguments: Sequence[Any], totals: Sequence[Tensor], number: int) -> Any:
        """Returns the value of the step, given the totals of all blocks and arguments without elements.

        `number`: how many elements each sum has if nothing is masked.
        """
        if self.at is None:
            left, summed = iter(totals), self._summed(arguments)
            return self.function(*(next(left) if i in summed else v for i, v in enumerate(arguments)))
        rest = self._parts if self.is_parted else self._value
        return rest(arguments, totals, number)

    def parted(self, *arguments: Any) -> Parts:
        """Returns the Parts of a step, given its arguments over all elements."""
        parts, mask = self.handed(arguments)
        sums, number = region_sums(mask, self.over.keep, self.over.batch, parts)
        empty = [v[:0] if isinstance(v, torch.Tensor) and v.ndim else v for v in arguments]
        if mask is not None:
            return self._parts(empty, [*sums, number], 0)
        # Of nothing it is 0: another rank may have elements.
        shape = parts[0].shape
        return self._parts(empty, sums, prod(shape[self.over.keep :]) * (shape[0] if self.over.batch else 1))

    def _parts(self, arguments: Sequence[Any], totals: Sequence[Tensor], number: Any) -> Parts:
        """Returns the Parts, given the totals, and arguments without elements.

        Whether there is a mask makes no difference: another rank may have one.
        """
        has_mask = arguments[-1] is not None
        sums, number = (totals[:-1], totals[-1]) if has_mask else (totals, number)
        like = sums[0]
        number = torch.as_tensor(number, dtype=widest(like), device=like.device).expand(like.shape)

        def finish(whole: list[Tensor], number: Tensor) -> tuple[Any, Tensor]:
            masked = [*arguments[:-1], True]
            value = self._value(masked, [*whole, number.to(whole[0].dtype)], 0)
            # Of a value of several sums, such as those of all classes, any may have elements.
            return value, number.flatten(value.ndim).amax(-1) if number.ndim > value.ndim else number

        return Parts(list(sums), number, finish)

    def _value(self, arguments: Sequence[Any], totals: Sequence[Tensor], number: int) -> Any:
        """Returns the value of the step by one call of its function, whose `total` gives the totals."""
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
