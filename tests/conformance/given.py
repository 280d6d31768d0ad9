"""Tensors of a case, which a translation may index, reshape and cast, and nothing else.

Whatever a translation computes with them, or reads out of them, would be a part of the loss that the program does
not say: it raises Outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor


class Outside(AssertionError):  # noqa: N818  # it says where a part of the loss is
    """A part of a loss is computed outside of its program."""


class Extent(int):
    """A size of a tensor. A program that holds it is right for batches of that size alone."""

    def _refuse(self, *_: Any) -> NoReturn:
        raise Outside("a size of a tensor in a program: it is right for batches of that size alone")

    __str__ = __repr__ = __format__ = __truediv__ = __rtruediv__ = __float__ = _refuse  # type: ignore[assignment]

    def __mul__(self, other: int) -> Extent:
        return Extent(int(self) * other)

    def __add__(self, other: int) -> Extent:
        return Extent(int(self) + other)

    def __sub__(self, other: int) -> Extent:
        return Extent(int(self) - other)

    def __floordiv__(self, other: int) -> Extent:
        return Extent(int(self) // other)

    __rmul__, __radd__ = __mul__, __add__


SIZES = {Tensor.shape.__get__, Tensor.size, Tensor.numel}
FACTS = {Tensor.ndim.__get__, Tensor.dtype.__get__, Tensor.dim, Tensor.is_floating_point}
VIEWS = {
    "__getitem__", "reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "transpose", "permute",
    "movedim", "expand", "expand_as", "unbind", "split", "narrow", "select", "contiguous",
}  # fmt: skip
CASTS = {"to", "bool", "long", "int", "float", "double"}


class Given(Tensor):
    """A tensor of a case, or a view of one."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = _Checked(func, args, kwargs or {})
        result.refuse_arithmetic()
        found = super().__torch_function__(func, types, args, kwargs or {})
        return result.of(found)


class _Checked:
    """One call of torch on a tensor of a case."""

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]):
        self.func, self.args, self.kwargs = func, args, kwargs
        self.name = getattr(func, "__name__", str(func))

    def refuse_arithmetic(self) -> None:
        if self.func in SIZES | FACTS:
            return
        if self.name not in VIEWS | CASTS:
            raise Outside(f"`{self.name}` of a tensor of the case: the program has to say it")
        others = [value for value in leaves([self.args, self.kwargs]) if isinstance(value, Tensor)]
        if not all(isinstance(value, Given) for value in others):
            raise Outside(f"`{self.name}` by a tensor that is none of the case's")

    def of(self, found: Any) -> Any:
        """What the call gives: sizes are Extents, and a cast has changed no number."""
        if self.func in SIZES:
            return tuple(map(Extent, found)) if isinstance(found, torch.Size) else Extent(found)
        if self.name in CASTS:
            _changes_nothing(plain(self.args[0]), plain(found))
        return found


def _changes_nothing(value: Tensor, cast: Tensor) -> None:
    """Raises Outside for a cast that rounds: it would be a threshold, or a label that is made of a score."""
    whole = not cast.is_floating_point()
    if whole and not torch.equal(cast.to(value.dtype), value):
        raise Outside(f"a cast to {cast.dtype} that changes numbers")


def leaves(value: Any) -> Iterator[Any]:
    """What lists, tuples and mappings hold."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same lists and mappings with every tensor changed."""
    match value:
        case Tensor():
            return change(value)
        case Mapping():
            return {name: mapped(item, change) for name, item in value.items()}
        case list() | tuple():
            return [mapped(item, change) for item in value]
        case _:
            return value


def given(value: Any) -> Any:
    """Tensors that may be indexed and reshaped, and nothing else."""
    return mapped(value, lambda tensor: tensor.as_subclass(Given))


def plain(value: Any) -> Any:
    """Tensors that anything may be computed with. Raises Outside for any that is not of the case."""

    def freed(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, Given):
            raise Outside("a tensor that is none of the case's: the program has to say how it is made")
        with torch._C.DisableTorchFunctionSubclass():
            return tensor.as_subclass(Tensor)

    return mapped(value, freed)


def another(value: Any, *, twice: bool) -> Any:
    """The tensors of another batch: other numbers of the same range, and, if `twice`, twice as many samples."""
    return mapped(value, lambda tensor: _another(tensor, 1 + twice))


def _another(tensor: Tensor, times: int) -> Tensor:
    made = torch.Generator().manual_seed(tensor.numel())
    size = (times * len(tensor), *tensor.shape[1:]) if tensor.ndim else ()
    low, high = _range(tensor)
    if tensor.is_floating_point() and not torch.equal(tensor, tensor.round()):
        return low + (high - low) * torch.rand(size, generator=made, dtype=tensor.dtype)
    return torch.randint(int(low), int(high) + 1, size, generator=made).to(tensor.dtype)


def _range(tensor: Tensor) -> tuple[float, float]:
    """The smallest and the largest number; 0 and 1 where there is none."""
    numbers = tensor.double()[tensor.double().isfinite()]
    return (float(numbers.min()), float(numbers.max())) if numbers.numel() else (0.0, 1.0)
