"""Repeats: `each` becomes an expression with an open element, `matryoshka` one with its prefixes.

`each(body)` is `Apply("each", (body,))` in every term of the body, so that log keys are those of the body.
`elements.expanded` closes it for the elements of a call: then it holds one body for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from losslang.diagnostics.mistakes import automatic
from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.diagnostics.mistakes import repeats as mistakes
from losslang.diagnostics.source import Span
from losslang.meaning.contests import check_contest
from losslang.meaning.elements import EACH, ELEMENT, MATRYOSHKA, embeddings
from losslang.meaning.keys import key
from losslang.meaning.meaning import (
    Apply,
    Input,
    Term,
    below,
    is_found,
    is_static,
    loss_of,
    loss_uses,
)
from losslang.meaning.options import ReportedError
from losslang.meaning.repeat_options import Evaluates, read_options
from losslang.meaning.terms import (
    MistakeError,
    TermsValue,
    as_terms,
    collapse,
    refuse_weighed,
)
from losslang.meaning.uses import Scope
from losslang.primitives.repeats import Repeat
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import spell

CONTESTS = ("min", "max")


def repeated(call: tree.Call, repeat: Repeat, scope: Scope, evaluator: Evaluates) -> TermsValue:
    """The terms of `each(...)` or `matryoshka(...)`. Raises MistakeError, or ReportedError after reports."""
    if len(call.arguments) != 1:
        raise MistakeError(
            option_mistakes.wrong_count(call.span, call.name, len(call.arguments), "one expression")
        )
    options = read_options(call, repeat, scope, evaluator)
    written = tuple(option.name for option in call.options)
    if repeat.name == MATRYOSHKA:
        value = _terms(call, scope, evaluator)
        cut = tuple(_cut(term, options, written, evaluator.registry) for term in value)
        return TermsValue(cut, call.span)
    paths = cast("tuple[Input, ...]", options["over"])
    pred = replace(paths[0], steps=(*paths[0].steps, ELEMENT))
    target = replace(scope.target, resize=options["resize"] or "")
    if len(paths) == 2:
        target = replace(paths[1], steps=(*paths[1].steps, ELEMENT), soft=True, resize=target.resize)
    inside = scope._replace(pred=pred, target=target)
    terms = _terms(call, inside, evaluator)
    _check(call, terms, options, evaluator)
    if options["combine"] in CONTESTS:
        body = collapse(TermsValue(terms, call.span), spell(call))
        name = terms[0].name if len(terms) == 1 else key(spell(call.arguments[0]))
        terms = (Term(name, 1.0, body, span=call.span),)
    at = next((option.value.span for option in call.options if option.name == "over"), call.span)
    return TermsValue(tuple(_open(term, options, written, at) for term in terms), call.span)


def _terms(call: tree.Call, scope: Scope, evaluator: Evaluates) -> tuple[Term, ...]:
    value = evaluator.evaluate(call.arguments[0], scope)
    if value is None:
        raise ReportedError
    refuse_weighed(value, spell(call))
    return as_terms(value)


def _open(term: Term, options: dict[str, Any], written: tuple[str, ...], at: Span) -> Term:
    """A term whose body is repeated. A factor that is no number of the program belongs to the body."""
    body, factor = term.body, term.factor
    if factor is not None and not is_static(factor):
        body, factor = Apply("*", (factor, body), term.span), None
    return replace(term, body=Apply(EACH, (body,), at, tuple(options.items()), written), factor=factor)


# ---------------------------------------------------------------------------- checks


def _check(call: tree.Call, terms: Sequence[Term], options: dict[str, Any], evaluator: Evaluates) -> None:
    """Reports what can not be repeated. Raises ReportedError after a mistake."""
    registry = evaluator.registry
    found = [problem for term in terms for problem in _problems(term, options, registry)]
    combine, per = options["combine"], options["per"]
    written = {option.name: option for option in call.options}
    if (combine in CONTESTS) != (per is not None):
        at = written["per" if per else "combine"].span
        found.append(mistakes.which_values(at, combine, per or ""))
    if combine in CONTESTS and options["weights"] is not None:
        fix = f"leave `weights` out: `combine={combine}` takes the values of one element"
        found.append(mistakes.no_contest(written["weights"].span, "elements with weights", combine, fix))
    if combine in CONTESTS and not found:
        found += check_contest(terms, combine, per, call, registry)
    for problem in found:
        evaluator.report(MistakeError(problem))
    if found:
        raise ReportedError


def _problems(term: Term, options: dict[str, Any], registry: Registry) -> list[Any]:
    parts = [p for whole in (term.body, term.factor) if whole is not None for p in below(whole)]
    if any(isinstance(part, Apply) and part.operator == EACH for part in parts):
        return [mistakes.nested(term.span)]
    if found := next(filter(is_found, parts), None):
        return [automatic.weighed_terms_only(term.span, found.operator, EACH)]
    if not any(isinstance(part, Input) and ELEMENT in part.steps for part in parts):
        over = ", ".join(map(str, options["over"]))
        return [mistakes.no_element(term.span, term.name, over)]
    stateful = [use for use in loss_uses(term) if "memory" in loss_of(use, registry).parameters]
    return [mistakes.keeps_state(use.span, use.loss) for use in stateful]


# ---------------------------------------------------------------------------- prefixes of embeddings


def _cut(term: Term, options: dict[str, Any], written: tuple[str, ...], registry: Registry) -> Term:
    """A term over the prefixes of its embeddings. Raises MistakeError for one that reads none."""
    uses = list(loss_uses(term))
    if not uses or not all(embeddings(use, loss_of(use, registry)) for use in uses):
        raise MistakeError(mistakes.no_embeddings(term.span, term.name))
    body = Apply(MATRYOSHKA, (term.body,), term.span, tuple(options.items()), written)
    return replace(term, body=body)
