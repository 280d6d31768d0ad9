"""Polynomials over the views of a prediction: what most losses are between a prediction and a sum.

    dice      p t,  p,  t                       p = sigmoid(x) or softmax(x), t the target
    bce       s - t x                           s = softplus(x): log p = x - s, log(1 - p) = -s
    focal     q^2 (s - t x),  q = t + p - 2 t p

They are added and multiplied term by term, so that what cancels is gone; a power keeps its base as it
is written, since that is cheaper to compute. Their derivatives are polynomials again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

EXPANDED = 4
"""A product of two sums is multiplied out up to so many terms; a longer one keeps its factors."""


@dataclass(frozen=True)
class Atom:
    """A tensor known by name, or what is raised to a power, or a sum that is kept in brackets."""

    name: str
    base: Poly | None = None
    exponent: float = 1.0

    def __str__(self) -> str:
        if self.base is None:
            return self.name
        return f"({self.base})" if self.exponent == 1 else f"({self.base})^{self.exponent:g}"


Monomial = tuple[Atom, ...]
ONE_HOT = "one_hot"
"""The name of a target that is 0 or 1: its own square."""


@dataclass(frozen=True)
class Poly:
    """A sum of products, each with a number."""

    terms: tuple[tuple[Monomial, float], ...] = ()

    @classmethod
    def of(cls, terms: Iterable[tuple[Monomial, float]]) -> Poly:
        """The sum of terms, equal ones put together."""
        found: dict[Monomial, float] = {}
        for monomial, number in terms:
            key = _ordered(monomial)
            found[key] = found.get(key, 0.0) + number
        kept = [(monomial, number) for monomial, number in found.items() if number]
        return cls(tuple(sorted(kept, key=lambda term: (len(term[0]), str([str(a) for a in term[0]])))))

    @classmethod
    def atom(cls, atom: Atom) -> Poly:
        return cls((((atom,), 1.0),))

    @classmethod
    def number(cls, value: float) -> Poly:
        return cls((((), float(value)),)) if value else cls()

    def __add__(self, other: Poly) -> Poly:
        return Poly.of((*self.terms, *other.terms))

    def __neg__(self) -> Poly:
        return self.times(-1.0)

    def __sub__(self, other: Poly) -> Poly:
        return self + -other

    def __mul__(self, other: Poly) -> Poly:
        if min(len(self.terms), len(other.terms)) > 1 and len(self.terms) * len(other.terms) > EXPANDED:
            return Poly.of([((self.bracket(), other.bracket()), 1.0)])
        return self.expanded(other)

    def expanded(self, other: Poly) -> Poly:
        """The product, multiplied out however long it is: what a change of variables cancels is gone."""
        return Poly.of((a + b, m * n) for a, m in self.terms for b, n in other.terms)

    def times(self, number: float) -> Poly:
        return Poly.of((monomial, number * n) for monomial, n in self.terms)

    def power(self, exponent: float) -> Poly:
        if exponent == 1:
            return self
        return Poly.number(1) if exponent == 0 else Poly.atom(Atom("power", self, exponent))

    def bracket(self) -> Atom:
        """The whole as one factor."""
        match self.terms:
            case (((only,), 1.0),):
                return only
            case _:
                return Atom("bracket", self)

    def derivative(self, of: Callable[[str], Poly]) -> Poly:
        """By the rules of sum, product and power; `of` gives the derivative of a named tensor."""
        found = Poly()
        for monomial, number in self.terms:
            for atom, power in Counter(monomial).items():
                rest = list(monomial)
                rest.remove(atom)
                inner = of(atom.name) if atom.base is None else _of_power(atom, of)
                found += Poly.of([(tuple(rest), number * power)]) * inner
        return found

    def substituted(self, value: Callable[[Atom], Poly]) -> Poly:
        """With something else for the named tensors, in brackets too."""
        found = Poly()
        for monomial, number in self.terms:
            product = Poly.number(number)
            for atom in monomial:
                if atom.base is None:
                    product = product.expanded(value(atom))
                else:
                    inner = Atom(atom.name, atom.base.substituted(value), atom.exponent)
                    product = product * Poly.atom(inner)
            found += product
        return found

    def vanishes(self, zeros: Collection[str]) -> bool:
        """Whether every product has a factor that is 0 where these tensors are."""
        return all(
            any(a.name in zeros if a.base is None else a.base.vanishes(zeros) for a in monomial)
            for monomial, _ in self.terms
        )

    @property
    def names(self) -> frozenset[str]:
        """The tensors that it reads."""
        found = frozenset[str]()
        for monomial, _ in self.terms:
            for atom in monomial:
                found |= frozenset([atom.name]) if atom.base is None else atom.base.names
        return found

    def __str__(self) -> str:
        if not self.terms:
            return "0"
        return " + ".join(
            " ".join([f"{n:g}"] * (n != 1 or not m) + [str(a) for a in m]) for m, n in self.terms
        )


def _of_power(atom: Atom, of: Callable[[str], Poly]) -> Poly:
    assert atom.base is not None
    inner = atom.base.derivative(of)
    if atom.exponent == 1:
        return inner
    return (
        atom.base.power(atom.exponent - 1) if atom.exponent != 2 else Poly.atom(atom.base.bracket())
    ).times(atom.exponent) * inner


def _ordered(monomial: Monomial) -> Monomial:
    names = Counter(monomial)
    for atom in names:
        if atom.name == ONE_HOT:
            names[atom] = 1
    return tuple(sorted(names.elements(), key=str))
