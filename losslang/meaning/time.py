"""Time in a program: clocks, schedules, and the number that either is at one time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.diagnostics.mistakes import time as mistakes
from losslang.meaning.meaning import Apply, Constant, Expression, Input, below, is_found, is_static
from losslang.meaning.options import Evaluate, ReportedError, read_all
from losslang.meaning.parameter import Learned
from losslang.meaning.terms import MistakeError, NumberValue, TensorValue, TermsValue, Value, collapse
from losslang.primitives.primitive import Function
from losslang.primitives.schedules import Schedule
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import number as formatted
from losslang.syntax.formatter import spell

ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "+": float.__add__,
    "-": float.__sub__,
    "*": float.__mul__,
    "/": float.__truediv__,
    "**": float.__pow__,
    "neg": float.__neg__,
}


def clock(call: tree.Call) -> TensorValue:
    """The value of `step` or `epoch`."""
    return TensorValue(Input(call.name, span=call.span), call.span)


def scheduled(
    call: tree.Call,
    schedule: Schedule,
    values: Sequence[Value],
    evaluate: Evaluate,
    report: Callable[[MistakeError], None],
) -> TensorValue:
    """The value of a call of a schedule: its ends are numbers, its length has a unit.

    Raises MistakeError, or ReportedError after mistakes of options.
    """
    ends, count = schedule.ends, len(values)
    if count != len(ends):
        wanted = f"{len(ends)} argument{'s' * (len(ends) != 1)}"
        unit = next(iter(schedule.units))
        fix = "" if ends else f"write `{call.name}({unit}=...)`"
        if count == len(ends) + 1 and isinstance(values[-1], NumberValue) and not call.options:
            given = ", ".join([*map(spell, call.arguments[:-1]), f"{unit}={spell(call.arguments[-1])}"])
            fix = f"write `{call.name}({given})`"
        raise MistakeError(option_mistakes.wrong_count(call.span, call.name, count, wanted, fix))
    for value, node in zip(values, call.arguments, strict=True):
        if isinstance(value, TermsValue) or (
            isinstance(value, TensorValue) and not is_static(value.expression)
        ):
            raise MistakeError(mistakes.end_is_a_tensor(node.span, call.name, spell(node)))
    options, problems = read_all(schedule, call.options, evaluate)
    for problem in problems:
        report(problem)
    if problems:
        raise ReportedError
    units = list({option.name: option for option in call.options if option.name in schedule.units}.values())
    if len(units) != 1:
        at = units[1].span if units else call.span
        raise MistakeError(mistakes.no_unit(at, spell(call), call.name, tuple(schedule.units), len(units)))
    unit = units[0].name
    usual = next(name for name, of in schedule.units.items() if of == schedule.units[unit])
    others = {name: value for name, value in options.items() if name not in schedule.units}
    written = (usual, *(option.name for option in call.options if option is not units[0]))
    made = Apply(
        call.name,
        tuple(collapse(value, spell(call)) for value in values),
        call.span,
        ((usual, options[unit]), *others.items()),
        written,
    )
    return TensorValue(made, call.span)


def is_scheduled(expression: Expression) -> bool:
    """True if an expression is made of numbers and clocks alone: at one time it is one number."""
    return is_static(expression) and not any(_is_found_later(part) for part in below(expression))


def _is_found_later(part: Expression) -> bool:
    return isinstance(part, Learned) or is_found(part)


def clock_of(expression: Apply, schedule: Schedule) -> tuple[str, dict[str, Any]]:
    """The clock that a schedule reads, and the options of its function."""
    (unit, length), *others = expression.options
    return schedule.units[unit], {"length": length, **dict(others)}


def number_at(expression: Expression, times: Mapping[str, float], registry: Registry) -> float:
    """The number that a static expression is at these times of the clocks."""
    match expression:
        case Constant(value=value):
            return float(value)
        case Input(root=root) if root in tree.CLOCKS:
            return float(times[root])
        case Learned(start=start):
            return float(start)
        case Apply(operator=name, arguments=arguments):
            numbers = [number_at(argument, times, registry) for argument in arguments]
            if name in ARITHMETIC:
                return ARITHMETIC[name](*numbers)
            if schedule := registry.get(Schedule, name):
                of, options = clock_of(expression, schedule)
                return float(schedule.function(times[of], *numbers, **options))
            function = registry.get(Function, name)
            assert function is not None
            assert function.fold is not None
            return function.fold(*numbers, **dict(expression.options))
        case _:
            raise ValueError(f"`{expression}` is known only when it runs")


def said_at(expression: Expression, times: Mapping[str, int], registry: Registry) -> str:
    """A static expression in words: `0.3 at step=3000`; clocks that `times` does not have stand at 0."""
    now = {name: times.get(name, 0) for name in tree.CLOCKS}
    read = [name for name in tree.CLOCKS if name in _clocks_in(expression, registry)]
    if any(map(is_found, below(expression))):
        return "found in every call"
    shown = formatted(float(f"{number_at(expression, now, registry):.6g}"))
    learns = any(isinstance(part, Learned) for part in below(expression))
    when = [f"{name}={now[name]}" for name in read] + ["the start"] * learns
    return f"{shown} at {', '.join(when)}"


def _clocks_in(expression: Expression, registry: Registry) -> set[str]:
    """The clocks that an expression reads."""
    found: set[str] = set()
    for part in below(expression):
        if isinstance(part, Input) and part.root in tree.CLOCKS:
            found.add(part.root)
        elif isinstance(part, Apply) and (schedule := registry.get(Schedule, part.operator)):
            found.add(clock_of(part, schedule)[0])
    return found


def value_at(factors: Sequence[Expression], times: Mapping[str, float], registry: Registry) -> float:
    """The product of scheduled factors at these times of the clocks."""
    return math.prod(number_at(factor, times, registry) for factor in factors)


def moments(several: Sequence[Sequence[Expression]], registry: Registry) -> list[dict[str, float]]:
    """Times of the clocks between those at which the schedules in these expressions begin and end."""
    parts = [part for factors in several for factor in factors for part in below(factor)]
    ends: dict[str, set[float]] = {name: {0.0, 1.0, 1e3, 1e6} for name in tree.CLOCKS}
    for part in parts:
        if isinstance(part, Apply) and (schedule := registry.get(Schedule, part.operator)):
            name, options = clock_of(part, schedule)
            start, length = float(options.get("start", 0.0)), float(options["length"])
            ends[name] |= {start, start + length}
    between = {name: [(a + b) / 2 for a, b in pairwise(sorted(own))] for name, own in ends.items()}
    return [{"step": step, "epoch": epoch} for step in between["step"] for epoch in between["epoch"]]
