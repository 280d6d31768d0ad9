"""Sums of polynomials in a sigmoid and a target, and their gradient.

p = sigmoid(x)    dp/dx = p - p^2    s = softplus(x) = max(x, 0) - log max(p, 1 - p)    ds/dx = p
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from losslang.closed.algebra import Atom, Monomial, Poly
from losslang.closed.evaluate import Polynomials, Region, Weighed, everywhere, mixed, summing
from losslang.closed.scratch import Scratch
from losslang.closed.symbols import LABEL, UntraceableError
from losslang.closed.tape import Draft, Maker, Multiplier, Tape, plus_product
from losslang.closed.trace import Part
from losslang.functions import written
from losslang.lazy import torch
from losslang.vocabulary import Tensor

GIVEN = "logits", "target"
BOUNDED = {"probs", "target"}
"""Between 0 and 1: sums of their products are taken one by one, and shared between losses."""
NEVER = -1e4
"""A logit of which the probability is 0, and all that is made of that, to the last bit of a double."""
ZEROS = {"probs", "slope", "softplus", "relu", "tail", "target"}
"""What is 0 beside such a logit."""
TAIL: Monomial = (Atom("tail"),)
FACTORS = 64
"""Numbers of at least 1/2 that a float holds the product of, with much to spare."""


class Sigmoid:
    """The sums of a block, and the gradient of their weighted sum.

    It `masks` if an element whose logit is `NEVER` and whose target is 0 adds nothing to either.
    """

    keeps = False  # a sigmoid costs no more than what it would take to read it again

    def __init__(self, parts: Sequence[Part], regions: Sequence[Region], rank: int):
        if any(name.endswith(LABEL) for part in parts for name in part.poly.names):
            raise UntraceableError("the class of a place")
        pieces = [
            _pieces(part.poly.substituted(_stable), own) for part, own in zip(parts, regions, strict=True)
        ]
        # What two losses sum is summed once.
        found = list(dict.fromkeys(piece for own in pieces for piece, _ in own))
        self.regions = [region for _, region in found]
        place = {piece: index for index, piece in enumerate(found)}
        self.shares = [[(place[piece], number) for piece, number in own] for own in pieces]
        self.tape = _tape(found, rank)
        slopes = [part.poly.derivative(_slope).substituted(_stable) for part in parts]
        self.masks = all(part.poly.vanishes(ZEROS) for part in parts) and all(
            s.vanishes(ZEROS) for s in slopes
        )
        self.slope = Weighed(slopes, MAKERS, GIVEN, MULTIPLIERS)

    def sums(
        self,
        logits: Tensor,
        target: Tensor,
        scratch: Scratch,
        place: Tensor | None = None,
        kept: Tensor | None = None,
    ) -> list[Tensor]:
        """Every piece, summed over its region."""
        lent = [scratch.like(logits) for _ in range(self.tape.lent)]
        return self.tape.run((logits, target), lent)

    def parts(self, totals: Sequence[Tensor]) -> list[Tensor]:
        """What the pieces are pieces of, each in a tensor of its own: a loss may compute in it."""
        return [mixed(totals, own) if len(own) > 1 else totals[own[0][0]] * own[0][1] for own in self.shares]

    def gradient(
        self,
        logits: Tensor,
        target: Tensor,
        weights: Sequence[Any],
        scratch: Scratch,
        out: Tensor,
        filled: bool = False,
        kept: Tensor | None = None,
    ) -> None:
        """Writes d(Σ weight * part) / d(logits) to `out`."""
        slope = self.slope.of((logits, target), weights, scratch, out)
        if slope is not out:
            out.copy_(everywhere(slope, logits, logits))


Piece = tuple[Poly, Region]
"""A sum that is taken on its own: of one product, of `tail`, or of all the rest of a polynomial."""


def _pieces(poly: Poly, region: Region) -> list[tuple[Piece, float]]:
    alone = [(m, n) for m, n in poly.terms if m == TAIL or (m and all(a.name in BOUNDED for a in m))]
    rest = Poly.of(term for term in poly.terms if term not in alone)
    pieces = [((Poly.of([(m, 1.0)]), region), n) for m, n in alone]
    return [*pieces, ((rest, region), 1.0)] if rest.terms else pieces


def _tape(pieces: Sequence[Piece], rank: int) -> Tape:
    """The sums of all pieces."""
    draft = Draft(MAKERS, GIVEN)
    results: list[int] = []
    for poly, region in pieces:
        if poly.terms == ((TAIL, 1.0),):
            probs = draft["probs"]
            larger = draft.write(_maximum, probs, draft.write(_complement, probs))
            results.append(draft.write(partial(_tails, region), larger, is_lent=False))
        else:
            values = Polynomials(draft).write(poly)
            if values in draft.constants:
                values = draft.write(everywhere, values, draft["logits"], draft["logits"], is_lent=False)
            results.append(draft.write(summing(region, rank), values, is_lent=False))
    return draft.done(*results)


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


def _probs(out: Tensor, logits: Tensor) -> Tensor:
    return torch.sigmoid(logits, out=out)


def _relu(out: Tensor, logits: Tensor) -> Tensor:
    return torch.clamp(logits, min=0, out=out)


def _tail(out: Tensor, logits: Tensor) -> Tensor:
    """log(1 + e^-|x|)."""
    return torch.abs(logits, out=out).neg_().exp_().log1p_()


def _complement(out: Tensor, probs: Tensor) -> Tensor:
    return torch.sub(1, probs, out=out)


def _maximum(out: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.maximum(a, b, out=out)


def _tails(region: Region, larger: Tensor) -> Tensor:
    """Σ log(1 + e^-|x|) = -Σ log max(p, 1 - p) = -Σ log Π max(p, 1 - p): one logarithm for many elements.

    An element is right to a rounding of p, 6e-8 in float32, and not to a rounding of itself.
    """
    keep, batch = region
    regions = larger.shape[: 2 if batch else keep]
    flat = larger.view(*regions, -1)
    whole = flat.shape[-1] // FACTORS * FACTORS
    logs = flat[..., :whole].view(*regions, -1, FACTORS).prod(-1).log_().sum(-1)
    if whole < flat.shape[-1]:
        logs += flat[..., whole:].log().sum(-1)
    return -(logs.sum(0, keepdim=True) if batch else logs)


def _times_slope(out: Tensor, values: Tensor, probs: Tensor) -> Tensor:
    """v p (1 - p)."""
    return written(out, torch.ops.aten.sigmoid_backward, values, probs)


MAKERS: Mapping[str, Maker] = {
    "probs": lambda d: d.write(_probs, d["logits"]),
    "slope": lambda d: d.write(plus_product, d["probs"], d["probs"], d["probs"], d.constant(-1.0)),
    "relu": lambda d: d.write(_relu, d["logits"]),
    "tail": lambda d: d.write(_tail, d["logits"]),
}
MULTIPLIERS: Mapping[str, Multiplier] = {"slope": lambda d, values: d.write(_times_slope, values, d["probs"])}
