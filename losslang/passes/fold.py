"""What is known before anything runs: zero weights, and arithmetic that changes nothing."""

from __future__ import annotations

from dataclasses import replace

from losslang.plan import Argument, Plan, Ref, Step

NEUTRAL = {("math:*", 1): 1.0, ("math:/", 1): 1.0, ("math:**", 1): 1.0, ("math:+", 1): 0.0}
"""(operation, position): the constant that makes the operation return its other input."""


def fold(plan: Plan) -> Plan:
    """Drops the terms of weight 0 and the steps that return what they were given."""
    same: dict[str, Argument] = {}
    steps: list[Step] = []
    for step in plan.steps:
        step = replace(step, inputs=tuple(_through(i, same) for i in step.inputs))
        kept = _unchanged(step)
        if kept is None:
            steps.append(step)
        else:
            same[step.name] = kept
    outputs = tuple(
        replace(output, value=_through(output.value, same))
        for output in plan.outputs
        if output.weight != 0 or output.metric
    )
    return Plan(tuple(steps), outputs)


def _unchanged(step: Step) -> Argument:
    """The input that a step returns as it is, if it does."""
    if step.operation == "math:*" and step.inputs[0] == 1.0:
        return step.inputs[1]
    if step.operation == "cool" and dict(step.options)["temperature"] == 1:
        return step.inputs[0]
    if len(step.inputs) == 2 and NEUTRAL.get((step.operation, 1)) == step.inputs[1]:
        return step.inputs[0] if step.inputs[1] is not None else None
    return None


def _through(argument: Argument, same: dict[str, Argument]) -> Argument:
    while isinstance(argument, Ref) and argument.name in same:
        argument = same[argument.name]
    return argument
