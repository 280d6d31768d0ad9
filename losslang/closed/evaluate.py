"""Polynomials on the tensors of a block, with as few operations as Horner's rule needs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from losslang.closed.algebra import Atom, Monomial, Poly
from losslang.functions import near
from losslang.lazy import torch
from losslang.operations.regions import region_sums
from losslang.vocabulary import Tensor

Maker = Callable[["Values"], Tensor]
KEPT = 2**23
"""Bytes of a buffer that is kept from call to call: those of a block, and room for doubles."""


class Scratch(threading.local):
    """The tensors that blocks are computed in, the same ones for every block; each thread has its own.

    Allocated anew they would cost more than what is computed in them: the allocator hands memory of
    this size back to the system, and gets it again page by page. That of a GPU keeps it by itself.
    """

    def __init__(self) -> None:
        self.buffers: list[Tensor] = []
        self.lent = 0

    def __enter__(self) -> Scratch:
        return self

    def like(self, tensor: Tensor) -> Tensor:
        """A tensor of this shape and type, with anything in it, until the block is done."""
        if not near(tensor):
            return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
        if self.lent == len(self.buffers):
            self.buffers.append(_empty(tensor))
        found = self.buffers[self.lent]
        if found.shape != tensor.shape or found.dtype != tensor.dtype:
            found = self.buffers[self.lent] = _again(found, tensor)
        self.lent += 1
        return found

    def back(self, tensor: Any) -> None:
        """Takes back the tensor that was lent last, so that the next one is the same memory."""
        if self.lent and self.buffers[self.lent - 1] is tensor:
            self.lent -= 1

    def __exit__(self, *_: object) -> None:
        """The block is done with all of them; what an uncommonly large one took is given back."""
        self.lent = 0
        self.buffers = [buffer for buffer in self.buffers if buffer.untyped_storage().nbytes() <= KEPT]


def _again(buffer: Tensor, like: Tensor) -> Tensor:
    """Another tensor in the memory of a buffer, if it has room for it."""
    memory = buffer.untyped_storage()
    if memory.nbytes() < like.numel() * like.element_size():
        return _empty(like)
    with torch.inference_mode(False):
        empty: Any = torch.empty(0, dtype=like.dtype, device="cpu")
        return empty.set_(memory, 0, like.shape)


def _empty(like: Tensor) -> Tensor:
    # What is made in inference mode could not be written to outside of it.
    with torch.inference_mode(False):
        return torch.empty(like.shape, dtype=like.dtype, device="cpu")


class Values:
    """The tensors of one block by name, each made once. `kept`: which places count; None if all do."""

    def __init__(
        self, makers: Mapping[str, Maker], scratch: Scratch, kept: Tensor | None = None, **given: Tensor
    ):
        self.makers = makers
        self.scratch = scratch
        self.kept = kept
        self.known = given

    def done(self, tensor: Any) -> None:
        """Gives a tensor back that nothing reads again: none that has a name."""
        if all(tensor is not known for known in self.known.values()):
            self.scratch.back(tensor)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.known:
            self.known[name] = self.makers[name](self)
        return self.known[name]


@dataclass(frozen=True)
class Factor:
    """A tensor by name, or the power of a sum."""

    name: str
    base: Horner | None = None
    exponent: float = 1.0

    def of(self, values: Values) -> Tensor:
        if self.base is None:
            return values[self.name]
        if self.name not in values.known:
            inner: Any = self.base.of(values)
            values.known[self.name] = inner if self.exponent == 1 else inner.pow_(self.exponent)
        return values.known[self.name]


@dataclass(frozen=True)
class Horner:
    """factor * (inside) + the other terms, each a product of factors with the number of its place."""

    factor: Factor | None
    inside: Horner | None
    outside: Horner | None
    terms: tuple[tuple[int, tuple[Factor, ...]], ...]
    constant: int | None
    numbers: tuple[float, ...] = ()

    def of(self, values: Values, numbers: Sequence[Any] = (), out: Tensor | None = None) -> Any:
        """The sum, in `out` or a tensor of its own; a number if it reads no tensor.

        `numbers` are those of the terms, or tensors that broadcast: a weight per region.
        """
        numbers = numbers or self.numbers
        total: Any = None
        is_own = False
        if self.factor is not None and self.inside is not None:
            tensor, inner = self.factor.of(values), self.inside.of(values, numbers, out)
            total = inner.mul_(tensor) if self.inside.reads else _times(values, tensor, inner, out)
            is_own = True
        constant = None if self.constant is None else numbers[self.constant]
        for place, factors in self.terms:
            tensors, number = [factor.of(values) for factor in factors], numbers[place]
            if total is None and isinstance(constant, float):
                # Added to the first term as it is made.
                total = torch.full((), constant, dtype=tensors[0].dtype, device=tensors[0].device)
                constant = None
            if total is None and len(tensors) == 1 and _is_one(number):
                total = tensors[0]
                continue
            to = total if is_own else out
            total, is_own = _plus(values, total, tensors, number, to), True
        if total is not None and not is_own:
            total = _times(values, total, 1.0, out)
        if constant is not None:
            total = constant if total is None else total.add_(constant)
        if self.outside is not None:
            other = self.outside.of(values, numbers)
            total = other if total is None else total.add_(other)
        return 0.0 if total is None else total

    def value(self, values: Values) -> Tensor:
        """The sum, to be read only: a single tensor is itself."""
        match self.terms:
            case ((_, (only,)),) if self.factor is None and self.constant is None and self.numbers == (1.0,):
                return only.of(values)
            case _:
                return self.of(values)

    @property
    def reads(self) -> bool:
        """Whether it reads a tensor."""
        return self.factor is not None or bool(self.terms) or self.outside is not None


def horner(poly: Poly) -> Horner:
    """A polynomial with its own numbers."""
    monomials = [monomial for monomial, _ in poly.terms]
    return arranged(monomials, tuple(number for _, number in poly.terms))


def arranged(monomials: Sequence[Monomial], numbers: tuple[float, ...] = ()) -> Horner:
    """Products, to be added up with numbers that are given by place."""
    return _arranged(dict(zip(monomials, range(len(monomials)), strict=True)), numbers)


def _arranged(places: Mapping[Monomial, int], numbers: tuple[float, ...]) -> Horner:
    factor = _shared(places)
    if factor is None:
        # What is largest comes first, and the logarithm that it nearly cancels against comes last.
        products = [(place, tuple(map(_factor, m))) for m, place in places.items() if m]
        products.sort(key=lambda product: any(f.name == "tail" for f in product[1]))
        return Horner(None, None, None, tuple(products), places.get(()), numbers)
    inside = {_without(m, factor): place for m, place in places.items() if factor in m}
    rest = {m: place for m, place in places.items() if factor not in m}
    inner = _arranged(inside, ())
    if not rest or _shared(rest) is not None:
        return Horner(_factor(factor), inner, _arranged(rest, ()) if rest else None, (), None, numbers)
    flat = _arranged(rest, ())
    return Horner(_factor(factor), inner, None, flat.terms, flat.constant, numbers)


def _factor(atom: Atom) -> Factor:
    if atom.base is None:
        return Factor(atom.name)
    base = Atom("bracket", atom.base)
    if atom.exponent == 1:
        return Factor(str(atom), horner(atom.base))
    # A power takes its base from the block, where a derivative reads it too.
    return Factor(str(atom), Horner(None, None, None, ((0, (_factor(base),)),), None, (1.0,)), atom.exponent)


def _plus(
    values: Values, total: Tensor | None, factors: Sequence[Tensor], number: Any, out: Tensor | None
) -> Tensor:
    """A product added to a total, in `out`, which may be the total, or in a tensor of its own."""
    first, *others = factors
    if total is not None and (len(others) + isinstance(number, torch.Tensor)) < 2:
        place = values.scratch.like(first) if out is None else out
        if not others and not isinstance(number, torch.Tensor):
            return torch.add(total, first, alpha=number, out=place)
        if not others:
            return torch.addcmul(total, first, number, out=place)
        return torch.addcmul(total, first, others[0], value=number, out=place)  # pyright: ignore
    if others and _is_one(number):
        number, *others = others
    product = _times(values, first, number, out if total is None else None)
    for other in others:
        product.mul_(other)
    return product if total is None else torch.add(total, product, out=product if out is None else out)


def _is_one(number: Any) -> bool:
    return isinstance(number, float) and number == 1.0


def _times(values: Values, tensor: Tensor, number: Any, out: Tensor | None) -> Tensor:
    return torch.mul(tensor, number, out=values.scratch.like(tensor) if out is None else out)


def _shared(places: Mapping[Monomial, int]) -> Atom | None:
    """The factor of the most terms, if it is one of several."""
    counts = Counter(atom for monomial in places for atom in set(monomial))
    if not counts:
        return None
    factor, number = max(counts.items(), key=lambda item: (item[1], str(item[0])))
    return factor if number > 1 else None


def _without(monomial: Monomial, factor: Atom) -> Monomial:
    left = list(monomial)
    left.remove(factor)
    return tuple(left)


class Weighed:
    """Σ weight * polynomial: the same products for every block, with numbers that the weights decide."""

    def __init__(self, polys: Sequence[Poly]):
        monomials = list(dict.fromkeys(monomial for poly in polys for monomial, _ in poly.terms))
        self.form = arranged(monomials)
        place = {monomial: i for i, monomial in enumerate(monomials)}
        self.shares = [
            (place[monomial], index, number)
            for index, poly in enumerate(polys)
            for monomial, number in poly.terms
        ]
        self.length = len(monomials)

    def of(self, values: Values, weights: Sequence[Any], out: Tensor | None = None) -> Any:
        """The sum, in `out` or a tensor of its own; a number if it reads no tensor."""
        numbers: list[Any] = [0.0] * self.length
        for place, index, number in self.shares:
            numbers[place] = numbers[place] + weights[index] * number
        return self.form.of(values, numbers, out) if numbers else 0.0


def summed(values: Tensor, keep: int, batch: bool) -> Tensor:
    """The sum over a region, never the tensor of a block itself: the next block computes in it."""
    ((total,), _) = region_sums(None, keep, batch, [values])
    return total.clone() if total is values else total


def everywhere(value: Any, like: Tensor, real: Tensor) -> Tensor:
    """A tensor of the shape of `like`, also of a number."""
    if isinstance(value, torch.Tensor):
        return value.expand(like.shape)
    return torch.full((), value, dtype=real.dtype, device=real.device).expand(like.shape)


def along(weight: Tensor, rank: int) -> Any:
    """A number, or a weight per sample and class along the first axes of a tensor of that rank.

    A number that is not near stays where it is.
    """
    if weight.numel() == 1:
        return weight.item() if near(weight) else weight.reshape(())
    return weight.reshape(*weight.shape, *[1] * (rank - weight.ndim))
