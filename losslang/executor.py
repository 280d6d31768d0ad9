"""Plan to something that runs: whole on small tensors, block by block on large ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.autograd import forward_ad

from losslang import lazy
from losslang.binding import Binding, Calls
from losslang.blocks import ELEMENTS, Maps, Sum, Totals, Walk, Walker, split
from losslang.closed import Closed
from losslang.lazy import traces
from losslang.passes import merge, unmask
from losslang.plan import Plan, Ref, Step
from losslang.registry import Registry

lazy.load()

ROOTS = ("pred", "target", "batch", "const")
LARGE = 2**18
"""Elements from which on a prediction is walked over in blocks; a smaller one is in the cache anyway."""
READING = ("input", "complete")


@dataclass(frozen=True)
class Program:
    """A plan bound to its functions, from given roots to the values of its outputs."""

    calls: Calls
    places: tuple[int, ...]

    def run(self, *roots: Any) -> list[Any]:
        slots = self.calls.run(*roots)
        return [slots[place] for place in self.places]


class Executor:
    """Runs a plan in the way that suits the tensors of the call."""

    def __init__(self, plan: Plan, registry: Registry):
        self.plan = plan
        self.registry = registry
        self.first = whole(plan, registry, careful=True)
        self.later = whole(plan, registry, careful=False)
        self.reader = _part(plan, registry, "input")
        self.guard = _part(plan, registry, "complete")
        self.keeps = _part(plan, registry, "kept")
        self.unmasked = Executor(unmask(plan), registry) if self.keeps.places else None
        self.blocked: dict[Any, Program | None] = {}

    def run(
        self, pred: Any, target: Any, batch: Mapping[str, Any], const: Mapping[str, Any], *, careful: bool
    ) -> list[Any]:
        """The value of every output; `careful` looks at the values of the tensors too."""
        if self.unmasked is not None and not traces():
            kept = self.keeps.run(pred, target, batch, const)
            if all(mask is None for mask in kept):
                return self.unmasked.run(pred, target, batch, const, careful=careful)
        if _may_be_large(pred, batch) and is_eager():
            inputs = self.reader.run(pred, target, batch, const)
            program = self._in_blocks(inputs, careful)
            if program is not None:
                self.guard.run(pred, target, batch, const)
                return program.run(*inputs)
        return (self.first if careful else self.later).run(pred, target, batch, const)

    def _in_blocks(self, inputs: Sequence[Any], careful: bool) -> Program | None:
        """The program for tensors like these; None where nothing in it is large."""
        if any(isinstance(v, Tensor) and type(v) not in (Tensor, nn.Parameter) for v in inputs):
            return None
        key = careful, *map(_signature, inputs)
        if key not in self.blocked:
            walks = walks_of(self.plan, self.registry, inputs, LARGE)
            self.blocked[key] = in_blocks(self.plan, walks, self.registry, careful=careful) if walks else None
        return self.blocked[key]


def walks_of(plan: Plan, registry: Registry, inputs: Sequence[Any], least: int) -> tuple[Walk, ...]:
    """What of a plan runs block by block on tensors like these; nothing where they do not fit the plan.

    The plan runs once on tensors without data, which knows every shape and costs nothing.
    """
    if len({value.device for value in inputs if isinstance(value, Tensor) and value.ndim}) > 1:
        return ()
    binding = _from_inputs(plan, registry)
    predictions = [step for step in plan.steps if step.operation == "real"]
    for step in plan.steps:
        if step.operation not in READING:
            binding.step(step)
    calls = binding.done()
    hollow = [value.to("meta") if isinstance(value, Tensor) else value for value in inputs]
    try:
        slots = calls.run(*hollow)
    except Exception:
        # What does not fit is refused, with all its reasons, by the whole program.
        return ()
    shapes = {step.name: tuple(slots[binding.places[step.name]].shape) for step in predictions}
    return split(plan, registry, shapes, least)


def whole(plan: Plan, registry: Registry, *, careful: bool) -> Program:
    """Every step on everything at once. `careful` keeps the steps that look at values, for the first call."""
    binding = Binding(registry, ROOTS)
    for step in merge(plan, registry).steps:
        if careful or not step.check:
            binding.step(step)
    return _program(binding, [output.value for output in plan.outputs])


def in_blocks(plan: Plan, walks: Sequence[Walk], registry: Registry, *, careful: bool) -> Program:
    """The same with walks for their steps, from the values of the inputs on."""
    binding = _from_inputs(plan, registry)
    ends = {step.name for walk in walks for step in walk.sums}
    before, after = _around(plan, walks, ends, careful=careful)
    for step in before:
        binding.step(step)
    for walk in walks:
        _walk(binding, walk, careful)
    for step in after:
        binding.step(step)
    return _program(binding, [output.value for output in plan.outputs])


def _walk(binding: Binding, walk: Walk, careful: bool) -> None:
    """One call that runs the walk, and one for every sum that it ends in."""
    name = f"walk over {walk.shape}"
    registry = binding.registry
    maps = Maps.of(walk, registry, ELEMENTS)
    looking = Maps.of(walk.looking, registry, ELEMENTS) if careful else None
    walker = Walker(maps, partial(Closed.of, maps, walk, registry), looking)
    binding.call(name, walker, [binding.places[given] for given, _ in walk.inputs])
    own = {step.name for step in walk.maps}
    for index, step in enumerate(walk.sums):
        live = [i for i, a in enumerate(step.inputs) if not (isinstance(a, Ref) and a.name in own)]
        finish = _finish(maps.sums[index], index, live)
        places = [binding.places[name], *(binding.place(step.inputs[i]) for i in live)]
        binding.call(step.name, finish, places)


def _finish(end: Sum, index: int, live: Sequence[int]) -> Callable[..., Any]:
    def finish(found: Totals, *values: Any) -> Any:
        arguments = list(found.empty[index])
        for place, value in zip(live, values, strict=True):
            arguments[place] = value
        return end.combine(arguments, found.totals[index])

    return finish


def _around(
    plan: Plan, walks: Sequence[Walk], ends: set[str], *, careful: bool
) -> tuple[list[Step], list[Step]]:
    """The steps that must run whole, before the walks and after them."""
    walked = {step.name for walk in walks for step in (*walk.maps, *walk.looks)}
    wanted = {step.name for step in plan.steps if careful and step.check and step.name not in walked}
    wanted |= {name for walk in walks for name, _ in walk.inputs}
    wanted |= {output.value.name for output in plan.outputs if isinstance(output.value, Ref)}
    kept: list[Step] = []
    for step in reversed(plan.steps):
        if step.name in wanted and step.name not in ends and step.operation not in READING:
            kept.append(step)
            wanted.update(step.reads)
    late = set(ends)
    before: list[Step] = []
    after: list[Step] = []
    for step in reversed(kept):
        if late.isdisjoint(step.reads):
            before.append(step)
        else:
            late.add(step.name)
            after.append(step)
    return before, after


def _from_inputs(plan: Plan, registry: Registry) -> Binding:
    return Binding(registry, [step.name for step in plan.steps if step.operation == "input"])


def _part(plan: Plan, registry: Registry, operation: str) -> Program:
    """The values of the steps of one kind, and no step that they do not need."""
    ends = [step for step in plan.steps if step.operation == operation]
    wanted = {step.name for step in ends}
    binding = Binding(registry, ROOTS)
    for step in reversed(plan.steps):
        if step.name in wanted:
            wanted.update(step.reads)
    for step in plan.steps:
        if step.name in wanted:
            binding.step(step)
    return _program(binding, [Ref(step.name) for step in ends])


def _program(binding: Binding, values: Sequence[Any]) -> Program:
    # Values that are numbers take slots of their own: before the template is closed.
    places = tuple(map(binding.place, values))
    return Program(binding.done(), places)


def _signature(value: Any) -> Any:
    """What of an input decides how a program runs."""
    return (value.shape, value.dtype, value.device) if isinstance(value, Tensor) else (type(value).__name__,)


def _may_be_large(pred: Any, batch: Mapping[str, Any]) -> bool:
    if not batch and type(pred) is Tensor:
        return pred.numel() >= LARGE
    return True


def is_eager() -> bool:
    """Whether tensors have values to look at, and run as they stand: nothing traces or transforms."""
    return not traces() and forward_ad._current_level < 0  # pyright: ignore
