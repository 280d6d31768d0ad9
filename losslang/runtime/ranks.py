"""The ranks of a process group, of which each has a part of the batch and all have the value of the whole.

Every rank computes the value V of the whole batch from its own part and what the others send, and takes the
gradient of R V, R the number of ranks, by its own part alone. The mean over the ranks, which
DistributedDataParallel takes of the gradients, is (1 / R) Σ_r R ∂V/∂part_r: that of one process on the whole
batch. Nothing is sent in a backward pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import norms as mistakes
from losslang.diagnostics.source import Source
from losslang.meaning.ranks import gathered_paths, why_not_over_ranks
from losslang.plan.operations.call import as_tensor, fetch
from losslang.runtime.compiled import Programs
from losslang.runtime.elements import ByElements, closed, executor_of
from losslang.runtime.executor import Executor
from losslang.runtime.program import ROOTS
from losslang.tensors.devices import widest


def refuse_whole(programs: Programs) -> None:
    """Raises LossError with every trained term that has no value over ranks."""
    meaning, registry = programs.meaning, programs.registry
    found = [(term, why_not_over_ranks(term, registry)) for term in programs.denominators.terms]
    wrong = [mistakes.not_over_ranks(t.span, t.name, why).at(meaning.source) for t, why in found if why]
    if wrong:
        raise LossError(wrong)


class Ranks:
    """The ranks of a process group, as the steps of a plan see them."""

    def __init__(self, group: Any, source: Source):
        self.group: Any = None if group is True else group
        has_group = dist.is_available() and dist.is_initialized()
        self.size = dist.get_world_size(self.group) if has_group else -1
        if self.size < 0:
            raise LossError([mistakes.no_rank(source.whole, has_group).at(source)])

    def sum(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Returns each tensor summed over the ranks, by one all-reduce; of booleans, whether any is true."""
        kind = widest(next((part for part in parts if part.is_floating_point()), parts[0]))
        packed = torch.cat([part.detach().to(kind).reshape(-1) for part in parts])
        dist.all_reduce(packed, group=self.group)  # pyright: ignore[reportUnknownMemberType]
        sums = _split(packed, [part.numel() for part in parts])
        return [self._of(part, total.reshape(part.shape)) for part, total in zip(parts, sums, strict=True)]

    def _of(self, part: Tensor, total: Tensor) -> Tensor:
        if part.dtype == torch.bool:
            return total > 0
        return self.whole(part, total.to(part.dtype)) if part.is_floating_point() else total

    def whole(self, part: Tensor, total: Tensor) -> Tensor:
        """Returns a value of all ranks whose gradient is that of a part, times the number of ranks."""
        return cast("Tensor", _Whole.apply(part, total, self.size)) if part.requires_grad else total  # pyright: ignore

    def rows(self, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the rows of each tensor on all ranks, in their order: two all-gathers, of sizes and of rows.

        Raises ValueError if the rows of one differ between the ranks in size.
        """
        parts = list(named.values())
        widths = [prod(part.shape[1:]) * part.element_size() for part in parts]
        sizes = torch.tensor([[len(part), width] for part, width in zip(parts, widths, strict=True)])
        numbers = torch.stack(self._gather(sizes.to(parts[0].device)))
        shapes = cast("list[list[list[int]]]", numbers.tolist())  # pyright: ignore[reportUnknownMemberType]
        for index, name in enumerate(named):
            if len({rank[index][1] for rank in shapes}) > 1:
                raise ValueError(f"the rows of `{name}` differ in size between the ranks")
        lengths = [[rows * width for rows, width in rank] for rank in shapes]
        everyone = self._bytes(parts, lengths)
        mine = dist.get_rank(self.group)
        return {
            name: torch.cat(
                [
                    self.whole(part, part.detach()) if rank == mine else _read(found[index], part)
                    for rank, found in enumerate(everyone)
                ]
            )
            for index, (name, part) in enumerate(named.items())
        }

    def _bytes(self, parts: Sequence[Tensor], lengths: Sequence[Sequence[int]]) -> list[list[Tensor]]:
        """Returns the bytes of each tensor of each rank, given how many there are."""
        own = [part.detach().contiguous().reshape(-1).view(torch.uint8) for part in parts]
        longest = max(map(sum, lengths))
        fill = own[0].new_zeros(longest - sum(map(len, own)))
        found = zip(self._gather(torch.cat([*own, fill])), lengths, strict=True)
        return [_split(row[: sum(length)], length) for row, length in found]

    def _gather(self, own: Tensor) -> list[Tensor]:
        found = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(found, own, group=self.group)  # pyright: ignore[reportUnknownMemberType]
        return found


def _split(flat: Tensor, lengths: Sequence[int]) -> list[Tensor]:
    return list(torch.split(flat, list(lengths)))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def _read(found: Tensor, like: Tensor) -> Tensor:
    """Returns bytes of another rank as rows of a tensor."""
    return found.clone().view(like.dtype).reshape(-1, *like.shape[1:])


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, total: Tensor, size: int) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.size = size
        return total.clone()

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad_output * ctx.size, None, None


def gathered_rows(
    programs: Programs, executor: Executor | ByElements, roots: Sequence[Any], ranks: Ranks
) -> dict[str, Any]:
    """Returns the tensors of a call whose rows on all ranks its program reads, by their paths."""
    steps = executor_of(executor, roots).gathered
    if not steps:
        return {}
    paths = gathered_paths(closed(executor, programs.meaning, roots), programs.registry)
    found = {
        text: as_tensor(fetch(roots[ROOTS.index(paths[text].root)], paths[text], cast("Any", step.site)))
        for text, step in steps.items()
    }
    named = {text: value for text, value in found.items() if isinstance(value, Tensor) and value.ndim}
    return {**found, **ranks.rows(named)} if named else found
