"""Lowers a whole program: its terms, and the mappings of losses that it must read completely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from losslang.diagnostics.source import Source
from losslang.meaning.contests import is_contest
from losslang.meaning.elements import is_closed, prefixes, repeats_in
from losslang.meaning.layout import tensors_of
from losslang.meaning.meaning import (
    Apply,
    Constant,
    Expression,
    Input,
    LossUse,
    Term,
    below,
    is_found,
    loss_of,
)
from losslang.meaning.program import Meaning
from losslang.meaning.ranks import why_not_over_ranks
from losslang.meaning.splitting import counted_use, counted_uses, is_once_a_call, needs_norm, why_not_counted
from losslang.plan.lower.automatic import found_in, with_found_weights
from losslang.plan.lower.builder import Builder
from losslang.plan.lower.contests import contested
from losslang.plan.lower.detail import (
    BODY,
    BY_CLASS,
    COUNT,
    FACTOR,
    MEAN,
    UNITS,
    by_class,
    count_of,
)
from losslang.plan.lower.ranks import OverRanks
from losslang.plan.lower.units import norm_of, units_of
from losslang.plan.lower.use import Use
from losslang.plan.plan import Argument, Output, Plan, Ref, verify
from losslang.registry import Registry, current_registry
from losslang.syntax import tree
from losslang.tensors.targets import Site


def lower(
    meaning: Meaning,
    registry: Registry | None = None,
    ignore: tuple[str, ...] = (),
    detail: tuple[str, ...] = (),
    norms: Sequence[str] = (),
    ranks: bool = False,
) -> Plan:
    """Returns the plan of a meaning, before any pass.

    `ignore` names entries of a mapping of losses that may go unread. `detail` says which outputs stand beside
    those of the terms, as metrics: COUNT (with it FACTOR and BODY, of a term that has a factor), BY_CLASS,
    UNITS. `norms` are the terms in the order in which the call hands over their denominators: each is then
    the part of a sum, not a mean. `ranks`: each rank of a process group has a part of the batch.
    """
    lowering = _Lowering(registry or current_registry(), meaning.source)
    lowering.program = meaning.loss_uses
    lowering.norms, lowering.ranks = tuple(norms), ranks
    lowering.written = {
        path: use.get("channels")
        for use in meaning.loss_uses
        if use.get("channels") is not None
        for path in tensors_of(use.prediction)
    }
    lowered = [(term, tuple(lowering.outputs(term, detail)), lowering.body) for term in meaning.terms]
    outputs = tuple(with_found_weights(lowering, lowered, detailed=bool(detail)))
    lowering.completeness(meaning, ignore)
    return verify(Plan(tuple(lowering.steps), outputs))


class _Lowering(Builder):
    """Lowers term after term."""

    # ------------------------------------------------------------------------------- terms

    norms: tuple[str, ...] = ()
    use_of: type[Use] = Use
    body: Argument = None
    """Of the term that was lowered last."""
    position = 0
    """Of the next denominator that the call hands over."""

    def __init__(self, registry: Registry, source: Source):
        super().__init__(registry, source)
        self.matches: dict[Apply, Ref] = {}

    def outputs(self, term: Term, detail: tuple[str, ...]) -> Iterator[Output]:
        """Emits a term, and what `detail` asks for of it."""
        self.uses: list[Use] = []
        self.use_of = OverRanks if self.ranks and not why_not_over_ranks(term, self.registry) else Use
        self.entries = (
            len(counted_uses(term, self.registry)) if UNITS in detail or term.name in self.norms else 1
        )
        self.units_of_elements: list[Argument] = []
        self.term = term
        mean, factor = self.term_parts(term)
        body = mean
        units = self.units(term) if UNITS in detail or term.name in self.norms else ()
        if term.name in self.norms and len(units) == 1 and units[0] is not None:
            body = self.over_norm(mean, units[0], 0)
        self.position += len(units)
        self.body = body
        value = body if factor is None else self.emit("math:*", factor, body)
        yield Output(term.name, term.weight, value, term.metric, term.dropped)
        if not detail or term.dropped:
            return
        if UNITS in detail and not term.metric:
            for name, own in zip(entry_names(term.name, len(units)), units, strict=True):
                if own is not None:
                    yield Output(name + UNITS, 0.0, own, metric=True)
        if factor is not None:
            yield Output(term.name + FACTOR, 0.0, factor, metric=True)
            yield Output(term.name + BODY, 0.0, body, metric=True)
        # The outputs of a program with `each` are the same for any number of elements.
        if not repeats_in([term]):
            if body is not mean:
                yield Output(term.name + MEAN, 0.0, mean, metric=True)
            yield from self.counts(term, detail)

    def over_norm(self, mean: Argument, units: Argument, entry: int) -> Ref:
        """Emits the part that a mean over so many units has of a sum over a denominator of the call."""
        site = Site(self.term.name, "norm", self.term.span, self.source)
        number = self.emit("input", site=site, path=norm_of(self.position + entry))
        return self.emit("over_norm", mean, units, number, site=site)

    def counts(self, term: Term, detail: tuple[str, ...]) -> Iterator[Output]:
        """Emits the count of a term, and its values by class, where `detail` asks for them."""
        if COUNT in detail and is_once_a_call(term, self.registry):
            yield Output(term.name + COUNT, 0.0, 1.0, metric=True)
            return
        if len(self.uses) != 1 or counted_use(term.body) is None:
            return
        use = self.uses[0]
        if COUNT in detail:
            count = use.number if isinstance(use, OverRanks) else count_of(use)
            if count == 0 and counted_use(term.body, shifts=False) is None:
                count = None
            if count is not None:
                yield Output(term.name + COUNT, 0.0, count, metric=True)
        if BY_CLASS in detail and isinstance(term.body, LossUse) and (means := by_class(use)) is not None:
            yield Output(term.name + BY_CLASS, 0.0, means, metric=True)

    def units(self, term: Term) -> Sequence[Argument]:
        """Emits the denominators of a term that a norm divides; None of one that needs none."""
        if not needs_norm(term, self.registry):
            return (None,)
        if is_once_a_call(term, self.registry):
            return (1.0,)
        return self.units_of_elements or (self.units_of(term, self.uses[0]),)

    def units_of(self, term: Term, use: Use) -> Argument:
        """Emits how much a use of a term has to count."""
        return count_of(use) if why_not_counted(term, self.registry) else units_of(use)

    def term_parts(self, term: Term) -> tuple[Argument, Argument]:
        """Emits the body of a term, and its factor; None where it has none."""
        self.term_name = term.name
        body = self.scalar(term.body)
        return body, None if term.factor is None else self.number(term.factor)

    def matched(self, expression: Apply) -> Ref:
        """Emits `gradmatch(a, b)`, the weight with which the gradient of b is as long as that of a.

        Equal ones are one, which keeps its weight under a name of its own.
        """
        known = self.matches.get(expression)
        if known is None:
            own, self.uses = self.uses, []
            values = list(map(self.scalar, expression.arguments))
            self.uses = own
            number = len(self.matches) + 1
            group = expression.operator if number == 1 else f"{expression.operator}_{number}"
            known = self.matches[expression] = found_in(self, expression, values, group)
        return known

    def scalar(self, expression: Expression) -> Argument:
        """Emits an expression of reduced losses, numbers and scalars."""
        match expression:
            case Constant(value=value):
                return value
            case LossUse():
                return self.loss_value(expression)
            case _ if is_found(expression):
                return self.matched(expression)
            case Apply("each"):
                if is_contest(expression):
                    return contested(self, expression, self.used)
                return self.levels(expression)
            case Apply("matryoshka"):
                return self.scalar(prefixes(expression, self.registry))
            case Apply(operator=operator, arguments=arguments) if _holds_loss(expression):
                inputs = [
                    self.scalar(a) if _holds_loss(a) or isinstance(a, Constant) else self.number(a)
                    for a in arguments
                ]
                options = dict(expression.options)
                return self.emit(f"math:{operator}", *inputs, site=self.place(expression), **options)
            case _:
                return self.number(expression)

    def completeness(self, meaning: Meaning, ignore: tuple[str, ...]) -> None:
        """Emits the checks that mappings whose entries are read as losses are read completely."""
        read: dict[Input, list[str]] = {}
        for term in meaning.terms:
            body = term.body
            # Keywords of the call that nobody reads are ignored: `batch` itself is no mapping of losses.
            is_keyword = isinstance(body, Input) and body.root == "batch" and len(body.steps) == 1
            if (
                isinstance(body, Input)
                and body.steps
                and isinstance(body.steps[-1], tree.Key)
                and not is_keyword
            ):
                parent = Input(body.root, body.steps[:-1], span=body.span)
                read.setdefault(parent, []).append(body.steps[-1].name)
        every = {str(i) for t in meaning.terms for i in _inputs(t)}
        for parent, names in read.items():
            site = Site(str(parent), str(parent), parent.span, self.source)
            also = [
                n.removeprefix(f"{parent}.").partition(".")[0]
                for n in sorted(every)
                if n.startswith(f"{parent}.")
            ]
            self.emit("complete", site=site, path=parent, read=tuple(dict.fromkeys((*names, *also, *ignore))))

    def loss_value(self, use: LossUse) -> Ref:
        return self.used(use).lower()

    def used(self, use: LossUse) -> Use:
        lowered = self.use_of(self, loss_of(use, self.registry), use)
        self.uses.append(lowered)
        return lowered

    def levels(self, each: Apply) -> Argument:
        """Emits the weighted sum of a body over the elements of lists.

        Before a call there is one body, which stands for every element; it has all weights that are listed.
        """
        options, total = dict(each.options), None
        values = [self.element(body, entry) for entry, body in enumerate(each.arguments)]
        weights: list[Expression] = [Constant(1.0)] * len(values)
        if isinstance(options["weights"], tuple):
            listed = cast("tuple[Expression | None, ...]", options["weights"])
            weights = [weight for weight in listed if weight is not None]
            values = values if is_closed(each) else values * len(weights)
        for value, weight in zip(values, weights, strict=True):
            part = value if weight == Constant(1.0) else self.emit("math:*", value, self.number(weight))
            total = part if total is None else self.emit("math:+", total, part)
        if options["combine"] == "mean" and len(values) > 1:
            total = self.emit("math:/", total, float(len(values)))
        return total

    def element(self, body: Expression, entry: int) -> Argument:
        """Emits the body of one element, as its part of a sum where the call hands over its denominator."""
        before, value = len(self.uses), self.scalar(body)
        if self.entries == 1:
            return value
        units = self.units_of(self.term, self.uses[before])
        self.units_of_elements.append(units)
        return self.over_norm(value, units, entry) if self.norms else value


def entry_names(term: str, number: int) -> tuple[str, ...]:
    """Returns the names of the denominators of a term."""
    return (term,) if number == 1 else tuple(f"{term}[{entry}]" for entry in range(number))


def _holds_loss(expression: Expression) -> bool:
    """True for what is reduced: a loss, or an `each` of numbers that the call hands over."""
    parts = below(expression)
    return any(isinstance(p, LossUse) or (isinstance(p, Apply) and p.operator == "each") for p in parts)


def _inputs(term: Term) -> list[Input]:
    parts = [p for e in (term.body, term.factor) if e is not None for p in below(e)]
    return [part for part in parts if isinstance(part, Input)]
