"""Evaluates a walk by autograd: maps bound to their functions, on one block or on everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from losslang.plan.operations.sums import Sum
from losslang.plan.plan import Step
from losslang.registry import Registry
from losslang.runtime.binding import Binding, Calls, sum_of
from losslang.runtime.blocks.cut import Block, Cut
from losslang.runtime.blocks.ledger import Ledger, of_block
from losslang.runtime.blocks.split import Walk
from losslang.runtime.blocks.team import each
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor


class AutogradEvaluator(NamedTuple):
    """Computes the sums of a block by its maps, and the gradients by torch.autograd."""

    cut: Cut
    is_cut: tuple[bool, ...]
    calls: Calls
    arguments: tuple[tuple[int, ...], ...]
    """The slots of the arguments of each sum."""
    sums: tuple[Sum, ...]

    @classmethod
    def of(cls, walk: Walk, registry: Registry, elements: int) -> AutogradEvaluator:
        """Binds the maps of a walk, for blocks of about `elements` elements."""
        binding = _bound(walk, registry)
        return cls(
            Cut.of(walk.shape, walk.across, elements),
            tuple(is_cut for _, is_cut in walk.inputs),
            # The arguments may be numbers, which take slots of their own: before the template is closed.
            arguments=tuple(tuple(map(binding.slot, step.inputs)) for step in walk.sums),
            calls=binding.done(),
            sums=tuple(sum_of(step, registry) for step in walk.sums),
        )

    def of_cut(self, cut: Cut) -> AutogradEvaluator:
        """Returns the same for predictions that are cut otherwise."""
        return self._replace(cut=cut)

    def fits(self, inputs: Sequence[Any]) -> bool:
        """Returns True: autograd differentiates everything."""
        return True

    def saved_input(self, inputs: Sequence[Any]) -> None:
        """Returns None: backward runs the maps again."""

    def empty_block(self, inputs: Sequence[Any]) -> list[Any]:
        """Returns the inputs of a block without samples."""
        block = self.cut.empty_block()
        return [
            self.cut.part(value, block) if is_cut and isinstance(value, torch.Tensor) else value
            for value, is_cut in zip(inputs, self.is_cut, strict=True)
        ]

    def blocks(self, inputs: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Returns the inputs of every block: views of what is cut, all else as it is."""
        number = len(self.cut.blocks)
        return list(
            zip(
                *(
                    self.cut.parts(value) if is_cut else [value] * number
                    for value, is_cut in zip(inputs, self.is_cut, strict=True)
                ),
                strict=True,
            )
        )

    def visits_once(self, index: int, value: Any) -> bool:
        """Returns whether no element of an input lies in two blocks."""
        is_cut = self.is_cut[index] and isinstance(value, torch.Tensor)
        return is_cut and self.cut.visits_once(tuple(value.shape))

    def arguments_of(self, inputs: Sequence[Any]) -> list[Sequence[Any]]:
        """Runs the maps, and returns the arguments of every sum."""
        slots = self.calls.run(*inputs)
        return [[slots[argument] for argument in arguments] for arguments in self.arguments]

    def number(self, end: Sum, empty: Sequence[Any]) -> int:
        """Returns how many elements a sum has, given its arguments over no elements."""
        if end.at is None:
            return 1
        (first, *_), _ = end.handed(empty)
        return end.number(self.cut.grown(tuple(first.shape), self.cut.empty_block()))

    def parts(self, inputs: Sequence[Any]) -> list[list[Tensor]]:
        """Returns every sum over these inputs, which may be one block or everything."""
        return [end.part(given) for end, given in zip(self.sums, self.arguments_of(inputs), strict=True)]

    def totals(self, inputs: Sequence[Any], saved: Tensor | None = None) -> list[list[Tensor]]:
        """Returns every sum over all blocks; saves nothing."""
        ledger = Ledger(self.cut, self.sums)

        def entry(block: Block, own: Sequence[Any]) -> list[list[Tensor]]:
            return ledger.entry(block, self.parts(own))

        blocks = list(zip(self.cut.blocks, self.blocks(inputs), strict=True))
        return ledger.totals(each(entry, blocks, first_tensor(inputs).device))

    def gradients(
        self,
        inputs: Sequence[Any],
        cotangents: Sequence[Sequence[Tensor]],
        buffers: Sequence[Tensor | None],
        has_saved: bool = False,
    ) -> None:
        """Writes the gradient of Σ cotangent * sum to the buffers, or adds it where blocks overlap."""
        once = [self.visits_once(index, value) for index, value in enumerate(inputs)]

        def write(block: Block, own: Sequence[Any], own_buffers: Sequence[Tensor | None]) -> None:
            own_cotangents = [
                [of_block(self.cut, end, block, cotangent) for cotangent in given]
                for end, given in zip(self.sums, cotangents, strict=True)
            ]
            self._gradient(own, own_cotangents, own_buffers, once)

        blocks = list(zip(self.cut.blocks, self.blocks(inputs), self.blocks(buffers), strict=True))
        adds = any(buffer is not None and not own for buffer, own in zip(buffers, once, strict=True))
        each(write, blocks, first_tensor(inputs).device, ordered=adds)

    def _gradient(
        self,
        inputs: Sequence[Any],
        cotangents: Sequence[Sequence[Tensor]],
        buffers: Sequence[Tensor | None],
        once: Sequence[bool],
    ) -> None:
        """Writes the gradients of one block; `once`: no other block reads the same elements of an input."""
        wanted = [buffer is not None for buffer in buffers]
        with torch.enable_grad():
            leaves = [
                value.detach().requires_grad_() if want else value
                for value, want in zip(inputs, wanted, strict=True)
            ]
            found = vjp(self.parts(leaves), leaves, wanted, cotangents, create_graph=False)
        for buffer, gradient, is_written in zip(buffers, found, once, strict=True):
            if buffer is not None and gradient is not None:
                buffer.copy_(gradient) if is_written else buffer.add_(gradient)
            elif buffer is not None and is_written:
                buffer.zero_()


def first_tensor(inputs: Sequence[Any]) -> Tensor:
    return next(value for value in inputs if isinstance(value, torch.Tensor))


def value_checks(walk: Walk, checks: Sequence[Step], registry: Registry) -> Calls:
    """Returns the calls that check the values of a block."""
    return _bound(walk.of_checks(checks), registry).done()


def _bound(walk: Walk, registry: Registry) -> Binding:
    binding = Binding(registry, [name for name, _ in walk.inputs])
    for step in walk.maps:
        binding.step(step)
    return binding


def vjp(
    sums: Sequence[Sequence[Tensor]],
    inputs: Sequence[Any],
    wanted: Sequence[bool],
    cotangents: Sequence[Sequence[Tensor]],
    *,
    create_graph: bool,
) -> list[Tensor | None]:
    """Returns the vector-Jacobian product: the gradient of Σ cotangent * sum for every wanted input."""
    pairs = [
        (total, cotangent)
        for own, given in zip(sums, cotangents, strict=True)
        for total, cotangent in zip(own, given, strict=True)
        if total.requires_grad
    ]
    leaves = [value for value, want in zip(inputs, wanted, strict=True) if want]
    if not pairs:
        return [None] * len(inputs)
    totals, grads = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(totals, leaves, grads, create_graph=create_graph, allow_unused=True))
    return [next(found) if want else None for want in wanted]
