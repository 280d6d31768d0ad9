"""Lowers the factors of terms that clocks make alone, as a plan of their own."""

from __future__ import annotations

from dataclasses import replace

from losslang.meaning.meaning import Term
from losslang.meaning.program import Meaning
from losslang.meaning.time import is_scheduled
from losslang.plan.lower.builder import Builder
from losslang.plan.plan import Argument, Output, Plan, verify
from losslang.registry import Registry


def has_scheduled_factor(term: Term) -> bool:
    """Returns whether the factor of a term is a number at one time, by which nothing is measured."""
    return term.factor is not None and term.automatic is None and is_scheduled(term.factor)


def without_scheduled_factors(meaning: Meaning) -> Meaning:
    """Returns the program with a factor of 1 in the place of each that clocks make alone."""
    terms = (replace(term, factor=None) if has_scheduled_factor(term) else term for term in meaning.terms)
    return replace(meaning, terms=tuple(terms))


def lower_factors(meaning: Meaning, registry: Registry) -> Plan:
    """Returns the plan of those factors: an output for each term, 1 where it has none."""
    builder = Builder(registry, meaning.source)
    outputs: list[Output] = []
    for term in meaning.terms:
        builder.term_name = term.name
        factor: Argument = 1.0
        if term.factor is not None and has_scheduled_factor(term):
            factor = builder.number(term.factor)
        outputs.append(Output(term.name, term.weight, factor, term.metric, term.dropped))
    return verify(Plan(tuple(builder.steps), tuple(outputs)))
