"""Turns polynomials into tapes, by Horner's rule: with few operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from operator import add
from typing import Any

from losslang.runtime.closed.algebra import Atom, Monomial, Poly
from losslang.runtime.closed.scratch import Scratch
from losslang.runtime.closed.tape import (
    Maker,
    Multiplier,
    Tape,
    TapeBuilder,
    plus,
    plus_number,
    plus_product,
    raised,
    times,
)
from losslang.tensors.devices import can_read_without_sync
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

Region = tuple[int, bool]
"""How many axes a sum keeps, and whether it also runs over the samples."""
Places = Mapping[Monomial, int]
"""Products of tensors, and which value of the tape is the number of each."""


class Polynomials:
    """Appends polynomials to a tape.

    `spread`: their numbers may be tensors that broadcast, one per region.
    """

    def __init__(self, builder: TapeBuilder, *, spread: bool = False):
        self.builder = builder
        self.spread = spread

    def write(self, poly: Poly) -> int:
        """Appends a polynomial, and returns its value."""
        return self.sum({monomial: self.builder.constant(number) for monomial, number in poly.terms})

    def sum(self, places: Places, total: int | None = None) -> int:
        """Appends total + factor * (...) + other products; the result is a number if no tensor is read."""
        factor = self._shared(places)
        if factor is None:
            return self._added(total, places)
        inside = self.sum({_without(m, factor): place for m, place in places.items() if factor in m})
        rest = {m: place for m, place in places.items() if factor not in m}
        if total is None and self._first_is_free(rest):
            # The first term needs no operation of its own: the product is added to it by addcmul.
            total, rest = self._added(None, rest), {}
        total = self._product(total, factor, inside)
        return self.sum(rest, total) if rest else total

    def _first_is_free(self, places: Places) -> bool:
        """Returns whether a sum begins with a number or with a plain tensor, which need no operation."""
        if self._shared(places) is not None:
            return False
        return (() in places and not self.spread) or any(self._is_as_it_is(m, p) for m, p in places.items())

    def _is_as_it_is(self, monomial: Monomial, place: int) -> bool:
        return len(monomial) == 1 and self.builder.constants.get(place) == 1.0

    def _product(self, total: int | None, atom: Atom, inside: int) -> int:
        """Appends total + tensor * bracket."""
        write = self.builder.write
        if not self.builder.is_tensor(inside):
            return self._plus(total, [self._factor(atom)], inside)
        if atom.name in self.builder.multipliers:
            product = self.builder.multipliers[atom.name](self.builder, inside)
            return product if total is None else write(plus, total, product, self.builder.constant(1.0))
        if total is None:
            return write(times, self._factor(atom), inside)
        return write(plus_product, total, self._factor(atom), inside, self.builder.constant(1.0))

    def _added(self, total: int | None, places: Places) -> int:
        """Appends total + products, of which no two have a factor in common."""
        constant = places.get(())
        # The largest term comes first, and the logarithm that it nearly cancels with comes last.
        products = sorted(
            (m for m in places if m),
            key=lambda m: (any(atom.name == "tail" for atom in m), not self._is_as_it_is(m, places[m])),
        )
        if total is None and not self.spread:
            # The first product is added to the constant by addcmul.
            total, constant = constant, None
        for monomial in products:
            total = self._plus(total, list(map(self._factor, monomial)), places[monomial])
        if constant is None:
            assert total is not None
            return total
        return constant if total is None else self.builder.write(plus_number, total, constant)

    def _plus(self, total: int | None, factors: list[int], number: int) -> int:
        write, (first, *others) = self.builder.write, factors
        if total is not None and not others:
            return write(plus, total, first, number)
        if total is not None:
            # All but the last factor are multiplied first; addcmul does the last one, the number and the sum.
            for other in others[:-1]:
                first = write(times, first, other)
            if not self.spread:
                return write(plus_product, total, first, others[-1], number)
            weighed = write(times, first, number)
            return write(plus_product, total, weighed, others[-1], self.builder.constant(1.0))
        product = first if self.builder.constants.get(number) == 1.0 else write(times, first, number)
        for other in others:
            product = write(times, product, other)
        return product

    def _shared(self, places: Places) -> Atom | None:
        """Returns the factor that most products share; among equals one that need not be computed itself."""
        counts = Counter(atom for monomial in places for atom in set(monomial))
        ranks = {
            atom: (number, atom.name in self.builder.multipliers, str(atom))
            for atom, number in counts.items()
        }
        factor = max(ranks, key=ranks.__getitem__, default=None)
        return factor if factor is not None and counts[factor] > 1 else None

    def _factor(self, atom: Atom) -> int:
        known, name = self.builder.known, str(atom)
        if atom.base is None:
            return self.builder[atom.name]
        if name not in known:
            known[name] = self._power(atom.base, atom.exponent)
        return known[name]

    def _power(self, base: Poly, exponent: float) -> int:
        if exponent == 1:
            return self.write(base)
        # The base is a named value, so that a derivative that reads it too shares it.
        inner = self._factor(Atom("bracket", base))
        return self.builder.write(raised, inner, self.builder.constant(exponent))


class Weighed:
    """Computes Σ cotangent * polynomial: the same products for every block, with numbers from the cotangents.

    `into` names a given tensor that the sum is written to, in place of a buffer.
    """

    def __init__(
        self,
        polys: Sequence[Poly],
        makers: Mapping[str, Maker],
        given: Sequence[str],
        multipliers: Mapping[str, Multiplier] | None = None,
        into: str = "",
    ):
        monomials = list(dict.fromkeys(monomial for poly in polys for monomial, _ in poly.terms))
        self.given = given
        found = [dict(poly.terms) for poly in polys]
        self.shares = [
            [(index, own[monomial]) for index, own in enumerate(found) if monomial in own]
            for monomial in monomials
        ]
        self.plain, self.spread = (
            _tape(
                monomials, TapeBuilder(makers, given, len(monomials), multipliers), spread=spread, into=into
            )
            for spread in (False, True)
        )

    def of(
        self, given: Sequence[Tensor], weights: Sequence[Any], scratch: Scratch, out: Tensor | None = None
    ) -> Any:
        """Returns the sum, to be read only: in `out`, if it is a tensor that was computed here."""
        numbers = [mixed(weights, own) for own in self.shares]
        tape = self.spread if any(isinstance(n, torch.Tensor) for n in numbers) else self.plain
        return result(tape, given, scratch, numbers, out)


def _tape(monomials: Sequence[Monomial], builder: TapeBuilder, *, spread: bool, into: str) -> Tape:
    places = {monomial: builder.number(i) for i, monomial in enumerate(monomials)}
    found = Polynomials(builder, spread=spread).sum(places) if places else builder.constant(0.0)
    return builder.done(found, into=into)


def mixed(values: Sequence[Any], shares: Sequence[tuple[int, float]]) -> Any:
    """Returns Σ number * value, of numbers or tensors."""
    return reduce(add, [values[i] if number == 1.0 else values[i] * number for i, number in shares])


def result(
    tape: Tape,
    given: Sequence[Tensor],
    scratch: Scratch,
    numbers: Sequence[Any] = (),
    out: Tensor | None = None,
) -> Any:
    """Runs a tape with one result; writes it to `out`, else to a scratch buffer that the next call reuses."""
    first = [] if out is None or not tape.buffers else [out]
    buffers = [*first, *(scratch.like(given[0]) for _ in range(tape.buffers - len(first)))]
    (found,) = tape.run(given, buffers, numbers)
    return found


def polynomial(poly: Poly, makers: Mapping[str, Maker], given: Sequence[str]) -> Tape:
    """Returns the tape of one polynomial."""
    builder = TapeBuilder(makers, given)
    return builder.done(Polynomials(builder).write(poly))


def summing(region: Region, rank: int) -> Callable[[Tensor], Tensor]:
    """Returns the function that sums a tensor of a block over a region."""
    keep, batch = region
    space = tuple(range(keep, rank))
    return partial(_summed, (0, *space) if batch else space, batch)


def _summed(dims: tuple[int, ...], batch: bool, values: Tensor) -> Tensor:
    if not dims:
        # A copy: the next block overwrites the tensor.
        return values.clone()
    return values.sum(dims, keepdim=True).flatten(1) if batch else values.sum(dims)


def everywhere(value: Any, like: Tensor, real: Tensor) -> Tensor:
    """Expands a tensor or a number to the shape of `like`."""
    if isinstance(value, torch.Tensor):
        return value.expand(like.shape)
    return torch.full((), value, dtype=real.dtype, device=real.device).expand(like.shape)


def along(weight: Tensor, rank: int) -> Any:
    """Returns a cotangent as a number, or per sample and class along the first axes of a tensor of that rank.

    A number on a GPU stays there: to read it would wait.
    """
    if weight.numel() == 1:
        return weight.item() if can_read_without_sync(weight) else weight.reshape(())
    return weight.reshape(*weight.shape, *[1] * (rank - weight.ndim))


def _without(monomial: Monomial, factor: Atom) -> Monomial:
    left = list(monomial)
    left.remove(factor)
    return tuple(left)
