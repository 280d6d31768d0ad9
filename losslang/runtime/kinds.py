"""Kinds of calls: signatures that differ in sizes alone, which are equal at the same places, run the same way.

Images of ever new sizes would have everything built anew. What is found out of one call, as that its tensors
fit together, holds for all of its kind; so it is found out on small tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from math import isqrt, prod
from typing import Any, cast

from losslang.plan.plan import Plan
from losslang.tensors.lazy import torch

Shape = tuple[int, ...]
SMALL, LARGE = 12, 4096
"""Sizes up to the first are what they are: one, none, the corners of a box.

Larger ones that a plan names, as the number of its weights, stay too, up to the second.
"""
CHEAP, SHARE = 2**18, 16
"""A call has a model in small of at most so many elements, or of one in so many of its own."""


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
    Many sizes take large primes: a call for which that is not cheap keeps its sizes, and `is_small` is False.
    """

    def __init__(self, shapes: Sequence[Shape], numbers: frozenset[int]):
        found = dict.fromkeys(size for shape in shapes for size in shape)
        large = [size for size in found if size > SMALL and size not in numbers]
        primes = _primes(numbers)
        self.small = {size: size for size in found} | dict(zip(large, primes, strict=False))
        bound = max(CHEAP, _elements(shapes) // SHARE)
        self.is_small = len(large) <= len(primes) and _elements(map(self.shape, shapes)) <= bound
        if not self.is_small:
            self.small = {size: size for size in found}
        self.sizes = {self.small[size]: size for size in large}
        """The size behind each prime."""

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
        """The inputs in small: tensors for tensors, in which one zero is every element; all else as it is."""
        return [
            torch.zeros((), dtype=value.dtype, device="meta" if value.is_meta else "cpu").expand(
                self.shape(value.shape)
            )
            if isinstance(value, torch.Tensor)
            else value
            for value in inputs
        ]


def _elements(shapes: Iterable[Shape]) -> int:
    return sum(map(prod, shapes))


@lru_cache
def _primes(numbers: frozenset[int]) -> tuple[int, ...]:
    """Primes above SMALL, without those in a product with one of the numbers."""
    found = [n for n in range(2, 512) if all(n % other for other in range(2, isqrt(n) + 1))]
    return tuple(n for n in found if n > SMALL and all(number % n for number in numbers))
