"""Lowers `each(combine=min)`: the values of every element, the best of them, and their reduction."""

from __future__ import annotations

from collections.abc import Callable

from losslang.meaning.contests import parts
from losslang.meaning.meaning import Apply, Expression, LossUse
from losslang.plan.lower.builder import Builder
from losslang.plan.lower.use import Use
from losslang.plan.plan import Argument, Ref
from losslang.tensors.targets import Site

UseOf = Callable[[LossUse], Use]


def contested(out: Builder, each: Apply, use_of: UseOf) -> Ref:
    """Emits the best of the values of all elements, reduced as the losses of the body are."""
    options = dict(each.options)
    found = [_values(out, body, options["per"], use_of) for body in each.arguments]
    values, counted = [value for value, _ in found], [counts for _, counts in found]
    site = Site(out.term_name, str(each), each.span, out.source)
    best = out.emit("best", *values, *counted, site=site, combine=options["combine"])
    counts = None if all(own is None for own in counted) else out.emit("any_counted", *counted)
    first = next(p.use for p in parts(each.arguments[0]) if p.use is not None)
    return out.emit(f"reduction:{first.reduction.name}", best, None, counts)


def _values(out: Builder, body: Expression, per: str, use_of: UseOf) -> tuple[Argument, Ref | None]:
    """Emits the values of one element, one for each thing that competes, and which of them count."""
    total: Argument = None
    every: Ref | None = None
    shift: Argument = None
    for part in parts(body):
        value: Argument = 1.0
        if part.use is not None:
            value, counted = _of_use(out, use_of(part.use), per)
            if counted is not None:
                every = counted if every is None else out.emit("mask_and", every, counted)
        for factor in part.factors:
            value = out.emit("math:*", value, out.number(factor))
        if part.weight != 1:
            value = out.emit("math:*", value, part.weight)
        if part.use is None:
            shift = value if shift is None else out.emit("math:+", shift, value)
        else:
            total = (
                value if total is None else out.emit("beside_values", total, value, site=_site(out, part.use))
            )
    if shift is not None:
        total = out.emit("math:+", total, shift)
    return total, every


def _site(out: Builder, use: LossUse) -> Site:
    return Site(out.term_name, use.name, use.span, out.source)


def _of_use(out: Builder, use: Use, per: str) -> tuple[Ref, Ref | None]:
    values, _, counted = use.natural()
    if per == "element":
        return values, counted
    channel = use.layout.channel if use.frame in ("same", "values") else None
    sums = use.use.reduction.name == "sum" or None
    own = out.emit("values_per", values, counted, per=per, channel=channel, sums=sums)
    counts = None if counted is None else out.emit("counts_per", values, counted, per=per, channel=channel)
    return own, counts
