"""Functions of the language: what a call of one is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from losslang.diagnostics.mistakes import functions as mistakes
from losslang.diagnostics.mistakes import meaning as meaning_mistakes
from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.meaning.masks_as_factors import reduced
from losslang.meaning.meaning import Apply, is_static
from losslang.meaning.options import Evaluate, ReportedError, arity, frozen, read_all
from losslang.meaning.terms import (
    MistakeError,
    NumberValue,
    TensorValue,
    TermsValue,
    Value,
    applied,
    each_term,
    fold,
    refuse_weighed,
)
from losslang.meaning.uses.misplaced import activation_alone
from losslang.primitives.primitive import Activation, Function
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import spell


def of_function(
    call: tree.Call,
    function: Function,
    values: Sequence[Value],
    registry: Registry,
    evaluate: Evaluate,
    report: Callable[[MistakeError], None],
) -> Value:
    """The value of a function of these values: folded if all of them are constants.

    Raises MistakeError for a wrong number of them, for a loss in a function along axes, and for an axis of a
    number; ReportedError after mistakes of options.
    """
    least, wanted = arity(function)
    if len(values) < least or ("more" not in wanted and len(values) != least):
        raise MistakeError(option_mistakes.wrong_count(call.span, call.name, len(values), wanted))
    options, written = _options(call, function, evaluate, report)
    if function.name == "detach":
        return _detached(values[0], call)
    _along_axes(call, function, values, written, registry)
    if all(isinstance(value, NumberValue) for value in values):
        plain = [float(value.value) for value in values if isinstance(value, NumberValue)]
        assert function.fold is not None
        compute: Callable[..., float] = function.fold
        return fold(lambda: compute(*plain, **dict(options)), call.span, spell(call))
    return applied(call.name, values, call, options, written)


def _options(
    call: tree.Call, function: Function, evaluate: Evaluate, report: Callable[[MistakeError], None]
) -> tuple[tuple[tuple[str, object], ...], tuple[str, ...]]:
    """The options of a call that have a value, and the names of those that are written."""
    options, problems = read_all(function, call.options, evaluate)
    for problem in problems:
        report(problem)
    if problems:
        raise ReportedError
    named = ((name, frozen(options.get(name))) for name in function.option_types)
    return tuple((name, value) for name, value in named if value is not None), tuple(
        option.name for option in call.options
    )


def _along_axes(
    call: tree.Call, function: Function, values: Sequence[Value], written: Sequence[str], registry: Registry
) -> None:
    """Raises MistakeError where a function along axes is given no tensor, no axis, or too many tensors."""
    is_one = len(values) == 1
    if is_one and isinstance(values[0], TermsValue) and (function.reduces or "dim" in function.option_types):
        body = spell(call.arguments[0])
        inner = call.arguments[0].span
        if function.name in ("sum", "mean"):
            fix = reduced(values[0].terms, call.name, registry)
            raise MistakeError(meaning_mistakes.reduced_twice(call.span, call.name, body, inner, fix))
        if registry.get(Activation, call.name):
            raise MistakeError(activation_alone(call, registry))
        raise MistakeError(mistakes.of_a_loss(call.span, call.name, body, inner))
    if "dim" in written and not is_one:
        raise MistakeError(
            mistakes.axis_of_several(call.options[0].span, call.name, spell(call.arguments[0]))
        )
    is_number = all(
        isinstance(v, NumberValue) or (isinstance(v, TensorValue) and is_static(v.expression)) for v in values
    )
    if is_number and ("dim" in written or function.fold is None):
        raise MistakeError(mistakes.axis_of_a_number(call.span, call.name, spell(call.arguments[0])))
    if function.fold is None and "dim" not in written:
        raise MistakeError(mistakes.no_axis(call.span, call.name, spell(call.arguments[0])))


def _detached(value: Value, call: tree.Call) -> Value:
    """The value of `detach(...)`: a constant stays one, a sum is detached term by term."""
    if not isinstance(value, TermsValue):
        return value if isinstance(value, NumberValue) else applied("detach", [value], call)
    refuse_weighed(value, spell(call))
    return each_term(value, lambda term: replace(term, body=Apply("detach", (term.body,), term.span)))
