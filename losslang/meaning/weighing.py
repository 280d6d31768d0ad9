"""Combinators whose weights are found in every call: the terms that they weigh, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from losslang.diagnostics.mistakes import automatic as mistakes
from losslang.diagnostics.mistakes import learned as learned_mistakes
from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.meaning.automatic import Automatic
from losslang.meaning.learned import free
from losslang.meaning.meaning import Apply, Input, LossUse, Term, is_static
from losslang.meaning.options import Evaluate, ReportedError, frozen, read_all
from losslang.meaning.terms import (
    MistakeError,
    NumberValue,
    TensorValue,
    TermsValue,
    Value,
    as_terms,
    collapse,
)
from losslang.primitives.combinators import WRT, Combinator
from losslang.syntax import tree
from losslang.syntax.formatter import number, spell

Report = Callable[[MistakeError], None]


def weighed(
    call: tree.Call,
    combinator: Combinator,
    found: Sequence[Value | None],
    evaluate: Evaluate,
    report: Report,
    taken: set[str],
) -> TermsValue:
    """The terms of `balance(a, b)`, each with the weight that its argument will be given.

    Raises MistakeError for arguments that are no losses, or weighed so already; ReportedError after mistakes
    of options.
    """
    options, wrt, written = _options(call, combinator, evaluate, report)
    values = _all(found)
    if len(values) < 2:
        raise MistakeError(
            mistakes.nothing_to_weigh_against(call.span, call.name, list(map(spell, call.arguments)))
        )
    shares = dict(options).get("shares")
    if shares is not None and len(shares) != len(values):
        raise MistakeError(mistakes.shares_do_not_fit(call.span, call.name, len(shares), len(values)))
    group = free(call.name, taken)
    terms: list[Term] = []
    for member, (value, node) in enumerate(zip(values, call.arguments, strict=True)):
        own = as_terms(value)
        trained = [term for term in own if not term.metric]
        if isinstance(value, NumberValue) or not trained:
            raise MistakeError(learned_mistakes.not_a_loss(node.span, call.name, spell(node)))
        inner = next((term.automatic for term in trained if term.automatic), None)
        if inner is not None:
            raise MistakeError(mistakes.weighed_twice(node.span, call.name, spell(node), inner.method))
        if (
            call.name == "balance"
            and len(trained) == 1
            and trained[0].weight != 1
            and trained[0].factor is None
        ):
            _say_weight_is_lost(call, trained[0], member, node, report)
        weight = Automatic(call.name, group, member, options, wrt, written, call.span)
        terms += [term if term.metric else replace(term, automatic=weight) for term in own]
    return TermsValue(tuple(terms), call.span)


def matched(
    call: tree.Call,
    combinator: Combinator,
    found: Sequence[Value | None],
    evaluate: Evaluate,
    report: Report,
) -> TensorValue:
    """The weight `gradmatch(a, b)`: a number that is found in every call.

    Raises MistakeError for arguments that are not two losses, ReportedError after mistakes of options.
    """
    options, wrt, written = _options(call, combinator, evaluate, report)
    values = _all(found)
    if len(values) != 2:
        raise MistakeError(option_mistakes.wrong_count(call.span, call.name, len(values), "two losses"))
    for value, node in zip(values, call.arguments, strict=True):
        if isinstance(value, NumberValue) or (isinstance(value, TensorValue) and is_static(value.expression)):
            raise MistakeError(learned_mistakes.not_a_loss(node.span, call.name, spell(node)))
    measured = tuple(collapse(value, spell(call)) for value in values)
    named = (*options, ("wrt", wrt)) if wrt is not None else options
    return TensorValue(Apply(call.name, measured, call.span, named, written), call.span)


def _all(found: Sequence[Value | None]) -> list[Value]:
    """The values of arguments. Raises ReportedError where a mistake inside of one has been reported."""
    values = [value for value in found if value is not None]
    if len(values) < len(found):
        raise ReportedError
    return values


def _options(
    call: tree.Call, combinator: Combinator, evaluate: Evaluate, report: Report
) -> tuple[tuple[tuple[str, Any], ...], Input | None, tuple[str, ...]]:
    """The options that have a value, the tensor at which gradients are measured, and what is written."""
    named = {option.name: option for option in call.options}
    own = [option for option in call.options if option.name != WRT or combinator.measures != "gradients"]
    options, problems = read_all(combinator, own, evaluate)
    for problem in problems:
        report(problem)
    wrt: Input | None = None
    if WRT in named and combinator.measures == "gradients":
        value = evaluate(named[WRT].value)
        if value is None:
            raise ReportedError
        if (
            not isinstance(value, TensorValue)
            or not isinstance(value.expression, Input)
            or value.expression.root == "target"
        ):
            raise MistakeError(
                mistakes.no_tensor_to_measure_at(named[WRT].value.span, call.name, spell(named[WRT].value))
            )
        wrt = value.expression
    elif combinator.needs_wrt:
        arguments = ", ".join(map(spell, call.arguments))
        raise MistakeError(mistakes.where_to_measure(call.span, call.name, arguments))
    if problems:
        raise ReportedError
    kept = ((name, frozen(value)) for name, value in options.items() if name != WRT and value is not None)
    return tuple(kept), wrt, tuple(named)


def _say_weight_is_lost(call: tree.Call, term: Term, member: int, node: tree.Node, report: Report) -> None:
    """Warns of a number inside of `balance`, which finds the weight of the whole."""
    body = term.body.name if isinstance(term.body, LossUse) else term.name
    report(MistakeError(mistakes.weight_is_lost(node.span, number(term.weight), body)))
