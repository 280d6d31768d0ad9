"""Stepwise runs: a plan one step after the other, its inputs as leaves, every value kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes.inside import not_eager
from losslang.meaning.meaning import Input
from losslang.meaning.program import Meaning
from losslang.plan.lower import lower
from losslang.plan.passes import cse, drop_dead_steps, fold, fuse, stable
from losslang.plan.plan import Plan, Step, verify
from losslang.registry import Registry
from losslang.runtime.binding import Binding
from losslang.runtime.program import ROOTS
from losslang.tensors.eager import is_eager
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor


def refuse_traced(meaning: Meaning, method: str) -> None:
    """Raises LossError while torch traces, compiles or transforms: no value can be looked at then."""
    if not is_eager():
        source = meaning.source
        raise LossError([not_eager(source.whole, method).at(source)])


def plain(meaning: Meaning, registry: Registry, ignore: tuple[str, ...]) -> Plan:
    """The plan before the passes that only make it faster.

    Those that decide which numbers are finite stay: a log of a sigmoid is a log-sigmoid here too.
    """
    plan = cse(fold(lower(meaning, registry, ignore)))
    return verify(drop_dead_steps(fuse(stable(plan), registry)))


class Ran(NamedTuple):
    """A plan that has run: the value of every step by its name, and what its checks have refused."""

    plan: Plan
    values: Mapping[str, Any]
    refused: tuple[LossError, ...]

    @property
    def steps(self) -> Mapping[str, Step]:
        """The steps by name."""
        return {step.name: step for step in self.plan.steps}

    def above(self, step: Step) -> list[Step]:
        """The steps whose values a step reads."""
        steps = self.steps
        return [steps[name] for name in step.input_names]

    def inputs_of(self, step: Step) -> list[Step]:
        """The inputs of the call that a step is computed from, in the order of the program."""
        reached = {step.name}
        for other in reversed(self.plan.steps):
            if other.name in reached:
                reached.update(other.input_names)
        return [step for step in self.plan.inputs if step.name in reached]


def run(plan: Plan, registry: Registry, roots: Sequence[Any]) -> Ran:
    """Runs all steps in order. Floating inputs are leaves that ask for a gradient, and nobody's tensors change.

    Raises LossError for tensors that do not fit; what looks at values and refuses them is kept.
    """
    binding = Binding(registry, ROOTS, widens=True)
    slots, refused = list(roots), list[LossError]()
    for step in plan.steps:
        calls, template = len(binding.calls), len(binding.template)
        binding.step(step)
        slots += binding.template[template:]
        for slot, function, arguments in binding.calls[calls:]:
            try:
                slots[slot] = function(*(slots[argument] for argument in arguments))
            except LossError as error:
                if not step.check:
                    raise
                refused.append(error)
        if step.operation == "input":
            at = binding.slots[step.name]
            slots[at] = _leaf(slots[at])
    values = {step.name: slots[binding.slots[step.name]] for step in plan.steps}
    return Ran(plan, values, tuple(refused))


def _leaf(value: Any) -> Any:
    """A value of a call, cut off from what it was computed by."""
    if not isinstance(value, torch.Tensor):
        return value
    own = value.detach()
    return own.clone().requires_grad_() if own.is_floating_point() else own


def tensors_in(value: object) -> list[Tensor]:
    """The tensors of real numbers that a step gives: one, or those of a pair."""
    parts = cast("Sequence[object]", value) if isinstance(value, (tuple, list)) else (value,)
    return [p for p in parts if isinstance(p, torch.Tensor) and p.is_floating_point()]


def path_of(step: Step) -> str:
    """What an input reads: `pred.seg`, or a clock of the module."""
    path = dict(step.options).get("path")
    return str(path) if isinstance(path, Input) else step.name
