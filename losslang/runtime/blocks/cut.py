"""How the tensors of a walk are cut: samples first, and a sample along its first axis of space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

Shape = Sequence[int]
WORKERS = 8
"""Threads for which blocks grow. More get their share too: torch hands out 2^15 elements at a time."""


@dataclass(frozen=True)
class Block:
    """Samples `first` to `last`, and of their space the places `low` to `high` along dimension 2."""

    first: int
    last: int
    low: int
    high: int


@dataclass(frozen=True)
class Cut:
    """The blocks of a prediction of one shape: so many `samples` each, and `rows` of their space."""

    shape: Shape
    samples: int
    rows: int
    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, shape: Shape, across: bool, elements: int) -> Cut:
        """Blocks of about `elements` elements each; `across` allows to cut a sample."""
        sample = max(prod(shape[1:]), 1)
        space = shape[2] if len(shape) > 2 else 1
        if sample <= elements or not across:
            samples, rows = _even(shape[0], elements // sample), space
        else:
            samples, rows = 1, _even(space, elements * space // sample)
        blocks = [
            Block(first, min(first + samples, shape[0]), low, min(low + rows, space))
            for first in range(0, shape[0], samples)
            for low in range(0, space, rows)
        ]
        return cls(shape, samples, rows, tuple(blocks))

    @property
    def across(self) -> int:
        """How many blocks lie side by side in the space of the same samples; these stand one after the other."""
        space = self.shape[2] if len(self.shape) > 2 else 1
        return ceil(space / self.rows)

    def empty_block(self) -> Block:
        """No sample at all."""
        return Block(0, 0, 0, self.shape[2] if len(self.shape) > 2 else 1)

    def axes(self, shape: Shape) -> tuple[int | None, int | None]:
        """Along which axes a tensor of this shape is cut with the samples and with the space.

        A tensor of the prediction's rank lies on it; one of a rank less lacks the channel; one of
        rank 1 has a number per sample. An axis of length 1 is broadcast, not cut.
        """
        rank, own = len(self.shape), len(shape)
        samples = 0 if own and shape[0] == self.shape[0] else None
        place = 2 if own == rank else 1 if own == rank - 1 else None
        if rank < 3 or place is None or shape[place] != self.shape[2]:
            return samples, None
        return samples, place

    def part(self, value: Tensor, block: Block) -> Tensor:
        """What of a tensor lies in a block: a view."""
        samples, place = self.axes(tuple(value.shape))
        if samples is not None and (number := block.last - block.first) < self.shape[0]:
            value = value.narrow(samples, block.first, number)
        if place is not None and (number := block.high - block.low) < self.shape[2]:
            value = value.narrow(place, block.low, number)
        return value

    def parts(self, value: Any) -> list[Any]:
        """What lies in every block, in their order: views of a tensor; all else is itself."""
        number = len(self.blocks)
        if number == 1 or not isinstance(value, torch.Tensor):
            return [value] * number
        samples, place = self.axes(tuple(value.shape))
        across = self.across
        found = [value] * (number // across) if samples is None else _split(value, self.samples, samples)
        if place is None:
            return [slab for slab in found for _ in range(across)]
        return [part for slab in found for part in _split(slab, self.rows, place)]

    def visits_once(self, shape: Shape) -> bool:
        """Whether no element of a tensor of this shape lies in two blocks."""
        samples, place = self.axes(shape)
        one_slab = self.samples >= self.shape[0]
        return (samples is not None or one_slab) and (
            place is not None or len(self.shape) < 3 or self.rows >= self.shape[2]
        )

    def grown(self, shape: Shape, block: Block) -> Shape:
        """The whole shape of what has this shape in a block."""
        whole = list(shape)
        whole[:1] = self.shape[:1]
        place = {len(self.shape): 2, len(self.shape) - 1: 1}.get(len(shape))
        if len(self.shape) > 2 and place is not None and block.high - block.low < self.shape[2]:
            whole[place] = self.shape[2]
        return tuple(whole)


def _split(value: Any, length: int, axis: int) -> Sequence[Tensor]:
    return value.split(length, axis)


def _even(length: int, wanted: int) -> int:
    """The size of parts of about `wanted`, as even as they get: no small one at the end."""
    parts = ceil(length / max(wanted, 1))
    return ceil(length / max(parts, 1)) if length else 1


def workers() -> int:
    """How many threads share a block."""
    return min(torch.get_num_threads(), WORKERS)
