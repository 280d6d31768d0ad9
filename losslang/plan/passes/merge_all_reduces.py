"""Collective merging: all-reduces that do not wait for each other become one.

    all = all_reduced(ranks, a); x = taken(all, 0); all2 = all_reduced(ranks, b); y = taken(all2, 0)
    all = all_reduced(ranks, a, b); x = taken(all, 0); y = taken(all, 1)

One that reads the result of another is of a later phase: there is one all-reduce a phase. Not one of PASSES:
it comes after dead steps are dropped, since what is in one all-reduce is computed with all of it.
"""

from __future__ import annotations

from dataclasses import replace

from losslang.plan.plan import Argument, Plan, Ref, Step, verify

OPERATION = "all_reduced"


def merge_all_reduces(plan: Plan) -> Plan:
    """Makes one step of the all-reduces of each phase, behind all that the phase computes before it."""
    phases = _phases(plan)
    if late := [str(step) for step in plan.steps if step.kind == "check" and phases[step.name]]:
        # Which checks run, a rank decides by its own tensors: no other would take part.
        raise AssertionError(f"a check waits for other ranks: {late}")
    steps: list[Step] = []
    merged: dict[str, Step] = {}
    for phase in range(max(phases.values(), default=0) + 1):
        if together := [s for s in plan.steps if s.operation == OPERATION and phases[s.name] == phase]:
            one = _merged(together)
            merged |= {step.name: one for step in together}
            steps.append(one)
        own = (s for s in plan.steps if s.operation != OPERATION and phases[s.name] == phase)
        steps += [_taken(step, plan, merged) for step in own]
    return verify(Plan(tuple(steps), plan.outputs))


def all_reduces(plan: Plan) -> tuple[Step, ...]:
    """Returns the all-reduces of a plan, in their order."""
    return tuple(step for step in plan.steps if step.operation == OPERATION)


def _phases(plan: Plan) -> dict[str, int]:
    """How many all-reduces stand before each step; an all-reduce counts itself, and is as late as can be.

    So what is computed for the first, as the numbers of classes, waits for nothing else.
    """
    depth: dict[str, int] = {}
    for step in plan.steps:
        before = max((depth[name] for name in step.input_names), default=0)
        depth[step.name] = before + (step.operation == OPERATION)
    last = max(depth.values(), default=0)
    latest = dict.fromkeys(depth, last)
    for step in reversed(plan.steps):
        for name in step.input_names:
            latest[name] = min(latest[name], latest[step.name] - (step.operation == OPERATION))
    phases: dict[str, int] = {}
    for step in plan.steps:
        before = max((phases[name] for name in step.input_names), default=0)
        phases[step.name] = latest[step.name] if step.operation == OPERATION else before
    return phases


def _merged(together: list[Step]) -> Step:
    first = together[0]
    parts = list(dict.fromkeys(part for step in together for part in step.inputs[1:]))
    owners = frozenset[str]().union(*(step.owners for step in together))
    return replace(first, inputs=(first.inputs[0], *parts), owners=owners)


def _taken(step: Step, plan: Plan, merged: dict[str, Step]) -> Step:
    """A step that takes a part from an all-reduce, from the merged one; any other unchanged."""
    source = step.inputs[0] if step.operation == "taken" else None
    if not isinstance(source, Ref):
        return step
    old = next(s for s in plan.steps if s.name == source.name)
    part: Argument = old.inputs[1:][int(dict(step.options)["index"])]
    one = merged[source.name]
    return replace(step, inputs=(Ref(one.name),), options=(("index", one.inputs[1:].index(part)),))
