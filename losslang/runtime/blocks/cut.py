"""Cuts the tensors of a walk into blocks: by samples first, then a sample along its first axis of space."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from typing import Any, NamedTuple

from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

Shape = Sequence[int]


class Block(NamedTuple):
    """One block: samples `first` to `last`, and the places `low` to `high` of dimension 2."""

    first: int
    last: int
    low: int
    high: int


class Cut(NamedTuple):
    """The blocks of a prediction of one shape: `samples` samples each, and `rows` places of dimension 2.

    Each has about `elements` elements; `within`: they may cut a sample.
    """

    shape: Shape
    samples: int
    rows: int
    blocks: tuple[Block, ...]
    within: bool
    elements: int

    @classmethod
    def of(cls, shape: Shape, within: bool, elements: int) -> Cut:
        """Cuts into blocks of about `elements` elements; `within` allows to cut a sample."""
        sample = max(prod(shape[1:]), 1)
        space = shape[2] if len(shape) > 2 else 1
        if sample <= elements or not within:
            samples, rows = _even(shape[0], elements // sample), space
        else:
            samples, rows = 1, _even(space, elements * space // sample)
        blocks = [
            Block(first, min(first + samples, shape[0]), low, min(low + rows, space))
            for first in range(0, shape[0], samples)
            for low in range(0, space, rows)
        ]
        return cls(shape, samples, rows, tuple(blocks), within, elements)

    def of_shape(self, shape: Shape) -> Cut:
        """Returns the cut of a prediction of another shape in the same way."""
        return Cut.of(shape, self.within, self.elements)

    @property
    def across(self) -> int:
        """The number of blocks that cut the space of the same samples; they follow each other in `blocks`."""
        space = self.shape[2] if len(self.shape) > 2 else 1
        return ceil(space / self.rows)

    def empty_block(self) -> Block:
        """Returns a block without samples."""
        return Block(0, 0, 0, self.shape[2] if len(self.shape) > 2 else 1)

    def axes(self, shape: Shape) -> tuple[int | None, int | None]:
        """Returns the axes along which a tensor of this shape is cut: by samples, and by space.

        None if it is not.

        A tensor of the prediction's rank has its axes; one of a rank less lacks the channel axis; one of rank
        1 has one number per sample. An axis of length 1 is broadcast, not cut.
        """
        rank, own = len(self.shape), len(shape)
        samples = 0 if own and shape[0] == self.shape[0] else None
        place = 2 if own == rank else 1 if own == rank - 1 else None
        if rank < 3 or place is None or shape[place] != self.shape[2]:
            return samples, None
        return samples, place

    def part(self, value: Tensor, block: Block) -> Tensor:
        """Returns the part of a tensor in a block, as a view."""
        samples, place = self.axes(tuple(value.shape))
        if samples is not None and (number := block.last - block.first) < self.shape[0]:
            value = value.narrow(samples, block.first, number)
        if place is not None and (number := block.high - block.low) < self.shape[2]:
            value = value.narrow(place, block.low, number)
        return value

    def parts(self, value: Any) -> list[Any]:
        """Returns the parts of a tensor in all blocks, as views in their order.

        Any other value for each block.
        """
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
        """Returns whether no element of a tensor of this shape lies in two blocks."""
        samples, place = self.axes(shape)
        one_slab = self.samples >= self.shape[0]
        return (samples is not None or one_slab) and (
            place is not None or len(self.shape) < 3 or self.rows >= self.shape[2]
        )

    def grown(self, shape: Shape, block: Block) -> Shape:
        """Returns the shape that a tensor has over all blocks, given its shape in one block."""
        whole = list(shape)
        whole[:1] = self.shape[:1]
        place = {len(self.shape): 2, len(self.shape) - 1: 1}.get(len(shape))
        if len(self.shape) > 2 and place is not None and block.high - block.low < self.shape[2]:
            whole[place] = self.shape[2]
        return tuple(whole)


def _split(value: Any, length: int, axis: int) -> Sequence[Tensor]:
    return value.split(length, axis)


def _even(length: int, wanted: int) -> int:
    """Returns the size of parts of about `wanted`, nearly equal, so that no small one is left at the end."""
    parts = ceil(length / max(wanted, 1))
    return ceil(length / max(parts, 1)) if length else 1
