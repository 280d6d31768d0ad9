"""Dead-step elimination (DCE): drops steps that no term reads, and checks of terms that are gone.

Before and after:

    log = log_softmax(x); ce = kernel:ce.softmax(x, labels); mean = reduction:mean(ce); total = mean
    ce = kernel:ce.softmax(x, labels); mean = reduction:mean(ce); total = mean
"""

from __future__ import annotations

from dataclasses import replace

from losslang.plan.plan import Argument, Names, Plan, Ref, Step, needed_steps


def drop_dead_steps(plan: Plan, *, metrics: bool = True) -> Plan:
    """Drops what no term needs, `metrics=False` the metrics too, and numbers the names of steps anew."""
    outputs = tuple(output for output in plan.outputs if metrics or not output.metric)
    terms = {output.name for output in outputs}
    roots = [output.value.name for output in outputs if isinstance(output.value, Ref)]
    needed = needed_steps(plan.steps, [*roots, *(step.name for step in plan.steps if _guards(step, terms))])
    return _renamed(Plan(tuple(step for step in plan.steps if step.name in needed), outputs))


def _guards(step: Step, terms: set[str]) -> bool:
    """Returns whether a step is a check of a term that is left."""
    return step.operation == "complete" or (step.kind == "check" and bool(step.owners & terms))


def _renamed(plan: Plan) -> Plan:
    names = Names()
    new = {step.name: Ref(names.after(step.operation)) for step in plan.steps}

    def through(argument: Argument) -> Argument:
        return new[argument.name] if isinstance(argument, Ref) else argument

    steps = [
        step if step.name == new[step.name].name else replace(step, name=new[step.name].name)
        for step in (step.with_inputs(map(through, step.inputs)) for step in plan.steps)
    ]
    outputs = [output._replace(value=through(output.value)) for output in plan.outputs]
    return Plan(tuple(steps), tuple(outputs))


def drop_unread_steps(plan: Plan) -> Plan:
    """Drops steps that neither an output nor a check needs; the others keep their names, as inputs have to."""
    ends = {output.value.name for output in plan.outputs if isinstance(output.value, Ref)}
    needed = needed_steps(plan.steps, ends | {step.name for step in plan.steps if step.kind == "check"})
    return Plan(tuple(step for step in plan.steps if step.name in needed), plan.outputs)
