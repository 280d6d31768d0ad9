"""The way back: a meaning as a syntax tree, with all that is in force written out.

What it spells has the fingerprint of the meaning: the same is computed, term by term.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, cast

from losslang.meaning.expression_tree import Spell, no_loss, node_of, number, product_of, sum_of
from losslang.meaning.meaning import (
    COMPUTED,
    Apply,
    Choice,
    Constant,
    Expression,
    Input,
    LossUse,
    Meaning,
    Term,
    below,
    loss_of,
    loss_uses,
)
from losslang.meaning.parameter import Learned
from losslang.primitives.primitive import Activation, Loss, Reduction
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
            value = _term(replace(whole, weight=1.0, factor=None, metric=False), spell, zero)
        else:
            whole = Term(name, 1.0, members[0].body)
            value = _signed_sum(members, spell, zero)
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
    """The sum of terms; a weight below 0 is a minus."""
    if len(terms) == 1:
        return _term(terms[0], spell, zero)
    first, *others = terms
    nodes = [_term(first, spell, zero)]
    operators: list[str] = []
    for term in others:
        is_negative = term.weight < 0 and not term.metric
        operators.append("-" if is_negative else "+")
        nodes.append(_term(replace(term, weight=-term.weight) if is_negative else term, spell, zero))
    return sum_of(nodes, operators)


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


# ---------------------------------------------------------------------------- uses of losses


def node_of_use(use: LossUse, registry: Registry, *, defaults: bool = True) -> tree.Node:
    """A use of a loss with what differs from its defaults, and its route; without its factor.

    `defaults`: its activation is written if it is the default of the loss too.
    """
    loss = loss_of(use, registry)
    head = _head(use)
    named, route = _operands(use, loss, head)

    def inside(value: Any) -> tree.Node:
        return node_of_value(value, head)

    options = [(name, inside(v)) for name, v in use.options if v != loss.defaults.get(name, ...)]
    options += [(name, inside(value)) for name, value in named]
    said = {*dict(use.spans), *dict(use.taken)}
    options += [(name, inside(value)) for name, value in use.universal if name in said]
    if use.reduction != _usual_reduction(use, loss):
        options.append(("reduction", _choice(use.reduction, registry, head)))
    activation = None if use.origin == "default" and not defaults else written_activation(use, loss)
    call = tree.Call(
        name=use.loss,
        arguments=() if activation is None else (_choice(activation, registry, head),),  # type: ignore[arg-type]
        options=tuple(tree.Option(name=name, value=value) for name, value in options),  # type: ignore[arg-type]
    )
    return call if route is None else tree.Routed(body=call, route=route)


def node_in_full(use: LossUse, registry: Registry, *, speaks: bool) -> tree.Node:
    """A use of a loss with all its options, and its route; without its factor.

    `speaks`: labels that are ignored by default are written too, and so said to the terms beside.
    """
    loss = loss_of(use, registry)
    head = _head(use)
    named, route = _operands(use, loss, head)
    said = {*dict(use.spans), *dict(use.taken)}
    universal = [(n, v) for n, v in use.universal if speaks or n in said]
    values = [*use.options, *named, *universal]
    options = [(name, node_of_value(value, head)) for name, value in values]
    if loss.wants != "parameters" and loss.result_axes:
        options.append(("reduction", _choice(use.reduction, registry, head, in_full=True)))
    activation = written_activation(use, loss)
    call = tree.Call(
        name=use.loss,
        arguments=() if activation is None else (_choice(activation, registry, head, in_full=True),),  # type: ignore[arg-type]
        options=tuple(tree.Option(name=name, value=value) for name, value in options),  # type: ignore[arg-type]
    )
    return call if route is None else tree.Routed(body=call, route=route)


def written_activation(use: LossUse, loss: Loss) -> Choice | None:
    """The activation of a use as it is written; None for `identity` where the loss reads what it is given."""
    chosen = use.activation
    if chosen is None or loss.wants in ("parameters", "hidden"):
        return None
    if loss.wants == "log_probs":
        # What gives the probabilities stands there, for a loss that is written on their logarithms.
        chosen = replace(
            chosen, name={"exp": "identity", "softmax": "log_softmax"}.get(chosen.name, chosen.name)
        )
    if chosen.name == "identity" and use.origin == "default" and loss.wants != "probs":
        return None
    return chosen


def _usual_reduction(use: LossUse, loss: Loss) -> Choice:
    """The reduction of a use that writes none."""
    weighted = use.get("class_weight") is not None and "class_weight" in loss.parameters
    return Choice("wmean" if weighted and loss.reduction == "mean" else loss.reduction)


def _choice(
    choice: Choice, registry: Registry, head: tuple[tree.Access, ...], *, in_full: bool = False
) -> tree.Node:
    """An activation or a reduction with the options that differ from its defaults; all of them `in_full`."""
    reduction = registry.get(Reduction, choice.name)
    defaults = reduction.defaults if reduction is not None else {}
    options = [(n, value) for n, value in choice.options if in_full or value != defaults.get(n, ...)]
    return tree.Call(
        name=choice.name,
        options=tuple(tree.Option(name=name, value=node_of_value(value, head)) for name, value in options),  # type: ignore[arg-type]
    )


def _head(use: LossUse) -> tuple[tree.Access, ...]:
    """The steps of the head by which a use is routed; () where it has none, or is handed its operands."""
    operands = [operand for _, operand in use.operands]
    match operands:
        case [Input("pred", steps)] if steps and isinstance(steps[0], tree.Key):
            pass
        case [Input("pred", steps), Input("target", same, soft=True), *_] if steps == same and steps:
            pass
        case _:
            return ()
    choices = [choice.options for choice in (use.activation, use.reduction) if choice is not None]
    options = [*use.options, *use.universal, *(option for own in choices for option in own)]
    values = [*operands[2:], *(value for _, value in options)]
    inputs = [i for v in values if isinstance(v, COMPUTED) for i in below(v) if isinstance(i, Input)]
    reached = all(i.steps[: len(steps)] == steps for i in inputs if i.root in ("pred", "target"))
    return steps if reached and isinstance(steps[0], tree.Key) else ()


def _operands(
    use: LossUse, loss: Loss, head: tuple[tree.Access, ...]
) -> tuple[list[tuple[str, Expression]], tree.Route | tree.Operands | None]:
    """The operands that are written by name, and the route that gives the others."""
    operands = [operand for _, operand in use.operands]
    if loss.wants == "parameters":
        return [], None
    if head:
        first = head[0]
        assert isinstance(first, tree.Key)
        route = tree.Route(path=tree.Path(root=first.name, steps=head[1:]))
        return list(use.operands[2:]), route
    match operands:
        case [Input("pred", ())] | [Input("pred", ()), Input("target", (), soft=True), *_]:
            return list(use.operands[2:]), None
        case _:
            nodes = tuple(node_of_value(operand, ()) for operand in operands)
            return [], tree.Operands(items=nodes)  # type: ignore[arg-type]


def node_of_value(value: Any, head: tuple[tree.Access, ...] = ()) -> tree.Node:
    """The value of an option; paths are written below `head`, by which the use is routed."""
    match value:
        case bool() | None:
            return tree.Word(value=value)
        case int() | float():
            return number(value)
        case str():
            is_word = value.isidentifier() and value.isascii() and value not in tree.RESERVED
            return tree.Call(name=value) if is_word or value == "none" else tree.Text(value=value)
        case list() | tuple():
            items = cast("Sequence[Any]", value)
            return tree.Items(items=tuple(node_of_value(item, head) for item in items))  # type: ignore[arg-type]
        case Constant() | Input() | Apply() | Learned():
            return node_of(_below_head(value, head), no_loss)
        case _:
            raise TypeError(f"{value!r} is not the value of an option")


def _below_head(expression: Expression, head: tuple[tree.Access, ...]) -> Expression:
    """An expression with the paths of `pred` and `target` as they are written below a head."""
    match expression:
        case Input(root="pred" | "target"):
            return replace(expression, steps=expression.steps[len(head) :])
        case Apply(arguments=arguments):
            return replace(expression, arguments=tuple(_below_head(a, head) for a in arguments))
        case _:
            return expression
