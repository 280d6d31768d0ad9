"""A walk in closed form: the same sums and gradients as its maps, with fewer operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from typing import Any

from losslang import targets
from losslang.blocks.split import Walk
from losslang.blocks.sums import Sum
from losslang.closed.evaluate import Scratch
from losslang.closed.sigmoid import Sigmoid
from losslang.closed.softmax import Softmax
from losslang.closed.symbols import UntraceableError
from losslang.closed.trace import Number, Part, Trace, trace
from losslang.lazy import torch
from losslang.operations.call import real
from losslang.registry import Registry
from losslang.vocabulary import Tensor

FAMILIES = {"sigmoid": Sigmoid, "softmax": Softmax}
SCRATCH = Scratch()
DEVICES = {"sigmoid": ("cpu", "cuda"), "softmax": ("cpu",)}
"""Where each has been measured. Labels are always masked on a GPU, and a softmax of those has no closed form."""


class Closed:
    """Stands for the maps of a walk where nothing but the prediction wants a gradient."""

    def __init__(self, walk: Walk, sums: Sequence[Sum], found: Trace):
        names = [name for name, _ in walk.inputs]
        self.activation = found.activation
        self.ends = list(zip(sums, found.sums, strict=True))
        self.prediction, self.target = names.index(found.prediction), names.index(found.target)
        self.masks = [names.index(mask) for mask in found.masks]
        site = found.prepares.site
        assert site is not None
        self.prepare: Callable[..., Tensor] = (
            partial(targets.labels, site=site)
            if found.activation == "softmax"
            else partial(targets.dense, site=site, over="element")
        )
        self.real = partial(real, site=site)
        parts = [(part, (end.over.keep, end.over.batch)) for end, own in self.ends for part in own.parts]
        self.family = FAMILIES[found.activation]([part for part, _ in parts], [region for _, region in parts])

    @classmethod
    def of(cls, walk: Walk, registry: Registry, given: Mapping[str, Any]) -> Closed | None:
        """The closed form of a walk, in a call with these inputs; None where it has none."""
        sums = [Sum.of(step, registry) for step in walk.sums]
        try:
            found = cls(walk, sums, trace(walk, sums, registry, given))
        except UntraceableError:
            return None
        devices = {v.device.type for v in given.values() if isinstance(v, torch.Tensor)}
        return found if devices <= set(DEVICES[found.activation]) else None

    def fits(self, inputs: Sequence[Any]) -> bool:
        """Whether nothing but the prediction wants a gradient, and all masks are one, of the target's places."""
        others = [v for i, v in enumerate(inputs) if i != self.prediction and isinstance(v, torch.Tensor)]
        if torch.is_grad_enabled() and any(value.requires_grad for value in others):
            return False
        masks, target = [inputs[mask] for mask in self.masks], inputs[self.target]
        return all(
            isinstance(mask, torch.Tensor)
            and mask.dtype == torch.bool
            and mask.shape == target.shape
            and (mask is masks[0] or torch.equal(mask, masks[0]))
            for mask in masks
        )

    def keeps(self, inputs: Sequence[Any]) -> int | None:
        """The prediction, whose probabilities can be left where its gradient will be."""
        logits = inputs[self.prediction]
        # Of a prediction in half precision they would lose half of their digits there.
        fits = logits.requires_grad and logits.dtype == self.real(logits).dtype
        return self.prediction if self.family.keeps and fits else None

    def parts(self, inputs: Sequence[Any], place: Tensor | None = None) -> list[list[Tensor]]:
        """Every sum over these inputs, as the maps give them; the probabilities go to `place`."""
        with SCRATCH as scratch:
            logits, target, kept = self._read(inputs)
            sums = iter(self.family.sums(logits, target, scratch, place, kept))
        return [
            [
                next(sums) if isinstance(part, Part) else self._number(end, part, logits, kept)
                for part in own.found
            ]
            for end, own in self.ends
        ]

    def _number(self, end: Sum, number: Number, logits: Tensor, kept: Tensor | None) -> Tensor:
        """How many elements or places a sum is of: of one that is masked, in the shape of the sum."""
        if not self.masks:
            return end.count(logits[:, 0] if number.by_place else logits)
        samples, classes, *space = logits.shape
        each = torch.full((samples,), prod(space)) if kept is None else kept.reshape(samples, -1).sum(1)
        if end.over.keep == 2:
            by_class = each.unsqueeze(1).expand(samples, classes)
            return by_class.sum(0, keepdim=True) if end.over.batch else by_class
        each = each if number.by_place else each * classes
        return each if end.over.keep == 1 else each.sum()

    def gradients(
        self,
        inputs: Sequence[Any],
        weights: Sequence[Sequence[Tensor]],
        places: Sequence[Tensor | None],
        once: Sequence[bool],
        filled: bool,
    ) -> None:
        """Writes the gradient of Σ weight * part for the prediction to its place.

        If it is `filled`, the probabilities stand there.
        """
        place = places[self.prediction]
        if place is None:
            return
        flat = [
            weight
            for (_, own), given in zip(self.ends, weights, strict=True)
            for part, weight in zip(own.found, given, strict=True)
            if isinstance(part, Part)
        ]
        is_once = once[self.prediction]
        with SCRATCH as scratch:
            logits, target, kept = self._read(inputs)
            out = place if is_once and place.dtype == logits.dtype else scratch.like(logits)
            self.family.gradient(logits, target, flat, scratch, out, filled, kept)
            if out is not place:
                place.copy_(out) if is_once else place.add_(out)

    def _read(self, inputs: Sequence[Any]) -> tuple[Tensor, Tensor, Tensor | None]:
        """The logits and the target of a block, and which places count; None if all do."""
        logits = self.real(inputs[self.prediction])
        target = self.prepare(inputs[self.target], logits)
        mask: Tensor | None = inputs[self.masks[0]] if self.masks else None
        if mask is None or bool(mask.all()):
            return logits, target, None
        return logits, target, mask.reshape(target.shape)
