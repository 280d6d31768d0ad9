"""Plan to something that runs: each step bound to its function once, then a plain loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

import torch

from losslang import lazy
from losslang.operations import MATH, OPERATIONS
from losslang.operations.regions import region_total
from losslang.plan import Output, Plan, Ref, Step
from losslang.primitive import Activation, Function, Loss, Reduction
from losslang.registry import Registry

lazy.load()

ROOTS = ("pred", "target", "batch", "const")
Call = tuple[int, Callable[..., Any], tuple[int, ...]]


@dataclass(frozen=True)
class Program:
    """A plan bound to its functions: every value has a slot, every step fills one."""

    template: tuple[Any, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Output, ...]
    places: tuple[int, ...]

    def run(self, pred: Any, target: Any, batch: Mapping[str, Any], const: Mapping[str, Any]) -> list[Any]:
        """The value of every output."""
        slots = [pred, target, batch, const, *self.template]
        for place, function, inputs in self.calls:
            slots[place] = function(*[slots[i] for i in inputs])
        return [slots[place] for place in self.places]

    def total(self, values: Sequence[Any]) -> torch.Tensor:
        """The weighted sum of the outputs that are trained on."""
        total: Any = None
        for output, value in zip(self.outputs, values, strict=True):
            if not output.metric:
                part = value if output.weight == 1 else value * output.weight
                total = part if total is None else total + part
        return total if isinstance(total, torch.Tensor) else torch.tensor(float(total or 0.0))


def build(plan: Plan, registry: Registry, *, careful: bool) -> Program:
    """The program of a plan. `careful` keeps the steps that look at values, for the first call."""
    places = {name: i for i, name in enumerate(ROOTS)}
    template: list[Any] = []
    calls: list[Call] = []

    def place(argument: Any) -> int:
        if isinstance(argument, Ref):
            return places[argument.name]
        template.append(argument)
        return len(ROOTS) + len(template) - 1

    for step in plan.steps:
        if step.check and not careful:
            continue
        options = dict(step.options)
        inputs = (ROOTS.index(options["path"].root),) if "path" in options else ()
        inputs += tuple(place(argument) for argument in step.inputs)
        template.append(None)
        places[step.name] = len(ROOTS) + len(template) - 1
        calls.append((places[step.name], _bound(step, registry), inputs))
    # Outputs that are numbers take slots of their own: they come before the template is closed.
    outputs = tuple(place(output.value) for output in plan.outputs)
    return Program(tuple(template), tuple(calls), plan.outputs, outputs)


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
            loss = _found(registry.get(Loss, name), operation)
            return partial(_regional, loss) if loss.has_total else loss.function
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


def _regional(loss: Loss, *arguments: Any, batch: bool, **options: Any) -> Any:
    """A loss that sums: its `total` knows the mask and which axes are left."""
    *given, mask = arguments
    axes = loss.result_axes
    keep = len(axes)
    given[loss.parameters.index("total")] = region_total(mask, keep, batch)
    return loss.function(*given, **options)
