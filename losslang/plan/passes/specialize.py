"""The plan for tensors like those of a call before: what was found of them holds again."""

from __future__ import annotations

from collections.abc import Collection

from losslang.plan.plan import Plan, Ref, Step, substituted

IDLE = {
    "float_prediction", "hidden", "scalar", "net", "target_like_pred", "float_target", "dense", "labels", "indices", "signs", "sign",
    "sign_of_row", "per_row", "free", "mask", "weigh", "broadcast_to_pred", "beside", "moved", "number",
}  # fmt: skip
"""Steps that may give back what they are given, as shape and type alone decide."""


def may_idle(step: Step) -> bool:
    return step.operation in IDLE and isinstance(step.inputs[0], Ref)


def specialize(plan: Plan, idle: Collection[str]) -> Plan:
    """The plan without the checks that passed, and without the steps that changed nothing."""
    same = {step.name: step.inputs[0] for step in plan.steps if step.name in idle}
    steps = tuple(step for step in plan.steps if step.kind != "check")
    return substituted(Plan(steps, plan.outputs), same)
