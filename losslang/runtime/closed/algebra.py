"""Polynomials in the views of a prediction: most losses are one, between the prediction and a sum.

    dice      p t,  p,  t                       p = sigmoid(x) or softmax(x), t the target
    bce       s - t x                           s = softplus(x): log p = x - s, log(1 - p) = -s
    focal     q^2 (s - t x),  q = t + p - 2 t p

Sums and products are expanded, so that terms cancel; a power keeps its base as it is written, which is
cheaper to compute. Derivatives of polynomials are polynomials again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

EXPANDED = 4
"""A product of two sums is expanded if it has at most so many terms; a longer one keeps its factors."""


@dataclass(frozen=True)
class Atom:
    """A factor of a product: a named tensor, a power, or a sum in brackets."""

    name: str
    base: Poly | None = None
    exponent: float = 1.0

    def __str__(self) -> str:
        if self.base is None:
            return self.name
        return f"({self.base})" if self.exponent == 1 else f"({self.base})^{self.exponent:g}"


Monomial = tuple[Atom, ...]
ONE_HOT = "one_hot"
"""The name of a target that is 0 or 1, so that its square is itself."""


@dataclass(frozen=True)
class Poly:
    """A polynomial: a sum of products of factors, each with a number."""

    terms: tuple[tuple[Monomial, float], ...] = ()

    @classmethod
    def of(cls, terms: Iterable[tuple[Monomial, float]]) -> Poly:
        """Adds up terms; equal products become one term, and terms of 0 are dropped."""
        found: dict[Monomial, float] = {}
        for monomial, number in terms:
            key = _ordered(monomial)
            found[key] = found.get(key, 0.0) + number
        terms = [(monomial, number) for monomial, number in found.items() if number]
        return cls(tuple(sorted(terms, key=lambda term: (len(term[0]), str([str(a) for a in term[0]])))))

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
        """Returns the product, expanded whatever its length: a change of variables can cancel terms."""
        return Poly.of((a + b, m * n) for a, m in self.terms for b, n in other.terms)

    def times(self, number: float) -> Poly:
        return Poly.of((monomial, number * n) for monomial, n in self.terms)

    def power(self, exponent: float) -> Poly:
        if exponent == 1:
            return self
        return Poly.number(1) if exponent == 0 else Poly.atom(Atom("power", self, exponent))

    def bracket(self) -> Atom:
        """Returns the polynomial as one factor."""
        match self.terms:
            case (((only,), 1.0),):
                return only
            case _:
                return Atom("bracket", self)

    def derivative(self, of: Callable[[str], Poly]) -> Poly:
        """Differentiates by the rules of sum, product and power.

        `of` returns the derivative of a named tensor.
        """
        found = Poly()
        for monomial, number in self.terms:
            for atom, power in Counter(monomial).items():
                rest = list(monomial)
                rest.remove(atom)
                inner = of(atom.name) if atom.base is None else _of_power(atom, of)
                found += Poly.of([(tuple(rest), number * power)]) * inner
        return found

    def substituted(self, value: Callable[[Atom], Poly]) -> Poly:
        """Replaces named tensors by polynomials, in brackets too."""
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
        """Returns whether the polynomial is 0 where these tensors are: each product has one as a factor."""
        return all(
            any(a.name in zeros if a.base is None else a.base.vanishes(zeros) for a in monomial)
            for monomial, _ in self.terms
        )

    @property
    def names(self) -> frozenset[str]:
        """The names of the tensors that it reads."""
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
