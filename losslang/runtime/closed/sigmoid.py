"""Sums of polynomials in a sigmoid and a target, and their gradient, on one block.

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
from losslang.runtime.closed.tape import Maker, Tape, TapeBuilder, times
from losslang.runtime.closed.trace import Part
from losslang.runtime.closed.turned import (
    HARD,
    LOGARITHMS,
    PLAIN,
    QUICK,
    SIDE,
    SOFT,
    doubt,
    gathered,
    multipliers,
    saved_wrong,
    signed,
    slope,
    stable,
    turned,
    unbounded,
)
from losslang.tensors.devices import can_read_without_sync
from losslang.vocabulary import Tensor

BOUNDED = {"probs", "target", "wrong", "rest", ONE_HOT}
"""Tensors between -1 and 1: each product of them is summed by itself, once for all losses that need it."""
ZEROS = {"probs", "target", "wrong", "rest", ONE_HOT, "slope", "relu", "tail"}
"""Tensors that are 0 for such a logit and a target of 0."""
OF_WRONG = {"probs", "target", "wrong", "rest", ONE_HOT, "slope", "sign"}
"""Tensors that g and the target suffice for."""
TAIL: Monomial = (Atom("tail"),)
TAILS = (TAIL, (SIDE, *TAIL))
"""Products of which sums take one logarithm for four elements: h is 0 or 1, and h log(1 - e) is log(1 - h e)."""
KNOWN = 2**12
"""Blocks for which the choice between the hard and the soft formulas is remembered until backward."""


class Sigmoid:
    """Computes the sums of a block, and the gradient of Σ cotangent * sum.

    `can_mask`: an element with the logit `NEVER` and the target 0 adds nothing to sums or gradient.
    `saves_probs`: backward reads g alone of the logits, so forward saves g, which costs less than to compute
    it again.
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
        self.can_mask = self.hard.vanishes and self.soft.vanishes
        self.saves_probs = has_logarithm and self.hard.saves_wrong and self.soft.saves_wrong
        self.known: dict[int, Basis] = {}

    def basis(self, target: Tensor, scratch: Scratch) -> Basis:
        """Returns the shorter formulas if the target is 0 or 1 everywhere, which is read on a CPU alone."""
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
        saved: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> list[Tensor]:
        """Returns every sum over its region; writes g to `saved`, if it is given."""
        basis = self.basis(target, scratch)
        found = basis.sums(logits, target, scratch, saved)
        if basis is not self.soft and math.isnan(found[basis.of_logits].sum().item()):
            # A logit is infinite, which the soft formulas handle, or NaN, which makes them NaN too.
            basis = self.soft
            found = basis.sums(logits, target, scratch, saved)
        if saved is not None:
            if len(self.known) >= KNOWN:
                # Backward looks at the target once more for blocks that are not remembered.
                self.known.clear()
            self.known[saved.data_ptr()] = basis
        return [mixed(found, own) for own in basis.shares]

    def parts(self, totals: Sequence[Tensor]) -> list[Tensor]:
        """Returns one total per sum that a loss asked for, cloned: a loss may change its totals in place."""
        return [total.clone() for total in totals]

    def gradient(
        self,
        logits: Tensor,
        target: Tensor,
        cotangents: Sequence[Any],
        scratch: Scratch,
        out: Tensor,
        has_saved: bool = False,
        mask: Tensor | None = None,
    ) -> None:
        """Writes d(Σ cotangent * sum) / d(logits) to `out`; `has_saved`: `out` holds g."""
        basis = self.known.pop(out.data_ptr(), None) if has_saved else None
        basis = basis or self.basis(target, scratch)
        if has_saved:
            found = basis.slope_of_saved.of((out, target), cotangents, scratch)
        else:
            found = basis.slope.of((logits, target), cotangents, scratch, out)
        if found is not out:
            out.copy_(everywhere(found, logits, logits))


def _plain(polys: Sequence[Poly], regions: Sequence[Region], rank: int) -> Basis:
    slopes = [poly.derivative(slope) for poly in polys]
    return Basis(polys, slopes, regions, rank, PLAIN, "target")


