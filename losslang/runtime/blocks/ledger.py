"""Adds up the sums of blocks to totals, and cuts the gradients of totals for the blocks."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from losslang.plan.operations.sums import Sum
from losslang.runtime.blocks.cut import Block, Cut
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor


class Ledger:
    """Adds up the sums of blocks: in float64 where the device has it, counts as integers."""

    def __init__(self, cut: Cut, sums: Sequence[Sum]):
        self.cut = cut
        self.sums = sums
        self.whole: dict[int, list[Tensor]] = {}
        self.lock = threading.Lock()

    def entry(self, block: Block, parts: list[list[Tensor]]) -> list[list[Tensor]]:
        """Returns what a block adds to every sum."""
        return [
            self._values(block, i, own) if end.at is None else own
            for i, (end, own) in enumerate(zip(self.sums, parts, strict=True))
        ]

    def _values(self, block: Block, index: int, parts: list[Tensor]) -> list[Tensor]:
        """Copies the values of a step that needs all of them, as a sort does, into tensors of all blocks."""
        with self.lock:
            whole = self.whole.get(index)
            if whole is None:
                whole = [part.new_empty(self.cut.grown(tuple(part.shape), block)) for part in parts]
                self.whole[index] = whole
        for place, part in zip(whole, parts, strict=True):
            self.cut.part(place, block).copy_(part)
        return whole

    def totals(self, entries: Sequence[list[list[Tensor]]]) -> list[list[Tensor]]:
        """Returns every sum over all blocks, in the type that blocks computed it in."""
        by_sum = zip(self.sums, zip(*entries, strict=True), strict=True)
        return [[self._total(end, parts) for parts in zip(*own, strict=True)] for end, own in by_sum]

    def _total(self, end: Sum, parts: Sequence[Tensor]) -> Tensor:
        return parts[0] if end.at is None else added(self.cut, parts, end.per_sample)


def added(cut: Cut, parts: Sequence[Tensor], per_sample: bool) -> Tensor:
    """Adds up one sum over all blocks.

    `per_sample`: samples have sums of their own, which are concatenated.
    """
    if per_sample and len(parts) > 1:
        parts = [torch.cat(list(parts[i :: cut.across])) for i in range(cut.across)]
    kind = parts[0].dtype
    exact = kind if not kind.is_floating_point or parts[0].device.type == "mps" else torch.float64
    return parts[0] if len(parts) == 1 else torch.stack(list(parts)).sum(0, dtype=exact).to(kind)


def of_block(cut: Cut, end: Sum, block: Block, total: Tensor) -> Tensor:
    """Returns the part of a total, or of its cotangent, that belongs to a block, as a view."""
    if end.at is None:
        return cut.part(total, block)
    return total[block.first : block.last] if end.per_sample else total
