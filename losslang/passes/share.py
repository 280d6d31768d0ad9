"""Equal steps are computed once: two terms that read the same view of a prediction share it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from losslang.plan import Argument, Plan, Ref, Step


def share(plan: Plan) -> Plan:
    """Replaces every step that computes what an earlier one did by that one."""
    first: dict[Any, Step] = {}
    renamed: dict[str, Ref] = {}

    def through(argument: Argument) -> Argument:
        return renamed.get(argument.name, argument) if isinstance(argument, Ref) else argument

    for step in plan.steps:
        step = replace(step, inputs=tuple(map(through, step.inputs)))
        # 1 == 1.0 == True in Python, and their texts differ.
        key = (step.operation, repr(step.inputs), repr(step.options))
        if key in first:
            renamed[step.name] = Ref(first[key].name)
        else:
            first[key] = step
    outputs = tuple(replace(output, value=through(output.value)) for output in plan.outputs)
    return Plan(tuple(first.values()), outputs)
