"""All the names: what comes with losslang, and what a user or a plug-in adds.

A name is unique among primitives of its kind (`mean` is a reduction and a function); the position
in the program decides the kind. Taking a name twice is an error that names both.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from typing import NamedTuple, TypeVar

from losslang import activations, functions, losses, planned, reductions
from losslang.meaning import Reading
from losslang.primitive import DEFINED, Activation, Function, Loss, Planned, Primitive, Reduction

Kind = TypeVar("Kind", bound=Primitive)
BUILTIN = (activations, functions, losses, planned, reductions)


class Found(NamedTuple):
    """A loss that a name stands for, and the activation that the name carries."""

    loss: Loss
    activation: str | None


class Registry:
    """Primitives by kind and name."""

    def __init__(self, primitives: Iterator[Primitive] | None = None):
        self._by_kind: dict[type[Primitive], dict[str, Primitive]] = {}
        self._aliases: dict[str, Found] = {}
        for primitive in primitives or ():
            self.add(primitive)

    def add(self, primitive: Primitive) -> None:
        """Registers a primitive under its name and its aliases."""
        names = self._by_kind.setdefault(type(primitive), {})
        taken = names.get(primitive.name)
        if taken is None and isinstance(primitive, Loss) and primitive.name in self._aliases:
            taken = self._aliases[primitive.name].loss
        if taken is not None:
            raise ValueError(
                f"the {primitive.kind} `{primitive.name}` of {primitive.function.__module__} is already "
                f"defined in {taken.function.__module__}"
            )
        names[primitive.name] = primitive
        if isinstance(primitive, Loss):
            for alias in primitive.aliases:
                self._alias(primitive, alias)

    def _alias(self, loss: Loss, alias: str) -> None:
        name, _, spelled = alias.partition(" = ")
        carried = spelled.partition("(")[2].rstrip(")") or None
        if name in self._aliases or name in self._by_kind.get(Loss, {}):
            raise ValueError(f"the alias `{name}` of `{loss.name}` is already taken")
        self._aliases[name] = Found(loss, carried)

    def get(self, kind: type[Kind], name: str) -> Kind | None:
        found = self._by_kind.get(kind, {}).get(name)
        return found if isinstance(found, kind) else None

    def loss(self, name: str) -> Found | None:
        """The loss of a name or an alias."""
        direct = self.get(Loss, name)
        return Found(direct, None) if direct is not None else self._aliases.get(name)

    def all(self, kind: type[Kind]) -> tuple[Kind, ...]:
        """The primitives of one kind, in the order of their definition."""
        return tuple(p for p in self._by_kind.get(kind, {}).values() if isinstance(p, kind))

    def names(self, kind: type[Primitive]) -> tuple[str, ...]:
        """The names of one kind, aliases of losses too."""
        own = tuple(self._by_kind.get(kind, {}))
        return own + tuple(self._aliases) if kind is Loss else own

    def kinds_of(self, name: str) -> tuple[str, ...]:
        """Every kind that has this name."""
        kinds = tuple(kind.__name__.lower() for kind, names in self._by_kind.items() if name in names)
        return kinds + (("loss",) if name in self._aliases else ())


@cache
def default_registry() -> Registry:
    """The built-in primitives, those of installed plug-ins (entry points in the group `losslang`)
    and those that the program has decorated before its first use of losslang."""
    for plugin in entry_points(group="losslang"):
        plugin.load()
    return Registry(iter(DEFINED))


def loss_of(reading: Reading, registry: Registry) -> Loss:
    """The loss behind a checked use."""
    found = registry.loss(reading.loss)
    if found is None:
        raise LookupError(f"the loss `{reading.loss}` is not registered here; import what defines it first")
    return found.loss


def current_registry() -> Registry:
    """The default registry, with whatever has been decorated since it was made."""
    registry = default_registry()
    for primitive in DEFINED[_seen(registry) :]:
        registry.add(primitive)
    return registry


def _seen(registry: Registry) -> int:
    return sum(len(registry.all(kind)) for kind in (Loss, Activation, Reduction, Function, Planned))
