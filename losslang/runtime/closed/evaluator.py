"""A walk in closed form: the same sums and gradients as its maps, with fewer operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, NamedTuple

from losslang.plan.operations.call import float_prediction
from losslang.registry import Registry
from losslang.runtime.blocks.ledger import added, of_block
from losslang.runtime.blocks.maps import Maps
from losslang.runtime.blocks.split import Walk
from losslang.runtime.blocks.sums import Sum
from losslang.runtime.closed.evaluate import along
from losslang.runtime.closed.scratch import Scratch
from losslang.runtime.closed.sigmoid import NEVER, Sigmoid
from losslang.runtime.closed.softmax import Softmax
from losslang.runtime.closed.symbols import UntraceableError
from losslang.runtime.closed.trace import Number, Part, Trace, trace
from losslang.tensors import targets
from losslang.tensors.byte_masks import bits, holds_all
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

Read = tuple[Tensor, Tensor, Tensor | None]
"""The logits and the target of a block, and which places count; None if all do."""
FAMILIES = {"sigmoid": Sigmoid, "softmax": Softmax}
SCRATCH = Scratch()
EXACT = (torch.float32, torch.float64)
DEVICES = {"sigmoid": ("cpu", "cuda"), "softmax": ("cpu",)}
"""Where each has been measured, if nothing is masked; labels always are on a GPU."""


@dataclass(frozen=True)
class ClosedForm:
    """What a walk sums, and what computes that for a block."""

    trace: Trace
    family: Sigmoid | Softmax

    @classmethod
    def of(cls, walk: Walk, registry: Registry, given: Mapping[str, Any]) -> ClosedForm | None:
        """That of a walk, in a call with these inputs; None where it has none."""
        sums = [Sum.of(step, registry) for step in walk.sums]
        try:
            found = trace(walk, sums, registry, given)
            parts = [
                (part, (end.over.keep, end.over.batch))
                for end, own in zip(sums, found.sums, strict=True)
                for part in own.parts
            ]
            family = FAMILIES[found.activation](
                [part for part, _ in parts], [region for _, region in parts], len(walk.shape)
            )
        except UntraceableError:
            return None
        if found.masks and not family.masks:
            return None
        devices = {v.device.type for v in given.values() if isinstance(v, torch.Tensor)}
        # To see whether anything is masked in a block waits for a GPU.
        is_there = devices <= ({"cpu"} if found.masks else set(DEVICES[found.activation]))
        return cls(found, family) if is_there else None


class Closed:
    """Stands for the maps of a walk where nothing but the prediction wants a gradient."""

    def __init__(self, walk: Walk, maps: Maps, form: ClosedForm):
        found, self.family = form.trace, form.family
        names = [name for name, _ in walk.inputs]
        self.maps = maps
        self.ends = list(zip(maps.sums, found.sums, strict=True))
        self.prediction, self.target = names.index(found.prediction), names.index(found.target)
        self.masks = [names.index(mask) for mask in found.masks]
        site = found.prepares.site
        assert site is not None
        self.by_label = found.activation == "softmax"
        self.prepare: Callable[..., Tensor] = (
            partial(targets.labels, site=site)
            if self.by_label
            else partial(targets.dense, site=site, over="element")
        )
        self.float_prediction = partial(float_prediction, site=site)
        self.numbers = [
            (end, part) for end, own in self.ends for part in own.found if isinstance(part, Number)
        ]
        self.per_sample = [keep > 0 and not batch for keep, batch in self.family.regions]
        self.per_sample += [end.per_sample for end, _ in self.numbers]

    def fits(self, inputs: Sequence[Any]) -> bool:
        """Whether nothing but the prediction wants a gradient, and all masks are one, of the target's places."""
        others = [v for i, v in enumerate(inputs) if i != self.prediction and isinstance(v, torch.Tensor)]
        if torch.is_grad_enabled() and any(value.requires_grad for value in others):
            return False
        masks = [inputs[mask] for mask in self.masks]
        return all(
            isinstance(mask, torch.Tensor)
            and self._lies_along(mask, inputs[self.prediction])
            and (mask is masks[0] or (mask.dtype == masks[0].dtype and torch.equal(mask, masks[0])))
            for mask in masks
        )

    def _lies_along(self, mask: Tensor, prediction: Tensor) -> bool:
        """Whether a mask is of all places or, beside a sigmoid, of all elements."""
        if prediction.ndim < 2:
            return False
        samples, _, *space = shape = tuple(prediction.shape)
        if mask.ndim < len(shape):
            return mask.shape == (samples, *space)
        return mask.shape == (samples, 1, *space) or (mask.shape == shape and not self.by_label)

    def keeps(self, inputs: Sequence[Any]) -> int | None:
        """The prediction, whose probabilities can be left where its gradient will be."""
        logits = inputs[self.prediction]
        # Of a prediction in half precision they would lose half of their digits there.
        fits = logits.requires_grad and logits.dtype in EXACT
        return self.prediction if self.family.keeps and fits else None

    def totals(self, inputs: Sequence[Any], place: Tensor | None) -> list[list[Tensor]]:
        """Every sum, as the maps give them; the probabilities go to `place`."""
        cut = self.maps.cut
        with SCRATCH as scratch:
            blocks = zip(self._blocks(inputs, scratch), cut.parts(place), strict=True)
            by_piece = zip(*[self._entry(read, own, scratch) for read, own in blocks], strict=True)
        found = [added(cut, own, alone) for own, alone in zip(by_piece, self.per_sample, strict=True)]
        pieces = len(self.family.regions)
        sums, numbers = iter(self.family.parts(found[:pieces])), iter(found[pieces:])
        return [
            [next(sums if isinstance(part, Part) else numbers) for part in own.found] for _, own in self.ends
        ]

    def _entry(self, read: Read, place: Tensor | None, scratch: Scratch) -> list[Tensor]:
        """What a block adds to every piece of the sums, and to every number of what counts."""
        logits, target, kept = read
        pieces = self.family.sums(logits, target, scratch, place, kept)
        return pieces + [self._number(end, number, logits, kept) for end, number in self.numbers]

    def _number(self, end: Sum, number: Number, logits: Tensor, kept: Tensor | None) -> Tensor:
        """How many elements or places of a block count, in the shape of the sum."""
        samples, classes, *space = logits.shape
        if kept is None:
            each = torch.full((samples, 1), prod(space))
        else:
            each = kept.reshape(samples, 1 if self.by_label else kept.shape[1], -1).sum(2)
        each = each if number.by_place else each.expand(samples, classes)
        if end.over.keep == 2:
            return each.sum(0, keepdim=True) if end.over.batch else each
        return each.sum(1) if end.over.keep == 1 else each.sum()

    def gradients(
        self,
        inputs: Sequence[Any],
        cotangents: Sequence[Sequence[Tensor]],
        places: Sequence[Tensor | None],
        filled: bool,
    ) -> None:
        """Writes the gradient of Σ cotangent * sum for the prediction to its place.

        If it is `filled`, the probabilities stand there.
        """
        place = places[self.prediction]
        if place is None:
            return
        shares = [
            self._shares(end, weight)
            for (end, own), given in zip(self.ends, cotangents, strict=True)
            for part, weight in zip(own.found, given, strict=True)
            if isinstance(part, Part)
        ]
        parts = self.maps.cut.parts(place)
        with SCRATCH as scratch:
            blocks = zip(self._blocks(inputs, scratch), parts, zip(*shares, strict=True), strict=True)
            for (logits, target, kept), own, share in blocks:
                out = own if own.dtype == logits.dtype else scratch.like(logits)
                self.family.gradient(logits, target, share, scratch, out, filled, kept)
                if out is not own:
                    own.copy_(out)

    def _shares(self, end: Sum, weight: Tensor) -> list[Any]:
        """The weight of a sum in every block."""
        cut = self.maps.cut
        found = {
            block.first: along(of_block(cut, end, block, weight), len(cut.shape))
            for block in cut.blocks
            if block.low == 0
        }
        return [found[block.first] for block in cut.blocks]

    def _blocks(self, inputs: Sequence[Any], scratch: Scratch) -> Iterator[Read]:
        """What is read of every block, in the types that it is computed in."""
        prediction, target = inputs[self.prediction], inputs[self.target]
        is_ready = target.dtype == (torch.long if self.by_label else prediction.dtype)
        if is_ready:
            # Of all of it that is a view, which shows here where it does not fit.
            target = self.prepare(target, prediction)
        mask = inputs[self.masks[0]] if self.masks else None
        is_ready = is_ready and mask is None and prediction.dtype in EXACT
        for logits, own, kept in zip(*map(self.maps.cut.parts, (prediction, target, mask)), strict=True):
            scratch.release(0)
            yield (logits, own, None) if is_ready else self._read(logits, own, kept, scratch)

    def _read(self, logits: Tensor, target: Tensor, mask: Tensor | None, scratch: Scratch) -> Read:
        logits = self.float_prediction(logits)
        kept = mask if mask is None or mask.dtype == torch.bool else mask != 0
        if kept is None or holds_all(kept):
            return logits, self.prepare(target, logits), None
        if self.by_label:
            target = self.prepare(target, logits)
            kept = kept.reshape(target.shape)
            return logits, target.where(kept, 0), kept
        kept = kept if kept.ndim == logits.ndim else kept.unsqueeze(1)
        target = self.prepare(target, logits)
        shown = bits(kept.expand(logits.shape), logits.dtype)
        found = (scratch.like(logits), scratch.like(target))
        for value, out in zip((logits, target), found, strict=True):
            torch.bitwise_and(value.resolve_neg().view(shown.dtype), shown, out=out.view(shown.dtype))
        never = torch.full((), NEVER, dtype=logits.dtype).view(shown.dtype)
        found[0].view(shown.dtype).bitwise_or_(shown.bitwise_not_().bitwise_and_(never))
        return *found, kept


class Prepared(NamedTuple):
    """A walk with what runs it over tensors of one signature."""

    walk: Walk
    maps: Maps
    closed: Closed | None
