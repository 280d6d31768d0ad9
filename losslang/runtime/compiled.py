"""Compilation of a text to executors, which all modules of one text share: they hold no state of a module."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple, cast

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes.configs import no_mapping
from losslang.diagnostics.source import Source
from losslang.meaning.checker import Checked, analyze
from losslang.meaning.elements import repeats_in
from losslang.meaning.meaning import Apply, LossUse, below, loss_of
from losslang.meaning.overrides import flattened
from losslang.meaning.program import Meaning
from losslang.plan.lower import (
    BY_CLASS,
    COUNT,
    has_scheduled_factor,
    lower,
    lower_factors,
    without_scheduled_factors,
)
from losslang.plan.passes import drop_dead_steps, merge_all_reduces, optimize, summed
from losslang.plan.plan import Plan
from losslang.primitives.primitive import Activation, Function, Primitive, Reduction
from losslang.registry import Registry
from losslang.runtime.clocks import clocks_read
from losslang.runtime.denominators import Denominators
from losslang.runtime.detail import Reader
from losslang.runtime.elements import ByElements, Executors, Family
from losslang.runtime.executor import Executor, Fuse
from losslang.runtime.keywords import Keywords
from losslang.runtime.timed import Timed
from losslang.tensors.eager import is_eager


class Order(NamedTuple):
    """The arguments of `compile` that decide the program: the key of the cache. 1 and 1.0 are two overrides."""

    source: Source
    overrides: tuple[tuple[str, str, Any], ...]
    ignore: tuple[str, ...]
    fuse: Fuse | None

    @classmethod
    def of(cls, source: Source, overrides: Any, ignore: Sequence[str], fuse: Fuse | None) -> Order:
        """Returns the order of these arguments. Raises LossError for overrides that are no mapping."""
        if not isinstance(overrides, Mapping):
            raise LossError([no_mapping(source.whole, overrides).at(source)])
        typed = tuple(
            (name, type(value).__name__, value)
            for name, value in flattened(cast("Mapping[str, Any]", overrides)).items()
        )
        return cls(source, typed, tuple(ignore), fuse)

    @property
    def changes(self) -> dict[str, Any]:
        """The overrides by name, as they were given."""
        return {name: value for name, _, value in self.overrides}


class How(NamedTuple):
    """What a call divides by: the terms whose denominators it hands over, and whether other ranks add to it."""

    norms: tuple[str, ...] = ()
    ranks: bool = False


PLAIN = How()


class Plans(NamedTuple):
    """The plans of a meaning: with counts beside its terms, its terms, and those that are trained."""

    detailed: Plan
    plan: Plan
    trained: Plan

    @classmethod
    def of(cls, meaning: Meaning, registry: Registry, order: Order, how: How) -> Plans:
        detailed = optimize(lower(meaning, registry, order.ignore, (COUNT,), *how), registry)
        names = {term.name for term in meaning.terms}
        plan = drop_dead_steps(
            replace(detailed, outputs=tuple(o for o in detailed.outputs if o.name in names))
        )
        trained = drop_dead_steps(plan, metrics=False)
        return (
            cls(*map(merge_all_reduces, (detailed, plan, trained)))
            if how.ranks
            else cls(detailed, plan, trained)
        )

    def executors(self, registry: Registry, fuse: Fuse | None) -> Executors:
        """What runs them."""
        full = Executor(self.detailed, registry, fuse)
        terms = Executor(self.trained, registry, fuse)
        # What is compiled as a whole adds up its terms too: two operations on numbers take longer than that.
        total = terms if fuse is None else Executor(summed(self.trained), registry, fuse)
        return Executors(total, terms, full)


@dataclass(frozen=True)
class Programs:
    """A plan with what runs it, and the registry whose primitives it is made of.

    `total` runs what is trained on, `terms` the same term by term, `full` the metrics and counts too. Shared
    by copies.
    """

    order: Order
    meaning: Meaning
    registry: Registry
    plan: Plan
    total: Executor | ByElements
    terms: Executor | ByElements
    full: Executor | ByElements
    keywords: Keywords
    reader: Reader
    """Reads what `full` gives."""
    how: How = PLAIN

    @classmethod
    def of(cls, order: Order, meaning: Meaning, registry: Registry, how: How = PLAIN) -> Programs:
        plans = Plans.of(meaning, registry, order, how)
        if repeats_in(meaning.terms):

            def make(closed: Meaning) -> Executors:
                return Plans.of(closed, registry, order, how).executors(registry, order.fuse)

            family = Family(meaning, registry, make)
            shown = plans.trained, plans.trained, plans.detailed
            total, terms, full = (ByElements(plan, family, part) for part, plan in enumerate(shown))
        else:
            total, terms, full = plans.executors(registry, order.fuse)
        plan, detailed = plans.plan, plans.detailed
        keywords = Keywords(plan, meaning, registry)
        reader = Reader.of(detailed.outputs, [output.name for output in plan.outputs])
        return cls(order, meaning, registry, plan, total, terms, full, keywords, reader, how)

    def prepared(self, name: Literal["counting", "normed", "ranked"]) -> Any:
        """One of the properties below, made outside of what torch traces."""
        if is_eager():
            return getattr(self, name)
        from losslang.runtime.beside_dynamo import constant

        return getattr(self, constant(self, "made", name))

    def made(self, name: str) -> str:
        """Makes the property of a name, and returns the name."""
        getattr(self, name)
        return name

    @cached_property
    def denominators(self) -> Denominators:
        """What each term is divided by."""
        return Denominators(self.meaning, self.registry)

    @cached_property
    def counting(self) -> Denominators:
        """The denominators, which can be counted. Raises LossError if they cannot."""
        _ = self.denominators.counter
        return self.denominators

    @cached_property
    def normed(self) -> Programs:
        """The same terms as parts of sums, over denominators that the call hands over."""
        norms = self.denominators.splittable()
        _ = self.denominators.outputs
        return Programs.of(self.order, self.meaning, self.registry, How(norms))

    @cached_property
    def ranked(self) -> Programs:
        """The same terms on the batch of all ranks, of which each has a part."""
        return Programs.of(self.order, self.meaning, self.registry, How(ranks=True))

    @cached_property
    def timed(self) -> Timed | None:
        """What runs in place of `total` where clocks are numbers; None where no clock weighs a whole term."""
        is_one = self.order.fuse is None and not repeats_in(self.meaning.terms)
        if not (is_one and any(map(has_scheduled_factor, self.meaning.terms))):
            return None
        plans = Plans.of(without_scheduled_factors(self.meaning), self.registry, self.order, self.how)
        factors = lower_factors(self.meaning, self.registry)
        return Timed(plans.trained, factors, tuple(clocks_read(self.plan)), self.registry)

    @cached_property
    def by_class(self) -> tuple[Executor | ByElements, Reader]:
        """Runs what `full` does, and the means of each class; and reads what it gives."""

        def plan(meaning: Meaning) -> Plan:
            lowered = lower(meaning, self.registry, self.order.ignore, (COUNT, BY_CLASS), *self.how)
            plan = optimize(lowered, self.registry)
            return merge_all_reduces(plan) if self.how.ranks else plan

        def make(closed: Meaning) -> Executors:
            own = Executor(plan(closed), self.registry)
            return Executors(own, own, own)

        shown = plan(self.meaning)
        reader = Reader.of(shown.outputs, self.reader.names)
        if not repeats_in(self.meaning.terms):
            return Executor(shown, self.registry), reader
        return ByElements(shown, Family(self.meaning, self.registry, make), 0), reader

    def __deepcopy__(self, memo: dict[int, Any]) -> Programs:
        return self

    @property
    def extensions(self) -> dict[tuple[str, str], str]:
        """The primitives that are not part of losslang, by kind and name, and the module of each."""
        used = {(p.kind, p.name): p.function.__module__ for p in _primitives(self.meaning, self.registry)}
        return {name: module for name, module in used.items() if not module.startswith("losslang.")}


def understand(order: Order, registry: Registry) -> tuple[Checked, Programs | None]:
    """Checks and compiles a text, or returns the cached result; None for the programs of a text with mistakes.

    `registry` is a snapshot: names that are registered later are not in it.
    """
    known = (
        _understood if all(isinstance(value, Hashable) for _, _, value in order.overrides) else _understand
    )
    return known(order, registry)


def _understand(order: Order, registry: Registry) -> tuple[Checked, Programs | None]:
    checked = analyze(order.source, overrides=order.changes, registry=registry)
    if checked.meaning is None:
        return checked, None
    return checked, Programs.of(order, checked.meaning, registry)


_understood = lru_cache(maxsize=256)(_understand)


def _primitives(meaning: Meaning, registry: Registry) -> Iterator[Primitive]:
    """The primitives that a program uses."""
    for term in meaning.terms:
        for expression in (term.body, term.factor):
            for part in below(expression) if expression is not None else ():
                found: list[Primitive | None] = []
                if isinstance(part, Apply):
                    found.append(registry.get(Function, part.operator))
                elif isinstance(part, LossUse):
                    found += [loss_of(part, registry), registry.get(Reduction, part.reduction.name)]
                    found.append(part.activation and registry.get(Activation, part.activation.name))
                yield from (primitive for primitive in found if primitive is not None)
