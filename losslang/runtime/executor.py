"""Plan to something that runs: whole on small tensors, block by block on large ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Literal

import torch
from torch import Tensor

from losslang.plan.operations.call import (
    as_tensor,
    holds_numbers,
    is_foreign,
    refuse_mixed,
    refuse_unreadable,
)
from losslang.plan.passes import drop_masks
from losslang.plan.plan import Plan
from losslang.registry import Registry
from losslang.runtime import block_sizes
from losslang.runtime.closed import WalkEvaluators
from losslang.runtime.ignored_labels import Look, asking, left_out, looks, refuses_labels
from losslang.runtime.label_ranges import CHECKS, Later, Range, Sources, are_read_by_kernels, ranges
from losslang.runtime.program import (
    Program,
    checks,
    in_blocks,
    labels_of,
    looking,
    of_inputs,
    reading,
    settled,
    shapes_of,
    whole,
)
from losslang.runtime.ways import Way, looked_at, named, through
from losslang.tensors import lazy
from losslang.tensors.eager import is_eager

lazy.load()

Fuse = Literal["inductor"]
Shape = tuple[int, ...]
NOTHING, LABELS, VALUES = range(3)
"""What a call looks at: no values, whether labels name classes, or all that its checks ask for."""
Signature = tuple[Any, ...]
"""What a call looks at, how many threads it has, and what of the inputs decides how it runs."""
SIGNATURES = 256
"""Shapes and types of inputs for which a program is kept."""


class Route:
    """The way of tensors of one signature: found in a first call, which may find a shorter one for the next."""

    def __init__(self, find: Callable[[Route, Sequence[Any]], Way]):
        self.find = find
        self.way: Way = self._first

    def _first(self, *inputs: Any) -> list[Any]:
        self.way = self.find(self, inputs)
        return self.way(*inputs)


class Executor:
    """Runs a plan in the way that suits the tensors of the call. `fuse` hands it to torch.compile.

    `masked`: whether labels are ignored is looked up first, and the plan is made for the masks that are there.
    """

    def __init__(self, plan: Plan, registry: Registry, fuse: Fuse | None = None, *, masked: bool = True):
        self.plan = plan
        self.registry = registry
        self.fuse: Fuse | None = fuse
        self.kept = tuple(step.name for step in asking(plan)) if masked else ()
        self.guarded = any(step.operation == "complete" for step in plan.steps)
        # For what traces a call or transforms it: made now, since making it could not be traced.
        self.traced = whole(plan, registry, careful=False)
        self.unmasked: dict[tuple[str, ...], Executor] = {}
        self.shapes: dict[Any, Mapping[str, Shape] | None] = {}
        self.routes: dict[Signature, Route] = {}
        self.lean: dict[tuple[tuple[str, ...], bool], Way] = {}

    @cached_property
    def read(self) -> Callable[[Sequence[Any]], Sequence[Any]]:
        """What takes the inputs out of the roots of a call."""
        reader = reading(self.plan, self.registry, "input")
        places = reader.places
        return (
            (lambda roots: reader.run(*roots))
            if reader.calls.calls
            else (lambda roots: [roots[place] for place in places])
        )

    @cached_property
    def guard(self) -> Program:
        """What refuses entries of a call that no term reads."""
        return reading(self.plan, self.registry, "complete")

    @cached_property
    def keeps(self) -> Program:
        """What looks whether labels are ignored."""
        return looking(self.plan, self.registry)

    @cached_property
    def left_out(self) -> Executor | None:
        """The same with labels to ignore left to kernels, if one of them can leave them out."""
        plan = left_out(self.plan, self.registry)
        return None if plan == self.plan else Executor(plan, self.registry, self.fuse, masked=False)

    @cached_property
    def careful(self) -> Program:
        """What looks at values too."""
        return of_inputs(self.plan, self.registry, careful=True)

    @cached_property
    def checks(self) -> Program:
        """What looks at values and computes nothing."""
        return checks(self.plan, self.registry)

    @cached_property
    def label_checks(self) -> Program:
        """What looks at labels and computes nothing."""
        return checks(self.plan, self.registry, CHECKS)

    @cached_property
    def plain(self) -> Program:
        return of_inputs(self.plan, self.registry, careful=False)

    @cached_property
    def fused(self) -> Way:
        compiled: Any = torch.compile(self.plain.run, backend=str(self.fuse))  # pyright: ignore
        return compiled

    def run(self, roots: Sequence[Any], look: int) -> list[Any]:
        """The value of every output; `look` says which values of the tensors are looked at."""
        if not is_eager():
            return self.traced.run(*roots)
        inputs = self.read(roots)
        try:
            route = self.routes.get(_signature(inputs, look)) or self._route(inputs, look)
            values = route.way(*inputs)
        except RuntimeError as error:
            refuse_mixed(self.plan, inputs, error)
            raise
        if self.guarded:
            self.guard.run(*roots)
        return values

    def _route(self, inputs: Sequence[Any], look: int) -> Route:
        """That of tensors like these; it is kept for the next ones."""
        signature = _signature(inputs, look)
        route = self.routes.get(signature)
        if route is None:
            _forget(self.routes)
            route = self.routes.setdefault(signature, Route(partial(self._way, signature)))
        return route

    def _way(self, signature: Signature, route: Route, inputs: Sequence[Any]) -> Way:
        refuse_unreadable(self.plan, inputs)
        if any(map(is_foreign, inputs)):
            return partial(self._converted, signature[0])
        if signature[0] == LABELS:
            return self._labelled(inputs, (NOTHING, *signature[1:]))
        if self.kept:
            return self._watched(inputs, signature)
        if self.fuse is not None and self._shapes(inputs, signature) is not None:
            return partial(looked_at, self.checks, self.fused) if signature[0] else self.fused
        return self._eager(inputs, signature, route)

    def _converted(self, look: int, *inputs: Any) -> list[Any]:
        """With arrays, lists of numbers and labels without a sign as tensors, where the prediction is."""
        like = next((value for value in inputs if isinstance(value, Tensor)), None)
        tensors = [as_tensor(value, like) for value in inputs]
        return self._route(tensors, look).way(*tensors)

    def _labelled(self, inputs: Sequence[Any], signature: Signature) -> Way:
        """After a look whether labels name classes: the same one shows whether any may be ignored."""
        way: Way = partial(through, self._route(inputs, NOTHING))
        sources = Sources(self.plan, inputs)
        if not sources.checks:
            return way
        left = self._left_to_kernels(inputs, signature) if self.kept else None
        if self._is_refused_by_kernels(inputs, signature, left is not None):
            return partial(named, self.label_checks, way)
        if block_sizes.are_far(inputs):
            return Later(way, sources.checks, labels_of(self.plan, self.registry, sources.checks).run)
        found = ranges(sources)
        if found is None:
            return partial(looked_at, self.label_checks, way)
        free, ignored = (
            self._route(inputs, NOTHING),
            looks(self.plan, inputs) if self.kept and left is None else None,
        )
        if ignored is not None and {look.place for look in ignored} <= {own.place for own in found}:
            free, way = self._without(self.kept)._route(inputs, NOTHING), partial(self._masked, NOTHING)
        return partial(_seen, found, free, partial(looked_at, self.label_checks, way))

    def _is_refused_by_kernels(self, inputs: Sequence[Any], signature: Signature, is_left: bool) -> bool:
        """Whether nothing but kernels of torch reads labels: they look at each of them anyway."""
        if self.fuse is not None or (self.kept and not is_left):
            return False
        own = self.left_out if is_left else self
        assert own is not None
        takes = partial(refuses_labels, registry=self.registry)
        return not own._walks(inputs, signature) and are_read_by_kernels(own.plan, takes)

    def _watched(self, inputs: Sequence[Any], signature: Signature) -> Way:
        """With masks of ignored labels where there are such, asked in the way that takes least."""
        careful: int = signature[0]
        way = self._left_to_kernels(inputs, signature)
        if way is not None:
            return way
        found, masked = looks(self.plan, inputs), partial(self._masked, careful)
        if found is None:
            return masked
        return partial(_seen, found, self._without(self.kept)._route(inputs, careful), masked)

    def _left_to_kernels(self, inputs: Sequence[Any], signature: Signature) -> Way | None:
        """With labels to ignore left to kernels, where that takes less than to look for them."""
        unmasked = self._without(self.kept)
        is_free = self.left_out is not None and not asking(self.left_out.plan)
        # Terms that share a walk take less time than kernels.
        if block_sizes.are_far(inputs) or (
            is_free and all(len(own.walk.sums) == 1 for own in unmasked._walks(inputs, signature))
        ):
            return self._leaving_out(inputs, signature)
        return None

    def _leaving_out(self, inputs: Sequence[Any], signature: Signature) -> Way | None:
        """With labels to ignore left to kernels, where that is right whatever the labels are."""
        if self.left_out is None or self.left_out._walks(inputs, signature):
            # Kernels leave labels out of their own means and sums, which beside a walk are taken by others.
            return None
        if not block_sizes.are_far(inputs) and (self.fuse is not None or looks(self.plan, inputs) is None):
            return None
        way = partial(through, self.left_out._route(inputs, NOTHING))
        # In a first call too: what is saved for the backward pass is the same in all of them.
        return partial(looked_at, self.checks, way) if signature[0] else way

    def _masked(self, careful: int, *inputs: Any) -> list[Any]:
        """With those masks of ignored labels that are there: most calls have none."""
        masks = self.keeps.run(*inputs)
        absent = tuple([name for name, mask in zip(self.kept, masks, strict=True) if mask is None])
        return self._without(absent)._route(inputs, careful).way(*inputs)

    def _without(self, absent: tuple[str, ...]) -> Executor:
        """For calls in which nothing is ignored by these steps."""
        if absent in self.unmasked:
            return self.unmasked[absent]
        plan = drop_masks(self.plan, absent) if absent else self.plan
        if plan.inputs != self.plan.inputs:
            raise AssertionError(f"an input is read for its mask alone:\n{self.plan}")
        return self.unmasked.setdefault(absent, Executor(plan, self.registry, self.fuse, masked=False))

    def _eager(self, inputs: Sequence[Any], signature: Signature, route: Route) -> Way:
        careful: bool = signature[0] == VALUES
        found = self._walks(inputs, signature)
        if found:
            way = in_blocks(self.plan, found, self.registry, careful=careful).run
            # What is counted of labels before a walk would be refused by torch.
            return (
                partial(looked_at, self.label_checks, way)
                if careful and Sources(self.plan, inputs).checks
                else way
            )
        # A plan with masks: those that only a kernel needs are left to it.
        way = self._leaving_out(inputs, signature)
        if way is not None:
            return way
        return self.careful.run if careful else partial(self._settling, route)

    def _walks(self, inputs: Sequence[Any], signature: Signature) -> list[WalkEvaluators]:
        """What is cut into blocks of these tensors."""
        if self.fuse is not None or not block_sizes.are_large(inputs):
            return []
        shapes = self._shapes(inputs, signature)
        return [] if shapes is None else block_sizes.walks(self.plan, self.registry, shapes, inputs)

    def _settling(self, route: Route, *inputs: Any) -> list[Any]:
        """Everything once; for the next tensors like these, only what did something."""
        slots = self.plain.calls.run(*inputs)
        idle = self.plain.idled(slots)
        filled = all(value.numel() for value in inputs if isinstance(value, Tensor))
        if (idle, filled) not in self.lean:
            self.lean[idle, filled] = settled(self.plan, self.registry, idle, filled=filled).run
        route.way = self.lean[idle, filled]
        return [slots[place] for place in self.plain.places]

    def _shapes(self, inputs: Sequence[Any], signature: Signature) -> Mapping[str, Shape] | None:
        tensors = signature[2:]
        if tensors not in self.shapes:
            _forget(self.shapes)
            self.shapes[tensors] = shapes_of(self.plan, self.registry, inputs)
        return self.shapes[tensors]


def _seen(found: Sequence[Look | Range], free: Route, masked: Way, *inputs: Any) -> list[Any]:
    """With a look at the range of the labels."""
    for look in found:
        if look.finds(inputs):
            return masked(*inputs)
    return free.way(*inputs)


def _forget(known: dict[Any, Any]) -> None:
    """Makes room: a program that is called with ever new shapes does not grow without end."""
    if len(known) >= SIGNATURES:
        known.clear()


def _signature(inputs: Sequence[Any], look: int) -> Signature:
    # A block is as large as there are threads to share it.
    found: list[Any] = [look, torch.get_num_threads()]
    for value in inputs:
        if isinstance(value, Tensor):
            found += (value.shape, value.dtype, value.device, value.layout, type(value))
        else:
            found.append((type(value), holds_numbers(value)))
    return tuple(found)
