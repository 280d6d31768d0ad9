"""What a benchmark compares: a program, its tensors, and other ways to compute the same number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]
Form = Callable[..., Tensor]
"""`form(pred, target, **others)`: the loss as a function of the tensors of a call."""


@dataclass(frozen=True)
class Call:
    """The tensors of one call of a loss."""

    pred: Any
    target: Any = None
    batch: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    const: Mapping[str, nn.Module] = field(default_factory=dict[str, nn.Module])

    @property
    def trained(self) -> tuple[Tensor, ...]:
        """What gets a gradient: the predictions, and the parameters of modules in `const`."""
        return (*several(self.pred), *(p for module in self.const.values() for p in module.parameters()))

    @property
    def others(self) -> dict[str, Any]:
        """What a hand-written form takes by keyword."""
        return {**self.batch, **self.const}

    def gradient_bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in self.trained)

    def input_bytes(self) -> int:
        """The bytes that any implementation has to read."""
        given = [*several(self.target), *self.batch.values()]
        return self.gradient_bytes() + sum(t.numel() * t.element_size() for t in given)

    def clear(self) -> None:
        for tensor in self.trained:
            tensor.grad = None


def several(value: Any) -> list[Any]:
    """The tensors of an operand, which may be one, a list of them, or none."""
    return value if isinstance(value, list) else [] if value is None else [value]


@dataclass(frozen=True)
class Library:
    """A form out of another package. `build` imports it, and raises ImportError where it is absent."""

    name: str
    build: Callable[[], Form]


@dataclass(frozen=True)
class Work:
    """One row of the benchmark. The first shape is the tiny one of the tests and is not timed."""

    name: str
    program: str
    inputs: Callable[[Shape], Call]
    by_hand: Form
    shapes: tuple[Shape, ...]
    libraries: tuple[Library, ...] = ()
    note: str = ""
    compiled: bool = False
    """Whether torch.compile of the hand-written form is measured beside it, at the largest shape."""
    metric: bool = False
    """Not differentiable: read through `detail`, forward alone."""
    heavy: bool = False
    """Seconds a call and gigabytes: all threads, and not in a quick run."""

    @property
    def tiny(self) -> Shape:
        return self.shapes[0]

    @property
    def timed(self) -> tuple[Shape, ...]:
        return self.shapes[1:]

    @property
    def largest(self) -> Shape:
        return self.shapes[-1]


def prepared(work: Work, shape: Shape, device: str, dtype: torch.dtype = torch.float32) -> Call:
    """The tensors of a work on a device, the same in every process; floats of `dtype`."""
    torch.manual_seed(0)
    call = work.inputs(shape)

    def there(tensor: Any) -> Any:
        if isinstance(tensor, list):
            return [there(each) for each in tensor]
        if not isinstance(tensor, Tensor):
            return tensor
        return tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)

    def trained(tensor: Any) -> Any:
        if isinstance(tensor, list):
            return [trained(each) for each in tensor]
        return tensor.detach().requires_grad_(not work.metric)

    return Call(
        pred=trained(there(call.pred)),
        target=there(call.target),
        batch={name: there(tensor) for name, tensor in call.batch.items()},
        const={name: module.to(device, dtype) for name, module in call.const.items()},
    )
