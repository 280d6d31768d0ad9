"""A walk in closed form: the same sums and gradients as its maps, with fewer operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import Any

from losslang import targets
from losslang.blocks.maps import Maps
from losslang.blocks.split import Walk
from losslang.closed.evaluate import Scratch
from losslang.closed.sigmoid import Sigmoid
from losslang.closed.softmax import Softmax
from losslang.closed.trace import Trace, UntraceableError, trace
from losslang.lazy import torch
from losslang.operations.call import real
from losslang.registry import Registry
from losslang.vocabulary import Tensor

FAMILIES = {"sigmoid": Sigmoid, "softmax": Softmax}


class Closed:
    """Stands for the maps of a walk, on a CPU, where nothing but the prediction wants a gradient."""

    def __init__(self, maps: Maps, walk: Walk, found: Trace):
        names = [name for name, _ in walk.inputs]
        self.maps = maps
        self.scratch = Scratch()
        self.trace = found
        self.prediction, self.target = names.index(found.prediction), names.index(found.target)
        site = found.prepares.site
        assert site is not None
        self.prepare: Callable[..., Tensor] = (
            partial(targets.labels, site=site)
            if found.activation == "softmax"
            else partial(targets.dense, site=site, over="element")
        )
        self.real = partial(real, site=site)
        ends = [(end.keep, end.batch) for end in maps.sums]
        parts = [(p, ends[i]) for i, own in enumerate(found.sums) for p in own.parts]
        self.family = FAMILIES[found.activation]([p for p, _ in parts], [region for _, region in parts])

    @classmethod
    def of(cls, maps: Maps, walk: Walk, registry: Registry, inputs: Sequence[Any]) -> Closed | None:
        """The closed form of a walk over tensors like these; None where it has none."""
        given = {name: value for (name, _), value in zip(walk.inputs, inputs, strict=True)}
        if any(isinstance(v, torch.Tensor) and v.device.type != "cpu" for v in inputs):
            return None
        try:
            return cls(maps, walk, trace(walk, maps.sums, registry, given))
        except UntraceableError:
            return None

    def fits(self, inputs: Sequence[Any]) -> bool:
        """Whether nothing but the prediction wants a gradient."""
        others = [v for i, v in enumerate(inputs) if i != self.prediction and isinstance(v, torch.Tensor)]
        return not (torch.is_grad_enabled() and any(value.requires_grad for value in others))

    def started(self) -> Closed:
        """The same with tensors of its own to compute in: two calls may run at once."""
        own = copy(self)
        own.scratch = Scratch()
        return own

    def parts(self, inputs: Sequence[Any]) -> list[list[Tensor]]:
        """Every sum over these inputs, as the maps give them."""
        logits, target = self._read(inputs)
        sums = iter(self.family.sums(logits, target, self.scratch))
        found: list[list[Tensor]] = []
        for end, own in zip(self.maps.sums, self.trace.sums, strict=True):
            like = logits[:, 0] if own.by_place else logits
            parts = [next(sums) for _ in own.parts]
            found.append([*parts, end.count(like)] if own.has_count else parts)
        self.scratch.done()
        return found

    def gradients(
        self,
        inputs: Sequence[Any],
        weights: Sequence[Sequence[Tensor]],
        places: Sequence[Tensor | None],
        once: Sequence[bool],
    ) -> None:
        """Writes the gradient of Σ weight * part for the prediction to its place."""
        place = places[self.prediction]
        if place is None:
            return
        flat = [
            weight
            for own, given in zip(self.trace.sums, weights, strict=True)
            for _, weight in zip(own.parts, given, strict=False)
        ]
        logits, target = self._read(inputs)
        is_once = once[self.prediction]
        out = place if is_once and place.dtype == logits.dtype else self.scratch.like(logits)
        self.family.gradient(logits, target, flat, self.scratch, out)
        if out is not place:
            place.copy_(out) if is_once else place.add_(out)
        self.scratch.done()

    def _read(self, inputs: Sequence[Any]) -> tuple[Tensor, Tensor]:
        logits = self.real(inputs[self.prediction])
        return logits, self.prepare(inputs[self.target], logits)
