"""Combinators whose weights are found in every call: the terms that they weigh, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from losslang.diagnostics.mistakes import automatic as mistakes
from losslang.diagnostics.mistakes import learned as learned_mistakes
from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.meaning.automatic import Automatic
from losslang.meaning.expression_tree import node_of
from losslang.meaning.layout import without_slices
from losslang.meaning.learned import free
from losslang.meaning.meaning import Apply, Input, Term, below, is_static
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
    arguments: Sequence[Value | None],
    evaluate: Evaluate,
    report: Report,
) -> TermsValue:
    """The terms of `balance(a, b)`, each with the weight that its argument will be given.

    Raises MistakeError for arguments that are no losses, or weighed so already; ReportedError after mistakes
    of options.
    """
    options, wrt, written = _options(call, combinator, evaluate, report)
    values = _all(arguments)
    if len(values) < 2:
        raise MistakeError(
            mistakes.nothing_to_weigh_against(call.span, call.name, list(map(spell, call.arguments)))
        )
    shares = dict(options).get("shares")
    if shares is not None and len(shares) != len(values):
        raise MistakeError(mistakes.shares_do_not_fit(call.span, call.name, len(shares), len(values)))
    kept = [not all(t.dropped or t.metric for t in as_terms(value)) for value in values]
    if shares is not None:
        left = tuple(share for share, is_kept in zip(shares, kept, strict=True) if is_kept)
        options = tuple((name, left if name == "shares" else value) for name, value in options)
    terms: list[Term] = []
    for at, (value, node) in enumerate(zip(values, call.arguments, strict=True)):
        own = as_terms(value)
        trained = [term for term in own if not term.metric]
        if isinstance(value, NumberValue) or not trained:
            raise MistakeError(learned_mistakes.not_a_loss(node.span, call.name, spell(node)))
        inner = next((term.automatic for term in trained if term.automatic), None)
        if inner is not None:
            raise MistakeError(mistakes.weighed_twice(node.span, call.name, spell(node), inner.method))
        if combinator.measures == "gradients" and wrt is None and not _reads_prediction(trained):
            raise MistakeError(mistakes.reads_no_prediction(node.span, call.name, spell(node)))
        if "shares" in combinator.option_types:
            _say_weight_is_no_share(call, trained, node, report)
        found = Automatic(
            call.name,
            f"{call.name}@{call.span.start}",
            member=sum(kept[:at]),
            number=sum(kept),
            options=options,
            wrt=wrt,
            written=written,
            span=call.span,
        )
        terms += [_as_argument(term, found) if kept[at] else term for term in own]
    return TermsValue(tuple(terms), call.span)


def with_names(terms: Sequence[Term], taken: set[str]) -> tuple[Term, ...]:
    """The terms of a program, each call of a combinator under a name of its own: `balance`, `balance_2`."""
    methods = {term.automatic.group: term.automatic.method for term in terms if term.automatic}
    names = {group: free(method, taken) for group, method in methods.items()}
    return tuple(in_call(term, names) for term in terms)


def in_call(term: Term, names: Mapping[str, str]) -> Term:
    """A term as an argument of a call of another name."""
    found = term.automatic
    if found is None or found.group not in names:
        return term
    return replace(term, automatic=replace(found, group=names[found.group]))


def _as_argument(term: Term, found: Automatic) -> Term:
    """A term as it stands inside of a call; a metric is logged beside it."""
    inside = replace(found, weight=term.weight, factor=term.factor)
    return term if term.metric else replace(term, automatic=inside)


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
    is_written = WRT in named and named[WRT].value != tree.Word(value=None)
    if is_written and combinator.measures == "gradients":
        value = None if _is_name(named[WRT].value) else evaluate(named[WRT].value)
        if value is None and not _is_name(named[WRT].value):
            raise ReportedError
        if (
            not isinstance(value, TensorValue)
            or not isinstance(value.expression, Input)
            or value.expression.root == "target"
            or value.expression != without_slices(value.expression)
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


def _is_name(node: tree.Node) -> bool:
    """True for a name alone, or a text, where a path is meant."""
    return isinstance(node, tree.Text) or (
        isinstance(node, tree.Call) and not node.arguments and not node.options
    )


def _say_weight_is_no_share(call: tree.Call, terms: Sequence[Term], node: tree.Node, report: Report) -> None:
    """Warns of a weight of a whole argument, a schedule too, where each argument has its share."""
    (term,) = terms if len(terms) == 1 else (None,)
    if term is None or term.dropped or term.weight <= 0 or (term.weight == 1 and term.factor is None):
        return
    shown = [] if term.weight == 1 else [number(term.weight)]
    shown += (
        [] if term.factor is None else [spell(node_of(term.factor, lambda use: tree.Call(name=use.name)))]
    )
    report(MistakeError(mistakes.weight_is_no_share(node.span, call.name, "*".join(shown))))


def _reads_prediction(terms: Sequence[Term]) -> bool:
    """True if a term reads a tensor of the call that may come from the network."""
    parts = (part for term in terms for part in below(term.body))
    return any(isinstance(part, Input) and part.root in ("pred", "batch") for part in parts)
