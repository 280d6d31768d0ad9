"""Tensors that a compiled loss holds beside its constants: parameters of the model, and buffers of losses."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, Literal

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import inputs
from losslang.plan.lower.use import MEMORY
from losslang.plan.plan import Plan
from losslang.primitives.primitive import Loss
from losslang.registry import Registry
from losslang.vocabulary import Tensor

Validate = Literal["first", "always", "never"]
VALIDATE = ("first", "always", "never")
"""In which calls values of tensors are checked."""


class Held(dict[str, list[Tensor]]):
    """Parameters of the model by the pattern that matched them: referenced, never copied or saved."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Held:
        return self

    def __reduce__(self) -> tuple[type[Held], tuple[dict[str, list[Tensor]]]]:
        return Held, ({},)


def hold(plan: Plan, params: Iterable[tuple[str, Tensor]] | None) -> Held:
    """Returns the parameters that the terms of a plan read: those whose names match their shell patterns.

    Raises LossError with every pattern that matches none.
    """
    named = None if params is None else _named(params)
    held, wrong = Held({}), list[Diagnostic]()
    for step in plan.steps:
        if step.operation != "matching" or step.site is None:
            continue
        site, pattern = step.site, str(dict(step.options)["match"])
        found = _once(value for name, value in (named or {}).items() if fnmatchcase(name, pattern))
        if named is None:
            wrong.append(inputs.no_parameters(site.span, site.term).at(site.source))
        elif not found:
            wrong.append(inputs.matches_nothing(site.span, site.term, pattern, tuple(named)).at(site.source))
        held[pattern] = found
    if wrong:
        raise LossError(wrong)
    return held


def _named(params: Any) -> dict[str, Tensor]:
    """Returns `params=` as a dictionary; raises TypeError if it holds no pairs of name and parameter."""
    listed: list[Any] = [] if hasattr(params, "named_parameters") else list(params)
    if not listed or not all(isinstance(entry, tuple) for entry in listed):
        raise TypeError("params= wants parameters with their names: `params=model.named_parameters()`")
    return dict(listed)


def _once(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Returns each parameter once: a shared one has several names."""
    return list({id(value): value for value in parameters}.values())


def memories(plan: Plan, registry: Registry) -> dict[str, int]:
    """Returns the lengths of the buffers that the losses of a plan keep, by name."""
    paths = {step.name: str(dict(step.options)["path"]) for step in plan.inputs}
    names = {step: path.removeprefix(MEMORY) for step, path in paths.items() if path.startswith(MEMORY)}
    found: dict[str, int] = {}
    for step in plan.steps:
        for name in (names[read] for read in step.input_names if read in names):
            loss = registry.get(Loss, name.rpartition("_")[0])
            assert loss is not None
            (option,) = loss.axes["memory"]
            found[name] = int(dict(step.options)[option])
    return found
