"""The totals of a walk, and what of their gradients belongs to a block."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.blocks.cut import Block, Cut
from losslang.blocks.sums import Sum
from losslang.lazy import torch
from losslang.vocabulary import Tensor


class Ledger:
    """Adds up the parts of blocks: in float64 where the device has it, counts as integers."""

    def __init__(self, cut: Cut, sums: Sequence[Sum]):
        self.cut = cut
        self.sums = sums
        self.accounts: list[list[Tensor]] = []
        self.kinds: list[list[torch.dtype]] = []

    def add(self, block: Block, parts: Sequence[Sequence[Tensor]]) -> None:
        """Enters what a block adds to each sum."""
        if not self.accounts:
            self.kinds = [[part.dtype for part in own] for own in parts]
            self.accounts = [
                [self._opened(end, block, part) for part in own]
                for end, own in zip(self.sums, parts, strict=True)
            ]
        for end, accounts, own in zip(self.sums, self.accounts, parts, strict=True):
            for account, part in zip(accounts, own, strict=True):
                place = of_block(self.cut, end, block, account)
                if end.at is None:
                    place.copy_(part)
                else:
                    place.add_(part)

    def _opened(self, end: Sum, block: Block, part: Tensor) -> Tensor:
        shape = tuple(part.shape)
        if end.at is None:
            return part.new_empty(self.cut.grown(shape, block))
        if end.per_sample:
            shape = (self.cut.shape[0], *shape[1:])
        kind = part.dtype
        if kind.is_floating_point:
            kind = torch.float32 if part.device.type == "mps" else torch.float64
        return torch.zeros(shape, dtype=kind, device=part.device)

    def totals(self) -> list[list[Tensor]]:
        """The sums of all blocks, in the type of the parts."""
        return [
            [account.to(kind) for account, kind in zip(accounts, kinds, strict=True)]
            for accounts, kinds in zip(self.accounts, self.kinds, strict=True)
        ]


def of_block(cut: Cut, end: Sum, block: Block, total: Tensor) -> Tensor:
    """What of a total, or of its gradient, belongs to a block: a view."""
    if end.at is None:
        return cut.part(total, block)
    return total[block.first : block.last] if end.per_sample else total
