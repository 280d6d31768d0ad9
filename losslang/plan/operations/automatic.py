"""Weights that a combinator finds in a call: what it measures, and what the module keeps of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from losslang.diagnostics.mistakes import automatic as mistakes
from losslang.primitives.automatic import Kept, Measured
from losslang.primitives.combinators import Combinator
from losslang.tensors.lazy import eager, torch
from losslang.tensors.targets import Site
from losslang.vocabulary import Tensor

HALF = 4096.0
"""What gradients in half precision are multiplied by as they are measured."""
PIECE = 2**20
"""Numbers of a gradient whose squares are added up at once."""


class AllReduces(Protocol):
    """The ranks of a process group, of which each has a part of the batch."""

    size: int

    def sum(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Returns each tensor summed over the ranks."""
        ...


@dataclass(frozen=True)
class Held:
    """What a module holds for one call of a combinator.

    `memory` is kept from call to call, `moves` says that this call is one of training.
    """

    memory: Tensor
    moves: bool


def found_weights(
    held: Held,
    ranks: AllReduces | None,
    epoch: Any,
    *inputs: Any,
    combinator: Combinator,
    site: Site,
    at: int,
    names: tuple[str, ...],
    number: int,
    members: tuple[int, ...],
    scales: tuple[float, ...],
    options: tuple[tuple[str, Any], ...],
) -> Tensor:
    """Returns the weights of n losses, one vector (n,).

    A call in training measures and moves what the module keeps; one without gradients, or in evaluation,
    has the weights of the last one. What is not finite moves nothing.

    `inputs` are `at` tensors at which gradients are measured, then the values of terms: term i is part of the
    loss `members[i]`, with the weight `scales[i]`. `names` are those of the losses.
    """
    losses: list[Any] = [0.0] * number
    for value, member, scale in zip(inputs[at:], members, scales, strict=True):
        losses[member] = losses[member] + value * scale
    like = next((loss for loss in losses if isinstance(loss, torch.Tensor)), held.memory)
    # Computed as precisely as the losses are, kept in single precision.
    memory = held.memory.to(like.device, torch.promote_types(held.memory.dtype, like.dtype))
    length = combinator.rows * number
    kept = Kept(memory[:length].view(-1, number), memory[length:])
    # Of ranks all go the same way: each sends, also if it has nothing to learn from.
    learns = torch.is_grad_enabled() and (ranks is not None or any(map(_asks, losses)))
    if not (held.moves and learns):
        return kept.rows[0].clone()
    norms = None
    if combinator.measures == "gradients":
        norms = _norms(losses, inputs[:at], site, memory, ranks, names)
    with torch.no_grad():
        values = torch.stack([_as_number(loss, memory) for loss in losses])
        found: Kept = combinator.function(
            Measured(values, values if norms is None else norms, epoch), kept, **dict(options)
        )
        moved = torch.cat([found.rows.flatten(), found.numbers])
        measured = values if norms is None else torch.cat([values, norms])
        moved = torch.where(torch.isfinite(measured).all(), moved, memory)
        held.memory.copy_(moved)
        return moved[:number]


def _as_number(loss: Any, memory: Tensor) -> Tensor:
    return loss.detach().to(memory) if isinstance(loss, torch.Tensor) else torch.full_like(memory[0], loss)


def found_weight(weights: Tensor, member: int) -> Tensor:
    """Returns the weight of one loss."""
    return weights[member]


def _asks(loss: Any) -> bool:
    return isinstance(loss, torch.Tensor) and loss.requires_grad


def _norms(
    losses: Sequence[Any],
    given: Sequence[Any],
    site: Site,
    memory: Tensor,
    ranks: AllReduces | None,
    names: Sequence[str],
) -> Tensor:
    """Returns the length of the gradient of each loss, all tensors as one vector."""
    if eager.is_transformed():
        raise site.error(mistakes.measures_gradients(site.span, site.term, "a transformation of torch.func"))
    if any(tensor is None for tensor in given):
        raise site.error(mistakes.not_handed_over(site.span, site.term, site.operand))
    tensors = [tensor for tensor in given if _asks(tensor)]
    rows = [_gradients(loss, tensors) for loss in losses]
    missed = [
        name
        for name, row, loss in zip(names, rows, losses, strict=True)
        if not _is_any(row) and (ranks is None or _asks(loss))
    ]
    if missed:
        raise site.error(mistakes.not_computed_from(site.span, site.term, site.operand, missed))
    if ranks is None:
        return torch.stack([_length(row, memory) for row in rows])
    # On each rank it is the gradient of the whole, times their number: by its own samples, or by its own part
    # of what all have, a parameter, whose gradients add up.
    shared = [at for at, tensor in enumerate(tensors) if isinstance(tensor, torch.nn.Parameter)]
    own = torch.stack([_length([g for at, g in enumerate(row) if at not in shared], memory) for row in rows])
    parts = [
        torch.zeros_like(tensors[at]) if row[at] is None else cast("Tensor", row[at])
        for row in rows
        for at in shared
    ]
    squares, *sums = ranks.sum([own.square(), *parts])
    width = len(shared)
    of_shared = [_length(sums[i * width : (i + 1) * width], memory) for i in range(len(rows))]
    return (squares + torch.stack(of_shared).square()).sqrt() / ranks.size


def _is_any(row: Sequence[Any]) -> bool:
    return any(gradient is not None for gradient in row)


def _gradients(loss: Any, tensors: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """Returns the gradient of a loss at each tensor; None where it is not computed from it.

    Of half precision they are measured a second time, larger, and taken from there unless that overflows: the
    mean over a large image has gradients below what float16 holds.
    """
    if not tensors or not _asks(loss):
        return [None] * len(tensors)

    def times(unit: float) -> Sequence[Tensor | None]:
        start = torch.full_like(loss, unit)
        return torch.autograd.grad(loss, tensors, start, retain_graph=True, allow_unused=True)

    plain = times(1.0)
    if not any(tensor.dtype == torch.float16 for tensor in tensors):
        return plain
    return [
        one
        if one is None or large is None
        else torch.where(large.isfinite().all(), large.float() / HALF, one.float())
        for one, large in zip(plain, times(HALF), strict=True)
    ]


def _length(gradients: Sequence[Tensor | None], memory: Tensor) -> Tensor:
    """Returns the length of gradients as one vector.

    It is summed in pieces: on a CPU torch's norm of 1e8 numbers in single precision is 0.6 % too small.
    """
    pieces: list[Tensor] = []
    for gradient in (g.detach().reshape(-1) for g in gradients if g is not None):
        for start in range(0, max(len(gradient), 1), PIECE):
            piece = gradient[start : start + PIECE].to(memory)
            pieces.append(cast("Tensor", torch.linalg.vector_norm(piece)))  # pyright: ignore
    return cast("Tensor", torch.linalg.vector_norm(torch.stack(pieces))) if pieces else memory.new_zeros(())  # pyright: ignore
