"""Scheduled weights of eager calls on a CPU: numbers beside a plan that has none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from losslang.plan.plan import Plan, Ref
from losslang.registry import Registry
from losslang.runtime.clocks import clock_read, clocks_read
from losslang.runtime.executor import Executor
from losslang.runtime.program import of_inputs


class Timed:
    """The trained terms without the factors that clocks make alone, and these factors as numbers.

    A call costs what one with constant weights does, and the look at the clocks. Where torch traces, and on a
    GPU, a clock is a tensor: there the factors are steps of the plan.
    """

    def __init__(self, plan: Plan, factors: Plan, clocks: Sequence[str], registry: Registry):
        self.executor = Executor(plan, registry, for_eager=True)
        self.reads_clocks = bool(clocks_read(plan))
        trained = {output.name: at for at, output in enumerate(plan.outputs)}
        scheduled = [o for o in factors.outputs if o.name in trained and isinstance(o.value, Ref)]
        program = of_inputs(replace(factors, outputs=tuple(scheduled)), registry, validate=False)
        self._run = program.calls.run
        self._plain = [output.weight for output in plan.outputs]
        self._places = [
            (trained[output.name], slot) for output, slot in zip(scheduled, program.slots, strict=True)
        ]
        self._read = [list(clocks).index(name) for step in factors.inputs if (name := clock_read(step))]
        # In one attribute: another thread finds both, or neither.
        self._last: tuple[list[int], list[float]] = ([], [])

    def weights(self, times: list[int]) -> list[float]:
        """Returns the weight of each term at these times of the clocks."""
        known, weights = self._last
        if times != known:
            values = self._run(*[times[at] for at in self._read])
            weights = self._plain.copy()
            for at, slot in self._places:
                weights[at] *= values[slot]
            self._last = times, weights
        return weights

    def total(self, values: Sequence[Any], times: list[int]) -> Any:
        """Returns the sum of the terms, weighted as at these times of the clocks."""
        total: Any = None
        for value, weight in zip(values, self.weights(times), strict=True):
            term = value if weight == 1 else value * weight
            total = term if total is None else total + term
        return 0.0 if total is None else total
