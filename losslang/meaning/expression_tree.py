"""The way back: an expression of a meaning as a syntax tree that means the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

from losslang.meaning.inputs import with_inputs
from losslang.meaning.meaning import Apply, Choice, Constant, Expression, Input, LossUse, below
from losslang.meaning.parameter import Learned
from losslang.syntax import tree

Spell = Callable[[LossUse], tree.Node]
Signed = tuple[str, Expression]


def node_of(expression: Expression, spell: Spell) -> tree.Node:
    """An expression as a tree; `spell` gives that of a use of a loss."""
    match expression:
        case Constant(value=value):
            return number(value)
        case Input(root=root, steps=steps):
            return tree.Path(root=root, steps=steps)
        case Learned(name=name):
            return tree.Call(name=name)
        case LossUse():
            return _weighed(expression, spell)
        case Apply("neg", (inner,)):
            return tree.Negative(operand=node_of(inner, spell))  # type: ignore[arg-type]
        case Apply("**", (base, exponent)):
            return tree.Power(base=node_of(base, spell), exponent=node_of(exponent, spell))  # type: ignore[arg-type]
        case Apply("+" | "-"):
            return _distributed(expression, spell) or _added(expression, spell)
        case Apply("*" | "/"):
            signed = list(_factors(expression))
            return product_of([node_of(part, spell) for _, part in signed], [sign for sign, _ in signed[1:]])
        case Apply("each" | "matryoshka", (body,)):
            return _repeat(expression, body, spell)
        case Apply(operator=operator, arguments=arguments):
            nodes = tuple(node_of(argument, spell) for argument in arguments)
            options = tuple(
                tree.Option(name=name, value=option_value(value))  # type: ignore[arg-type]
                for name, value in expression.options
                if name in expression.written
            )
            return tree.Call(name=operator, arguments=nodes, options=options)  # type: ignore[arg-type]


def _repeat(repeat: Apply, body: Expression, spell: Spell) -> tree.Node:
    """A repeat of a body, in which the paths of the elements are `pred` and `target` again."""
    options = dict(repeat.options)
    over: tuple[Input, ...] = options.get("over", ())
    heads = {
        (path.root, *path.steps, tree.Element()): root
        for path, root in zip(over, ("pred", "target"), strict=False)
    }

    def own(path: Input) -> Input:
        whole = (path.root, *path.steps)
        for head, root in heads.items():
            if whole[: len(head)] == head:
                return replace(path, root=root, steps=path.steps[len(head) - 1 :], resize="")
        return replace(path, resize="")

    written = tuple(tree.Option(name=n, value=_of_repeat(options[n])) for n in repeat.written)  # type: ignore[arg-type]
    inside = (node_of(with_inputs(body, own), spell),)
    return tree.Call(name=repeat.operator, arguments=inside, options=written)  # type: ignore[arg-type]


def _of_repeat(value: Any) -> tree.Node:
    """The value of an option of a repeat as a tree."""
    match value:
        case None:
            return tree.Number(value=0)  # the weight of an element that is left out
        case Choice(name=name, options=options):
            named = [
                tree.Option(name=n, value=option_value(v))  # type: ignore[arg-type]
                for n, v in options
                if n != "gamma"
            ]
            gamma = [number(v) for n, v in options if n == "gamma"]
            return tree.Call(name=name, arguments=tuple(gamma), options=tuple(named))  # type: ignore[arg-type]
        case (Input() as path,):
            return node_of(path, no_loss)
        case tuple():
            items = cast("tuple[Any, ...]", value)
            return tree.Items(items=tuple(map(_of_repeat, items)))  # type: ignore[arg-type]
        case Constant() | Input() | Apply():
            return node_of(value, no_loss)
        case _:
            return option_value(value)


def number(value: float) -> tree.Node:
    """A number as a tree: the minus is a node of its own."""
    return tree.Negative(operand=tree.Number(value=-value)) if value < 0 else tree.Number(value=value)


def option_value(value: bool | float | str | tuple[float, ...] | Input) -> tree.Node:
    """The value of an option of a function, a schedule or a combinator as a tree."""
    if isinstance(value, Input):
        return node_of(value, no_loss)
    if isinstance(value, tuple):
        return tree.Items(items=tuple(map(option_value, value)))  # type: ignore[arg-type]
    if isinstance(value, bool):
        return tree.Word(value=value)
    return tree.Call(name=value) if isinstance(value, str) else number(value)


def _added(expression: Apply, spell: Spell) -> tree.Node:
    """A sum; beside a loss `a + -1*b` is a difference."""
    signed = list(_addends(expression))
    holds_loss = any(isinstance(part, LossUse) for part in below(expression))
    operators: list[str] = []
    nodes: list[tree.Node] = []
    for sign, part in signed:
        match part:
            case Apply("*", (Constant(value=value), inner)) if holds_loss and nodes:
                operators.append("-" if value < 0 else "+")
                part = inner if abs(value) == 1 else Apply("*", (Constant(abs(value)), inner))
            case _:
                operators.append(sign)
        nodes.append(node_of(part, spell))
    return sum_of(nodes, operators[1:])


def _addends(expression: Expression) -> Iterator[Signed]:
    """The signed parts of a sum from left to right. `c + k*loss` is one part: it is reduced as the loss is."""
    match expression:
        case Apply("+" | "-" as sign, (left, right)):
            is_one = _is_affine(left) or _is_distributed(left)
            yield from [("+", left)] if is_one else _addends(left)
            yield sign, right
        case _:
            yield "+", expression


def _is_affine(expression: Expression) -> bool:
    match expression:
        case Apply("+", (Constant(), Apply("*", (Constant(), LossUse())))):
            return True
        case _:
            return False


def _is_distributed(expression: Expression) -> bool:
    match expression:
        case Apply("+", (LossUse(scale=0.0), _)):
            return True
        case _:
            return False


def _distributed(expression: Apply, spell: Spell) -> tree.Node | None:
    """`w*(c + k*f*loss)` of the two uses that it became; None for any other sum."""
    match expression:
        case Apply(
            "+",
            (LossUse(scale=0.0, shift=shift, factor=weight), Apply("*", (Constant() as k, LossUse() as use))),
        ):
            pass
        case _:
            return None
    assert weight is not None
    match use.factor:
        case Apply("*", (own, outer)) if outer == weight:
            inner = replace(use, factor=own)
        case _:
            raise AssertionError(f"a weight that is not the last factor: {use}")
    shifted = Apply("+", (Constant(shift), Apply("*", (k, inner))))
    return product_of([node_of(weight, spell), node_of(shifted, spell)], "*")


def _factors(expression: Expression) -> Iterator[Signed]:
    """The parts of a product from left to right. One that holds a number is one part: it would fold."""
    match expression:
        case Apply("*" | "/" as sign, (left, right)):
            has_number = isinstance(left, Apply) and any(isinstance(p, Constant) for _, p in _factors(left))
            yield from [("*", left)] if has_number else _factors(left)
            yield sign, right
        case _:
            yield "*", expression


def _weighed(use: LossUse, spell: Spell) -> tree.Node:
    """`factor*(shift + scale*loss)`."""
    node = spell(use)
    if use.scale != 1 or use.shift:
        scaled = node if abs(use.scale) == 1 else product_of([number(abs(use.scale)), node], "*")
        node = sum_of([number(use.shift), scaled], "-" if use.scale < 0 else "+")
    return node if use.factor is None else product_of([node_of(use.factor, spell), node], "*")


def sum_of(nodes: Sequence[tree.Node], operators: Sequence[str]) -> tree.Node:
    return tree.Sum(terms=tuple(nodes), operators=tuple(operators))  # type: ignore[arg-type]


def product_of(nodes: Sequence[tree.Node], operators: Sequence[str]) -> tree.Node:
    return tree.Product(factors=tuple(nodes), operators=tuple(operators))  # type: ignore[arg-type]


def no_loss(use: LossUse) -> tree.Node:
    """Stands for `spell` where the checker lets no loss into an expression."""
    raise AssertionError(f"a loss in a tensor expression: {use}")
