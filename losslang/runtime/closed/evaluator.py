"""Evaluates a walk in closed form: the same sums and gradients as by its maps, with fewer operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from math import prod
from typing import Any, NamedTuple

from losslang.plan.operations.call import float_prediction
from losslang.plan.operations.sums import Sum
from losslang.primitives.entropy import NEVER
from losslang.registry import Registry
from losslang.runtime.binding import sum_of
from losslang.runtime.blocks.cut import Cut
from losslang.runtime.blocks.evaluator import AutogradEvaluator
from losslang.runtime.blocks.ledger import added, of_block
from losslang.runtime.blocks.split import Walk
from losslang.runtime.blocks.team import each
from losslang.runtime.closed.evaluate import along
from losslang.runtime.closed.scratch import Scratch
from losslang.runtime.closed.sigmoid import Sigmoid
from losslang.runtime.closed.softmax import Softmax
from losslang.runtime.closed.symbols import UntraceableError
from losslang.runtime.closed.trace import Number, Part, Trace, trace
from losslang.tensors import targets
from losslang.tensors.byte_masks import bits, holds_all
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

BlockInputs = tuple[Tensor, Tensor, Tensor | None]
"""The logits and the target of a block, and its mask: True where a place counts; None if all do."""
Views = tuple[Tensor, Tensor, Tensor | None, bool]
"""The parts of the inputs in a block: logits, target, mask; and whether these are `BlockInputs` as they are."""
FORMULAS = {"sigmoid": Sigmoid, "softmax": Softmax}
SCRATCH = Scratch()
EXACT = (torch.float32, torch.float64)
DEVICES = {"sigmoid": ("cpu", "cuda"), "softmax": ("cpu",)}
"""Where each was measured to be faster, if nothing is masked; on a GPU labels always are."""


class ClosedForm(NamedTuple):
    """The sums of a walk as polynomials, and the formulas that compute them and their gradient on a block."""

    trace: Trace
    formulas: Sigmoid | Softmax

    @classmethod
    def of(cls, walk: Walk, registry: Registry, given: Mapping[str, Any]) -> ClosedForm | None:
        """Traces a walk in a call with these inputs; returns None where it has no closed form."""
        sums = [sum_of(step, registry) for step in walk.sums]
        try:
            found = trace(walk, sums, registry, given)
            parts = [
                (part, (end.over.keep, end.over.batch))
                for end, own in zip(sums, found.sums, strict=True)
                for part in own.parts
            ]
            formulas = FORMULAS[found.activation](
                [part for part, _ in parts], [region for _, region in parts], len(walk.shape)
            )
        except UntraceableError:
            return None
        if found.masks and not formulas.can_mask:
            return None
        devices = {v.device.type for v in given.values() if isinstance(v, torch.Tensor)}
        # Whether a block holds anything masked is read from the mask, which on a GPU would synchronize.
        is_there = devices <= ({"cpu"} if found.masks else set(DEVICES[found.activation]))
        return cls(found, formulas) if is_there else None


class ClosedFormEvaluator:
    """Computes the sums of blocks and the gradient of the prediction, where nothing else needs one."""

    def __init__(self, walk: Walk, autograd: AutogradEvaluator, form: ClosedForm):
        found, self.formulas = form.trace, form.formulas
        names = [name for name, _ in walk.inputs]
        self.cut = autograd.cut
        self.ends = list(zip(autograd.sums, found.sums, strict=True))
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
        self.per_sample = [keep > 0 and not batch for keep, batch in self.formulas.regions]
        self.per_sample += [end.per_sample for end, _ in self.numbers]

    def of_cut(self, cut: Cut) -> ClosedFormEvaluator:
        """Returns the same for predictions that are cut otherwise."""
        own = copy(self)
        own.cut = cut
        return own

    def fits(self, inputs: Sequence[Any]) -> bool:
        """Returns whether the prediction alone needs a gradient, and all masks are one mask of places."""
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
        """Returns whether a mask is of all places or, with a sigmoid, of all elements."""
        if prediction.ndim < 2:
            return False
        samples, _, *space = shape = tuple(prediction.shape)
        if mask.ndim < len(shape):
            return mask.shape == (samples, *space)
        return mask.shape == (samples, 1, *space) or (mask.shape == shape and not self.by_label)

    def saved_input(self, inputs: Sequence[Any]) -> int | None:
        """Returns the prediction, whose gradient buffer can store the probabilities until backward."""
        logits = inputs[self.prediction]
        # A buffer in half precision would round the probabilities to half of their digits.
        fits = logits.requires_grad and logits.dtype in EXACT
        return self.prediction if self.formulas.saves_probs and fits else None

    def totals(self, inputs: Sequence[Any], saved: Tensor | None) -> list[list[Tensor]]:
        """Returns every sum over all blocks; writes the probabilities to `saved`, if it is given."""

        def sums_of(block: Views, saved: Tensor | None) -> list[Tensor]:
            with SCRATCH as scratch:
                return self._sums(self._read(block, scratch), saved, scratch)

        blocks = list(zip(self._views(inputs), self.cut.parts(saved), strict=True))
        by_piece = zip(*each(sums_of, blocks, inputs[self.prediction].device), strict=True)
        found = [added(self.cut, own, alone) for own, alone in zip(by_piece, self.per_sample, strict=True)]
        pieces = len(self.formulas.regions)
        sums, numbers = iter(self.formulas.parts(found[:pieces])), iter(found[pieces:])
        return [
            [next(sums if isinstance(part, Part) else numbers) for part in own.found] for _, own in self.ends
        ]

    def _sums(self, block: BlockInputs, saved: Tensor | None, scratch: Scratch) -> list[Tensor]:
        """Returns the sums of one block, and how many elements each has."""
        logits, target, mask = block
        pieces = self.formulas.sums(logits, target, scratch, saved, mask)
        return pieces + [self._number(end, number, logits, mask) for end, number in self.numbers]

    def _number(self, end: Sum, number: Number, logits: Tensor, mask: Tensor | None) -> Tensor:
        """Number of unmasked elements (places, if `by_place`) of a block, reduced like the sum beside it."""
        samples, classes, *space = logits.shape
        if mask is None:
            each = torch.full((samples, 1), prod(space))
        else:
            each = mask.reshape(samples, 1 if self.by_label else mask.shape[1], -1).sum(2)
        each = each if number.by_place else each.expand(samples, classes)
        if end.over.keep == 2:
            return each.sum(0, keepdim=True) if end.over.batch else each
        return each.sum(1) if end.over.keep == 1 else each.sum()

    def gradients(
        self,
        inputs: Sequence[Any],
        cotangents: Sequence[Sequence[Tensor]],
        buffers: Sequence[Tensor | None],
        has_saved: bool,
    ) -> None:
        """Writes the gradient of Σ cotangent * sum with respect to the prediction to its buffer.

        `has_saved`: the buffer holds the probabilities.
        """
        buffer = buffers[self.prediction]
        if buffer is None:
            return
        by_block = [
            self._cotangent_of_blocks(end, cotangent)
            for (end, own), given in zip(self.ends, cotangents, strict=True)
            for part, cotangent in zip(own.found, given, strict=True)
            if isinstance(part, Part)
        ]

        def write(block: Views, own: Tensor, cotangents: Sequence[Any]) -> None:
            with SCRATCH as scratch:
                logits, target, mask = self._read(block, scratch)
                out = own if own.dtype == logits.dtype else scratch.like(logits)
                self.formulas.gradient(logits, target, cotangents, scratch, out, has_saved, mask)
                if out is not own:
                    own.copy_(out)

        parts = self.cut.parts(buffer)
        blocks = zip(self._views(inputs), parts, zip(*by_block, strict=True), strict=True)
        each(write, list(blocks), buffer.device)

    def _cotangent_of_blocks(self, end: Sum, cotangent: Tensor) -> list[Any]:
        """Returns, for every block, the cotangent of its samples: a number, or one a sample and class."""
        cut = self.cut
        found = {
            block.first: along(of_block(cut, end, block, cotangent), len(cut.shape))
            for block in cut.blocks
            if block.low == 0
        }
        return [found[block.first] for block in cut.blocks]

    def _views(self, inputs: Sequence[Any]) -> Iterator[Views]:
        """Returns the inputs of every block, and whether it can compute in them as they are."""
        prediction, target = inputs[self.prediction], inputs[self.target]
        is_ready = target.dtype == (torch.long if self.by_label else prediction.dtype)
        if is_ready:
            # A view of the whole target, which is refused here if its shape does not fit.
            target = self.prepare(target, prediction)
        mask = inputs[self.masks[0]] if self.masks else None
        is_ready = is_ready and mask is None and prediction.dtype in EXACT
        return zip(*map(self.cut.parts, (prediction, target, mask, is_ready)), strict=True)

    def _read(self, block: Views, scratch: Scratch) -> BlockInputs:
        """Returns the inputs of a block in the types that it is computed in.

        Where masked, the class is 0 and the logit `NEVER`.
        """
        logits, target, mask, is_ready = block
        if is_ready:
            return logits, target, None
        logits = self.float_prediction(logits)
        mask = mask if mask is None or mask.dtype == torch.bool else mask != 0
        if mask is None or holds_all(mask):
            return logits, self.prepare(target, logits), None
        if self.by_label:
            target = self.prepare(target, logits)
            mask = mask.reshape(target.shape)
            return logits, target.where(mask, 0), mask
        mask = mask if mask.ndim == logits.ndim else mask.unsqueeze(1)
        target = self.prepare(target, logits)
        shown = bits(mask.expand(logits.shape), logits.dtype)
        found = (scratch.like(logits), scratch.like(target))
        for value, out in zip((logits, target), found, strict=True):
            torch.bitwise_and(value.resolve_neg().view(shown.dtype), shown, out=out.view(shown.dtype))
        never = torch.full((), NEVER, dtype=logits.dtype).view(shown.dtype)
        found[0].view(shown.dtype).bitwise_or_(shown.bitwise_not_().bitwise_and_(never))
        return *found, mask
