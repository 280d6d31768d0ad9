"""Runs a walk block by block: forward adds up sums, backward computes the maps of every block once more.

autograd saves the inputs of the walk and nothing else. An evaluator may also save one tensor, the
probabilities: they lie in the memory that backward turns into the gradient, so they take none of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor

from losslang.runtime.binding import Calls
from losslang.runtime.blocks.cut import Cut
from losslang.runtime.blocks.evaluator import AutogradEvaluator, first_tensor, vjp
from losslang.runtime.blocks.memory import GRADIENTS
from losslang.runtime.blocks.split import Walk
from losslang.runtime.blocks.team import each
from losslang.tensors.devices import exact
from losslang.tensors.eager import is_batched_grad
from losslang.tensors.torch_private import has_saved_tensor_hooks

SHAPES = 256
"""Shapes of which a walk keeps how they are cut."""


class Totals(NamedTuple):
    """The totals of every sum of a walk, and what all calls of the walk share.

    `empty` are the arguments of every sum over no elements; `numbers` how many elements each sum has if
    nothing is masked.
    """

    totals: list[list[Tensor]]
    empty: list[Sequence[Any]]
    numbers: list[int]


class BlockEvaluator(Protocol):
    """Computes the sums of blocks and their gradients: by autograd, or in closed form."""

    def of_cut(self, cut: Cut) -> BlockEvaluator:
        """Returns the same for predictions that are cut otherwise."""
        ...

    def fits(self, inputs: Sequence[Any]) -> bool:
        """Returns whether it can compute the sums and gradients that these inputs ask for."""
        ...

    def saved_input(self, inputs: Sequence[Any]) -> int | None:
        """Returns the index of the input whose gradient buffer stores the probabilities until backward.

        None if backward computes them again.
        """
        ...

    def totals(self, inputs: Sequence[Any], saved: Tensor | None) -> list[list[Tensor]]:
        """Returns every sum over all blocks; writes the probabilities to `saved`, if it is given."""
        ...

    def gradients(
        self,
        inputs: Sequence[Any],
        cotangents: Sequence[Sequence[Tensor]],
        buffers: Sequence[Tensor | None],
        has_saved: bool,
    ) -> None:
        """Writes the gradient of Σ cotangent * sum with respect to every input that has a buffer.

        Where several blocks read the same elements their gradients are added. `has_saved`: the buffer of
        `saved_input` holds the probabilities.
        """
        ...


class Sized(NamedTuple):
    """What computes a walk over predictions of one shape, and what a sum needs to know of its arguments.

    `lengths`: how many totals each sum has.
    """

    autograd: AutogradEvaluator
    closed: BlockEvaluator | None
    empty: list[Sequence[Any]]
    lengths: list[int]
    numbers: list[int]


class Walker:
    """Runs a walk over tensors of one kind, of whichever sizes.

    `closed` computes calls that it fits, `autograd` all others.
    """

    def __init__(self, walk: Walk, autograd: AutogradEvaluator, closed: BlockEvaluator | None):
        self.walk = walk
        self.autograd = autograd
        self.closed = closed
        self.prediction = walk.prediction
        self.name = f"walk over {walk.shape}"
        self.sized: dict[Sequence[int], Sized] = {}

    def __call__(self, *inputs: Any) -> Totals:
        own = self.sized.get(inputs[self.prediction].shape) or self._measured(inputs)
        autograd, closed = own.autograd, own.closed
        evaluator = closed if closed is not None and closed.fits(inputs) else autograd
        # Asked here: in an autograd function grad mode is off. Hooks on saved tensors would not see this one.
        is_saved = torch.is_grad_enabled() and not has_saved_tensor_hooks()
        saved_input = _saved_input(autograd, evaluator, inputs) if is_saved else None
        flat = _Walk.apply(autograd, evaluator, own.lengths, saved_input, *inputs)  # pyright: ignore
        totals = _grouped(cast("tuple[Tensor, ...]", flat), own.lengths)
        return Totals(totals, own.empty, own.numbers)

    def look(self, checks: Calls, *inputs: Any) -> None:
        """Checks the values of every block."""
        each(checks.run, self._cut(inputs).blocks(inputs), first_tensor(inputs).device)

    def _cut(self, inputs: Sequence[Any]) -> AutogradEvaluator:
        shape = inputs[self.prediction].shape
        return self.autograd.of_cut(self.autograd.cut.of_shape(shape))

    def _measured(self, inputs: Sequence[Any]) -> Sized:
        """Cuts predictions of a new shape, and runs the maps on a block of them without elements."""
        autograd = self._cut(inputs)
        closed = None if self.closed is None else self.closed.of_cut(autograd.cut)
        sums = autograd.sums
        with torch.no_grad():
            # Copies: views would keep the inputs of this call in memory.
            empty = [_copied(arguments) for arguments in autograd.arguments_of(autograd.empty_block(inputs))]
        lengths = [len(end.part(given)) for end, given in zip(sums, empty, strict=True)]
        numbers = [autograd.number(end, given) for end, given in zip(sums, empty, strict=True)]
        if len(self.sized) >= SHAPES:
            # Images of ever new sizes do not fill the memory.
            self.sized.clear()
        return self.sized.setdefault(
            inputs[self.prediction].shape, Sized(autograd, closed, empty, lengths, numbers)
        )


class _Walk(torch.autograd.Function):
    """Inputs to totals, for autograd."""

    @staticmethod
    def forward(
        ctx: Any,
        autograd: AutogradEvaluator,
        evaluator: BlockEvaluator,
        lengths: list[int],
        saved_input: int | None,
        *inputs: Any,
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*[value if isinstance(value, Tensor) else None for value in inputs])
        ctx.others = [None if isinstance(value, Tensor) else value for value in inputs]
        ctx.autograd, ctx.evaluator, ctx.lengths = autograd, evaluator, lengths
        ctx.saved_input = saved_input
        ctx.saved = None if saved_input is None else GRADIENTS.like(inputs[saved_input])
        with exact(first_tensor(inputs)):
            totals = [total for own in evaluator.totals(inputs, ctx.saved) for total in own]
        ctx.mark_non_differentiable(*[t for t in totals if not t.is_floating_point()])
        return tuple(totals)

    @staticmethod
    def backward(ctx: Any, *flat: Tensor) -> tuple[Tensor | None, ...]:
        tensors = zip(ctx.saved_tensors, ctx.others, strict=True)
        inputs = [other if tensor is None else tensor for tensor, other in tensors]
        wanted, cotangents = ctx.needs_input_grad[4:], _grouped(flat, ctx.lengths)
        # The gradient overwrites what is saved: a second backward computes it again.
        saved, ctx.saved = ctx.saved, None
        with exact(first_tensor(inputs)):
            has_graph = torch.is_grad_enabled()
            if has_graph or any(map(is_batched_grad, flat)):
                # A second derivative, or many gradients at once: everything is one block. The views cut the graph
                # above: an input computed from another one would pass its gradient on to it twice.
                with torch.enable_grad():
                    alone = [v.view_as(v) if want else v for v, want in zip(inputs, wanted, strict=True)]
                    sums = ctx.autograd.parts(alone)
                    found = vjp(sums, alone, wanted, cotangents, create_graph=has_graph)
            else:
                found = _gradients(ctx, inputs, wanted, cotangents, saved)
        return None, None, None, None, *found


def _saved_input(autograd: AutogradEvaluator, evaluator: BlockEvaluator, inputs: Sequence[Any]) -> int | None:
    """The input that an evaluator asks for, if each of its elements lies in one block alone."""
    index = evaluator.saved_input(inputs)
    return index if index is not None and autograd.visits_once(index, inputs[index]) else None


def _gradients(
    ctx: Any,
    inputs: Sequence[Any],
    wanted: Sequence[bool],
    cotangents: Sequence[Sequence[Tensor]],
    saved: Tensor | None,
) -> list[Tensor | None]:
    """Returns the gradients of the inputs, computed block by block."""

    def gradient_buffer(index: int, value: Any) -> Tensor | None:
        """The tensor that the gradient of an input is written to, or added to where blocks overlap."""
        if not wanted[index]:
            return None
        if saved is not None and index == ctx.saved_input:
            return saved
        return GRADIENTS.like(value) if ctx.autograd.visits_once(index, value) else torch.zeros_like(value)

    buffers = [gradient_buffer(index, value) for index, value in enumerate(inputs)]
    ctx.evaluator.gradients(inputs, cotangents, buffers, has_saved=saved is not None)
    return buffers


def _copied(values: Sequence[Any]) -> Sequence[Any]:
    return [value.clone() if isinstance(value, Tensor) else value for value in values]


def _grouped(flat: Iterable[Tensor], lengths: Sequence[int]) -> list[list[Tensor]]:
    """A flat list of totals, or of their cotangents, sum by sum."""
    left = iter(flat)
    return [list(islice(left, number)) for number in lengths]
