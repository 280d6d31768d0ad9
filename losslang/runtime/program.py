"""Plans bound to their functions: whole, in part, or with walks in place of their maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from losslang.plan.operations.sums import Sum
from losslang.plan.passes import (
    constants,
    fuse_masks,
    fuse_reduction,
    mask_once,
    mask_sums,
    mask_targets,
    may_idle,
    share_logs,
    share_sums,
    specialize,
)
from losslang.plan.plan import Plan, Ref, Step, needed_steps, verify
from losslang.registry import Registry
from losslang.runtime.binding import Binding, Calls
from losslang.runtime.blocks import Totals, Walker, value_checks
from losslang.runtime.ignored_labels import ignore_mask_steps
from losslang.runtime.written import written
from losslang.vocabulary import Tensor

ROOTS = ("pred", "target", "batch", "const", "module")
"""What a program reads: the four roots of the language, and what the module itself holds."""
READING = ("input", "complete")


@dataclass(frozen=True)
class Program:
    """A plan bound to its functions, from given roots to the values of its outputs.

    `steps` are what runs, in order, to be shown; `idle` the steps that may give back what they are given,
    with the slots of both; `constants` those that give the same tensor in each call, with their slots.
    """

    calls: Calls
    slots: tuple[int, ...]
    steps: tuple[Step | Walker, ...] = ()
    idle: tuple[tuple[str, int, int], ...] = ()
    constants: tuple[tuple[str, int], ...] = ()

    def run(self, *roots: Any) -> list[Any]:
        values = self.calls.run(*roots)
        return list(map(values.__getitem__, self.slots))

    @cached_property
    def quick(self) -> Callable[..., list[Any]]:
        """`run` as one function, for what runs in every call."""
        return written(self.calls, self.slots)

    def run_recording(self, *roots: Any) -> tuple[list[Any], tuple[str, ...], dict[str, Tensor]]:
        """The values; the steps that changed nothing; and the tensors of those that give the same in each call.

        On a CPU alone, and not those of inference mode, which no backward pass may read.
        """
        values = self.calls.run(*roots)
        known = {name: values[slot] for name, slot in self.constants}
        known = {name: value for name, value in known.items() if value.is_cpu and not value.is_inference()}
        return [values[slot] for slot in self.slots], self.noops(values), known

    def noops(self, values: Sequence[Any]) -> tuple[str, ...]:
        """The names of the steps that returned their first input itself.

        Not those that returned None, as for a mask: in the next call there may be one.
        """
        return tuple(
            name
            for name, slot, given in self.idle
            if values[slot] is values[given] and values[slot] is not None
        )


def whole(plan: Plan, registry: Registry, *, validate: bool) -> Program:
    """Binds a whole plan, from the roots of a call to its outputs; `validate` keeps the checks of values."""
    return _all(Binding(registry, ROOTS, widens=True), _uncut(plan, registry), validate)


def of_inputs(plan: Plan, registry: Registry, *, validate: bool, compiles: bool = False) -> Program:
    """Binds a whole plan from the values of its inputs on, which have been read out of the call already.

    `compiles`: torch.compile takes it, and can look at no value.
    """
    uncut = _without(_uncut(plan, registry), READING) if compiles else _uncut_eager(plan, registry)
    return _all(from_inputs(plan, registry), uncut, validate)


def _uncut(plan: Plan, registry: Registry) -> Plan:
    """The plan for tensors that are computed whole."""
    return verify(share_sums(fuse_reduction(plan, registry), registry))


def _uncut_eager(plan: Plan, registry: Registry) -> Plan:
    """The same for calls whose values can be looked at, from the values of its inputs on."""
    fused = fuse_masks(mask_targets(plan, registry), registry)
    short = share_logs(mask_sums(fused, registry), registry)
    return _without(_uncut(short, registry), READING)


def _without(plan: Plan, operations: Sequence[str]) -> Plan:
    return Plan(tuple(step for step in plan.steps if step.operation not in operations), plan.outputs)


def _all(binding: Binding, plan: Plan, validate: bool) -> Program:
    """Every step of a plan, and its own outputs: what a pass has left out, no output may be."""
    steps = tuple(step for step in plan.steps if validate or not step.check)
    verify(Plan(steps, plan.outputs), given=binding.slots)
    for step in steps:
        binding.step(step)
    idle = [
        (step.name, binding.slots[step.name], binding.slot(step.inputs[0]))
        for step in steps
        if may_idle(step)
    ]
    fixed = [(name, binding.slots[name]) for name in constants(Plan(steps, plan.outputs))]
    return _program(binding, [output.value for output in plan.outputs], idle, fixed)


def checks(plan: Plan, registry: Registry, operations: Sequence[str] = ()) -> Program:
    """Binds all checks of a plan, or those of `operations`, and the steps that they need."""
    ends = [
        s
        for s in plan.steps
        if s.operation.startswith("check:") and s.operation in (operations or [s.operation])
    ]
    return _needed(plan, registry, ends, [])


def labels_of(plan: Plan, registry: Registry, ends: Sequence[Step]) -> Program:
    """Binds the steps that compute the arguments of the checks `ends`: labels, and what tells the classes."""
    names = {name for step in ends for name in step.input_names}
    values = [value for step in ends for value in step.inputs]
    return _needed(plan, registry, [step for step in plan.steps if step.name in names], values)


def _needed(plan: Plan, registry: Registry, ends: Sequence[Step], values: Sequence[Any]) -> Program:
    """These steps of a plan, and those that they need."""
    wanted = needed_steps(plan.steps, (step.name for step in ends))
    binding = from_inputs(plan, registry)
    for step in plan.steps:
        if step.name in wanted and step.operation not in READING:
            binding.step(step)
    return _program(binding, values)


def specialized(
    plan: Plan, registry: Registry, noops: Sequence[str], known: Mapping[str, Tensor], *, filled: bool
) -> Program:
    """Binds a plan without checks and without the steps `noops`, for inputs like those of an earlier call.

    `known`: what steps give in each call; `filled`: no tensor of a call is empty.
    """
    short = mask_once(specialize(_uncut_eager(plan, registry), noops, known), registry)
    binding = from_inputs(plan, registry, filled=filled)
    for name, value in known.items():
        binding.slots[name] = binding.add_slot(value)
    return _all(binding, short, validate=False)


def reading(plan: Plan, registry: Registry, operation: str) -> Program:
    """The steps of one kind that take something out of a call."""
    binding = Binding(registry, ROOTS)
    ends = [step for step in plan.steps if step.operation == operation]
    for step in ends:
        binding.step(step)
    return _program(binding, [Ref(step.name) for step in ends])


def ignore_masks(plan: Plan, registry: Registry) -> Program:
    """Binds the steps that mask ignored labels: each makes a mask, or None where no label is ignored."""
    ends = ignore_mask_steps(plan)
    return _needed(plan, registry, ends, [Ref(step.name) for step in ends])


def from_inputs(plan: Plan, registry: Registry, *, filled: bool = False) -> Binding:
    """A binding whose roots are the values of the inputs."""
    return Binding(registry, [step.name for step in plan.inputs], filled=filled)


def _program(
    binding: Binding,
    values: Sequence[Any],
    idle: Sequence[tuple[str, int, int]] = (),
    fixed: Sequence[tuple[str, int]] = (),
) -> Program:
    # Values that are numbers take slots of their own: before the template is closed.
    slots = tuple(map(binding.slot, values))
    return Program(binding.done(), slots, tuple(binding.shown), tuple(idle), tuple(fixed))


def in_blocks(plan: Plan, walks: Sequence[Walker], registry: Registry) -> Program:
    """Binds a plan from the values of its inputs on, with walks in place of the steps that they run in blocks."""
    binding = from_inputs(plan, registry)
    before, after = _around(plan, walks)
    for step in before:
        binding.step(step)
    for walker in walks:
        binding.shown.append(walker)
        _walk(binding, walker)
    for step in after:
        binding.step(step)
    return _program(binding, [output.value for output in plan.outputs])


def checks_in_blocks(
    plan: Plan, walks: Sequence[Walker], registry: Registry, of_labels: Sequence[Step]
) -> Program:
    """Binds the checks of a plan: those of what is walked over block by block, the others on whole tensors.

    Those `of_labels` first: what is counted of labels would be refused by torch.
    """
    own = [step for step in plan.steps if step.operation not in READING]
    looks = [[step for step in walker.walk.looks if step not in of_labels] for walker in walks]
    labels = needed_steps(own, (step.name for step in of_labels))
    read = {name for walker in walks for name, _ in walker.walk.inputs}
    ends = {step.name for step in own if step.check} - {step.name for found in looks for step in found}
    others = needed_steps(own, ends | read) - labels
    binding = from_inputs(plan, registry)
    for wanted in (labels, others):
        for step in own:
            if step.name in wanted:
                binding.step(step)
    for walker, found in zip(walks, looks, strict=True):
        binding.shown += found
        slots = [binding.slots[name] for name, _ in walker.walk.inputs]
        look = partial(walker.look, value_checks(walker.walk, found, registry))
        binding.call(f"checks of {walker.name}", look, slots)
    return _program(binding, [])


def _walk(binding: Binding, walker: Walker) -> None:
    """One call that runs the walk, and one for every sum that it ends in."""
    walk, name = walker.walk, walker.name
    binding.call(name, walker, [binding.slots[given] for given, _ in walk.inputs])
    own = {step.name for step in walk.maps}
    for index, step in enumerate(walk.sums):
        live = [i for i, a in enumerate(step.inputs) if not (isinstance(a, Ref) and a.name in own)]
        finish = _finish(walker.autograd.sums[index], index, live)
        slots = [binding.slots[name], *(binding.slot(step.inputs[i]) for i in live)]
        binding.call(step.name, finish, slots)


def _finish(end: Sum, index: int, live: Sequence[int]) -> Callable[..., Any]:
    def finish(found: Totals, *values: Any) -> Any:
        arguments = list(found.empty[index])
        for slot, value in zip(live, values, strict=True):
            arguments[slot] = value
        return end.combine(arguments, found.totals[index], found.numbers[index])

    return finish


def _around(plan: Plan, walks: Sequence[Walker]) -> tuple[list[Step], list[Step]]:
    """The steps that must run whole, before the walks and after them."""
    ends = {step.name for walker in walks for step in walker.walk.sums}
    wanted = {name for walker in walks for name, _ in walker.walk.inputs}
    wanted |= {output.value.name for output in plan.outputs if isinstance(output.value, Ref)}
    others = [step for step in plan.steps if step.name not in ends and step.operation not in READING]
    needed = needed_steps(others, wanted)
    late = set(ends)
    before: list[Step] = []
    after: list[Step] = []
    for step in others:
        if step.name not in needed:
            continue
        if late.isdisjoint(step.input_names):
            before.append(step)
        else:
            late.add(step.name)
            after.append(step)
    return before, after
