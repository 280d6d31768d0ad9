"""Learned weights: `learn`, and the combinators that give each of their arguments one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from losslang.diagnostics.mistakes import learned as mistakes
from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.meaning.keys import key
from losslang.meaning.meaning import Apply, Constant, Expression, Term
from losslang.meaning.options import Evaluate, ReportedError, read_all
from losslang.meaning.parameter import Learned
from losslang.meaning.terms import MistakeError, NumberValue, TensorValue, TermsValue, Value, as_terms
from losslang.primitives.combinators import Combinator, Weighed
from losslang.syntax import tree
from losslang.syntax.formatter import spell

Report = Callable[[MistakeError], None]
Over = Callable[[str, Learned], Expression]
"""Reads an expression of the language over `s`."""


def learned(name: str, call: tree.Call, learn: Combinator, evaluate: Evaluate, report: Report) -> TensorValue:
    """The value of `NAME = learn(start, min=, max=)`.

    Raises MistakeError for a start that is no number within the bounds, or ReportedError.
    """
    values = [evaluate(argument) for argument in call.arguments]
    options, problems = read_all(learn, call.options, evaluate)
    for problem in problems:
        report(problem)
    if problems or None in values:
        raise ReportedError
    if len(values) != 1 or not isinstance(values[0], NumberValue):
        raise MistakeError(mistakes.no_start(call.span, name, spell(call)))
    start, low, high = values[0].value, options["min"], options["max"]
    if (low is not None and start < low) or (high is not None and start > high):
        raise MistakeError(mistakes.starts_outside(call.span, name, start, low, high))
    return TensorValue(Learned(name, start, low, high, call.span), call.span, name)


def combined(
    call: tree.Call, combinator: Combinator, values: Sequence[Value], over: Over, taken: set[str]
) -> TermsValue:
    """The terms of `uncertainty(a, b)`: those of each argument with its learned weight, and what that costs.

    Every argument has a parameter of its own: a name that is `taken` already is numbered. Raises MistakeError
    for arguments that are no losses.
    """
    for option in call.options:
        raise MistakeError(option_mistakes.unknown_option(option.span, call.name, option.name, ()))
    if not values:
        raise MistakeError(mistakes.no_losses(call.span, call.name))
    weighed = combinator.function()
    assert isinstance(weighed, Weighed)
    terms: list[Term] = []
    costs: Expression | None = None
    for value, node in zip(values, call.arguments, strict=True):
        own = as_terms(value)
        trained = [term for term in own if not term.metric]
        if isinstance(value, NumberValue) or not trained:
            raise MistakeError(mistakes.not_a_loss(node.span, call.name, spell(node)))
        name = free(f"{call.name}_{_named(node, trained)}", taken)
        s = Learned(name, weighed.start, span=node.span)
        weight, cost = over(weighed.weight, s), over(weighed.plus, s)
        terms += [term if term.metric else _times(term, weight) for term in own]
        costs = cost if costs is None else Apply("+", (costs, cost), call.span)
    assert costs is not None
    terms.append(Term(call.name, 1.0, costs, span=call.span))
    return TermsValue(tuple(terms), call.span)


def _named(node: tree.Node, terms: Sequence[Term]) -> str:
    """The name of an argument among the parameters: that of its only term, or its text."""
    name = terms[0].name if len(terms) == 1 else key(spell(node))
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def free(wanted: str, taken: set[str]) -> str:
    """A name that is not taken yet, and is from here on: numbered from the second one on."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name


def _times(term: Term, weight: Expression) -> Term:
    """A term with one more weight; a number in it is the term's own."""
    match weight:
        case Apply("*", (Constant(value=value), inner)):
            return _times(replace(term, weight=value * term.weight), inner)
        case _:
            factor = weight if term.factor is None else Apply("*", (term.factor, weight), term.span)
            return replace(term, factor=factor)
