"""Repeats written out: `each` for the elements of a call, with their weights, `matryoshka` for its prefixes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from losslang.meaning.inputs import with_inputs
from losslang.meaning.layout import is_of_rows
from losslang.meaning.meaning import (
    Apply,
    Choice,
    Constant,
    Expression,
    Input,
    LossUse,
    Term,
    below,
    loss_of,
    rewrite,
)
from losslang.primitives.primitive import Loss
from losslang.primitives.repeats import Levels
from losslang.registry import Registry
from losslang.syntax import tree

EACH, MATRYOSHKA = "each", "matryoshka"
ELEMENT = tree.Element()


def repeats_in(terms: Sequence[Term]) -> list[Apply]:
    """Every `each` in the terms."""
    parts = (part for term in terms for part in below(term.body))
    return [part for part in parts if isinstance(part, Apply) and part.operator == EACH]


def expanded(
    terms: Sequence[Term],
    elements: Callable[[Apply], Sequence[tree.Access] | None],
    registry: Registry,
) -> tuple[Term, ...]:
    """The terms with one body for every element of each list, with its weight; those of no list stay open."""

    def close(expression: Expression) -> Expression:
        match expression:
            case Apply(operator="each", arguments=(body,)):
                steps = elements(expression)
                return expression if steps is None else _closed(expression, body, steps, registry)
            case Apply(arguments=arguments):
                return replace(expression, arguments=tuple(map(close, arguments)))
            case _:
                return expression

    return tuple(replace(term, body=close(term.body)) for term in terms)


def _closed(each: Apply, body: Expression, steps: Sequence[tree.Access], registry: Registry) -> Apply:
    options = dict(each.options)
    kept = [
        (w, s) for w, s in zip(weights_of(each, len(steps), registry), steps, strict=True) if w is not None
    ]
    bodies = tuple(_at(body, step) for _, step in kept)
    return replace(
        each, arguments=bodies, options=(*(options | {"weights": tuple(w for w, _ in kept)}).items(),)
    )


def is_closed(each: Apply) -> bool:
    """True if an `each` holds one body for every element of a call, with its weight."""
    return not any(isinstance(p, Input) and ELEMENT in p.steps for b in each.arguments for p in below(b))


def _at(body: Expression, step: tree.Access) -> Expression:
    """The body for one element."""

    def place(path: Input) -> Input:
        return replace(path, steps=tuple(step if s == ELEMENT else s for s in path.steps))

    return with_inputs(body, place)


def weights_of(each: Apply, number: int, registry: Registry) -> tuple[Expression | None, ...]:
    """The weights of so many elements; None for one that is left out. Raises ValueError if they do not fit."""
    written = dict(each.options)["weights"]
    if written is None:
        return (Constant(1.0),) * number
    if isinstance(written, Choice):
        levels = registry.get(Levels, written.name)
        assert levels is not None
        named = dict(written.options)
        positional = [named.pop(name) for name in levels.parameters[1:]]
        found = levels.function(number, *positional, **named)
        written = (*map(Constant, found), *[None] * (number - len(found)))
    if len(written) != number:
        raise ValueError(f"`weights` lists {len(written)}")
    if all(weight is None for weight in written):
        raise ValueError("`weights` leaves none of them")
    return written


# ---------------------------------------------------------------------------- prefixes of embeddings


def prefixes(matryoshka: Apply, registry: Registry) -> Expression:
    """The sum of a body over the prefixes of its embeddings."""
    (body,), options = matryoshka.arguments, dict(matryoshka.options)
    weights: tuple[Expression | None, ...] = options["weights"] or (Constant(1.0),) * len(options["dims"])
    total: Expression | None = None
    for dim, weight in zip(options["dims"], weights, strict=True):
        if weight is not None:
            part = rewrite(body, lambda use, dim=dim: _prefix(use, dim, registry))
            part = part if weight == Constant(1.0) else Apply("*", (weight, part), matryoshka.span)
            total = part if total is None else Apply("+", (total, part), matryoshka.span)
    return Constant(0.0) if total is None else total


def embeddings(use: LossUse, loss: Loss) -> list[str]:
    """The operands that are embeddings as the prediction is."""
    if not is_of_rows(loss) or loss.wants != "embeddings":
        return []
    axes = loss.axes[loss.views[0]]
    return [name for name, _ in use.operands if name == "pred" or loss.axes.get(name) == axes]


def _prefix(use: LossUse, dim: int, registry: Registry) -> LossUse:
    """A use that reads the first numbers of its embeddings."""
    names = embeddings(use, loss_of(use, registry))

    def cut(path: Input) -> Input:
        # A target without a head is a tensor, which is cut as the prediction is.
        return replace(path, steps=(*path.steps, tree.Slice(0, dim)), soft=path.soft and bool(path.steps))

    operands = tuple((n, with_inputs(v, cut) if n in names else v) for n, v in use.operands)
    return replace(use, operands=operands)
