"""A walk in closed form: the same sums and gradients as its maps, with fewer operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from losslang import targets
from losslang.blocks.split import Walk
from losslang.blocks.sums import Sum
from losslang.closed.evaluate import Scratch
from losslang.closed.sigmoid import Sigmoid
from losslang.closed.softmax import Softmax
from losslang.closed.trace import Trace, UntraceableError, trace
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
        """Whether nothing but the prediction wants a gradient."""
        others = [v for i, v in enumerate(inputs) if i != self.prediction and isinstance(v, torch.Tensor)]
        return not (torch.is_grad_enabled() and any(value.requires_grad for value in others))

    def keeps(self, inputs: Sequence[Any]) -> int | None:
        """The prediction, whose probabilities can be left where its gradient will be."""
        logits = inputs[self.prediction]
        # Of a prediction in half precision they would lose half of their digits there.
        fits = logits.requires_grad and logits.dtype == self.real(logits).dtype
        return self.prediction if self.family.keeps and fits else None

    def parts(self, inputs: Sequence[Any], place: Tensor | None = None) -> list[list[Tensor]]:
        """Every sum over these inputs, as the maps give them; the probabilities go to `place`."""
        logits, target = self._read(inputs)
        with SCRATCH as scratch:
            sums = iter(self.family.sums(logits, target, scratch, place))
        found: list[list[Tensor]] = []
        for end, own in self.ends:
            like = logits[:, 0] if own.by_place else logits
            parts = [next(sums) for _ in own.parts]
            found.append([*parts, end.count(like)] if own.has_count else parts)
        return found

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
            for _, weight in zip(own.parts, given, strict=False)
        ]
        logits, target = self._read(inputs)
        is_once = once[self.prediction]
        with SCRATCH as scratch:
            out = place if is_once and place.dtype == logits.dtype else scratch.like(logits)
            self.family.gradient(logits, target, flat, scratch, out, filled)
            if out is not place:
                place.copy_(out) if is_once else place.add_(out)

    def _read(self, inputs: Sequence[Any]) -> tuple[Tensor, Tensor]:
        logits = self.real(inputs[self.prediction])
        return logits, self.prepare(inputs[self.target], logits)
