"""`losslang plan --stage run`: what a call runs, of tensors that are made up for the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.source import Source
from losslang.meaning.meaning import Input
from losslang.meaning.program import Meaning
from losslang.plan.lower import has_scheduled_factor
from losslang.plan.plan import Plan, Ref, Step
from losslang.registry import current_registry
from losslang.runtime.buffers import memories, read_memories
from losslang.runtime.compiled import Order, Programs, understand
from losslang.runtime.conditions import LABELS, VALUES
from losslang.runtime.elements import executor_of
from losslang.runtime.explain import explain, explain_traced
from losslang.runtime.label_ranges import ignored_labels
from losslang.syntax import formatter, tree
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

INDEXED = ("labels", "indices", "position")
"""Steps that read class indices; so does `dense` along the classes."""
THROUGH = (
    "not_ignored",
    "zero_masked",
    "zero_masked_raw",
    "moved",
    "rows_of_target",
    "number",
    "beside",
    "with_axes",
    "fitted",
)
"""Steps that hand a target on to those that read it."""
ELEMENTS = 2
"""Elements of a list that `each` goes through."""
ADAPTED = 3
"""Calls after which nothing changes any more."""


def what_runs(
    source: Source, settings: Mapping[str, Any], shape: Sequence[int], call: str, *, ignored: bool
) -> str:
    """The ways and steps of a "first", "second", "later" or "traced" call, its prediction of a shape on a CPU.

    `ignored`: a tenth of the labels are ignored. Raises LossError where made-up tensors do not fit.
    """
    checked, programs = understand(Order.of(source, settings, (), None), current_registry().snapshot())
    if programs is None:
        raise LossError(checked.errors)
    roots = _roots(programs, tuple(shape), ignored)
    timed = None if call == "traced" else programs.timed
    total = executor_of(programs.total, roots) if timed is None else timed.executor
    if call == "traced":
        return explain_traced(total)
    calls_before = {"first": (), "second": (VALUES,), "later": (VALUES, *[LABELS] * ADAPTED)}[call]
    with torch.no_grad():
        for look in calls_before:
            total.run(roots, look)
    ways = explain(total, roots, VALUES if call == "first" else LABELS)
    return ways if timed is None else f"{ways}\n\n{_weights(programs.meaning)}"


def _weights(meaning: Meaning) -> str:
    """The factors of terms that are computed beside a plan, from clocks that are numbers."""
    scheduled = [term for term in meaning.terms if has_scheduled_factor(term) and not term.metric]
    lines = [f"   {term.name}: {formatter.number(term.weight)}*{term.factor}" for term in scheduled]
    return "\n".join(["weights of terms, computed once for each time of the clocks:", *lines])


def _roots(programs: Programs, shape: tuple[int, ...], ignored: bool) -> tuple[Any, ...]:
    """What a module hands over, every entry that the program reads made up."""
    plan = programs.plan
    roots: dict[str, Any] = {"batch": {}, "const": {}}
    chance = torch.Generator().manual_seed(0)
    for step in plan.inputs:
        path = dict(step.options)["path"]
        assert isinstance(path, Input)
        if path.root != "module":
            value = _value(step, path.root, plan, shape, chance, ignored)
            roots[path.root] = _put(roots.get(path.root), path.steps, value)
    kept = {name: own.fresh() for name, own in memories(plan, programs.registry).items()}
    patterns = [str(dict(step.options)["match"]) for step in plan.steps if step.operation == "matching"]
    module: dict[str, Any] = dict.fromkeys(tree.CLOCKS, 0)
    module |= {"parameters": {pattern: [torch.ones(())] for pattern in patterns}}
    module |= read_memories(kept, training=False)
    module["learned"] = {own.name: torch.tensor(own.start) for own in programs.meaning.learned}
    return roots.get("pred"), roots.get("target"), roots["batch"], roots["const"], module


def _put(into: Any, steps: Sequence[Any], value: Any) -> Any:
    """The root with a value at a path: mappings for names, lists for positions; a slice adds nothing."""
    if not steps or isinstance(steps[0], tree.Slice):
        return value if into is None else into
    first, *rest = steps
    if isinstance(first, tree.Key):
        into = into or {}
        into[first.name] = _put(into.get(first.name), rest, value)
        return into
    if isinstance(first, tree.Element):
        return [_put(element, rest, value) for element in (into or [None] * ELEMENTS)]
    into = list(into or [])
    into += [torch.zeros(())] * (first.position + 1 - len(into))
    into[first.position] = _put(None, rest, value)
    return into


def _value(step: Step, root: str, plan: Plan, shape: tuple[int, ...], chance: Any, ignored: bool) -> Any:
    readers = _readers(step, plan)
    operations = {reader.operation for reader in readers}
    of_places = shape[:1] + shape[2:]
    if root == "pred":
        return torch.randn(shape, generator=chance)
    if any(r.operation in INDEXED or dict(r.options).get("over") == "class" for r in readers):
        return _labels(
            of_places, shape[1], [r for r in readers if r.operation == "not_ignored"], chance, ignored
        )
    if root == "target":
        truth = (torch.rand(shape, generator=chance) < 0.5).float()
        return 2 * truth - 1 if operations & {"signs", "sign", "sign_of_row"} else truth
    if "mask" in operations:
        return torch.rand(of_places, generator=chance) < 0.5
    if "broadcast_to_pred" in operations:
        return torch.rand(of_places, generator=chance)
    if "head" in operations:
        return torch.nn.Linear(shape[1], shape[1])
    return torch.ones(shape[1] if "per_class" in operations else ())


def _readers(step: Step, plan: Plan) -> list[Step]:
    """The steps that read an input, also behind those that hand it on."""
    handed, found = {step.name}, list[Step]()
    for reader in plan.steps:
        first = reader.inputs[0] if reader.inputs else None
        if isinstance(first, Ref) and first.name in handed:
            found.append(reader)
            if reader.operation in (*THROUGH, "rows_of_weight", "broadcast_to_pred"):
                handed.add(reader.name)
    return found


def _labels(
    shape: tuple[int, ...], classes: int, hidden: Sequence[Step], chance: Any, ignored: bool
) -> Tensor:
    """Classes, a tenth of them those that are ignored."""
    labels = torch.randint(classes, shape, generator=chance)
    for step in hidden if ignored else ():
        labels[torch.rand(shape, generator=chance) < 0.1] = ignored_labels(step)[0]
    return labels
