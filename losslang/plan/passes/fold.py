"""What is known before anything runs: zero weights, and arithmetic that changes nothing."""

from __future__ import annotations

from losslang.plan.plan import Argument, Plan, Step, substituted

NEUTRAL_LEFT = {("math:*", 1.0), ("math:+", 0.0)}
NEUTRAL_RIGHT = {*NEUTRAL_LEFT, ("math:/", 1.0), ("math:**", 1.0), ("math:-", 0.0)}
"""Operations with the constant, on that side, that makes them return their other input."""


def fold(plan: Plan) -> Plan:
    """Drops the terms of weight 0 and the steps that return what they were given."""
    same = {step.name: kept for step in plan.steps if (kept := _unchanged(step)) is not None}
    outputs = tuple(output for output in plan.outputs if output.weight != 0 or output.metric)
    return substituted(Plan(plan.steps, outputs), same)


def _unchanged(step: Step) -> Argument:
    """The input that a step returns as it is, if it does."""
    if step.operation == "scale_by_temperature" and dict(step.options)["temperature"] == 1:
        return step.inputs[0]
    if len(step.inputs) != 2:
        return None
    left, right = step.inputs
    if isinstance(right, (int, float)) and (step.operation, right) in NEUTRAL_RIGHT:
        return left
    return right if isinstance(left, (int, float)) and (step.operation, left) in NEUTRAL_LEFT else None
