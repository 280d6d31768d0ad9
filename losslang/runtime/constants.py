"""The values of `const.name`: tensors, numbers, networks, and lists and mappings of them.

Trained values are registered in the module, so that optimizers find them and checkpoints save them: a
Parameter, and a network with a parameter that requires a gradient. Other tensors and frozen networks move
with the module but are not saved. They are no buffers either: loaders that build a model on the meta device
fill every buffer that no file holds with uninitialized memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes.inputs import missing_input
from losslang.meaning.meaning import Input
from losslang.plan.operations.call import as_tensor
from losslang.plan.plan import Plan
from losslang.syntax.tree import Key
from losslang.tensors.torch_private import tree_flatten, tree_unflatten


class Registered(NamedTuple):
    """A value that is registered in the module under this name."""

    name: str


class Constants:
    """The values of `compile(const=...)` by name, each as a flat list of leaves and its pytree structure."""

    def __init__(self, module: nn.Module, given: Mapping[str, Any]):
        self.leaves: dict[str, list[Any]] = {}
        self.shapes: dict[str, Any] = {}
        for name, value in given.items():
            # What is trained stays itself: it is registered, or belongs to somebody who steps it.
            is_trained = isinstance(value, nn.Parameter) or getattr(value, "requires_grad", False)
            value = as_tensor(value) if hasattr(value, "__array__") and not is_trained else value
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
        """Returns the values that the program reads, on the device of the module."""
        # Read from the module: `load_state_dict(assign=True)` replaces registered values.
        return self._values(module) if self.registers else self.values

    def _values(self, module: nn.Module) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, leaves in self.leaves.items():
            values = [getattr(module, v.name) if isinstance(v, Registered) else v for v in leaves]
            shape = self.shapes.get(name)
            found[name] = values[0] if shape is None else tree_unflatten(values, shape)
        return found

    def move(self, module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        """Applies `change` (of `Module._apply`) to the values that are not registered."""
        for leaves in self.leaves.values():
            for place, leaf in enumerate(leaves):
                if isinstance(leaf, nn.Module):
                    leaf._apply(lambda tensor: moved(tensor, change(tensor)))  # pyright: ignore
                elif isinstance(leaf, Tensor):
                    leaves[place] = moved(leaf, change(leaf))
        # In place: calls pass this very mapping.
        self.values.update(self._values(module))

    @property
    def frozen(self) -> Iterator[tuple[str, nn.Module]]:
        """Yields the frozen networks, with the names that they would have in the module."""
        for name, leaves in self.leaves.items():
            for place, leaf in enumerate(leaves):
                if isinstance(leaf, nn.Module):
                    yield (f"const_{name}_{place}" if name in self.shapes else f"const_{name}"), leaf


def refuse_missing(plan: Plan, given: Mapping[str, Any]) -> None:
    """Raises LossError with every `const.name` that a plan reads and `compile` is not given."""
    wrong: list[Diagnostic] = []
    for step in plan.inputs:
        path = dict(step.options)["path"]
        if step.site is None or not isinstance(path, Input) or path.root != "const" or not path.steps:
            continue
        key = path.steps[0]
        if isinstance(key, Key) and key.name not in given:
            missing = missing_input(step.site.span, f"const.{key.name}", key.name, tuple(given))
            wrong.append(missing.at(step.site.source))
    if wrong:
        raise LossError(wrong)


def moved(value: Tensor, like: Tensor) -> Tensor:
    """Returns `value` in the type and on the device of `like`, whose own values may be uninitialized."""
    return value if value.is_meta else value.to(like)


def _held(module: nn.Module, name: str, value: Any) -> Any:
    """Registers a trained value in the module under this name; returns any other value as it is."""
    if isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
        return Registered(name)
    # A restored module holds its network already, which may have been frozen since.
    is_held = isinstance(value, nn.Module) and getattr(module, name, None) is value
    if isinstance(value, nn.Module) and (is_held or any(p.requires_grad for p in value.parameters())):
        module.add_module(name, value)
        return Registered(name)
    return value
