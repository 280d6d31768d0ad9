"""Lowers a use of a loss over the ranks of a process group: to its value on the whole batch.

Sums and counts are added up over the ranks; where rows are compared, the inputs are those of all ranks.
"""

from __future__ import annotations

from typing import Any

from losslang.meaning.meaning import LossUse
from losslang.meaning.ranks import way_of
from losslang.plan.lower.builder import Builder
from losslang.plan.lower.detail import count_of
from losslang.plan.lower.use import Use
from losslang.plan.plan import Argument, Ref
from losslang.primitives.primitive import Loss


class OverRanks(Use):
    """Lowers one use of a loss, of which each rank has a part of the batch."""

    def __init__(self, builder: Builder, loss: Loss, use: LossUse):
        super().__init__(builder, loss, use)
        self.way = way_of(use, loss)
        self.emit = self._emit
        self.number: Argument = None
        """How much counts on all ranks, where that divides the value."""

    def lower(self) -> Ref:
        if self.loss.wants == "parameters":
            return super().lower()
        if self.way == "gathered":
            self.out.over_ranks = "gathered"
            value = super().lower()
            if self.use.get("avg_factor") is None:
                self.number = count_of(self)
            self.out.over_ranks = ""
            return value
        value = super().lower()
        if self.way == "parted" or self.use.get("avg_factor") is not None:
            return value
        return self._mean(value)

    def _mean(self, value: Ref) -> Ref:
        """Emits the sum over all ranks, divided by how much counts on all of them."""
        count = count_of(self)
        if count == 0.0:
            self.number = count
            return self.whole(value)
        own = self.emit("count_like", count, value)
        total, number = self.whole(self.emit("part", value, own)), self.whole(own)
        self.number = number
        return self.emit("whole_mean", total, number, value)

    def whole(self, value: Argument) -> Ref:
        """Emits a value summed over the ranks."""
        return self.out.whole(value)

    def _emit(self, operation: str, *inputs: Argument, **options: Any) -> Ref:
        """Appends a step, and what makes its value that of the whole batch, where it is not."""
        emit = self.out.emit
        if self.way == "parted" and operation == f"loss:{self.loss.name}":
            both = self.whole(emit(operation, *inputs, parted=True, **options))
            if self.loss.result_axes:
                self.skipped = emit("counted_of", both)
            return emit("values_of", both)
        if self.way != "gathered" and operation.startswith("class_weight_"):
            how = operation.removeprefix("class_weight_")
            counts = self.whole(emit("class_counts", *inputs, how=how, **options))
            return emit("class_weight_of", counts, inputs[1], how=how)
        if self.way != "gathered" and operation == "pos_weight_balanced":
            return emit("pos_weight_of", self.whole(emit("positive_counts", *inputs)))
        found = emit(operation, *inputs, **options)
        is_sum = operation == "reduction:sum" and self.use.get("avg_factor") is not None
        if (self.way == "parted" and operation == "present") or (self.way == "summed" and is_sum):
            return self.whole(found)
        return found

    def factor(self, value: Any) -> Argument:
        """Emits an `avg_factor`, whose numbers of the call are added up over the ranks."""
        self.number = super().factor(value)
        if isinstance(self.number, Ref):
            before, self.out.over_ranks = self.out.over_ranks, "summed"
            self.number = self.out.number(value, "avg_factor")
            self.out.over_ranks = before
        return self.number

    def value_mask(self, values: Ref) -> Ref | None:
        """Emits which values count: of regions, those with elements on any rank."""
        return self.skipped if self.way == "parted" else super().value_mask(values)
