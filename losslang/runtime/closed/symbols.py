"""Symbols: stand-ins for tensors while the functions of a walk run once, to trace what they sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from losslang.runtime.closed.algebra import ONE_HOT, Atom, Poly

LABEL = "@label"
"""Suffix of the name of a tensor that is read at the class of each place."""


class UntraceableError(Exception):
    """Raised for a walk that computes anything but polynomials."""


class Symbol:
    """A polynomial passed where a function expects a tensor. `ndim` is that of the tensor."""

    def __init__(self, poly: Poly, ndim: int):
        self.poly = poly
        self.ndim = ndim

    def _with(self, other: Any) -> Poly:
        match other:
            case Symbol():
                if other.ndim != self.ndim:
                    raise UntraceableError("a broadcast")
                return other.poly
            case int() | float():
                return Poly.number(other)
            case _:
                raise UntraceableError(f"{type(other).__name__} beside a symbol")

    def __add__(self, other: Any) -> Symbol:
        return Symbol(self.poly + self._with(other), self.ndim)

    __radd__ = __add__

    def __neg__(self) -> Symbol:
        return Symbol(-self.poly, self.ndim)

    def __sub__(self, other: Any) -> Symbol:
        return self + -Symbol(self._with(other), self.ndim)

    def __rsub__(self, other: Any) -> Symbol:
        return -self + other

    def __mul__(self, other: Any) -> Symbol:
        return Symbol(self.poly * self._with(other), self.ndim)

    __rmul__ = __mul__

    def __pow__(self, exponent: Any) -> Symbol:
        # A fractional power has a pole in one of its derivatives, and is NaN for a base a rounding below 0.
        if not isinstance(exponent, (int, float)) or exponent < 0 or exponent != int(exponent):
            raise UntraceableError(f"power {exponent}")
        return Symbol(self.poly.power(exponent), self.ndim)

    def square(self) -> Symbol:
        return Symbol(self.poly * self.poly, self.ndim)

    def gather(self, dim: int, index: Any) -> Symbol:
        """Reads the values at the class of each place."""
        if dim != 1 or not isinstance(index, Labels):
            raise UntraceableError("gather")
        return Symbol(self.poly.substituted(at_label), self.ndim)

    def squeeze(self, dim: int) -> Symbol:
        if dim != 1 or not any(name.endswith(LABEL) for name in self.poly.names):
            raise UntraceableError("squeeze")
        return Symbol(self.poly, self.ndim - 1)

    def __eq__(self, other: object) -> bool:
        raise UntraceableError("a comparison")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise UntraceableError("a decision")


class Labels:
    """Class indices, one per place."""

    def __init__(self, ndim: int):
        self.ndim = ndim

    def unsqueeze(self, dim: int) -> Labels:
        if dim != 1:
            raise UntraceableError("unsqueeze")
        return self


@dataclass(frozen=True)
class Refused:
    """A value that is no polynomial, and why; the walk can still be traced if no sum reads it."""

    why: str


@dataclass(frozen=True)
class Outside:
    """An input of the walk whose role (prediction, target, mask) is not known yet."""

    name: str


@dataclass(frozen=True)
class Mask:
    """A mask: an input of the walk that is True where a place counts."""

    name: str


@dataclass(frozen=True)
class Hidden:
    """Values that are 0 where masked."""

    value: Symbol


def at_label(atom: Atom) -> Poly:
    """Renames a tensor to that at the class of each place; a one-hot target is 1 there."""
    if atom.name == ONE_HOT:
        return Poly.number(1)
    return Poly.atom(Atom(atom.name + LABEL))
