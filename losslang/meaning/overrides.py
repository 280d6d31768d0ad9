"""Overrides: weights and numeric options of terms, set from outside by log key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from numbers import Real
from typing import Any, NamedTuple, TypeVar, cast, get_args

from pydantic import ValidationError

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import configs
from losslang.diagnostics.mistakes import options as mistakes
from losslang.diagnostics.source import Source, Span
from losslang.meaning.inputs import core
from losslang.meaning.keys import split
from losslang.meaning.meaning import LossUse, Term, is_static, loss_uses, rewrite
from losslang.meaning.options import frozen, validated, wording
from losslang.meaning.terms import MistakeError
from losslang.meaning.weighed_together import in_front
from losslang.registry import Registry

Result = TypeVar("Result")
OVERRIDES = "overrides"
"""The owner of bound numbers, as messages call it: the argument of `compile`."""


class Setting(NamedTuple):
    """An override with its places in a config file: its name, and its value."""

    value: Any
    name: Source
    written: Source


def flattened(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides by log key: `{"dice": {"smooth": 1}}`, as configs of nodes nest them, is `{"dice.smooth": 1}`."""
    flat: dict[str, Any] = {}
    for name, value in overrides.items():
        if isinstance(value, Mapping):
            inner = flattened(cast("Mapping[str, Any]", value))
            flat.update({f"{name}.{key}": one for key, one in inner.items()})
        else:
            flat[name] = value
    return flat


def plain(value: Any) -> Any:
    """An override without its places."""
    return value.value if isinstance(value, Setting) else value


def settable(terms: Sequence[Term], registry: Registry) -> tuple[str, ...]:
    """The names that an override can have, bound numbers apart: `dice.weight`, `dice.smooth`."""
    names: list[str] = []
    for term in terms:
        names.append(f"{term.name}.weight")
        if isinstance(use := core(term.body), LossUse):
            names += [f"{term.name}.{name}" for name, _ in use.options]
    return tuple(names)


def overridden(
    terms: Sequence[Term], values: Mapping[str, Any], registry: Registry
) -> tuple[tuple[Term, ...], list[MistakeError]]:
    """The terms with the overrides applied, and the mistakes of values that an option refuses."""
    problems: list[MistakeError] = []
    changed = list(terms)
    for i, term in enumerate(changed):
        for key, value in values.items():
            name, option = split(key)
            if name != term.name:
                continue
            try:
                changed[i] = term = _with(term, option, value, registry)
            except MistakeError as problem:
                problems.append(problem)
    return _measured_too(terms, changed), problems


def _measured_too(terms: Sequence[Term], changed: Sequence[Term]) -> tuple[Term, ...]:
    """The changed terms; what a factor measures is the loss as it is now."""
    now = {
        use: new
        for before, after in zip(terms, changed, strict=True)
        for use, new in zip(loss_uses(before), loss_uses(after), strict=False)
        if use != new
    }
    return tuple(
        term
        if term.factor is None
        else replace(term, factor=rewrite(term.factor, lambda use: now.get(use, use)))
        for term in changed
    )


def placed(diagnostic: Diagnostic, source: Source) -> Diagnostic:
    """A diagnostic of an override below what stands in its config file."""
    return replace(diagnostic, span=Span(0, len(source.text)), source=source)


def number(value: Any, span: Span, owner: str, name: str) -> float:
    """A value from outside as a float. Raises MistakeError if it is no number."""
    if isinstance(value, Setting):
        return _at(value, lambda given: number(given, span, owner, name))
    wanted = "a number"
    if not isinstance(value, bool) and isinstance(value, Real):
        if isfinite(value):
            return float(value)
        wanted = "a finite number"
    refuse_text(value, span, name if owner == OVERRIDES else f"{owner}.{name}")
    raise MistakeError(mistakes.bad_value(span, owner, name, f"`{value}`", wanted))


def _at(setting: Setting, read: Callable[[Any], Result]) -> Result:
    """What `read` makes of a setting. Raises MistakeError at the place of the value."""
    try:
        return read(setting.value)
    except MistakeError as problem:
        raise MistakeError(placed(problem.diagnostic, setting.written)) from None


def refuse_text(value: Any, span: Span, name: str) -> None:
    """Raises MistakeError for a text that looks like a number: `1e-5` as PyYAML reads it."""
    if isinstance(value, str):
        try:
            meant = float(value)
        except ValueError:
            return
        if not isfinite(meant):
            return
        raise MistakeError(configs.text_for_number(span, name, value, spelled_in_yaml(meant)))


def spelled_in_yaml(number: float) -> str:
    """A number that YAML 1.1 reads as one: with a dot, and a sign behind the `e`."""
    mantissa, e, exponent = repr(number).partition("e")
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    return f"{mantissa}e{int(exponent):+d}" if e else mantissa


def _with(term: Term, option: str, value: Any, registry: Registry) -> Term:
    """A term with one option, or its weight, set. Raises MistakeError for a value that does not fit."""
    if isinstance(value, Setting):
        return _at(value, lambda given: _with(term, option, given, registry))
    if option == "weight":
        weight = number(value, term.span, term.name, option)
        # A number in the place of the whole weight: of a schedule too.
        factor = None if term.factor is not None and is_static(term.factor) else term.factor
        if term.automatic is not None:
            # The weight inside of the call; what stands in front of it stays.
            outside, beyond = in_front(term)
            inside = replace(term.automatic, weight=weight, factor=factor)
            return replace(term, weight=outside * weight, factor=beyond, automatic=inside, dropped=False)
        return replace(term, weight=weight, factor=factor, dropped=False)
    body = core(term.body)
    named = registry.loss(body.loss) if isinstance(body, LossUse) else None
    if not isinstance(body, LossUse) or named is None or option not in named.loss.option_types:
        return term
    declared = named.loss.option_types[option]
    if str not in (declared, *get_args(declared)):
        refuse_text(value, term.span, f"{term.name}.{option}")
    try:
        fitting = validated(value, declared)
    except ValidationError:
        wanted = wording(declared)
        raise MistakeError(mistakes.bad_value(term.span, body.loss, option, f"`{value}`", wanted)) from None
    options = tuple((name, frozen(fitting) if name == option else old) for name, old in body.options)
    return replace(term, body=rewrite(term.body, lambda _: replace(body, options=options)))
