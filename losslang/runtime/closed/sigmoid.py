"""Sums of polynomials in a sigmoid and a target, and their gradient.

p = sigmoid(x)    dp/dx = p - p^2; with a logarithm in it, in the variables of `turned`
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from losslang.primitives.entropy import holds_sure
from losslang.runtime.closed.algebra import ONE_HOT, Atom, Monomial, Poly
from losslang.runtime.closed.evaluate import Polynomials, Region, Weighed, everywhere, mixed, summing
from losslang.runtime.closed.scratch import Scratch
from losslang.runtime.closed.symbols import LABEL, UntraceableError
from losslang.runtime.closed.tape import Maker, Tape, TapeBuilder
from losslang.runtime.closed.trace import Part
from losslang.runtime.closed.turned import (
    HARD,
    LOGARITHMS,
    PLAIN,
    QUICK,
    SOFT,
    doubt,
    kept_wrong,
    multipliers,
    signed,
    slope,
    stable,
    turned,
)
from losslang.tensors.devices import can_read_without_sync
from losslang.vocabulary import Tensor

BOUNDED = {"probs", "target", "wrong", "rest", ONE_HOT}
"""Between -1 and 1: sums of their products are taken one by one, and shared between losses."""
NEVER = -1e4
"""A logit of which the probability is 0, and all that is made of that, to the last bit of a double."""
ZEROS = {"probs", "target", "wrong", "rest", ONE_HOT, "slope", "relu", "tail"}
"""What is 0 beside such a logit and a target of 0."""
OF_WRONG = {"probs", "target", "wrong", "rest", ONE_HOT, "slope", "sign"}
"""What g and the target are enough for."""
TAIL: Monomial = (Atom("tail"),)
KNOWN = 2**12
"""Blocks of which it is remembered whether their target is soft."""


class Sigmoid:
    """The sums of a block, and the gradient of their weighted sum.

    It `masks` if an element whose logit is `NEVER` and whose target is 0 adds nothing to either. It `keeps` g for the
    backward pass where the logits are not read there for anything else: to read it costs less than to make it again.
    """

    def __init__(self, parts: Sequence[Part], regions: Sequence[Region], rank: int):
        if any(name.endswith(LABEL) for part in parts for name in part.poly.names):
            raise UntraceableError("the class of a place")
        self.regions = list(regions)
        polys = [part.poly for part in parts]
        has_logarithm = any(poly.names & LOGARITHMS for poly in polys)
        self.soft = (
            _turned(polys, regions, rank, is_soft=True) if has_logarithm else _plain(polys, regions, rank)
        )
        self.hard = _turned(polys, regions, rank, is_soft=False) if has_logarithm else self.soft
        self.masks = self.hard.vanishes and self.soft.vanishes
        self.keeps = has_logarithm and self.hard.keeps and self.soft.keeps
        self.known: dict[int, Basis] = {}

    def basis(self, target: Tensor, scratch: Scratch) -> Basis:
        """The short one if the target can be seen to be 0 or 1 everywhere: then t - t² is 0."""
        if self.hard is self.soft or not can_read_without_sync(target):
            return self.soft
        in_use = scratch.in_use
        is_sure = holds_sure(target, scratch.like(target))
        scratch.release(in_use)
        return self.hard if is_sure else self.soft

    def sums(
        self,
        logits: Tensor,
        target: Tensor,
        scratch: Scratch,
        place: Tensor | None = None,
        kept: Tensor | None = None,
    ) -> list[Tensor]:
        """Every part, summed over its region; g is left in `place`, if it is given."""
        basis = self.basis(target, scratch)
        found = basis.sums(logits, target, scratch, place)
        if basis is not self.soft and math.isnan(found[basis.of_logits].sum().item()):
            # An infinite logit, which the long form takes as it is; or NaN, of which all is NaN.
            basis = self.soft
            found = basis.sums(logits, target, scratch, place)
        if place is not None:
            if len(self.known) >= KNOWN:
                # What is not known is looked at once more.
                self.known.clear()
            self.known[place.data_ptr()] = basis
        return [mixed(found, own) for own in basis.shares]

    def parts(self, totals: Sequence[Tensor]) -> list[Tensor]:
        """The totals, each in a tensor of its own: a loss may compute in it."""
        return [total.clone() for total in totals]

    def gradient(
        self,
        logits: Tensor,
        target: Tensor,
        cotangents: Sequence[Any],
        scratch: Scratch,
        out: Tensor,
        filled: bool = False,
        kept: Tensor | None = None,
    ) -> None:
        """Writes d(Σ cotangent * sum) / d(logits) to `out`, where g stands if it is `filled`."""
        basis = self.known.pop(out.data_ptr(), None) if filled else None
        basis = basis or self.basis(target, scratch)
        if filled:
            found = basis.slope_of_kept.of((out, target), cotangents, scratch)
        else:
            found = basis.slope.of((logits, target), cotangents, scratch, out)
        if found is not out:
            out.copy_(everywhere(found, logits, logits))


def _plain(polys: Sequence[Poly], regions: Sequence[Region], rank: int) -> Basis:
    slopes = [poly.derivative(slope) for poly in polys]
    return Basis(polys, slopes, regions, rank, PLAIN, "target")


def _turned(polys: Sequence[Poly], regions: Sequence[Region], rank: int, *, is_soft: bool) -> Basis:
    found = [turned(poly, is_soft=is_soft) for poly in polys]
    values = [poly.substituted(stable) for poly in found]
    # Of a target of 0 and 1 only products are left that are summed one by one.
    values = [signed(poly) for poly in values] if is_soft else values
    slopes = [poly.derivative(slope).substituted(stable) for poly in found]
    return Basis(values, slopes, regions, rank, *((SOFT, "target") if is_soft else (HARD, ONE_HOT)))


Piece = tuple[Poly, Region]
"""A sum that is taken on its own: of one product, of `tail`, or of all the rest of a polynomial."""


class Basis:
    """What a block computes, in one set of variables."""

    def __init__(
        self,
        values: Sequence[Poly],
        slopes: Sequence[Poly],
        regions: Sequence[Region],
        rank: int,
        makers: Mapping[str, Maker],
        target: str,
    ):
        self.vanishes = all(poly.vanishes(ZEROS) for poly in (*values, *slopes))
        self.keeps = "wrong" in makers and all(poly.names <= OF_WRONG for poly in slopes)
        pieces = [_pieces(poly, region) for poly, region in zip(values, regions, strict=True)]
        # What two losses sum is summed once.
        unique = list(dict.fromkeys(piece for own in pieces for piece, _ in own))
        place = {piece: index for index, piece in enumerate(unique)}
        self.shares = [[(place[piece], number) for piece, number in own] for own in pieces]
        self.of_logits = next((i for i, (poly, _) in enumerate(unique) if poly.names - {ONE_HOT}), 0)
        quick = QUICK if makers is HARD else makers
        self.tape = _tape(unique, rank, quick, ("logits", target))
        self.keeping = _tape(unique, rank, {**quick, "wrong": kept_wrong}, ("logits", target, "place"))
        known = multipliers("wrong" if "wrong" in makers else "probs")
        self.slope = _shortest(slopes, makers, ("logits", target), known)
        self.slope_of_kept = _shortest(
            slopes if self.keeps else (), makers, ("wrong", target), known, "wrong"
        )

    def sums(self, logits: Tensor, target: Tensor, scratch: Scratch, place: Tensor | None) -> list[Any]:
        """Every piece, summed over its region."""
        in_use = scratch.in_use
        given, tape = (logits, target), self.tape
        if place is not None:
            given, tape = (logits, target, place), self.keeping
        found = tape.run(given, [scratch.like(logits) for _ in range(tape.buffers)])
        scratch.release(in_use)
        return found


def _shortest(slopes: Sequence[Poly], *how: Any) -> Weighed:
    """The weighed sum in the form of fewest operations: 1 - 2 h as one factor, or as two terms."""
    forms = (slopes, [signed(poly) for poly in slopes])
    return min((Weighed(form, *how) for form in forms), key=lambda found: len(found.plain.lines))


def _pieces(poly: Poly, region: Region) -> list[tuple[Piece, float]]:
    alone = [(m, n) for m, n in poly.terms if m == TAIL or (m and all(a.name in BOUNDED for a in m))]
    rest = Poly.of(term for term in poly.terms if term not in alone)
    pieces = [((Poly.of([(m, 1.0)]), region), n) for m, n in alone]
    return [*pieces, ((rest, region), 1.0)] if rest.terms else pieces


def _tape(pieces: Sequence[Piece], rank: int, makers: Mapping[str, Maker], given: Sequence[str]) -> Tape:
    """The sums of all pieces."""
    builder = TapeBuilder(makers, given)
    results: list[int] = []
    for poly, region in pieces:
        if poly.terms == ((TAIL, 1.0),):
            results.append(builder.write(partial(_tails, region), doubt(builder), in_buffer=False))
        else:
            values = Polynomials(builder).write(poly)
            if values in builder.constants:
                values = builder.write(
                    everywhere, values, builder["logits"], builder["logits"], in_buffer=False
                )
            results.append(builder.write(summing(region, rank), values, in_buffer=False))
    return builder.done(*results)


def _tails(region: Region, doubt: Tensor) -> Tensor:
    """Σ -log(1 - e): one logarithm for four elements. It computes in the tensor that it is handed.

    (1 - a)(1 - b) is 1 - c with c = a + b - a b, as exact as a and b are; of more than four c nears 1, and its
    logarithm loses the digits.
    """
    keep, batch = region
    regions = doubt.shape[: 2 if batch else keep]
    flat = doubt.view(*regions, -1)
    number = flat.shape[-1] // 4
    left = flat[..., 4 * number :]
    for half in (2 * number, number):
        a, b = flat[..., :half], flat[..., half : 2 * half]
        flat = a.add_(b.addcmul_(a, b, value=-1))
    logs = flat.neg_().log1p_().sum(-1)
    if left.numel():
        logs += left.neg_().log1p_().sum(-1)
    return -(logs.sum(0, keepdim=True) if batch else logs)
