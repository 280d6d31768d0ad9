"""Tensors of a case, which a translation may index, reshape and cast, and nothing else.

Whatever a translation computes with them, or reads out of them, would be a part of the loss that the program does
not say: it raises OutsideProgram.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor


class OutsideProgram(AssertionError):  # noqa: N818  # it says where a part of the loss is
    """A translation computes a part of the loss outside of its program."""


class Size(int):
    """A size of a tensor. A program that holds it is right for batches of that size alone.

    Integer arithmetic on a Size gives a Size.
    """

    def _refuse(self, *_: Any) -> NoReturn:
        raise OutsideProgram("a size of a tensor in a program: it is right for batches of that size alone")

    __str__ = __repr__ = __format__ = __truediv__ = __rtruediv__ = __float__ = _refuse  # type: ignore[assignment]


def _size_operation(name: str) -> Callable[..., Any]:
    """An operation of int, whose result is a Size."""
    operation = getattr(int, name)

    def operate(*numbers: int) -> Any:
        result = operation(*numbers)
        return Size(result) if type(result) is int else result

    return operate


for _name in ("add", "sub", "mul", "floordiv", "mod", "pow"):
    setattr(Size, f"__{_name}__", _size_operation(f"__{_name}__"))
    setattr(Size, f"__r{_name}__", _size_operation(f"__r{_name}__"))
Size.__neg__ = _size_operation("__neg__")  # type: ignore[method-assign]


SIZES = {Tensor.shape.__get__, Tensor.size, Tensor.numel}
FACTS = {Tensor.ndim.__get__, Tensor.dtype.__get__, Tensor.dim, Tensor.is_floating_point}
VIEWS = {
    "__getitem__", "reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "transpose", "permute",
    "movedim", "expand", "expand_as", "unbind", "split", "narrow", "select", "contiguous",
}  # fmt: skip
CASTS = {"to", "bool", "long", "int", "float", "double"}


class CaseTensor(Tensor):
    """A tensor of a case, or a view of one."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs what indexes, reshapes or casts; raises OutsideProgram for everything else."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        if func not in SIZES | FACTS:
            _check_allowed(name, [args, kwargs])
        result = super().__torch_function__(func, types, args, kwargs)
        if func in SIZES:
            return tuple(map(Size, result)) if isinstance(result, torch.Size) else Size(result)
        if name in CASTS:
            _check_cast(plain_tensors(args[0]), plain_tensors(result))
        return result


def _check_allowed(name: str, arguments: Any) -> None:
    if name not in VIEWS | CASTS:
        raise OutsideProgram(f"`{name}` of a tensor of the case: the program has to say it")
    tensors = [value for value in leaves(arguments) if isinstance(value, Tensor)]
    if not all(isinstance(value, CaseTensor) for value in tensors):
        raise OutsideProgram(f"`{name}` by a tensor that is none of the case's")


def _check_cast(value: Tensor, cast: Tensor) -> None:
    """Raises OutsideProgram for a cast that rounds: it would be a threshold, or a label made of a score."""
    if not cast.is_floating_point() and not torch.equal(cast.to(value.dtype), value):
        raise OutsideProgram(f"a cast to {cast.dtype} that changes numbers")


def leaves(value: Any) -> Iterator[Any]:
    """What lists, tuples and mappings hold."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same lists and mappings with every tensor changed."""
    match value:
        case Tensor():
            return change(value)
        case Mapping():
            return {name: map_tensors(item, change) for name, item in value.items()}
        case list() | tuple():
            return [map_tensors(item, change) for item in value]
        case _:
            return value


def case_tensors(value: Any) -> Any:
    """Tensors that may be indexed and reshaped, and nothing else."""
    return map_tensors(value, lambda tensor: tensor.as_subclass(CaseTensor))


def plain_tensors(value: Any) -> Any:
    """Tensors that anything may be computed with. Raises OutsideProgram for any that is not of the case."""

    def freed(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, CaseTensor):
            raise OutsideProgram("a tensor that is none of the case's: the program has to say how it is made")
        with torch._C.DisableTorchFunctionSubclass():
            return tensor.as_subclass(Tensor)

    return map_tensors(value, freed)


def another_batch(value: Any, *, twice: bool) -> Any:
    """The tensors of another batch: other numbers of the same range, and, if `twice`, twice as many samples."""
    return map_tensors(value, lambda tensor: _another(tensor, 1 + twice))


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
