"""The way back: one use of a loss as a syntax tree, with what differs from its defaults or with all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from losslang.meaning.expression_tree import no_loss, node_of, number
from losslang.meaning.meaning import (
    COMPUTED,
    Apply,
    Choice,
    Constant,
    Expression,
    Input,
    LossUse,
    below,
    loss_of,
)
from losslang.meaning.parameter import Learned
from losslang.primitives.primitive import Loss, Reduction
from losslang.registry import Registry
from losslang.syntax import tree


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
