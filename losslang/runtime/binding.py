"""Binding: every step gets its function, and every value a slot in a list, so that a call is a plain loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from inspect import signature
from typing import Any

from losslang.diagnostics.mistakes import tensors
from losslang.meaning.meaning import Input
from losslang.plan.operations import MATH, OPERATIONS, ieee
from losslang.plan.operations.automatic import found_weights
from losslang.plan.operations.call import as_tensor
from losslang.plan.operations.regions import Region, of_totals, region_total
from losslang.plan.operations.sums import Sum
from losslang.plan.plan import Ref, Step
from losslang.primitives import functions
from losslang.primitives.combinators import Combinator
from losslang.primitives.primitive import Activation, Function, Loss, Reduction
from losslang.primitives.schedules import Schedule
from losslang.registry import Registry, loss_behind
from losslang.tensors.lazy import torch
from losslang.tensors.targets import Site

Call = tuple[int, Callable[..., Any], tuple[int, ...]]
"""The slot that a function fills, the function, and the slots of its arguments."""


@dataclass(frozen=True)
class Calls:
    """A bound program: functions in order, each with the slots that it reads and the slot that it fills."""

    roots: int
    template: tuple[Any, ...]
    calls: tuple[Call, ...]

    def run(self, *roots: Any) -> list[Any]:
        """Calls the functions in order, and returns the values of all slots."""
        slots = [*roots, *self.template]
        read = slots.__getitem__
        for slot, function, arguments in self.calls:
            slots[slot] = function(*map(read, arguments))
        return slots


class Binding:
    """Gives every value a slot, and every step its function.

    `filled`: no tensor of a call is empty. `widens`: inputs may be of types that operations do not know.
    """

    def __init__(
        self, registry: Registry, roots: Sequence[str], *, filled: bool = False, widens: bool = False
    ):
        self.registry = registry
        self.filled = filled
        self.widens = widens
        self.roots = len(roots)
        self.slots = {name: i for i, name in enumerate(roots)}
        self.template: list[Any] = []
        self.calls: list[Call] = []
        self.shown: list[Any] = []

    def slot(self, argument: Any) -> int:
        """Returns the slot of an argument. Raises AssertionError for the value of a step that is not bound."""
        if not isinstance(argument, Ref):
            return self.add_slot(argument)
        if argument.name not in self.slots:
            raise AssertionError(f"not a program: `{argument}` is read, and left out of {list(self.slots)}")
        return self.slots[argument.name]

    def add_slot(self, value: Any) -> int:
        self.template.append(value)
        return self.roots + len(self.template) - 1

    def call(self, name: str, function: Callable[..., Any], inputs: Sequence[int]) -> None:
        """Appends a call: `function` of the values in these slots gives the value `name`."""
        self.slots[name] = self.add_slot(None)
        self.calls.append((self.slots[name], function, tuple(inputs)))

    def step(self, step: Step) -> None:
        """Appends the calls of one step, on whole tensors."""
        self.shown.append(step)
        inputs = list(map(self.slot, step.inputs))
        path = dict(step.options).get("path")
        if isinstance(path, Input):
            inputs.insert(0, self.slots[path.root])
            if step.operation == "input" and self.widens:
                self.call(f"{step.name} as it is", bound(step, self.registry)[0], inputs)
                self.call(step.name, as_tensor, [self.slots[f"{step.name} as it is"]])
                return
            if step.operation == "input" and not path.steps:
                # A whole root is itself.
                self.slots[step.name] = inputs[0]
                return
        function, at = bound(step, self.registry, filled=self.filled)
        if at is None:
            self.call(step.name, function, inputs)
        elif step.operation == "reduction:mean" and step.inputs[2] is None:
            # The same number in one kernel.
            self.call(step.name, functions.mean.function, inputs[:1])
        else:
            self._sum(step, function, at, inputs)

    def _sum(self, step: Step, function: Callable[..., Any], at: int, inputs: list[int]) -> None:
        """What sums gets its `total`: made once where nothing is masked, else in every call."""
        over = region(step, self.registry)
        if dict(step.options).get("parted"):
            self.call(step.name, sum_of(step, self.registry).parted, inputs)
        elif step.operation.startswith("reduction:"):
            if step.operation == "reduction:mean":
                function = partial(_mean_if_whole, function)
            self.call(step.name, function, [*inputs, self.add_slot(region_total(None, over))])
        elif step.inputs[-1] is None:
            inputs[at] = self.add_slot(region_total(None, over))
            self.call(step.name, function, inputs[:-1])
        else:
            self.call(step.name, partial(_masked, function, at, over), inputs)

    def done(self) -> Calls:
        return Calls(self.roots, tuple(self.template), tuple(self.calls))


def bound(step: Step, registry: Registry, *, filled: bool = False) -> tuple[Callable[..., Any], int | None]:
    """The function of a step with its options, and where it takes its `total`, if it takes one."""
    function, at = _function(step.operation, registry)
    options = dict(step.options)
    if at is not None:
        options.pop("batch", None)
        options.pop("parted", None)
    if step.site is not None and _takes_site(function):
        options["site"] = step.site
    if step.named:
        function = partial(_by_name, function, step.named)
    loss = loss_behind(step.operation, registry)
    if step.site is not None and loss is not None and loss.whole:
        function = partial(_or_refused, function, step.site)
    if options.get("reduction") == "mean" and not filled:
        return partial(
            _mean, partial(function, **{**options, "reduction": "none"}), partial(function, **options)
        ), at
    return (partial(function, **options) if options else function), at


@cache
def _takes_site(function: Callable[..., Any]) -> bool:
    """Whether a function can say whom to blame."""
    return "site" in signature(function).parameters


def region(step: Step, registry: Registry) -> Region:
    """Returns the region that a loss or a reduction sums over: all, each sample, or each class of a sample."""
    kind, _, name = step.operation.partition(":")
    if kind == "reduction":
        reduction = registry.get(Reduction, name)
        return Region(1 if reduction is not None and reduction.per_sample else 0)
    loss: Loss = _found(registry.get(Loss, name), step.operation)
    return Region(
        len(loss.sums), bool(dict(step.options).get("batch")), goes_on=loss.sums != loss.result_axes
    )


def sum_of(step: Step, registry: Registry) -> Sum:
    """Returns a step as a sum in two halves."""
    function, at = bound(step, registry)
    over = Region(0) if at is None else region(step, registry)
    is_parted, options = bool(dict(step.options).get("parted")), frozenset(place for place, _ in step.named)
    return Sum(function, at, over, step.kind == "loss", is_parted, options)


def _function(operation: str, registry: Registry) -> tuple[Callable[..., Any], int | None]:
    kind, _, name = operation.partition(":")
    match kind:
        case "math" if name in MATH:
            return MATH[name], None
        case "math":
            return _arithmetic(_found(registry.get(Function, name), operation)), None
        case "schedule":
            return _found(registry.get(Schedule, name), operation).function, None
        case "combinator":
            return partial(found_weights, combinator=_found(registry.get(Combinator, name), operation)), None
        case "activation":
            return _found(registry.get(Activation, name), operation).function, None
        case "reduction":
            reduction = _found(registry.get(Reduction, name), operation)
            return reduction.function, 3 if reduction.has_total else None
        case "kernel":
            loss, _, activation = name.partition(".")
            return _found(registry.get(Loss, loss), operation).kernels[activation], None
        case "loss":
            loss = _found(registry.get(Loss, name), operation)
            return loss.function, loss.parameters.index("total") if loss.has_total else None
        case "totals":
            loss = _found(registry.get(Loss, name), operation)
            return partial(of_totals, loss.function, loss.parameters.index("total")), None
        case _:
            return OPERATIONS[operation], None


def _found(primitive: Any, operation: str) -> Any:
    if primitive is None:
        raise LookupError(f"`{operation}` is not registered here; import the module that defines it first")
    return primitive


def _arithmetic(function: Function) -> Callable[..., Any]:
    """A function of tensors that folds plain numbers, as those of `compile(const=...)` are."""

    def apply(*arguments: Any, **options: Any) -> Any:
        if function.fold is None or any(isinstance(a, torch.Tensor) for a in arguments):
            return function.function(*arguments, **options)
        try:
            return function.fold(*arguments, **options)
        except (ArithmeticError, ValueError):
            return ieee(partial(function.function, **options), *arguments)

    return apply


def _by_name(
    function: Callable[..., Any], named: Sequence[tuple[int, str]], *arguments: Any, **options: Any
) -> Any:
    """Calls a function with those arguments by name that are options of it: they follow each other."""
    first = named[0][0]
    given = {name: arguments[position] for position, name in named}
    return function(*arguments[:first], *arguments[first + len(given) :], **given, **options)


def _or_refused(function: Callable[..., Any], site: Site, *arguments: Any, **options: Any) -> Any:
    """What a loss computes. A ValueError of its own, about sizes that do not go together, gets its place."""
    try:
        return function(*arguments, **options)
    except ValueError as error:
        raise site.error(tensors.refused(site.span, site.term, str(error))) from error


def _mean(values: Callable[..., Any], mean: Callable[..., Any], *arguments: Any) -> Any:
    """The mean of a kernel; over nothing it is 0, where torch's is not a number."""
    return mean(*arguments) if arguments[0].numel() else values(*arguments).sum()


def _mean_if_whole(mean: Callable[..., Any], values: Any, weights: Any, counted: Any, total: Any) -> Any:
    """The mean of values, in one kernel if all are found to count."""
    return functions.mean.function(values) if counted is None else mean(values, weights, counted, total)


def _masked(function: Callable[..., Any], at: int, over: Region, *arguments: Any) -> Any:
    """A loss that sums, under a mask that is known only now."""
    # Not `*given, mask = arguments`: torch.compile made a tuple of it until torch 2.8.
    given = list(arguments)
    mask = given.pop()
    given[at] = region_total(mask, over)
    return function(*given)
