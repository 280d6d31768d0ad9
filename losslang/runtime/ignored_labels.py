"""Labels to ignore: mostly a call has none, and then nothing has to be masked.

To look at labels takes as long as a few small operations, so the cheapest sufficient look is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

from losslang.plan.passes import drop_masks, fuse_masks, fuse_reduction
from losslang.plan.plan import Plan, Step
from losslang.primitives.primitive import Loss
from losslang.registry import Registry
from losslang.runtime.label_ranges import LabelRange, Sources, ignored_labels
from losslang.tensors.lazy import torch

COUNTING = ("count", "class_counts", "class_weight_balanced", "class_weight_complement")
"""Operations that count what a mask leaves, or the labels."""


def ignored_ranges(plan: Plan, inputs: Sequence[Any]) -> list[LabelRange] | None:
    """The ranges that show whether labels may be ignored; None if some labels are no inputs on a CPU.

    Labels that are computed, or are distributions over classes, have no range that says so: there the masks
    are made.
    """
    sources = Sources(plan, inputs)
    found: list[LabelRange] = []
    for step in ignore_mask_steps(plan):
        slot = sources.laid(step.inputs[0])
        is_dense = dict(step.options)["form"] == "dense"
        if slot is None or not _are_plain(inputs[slot], or_numbers=is_dense):
            return None
        found.append(LabelRange(slot, ignored_labels(step)))
    return list(dict.fromkeys(found))


def ignore_mask_steps(plan: Plan) -> list[Step]:
    """The steps `not_ignored`: each makes the mask of ignored labels, or None where no label is ignored."""
    return [step for step in plan.steps if step.operation == "not_ignored"]


def _are_plain(target: Any, *, or_numbers: bool) -> bool:
    if not isinstance(target, torch.Tensor):
        return False
    if target.dtype != torch.long and not (or_numbers and target.dtype.is_floating_point):
        return False
    return target.is_cpu and target.ndim > 0 and target.numel() > 0


def with_kernel_ignore_index(plan: Plan, registry: Registry) -> Plan:
    """The plan with labels to ignore left to those kernels that can leave them out, as `ce` beside a dice.

    A plan like this looks at no labels, and its checks would refuse those to ignore.
    """
    # From the last on: those before a mask that goes keep their places, while all steps are named anew.
    for position in reversed(range(len(ignore_mask_steps(plan)))):
        plan = _left_to_kernels(ignore_mask_steps(plan)[position], plan, registry) or plan
    return plan


def without_looks(plan: Plan) -> Plan:
    """The plan whose masks of ignored labels are made even where none is ignored."""
    kept = {step.name for step in ignore_mask_steps(plan)}
    blind = ("looks", False)
    steps = (replace(s, options=(*s.options, blind)) if s.name in kept else s for s in plan.steps)
    return Plan(tuple(steps), plan.outputs)


def _left_to_kernels(kept: Step, plan: Plan, registry: Registry) -> Plan | None:
    """The plan without one of its masks, if it serves kernels alone that can leave the label out themselves."""
    index = dict(kept.options)["index"]
    if not isinstance(index, int):
        # A kernel leaves out one label alone.
        return None
    masked = {kept.name}
    for step in plan.steps:
        if not masked.isdisjoint(step.input_names):
            masked.add(step.name)
    told = ("ignore_index", index)
    steps = [
        replace(step, options=(*step.options, told)) if step.name in masked and _is_kernel(step) else step
        for step in plan.steps
    ]
    above = {step.name: step for step in plan.steps}
    for step in steps:
        if step.name in masked and (step.kind == "loss" or step.operation in COUNTING):
            return None
        # What stands between a prediction and its kernel has a gradient beside what is ignored, too.
        if step.name in masked and _is_kernel(step) and above[step.input_names[0]].operation != "zero_masked":
            return None
    free = drop_masks(Plan(tuple(steps), plan.outputs), [kept.name])
    fused = fuse_reduction(fuse_masks(free, registry), registry)
    kernels = [step for step in fused.steps if told in step.options and _is_kernel(step)]
    return free if kernels and all(_leaves_out(step, registry) for step in kernels) else None


def kernels_refuse_the_rest(plan: Plan, registry: Registry, sources: Sources) -> bool:
    """Whether kernels of a plan refuse all labels that the checks behind `sources` do: those not to be ignored."""
    own = Sources(plan, sources.inputs)
    told = {
        (own.given(step.inputs[1]), own.slot(step.inputs[0]), dict(step.options)["ignore_index"])
        for step in plan.steps
        if refuses_labels(step, registry) and "ignore_index" in dict(step.options)
    }
    for check in sources.checks:
        slot, pred = map(sources.slot, check.inputs)
        if slot is None or pred is None or sources.inputs[slot].ndim + 1 != sources.inputs[pred].ndim:
            return False
        if not any((slot, pred, label) in told for label in _left_out(check, sources)):
            return False
    return True


def _left_out(check: Step, sources: Sources) -> tuple[int, ...]:
    """The labels that a check of labels is not handed; none if it reads them in another way than as they came."""
    masked = sources.above.get(check.input_names[0])
    if masked is None or masked.operation != "zero_masked" or sources.laid(masked.inputs[0]) is None:
        return ()
    mask = sources.above[masked.input_names[1]]
    return ignored_labels(mask) if mask.operation == "not_ignored" else ()


def refuses_labels(step: Step, registry: Registry) -> bool:
    """Whether a step is a kernel of torch's over classes, which looks at every label itself."""
    name, _, activation = step.operation.removeprefix("kernel:").partition(".")
    found = registry.get(Loss, name) if _is_kernel(step) else None
    return found is not None and "ignore_index" in signature(found.kernels[activation]).parameters


def _is_kernel(step: Step) -> bool:
    return step.operation.startswith("kernel:")


def _leaves_out(step: Step, registry: Registry) -> bool:
    """Whether a step is a kernel that takes its own mean or sum, and can be told what to leave out of it."""
    return "reduction" in dict(step.options) and refuses_labels(step, registry)
