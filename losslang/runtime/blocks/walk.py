"""A walk over the data, block by block: forward adds up the sums, backward runs the maps once more.

Nothing is saved but the inputs and, where a form asks for it, what turns into the gradient in its place;
nothing is made in backward but the gradient and one block.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor

from losslang.runtime.binding import Calls
from losslang.runtime.blocks.maps import Maps, vjp
from losslang.runtime.blocks.memory import GRADIENTS
from losslang.tensors.devices import exact
from losslang.tensors.eager import has_saved_tensor_hooks, is_batched_grad


class Totals(NamedTuple):
    """What a walk found: for every sum its totals; and what all calls of it have in common.

    `empty` are the arguments of the sums over no elements, `numbers` how many elements each is of if
    nothing is masked.
    """

    totals: list[list[Tensor]]
    empty: list[Sequence[Any]]
    numbers: list[int]


class Form(Protocol):
    """A way to compute the sums of a block and their gradients: the maps themselves, or something faster."""

    def fits(self, inputs: Sequence[Any]) -> bool:
        """Whether it can compute what is wanted of these inputs."""
        ...

    def keeps(self, inputs: Sequence[Any]) -> int | None:
        """The input where whose gradient will be forward leaves what backward reads.

        It is computed once then, and takes no memory of its own. None where it is computed again.
        """
        ...

    def totals(self, inputs: Sequence[Any], place: Tensor | None) -> list[list[Tensor]]:
        """Every sum over all blocks; `place` is filled with what is kept, if it is given."""
        ...

    def gradients(
        self,
        inputs: Sequence[Any],
        cotangents: Sequence[Sequence[Tensor]],
        places: Sequence[Tensor | None],
        filled: bool,
    ) -> None:
        """Writes the gradient of Σ cotangent * sum to the places of the inputs that want one.

        It is added where more than one block writes. `filled`: the place of what the form keeps holds it.
        """
        ...


class Walker:
    """Runs a walk over tensors of one signature.

    `form` is faster than the maps and may not fit every call; `looking` looks at the values of every
    block first.
    """

    def __init__(self, maps: Maps, form: Form | None, looking: Calls | None):
        self.maps = maps
        self.form = form
        self.looking = looking
        self.empty: list[Sequence[Any]] = []
        self.lengths: list[int] = []
        self.numbers: list[int] = []

    def __call__(self, *inputs: Any) -> Totals:
        maps = self.maps
        if not self.empty:
            with torch.no_grad():
                # Not the views themselves: they would hold what this call was handed.
                empty = [_copied(own) for own in maps.given(maps.nothing(inputs))]
            # `empty` last: a thread that finds it finds the others too.
            self.lengths = [len(end.part(given)) for end, given in zip(maps.sums, empty, strict=True)]
            self.numbers = [maps.number(end, given) for end, given in zip(maps.sums, empty, strict=True)]
            self.empty = empty
        if self.looking is not None:
            for own in maps.blocks(inputs):
                self.looking.run(*own)
        form = self.form if self.form is not None and self.form.fits(inputs) else maps
        # Asked here: inside of an autograd function no gradient is ever wanted. Hooks would not see what is kept.
        fill = _kept(maps, form, inputs) if torch.is_grad_enabled() and not has_saved_tensor_hooks() else None
        flat = _Walk.apply(maps, form, self.lengths, fill, *inputs)  # pyright: ignore
        totals = _grouped(cast("tuple[Tensor, ...]", flat), self.lengths)
        return Totals(totals, self.empty, self.numbers)


class _Walk(torch.autograd.Function):
    """Inputs to totals."""

    @staticmethod
    def forward(
        ctx: Any, maps: Maps, form: Form, lengths: list[int], fill: int | None, *inputs: Any
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*[value if isinstance(value, Tensor) else None for value in inputs])
        ctx.others = [None if isinstance(value, Tensor) else value for value in inputs]
        ctx.maps, ctx.form, ctx.lengths = maps, form, lengths
        ctx.fill, ctx.kept = fill, None if fill is None else GRADIENTS.like(inputs[fill])
        with exact(_tensor(inputs)):
            totals = [total for own in form.totals(inputs, ctx.kept) for total in own]
        ctx.mark_non_differentiable(*[t for t in totals if not t.is_floating_point()])
        return tuple(totals)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        saved = zip(ctx.saved_tensors, ctx.others, strict=True)
        inputs = [other if tensor is None else tensor for tensor, other in saved]
        maps, wanted, grouped = ctx.maps, ctx.needs_input_grad[4:], _grouped(cotangents, ctx.lengths)
        # What is kept turns into the gradient and is gone: a second backward computes it again.
        kept, ctx.kept = ctx.kept, None
        with exact(_tensor(inputs)):
            again = torch.is_grad_enabled()
            if again or any(map(is_batched_grad, cotangents)):
                # The gradient is differentiated in turn, or many at once: everything is one block. Each input
                # stands for itself: one that is made of another must not send its gradient there a second time.
                with torch.enable_grad():
                    alone = [v.view_as(v) if want else v for v, want in zip(inputs, wanted, strict=True)]
                    found = vjp(maps.parts(alone), alone, wanted, grouped, again=again)
            else:
                found = _by_blocks(maps, ctx.form, inputs, wanted, grouped, ctx.fill, kept)
        return None, None, None, None, *found


def _kept(maps: Maps, form: Form, inputs: Sequence[Any]) -> int | None:
    """What a form keeps, where it has a place: a gradient whose elements lie in one block each."""
    index = form.keeps(inputs)
    return index if index is not None and maps.visits_once(index, inputs[index]) else None


def _by_blocks(
    maps: Maps,
    form: Form,
    inputs: Sequence[Any],
    wanted: Sequence[bool],
    cotangents: Sequence[Sequence[Tensor]],
    fill: int | None,
    kept: Tensor | None,
) -> list[Tensor | None]:
    gradients = [
        None
        if not want
        else kept
        if kept is not None and index == fill
        else _fresh(value, maps.visits_once(index, value))
        for index, (value, want) in enumerate(zip(inputs, wanted, strict=True))
    ]
    form.gradients(inputs, cotangents, gradients, filled=kept is not None)
    return gradients


def _copied(values: Sequence[Any]) -> Sequence[Any]:
    return [value.clone() if isinstance(value, Tensor) else value for value in values]


def _fresh(value: Tensor, is_written: bool) -> Tensor:
    return GRADIENTS.like(value) if is_written else torch.zeros_like(value)


def _grouped(flat: Iterable[Tensor], lengths: Sequence[int]) -> list[list[Tensor]]:
    left = iter(flat)
    return [list(islice(left, number)) for number in lengths]


def _tensor(inputs: Sequence[Any]) -> Tensor:
    return next(value for value in inputs if isinstance(value, Tensor))
