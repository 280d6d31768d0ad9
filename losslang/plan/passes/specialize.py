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


def constants(plan: Plan) -> list[str]:
    """Returns the steps that give the same tensor in each call: weights of classes that the program wrote."""
    written = {step.name for step in plan.steps if step.operation == "constant"}
    return [
        step.name
        for step in plan.steps
        if step.operation == "per_class" and not written.isdisjoint(step.input_names)
    ]


def specialize(plan: Plan, idle: Collection[str], known: Collection[str] = ()) -> Plan:
    """Drops all checks, and the steps named in `idle`, which returned their first input unchanged.

    Those `known` too: what reads one is given its value.
    """
    same = {step.name: step.inputs[0] for step in plan.steps if step.name in idle}
    steps = [step for step in plan.steps if step.kind != "check" and step.name not in known]
    read = {name for step in steps for name in step.input_names}
    # Numbers that are read for a known value alone.
    steps = [step for step in steps if step.operation != "constant" or step.name in read]
    return substituted(Plan(tuple(steps), plan.outputs), same)
