"""Denominators of the terms of a program: counted before the prediction, and handed over as `norm`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import norms as mistakes
from losslang.meaning.elements import repeats_in
from losslang.meaning.meaning import Term
from losslang.meaning.program import Meaning
from losslang.meaning.splitting import counted_uses, needs_norm, why_not_counted, why_not_split
from losslang.plan.lower import UNITS, entry_names, lower
from losslang.plan.passes import optimize
from losslang.plan.plan import Output, Plan, Ref, needed_steps
from losslang.primitives.repeats import LIMIT
from losslang.registry import Registry
from losslang.runtime import program
from losslang.runtime.detail import stacked
from losslang.runtime.elements import ByElements, closed_by_targets
from losslang.runtime.executor import Executor
from losslang.runtime.program import Program
from losslang.tensors.devices import widest
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor


class Denominators:
    """The denominators of a program: one for each trained term, in the order of the terms."""

    def __init__(self, meaning: Meaning, registry: Registry):
        self.meaning = meaning
        self.registry = registry
        self.terms = [term for term in meaning.terms if not term.metric and not term.dropped]
        self.names = tuple(term.name for term in self.terms)
        found = [(term, len(counted_uses(term, registry))) for term in self.terms]
        self.entries = [(name, term) for term, n in found for name in entry_names(term.name, n)]
        """The denominators by their names: an `each` whose elements count by themselves has several."""
        self.has_elements = bool(repeats_in(self.terms))
        self.by_elements: dict[Any, Denominators] = {}

    def of(self, elements: Any, closed: Meaning) -> Denominators:
        """Returns those of calls with these elements, for which the meaning is closed."""
        if elements not in self.by_elements:
            if len(self.by_elements) >= LIMIT:
                self.by_elements.clear()
            self.by_elements[elements] = Denominators(closed, self.registry)
        return self.by_elements[elements]

    @cached_property
    def outputs(self) -> tuple[Plan, list[Output | None]]:
        """The plan that counts, and the output of it for each term; None for one that needs no denominator."""
        plan = optimize(lower(self.meaning, self.registry, detail=(UNITS,)), self.registry)
        by_name = {output.name: output for output in plan.outputs}
        return plan, [by_name.get(name + UNITS) for name, _ in self.entries]

    def splittable(self) -> tuple[str, ...]:
        """Returns the names of the terms. Raises LossError with every term that cannot be split."""
        found = [(term, why_not_split(term, self.registry)) for term in self.terms]
        self._raise([mistakes.not_split(t.span, t.name, why) for t, why in found if why])
        return self.names

    def given(self, norm: Any) -> Sequence[Any]:
        """Returns one denominator for each term. Raises LossError for a norm that does not fit the program."""
        if isinstance(norm, torch.Tensor) and norm.requires_grad:
            self._raise([mistakes.norm_with_gradient(self.meaning.source.whole)])
        if isinstance(norm, torch.Tensor) and norm.ndim == 1:
            norm = norm.unbind()
        if isinstance(norm, (list, tuple)):
            listed = cast("Sequence[Any]", norm)
            if any(isinstance(number, torch.Tensor) and number.requires_grad for number in listed):
                self._raise([mistakes.norm_with_gradient(self.meaning.source.whole)])
            if len(listed) == len(self.entries) and all(map(_is_number, listed)):
                return listed
        is_number = _is_number(norm)
        if not is_number or not self._shared():
            found = "one number" if is_number else _shown(norm)
            names = () if is_number else tuple(name for name, _ in self.entries)
            self._raise([mistakes.no_norm(self.meaning.source.whole, found, names)])
        shared: list[Any] = [norm]
        return shared * len(self.entries)

    def _shared(self) -> Term | None:
        """A term whose denominator all others have too, by the plan; None where no term needs one.

        Raises LossError for two that differ.
        """
        names = [name for name, _ in self.entries]
        asked = [
            (name, term, None if output is None else output.value)
            for (name, term), output in zip(self.entries, self.outputs[1], strict=True)
            if needs_norm(term, self.registry)
        ]
        for name, term, value in asked[1:]:
            first, _, shared = asked[0]
            if value != shared or value is None:
                self._raise([mistakes.two_denominators(term.span, first, name, names)])
        return asked[0][1] if asked else None

    @cached_property
    def counter(self) -> Program:
        """What counts. Raises LossError with every term that cannot be split, or counted without a prediction."""
        self.splittable()
        found = [(term, why_not_counted(term, self.registry)) for term in self.terms]
        self._raise([mistakes.not_counted(t.span, t.name, why) for t, why in found if why])
        plan, outputs = self.outputs
        kept = tuple(
            Output(name, 0.0, 0.0 if o is None else o.value)
            for (name, _), o in zip(self.entries, outputs, strict=True)
        )
        needed = needed_steps(plan.steps, [o.value.name for o in kept if isinstance(o.value, Ref)])
        steps = tuple(step for step in plan.steps if step.name in needed)
        return program.whole(replace(plan, steps=steps, outputs=kept), self.registry, validate=False)

    def count(self, roots: Sequence[Any]) -> Tensor:
        """Returns the denominators of a call as one vector, in float64 where the device has it."""
        own = self.of(*closed_by_targets(self.meaning, self.registry, roots)) if self.has_elements else self
        with torch.no_grad():
            found = own.counter.run(*roots)
            tensors = [number for number in found if isinstance(number, torch.Tensor)]
            like = tensors[0] if tensors else torch.zeros(())
            return stacked(found, widest(like), like.device)

    def _raise(self, wrong: Sequence[Any]) -> None:
        if wrong:
            raise LossError([diagnostic.at(self.meaning.source) for diagnostic in wrong])


def denominators_of(
    whole: Denominators, executor: Executor | ByElements, roots: Sequence[Any]
) -> Denominators:
    """The denominators of a call: those of its elements, where a program has an `each`."""
    if not isinstance(executor, ByElements):
        return whole
    elements = executor.family.elements(roots)
    return whole.of(elements, executor.family.closed(elements))


def _is_number(norm: Any) -> bool:
    if isinstance(norm, torch.Tensor):
        return norm.ndim == 0 and not norm.is_complex()
    return isinstance(norm, (int, float)) and not isinstance(norm, bool)


def _shown(norm: Any) -> str:
    if isinstance(norm, torch.Tensor):
        return f"a tensor {tuple(norm.shape)}"
    is_list = isinstance(norm, (list, tuple))
    return f"{len(cast('Sequence[Any]', norm))} numbers" if is_list else f"of the type {type(norm).__name__}"
