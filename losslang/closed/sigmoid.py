"""Sums of polynomials in a sigmoid and a target, and their gradient.

p = sigmoid(x)    dp/dx = p - p^2    s = softplus(x) = max(x, 0) - log max(p, 1 - p)    ds/dx = p
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from losslang.closed.algebra import Atom, Monomial, Poly
from losslang.closed.evaluate import (
    Horner,
    Maker,
    Scratch,
    Values,
    Weighed,
    along,
    everywhere,
    horner,
    summed,
)
from losslang.closed.trace import Part
from losslang.lazy import torch
from losslang.vocabulary import Tensor

MAKERS: Mapping[str, Maker] = {
    "probs": lambda v: torch.sigmoid(v["logits"], out=v.scratch.like(v["logits"])),
    "slope": lambda v: torch.addcmul(
        v["probs"], v["probs"], v["probs"], value=-1, out=v.scratch.like(v["probs"])
    ),
    "relu": lambda v: torch.clamp(v["logits"], min=0, out=v.scratch.like(v["logits"])),
    "tail": lambda v: _tail(torch.abs(v["logits"], out=v.scratch.like(v["logits"]))),
}
Region = tuple[int, bool]
"""How many axes a sum keeps, and whether it runs over the samples too."""
BOUNDED = {"probs", "target"}
"""Between 0 and 1: sums of their products are taken one by one, and shared between losses."""
TAIL: Monomial = (Atom("tail"),)
FACTORS = 64
"""Numbers of at least 1/2 that a float holds the product of, with much to spare."""


class Sigmoid:
    """The sums of a block, and the gradient of their weighted sum."""

    def __init__(self, parts: Sequence[Part], regions: Sequence[Region]):
        pieces = [
            _pieces(part.poly.substituted(_stable), own) for part, own in zip(parts, regions, strict=True)
        ]
        # What two losses sum is summed once.
        self.pieces = list(dict.fromkeys(piece for own in pieces for piece, _ in own))
        place = {piece: index for index, piece in enumerate(self.pieces)}
        self.shares = [[(place[piece], number) for piece, number in own] for own in pieces]
        self.slope = Weighed([part.poly.derivative(_slope).substituted(_stable) for part in parts])

    keeps = False  # a sigmoid costs no more than what it would take to read it again

    def sums(
        self,
        logits: Tensor,
        target: Tensor,
        scratch: Scratch,
        place: Tensor | None = None,
        kept: Tensor | None = None,
    ) -> list[Tensor]:
        """Every part, summed over its region; nothing is masked."""
        values = Values(MAKERS, scratch, logits=logits, target=target)
        sums = [piece.sum(values) for piece in self.pieces]
        found: list[Tensor] = []
        for shares in self.shares:
            parts = [sums[place] if number == 1.0 else sums[place] * number for place, number in shares]
            found.append(reduce(torch.add, parts))
        return found

    def gradient(
        self,
        logits: Tensor,
        target: Tensor,
        weights: Sequence[Tensor],
        scratch: Scratch,
        out: Tensor,
        filled: bool = False,
        kept: Tensor | None = None,
    ) -> None:
        """Writes d(Σ weight * part) / d(logits) to `out`; nothing is masked."""
        values = Values(MAKERS, scratch, logits=logits, target=target)
        slope = self.slope.of(values, [along(weight, logits.ndim) for weight in weights], out)
        if slope is not out:
            out.copy_(slope)


@dataclass(frozen=True)
class Piece:
    """A sum that is taken on its own: of one product, of `tail`, or of all the rest of a polynomial."""

    terms: Horner
    region: Region
    is_tail: bool

    def sum(self, values: Values) -> Tensor:
        keep, batch = self.region
        if self.is_tail:
            return _tails(values, keep, batch)
        logits, found = values["logits"], self.terms.value(values)
        total = summed(everywhere(found, logits, logits), keep, batch)
        values.done(found)
        return total


def _pieces(poly: Poly, region: Region) -> list[tuple[Piece, float]]:
    alone = [(m, n) for m, n in poly.terms if m == TAIL or (m and all(a.name in BOUNDED for a in m))]
    rest = Poly.of(term for term in poly.terms if term not in alone)
    pieces = [(Piece(horner(Poly.of([(m, 1.0)])), region, m == TAIL), n) for m, n in alone]
    return [*pieces, (Piece(horner(rest), region, is_tail=False), 1.0)] if rest.terms else pieces


def _slope(name: str) -> Poly:
    """The derivative of a named tensor with respect to the logits."""
    match name:
        case "logits":
            return Poly.number(1)
        case "probs":
            return Poly.atom(Atom("slope"))
        case "softplus":
            return Poly.atom(Atom("probs"))
        case _:
            return Poly()


def _stable(atom: Atom) -> Poly:
    """softplus(x) as max(x, 0) + log(1 + e^-|x|): beside t x nothing is lost by cancellation."""
    if atom.name == "softplus":
        return Poly.atom(Atom("relu")) + Poly.atom(Atom("tail"))
    return Poly.atom(atom)


def _tail(distance: Tensor) -> Tensor:
    """log(1 + e^-|x|), of |x|, in its place."""
    return distance.neg_().exp_().log1p_()


def _tails(values: Values, keep: int, batch: bool) -> Tensor:
    """Σ log(1 + e^-|x|) = -Σ log max(p, 1 - p) = -Σ log Π max(p, 1 - p): one logarithm for many elements."""
    probs = values["probs"]
    larger = torch.sub(1, probs, out=values.scratch.like(probs))
    torch.maximum(probs, larger, out=larger)
    regions = probs.shape[: 2 if batch else keep]
    flat = larger.reshape(*regions, -1)
    whole = flat.shape[-1] // FACTORS * FACTORS
    products = flat[..., :whole].reshape(*regions, -1, FACTORS).prod(-1)
    logs = products.log_().sum(-1) + flat[..., whole:].log().sum(-1)
    values.done(larger)
    return -(logs.sum(0, keepdim=True) if batch else logs)
