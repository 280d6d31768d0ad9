"""Log sharing: the probability of the true class is e to its logarithm, where a loss reads both, as `focal`.

    softmax = activation:softmax(x); true_class = true_class(softmax, labels)
    log_softmax = log_softmax(x); true_class2 = true_class(log_softmax, labels)
    focal = loss:focal(true_class, true_class2, not_background)

    true_class2 = log_true_class(x, labels); true_class = true_probs(true_class2, x, labels)
    focal = loss:focal(true_class, true_class2, none)       (without an `alpha` it reads no third tensor)

Not one of PASSES: a walk over blocks computes logarithms from probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from losslang.plan.passes.drop_dead_steps import drop_unread_steps
from losslang.plan.passes.probes import reads
from losslang.plan.plan import Plan, Ref, Step
from losslang.registry import Registry


def share_logs(plan: Plan, registry: Registry) -> Plan:
    """Computes probabilities of the true class from their logarithms, if these are computed too."""
    above = {step.name: step for step in plan.steps}
    of_class = [step for step in plan.steps if step.operation == "true_class"]
    views = [(step, view) for step in of_class if (view := _view(step, above)) is not None]
    logs = {(view.inputs[0], step.inputs[1]): step for step, view in views if view.operation == "log_softmax"}
    shared = {
        step.name: (logs[key], view)
        for step, view in views
        if view.operation == "activation:softmax" and (key := (view.inputs[0], step.inputs[1])) in logs
    }
    if not shared:
        return plan
    return drop_unread_steps(Plan(tuple(_rewritten(plan, shared, registry)), plan.outputs))


def _view(step: Step, above: dict[str, Step]) -> Step | None:
    """Returns the step that computes the view of which a step takes the true class."""
    return above.get(step.inputs[0].name) if isinstance(step.inputs[0], Ref) else None


def _rewritten(plan: Plan, shared: dict[str, tuple[Step, Step]], registry: Registry) -> Iterator[Step]:
    """Yields the steps with each logarithm before the probability that is computed from it."""
    seen: set[str] = set()
    background = {step.name for step in plan.steps if step.operation == "not_background"}
    for step in plan.steps:
        if step.name in seen:
            continue
        if step.name in shared:
            log, view = shared[step.name]
            logits, labels = view.inputs[0], log.inputs[1]
            if log.name not in seen:
                seen.add(log.name)
                yield replace(log, operation="log_true_class", inputs=(logits, labels))
            yield Step(step.name, "true_probs", (Ref(log.name), logits, labels), owners=step.owners)
            continue
        unread = [i for i, a in enumerate(step.inputs) if isinstance(a, Ref) and a.name in background]
        if step.kind == "loss" and unread and not any(reads(step, place, registry) for place in unread):
            step = step.with_inputs(None if i in unread else a for i, a in enumerate(step.inputs))
        yield step
