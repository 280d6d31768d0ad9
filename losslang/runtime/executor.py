"""Runs a plan in the way that suits the tensors of a call. Which one that is stands in ways.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from losslang.diagnostics.errors import LossError
from losslang.plan.lower.across import gathered_by
from losslang.plan.operations.call import holds_numbers, refuse_mixed, refuse_unreadable
from losslang.plan.passes import drop_masks
from losslang.plan.plan import Plan, Step
from losslang.primitives.combinators import Combinator
from losslang.registry import Registry
from losslang.runtime import block_sizes, program
from losslang.runtime.arguments import name_heads
from losslang.runtime.closed import WalkEvaluators
from losslang.runtime.conditions import LABELS, NOTHING, VALUES, Call
from losslang.runtime.ignored_labels import ignore_mask_steps, with_kernel_ignore_index
from losslang.runtime.label_ranges import CHECKS
from losslang.runtime.program import Program
from losslang.runtime.runners import RunFn, Runner
from losslang.runtime.ways import SPECIALIZED, Way, choose
from losslang.tensors import lazy
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
    """The runner of calls with one signature and one look: chosen from WAYS in the first call, then kept."""

    def __init__(self, case: Case, look: int, *, may_ignore: bool):
        self.case = case
        self.look = look
        self.may_ignore = may_ignore
        self.run: RunFn = self._first
        self.chosen: tuple[Way, Runner] | None = None

    def choose(self, inputs: Sequence[Any]) -> tuple[Way, Runner]:
        """The row of WAYS, and what it made for calls like these."""
        if self.chosen is None:
            refuse_unreadable(self.case.executor.plan, inputs)
            call = Call(self.case.executor, self.case, inputs, self.look, may_ignore=self.may_ignore)
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
    """All calls whose inputs have one signature: a dispatch for each look, and the facts they share."""

    def __init__(self, executor: Executor):
        self.executor = executor
        looks = (NOTHING, LABELS, VALUES)
        self.dispatches = [Dispatch(self, look, may_ignore=False) for look in looks]
        self._beside_ignored = [Dispatch(self, look, may_ignore=True) for look in looks]
        self._shapes: list[Mapping[str, Shape] | None] = []
        self._walks: list[list[WalkEvaluators]] = []

    def dispatch(self, look: int, *, may_ignore: bool = False) -> Dispatch:
        """That of calls that still have this to check; `may_ignore`: labels to ignore may be there."""
        return (self._beside_ignored if may_ignore else self.dispatches)[look]

    def shapes(self, inputs: Sequence[Any]) -> Mapping[str, Shape] | None:
        """The shapes of the predictions; None for tensors that are not ordinary, or do not fit the plan."""
        if not self._shapes:
            self._shapes.append(program.shapes_of(self.executor.plan, self.executor.registry, inputs))
        return self._shapes[0]

    def walks(self, inputs: Sequence[Any]) -> list[WalkEvaluators]:
        """The walks that are worth it: the same for a call that looks at values and for one that does not."""
        if not self._walks:
            self._walks.append(self._split(inputs))
        return self._walks[0]

    def _split(self, inputs: Sequence[Any]) -> list[WalkEvaluators]:
        own = self.executor
        if own.fuse is not None or not block_sizes.are_large(inputs):
            return []
        shapes = self.shapes(inputs)
        return [] if shapes is None else block_sizes.walks(own.plan, own.registry, shapes, inputs)


class Executor:
    """Runs a plan, and holds the programs that its ways need: each is made when it is first asked for.

    `fuse` hands the plan to torch.compile. `has_open_masks`: which masks of ignored labels are needed is
    found in every call; else the plan runs with those that it has. `for_eager`: who calls it has seen that
    the call is eager.
    """

    def __init__(
        self,
        plan: Plan,
        registry: Registry,
        fuse: Fuse | None = None,
        *,
        has_open_masks: bool = True,
        for_eager: bool = False,
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
        self.cases: dict[Signature, Case] = {}
        self._unmasked: dict[tuple[str, ...], Executor] = {}
        self._specialized: dict[tuple[tuple[str, ...], bool], Program] = {}

    def run(self, roots: Sequence[Any], look: int) -> list[Any]:
        """The value of every output; `look` says which values of the tensors are looked at."""
        if not (self.for_eager or is_eager()):
            if not (self.measures and compiles()):
                return self.traced.run(*roots)
            from losslang.runtime.beside_dynamo import outside_of_graph

            return outside_of_graph(self, "run", roots, look)
        inputs = self.read(roots)
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
        """Returns the Case of the signature of these inputs; makes it if there is none yet."""
        signature = _signature(inputs)
        case = self.cases.get(signature)
        if case is None:
            if len(self.cases) >= SIGNATURES:
                # A program that is called with ever new shapes does not grow without end.
                self.cases.clear()
            case = self.cases.setdefault(signature, Case(self))
        return case

    def without(self, absent: tuple[str, ...]) -> Executor:
        """Returns the executor of the plan without these mask steps, for calls in which they mask nothing."""
        if absent in self._unmasked:
            return self._unmasked[absent]
        plan = drop_masks(self.plan, absent) if absent else self.plan
        if plan.inputs != self.plan.inputs:
            raise AssertionError(f"an input is read for its mask alone:\n{self.plan}")
        return self._unmasked.setdefault(
            absent, Executor(plan, self.registry, self.fuse, has_open_masks=False)
        )

    @cached_property
    def kernel_ignoring(self) -> Executor | None:
        """The executor of the plan with `ignore_index` of kernels in place of masks; None if none has it."""
        plan = with_kernel_ignore_index(self.plan, self.registry)
        return None if plan == self.plan else Executor(plan, self.registry, self.fuse, has_open_masks=False)

    @cached_property
    def read(self) -> Callable[[Sequence[Any]], Sequence[Any]]:
        """Takes the inputs out of the roots of a call."""
        reader = program.reading(self.plan, self.registry, "input")
        slots = reader.slots
        return (
            (lambda roots: reader.run(*roots))
            if reader.calls.calls
            else lambda roots: list(map(roots.__getitem__, slots))
        )

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
        """Looks at labels and computes nothing."""
        return program.checks(self.plan, self.registry, CHECKS)

    @cached_property
    def whole(self) -> Program:
        """Every step but those that look at values."""
        return program.of_inputs(self.plan, self.registry, validate=False)

    @cached_property
    def whole_checked(self) -> Program:
        """Every step."""
        return program.of_inputs(self.plan, self.registry, validate=True)

    @cached_property
    def fused(self) -> RunFn:
        compiled: Any = torch.compile(self.whole.run, backend=str(self.fuse))  # pyright: ignore
        return compiled

    def specialized(self, noops: tuple[str, ...], *, filled: bool) -> Program:
        """The plan without these steps, for tensors that passed every check; `filled`: none of them is empty."""
        known = noops, filled
        if known not in self._specialized:
            self._specialized[known] = program.specialized(self.plan, self.registry, noops, filled=filled)
        return self._specialized[known]


def _measures_gradients(step: Step, registry: Registry) -> bool:
    combinator = registry.get(Combinator, step.op) if step.kind == "combinator" else None
    return combinator is not None and combinator.measures == "gradients"


def _signature(inputs: Sequence[Any]) -> Signature:
    found: list[Any] = []
    for value in inputs:
        if type(value) is Tensor or (isinstance(value, Tensor) and not is_dressed(value)):
            found += (value.shape, value.dtype, value.device, value.layout, type(value))
        else:
            # What is converted first has a signature of its own then; a subclass takes long to say its shape.
            found.append((type(value), isinstance(value, Tensor) or holds_numbers(value)))
    return tuple(found)
