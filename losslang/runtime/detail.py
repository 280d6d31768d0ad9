"""The answer of `loss.detail`: the terms of one evaluation, with what their means are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from losslang.plan.lower import BODY, BY_CLASS, COUNT, FACTOR, MEAN
from losslang.plan.plan import Output
from losslang.tensors.devices import vector, widest
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor


class Detail(NamedTuple):
    """One evaluation, term by term.

    `values`, `weights` and `contributions` are 1-D, aligned with `names`, detached, in the dtype of
    `total`. A weight is the one in force: a number of the program times what a schedule, or a factor of the
    call, is now. The contributions add up to the total; a metric contributes 0.

    `sums` and `counts` are aligned with them, in float64 where the device has it: a value is its sum divided
    by its count, so that added up over batches or ranks they give the value of all of them at once:
    `torch.where(counts > 0, sums / counts, sums)`. The count of a weighted mean is the sum of its weights, of
    a sum 0, of a term on parameters or a constant 1 a call. Both are NaN where a value is no quotient of
    sums: with `batch=true`, `topk`, `quantile`, products, roots, losses that are one number. `by_class` is
    empty, or maps names of terms to values by channel: see `Loss.detail`.

    Of a loss over ranks (`compile(..., distributed=)`) all of them are those of the whole batch already.
    """

    total: Tensor
    names: tuple[str, ...]
    values: Tensor
    weights: Tensor
    contributions: Tensor
    sums: Tensor
    counts: Tensor
    by_class: Mapping[str, Tensor]

    @property
    def finite(self) -> Tensor:
        """Which terms are finite, value and contribution: bools aligned with `names`. It waits for no GPU."""
        are_finite = torch.isfinite(self.values) & torch.isfinite(self.contributions)
        # Values that are not reduced are those of one term.
        is_reduced = are_finite.shape == (len(self.names),)
        return are_finite if is_reduced else are_finite.all().reshape(1)


Detail.__module__ = "losslang"


class Reader(NamedTuple):
    """Where the terms of a plan stand among its outputs, and their counts: asked once, not in every call."""

    names: tuple[str, ...]
    weights: tuple[float, ...]
    values: tuple[int, ...]
    means: tuple[int, ...]
    factors: tuple[int | None, ...]
    counts: tuple[int | None, ...]
    are_sums: tuple[bool, ...]
    by_class: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, outputs: Sequence[Output], names: Sequence[str]) -> Reader:
        """That of outputs among which those named are terms."""
        at = {output.name: position for position, output in enumerate(outputs)}
        terms = [output for output in outputs if output.name in set(names)]
        counts = tuple(at.get(term.name + COUNT) for term in terms)
        return cls(
            tuple(term.name for term in terms),
            tuple(0.0 if term.metric else term.weight for term in terms),
            values := tuple(at.get(term.name + BODY, at[term.name]) for term in terms),
            tuple(at.get(t.name + MEAN, value) for t, value in zip(terms, values, strict=True)),
            tuple(at.get(term.name + FACTOR) for term in terms),
            counts,
            tuple(position is not None and outputs[position].value == 0.0 for position in counts),
            tuple((term.name, at[term.name + BY_CLASS]) for term in terms if term.name + BY_CLASS in at),
        )

    def detail(self, found: Sequence[Any], total: Tensor) -> Detail:
        """The answer, given the values of all outputs."""
        dtype, device = total.dtype, total.device
        values = stacked([found[position] for position in self.values], dtype, device)
        weights = vector(self.weights, dtype, device)
        if any(position is not None for position in self.factors):
            factors = [1.0 if position is None else found[position] for position in self.factors]
            weights = weights * stacked(factors, dtype, device)
        numbers = [torch.nan if position is None else found[position] for position in self.counts]
        counts = stacked(numbers, widest(total), device)
        per_value = counts
        if any(self.are_sums):
            ones = [1.0 if is_sum else n for is_sum, n in zip(self.are_sums, numbers, strict=True)]
            per_value = stacked(ones, counts.dtype, device)
        # Under a norm a value is a part of its step; the sum is that of this call.
        means = (
            values
            if self.means == self.values
            else stacked([found[position] for position in self.means], dtype, device)
        )
        # Values that are not reduced have no sum. float32 times float64 is computed, and given, in float64.
        sums = means * per_value if means.shape == per_value.shape else counts
        by_class = {name: found[position] for name, position in self.by_class}
        return Detail(total, self.names, values, weights, values * weights, sums, counts, by_class)


def stacked(numbers: Sequence[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns numbers and 0-d tensors as one vector; values that are not reduced stay as they are."""
    if not any(isinstance(number, torch.Tensor) for number in numbers):
        return vector(numbers, dtype, device)
    tensors = [
        number.detach().to(device, dtype)
        if isinstance(number, torch.Tensor)
        else torch.full((), number, dtype=dtype, device=device)
        for number in numbers
    ]
    return torch.stack(tensors) if all(tensor.ndim == 0 for tensor in tensors) else tensors[0]
