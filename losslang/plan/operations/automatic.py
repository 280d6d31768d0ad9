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
"""What gradients in half precision are multiplied by as they are measured: the mean over a large image has
gradients below what float16 holds."""


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
    is_named: bool,
    members: tuple[int, ...],
    scales: tuple[float, ...],
    options: tuple[tuple[str, Any], ...],
) -> Tensor:
    """Returns the weights of n losses, one vector (n,).

    A call in training measures and moves what the module keeps; one without gradients, or in evaluation,
    has the weights of the last one. What is not finite moves nothing.

    `inputs` are `at` tensors at which gradients are measured, then the values of terms: term i is part of the
    loss `members[i]`, with the weight `scales[i]`.
    """
    number = max(members) + 1
    losses: list[Any] = [0.0] * number
    for value, member, scale in zip(inputs[at:], members, scales, strict=True):
        losses[member] = losses[member] + value * scale
    like = next((loss for loss in losses if isinstance(loss, torch.Tensor)), held.memory)
    # Computed as precisely as the losses are, kept in single precision.
    memory = held.memory.to(like.device, torch.promote_types(held.memory.dtype, like.dtype))
    length = combinator.rows * number
    kept = Kept(memory[:length].view(-1, number), memory[length:])
    learns = torch.is_grad_enabled() and any(_asks(loss) for loss in losses)
    if not (held.moves and learns):
        return kept.rows[0].clone()
    norms = None
    if combinator.measures == "gradients":
        norms = _norms(losses, inputs[:at], site, memory, ranks, is_named=is_named)
    with torch.no_grad():
        values = torch.stack([torch.as_tensor(loss, device=memory.device).to(memory) for loss in losses])
        time = torch.as_tensor(0 if epoch is None else epoch, device=memory.device).to(memory)
        measured = Measured(values.detach(), values if norms is None else norms, time)
        found: Kept = combinator.function(measured, kept, **dict(options))
        moved = torch.cat([found.rows.flatten(), found.numbers])
        is_sound = torch.isfinite(measured.values).all() & torch.isfinite(measured.norms).all()
        moved = torch.where(is_sound, moved, memory)
        held.memory.copy_(moved)
        return moved[:number]


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
    *,
    is_named: bool,
) -> Tensor:
    """Returns the length of the gradient of each loss, all tensors as one vector."""
    if eager.is_transformed():
        raise site.error(mistakes.measures_gradients(site.span, site.term, "a transformation of torch.func"))
    tensors = [tensor for tensor in given if _asks(tensor)]
    if is_named and not tensors:
        raise site.error(mistakes.not_computed_from(site.span, site.term, site.operand, needs_gradient=False))
    unit = HALF if any(tensor.dtype == torch.float16 for tensor in tensors) else 1.0
    reached = False
    squares: list[Tensor] = []
    for loss in losses:
        total = memory.new_zeros(())
        for tensor, gradient in zip(tensors, _gradients(loss, tensors, unit), strict=True):
            if gradient is not None:
                reached = True
                total = total + _square(tensor, gradient, memory, ranks)
        squares.append(total)
    if is_named and not reached:
        raise site.error(mistakes.not_computed_from(site.span, site.term, site.operand, needs_gradient=True))
    found = torch.stack(squares)
    if ranks is not None:
        # On each rank it is the gradient of the whole, times their number, by a part of the batch.
        (found,) = ranks.sum([found])
        found = found / ranks.size**2
    return found.sqrt() / unit


def _gradients(loss: Any, tensors: Sequence[Tensor], unit: float) -> Sequence[Tensor | None]:
    """Returns `unit` times the gradient of a loss at each tensor; None where it is not computed from it."""
    if not tensors or not _asks(loss):
        return [None] * len(tensors)
    start = torch.full_like(loss, unit)
    return torch.autograd.grad(loss, tensors, start, retain_graph=True, allow_unused=True)


def _square(tensor: Tensor, gradient: Tensor, memory: Tensor, ranks: AllReduces | None) -> Tensor:
    """Returns the squared length of a gradient, in the part that this rank has of it.

    The ranks have a parameter in common, and its gradient is the sum of theirs; of what is computed from a
    batch each has its own samples.
    """
    share = 1
    if ranks is not None and tensor.is_leaf:
        (gradient,) = ranks.sum([gradient])
        share = ranks.size
    length = cast("Tensor", torch.linalg.vector_norm(gradient, dtype=memory.dtype))  # pyright: ignore
    return length.to(memory).square() / share
