"""A walk in closed form: the same sums and gradients as its maps, with fewer operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import Any

from losslang import targets
from losslang.binding import bound
from losslang.blocks.maps import Maps
from losslang.blocks.split import Walk
from losslang.blocks.walk import Form
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

    def __init__(self, maps: Maps, walk: Walk, found: Trace, registry: Registry):
        names = [name for name, _ in walk.inputs]
        self.maps = maps
        self.scratch = Scratch()
        self.trace = found
        self.prediction, self.target = names.index(found.prediction), names.index(found.target)
        self.keeps = [bound(step, registry)[0] for step in found.keeps]
        site = found.prepares.site
        assert site is not None
        self.prepare: Callable[..., Tensor] = (
            partial(targets.labels, site=site)
            if found.activation == "softmax"
            else partial(targets.dense, site=site, over="element")
        )
        self.real = partial(real, site=site)
        ends = [(end.keep, end.batch) for end in maps.sums]
        parts = [(p, ends[i]) for i, own in enumerate(found.sums) for p in own.parts if p is not None]
        self.family = FAMILIES[found.activation]([p for p, _ in parts], [region for _, region in parts])

    @classmethod
    def of(cls, maps: Maps, walk: Walk, registry: Registry, inputs: Sequence[Any]) -> Closed | None:
        """The closed form of a walk over tensors like these; None where it has none."""
        tensors = {n: v for (n, _), v in zip(walk.inputs, inputs, strict=True) if isinstance(v, torch.Tensor)}
        if any(value.device.type != "cpu" for value in tensors.values()):
            return None
        shapes = {name: tuple(value.shape) for name, value in tensors.items()}
        try:
            return cls(maps, walk, trace(walk, maps.sums, registry, shapes), registry)
        except UntraceableError:
            return None

    def fits(self, inputs: Sequence[Any]) -> bool:
        """Whether nothing is ignored, and nothing but the prediction wants a gradient."""
        others = [v for i, v in enumerate(inputs) if i != self.prediction and isinstance(v, torch.Tensor)]
        if torch.is_grad_enabled() and any(value.requires_grad for value in others):
            return False
        pred, target = inputs[self.prediction], inputs[self.target]
        kept = [keep(target, pred) for keep in self.keeps]
        return all(bool(mask.all()) for mask in kept if mask is not None)

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
            parts = [end.count(like) if part is None else next(sums) for part in own.parts]
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
            for part, weight in zip(own.parts, given, strict=False)
            if part is not None
        ]
        logits, target = self._read(inputs)
        is_direct = once[self.prediction] and place.dtype == logits.dtype
        out = place if is_direct else self.scratch.like(logits)
        self.family.gradient(logits, target, flat, self.scratch, out)
        if not is_direct:
            place.add_(out)
        self.scratch.done()

    def _read(self, inputs: Sequence[Any]) -> tuple[Tensor, Tensor]:
        logits = self.real(inputs[self.prediction])
        return logits, self.prepare(inputs[self.target], logits)


def chooser(maps: Maps, walk: Walk, registry: Registry) -> Callable[[Sequence[Any]], Form]:
    """What chooses between the closed form of a walk and its maps, for the tensors of a call."""
    found: list[Closed | None] = []

    def choose(inputs: Sequence[Any]) -> Form:
        if not found:
            found.append(Closed.of(maps, walk, registry, inputs))
        closed = found[0]
        return closed if closed is not None and closed.fits(inputs) else maps

    return choose
