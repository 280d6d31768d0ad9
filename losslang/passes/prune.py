"""A step that nobody reads is not computed."""

from __future__ import annotations

from losslang.plan import Plan, Ref, Step

KEPT = ("complete",)
"""Operations that are there for what they refuse."""


def prune(plan: Plan, *, metrics: bool = True) -> Plan:
    """Drops the steps that no term and no check needs; `metrics=False` drops the metrics as well."""
    outputs = tuple(output for output in plan.outputs if metrics or not output.metric)
    wanted = {output.value.name for output in outputs if isinstance(output.value, Ref)}
    kept: list[Step] = []
    for step in reversed(plan.steps):
        guards = step.operation.startswith("check:") or step.operation in KEPT
        if step.name in wanted or guards:
            kept.append(step)
            wanted.update(step.reads)
    return Plan(tuple(reversed(kept)), outputs)
