"""Kinds of calls: signatures that differ in sizes alone, which are equal at the same places, run the same way.

Images of ever new sizes would have everything built anew. What is found out of one call, as that its tensors
fit together, holds for all of its kind; so it is found out on small tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from math import isqrt
from typing import Any, cast

from losslang.plan.plan import Plan
from losslang.tensors.lazy import torch

Shape = tuple[int, ...]
SMALL, LARGE = 12, 4096
"""Sizes up to the first are what they are: one, none, the corners of a box.

Larger ones that a plan names, as the number of its weights, stay too, up to the second.
"""


def numbers_of(plan: Plan) -> frozenset[int]:
    """The numbers that the options of a plan name, and how long its lists are."""
    return frozenset(n for step in plan.steps for _, value in step.options for n in _numbers(value))


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, (tuple, list)):
        items = cast("Sequence[Any]", value)
        yield from (n for item in (len(items), *items) for n in _numbers(item))
    elif isinstance(value, int) and SMALL < abs(value) <= LARGE:
        yield abs(value)


class Model:
    """The shapes of a call in small: a prime for each size, the same one for the same size.

    A product of primes says of which sizes it is made, so that what fits in small fits, in a reshape too.
    """

    def __init__(self, shapes: Iterable[Shape], numbers: frozenset[int]):
        found = dict.fromkeys(size for shape in shapes for size in shape)
        large = [size for size in found if size > SMALL and size not in numbers]
        primes = _primes(numbers)
        # Beyond so many sizes, which no call of a few tensors has, each is as large as in the call.
        small = primes if len(large) <= len(primes) else large
        self.sizes = dict(zip(small, large, strict=False))
        """The size behind each prime."""
        self.small = {size: size for size in found} | dict(zip(large, small, strict=False))

    def shape(self, shape: Shape) -> Shape:
        """A shape in small."""
        return tuple([self.small[size] for size in shape])

    def shape_behind(self, small: Shape) -> Shape:
        """The shape of the call that a small one stands for."""
        return tuple(map(self._size_behind, small))

    def _size_behind(self, small: int) -> int:
        found = 1
        for prime, size in self.sizes.items():
            while small and small % prime == 0:
                small, found = small // prime, found * size
        return found * small

    def signature(self, signature: Sequence[Any]) -> tuple[Any, ...]:
        """A signature with its shapes in small."""
        return tuple([self.shape(part) if isinstance(part, torch.Size) else part for part in signature])

    def inputs(self, inputs: Sequence[Any]) -> list[Any]:
        """The inputs in small: tensors of zeros for tensors, all else as it is."""
        return [
            torch.zeros(self.shape(value.shape), dtype=value.dtype, device="meta" if value.is_meta else "cpu")
            if isinstance(value, torch.Tensor)
            else value
            for value in inputs
        ]


@lru_cache
def _primes(numbers: frozenset[int]) -> tuple[int, ...]:
    """Primes above SMALL, without those in a product with one of the numbers."""
    found = [n for n in range(2, 512) if all(n % other for other in range(2, isqrt(n) + 1))]
    return tuple(n for n in found if n > SMALL and all(number % n for number in numbers))
