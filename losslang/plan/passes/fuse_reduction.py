"""Reduction fusion: a kernel that can reduce takes the mean or the sum itself.

    ce = kernel:ce.softmax(x, labels); mean = reduction:mean(ce, none, none)
    mean = kernel:ce.softmax(x, labels, reduction=mean)

Not one of PASSES: in blocks a mean is computed from the sums of all blocks, so it needs a step of its own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from inspect import signature

from losslang.plan.plan import Plan, Ref, Step
from losslang.primitives.primitive import Loss
from losslang.registry import Registry, loss_behind

OWN = {"reduction:mean": "mean", "reduction:sum": "sum"}
"""Reductions that torch's kernels take, with their names there."""


def fuse_reduction(plan: Plan, registry: Registry) -> Plan:
    """Moves the unweighted mean or sum of a kernel into the kernel, if nothing else reads its values.

    A loss that returns one number needs no reduction, and is replaced by its kernel if it has one.
    """
    plan = Plan(tuple(_of_number(step, registry) for step in plan.steps), plan.outputs)
    above = {step.name: step for step in plan.steps}
    readers = Counter(name for step in plan.steps for name in step.input_names)
    readers.update(output.value.name for output in plan.outputs if isinstance(output.value, Ref))
    merged: dict[str, Step] = {}
    for step in plan.steps:
        own = OWN.get(step.operation)
        values = step.inputs[0] if own is not None else None
        kernel = above[values.name] if isinstance(values, Ref) and step.inputs[1:] == (None, None) else None
        if kernel is not None and readers[kernel.name] == 1 and _reduces(kernel, registry):
            merged[step.name] = replace(
                kernel, name=step.name, options=(*kernel.options, ("reduction", own)), owners=step.owners
            )
    gone = {step.inputs[0] for step in plan.steps if step.name in merged}
    steps = (merged.get(step.name, step) for step in plan.steps if Ref(step.name) not in gone)
    return Plan(tuple(steps), plan.outputs)


def _of_number(step: Step, registry: Registry) -> Step:
    """Replaces a loss that returns one number by its kernel, where nothing is masked."""
    loss = loss_behind(step.operation, registry)
    if (
        loss is None
        or not loss.has_total
        or "identity" not in loss.kernels
        or step.inputs[-1] is not None
        or step.named
    ):
        return step
    if dict(step.options).get("parted"):
        return step
    by_name = zip(loss.parameters, step.inputs[:-1], strict=True)
    options = tuple((name, value) for name, value in step.options if name in loss.option_types)
    return replace(
        step,
        operation=f"kernel:{loss.name}.identity",
        inputs=tuple(value for name, value in by_name if name != "total"),
        options=options,
    )


def _reduces(step: Step, registry: Registry) -> bool:
    """Returns whether a step is a kernel that takes `reduction`, and has no weights by which its mean divides."""
    found = registry.get(Loss, step.loss_name) if step.kind == "kernel" else None
    if found is None:
        return False
    names = list(signature(found.kernels[step.kernel_activation]).parameters)
    others = zip(names[2:], step.inputs[2:], strict=False)
    return "reduction" in names and all(given is None or name == "pos_weight" for name, given in others)
