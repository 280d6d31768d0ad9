"""Masks of targets: one with labels to ignore is masked as its kernel reads it, so that the values need no mask.

    zero_masked = zero_masked(target, not_ignored); dense = dense(zero_masked, x)
    bce = kernel:bce.sigmoid(x2, dense, none)

    masked = zero_masked(dense, mask); bce = kernel:bce.sigmoid(x2, masked, none)

A label to ignore is class 0 before, and of indices of classes `dense` makes a one of that. `fuse_masks` then
finds a kernel that is 0 where it is masked; `mask_once` takes one of the two masks away. Not one of PASSES.
"""

from __future__ import annotations

from collections.abc import Mapping

from losslang.plan.passes.fuse_masks import MASKING, as_given
from losslang.plan.passes.probes import zero_at
from losslang.plan.plan import Plan, Ref, Step
from losslang.registry import Registry


def mask_targets(plan: Plan, registry: Registry) -> Plan:
    """Masks the targets of kernels that are 0 then, for every loss of the same mask."""
    above = {step.name: step for step in plan.steps}
    found = {step.name: _target_and_mask(step, above) for step in plan.steps}
    wanted = {
        found[step.name]
        for step in plan.steps
        if step.kind == "kernel" and found[step.name] is not None and zero_at(step, registry) is not None
    }
    made: dict[tuple[Ref, Ref], Ref] = {}
    steps: list[Step] = []
    for step in plan.steps:
        pair = found[step.name]
        if pair is None or pair not in wanted:
            steps.append(step)
            continue
        target, mask = pair
        if pair not in made:
            made[pair] = Ref(f"{target.name} without {mask.name}")
            steps.append(Step(made[pair].name, "zero_masked", pair, owners=above[target.name].owners))
        steps.append(step.with_inputs([made[pair] if i == target else i for i in step.inputs]))
    return Plan(tuple(steps), plan.outputs)


def _target_and_mask(step: Step, above: Mapping[str, Step]) -> tuple[Ref, Ref] | None:
    """Returns the target without labels to ignore that a loss reads, and the mask of these; else None."""
    if step.kind not in ("kernel", "loss") or len(step.inputs) < 2:
        return None
    prediction, target = (above.get(i.name) if isinstance(i, Ref) else None for i in step.inputs[:2])
    if prediction is None or target is None or target.operation != "dense":
        return None
    mask = prediction.inputs[1] if prediction.operation in MASKING else step.inputs[-1]
    raw = above.get(target.input_names[0])
    if not isinstance(mask, Ref) or raw is None or raw.operation not in MASKING:
        return None
    # Beside a mask of the program that one is on the target already.
    is_of_labels = above[raw.input_names[1]].operation == "not_ignored" if len(raw.input_names) > 1 else False
    return (Ref(target.name), mask) if is_of_labels and as_given(mask, above) == raw.inputs[1] else None
