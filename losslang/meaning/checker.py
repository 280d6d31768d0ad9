"""Semantic analysis: tree to meaning, with every mistake of a program collected in one run.

`evaluator` resolves names, checks options and folds constants; here bindings are ordered, activations and
labels inferred, overrides applied and the rules about whole programs held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import names as name_mistakes
from losslang.diagnostics.source import Source
from losslang.meaning.activation_choice import resolve_activations
from losslang.meaning.evaluator import Evaluator
from losslang.meaning.foreign import refined
from losslang.meaning.foreign_config import file_named, source_of_program
from losslang.meaning.ignored_label import resolve_ignored_labels
from losslang.meaning.keys import distinct
from losslang.meaning.layout import resolve_channels
from losslang.meaning.meaning import Term
from losslang.meaning.override_names import nothing_called
from losslang.meaning.overrides import (
    OVERRIDES,
    Setting,
    flattened,
    number,
    overridden,
    placed,
    plain,
    settable,
)
from losslang.meaning.program import Meaning
from losslang.meaning.rules import given_twice, of_the_whole, unused
from losslang.meaning.terms import (
    MistakeError,
    NumberValue,
    Value,
    as_terms,
)
from losslang.meaning.unbounded import falling
from losslang.meaning.uses import Scope
from losslang.meaning.weighing import with_names
from losslang.registry import Registry, current_registry
from losslang.syntax import tree
from losslang.syntax.parser import parse


class Checked(NamedTuple):
    """The result of a check: the meaning, None beside an error, and all diagnostics."""

    meaning: Meaning | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.is_error)


def check(text: str | Source, *, source: str = "<expression>") -> tuple[Diagnostic, ...]:
    """Checks a program, and returns its mistakes and warnings sorted by place: none when all is well.

    Nothing is executed and torch is not imported.

    Args:
        text: The program, or a Source that knows its place in a config file.
        source: The name of the file that the text is from, as messages print it.

    Raises:
        Nothing for bad text: a syntax error is a diagnostic too, and so is a value that is no text.

    Example:
        >>> [mistake] = losslang.check("ce + dise")
        >>> print(mistake.code, mistake.message, mistake.fix, sep="; ")
        E101; there is no loss or function `dise`; did you mean `dice`?
        >>> losslang.check("0.5*bce(sigmoid) + dice(smooth=1)")
        ()
    """
    try:
        return analyze(source_of_program(text, source)).diagnostics
    except LossError as error:  # no text at all
        return error.diagnostics


def analyze(
    source: Source, *, overrides: Mapping[str, Any] | None = None, registry: Registry | None = None
) -> Checked:
    """Checks a program with numbers set from outside, and returns its meaning beside its diagnostics.

    `overrides` are as in `compile`, or Settings that know their place; `registry` is the current one if none
    is named.
    """
    registry = registry or current_registry()
    try:
        program = parse(source)
    except LossError as error:
        found = tuple(refined(mistake, registry) for mistake in error.diagnostics)
        return Checked(None, file_named(source) or found)
    settings = flattened(overrides or {})
    terms, diagnostics = _terms(program, registry, settings)
    found = sorted(diagnostics, key=lambda d: (d.span.start, d.code))
    # A setting in a config file has a place of its own there.
    found = tuple(d if d.source.text else d.at(source) for d in found)
    if terms is None or any(d.is_error for d in found):
        return Checked(None, file_named(source) or found)
    plainly = tuple((name, plain(value)) for name, value in settings.items())
    return Checked(Meaning(terms, source, plainly), found)


def _terms(
    program: tree.Program, registry: Registry, overrides: Mapping[str, Any]
) -> tuple[tuple[Term, ...] | None, list[Diagnostic]]:
    """The terms of a program, None where its result has no value, and all diagnostics."""
    bindings, diagnostics = _bindings(program, registry)
    evaluator = Evaluator(registry, bindings)
    for name, binding in bindings.items():
        evaluator.bound[name] = _bind(name, binding, evaluator, overrides)
    result = evaluator.evaluate(program.result, Scope())
    diagnostics += given_twice(program) + evaluator.diagnostics
    if result is None:
        return None, diagnostics
    terms, wrong = resolve_activations(
        with_names(distinct(as_terms(result)), evaluator.learned_names), registry
    )
    diagnostics += wrong
    terms, wrong = resolve_ignored_labels(terms, registry)
    diagnostics += wrong
    terms, wrong = resolve_channels(terms)
    diagnostics += wrong
    numbers = [n for n, v in evaluator.bound.items() if isinstance(v, NumberValue)]
    for name in overrides:
        known = (*numbers, *settable(terms, registry))
        if name not in known:
            unknown = nothing_called(name, known, evaluator.bound, program.result.span)
            given = overrides[name]
            diagnostics.append(placed(unknown, given.name) if isinstance(given, Setting) else unknown)
    of_terms = {n: v for n, v in overrides.items() if n not in numbers}
    terms, problems = overridden(terms, of_terms, registry)
    diagnostics += [problem.diagnostic for problem in problems]
    diagnostics += of_the_whole(terms, program.result.span, registry)
    diagnostics += falling(terms, program, registry)
    return terms, diagnostics


def _bindings(program: tree.Program, registry: Registry) -> tuple[dict[str, tree.Binding], list[Diagnostic]]:
    """The bindings by name, and the mistakes of names: bound twice, hiding another, never used."""
    bindings: dict[str, tree.Binding] = {}
    diagnostics: list[Diagnostic] = []
    for binding in program.bindings:
        if binding.name in bindings:
            first = bindings[binding.name].name_span
            diagnostics.append(name_mistakes.bound_twice(binding.name_span, binding.name, first))
            continue
        bindings[binding.name] = binding
        kinds = registry.kinds_of(binding.name)
        if kinds:
            diagnostics.append(name_mistakes.hides(binding.name_span, binding.name, kinds[0]))
    return bindings, diagnostics + unused(program)


def _bind(
    name: str, binding: tree.Binding, evaluator: Evaluator, overrides: Mapping[str, Any]
) -> Value | None:
    """The value of a bound name: that of its expression, or the number that an override sets."""
    value = evaluator.bind(name, binding.value)
    if isinstance(value, NumberValue) and name in overrides:
        try:
            return NumberValue(number(overrides[name], value.span, OVERRIDES, name), value.span)
        except MistakeError as problem:
            evaluator.report(problem)
    return value