def _turned(polys: Sequence[Poly], regions: Sequence[Region], rank: int, *, is_soft: bool) -> Basis:
    found = [turned(poly, is_soft=is_soft) for poly in polys]
    values = [gathered(poly.substituted(stable)) for poly in found]
    # A target of 0 and 1 leaves only products that are summed one by one.
    values = [signed(poly) for poly in values] if is_soft else values
    slopes = [poly.derivative(slope).substituted(stable) for poly in found]
    return Basis(values, slopes, regions, rank, *((SOFT, "target") if is_soft else (HARD, ONE_HOT)))


Piece = tuple[Poly, Region]
"""A sum that is taken by itself: of one product, of `tail`, or of all other terms of a polynomial."""


class Basis:
    """The tapes of a block, in one set of variables: p and t, or those of `turned`."""

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
        self.saves_wrong = "wrong" in makers and all(poly.names <= OF_WRONG for poly in slopes)
        pieces = [_pieces(poly, region) for poly, region in zip(values, regions, strict=True)]
        # A sum that two losses need is taken once.
        unique = list(dict.fromkeys(piece for own in pieces for piece, _ in own))
        place = {piece: index for index, piece in enumerate(unique)}
        self.shares = [[(place[piece], number) for piece, number in own] for own in pieces]
        self.of_logits = next((i for i, (poly, _) in enumerate(unique) if poly.names - {ONE_HOT}), 0)
        quick = QUICK if makers is HARD else makers
        self.tape = _tape(unique, rank, quick, ("logits", target))
        self.saving_tape = _tape(unique, rank, {**quick, "wrong": saved_wrong}, ("logits", target, "saved"))
        known = multipliers("wrong" if "wrong" in makers else "probs")
        self.slope = _shortest(slopes, makers, ("logits", target), known)
        self.slope_of_saved = _shortest(
            slopes if self.saves_wrong else (), makers, ("wrong", target), known, "wrong"
        )

    def sums(self, logits: Tensor, target: Tensor, scratch: Scratch, saved: Tensor | None) -> list[Any]:
        """Returns the sum of every piece over its region."""
        in_use = scratch.in_use
        given, tape = (logits, target), self.tape
        if saved is not None:
            given, tape = (logits, target, saved), self.saving_tape
        found = tape.run(given, [scratch.like(logits) for _ in range(tape.buffers)])
        scratch.release(in_use)
        return found


def _shortest(slopes: Sequence[Poly], *how: Any) -> Weighed:
    """Returns the weighted sum with the fewest operations: 1 - 2 h as one factor, or as two terms."""
    forms = (slopes, [signed(poly) for poly in slopes])
    return min((Weighed(form, *how) for form in forms), key=lambda found: len(found.plain.lines))


def _pieces(poly: Poly, region: Region) -> list[tuple[Piece, float]]:
    is_quick = all(m in TAILS for m, _ in poly.terms if TAIL[0] in m)
    alone = [
        (m, n)
        for m, n in poly.terms
        if (is_quick and m in TAILS) or (m and all(a.name in BOUNDED for a in m))
    ]
    rest = Poly.of(term for term in poly.terms if term not in alone)
    pieces = [((Poly.of([(m, 1.0)]), region), n) for m, n in alone]
    return [*pieces, ((rest, region), 1.0)] if rest.terms else pieces


def _tape(pieces: Sequence[Piece], rank: int, makers: Mapping[str, Maker], given: Sequence[str]) -> Tape:
    """Returns the tape that sums all pieces."""
    builder = TapeBuilder(makers, given)
    results: list[int] = []
    for poly, region in pieces:
        match poly.terms:
            case ((product, 1.0),) if product in TAILS:
                doubts = doubt(builder)
                if SIDE in product:
                    doubts = builder.write(times, doubts, builder[ONE_HOT])
                total = builder.write(partial(_tails, region), doubts, in_buffer=False)
            case _:
                values = Polynomials(builder).write(poly)
                if values in builder.constants:
                    values = builder.write(
                        everywhere, values, builder["logits"], builder["logits"], in_buffer=False
                    )
                total = builder.write(summing(region, rank), values, in_buffer=False)
                if "bound" in poly.names:
                    total = builder.write(unbounded, total, in_buffer=False)
        results.append(total)
    return builder.done(*results)


def _tails(region: Region, doubt: Tensor) -> Tensor:
    """Returns Σ -log(1 - e), with one logarithm for four elements; overwrites its argument.

    (1 - a)(1 - b) is 1 - c with c = a + b - a b, as exact as a and b are. For more than four factors c nears
    1, and log(1 - c) loses digits.
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
