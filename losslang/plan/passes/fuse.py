"""Kernel fusion: a loss of an activation that has a kernel reads the logits: `bce(sigmoid)`, `ce(softmax)`.

    log = log_softmax(x); ce = loss:ce(log, labels)
    ce = kernel:ce.softmax(x, labels)

No view of the prediction is stored for the kernel. The pass runs after `cse`, and applies where all views
that the loss reads come from one activation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

from losslang.plan.plan import Argument, Plan, Ref, Step
from losslang.primitives.primitive import Loss
from losslang.registry import Registry, current_registry, loss_behind
from losslang.vocabulary import VIEWS

VIEW_OF = {
    "log_sigmoid": "sigmoid",
    "log_complement_sigmoid": "sigmoid",
    "log_softmax": "softmax",
    "log_complement_softmax": "softmax",
    "activation:sigmoid": "sigmoid",
    "activation:softmax": "softmax",
}
OF_THE_TRUE = ("true_element", "log_true_element")
"""Views of the probability of the true class: computed from views of the prediction and the target."""


def fuse(plan: Plan, registry: Registry | None = None) -> Plan:
    """Replaces losses on views by kernels on logits.

    `registry` holds the kernels; the current one if None.
    """
    registry = registry or current_registry()
    above = {step.name: step for step in plan.steps}
    steps: list[Step] = []
    for step in plan.steps:
        loss = loss_behind(step.operation, registry)
        fits = loss is not None and not loss.has_total
        steps.append(_fused(step, loss, above) if fits and loss is not None else step)
    return Plan(tuple(steps), plan.outputs)


def _fused(step: Step, loss: Loss, above: dict[str, Step]) -> Step:
    tensors, options = step.inputs[: len(loss.parameters)], step.inputs[len(loss.parameters) :]
    by_name = dict(zip(loss.parameters, tensors, strict=True))
    views = {i for n, i in by_name.items() if n in VIEWS}
    origins = {_origin(view, above) for view in views}
    if not loss.kernels:
        return step
    found = origins.pop() if len(origins) == 1 else None
    if (found is None or found[0] not in loss.kernels) and len(views) == 1:
        # A kernel for "identity" reads the view itself, whatever it was computed from.
        found = "identity", next(iter(views))
    if found is None or found[0] not in loss.kernels:
        return step
    activation, logits = found
    names = [name for _, name in step.named]
    if not _takes_tensors(loss.kernels[activation], names):
        return step
    others = tuple(i for n, i in by_name.items() if n not in VIEWS)
    named = tuple(enumerate(names, 1 + len(others)))
    inputs = (logits, *others, *options)
    return replace(step, operation=f"kernel:{loss.name}.{activation}", inputs=inputs, named=named)


def _takes_tensors(kernel: Callable[..., Any], names: Sequence[str]) -> bool:
    """Returns whether a kernel declares these options as dynamic too."""
    declared = signature(kernel).parameters
    return all(n in declared and str(declared[n].annotation).startswith("Dynamic[") for n in names)


def _origin(view: Argument, above: dict[str, Step]) -> tuple[str, Argument] | None:
    """Returns the activation and the logits that a view is computed from."""
    step = above[view.name] if isinstance(view, Ref) else None
    if step is None:
        return None
    if step.operation in VIEW_OF:
        return VIEW_OF[step.operation], step.inputs[0]
    if step.operation not in OF_THE_TRUE:
        return None
    # The last input is the target.
    origins = {_origin(part, above) for part in step.inputs[:-1]}
    return origins.pop() if len(origins) == 1 else None
