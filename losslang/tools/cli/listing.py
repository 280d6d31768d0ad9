"""`losslang list`: prints every name, what it computes, and its aliases."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from losslang.losses import FAMILIES
from losslang.primitives.combinators import Combinator
from losslang.primitives.primitive import Activation, Function, Loss, Primitive, Reduction
from losslang.primitives.repeats import Levels, Repeat
from losslang.primitives.schedules import Schedule
from losslang.registry import Registry, current_registry
from losslang.tools.cli.outcome import Outcome

KINDS: dict[str, type[Primitive]] = {
    "loss": Loss,
    "activation": Activation,
    "reduction": Reduction,
    "function": Function,
    "schedule": Schedule,
    "combinator": Combinator,
    "repeat": Repeat,
    "levels": Levels,
}
TITLES = {
    "loss": "losses",
    "activation": "activations, the argument of a loss: dice(sigmoid)",
    "reduction": "reductions, the value of an option: ce(reduction=topk)",
    "function": "functions, of numbers, tensors and reduced losses: sqrt(mse)",
    "schedule": "schedules, weights that a clock moves: ramp(0, 1, steps=1000)*dice",
    "combinator": "combinators, of whole expressions: uncertainty(mse@depth, ce@seg)",
    "repeat": "repeats, a body computed for several tensors: each(ce, over=pred)",
    "levels": "levels, weights of the elements of `each`: each(ce, weights=halving())",
}
WIDTH = 110
SomePrimitive = TypeVar("SomePrimitive", bound=Primitive)


def run(arguments: Namespace) -> Outcome:
    """Lists the names of one kind or of all."""
    registry = current_registry()
    kinds = [arguments.kind] if arguments.kind else list(KINDS)
    parts = ["\n".join(_section(kind, registry)) for kind in kinds]
    if not arguments.kind:
        parts.append("`losslang show NAME` says everything about one of them.")
    return Outcome(0, "\n\n".join(filter(None, parts)))


def _section(kind: str, registry: Registry) -> Iterator[str]:
    """The lines of one kind; losses by family."""
    primitives = registry.all(KINDS[kind])
    width = max(len(primitive.name) for primitive in primitives) + 2
    if kind != "loss":
        yield TITLES[kind]
        yield from _rows(primitives, width)
        return
    for i, (family, members) in enumerate(groupby(by_family(primitives), key=_family)):
        yield from ([""] if i else [])
        yield f"{TITLES[kind]}: {family}"
        yield from _rows(list(members), width)


def by_family(losses: Iterable[SomePrimitive]) -> list[SomePrimitive]:
    """Sorts losses by family: those of losslang first, in the order in which people look for them."""
    return sorted(losses, key=lambda loss: (_rank(_family(loss)), _family(loss)))


def _rank(family: str) -> int:
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)


def _family(primitive: Primitive) -> str:
    """The module that a loss is written in: `region`, or the user's own."""
    return primitive.function.__module__.removeprefix("losslang.losses.")


def _rows(primitives: Sequence[Primitive], width: int) -> Iterator[str]:
    """The lines of some names: summary and aliases, wrapped."""
    for primitive in primitives:
        indent = " " * (width + 2)
        first, *more = textwrap.wrap(primitive.summary.rstrip("."), WIDTH - len(indent)) or [""]
        yield f"  {primitive.name:<{width}}{first}"
        yield from (f"{indent}  {line}" for line in more)
        if primitive.aliases:
            also = "also " + ", ".join(primitive.aliases)
            # A blank inside `sigmoid_ce = bce(sigmoid)` is no place to break a line.
            wrapped = textwrap.wrap(also.replace(" = ", "\0=\0"), WIDTH - len(indent), break_on_hyphens=False)
            yield from (indent + line.replace("\0", " ") for line in wrapped)
