"""Runners, which the rows of WAYS make: each computes a call, or looks at something and hands the call on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from losslang.plan.operations.call import as_tensor
from losslang.runtime.conditions import LABELS, NOTHING, Call, ignores_in_kernels
from losslang.runtime.label_ranges import LabelRange, Later
from losslang.runtime.program import Program, checks_in_blocks, labels_of
from losslang.tensors.lazy import torch

if TYPE_CHECKING:
    from losslang.runtime.executor import Dispatch, Executor

RunFn = Callable[..., list[Any]]
"""From the values of the inputs to those of the outputs."""


class Runner(Protocol):
    """Runs calls of one signature."""

    def run(self, *inputs: Any) -> list[Any]:
        """The values of the outputs."""
        ...

    def next(self, inputs: Sequence[Any]) -> tuple[Dispatch, Sequence[Any]] | None:
        """The dispatch and the inputs that a call is handed on to; None if it is computed here."""
        ...

    def programs(self) -> list[tuple[str, Program]]:
        """The programs that run here, each with its role; the one that computes the outputs has none."""
        ...


class Computes:
    """Computes the outputs of a call by a program, after `checks` if there are any.

    `run` is called in place of the program, if it is given: torch.compile makes such a function.
    """

    def __init__(self, program: Program, run: RunFn | None = None, checks: Program | None = None):
        self.program = program
        self.checks = checks
        self.run: RunFn = self._checked if checks is not None else run or program.run
        self._run = run or program.run

    def _checked(self, *inputs: Any) -> list[Any]:
        _check(self.checks, inputs)
        return self._run(*inputs)

    def next(self, inputs: Sequence[Any]) -> None:
        return None

    def programs(self) -> list[tuple[str, Program]]:
        checks = [] if self.checks is None else [("checks", self.checks)]
        return [*checks, ("", self.program)]


class HandsOn:
    """Hands a call on to one dispatch, after `checks` if there are any."""

    def __init__(self, dispatch: Dispatch, checks: Program | None = None):
        self.dispatch = dispatch
        self.checks = checks

    def run(self, *inputs: Any) -> list[Any]:
        if self.checks is not None:
            _check(self.checks, inputs)
        return self.dispatch.run(*inputs)

    def next(self, inputs: Sequence[Any]) -> tuple[Dispatch, Sequence[Any]]:
        return self.dispatch, inputs

    def programs(self) -> list[tuple[str, Program]]:
        return [] if self.checks is None else [("checks", self.checks)]


class Converts(HandsOn):
    """Converts arrays, lists of numbers and unsigned labels to tensors, and hands the call on with those."""

    def __init__(self, executor: Executor, look: int):
        self.executor = executor
        self.look = look
        self.checks = None

    def run(self, *inputs: Any) -> list[Any]:
        dispatch, tensors = self.next(inputs)
        return dispatch.run(*tensors)

    def next(self, inputs: Sequence[Any]) -> tuple[Dispatch, Sequence[Any]]:
        like = next((value for value in inputs if isinstance(value, torch.Tensor)), None)
        tensors = [as_tensor(value, like) for value in inputs]
        return self.executor.case(tensors).dispatch(self.look), tensors


class LooksAtRange:
    """Hands a call on: to `free` if the range shows that all labels count and are classes, else to `dispatch`."""

    def __init__(self, ranges: Sequence[LabelRange], free: Dispatch, dispatch: Dispatch):
        self.ranges = ranges
        self.free = free
        self.dispatch = dispatch

    def run(self, *inputs: Any) -> list[Any]:
        return self.next(inputs)[0].run(*inputs)

    def next(self, inputs: Sequence[Any]) -> tuple[Dispatch, Sequence[Any]]:
        for own in self.ranges:
            if own.may_hold_ignored(inputs):
                return self.dispatch, inputs
        return self.free, inputs

    def programs(self) -> list[tuple[str, Program]]:
        return []


class AsksForMasks(HandsOn):
    """Makes the masks of ignored labels, and hands the call on to the plan without those that mask nothing."""

    def __init__(self, executor: Executor, look: int):
        self.executor = executor
        self.look = look
        self.masks = executor.ignore_masks

    def run(self, *inputs: Any) -> list[Any]:
        return self.next(inputs)[0].run(*inputs)

    def next(self, inputs: Sequence[Any]) -> tuple[Dispatch, Sequence[Any]]:
        named = zip(self.executor.ignore_step_names, self.masks.quick(*inputs), strict=True)
        absent = tuple([name for name, mask in named if mask is None])
        return self.executor.without(absent).case(inputs).dispatch(self.look), inputs

    def programs(self) -> list[tuple[str, Program]]:
        return [("masks", self.masks)]


class NamesRefusals(HandsOn):
    """Hands a call on to one dispatch; if torch refuses a label, runs the checks, which say where it stands."""

    def run(self, *inputs: Any) -> list[Any]:
        try:
            return self.dispatch.run(*inputs)
        except IndexError:
            _check(self.checks, inputs)
            raise

    def programs(self) -> list[tuple[str, Program]]:
        return []


class ChecksLater(HandsOn):
    """Hands a call on to one dispatch, and leaves the range of its labels on a GPU to a later call to check."""

    def __init__(self, dispatch: Dispatch, later: Later):
        super().__init__(dispatch)
        self.run = later


class Records:
    """Runs a whole plan, and installs for later calls the plan without the steps that returned their input."""

    def __init__(self, executor: Executor, program: Program, dispatch: Dispatch):
        self.executor = executor
        self.program = program
        self.dispatch = dispatch

    def run(self, *inputs: Any) -> list[Any]:
        values, noops, known = self.program.run_recording(*inputs)
        filled = all(value.numel() for value in inputs if isinstance(value, torch.Tensor))
        short = self.executor.specialized(noops, known, filled=filled)
        self.dispatch.specialize(Computes(short, short.quick))
        return values

    def next(self, inputs: Sequence[Any]) -> None:
        return None

    def programs(self) -> list[tuple[str, Program]]:
        return [("", self.program)]


def _check(checks: Program | None, inputs: Sequence[Any]) -> None:
    """Runs checks of values: they refuse, and nothing is differentiated."""
    assert checks is not None
    with torch.no_grad():
        checks.quick(*inputs)


# -------------------------------------------------------------------- one function a row


def traced(call: Call) -> Runner:
    return Computes(call.executor.traced)


def converted(call: Call) -> Runner:
    return Converts(call.executor, call.look)


def refusal_of_kernels_named(call: Call) -> Runner:
    return NamesRefusals(call.rows_below, call.executor.label_checks)


def labels_checked_later(call: Call) -> Runner:
    checks, own, dispatch = call.sources.checks, call.executor, call.rows_below
    return ChecksLater(dispatch, Later(dispatch.go, checks, labels_of(own.plan, own.registry, checks).run))


def labels_checked_by_range(call: Call) -> Runner:
    """Makes the runner that reads each range once: for labels that are no class, and for labels to ignore."""
    found, free = call.class_ranges or [], call.case.dispatch(NOTHING)
    ignored = call.ignored_ranges if call.has_open_masks and not ignores_in_kernels(call) else None
    if ignored is not None and {look.input for look in ignored} <= {look.input for look in found}:
        free = call.unmasked.case(call.inputs).dispatch(NOTHING)
    return LooksAtRange(found, free, call.case.dispatch(LABELS, may_ignore=True))


def labels_checked(call: Call) -> Runner:
    return HandsOn(call.rows_below, call.executor.label_checks)


def ignored_by_kernels(call: Call) -> Runner:
    own = call.executor.kernel_ignoring
    assert own is not None
    # Values are checked before, by the whole plan: what is saved for the backward pass is the same in all calls.
    return HandsOn(own.case(call.inputs).dispatch(NOTHING), call.executor.checks if call.validates else None)


def ignored_by_range(call: Call) -> Runner:
    free = call.unmasked.case(call.inputs).dispatch(call.next_look)
    return LooksAtRange(call.ignored_ranges or [], free, call.case.dispatch(call.next_look, may_ignore=True))


def masks_asked(call: Call) -> Runner:
    return AsksForMasks(call.executor, call.next_look)


def fused(call: Call) -> Runner:
    own = call.executor
    return Computes(own.whole, own.fused, own.checks if call.validates else None)


def walked(call: Call) -> Runner:
    own, checks = call.executor, None
    if call.validates:
        checks = checks_in_blocks(own.plan, call.walks, own.registry, call.sources.checks)
    return Computes(call.case.in_blocks, checks=checks)


def whole(call: Call) -> Runner:
    """Makes the runner of every step, for calls that check values and for those that do not."""
    own = call.executor
    unchecked = call.case.dispatch(NOTHING, may_ignore=call.may_ignore)
    return Records(own, own.whole_checked if call.validates else own.whole, unchecked)
