"""Runs a plan in the way that suits the tensors of a call. Which one that is stands in ways.py."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from losslang.diagnostics.errors import LossError
from losslang.plan.lower.across import gathered_by
from losslang.plan.operations.call import holds_numbers, is_foreign, refuse_mixed, refuse_unreadable
from losslang.plan.passes import drop_masks
from losslang.plan.plan import Plan, Step
from losslang.primitives.combinators import Combinator
from losslang.registry import Registry
from losslang.runtime import block_sizes, fitting, program
from losslang.runtime.arguments import name_heads
from losslang.runtime.blocks import Walker
from losslang.runtime.conditions import LABELS, NOTHING, VALUES, Call
from losslang.runtime.ignored_labels import ignore_mask_steps, with_kernel_ignore_index, without_looks
from losslang.runtime.kinds import Model, numbers_of
from losslang.runtime.label_ranges import CHECKS, Sources
from losslang.runtime.program import Program
from losslang.runtime.runners import RunFn, Runner
from losslang.runtime.ways import SPECIALIZED, Way, choose
from losslang.tensors import lazy
from losslang.tensors import torch_private as private
from losslang.tensors.eager import compiles, is_eager
from losslang.tensors.subclasses import is_dressed

lazy.load()

Fuse = Literal["inductor"]
Shape = tuple[int, ...]
Signature = tuple[Any, ...]
"""What of the inputs decides how a call runs."""
SIGNATURES = 256
"""Signatures of which a plan keeps how they run."""


class Dispatch:
    """The runner of calls of one kind and one look: chosen from WAYS in the first call, then kept."""

    def __init__(self, case: Case, look: int, *, may_ignore: bool):
        self.case = case
        self.look = look
        self.may_ignore = may_ignore
        self.run: RunFn = self._first
        self.chosen: tuple[Way, Runner] | None = None

    def choose(self, inputs: Sequence[Any]) -> tuple[Way, Runner]:
        """The row of WAYS, and what it made for calls like these."""
        if self.chosen is None:
            call = Call(self.case.executor, self.case, inputs, self.look, may_ignore=self.may_ignore)
            # What is run to choose is no part of the call, which a selective checkpoint runs twice.
            with private.without_modes():
                self.chosen = choose(call)
            self.run = self.chosen[1].run
        return self.chosen

    def _first(self, *inputs: Any) -> list[Any]:
        return self.choose(inputs)[1].run(*inputs)

    def go(self, *inputs: Any) -> list[Any]:
        """Runs a call by the current runner. `run` is replaced in time; this method may be kept in its place."""
        return self.run(*inputs)

    def specialize(self, runner: Runner) -> None:
        """Later calls run this: the plan without the steps that changed nothing in a call before."""
        self.chosen = SPECIALIZED, runner
        self.run = runner.run


class Case:
    """All calls of one kind: a dispatch for each look, and what they share, made of the first of them.

    Where no labels are to be checked, a later call is one that checks nothing.
    """

    def __init__(self, executor: Executor, inputs: Sequence[Any]):
        self.executor = executor
        # Whether numbers name classes is told once they are tensors.
        has_labels = any(map(is_foreign, inputs)) or bool(Sources(executor.plan, inputs).checks)
        self.dispatches, self._beside_ignored = (
            self._by_look(ignores, has_labels) for ignores in (False, True)
        )
        self._walks: list[list[Walker]] = []

    def _by_look(self, may_ignore: bool, has_labels: bool) -> tuple[Dispatch, ...]:
        nothing, labels, values = (
            Dispatch(self, look, may_ignore=may_ignore) for look in (NOTHING, LABELS, VALUES)
        )
        return nothing, labels if has_labels else nothing, values

    def dispatch(self, look: int, *, may_ignore: bool = False) -> Dispatch:
        """That of calls that still have this to check; `may_ignore`: labels to ignore may be there."""
        return (self._beside_ignored if may_ignore else self.dispatches)[look]

    def walks(self, inputs: Sequence[Any]) -> list[Walker]:
        """The walks that are worth it: the same for a call that looks at values and for one that does not."""
        if not self._walks:
            self._walks.append(self._split(inputs))
        return self._walks[0]

    def _split(self, inputs: Sequence[Any]) -> list[Walker]:
        own = self.executor
        if own.fuse is not None or not block_sizes.are_large(inputs):
            return []
        small, model = own.small(inputs)
        if not model.is_small:
            small = fitting.hollow(small)
        shapes = (
            fitting.shapes_of(own.plan, own.registry, small, model) if fitting.are_ordinary(inputs) else None
        )
        found = [] if shapes is None else block_sizes.walks(own.plan, own.registry, shapes, inputs)
        return found if found and fitting.fits(own.plan, own.registry, small, found) else []

    @cached_property
    def in_blocks(self) -> Program:
        """The walks, and every step beside them; no check."""
        return program.in_blocks(self.executor.plan, self._walks[0], self.executor.registry)


class Executor:
    """Runs a plan, and holds the programs that its ways need: each is made when it is first asked for.

    `fuse` hands the plan to torch.compile. `has_open_masks`: which masks of ignored labels are needed is
    found in every call; else the plan runs with those that it has. `for_eager`: who calls it has seen that
    the call is eager. `numbers`: sizes that are no others in another call of the same kind.
    """

    def __init__(
        self,
        plan: Plan,
        registry: Registry,
        fuse: Fuse | None = None,
        *,
        has_open_masks: bool = True,
        for_eager: bool = False,
        numbers: frozenset[int] | None = None,
    ):
        self.plan = plan
        self.registry = registry
        self.fuse: Fuse | None = fuse
        self.ignore_step_names = (
            tuple(step.name for step in ignore_mask_steps(plan)) if has_open_masks else ()
        )
        self.gathered = {text: step for step in plan.inputs if (text := gathered_by(step)) is not None}
        """What the plan reads with the rows of all ranks."""
        self.measures = any(_measures_gradients(step, registry) for step in plan.steps)
        self.is_guarded = any(step.operation == "complete" for step in plan.steps)
        self.for_eager = for_eager
        # For what traces a call or transforms it: made now, since making it could not be traced.
        self.traced = program.whole(plan, registry, validate=False)
        self.numbers = numbers_of(plan) if numbers is None else numbers
        self.cases: dict[Signature, Case] = {}
        self.kinds: dict[Signature, Case] = {}
        self._unmasked: dict[tuple[str, ...], Executor] = {}
        self._specialized: dict[Hashable, Program] = {}

    def run(self, roots: Sequence[Any], look: int) -> list[Any]:
        """The value of every output; `look` says which values of the tensors are looked at."""
        if not (self.for_eager or is_eager()):
            if not (self.measures and compiles()):
                return self.traced.run(*roots)
            from losslang.runtime.beside_dynamo import outside_of_graph

            return outside_of_graph(self, "run", roots, look)
        inputs = self.read(*roots)
        try:
            case = self.cases.get(_signature(inputs)) or self.case(inputs)
            values = case.dispatches[look].run(*inputs)
        except RuntimeError as error:
            refuse_mixed(self.plan, inputs, error)
            raise
        except LossError as error:
            raise name_heads(self.plan, roots[1], error) from None
        if self.is_guarded:
            self.guard.run(*roots)
        return values

    def case(self, inputs: Sequence[Any]) -> Case:
        """Returns the Case of the kind of these inputs; makes it if there is none yet."""
        signature = _signature(inputs)
        case = self.cases.get(signature)
        if case is None:
            refuse_unreadable(self.plan, inputs)
            # A plan for torch.compile is asked whether it fits for the sizes themselves.
            kind = self._kind(signature) if self.fuse is None else signature
            for known in (self.cases, self.kinds):
                if len(known) >= SIGNATURES:
                    # A program that is called with ever new shapes does not grow without end.
                    known.clear()
            case = self.kinds.get(kind) or self.kinds.setdefault(kind, Case(self, inputs))
            self.cases[signature] = case
        return case

    def _kind(self, signature: Signature) -> Signature:
        """A signature with its shapes in small, and how large they are."""
        shapes = _shapes(signature)
        model = Model(shapes, self.numbers)
        return (*model.signature(signature), *block_sizes.classes_of_size(shapes))

    def small(self, inputs: Sequence[Any]) -> tuple[list[Any], Model]:
        """Returns inputs in small, the same of all calls of a kind, and what says how large they are."""
        model = Model(_shapes(_signature(inputs)), self.numbers)
        return model.inputs(inputs), model

    def without(self, absent: tuple[str, ...]) -> Executor:
        """Returns the executor of the plan without these mask steps, for calls in which they mask nothing."""
        if absent in self._unmasked:
            return self._unmasked[absent]
        plan = drop_masks(self.plan, absent) if absent else self.plan
        if plan.inputs != self.plan.inputs:
            raise AssertionError(f"an input is read for its mask alone:\n{self.plan}")
        return self._unmasked.setdefault(absent, self._of(plan))

    @cached_property
    def kernel_ignoring(self) -> Executor | None:
        """The executor of the plan with `ignore_index` of kernels in place of masks; None if none has it.

        Masks that are left are made without a look.
        """
        plan = with_kernel_ignore_index(self.plan, self.registry)
        return None if plan == self.plan else self._of(without_looks(plan))

    def _of(self, plan: Plan) -> Executor:
        """The executor of a part of the plan, for calls that are handed on: their kinds are those of this one."""
        return Executor(plan, self.registry, self.fuse, has_open_masks=False, numbers=self.numbers)

    @cached_property
    def read(self) -> Callable[..., list[Any]]:
        """Takes the inputs out of the roots of a call."""
        return program.reading(self.plan, self.registry, "input").quick

    @cached_property
    def guard(self) -> Program:
        """Refuses entries of a call that no term reads."""
        return program.reading(self.plan, self.registry, "complete")

    @cached_property
    def ignore_masks(self) -> Program:
        """Makes the mask of each of `ignore_step_names`; None where nothing is ignored."""
        return program.ignore_masks(self.plan, self.registry)

    @cached_property
    def checks(self) -> Program:
        """Looks at values and computes nothing."""
        return program.checks(self.plan, self.registry)

    @cached_property
    def label_checks(self) -> Program:
        """Looks at labels and computes nothing. A prediction without classes is refused before its labels."""
        return program.checks(self.plan, self.registry, ("check:channels", *CHECKS))

    @cached_property
    def whole(self) -> Program:
        """Every step but those that look at values."""
        return program.of_inputs(self.plan, self.registry, validate=False, compiles=self.fuse is not None)

    @cached_property
    def whole_checked(self) -> Program:
        """Every step."""
        return program.of_inputs(self.plan, self.registry, validate=True)

    @cached_property
    def fused(self) -> RunFn:
        compiled: Any = torch.compile(self.whole.run, backend=str(self.fuse))  # pyright: ignore
        return compiled

    def specialized(self, noops: tuple[str, ...], known: Mapping[str, Tensor], *, filled: bool) -> Program:
        """The plan without steps that did nothing and those whose values are `known`, which takes no check.

        `filled`: no tensor is empty.
        """
        key = noops, tuple((name, id(value)) for name, value in known.items()), filled
        if key not in self._specialized:
            self._specialized[key] = program.specialized(
                self.plan, self.registry, noops, known, filled=filled
            )
        return self._specialized[key]


def _measures_gradients(step: Step, registry: Registry) -> bool:
    combinator = registry.get(Combinator, step.op) if step.kind == "combinator" else None
    return combinator is not None and combinator.measures == "gradients"


def _shapes(signature: Signature) -> list[Shape]:
    return [part for part in signature if isinstance(part, torch.Size)]


def _signature(inputs: Sequence[Any]) -> Signature:
    found: list[Any] = []
    for value in inputs:
        if type(value) is Tensor or (isinstance(value, Tensor) and not is_dressed(value)):
            found += (value.shape, value.dtype, value.device, value.layout, type(value))
        else:
            # What is converted first has a signature of its own then; a subclass takes long to say its shape.
            found.append((type(value), isinstance(value, Tensor) or holds_numbers(value)))
    return tuple(found)
