"""`log(sigmoid(x))` is mathematics; `log_sigmoid(x)` is what a machine can compute for every x."""

from __future__ import annotations

from dataclasses import replace

from losslang.plan import Plan, Ref, Step

STABLE = {
    ("log", "sigmoid"): "log_sigmoid",
    ("log", "softmax"): "log_softmax",
    ("log", "exp"): "",
    ("log_complement", "sigmoid"): "log_complement_sigmoid",
    ("log_complement", "softmax"): "log_complement_softmax",
}
"""A logarithm of an activation, and the one operation that it is; '' is the logits themselves."""


def stable(plan: Plan) -> Plan:
    """Replaces logarithms of activations by the operation that is exact at any size of logits."""
    above = {step.name: step for step in plan.steps}
    steps: list[Step] = []
    for step in plan.steps:
        inner = above.get(step.reads[0]) if len(step.reads) == 1 else None
        activation = inner.operation.removeprefix("activation:") if inner is not None else ""
        operation = STABLE.get((step.operation, activation))
        if inner is None or operation is None:
            steps.append(step)
        else:
            steps.append(replace(step, operation=operation or "same", inputs=inner.inputs))
    return _without_same(Plan(tuple(steps), plan.outputs))


def _without_same(plan: Plan) -> Plan:
    """The plan with every `same` step replaced by its input."""
    same = {s.name: s.inputs[0] for s in plan.steps if s.operation == "same"}
    steps = [
        replace(s, inputs=tuple(same.get(i.name, i) if isinstance(i, Ref) else i for i in s.inputs))
        for s in plan.steps
        if s.operation != "same"
    ]
    return Plan(tuple(steps), plan.outputs)
