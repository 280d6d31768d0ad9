"""What `const.name` reads: tensors, numbers, networks, and lists and mappings of them.

What is trained is part of the module: a Parameter and a network of which a parameter asks for a gradient are
registered, so that optimizers find them and checkpoints hold them. Other tensors and frozen networks stand
beside the module: they move with it and are saved by whoever gave them. They are no buffers either, since
loaders that build a model without data fill every buffer that no file holds with whatever the memory holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from losslang.plan.operations.call import as_tensor
from losslang.tensors.torch_private import tree_flatten, tree_unflatten


class Registered(NamedTuple):
    """Stands for a value that the module holds under this name."""

    name: str


class Constants:
    """The values of `compile(const=...)` by name, each as its leaves and how they belong together."""

    def __init__(self, module: nn.Module, given: Mapping[str, Any]):
        self.leaves: dict[str, list[Any]] = {}
        self.shapes: dict[str, Any] = {}
        for name, value in given.items():
            value = as_tensor(value) if hasattr(value, "__array__") else value
            leaves, shape = tree_flatten(value)
            whole = len(leaves) == 1 and leaves[0] is value
            if not any(isinstance(leaf, (Tensor, nn.Module)) for leaf in leaves):
                leaves, whole = [value], True
            names = [f"const_{name}"] if whole else [f"const_{name}_{i}" for i in range(len(leaves))]
            self.leaves[name] = [_held(module, *pair) for pair in zip(names, leaves, strict=True)]
            if not whole:
                self.shapes[name] = shape
        every = [leaf for leaves in self.leaves.values() for leaf in leaves]
        self.registers = any(isinstance(leaf, Registered) for leaf in every)
        self.values = self._values(module)

    def of(self, module: nn.Module) -> Mapping[str, Any]:
        """What the program reads, each tensor where the module has been moved to."""
        # What is registered may have been replaced, as by `load_state_dict(assign=True)`.
        return self._values(module) if self.registers else self.values

    def _values(self, module: nn.Module) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, leaves in self.leaves.items():
            values = [getattr(module, v.name) if isinstance(v, Registered) else v for v in leaves]
            shape = self.shapes.get(name)
            found[name] = values[0] if shape is None else tree_unflatten(values, shape)
        return found

    def move(self, module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        """Moves what is not registered, as `change` moves the tensors of a module."""
        for leaves in self.leaves.values():
            for place, leaf in enumerate(leaves):
                if isinstance(leaf, nn.Module):
                    leaf._apply(lambda tensor: moved(tensor, change(tensor)))  # pyright: ignore
                elif isinstance(leaf, Tensor):
                    leaves[place] = moved(leaf, change(leaf))
        # In place: calls hand over this very mapping.
        self.values.update(self._values(module))

    @property
    def frozen(self) -> Iterator[tuple[str, nn.Module]]:
        """The networks beside the module, by the names that they would have in it."""
        for name, leaves in self.leaves.items():
            for place, leaf in enumerate(leaves):
                if isinstance(leaf, nn.Module):
                    yield (f"const_{name}_{place}" if name in self.shapes else f"const_{name}"), leaf


def moved(value: Tensor, like: Tensor) -> Tensor:
    """`value` in the type and on the device of `like`, which may be new memory without its numbers."""
    return value if value.is_meta else value.to(like)


def _held(module: nn.Module, name: str, value: Any) -> Any:
    """The value, or that it is registered in the module under this name."""
    if isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
        return Registered(name)
    # A network that the module holds already, as a restored one does, may have been frozen since.
    is_held = isinstance(value, nn.Module) and getattr(module, name, None) is value
    if isinstance(value, nn.Module) and (is_held or any(p.requires_grad for p in value.parameters())):
        module.add_module(name, value)
        return Registered(name)
    return value
