"""Denominators over the ranks of a process group, so that DDP's mean of gradients is that of the whole batch.

Of R ranks each computes a part of every term: its own sum over N / R, N the denominator of all ranks. The
mean over the ranks, which DistributedDataParallel takes of the gradients, is
(1 / R) Σ_r sum_r / (N / R) = Σ_r sum_r / N. N reads no prediction, so that nothing is differentiated through
the one all-reduce of the vector of counts.
"""

from __future__ import annotations

from typing import Any

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import norms as mistakes
from losslang.meaning.splitting import SUMS, counted_use, why_not_counted, why_not_split
from losslang.runtime.compiled import Programs
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor


def refuse_whole(programs: Programs) -> None:
    """Raises LossError with every term that is no sum over samples, or whose count needs the prediction."""
    meaning, registry = programs.meaning, programs.registry
    wrong: list[Any] = []
    for term in programs.denominators.terms:
        why = why_not_split(term, registry) or why_not_counted(term, registry)
        use = counted_use(term.body)
        if use is not None and use.get("avg_factor") is None and use.reduction.name in SUMS:
            why = why or "ranks are averaged, and a sum is not"
        if why:
            wrong.append(mistakes.not_over_ranks(term.span, term.name, why).at(meaning.source))
    if wrong:
        raise LossError(wrong)


def norm_over_ranks(counts: Tensor, group: Any) -> Tensor | None:
    """Returns the denominators of all ranks over their number, by one all-reduce; None for one rank alone."""
    distributed = torch.distributed
    own = None if group is True else group
    ranks = distributed.get_world_size(own)
    if ranks == 1:
        return None
    distributed.all_reduce(counts, group=own)  # pyright: ignore[reportUnknownMemberType]
    return counts / ranks
