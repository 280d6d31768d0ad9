"""Tells whether the tensors of a call fit a plan, and what shapes its predictions have, by a call in small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from losslang.plan.plan import Plan, needed_steps
from losslang.registry import Registry
from losslang.runtime.blocks import Walker
from losslang.runtime.kinds import Model
from losslang.runtime.label_ranges import LAID
from losslang.runtime.program import READING, from_inputs
from losslang.tensors.lazy import torch


def shapes_of(
    plan: Plan, registry: Registry, small: Sequence[Any], model: Model
) -> Mapping[str, tuple[int, ...]] | None:
    """The shapes of the predictions of a plan, given a call in small; None if its tensors do not fit."""
    names = [step.name for step in plan.steps if step.operation == "float_prediction"]
    # Walks read inputs on other axes: where one does not fit, the whole program says which is the first.
    laid = [step.name for step in plan.steps if step.operation in LAID]
    found = _found(plan, registry, [*names, *laid], small)
    if found is None:
        return None
    return {n: model.shape_behind(value.shape) for n, value in zip(names, found, strict=False)}


def fits(plan: Plan, registry: Registry, small: Sequence[Any], walks: Sequence[Walker]) -> bool:
    """Whether the shapes of a call in small are those that a plan asks for, and fit what its walks compute."""
    walked = [step.name for walker in walks for step in (*walker.walk.maps, *walker.walk.sums)]
    asked = [step.name for step in plan.steps if step.kind == "check" and not step.check]
    return _found(plan, registry, [*asked, *walked], small) is not None


def fits_everywhere(plan: Plan, registry: Registry, inputs: Sequence[Any]) -> bool:
    """Whether all steps of a plan take the tensors of a call: without data, which torch computes in Python.

    That imports torch._dynamo and sympy, which takes a second: only a plan for torch.compile is asked so, and
    a call that has no model in small.
    """
    names = [step.name for step in plan.steps]
    return are_ordinary(inputs) and _found(plan, registry, names, hollow(inputs)) is not None


def hollow(inputs: Sequence[Any]) -> list[Any]:
    """The inputs without data."""
    return [value.to("meta") if isinstance(value, torch.Tensor) else value for value in inputs]


def are_ordinary(inputs: Sequence[Any]) -> bool:
    """Whether all tensors of a call are of torch's own classes and, but for single numbers, on one device."""
    tensors = [value for value in inputs if isinstance(value, torch.Tensor)]
    is_plain = all(type(value) in (torch.Tensor, torch.nn.Parameter) for value in tensors)
    return is_plain and len({value.device for value in tensors if value.ndim}) <= 1


def _found(plan: Plan, registry: Registry, names: Sequence[str], inputs: Sequence[Any]) -> list[Any] | None:
    """The values of steps; None if the inputs do not fit: the whole program refuses them, with all reasons."""
    wanted = needed_steps(plan.steps, names)
    binding = from_inputs(plan, registry)
    for step in plan.steps:
        if step.name in wanted and step.operation not in READING:
            binding.step(step)
    try:
        with torch.no_grad():
            slots = binding.done().run(*inputs)
    except Exception:
        return None
    return [slots[binding.slots[name]] for name in names if name in binding.slots]
