"""Plan to something that runs: whole on small tensors, block by block on large ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from losslang import lazy
from losslang.binding import Binding, Calls
from losslang.blocks import Maps, Sum, Totals, Walk, Walker, split
from losslang.closed import Closed
from losslang.lazy import traces
from losslang.passes import merge, unmask
from losslang.plan import Plan, Ref, Step
from losslang.registry import Registry

lazy.load()

ROOTS = ("pred", "target", "batch", "const", "module")
"""What a program reads: the four roots of the language, and what the module itself holds."""
Fuse = Literal["inductor"]
Shape = tuple[int, ...]
LARGE, LARGE_MAPS = 2**20, 2**22
"""Elements from which on a walk over blocks is worth it: in closed form, and differentiated by torch.

Measured on two cores, forward and backward: from 2^20 on closed forms take half the time of the whole
plan, and from 2^22 on the others are no slower. Below, all of it is in the cache anyway.
"""
BLOCK = {"": 2**18, "sigmoid": 2**18, "softmax": 2**19}
"""Elements of a block, by the activation of a closed form: a megabyte of floats or two.

2^16 takes twice the time of 2^18 in small calls; 2^20 is no faster and takes more memory. A softmax needs
fewer tensors of that size.
"""
FAR = 64
"""How much larger both are on a device of its own, where starting an operation costs more than memory."""
SIGNATURES = 256
"""Shapes and types of inputs for which a program is kept."""
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
    """Runs a plan in the way that suits the tensors of the call. `fuse` hands it to torch.compile."""

    def __init__(self, plan: Plan, registry: Registry, fuse: Fuse | None = None):
        self.plan = plan
        self.registry = registry
        self.fuse: Fuse | None = fuse
        self.kept = tuple(step.name for step in plan.steps if step.operation == "kept")
        self.unmasked: dict[tuple[str, ...], Executor] = {}
        self.later = whole(plan, registry, careful=False)
        self.shapes: dict[Any, Mapping[str, Shape] | None] = {}
        self.blocked: dict[Any, Program | None] = {}

    @cached_property
    def first(self) -> Program:
        """The program that looks at values."""
        return whole(self.plan, self.registry, careful=True)

    @cached_property
    def fused(self) -> Callable[..., list[Any]]:
        compiled: Any = torch.compile(self.later.run, backend=str(self.fuse))  # pyright: ignore
        return compiled

    @cached_property
    def reader(self) -> Program:
        """What takes the inputs out of a call."""
        return _part(self.plan, self.registry, "input")

    @cached_property
    def guard(self) -> Program:
        return _part(self.plan, self.registry, "complete")

    @cached_property
    def keeps(self) -> Program:
        """What looks whether labels are ignored."""
        return _part(self.plan, self.registry, "kept")

    def _without(self, absent: tuple[str, ...]) -> Executor:
        """For calls in which nothing is ignored by these steps: there a mask is there or not, always."""
        if absent not in self.unmasked:
            self.unmasked[absent] = Executor(unmask(self.plan, absent), self.registry, self.fuse)
        return self.unmasked[absent]

    def run(self, *roots: Any, careful: bool) -> list[Any]:
        """The value of every output; `careful` looks at the values of the tensors too."""
        if self.kept and not traces():
            masks = self.keeps.run(*roots)
            absent = tuple(name for name, mask in zip(self.kept, masks, strict=True) if mask is None)
            if absent:
                return self._without(absent).run(*roots, careful=careful)
        if self.fuse is not None and is_eager():
            inputs = self.reader.run(*roots)
            if self._shapes(_signature(inputs), inputs) is not None:
                if careful:
                    with torch.no_grad():
                        self._eager(roots, careful=True)
                return self.fused(*roots)
        return self._eager(roots, careful=careful)

    def _eager(self, roots: Sequence[Any], *, careful: bool) -> list[Any]:
        pred, _, batch, *_ = roots
        if _may_be_large(pred, batch) and is_eager():
            inputs = self.reader.run(*roots)
            program = self._in_blocks(inputs, careful)
            if program is not None:
                self.guard.run(*roots)
                return program.run(*inputs)
        return (self.first if careful else self.later).run(*roots)

    def _in_blocks(self, inputs: Sequence[Any], careful: bool) -> Program | None:
        """The program for tensors like these; None where nothing in it is large."""
        if not any(isinstance(value, Tensor) and value.numel() >= LARGE for value in inputs):
            return None
        signature = _signature(inputs)
        key = careful, signature
        if key not in self.blocked:
            _forget(self.blocked)
            shapes = self._shapes(signature, inputs)
            walks = [] if shapes is None else _walks(self.plan, self.registry, shapes, inputs)
            self.blocked[key] = in_blocks(self.plan, walks, self.registry, careful=careful) if walks else None
        return self.blocked[key]

    def _shapes(self, signature: Any, inputs: Sequence[Any]) -> Mapping[str, Shape] | None:
        if signature not in self.shapes:
            _forget(self.shapes)
            self.shapes[signature] = shapes_of(self.plan, self.registry, inputs)
        return self.shapes[signature]


def _forget(known: dict[Any, Any]) -> None:
    """Makes room: a program that is called with ever new shapes does not grow without end."""
    if len(known) >= SIGNATURES:
        known.clear()


def shapes_of(plan: Plan, registry: Registry, inputs: Sequence[Any]) -> Mapping[str, Shape] | None:
    """The shapes of the predictions of a plan; None for tensors that do not fit it.

    The plan runs once on tensors without data, which know their shapes and cost nothing.
    """
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    is_ordinary = all(type(value) in (Tensor, nn.Parameter) for value in tensors)
    if not is_ordinary or len({value.device for value in tensors if value.ndim}) > 1:
        return None
    binding = _from_inputs(plan, registry)
    for step in plan.steps:
        if step.operation not in READING:
            binding.step(step)
    hollow = [value.to("meta") if isinstance(value, Tensor) else value for value in inputs]
    try:
        slots = binding.done().run(*hollow)
    except Exception:
        # What does not fit is refused, with all its reasons, by the whole program.
        return None
    predictions = [step.name for step in plan.steps if step.operation == "real"]
    return {name: tuple(slots[binding.places[name]].shape) for name in predictions}


def whole(plan: Plan, registry: Registry, *, careful: bool) -> Program:
    """Every step on everything at once. `careful` keeps the steps that look at values, for the first call."""
    binding = Binding(registry, ROOTS)
    for step in merge(plan, registry).steps:
        if careful or not step.check:
            binding.step(step)
    return _program(binding, [output.value for output in plan.outputs])


def _walks(
    plan: Plan, registry: Registry, shapes: Mapping[str, Shape], inputs: Sequence[Any]
) -> list[tuple[Walk, Maps, Closed | None]]:
    """The walks that are worth it, with their closed forms."""
    names = [step.name for step in plan.steps if step.operation == "input"]
    given = dict(zip(names, inputs, strict=True))
    far = FAR if any(isinstance(v, Tensor) and v.device.type != "cpu" for v in inputs) else 1
    found: list[tuple[Walk, Maps, Closed | None]] = []
    for walk in split(plan, registry, shapes, far * LARGE):
        closed = Closed.of(walk, registry, given)
        if closed is not None or prod(walk.shape) >= far * LARGE_MAPS:
            elements = far * BLOCK["" if closed is None else closed.activation]
            found.append((walk, Maps.of(walk, registry, elements), closed))
    return found


def in_blocks(
    plan: Plan, walks: Sequence[tuple[Walk, Maps, Closed | None]], registry: Registry, *, careful: bool
) -> Program:
    """The same with walks for their steps, from the values of the inputs on."""
    binding = _from_inputs(plan, registry)
    before, after = _around(plan, [walk for walk, _, _ in walks], careful=careful)
    for step in before:
        binding.step(step)
    for walk, maps, closed in walks:
        looking = Maps.of(walk.looking, registry, 1) if careful else None
        _walk(binding, walk, Walker(maps, closed, looking))
    for step in after:
        binding.step(step)
    return _program(binding, [output.value for output in plan.outputs])


def _walk(binding: Binding, walk: Walk, walker: Walker) -> None:
    """One call that runs the walk, and one for every sum that it ends in."""
    name = f"walk over {walk.shape}"
    binding.call(name, walker, [binding.places[given] for given, _ in walk.inputs])
    own = {step.name for step in walk.maps}
    for index, step in enumerate(walk.sums):
        live = [i for i, a in enumerate(step.inputs) if not (isinstance(a, Ref) and a.name in own)]
        finish = _finish(walker.maps.sums[index], index, live)
        places = [binding.places[name], *(binding.place(step.inputs[i]) for i in live)]
        binding.call(step.name, finish, places)


def _finish(end: Sum, index: int, live: Sequence[int]) -> Callable[..., Any]:
    def finish(found: Totals, *values: Any) -> Any:
        arguments = list(found.empty[index])
        for place, value in zip(live, values, strict=True):
            arguments[place] = value
        return end.combine(arguments, found.totals[index])

    return finish


def _around(plan: Plan, walks: Sequence[Walk], *, careful: bool) -> tuple[list[Step], list[Step]]:
    """The steps that must run whole, before the walks and after them."""
    ends = {step.name for walk in walks for step in walk.sums}
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


def _signature(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """What of the inputs decides how a program runs."""
    return tuple(
        (v.shape, v.dtype, v.device, type(v)) if isinstance(v, Tensor) else type(v).__name__ for v in inputs
    )


def _may_be_large(pred: Any, batch: Mapping[str, Any]) -> bool:
    if not batch and type(pred) is Tensor:
        return pred.numel() >= LARGE
    return True


def is_eager() -> bool:
    """Whether tensors have values to look at, and run as they stand: nothing traces or transforms."""
    return not traces() and forward_ad._current_level < 0  # pyright: ignore
