"""Log sharing: the probability of the true class is e to its logarithm, where a loss reads both, as `focal`.

    softmax = activation:softmax(x); true_class = true_class(softmax, labels)
    log_softmax = log_softmax(x); true_class2 = true_class(log_softmax, labels)

    true_class = true_probs(true_class2, x, labels)         (no softmax of all classes)

Not one of PASSES: a walk over blocks computes logarithms from probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator

from losslang.plan.passes.drop_dead_steps import drop_unread_steps
from losslang.plan.plan import Plan, Ref, Step


def share_logs(plan: Plan) -> Plan:
    """Computes probabilities of the true class from their logarithms, if these are computed too."""
    above = {step.name: step for step in plan.steps}
    of_class = [step for step in plan.steps if step.operation == "true_class"]
    logs = {
        (view.inputs[0], step.inputs[1]): (view, step)
        for step in of_class
        if (view := _view(step, above)) is not None and view.operation == "log_softmax"
    }
    replaced = {
        step.name: logs[key]
        for step in of_class
        if (view := _view(step, above)) is not None
        and view.operation == "activation:softmax"
        and (key := (view.inputs[0], step.inputs[1])) in logs
    }
    return drop_unread_steps(Plan(tuple(_rewritten(plan, replaced)), plan.outputs)) if replaced else plan


def _view(step: Step, above: dict[str, Step]) -> Step | None:
    """Returns the step that computes the view of which a step takes the true class."""
    return above.get(step.inputs[0].name) if isinstance(step.inputs[0], Ref) else None


def _rewritten(plan: Plan, replaced: dict[str, tuple[Step, Step]]) -> Iterator[Step]:
    """Yields the steps with the logarithms before what is computed from them."""
    seen: set[str] = set()
    for step in plan.steps:
        if step.name in seen:
            continue
        view, log = replaced.get(step.name, (None, None))
        if view is None or log is None:
            seen.add(step.name)
            yield step
            continue
        for own in (view, log):
            if own.name not in seen:
                seen.add(own.name)
                yield own
        made = (Ref(log.name), view.inputs[0], log.inputs[1])
        yield Step(step.name, "true_probs", made, owners=step.owners)
