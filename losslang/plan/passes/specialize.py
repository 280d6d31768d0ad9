"""Specialization for inputs of the shapes and types of an earlier call: no checks, no conversions.

Before and after:

    float_prediction = float_prediction(input); mean = reduction:mean(float_prediction)
    mean = reduction:mean(input)        (if `input` was in float32 already)
"""

from __future__ import annotations

from collections.abc import Collection

from losslang.plan.plan import Plan, Ref, Step, substituted

IDLE = {
    "float_prediction", "hidden", "scalar", "net", "target_like_pred", "operand_like_pred", "float_target", "dense", "labels", "indices", "signs", "sign",
    "sign_of_row", "per_row", "free", "mask", "weigh", "broadcast_to_pred", "beside", "moved", "number",
    "with_axes", "fitted", "place_mask", "rows", "rows_of_target", "rows_of_weight",
}  # fmt: skip
"""Operations that return their first input unchanged if shape and dtype already fit."""


def may_idle(step: Step) -> bool:
    """Returns whether a step may return its first input unchanged, as shape and dtype alone decide."""
    return step.operation in IDLE and isinstance(step.inputs[0], Ref)


def specialize(plan: Plan, idle: Collection[str]) -> Plan:
    """Drops all checks, and the steps named in `idle`, which returned their first input unchanged."""
    same = {step.name: step.inputs[0] for step in plan.steps if step.name in idle}
    steps = tuple(step for step in plan.steps if step.kind != "check")
    return substituted(Plan(steps, plan.outputs), same)
