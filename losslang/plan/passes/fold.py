"""Constant folding: drops terms with a written 0, and arithmetic that returns its input.

Before and after:

    product = math:*(ce, 1); total = product + 0*dice
    total = ce
"""

from __future__ import annotations

from losslang.plan.plan import Argument, Plan, Step, substituted

NEUTRAL_LEFT = {("math:*", 1.0), ("math:+", 0.0)}
NEUTRAL_RIGHT = {*NEUTRAL_LEFT, ("math:/", 1.0), ("math:**", 1.0), ("math:-", 0.0)}
"""Operations and the constant, on the left or the right, with which they return their other input."""


def fold(plan: Plan) -> Plan:
    """Drops terms with a zero that is written in place, and steps that return their input."""
    same = {step.name: kept for step in plan.steps if (kept := _unchanged(step)) is not None}
    outputs = tuple(output for output in plan.outputs if not output.dropped)
    return substituted(Plan(plan.steps, outputs), same)


def _unchanged(step: Step) -> Argument:
    """Returns the input that a step returns unchanged; None if it computes something."""
    if step.operation == "scale_by_temperature" and dict(step.options).get("temperature") == 1:
        return step.inputs[0]
    if len(step.inputs) != 2:
        return None
    left, right = step.inputs
    if isinstance(right, (int, float)) and (step.operation, right) in NEUTRAL_RIGHT:
        return left
    return right if isinstance(left, (int, float)) and (step.operation, left) in NEUTRAL_LEFT else None
