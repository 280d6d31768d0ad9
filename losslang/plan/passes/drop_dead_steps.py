"""A step that nobody reads is not computed, and a check that nobody asked for is not made."""

from __future__ import annotations

from dataclasses import replace

from losslang.plan.plan import Argument, Names, Plan, Ref, Step, needed_steps


def drop_dead_steps(plan: Plan, *, metrics: bool = True) -> Plan:
    """Drops what no term needs; `metrics=False` drops the metrics as well. What is left is named anew."""
    outputs = tuple(output for output in plan.outputs if metrics or not output.metric)
    terms = {output.name for output in outputs}
    roots = [output.value.name for output in outputs if isinstance(output.value, Ref)]
    needed = needed_steps(plan.steps, [*roots, *(step.name for step in plan.steps if _guards(step, terms))])
    return _renamed(Plan(tuple(step for step in plan.steps if step.name in needed), outputs))


def _guards(step: Step, terms: set[str]) -> bool:
    """Whether a step refuses something on behalf of a term that is still there."""
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
    outputs = [replace(output, value=through(output.value)) for output in plan.outputs]
    return Plan(tuple(steps), tuple(outputs))
