"""Programs with `each`: a call says how many elements there are, so there is an executor for each number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from losslang.diagnostics.mistakes import repeats as mistakes
from losslang.diagnostics.source import Source
from losslang.meaning.elements import expanded, repeats_in, weights_of
from losslang.meaning.meaning import Apply, Input
from losslang.meaning.program import Meaning
from losslang.plan.operations.call import fetch
from losslang.plan.plan import Plan
from losslang.primitives.repeats import LIMIT
from losslang.registry import Registry
from losslang.runtime.executor import Executor
from losslang.syntax import tree
from losslang.tensors.eager import is_eager
from losslang.tensors.lazy import torch
from losslang.tensors.parts import field_names, kind
from losslang.tensors.targets import Site

ROOTS = ("pred", "target", "batch", "const")
Names = tuple[int, ...] | tuple[str, ...]
"""The positions of the elements of a list, or the keys of a mapping."""


class Executors(NamedTuple):
    """What runs a program: its total, its terms, and its metrics and counts too."""

    total: Executor
    terms: Executor
    full: Executor


class Family:
    """The executors of one program, by the elements of the lists that a call hands over."""

    def __init__(self, meaning: Meaning, registry: Registry, make: Callable[[Meaning], Executors]):
        self.meaning = meaning
        self.registry = registry
        self.make = make
        found = repeats_in([term for term in meaning.terms if not term.dropped])
        self.lists = {dict(each.options)["over"]: each for each in found}
        self.known: dict[tuple[Names, ...], Executors] = {}

    def elements(self, roots: Sequence[Any]) -> tuple[Names, ...]:
        """The elements of every list of a call. Raises LossError for what is no list, or no pair of them."""
        return tuple([_elements(each, over, roots, self.meaning.source) for over, each in self.lists.items()])

    def of(self, elements: tuple[Names, ...]) -> Executors:
        """The executors of calls with these elements, made if there are none yet."""
        if is_eager():
            return self.known.get(elements) or self._made(elements)
        from losslang.runtime.beside_dynamo import constant

        # It guards the lists' lengths.
        return getattr(self, constant(self, "prepared", elements))

    def prepared(self, elements: tuple[Names, ...]) -> str:
        """The name of the attribute that holds the executors of `elements`, for what torch traces."""
        found = self.known.get(elements) or self._made(elements)
        name = f"made_{id(found)}"
        setattr(self, name, found)
        return name

    def _made(self, elements: tuple[Names, ...]) -> Executors:
        if len(self.known) >= LIMIT:
            # A program that is called with ever new lists does not grow without end.
            self.known.clear()
        return self.known.setdefault(elements, self.make(self.closed(elements)))

    def closed(self, elements: tuple[Names, ...]) -> Meaning:
        """The meaning with a body for each of these elements. Raises LossError for weights that do not fit."""
        steps = {over: _steps(names) for over, names in zip(self.lists, elements, strict=True)}
        for each in repeats_in([term for term in self.meaning.terms if not term.dropped]):
            self._check_weights(each, len(steps[dict(each.options)["over"]]))
        terms = expanded(
            self.meaning.terms, lambda each: steps.get(dict(each.options)["over"]), self.registry
        )
        return Meaning(terms, self.meaning.source, self.meaning.settings)

    def _check_weights(self, each: Apply, number: int) -> None:
        """Raises LossError for weights that do not fit the number of elements."""
        try:
            weights_of(each, number, self.registry)
        except ValueError as problem:
            path = str(dict(each.options)["over"][0])
            site = _site(each, path, self.meaning.source)
            fix = f"list {number} weight{'s' * (number != 1)}, or write `weights=halving()` or `weights=decay(0.8)`, for any number"
            raise site.error(mistakes.wrong_weights(each.span, path, number, str(problem), fix)) from None


def closed_by_targets(meaning: Meaning, registry: Registry, roots: Sequence[Any]) -> tuple[Any, Meaning]:
    """The elements of the targets of a call, and the meaning with a body for each of them.

    An `each` over predictions alone stays open: its targets are whole. Raises LossError for what is no list.
    """
    found: dict[tuple[Input, ...], Names] = {}
    for each in repeats_in([term for term in meaning.terms if not term.dropped]):
        over = dict(each.options)["over"]
        if len(over) == 2:
            found[over] = _names(over[1], each, over, roots, meaning.source)

    def elements(each: Apply) -> Sequence[tree.Access] | None:
        names = found.get(dict(each.options)["over"])
        return None if names is None else _steps(names)

    terms = expanded(meaning.terms, elements, registry)
    return tuple(found.values()), Meaning(terms, meaning.source, meaning.settings)


def _steps(names: Names) -> tuple[tree.Access, ...]:
    return tuple(tree.Key(n) if isinstance(n, str) else tree.Index(n) for n in names)


class ByElements:
    """Runs one part of a program with `each`; `plan` shows it with an open element."""

    def __init__(self, plan: Plan, family: Family, part: int):
        self.plan = plan
        self.family = family
        self.part = part

    def of(self, roots: Sequence[Any]) -> Executor:
        """The executor of a call."""
        return self.family.of(self.family.elements(roots))[self.part]

    def run(self, roots: Sequence[Any], look: int) -> list[Any]:
        """The value of every output, as `Executor.run` gives it."""
        return self.of(roots).run(roots, look)


def executor_of(own: Executor | ByElements, roots: Sequence[Any]) -> Executor:
    """The executor that runs a call."""
    return own.of(roots) if isinstance(own, ByElements) else own


def closed(own: Executor | ByElements, meaning: Meaning, roots: Sequence[Any]) -> Meaning:
    """The meaning of a program with a body for each element of this call."""
    return own.family.closed(own.family.elements(roots)) if isinstance(own, ByElements) else meaning


def _site(each: Apply, path: str, source: Source) -> Site:
    return Site("each", path, each.span, source)


def _elements(each: Apply, over: tuple[Input, ...], roots: Sequence[Any], source: Source) -> Names:
    """The elements of one list, or of two that belong together."""
    found = [_names(path, each, over, roots, source) for path in over]
    first = found[0]
    if len(found) == 2 and found[1] != first:
        if isinstance(first[0], str) and set(first) == set(found[1]):
            return first
        own, other = (_said(names) for names in found)
        fix = "hand over a target for each prediction"
        if len(found[1]) > len(first) and isinstance(first[0], int):
            fix = f"hand over the {len(first)} targets that belong to the predictions"
        site = _site(each, str(over[0]), source)
        raise site.error(mistakes.lists_differ(each.span, str(over[0]), str(over[1]), own, other, fix))
    return first


def _names(path: Input, each: Apply, over: tuple[Input, ...], roots: Sequence[Any], source: Source) -> Names:
    site = _site(each, str(path), source)
    value = fetch(roots[ROOTS.index(path.root)], path, site)
    names: Names = ()
    if isinstance(value, Mapping):
        names = tuple(map(str, cast("Mapping[str, Any]", value)))
    elif isinstance(value, (list, tuple)):
        names = tuple(range(len(cast("Sequence[Any]", value))))
    elif fields := field_names(value):
        names = fields
    if not 0 < len(names) <= LIMIT:
        raise site.error(
            mistakes.no_list(each.span, str(path), _found(value, len(names)), _repair(path, over, value))
        )
    return names


def _found(value: Any, number: int) -> str:
    if number > LIMIT:
        return f"{kind(value)}: at most {LIMIT}"
    is_empty = isinstance(value, (list, tuple, Mapping))
    return "empty" if is_empty else f"{kind(value)} and no list"


def _repair(path: Input, over: tuple[Input, ...], value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return "hand over a list or a mapping of tensors"
    if len(over) == 2 and path == over[1]:
        return f"`over={over[0]}`: the target stays whole for every element"
    one = f"hand over `[{path.root}]`, a list of one element, or write the losses without `each`"
    # What a network stacks has (B, outputs, C, *S).
    return f"{one}; of outputs stacked along axis 1 `list({path}.unbind(1))`" if value.ndim > 4 else one


def _said(names: Names) -> str:
    if isinstance(names[0], str):
        return f"has the keys {', '.join(map(str, names))}"
    return f"is a list of {len(names)}"
