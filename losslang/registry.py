"""The registry: all names of the language, built in, of plug-ins and of the user.

A name is unique among primitives of its kind (`mean` is a reduction and a function); its position in the
program decides the kind. Taking a name twice is an error that names both.

A module looks names up long after it was compiled, for tensors of new shapes. It keeps a snapshot of the
registry, so that a name or a kernel that is registered later changes no module that exists.
"""

from __future__ import annotations

import copy
from functools import cache
from importlib.metadata import entry_points
from typing import NamedTuple, TypeVar

from losslang import losses
from losslang.primitives import (
    activations,
    automatic,
    combinators,
    functions,
    reductions,
    repeats,
    schedules,
)
from losslang.primitives.combinators import Combinator
from losslang.primitives.decorators import DEFINED
from losslang.primitives.primitive import KERNELS, Activation, Function, Loss, Primitive, Reduction
from losslang.primitives.repeats import Repeat
from losslang.primitives.schedules import Schedule
from losslang.syntax.tree import METRIC, RESERVED

Kind = TypeVar("Kind", bound=Primitive)
BUILTIN = (activations, automatic, combinators, functions, losses, reductions, repeats, schedules)


class NamedLoss(NamedTuple):
    """The loss that a name or an alias stands for, and the activation that the name carries."""

    loss: Loss
    activation: str | None


class Registry:
    """Primitives by kind and name.

    `losslang.loss` and the other decorators fill the registry that every check reads; one of your own serves
    tests and tools.

    Raises:
        ValueError: `add` refuses a name that is taken.

    Example:
        >>> registry = losslang.Registry()
        >>> registry.loss("ce") is None
        True
    """

    def __init__(self) -> None:
        self._by_kind: dict[type[Primitive], dict[str, Primitive]] = {}
        self._aliases: dict[str, NamedLoss] = {}
        self._snapshot: tuple[int, Registry] | None = None
        self.collected = 0

    def add(self, primitive: Primitive) -> None:
        """Registers a primitive under its name and its aliases.

        The same function defined again, as in a notebook cell that is run twice, replaces itself.

        Args:
            primitive: What a decorator made of a function.

        Raises:
            ValueError: Its name or an alias is taken or reserved, or a default of it does not exist.
        """
        self._fits(primitive)
        if isinstance(primitive, Loss):
            for alias in primitive.aliases:
                self._alias(primitive, alias)
        self._by_kind.setdefault(type(primitive), {})[primitive.name] = primitive
        self._snapshot = None

    def snapshot(self) -> Registry:
        """A copy that later registrations do not change; the same one until something is registered."""
        if self._snapshot is None or self._snapshot[0] != len(KERNELS):
            self._snapshot = len(KERNELS), self._copied()
        return self._snapshot[1]

    def _copied(self) -> Registry:
        copied = Registry()
        for kind, names in self._by_kind.items():
            copied._by_kind[kind] = {name: _with_its_kernels(primitive) for name, primitive in names.items()}
        losses = copied._by_kind.get(Loss, {})
        for alias, known in self._aliases.items():
            loss = losses[known.loss.name]
            assert isinstance(loss, Loss)
            copied._aliases[alias] = NamedLoss(loss, known.activation)
        return copied

    def _fits(self, primitive: Primitive) -> None:
        """Raises ValueError for a name that is taken, and for a default that does not exist."""
        name, kind = primitive.name, primitive.kind
        if isinstance(primitive, (Loss, Function, Schedule, Combinator)) and (
            name in (*RESERVED, METRIC) or self.get(Repeat, name)
        ):
            raise ValueError(f"`{name}` is a word of the language: the {kind} needs another name")
        taken = self._by_kind.get(type(primitive), {}).get(name)
        if isinstance(primitive, Loss):
            taken = taken or (self._aliases[name].loss if name in self._aliases else None)
            if primitive.activation and not self.get(Activation, primitive.activation):
                raise ValueError(
                    f"the default activation `{primitive.activation}` of `{name}` does not exist"
                )
            if not self.get(Reduction, primitive.reduction):
                raise ValueError(f"the default reduction `{primitive.reduction}` of `{name}` does not exist")
        if taken is not None and taken.origin != primitive.origin:
            raise ValueError(
                f"the {kind} `{name}` of {primitive.origin} is already defined in {taken.origin}"
            )

    def _alias(self, loss: Loss, alias: str) -> None:
        """Registers one alias, `name` or `name = loss(activation)`. Raises ValueError if it is taken."""
        name, _, spelled = alias.partition(" = ")
        carried = spelled.partition("(")[2].rstrip(")") or None
        taken = self.loss(name)
        if taken is not None and taken.loss.origin != loss.origin:
            raise ValueError(f"the alias `{name}` of `{loss.name}` already means `{taken.loss.name}`")
        self._aliases[name] = NamedLoss(loss, carried)

    def get(self, kind: type[Kind], name: str) -> Kind | None:
        """The primitive of a kind by its name; None if there is none. Aliases are not looked up."""
        primitive = self._by_kind.get(kind, {}).get(name)
        return primitive if isinstance(primitive, kind) else None

    def loss(self, name: str) -> NamedLoss | None:
        """The loss of a name or an alias; None if there is none."""
        direct = self.get(Loss, name)
        return NamedLoss(direct, None) if direct is not None else self._aliases.get(name)

    def all(self, kind: type[Kind]) -> tuple[Kind, ...]:
        """The primitives of one kind, in the order of their definition."""
        return tuple(p for p in self._by_kind.get(kind, {}).values() if isinstance(p, kind))

    def names(self, kind: type[Primitive]) -> tuple[str, ...]:
        """The names of one kind, with the aliases of losses."""
        known = tuple(self._by_kind.get(kind, {}))
        return known + tuple(self._aliases) if kind is Loss else known

    def kinds_of(self, name: str) -> tuple[str, ...]:
        """The kinds that have a name, in lower case."""
        kinds = tuple(kind.__name__.lower() for kind, names in self._by_kind.items() if name in names)
        return kinds + (("loss",) if name in self._aliases else ())


def _with_its_kernels(primitive: Primitive) -> Primitive:
    """A copy of a primitive to which no kernel is added later; its cached signature is shared."""
    if not isinstance(primitive, Loss):
        return primitive
    fixed = copy.copy(primitive)
    object.__setattr__(fixed, "kernels", dict(primitive.kernels))
    return fixed


def loss_behind(operation: str, registry: Registry) -> Loss | None:
    """The loss of a step `loss:NAME`; None for any other step."""
    kind, _, name = operation.partition(":")
    return registry.get(Loss, name) if kind == "loss" else None


@cache
def _registry() -> Registry:
    """A new registry, once, after all plug-ins are imported."""
    for plugin in entry_points(group="losslang"):
        plugin.load()
    return Registry()


def current_registry() -> Registry:
    """The registry of this process: built-in primitives, those of plug-ins, and those decorated so far.

    Plug-ins are entry points in the group `losslang`. Raises ValueError for a primitive that it refuses.
    """
    registry = _registry()
    # Losses last: their defaults name activations and reductions.
    for primitive in sorted(DEFINED[registry.collected :], key=lambda p: isinstance(p, Loss)):
        try:
            registry.add(primitive)
        except ValueError:
            # Refused once, not in every later check.
            DEFINED.remove(primitive)
            raise
        registry.collected += 1
    return registry
