"""Functions of the language: what a call of one is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from losslang.diagnostics.mistakes import meaning as mistakes
from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.meaning.masks_as_factors import reduced
from losslang.meaning.meaning import Apply
from losslang.meaning.options import arity
from losslang.meaning.terms import (
    MistakeError,
    NumberValue,
    TermsValue,
    Value,
    applied,
    each_term,
    fold,
)
from losslang.primitives.primitive import Function
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import spell


def of_function(call: tree.Call, function: Function, values: Sequence[Value], registry: Registry) -> Value:
    """The value of a function of these values: folded if all of them are constants.

    Raises MistakeError for a wrong number of them, and for a loss in a function that reduces.
    """
    least, wanted = arity(function)
    if len(values) < least or ((least != 2 or "more" not in wanted) and len(values) != least):
        raise MistakeError(option_mistakes.wrong_count(call.span, call.name, len(values), wanted))
    if function.name == "detach":
        return _detached(values[0], call)
    if function.reduces and isinstance(values[0], TermsValue):
        body = spell(call.arguments[0])
        fix = reduced(values[0].terms, call.name, registry)
        raise MistakeError(mistakes.reduced_twice(call.span, call.name, body, call.arguments[0].span, fix))
    if all(isinstance(value, NumberValue) for value in values):
        plain = [float(value.value) for value in values if isinstance(value, NumberValue)]
        assert function.fold is not None
        compute: Callable[..., float] = function.fold
        return fold(lambda: compute(*plain), call.span, spell(call))
    return applied(call.name, values, call)


def _detached(value: Value, call: tree.Call) -> Value:
    """The value of `detach(...)`: a constant stays one, a sum is detached term by term."""
    if not isinstance(value, TermsValue):
        return value if isinstance(value, NumberValue) else applied("detach", [value], call)
    return each_term(value, lambda term: replace(term, body=Apply("detach", (term.body,), term.span)))
