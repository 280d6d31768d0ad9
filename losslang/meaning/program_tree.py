"""The way back: a meaning as a syntax tree, with all that is in force written out.

What it spells has the fingerprint of the meaning: the same is computed, term by term.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from losslang.meaning.expression_tree import Spell, node_of, number, product_of, sum_of
from losslang.meaning.meaning import (
    Choice,
    Constant,
    LossUse,
    Term,
    loss_uses,
)
from losslang.meaning.parameter import Learned
from losslang.meaning.program import Meaning
from losslang.meaning.use_tree import node_of_use, node_of_value
from losslang.meaning.weighed_together import Group, as_argument, weighed_together
from losslang.primitives.primitive import Activation
from losslang.registry import Registry
from losslang.syntax import tree

# ---------------------------------------------------------------------------- terms


def program_of(meaning: Meaning, registry: Registry) -> tree.Program:
    """The sum of terms, each with its weight; a weight of 0 that is computed stands behind a name."""
    zero = free_name("zero", registry, [parameter.name for parameter in meaning.learned])
    is_used = any(_is_computed_zero(term) for term in meaning.terms)
    learned = map(_bound, meaning.learned)
    return tree.Program(
        bindings=(*learned, *((zero_bound(zero),) if is_used else ())),
        result=sum_of_terms(meaning.terms, registry, zero),  # type: ignore[arg-type]
    )


def _bound(parameter: Learned) -> tree.Binding:
    """`s = learn(0, min=-5)`."""
    bounds = (("min", parameter.low), ("max", parameter.high))
    options = tuple(
        tree.Option(name=name, value=number(bound))  # type: ignore[arg-type]
        for name, bound in bounds
        if bound is not None
    )
    call = tree.Call(name="learn", arguments=(number(parameter.start),), options=options)  # type: ignore[arg-type]
    return tree.Binding(name=parameter.name, value=call)


def zero_bound(name: str) -> tree.Binding:
    """`zero = 0`: a term that it multiplies is computed, where a 0 in place would drop it."""
    return tree.Binding(name=name, value=number(0))  # type: ignore[arg-type]


def free_name(wanted: str, registry: Registry, taken: Collection[str]) -> str:
    """A name that neither a program nor the registry has."""
    name, i = wanted, 1
    while name in taken or registry.kinds_of(name):
        i += 1
        name = f"{wanted}_{i}"
    return name


def _is_computed_zero(term: Term) -> bool:
    """True for a weight of 0 that would drop the term if it were written in place."""
    is_zero = not (term.weight or term.dropped or term.metric)
    return is_zero and not isinstance(term.body, Constant)


def program_of_named_terms(
    meaning: Meaning, registry: Registry, spell: Spell, *, keeps_names: bool
) -> tree.Program:
    """The sum of terms as `spell` writes their losses; `keeps_names`: the names that are log keys stay."""
    terms, learned = meaning.terms, meaning.learned
    taken = [*(term.name.partition("/")[0] for term in terms), *(parameter.name for parameter in learned)]
    zero = free_name("zero", registry, taken)
    bindings = [*map(_bound, learned), *([zero_bound(zero)] if any(map(_is_computed_zero, terms)) else ())]
    called: list[Term] = []
    for name, group in groupby(terms, key=lambda term: _bound_name(term) if keeps_names else ""):
        members = list(group)
        if not name:
            called += members
            continue
        if members[0].name == name:
            (whole,) = members
            inside = replace(whole, weight=1.0, factor=None, metric=False, automatic=None)
            value = _term(inside, spell, zero)
        else:
            argument, inside = as_argument(members)
            whole = argument or Term(name, 1.0, members[0].body)
            value = _signed_sum(inside, spell, zero)
        bindings.append(tree.Binding(name=name, value=value))  # type: ignore[arg-type]
        called.append(replace(whole, body=LossUse(name, (), None, "", (), Choice("mean"), ())))

    def by_name(use: LossUse) -> tree.Node:
        return spell(use) if use.operands else tree.Call(name=use.loss)

    result = _signed_sum(called, by_name, zero)
    return tree.Program(bindings=tuple(bindings), result=result)  # type: ignore[arg-type]


def _bound_name(term: Term) -> str:
    """The name that a term, or the sum that it is part of, is bound to by its log key; "" for none."""
    name = term.name.partition("/")[0]
    return name if term.named and name.isidentifier() else ""


def sum_of_terms(terms: Sequence[Term], registry: Registry, zero: str) -> tree.Node:
    """The sum of terms, each with its weight."""
    taken: dict[str, set[Choice]] = {}
    for use in (use for term in terms if not term.metric for use in loss_uses(term)):
        activation = use.activation and registry.get(Activation, use.activation.name)
        if use.activation and activation and activation.gives == "probs":
            taken.setdefault(str(use.prediction), set()).add(use.activation)

    def spell(use: LossUse) -> tree.Node:
        # Two activations of one tensor are doubted where both are written.
        return node_of_use(use, registry, defaults=len(taken.get(str(use.prediction), ())) < 2)

    return _signed_sum(terms, spell, zero)


def _signed_sum(terms: Sequence[Term], spell: Spell, zero: str) -> tree.Node:
    """The sum of terms; a weight below 0 is a minus. What a combinator weighs together is one call of it."""
    nodes: list[tree.Node] = []
    operators: list[str] = []
    for part in weighed_together(terms):
        weight = part.weight if isinstance(part, Term) else part.outside[0]
        is_negative = bool(nodes) and weight < 0 and not (isinstance(part, Term) and part.metric)
        operators.append("-" if is_negative else "+")
        if isinstance(part, Term):
            nodes.append(_term(replace(part, weight=-weight) if is_negative else part, spell, zero))
        else:
            nodes.append(_combined(part, abs(weight) if is_negative else weight, spell, zero))
    return nodes[0] if len(nodes) == 1 else sum_of(nodes, operators[1:])


def _combined(group: Group, weight: float, spell: Spell, zero: str) -> tree.Node:
    """The call of a combinator with what stands in front of it."""
    found, factor = group.found, group.outside[1]
    named: list[tuple[str, Any]] = [*found.options, ("wrt", found.wrt)]
    options = [(name, node_of_value(value)) for name, value in named if value is not None]
    call = tree.Call(
        name=found.method,
        arguments=tuple(_signed_sum(member, spell, zero) for member in group.members),  # type: ignore[arg-type]
        options=tuple(tree.Option(name=name, value=value) for name, value in options),  # type: ignore[arg-type]
    )
    factors = [call] if factor is None else [node_of(factor, spell), call]
    factors = factors if weight == 1 else [number(weight), *factors]
    return product_of(factors, "*" * (len(factors) - 1)) if len(factors) > 1 else call


def _term(term: Term, spell: Spell, zero: str) -> tree.Node:
    """One term with its weight, to the twelve digits that a fingerprint has."""
    if term.metric:
        plain = _term(replace(term, metric=False, dropped=True), spell, zero)
        return tree.Call(name=tree.METRIC, arguments=(plain,))  # type: ignore[arg-type]
    weight = float(f"{term.weight:.12g}")
    if isinstance(term.body, Constant):
        weight = float(f"{term.weight * term.body.value:.12g}")
        if term.factor is None:
            return number(weight)
        term = replace(term, body=term.factor, factor=None)
    body = node_of(term.body, spell)
    factors = [body] if term.factor is None else [node_of(term.factor, spell), body]
    if weight != 1:
        if len(factors) == 1 and weight == -1:
            return tree.Negative(operand=body)  # type: ignore[arg-type]
        factors.insert(0, tree.Call(name=zero) if _is_computed_zero(term) else number(weight))
    return product_of(factors, "*" * (len(factors) - 1)) if len(factors) > 1 else body
