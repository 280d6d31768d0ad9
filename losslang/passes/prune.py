"""A step that nobody reads is not computed."""

from __future__ import annotations

from losslang.plan import Plan, Ref, Step

KEPT = ("complete",)
"""Operations that are there for what they refuse."""


def prune(plan: Plan, *, metrics: bool = True) -> Plan:
    """Drops the steps that no term and no check needs; `metrics=False` drops the metrics as well."""
    outputs = tuple(output for output in plan.outputs if metrics or not output.metric)
    wanted = {output.value.name for output in outputs if isinstance(output.value, Ref)}
    for step in reversed(plan.steps):
        if step.name in wanted:
            wanted.update(step.reads)
    kept = tuple(step for step in plan.steps if step.name in wanted or _guards(step, wanted))
    return Plan(kept, outputs)


def _guards(step: Step, computed: set[str]) -> bool:
    """Whether a step refuses something about what is computed anyway."""
    if step.operation in KEPT:
        return True
    return step.operation.startswith("check:") and computed.issuperset(step.reads)
