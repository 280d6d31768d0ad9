"""The maps of a walk, bound to their functions: the same for a block and for everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from losslang.registry import Registry
from losslang.runtime.binding import Binding, Calls
from losslang.runtime.blocks.cut import Cut
from losslang.runtime.blocks.ledger import Ledger, of_block
from losslang.runtime.blocks.split import Walk
from losslang.runtime.blocks.sums import Sum
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor


@dataclass(frozen=True)
class Maps:
    """Inputs to the parts of sums, and back to gradients, by automatic differentiation of a block."""

    cut: Cut
    is_cut: tuple[bool, ...]
    calls: Calls
    arguments: tuple[tuple[int, ...], ...]
    """The slots of the arguments of each sum."""
    sums: tuple[Sum, ...]

    @classmethod
    def of(cls, walk: Walk, registry: Registry, elements: int) -> Maps:
        """The maps of a walk over blocks of about so many elements."""
        binding = _bound(walk, registry)
        return cls(
            Cut.of(walk.shape, walk.across, elements),
            tuple(is_cut for _, is_cut in walk.inputs),
            # The arguments may be numbers, which take slots of their own: before the template is closed.
            arguments=tuple(tuple(map(binding.slot, step.inputs)) for step in walk.sums),
            calls=binding.done(),
            sums=tuple(Sum.of(step, registry) for step in walk.sums),
        )

    def fits(self, inputs: Sequence[Any]) -> bool:
        """Maps compute everything."""
        return True

    def keeps(self, inputs: Sequence[Any]) -> None:
        """Maps are computed again."""

    def nothing(self, inputs: Sequence[Any]) -> list[Any]:
        """What of the inputs lies in a block without samples."""
        block = self.cut.nothing()
        return [
            self.cut.part(value, block) if is_cut and isinstance(value, torch.Tensor) else value
            for value, is_cut in zip(inputs, self.is_cut, strict=True)
        ]

    def blocks(self, inputs: Sequence[Any]) -> list[tuple[Any, ...]]:
        """What of the inputs lies in every block."""
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
        """Whether no element of an input lies in two blocks."""
        is_cut = self.is_cut[index] and isinstance(value, torch.Tensor)
        return is_cut and self.cut.visits_once(tuple(value.shape))

    def given(self, inputs: Sequence[Any]) -> list[Sequence[Any]]:
        """The arguments of every sum."""
        slots = self.calls.run(*inputs)
        return [[slots[argument] for argument in arguments] for arguments in self.arguments]

    def number(self, end: Sum, empty: Sequence[Any]) -> int:
        """How many elements go into a sum of which these are the arguments over no elements."""
        if end.at is None:
            return 1
        (first, *_), _ = end.handed(empty)
        return end.number(self.cut.grown(tuple(first.shape), self.cut.nothing()))

    def parts(self, inputs: Sequence[Any]) -> list[list[Tensor]]:
        """Every sum over these inputs."""
        return [end.part(given) for end, given in zip(self.sums, self.given(inputs), strict=True)]

    def totals(self, inputs: Sequence[Any], place: Tensor | None = None) -> list[list[Tensor]]:
        """Every sum over all blocks; nothing is kept."""
        ledger = Ledger(self.cut, self.sums)
        for block, own in zip(self.cut.blocks, self.blocks(inputs), strict=True):
            ledger.add(block, self.parts(own))
        return ledger.totals()

    def gradients(
        self,
        inputs: Sequence[Any],
        cotangents: Sequence[Sequence[Tensor]],
        places: Sequence[Tensor | None],
        filled: bool = False,
    ) -> None:
        """Writes the gradient of Σ cotangent * sum to the places, or adds it where a place is seen again."""
        once = [self.visits_once(index, value) for index, value in enumerate(inputs)]
        blocks = zip(self.cut.blocks, self.blocks(inputs), self.blocks(places), strict=True)
        for block, own, own_places in blocks:
            shares = [
                [of_block(self.cut, end, block, weight) for weight in given]
                for end, given in zip(self.sums, cotangents, strict=True)
            ]
            self._gradient(own, shares, own_places, once)

    def _gradient(
        self,
        inputs: Sequence[Any],
        cotangents: Sequence[Sequence[Tensor]],
        places: Sequence[Tensor | None],
        once: Sequence[bool],
    ) -> None:
        wanted = [place is not None for place in places]
        with torch.enable_grad():
            leaves = [
                value.detach().requires_grad_() if want else value
                for value, want in zip(inputs, wanted, strict=True)
            ]
            found = vjp(self.parts(leaves), leaves, wanted, cotangents, again=False)
        for place, part, written in zip(places, found, once, strict=True):
            if place is not None and part is not None:
                place.copy_(part) if written else place.add_(part)
            elif place is not None and written:
                place.zero_()


def looks_at(walk: Walk, registry: Registry) -> Calls:
    """What of a walk looks at the values of a block."""
    return _bound(walk.looking, registry).done()


def _bound(walk: Walk, registry: Registry) -> Binding:
    binding = Binding(registry, [name for name, _ in walk.inputs])
    for step in walk.maps:
        binding.step(step)
    return binding


def vjp(
    parts: Sequence[Sequence[Tensor]],
    inputs: Sequence[Any],
    wanted: Sequence[bool],
    cotangents: Sequence[Sequence[Tensor]],
    *,
    again: bool,
) -> list[Tensor | None]:
    """The gradient of Σ cotangent * sum for every wanted input; `again` if it is differentiated in turn."""
    pairs = [
        (part, weight)
        for own, given in zip(parts, cotangents, strict=True)
        for part, weight in zip(own, given, strict=True)
        if part.requires_grad
    ]
    leaves = [value for value, want in zip(inputs, wanted, strict=True) if want]
    if not pairs:
        return [None] * len(inputs)
    ends, cotangents = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(ends, leaves, cotangents, create_graph=again, allow_unused=True))
    return [next(found) if want else None for want in wanted]
