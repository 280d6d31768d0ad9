"""Emits the weights that combinators find in a call, once all terms have their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from losslang.diagnostics.source import Span
from losslang.meaning.automatic import Automatic
from losslang.meaning.layout import without_slices
from losslang.meaning.meaning import Apply, Expression, Input, LossUse, Term, below
from losslang.plan.lower.across import RANKS
from losslang.plan.lower.builder import Builder
from losslang.plan.lower.detail import BODY, FACTOR
from losslang.plan.lower.memories import weights_path
from losslang.plan.plan import Argument, Output, Ref
from losslang.primitives.combinators import Combinator
from losslang.tensors.targets import Site


class Waiting(NamedTuple):
    """A term that waits for the weight that a combinator finds: its outputs as they are without it."""

    term: Term
    found: Automatic
    outputs: tuple[Output, ...]
    body: Argument

    def measured(self, out: Builder) -> Argument:
        """Emits the value that is measured: without what stands in front of the call."""
        if self.found.factor is None:
            return self.body
        if self.found.factor == self.term.factor:
            return self.outputs[0].value
        return out.emit("math:*", out.number(self.found.factor), self.body)


def with_found_weights(
    out: Builder, lowered: Sequence[tuple[Term, tuple[Output, ...], Argument]], *, detailed: bool
) -> Iterator[Output]:
    """The outputs of all terms, given with their bodies: those that a combinator weighs with their weights."""
    waiting = [
        Waiting(term, term.automatic, outputs, body)
        for term, outputs, body in lowered
        if term.automatic is not None and not term.dropped
    ]
    groups = dict.fromkeys(part.found.group for part in waiting)
    weights = {group: _weights(out, [p for p in waiting if p.found.group == group]) for group in groups}
    by_name = {part.term.name: part for part in waiting}
    for term, outputs, _ in lowered:
        part = by_name.get(term.name)
        if part is None:
            yield from outputs
        else:
            yield from _times(out, part, weights[part.found.group], detailed=detailed)


def _times(out: Builder, part: Waiting, weights: Ref, *, detailed: bool) -> Iterator[Output]:
    """The outputs of a term with its weight; what `detail` says of its factor is with the weight too."""
    out.term_name = part.term.name
    weight = out.emit("found_weight", weights, member=part.found.member)
    first, *others = part.outputs
    yield first._replace(value=out.emit("math:*", weight, first.value))
    named = {output.name: output for output in others}
    if not detailed:
        yield from others
        return
    factor = named.pop(part.term.name + FACTOR, None)
    whole = weight if factor is None else out.emit("math:*", weight, factor.value)
    yield Output(part.term.name + FACTOR, 0.0, whole, metric=True)
    if factor is None:
        yield Output(part.term.name + BODY, 0.0, first.value, metric=True)
    yield from named.values()


def _weights(out: Builder, parts: Sequence[Waiting]) -> Ref:
    """Emits the weights of all arguments of one call."""
    found = parts[0].found
    out.term_name = parts[0].term.name
    number = found.number
    values = [
        Value(part.measured(out), part.found.member, part.found.weight, part.term.body, part.term.name)
        for part in parts
    ]
    return _emit(out, found.method, found.group, found.wrt, found.options, found.span, values, number)


def found_in(out: Builder, expression: Apply, values: Sequence[Argument], group: str) -> Ref:
    """Emits the weight that `gradmatch(a, b)` is."""
    options = dict(expression.options)
    wrt = options.pop("wrt", None)
    pairs = enumerate(zip(values, expression.arguments, strict=True))
    measured = [Value(value, member, 1.0, body, f"argument {member + 1}") for member, (value, body) in pairs]
    weights = _emit(
        out, expression.operator, group, wrt, tuple(options.items()), expression.span, measured, 2
    )
    return out.emit("found_weight", weights, member=1)


class Value(NamedTuple):
    """A value that a combinator measures: the argument that it is part of, its weight there, and its meaning."""

    value: Argument
    member: int
    scale: float
    body: Expression
    name: str


def _emit(
    out: Builder,
    method: str,
    group: str,
    wrt: Input | None,
    options: tuple[tuple[str, Any], ...],
    span: Span,
    values: Sequence[Value],
    number: int,
) -> Ref:
    combinator = out.registry.get(Combinator, method)
    assert combinator is not None
    site = Site(method, "the predictions" if wrt is None else f"`{wrt}`", span, out.source)
    names: dict[int, str] = {}
    for part in values:
        names.setdefault(part.member, part.name)
    held = out.emit("input", site=site, path=weights_path(group))
    ranks = out.emit("input", site=site, path=RANKS) if out.ranks else None
    clock = out.clock(combinator.clock, span) if combinator.clock else None
    paths = _measured_at(wrt, values) if combinator.measures == "gradients" else ()
    may_miss: dict[str, Any] = {} if wrt is None else {"may_miss": True}
    tensors = [out.emit("input", site=_site(out, path, span), path=path, **may_miss) for path in paths]
    return out.emit(
        f"combinator:{method}",
        held,
        ranks,
        clock,
        *tensors,
        *(part.value for part in values),
        site=site,
        at=len(tensors),
        names=tuple(names.values()),
        number=number,
        members=tuple(part.member for part in values),
        scales=tuple(part.scale for part in values),
        options=options,
    )


def _site(out: Builder, path: Input, span: Span) -> Site:
    return Site(out.term_name, str(path), path.span if path.span.end else span, out.source)


def _measured_at(wrt: Input | None, values: Iterable[Value]) -> tuple[Input, ...]:
    """The paths at which gradients are measured: the one that is named, or all predictions that are read.

    Tensors of the batch are predictions where no loss reads `pred`: beside it they may be computed from it.
    """
    if wrt is not None:
        return (wrt,)
    paths: dict[Input, None] = {}
    for part in values:
        uses = [inner for inner in below(part.body) if isinstance(inner, LossUse)]
        operands = [value for use in uses for name, value in use.operands if name != "target"]
        for read in (inner for value in [*operands, part.body] for inner in below(value)):
            if isinstance(read, Input) and read.root in ("pred", "batch"):
                paths[replace(without_slices(read), resize="", soft=False)] = None
    predictions = [path for path in paths if path.root == "pred"]
    return tuple(predictions or paths)
