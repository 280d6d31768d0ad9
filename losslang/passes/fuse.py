"""A loss of an activation that has a kernel of its own: `bce(sigmoid)`, `ce(softmax)`.

The kernel reads the logits, so no view of the prediction is stored for it. It runs after `share`,
and only where the loss reads nothing but views that `stable` made from one activation.
"""

from __future__ import annotations

from dataclasses import replace

from losslang.plan import Plan, Ref, Step
from losslang.primitive import Loss
from losslang.registry import current_registry
from losslang.vocabulary import VIEWS

VIEW_OF = {
    "log_sigmoid": "sigmoid",
    "log_complement_sigmoid": "sigmoid",
    "log_softmax": "softmax",
    "log_complement_softmax": "softmax",
    "activation:sigmoid": "sigmoid",
    "activation:softmax": "softmax",
}


def fuse(plan: Plan) -> Plan:
    """Replaces a loss on views by its kernel on the logits."""
    registry = current_registry()
    above = {step.name: step for step in plan.steps}
    steps: list[Step] = []
    for step in plan.steps:
        loss = registry.get(Loss, step.operation.removeprefix("loss:"))
        fits = step.operation.startswith("loss:") and loss is not None and bool(loss.kernels)
        steps.append(_fused(step, loss, above) if fits and loss is not None else step)
    return Plan(tuple(steps), plan.outputs)


def _fused(step: Step, loss: Loss, above: dict[str, Step]) -> Step:
    by_name = dict(zip(loss.parameters, step.inputs, strict=True))
    views = [above[i.name] for n, i in by_name.items() if n in VIEWS and isinstance(i, Ref)]
    activations = {VIEW_OF.get(view.operation) for view in views}
    logits = {view.inputs for view in views}
    if len(activations) != 1 or len(logits) != 1:
        return step
    (activation,) = activations
    if activation is None or activation not in loss.kernels:
        return step
    others = tuple(i for n, i in by_name.items() if n not in VIEWS)
    return replace(step, operation=f"kernel:{loss.name}.{activation}", inputs=(*logits.pop(), *others))
