"""Plan to something that runs: each step bound to its function once, then a plain loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

import torch

from losslang import lazy
from losslang.meaning import Input
from losslang.operations import MATH, OPERATIONS
from losslang.operations.regions import region_total
from losslang.plan import Output, Plan, Ref, Step
from losslang.primitive import Activation, Function, Loss, Reduction
from losslang.registry import Registry

lazy.load()

ROOTS = ("pred", "target", "batch", "const")
Call = tuple[int, Callable[..., Any], Callable[[list[Any]], Sequence[Any]]]


@dataclass(frozen=True)
class Program:
    """A plan bound to its functions: every value has a slot, every step fills one."""

    template: tuple[Any, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Output, ...]
    places: tuple[int, ...]
    weights: tuple[float | None, ...]

    def run(self, pred: Any, target: Any, batch: Mapping[str, Any], const: Mapping[str, Any]) -> list[Any]:
        """The value of every output."""
        slots = [pred, target, batch, const, *self.template]
        for place, function, arguments in self.calls:
            slots[place] = function(*arguments(slots))
        return [slots[place] for place in self.places]

    def total(self, values: Sequence[Any]) -> torch.Tensor:
        """The weighted sum of the outputs that are trained on."""
        total: Any = None
        for value, weight in zip(values, self.weights, strict=True):
            if weight is not None:
                part = value if weight == 1 else value * weight
                total = part if total is None else total + part
        return total if isinstance(total, torch.Tensor) else torch.tensor(float(total or 0.0))


def build(plan: Plan, registry: Registry, *, careful: bool) -> Program:
    """The program of a plan. `careful` keeps the steps that look at values, for the first call."""
    binding = _Binding(registry)
    for step in plan.steps:
        if careful or not step.check:
            binding.step(step)
    # Outputs that are numbers take slots of their own: they come before the template is closed.
    outputs = tuple(binding.place(output.value) for output in plan.outputs)
    weights = tuple(None if output.metric else output.weight for output in plan.outputs)
    return Program(tuple(binding.template), tuple(binding.calls), plan.outputs, outputs, weights)


class _Binding:
    """Gives every value a slot, and every step its function."""

    def __init__(self, registry: Registry):
        self.registry = registry
        self.places = {name: i for i, name in enumerate(ROOTS)}
        self.template: list[Any] = []
        self.calls: list[Call] = []

    def place(self, argument: Any) -> int:
        return self.places[argument.name] if isinstance(argument, Ref) else self.slot(argument)

    def slot(self, value: Any) -> int:
        self.template.append(value)
        return len(ROOTS) + len(self.template) - 1

    def step(self, step: Step) -> None:
        path = dict(step.options).get("path")
        inputs = list(map(self.place, step.inputs))
        if isinstance(path, Input):
            inputs.insert(0, ROOTS.index(path.root))
            if step.operation == "input" and not path.steps:
                # A whole root is itself.
                self.places[step.name] = inputs[0]
                return
        function = _bound(step, self.registry)
        if step.operation.startswith("loss:"):
            function, inputs = self._with_total(step, function, inputs)
        self.places[step.name] = self.slot(None)
        self.calls.append((self.places[step.name], function, _getter(inputs)))

    def _with_total(
        self, step: Step, function: Callable[..., Any], inputs: list[int]
    ) -> tuple[Callable[..., Any], list[int]]:
        """A loss that sums gets its `total`: made once where nothing is masked, else in every call."""
        loss = _found(self.registry.get(Loss, step.operation.removeprefix("loss:")), step.operation)
        if not loss.has_total:
            return function, inputs
        at, keep = loss.parameters.index("total"), len(loss.result_axes)
        options = dict(step.options)
        batch = options.pop("batch")
        *given, mask = inputs
        if step.inputs[-1] is None:
            given[at] = self.slot(region_total(None, keep, batch))
            return partial(loss.function, **options), given
        return partial(_masked, partial(loss.function, **options), at, keep, batch), [*given, mask]


def _getter(inputs: Sequence[int]) -> Callable[[list[Any]], Sequence[Any]]:
    """What takes the inputs of a step out of the slots.

    Spelled out for the usual numbers: on small tensors a loop here would be a tenth of the time.
    """
    match inputs:
        case [a]:
            return lambda slots: (slots[a],)
        case [a, b]:
            return lambda slots: (slots[a], slots[b])
        case [a, b, c]:
            return lambda slots: (slots[a], slots[b], slots[c])
        case _:
            return lambda slots: [slots[i] for i in inputs]


def _bound(step: Step, registry: Registry) -> Callable[..., Any]:
    function = _function(step.operation, registry)
    options = dict(step.options)
    if step.site is not None and "site" in signature(function).parameters:
        options["site"] = step.site
    return partial(function, **options) if options else function


def _function(operation: str, registry: Registry) -> Callable[..., Any]:
    kind, _, name = operation.partition(":")
    match kind:
        case "math" if name in MATH:
            return MATH[name]
        case "math":
            return _arithmetic(_found(registry.get(Function, name), operation))
        case "activation":
            return _found(registry.get(Activation, name), operation).function
        case "reduction":
            return _found(registry.get(Reduction, name), operation).function
        case "kernel":
            loss, _, activation = name.partition(".")
            return _found(registry.get(Loss, loss), operation).kernels[activation]
        case "loss":
            return _found(registry.get(Loss, name), operation).function
        case _:
            return OPERATIONS[operation]


def _found(primitive: Any, operation: str) -> Any:
    if primitive is None:
        raise LookupError(f"`{operation}` is not registered here; import the module that defines it first")
    return primitive


def _arithmetic(function: Function) -> Callable[..., Any]:
    """A function of tensors that folds plain numbers, as those of `compile(const=...)` are."""

    def apply(*arguments: Any) -> Any:
        if function.fold is None or any(isinstance(a, torch.Tensor) for a in arguments):
            return function.function(*arguments)
        return function.fold(*arguments)

    return apply


def _masked(function: Callable[..., Any], at: int, keep: int, batch: bool, *arguments: Any) -> Any:
    """A loss that sums, under a mask that is known only now."""
    *given, mask = arguments
    given[at] = region_total(mask, keep, batch)
    return function(*given)
