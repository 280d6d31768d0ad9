"""Numerical stability: log(sigmoid(x)) becomes log_sigmoid(x), which is finite and exact for every x.

Before and after:

    sigmoid = activation:sigmoid(x); log = log(sigmoid)
    log = log_sigmoid(x)
"""

from __future__ import annotations

from dataclasses import replace

from losslang.plan.plan import Argument, Plan, Step, substituted

STABLE = {
    ("log", "sigmoid"): "log_sigmoid",
    ("log", "softmax"): "log_softmax",
    ("log", "exp"): "",
    ("log_complement", "sigmoid"): "log_complement_sigmoid",
    ("log_complement", "softmax"): "log_complement_softmax",
}
"""A logarithm of an activation, and the operation that replaces it; '' stands for the logits themselves."""


def stable(plan: Plan) -> Plan:
    """Replaces logarithms of activations by operations that are numerically stable."""
    above = {step.name: step for step in plan.steps}
    steps: list[Step] = []
    logits: dict[str, Argument] = {}
    for step in plan.steps:
        inner = above.get(step.input_names[0]) if len(step.input_names) == 1 else None
        activation = inner.op if inner is not None else ""
        operation = STABLE.get((step.operation, activation))
        if inner is not None and operation == "":
            logits[step.name] = inner.inputs[0]
        elif inner is not None and operation is not None:
            step = replace(step, operation=operation, inputs=inner.inputs)
        steps.append(step)
    return substituted(Plan(tuple(steps), plan.outputs), logits)
