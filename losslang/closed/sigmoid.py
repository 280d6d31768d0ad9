"""Sums of polynomials in a sigmoid and a target, and their gradient.

Everything is written in the logit of what is not true, y = (1 - 2 h) x, h = 1 where t > 1/2 and 0 elsewhere, and in
its probability g = sigmoid(y), which keeps its digits where the prediction is nearly right. With d = t - h:

    t = h + d    p = h + (1 - 2 h) g    x = (1 - 2 h) y    softplus(x) = softplus(y) - h y
    softplus(y) = max(y, 0) - log(1 - min(g, 1 - g))       dg/dy = g - g^2    d softplus(y)/dy = g

Of a target of 0 and 1 all d are 0, and what is left is short: bce is softplus(y), focal g^γ softplus(y).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from losslang.closed.algebra import ONE_HOT, Atom, Monomial, Poly
from losslang.closed.evaluate import Polynomials, Region, Weighed, everywhere, mixed, summing
from losslang.closed.scratch import Scratch
from losslang.closed.symbols import LABEL, UntraceableError
from losslang.closed.tape import Draft, Maker, Multiplier, Tape, plus_product, times
from losslang.closed.trace import Part
from losslang.functions import near
from losslang.lazy import torch
from losslang.vocabulary import Tensor

BOUNDED = {"wrong", "rest", ONE_HOT}
"""Between -1 and 1: sums of their products are taken one by one, and shared between losses."""
NEVER = -1e4
"""A logit of which the probability is 0, and all that is made of that, to the last bit of a double."""
ZEROS = {"wrong", "slope", "relu", "tail", "rest", ONE_HOT}
"""What is 0 beside such a logit and a target of 0."""
OF_WRONG = {"wrong", "slope", "sign", "rest", ONE_HOT}
"""What g and the target are enough for."""
TAIL: Monomial = (Atom("tail"),)
SIDE = Atom(ONE_HOT)


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
        self.hard, self.soft = (Basis(polys, regions, rank, is_soft=is_soft) for is_soft in (False, True))
        bases = (self.hard, self.soft)
        self.masks = all(basis.vanishes for basis in bases)
        self.keeps = all(basis.keeps for basis in bases)

    def basis(self, target: Tensor, scratch: Scratch) -> Basis:
        """The short one if the target can be seen to be 0 or 1 everywhere: then t - t² is 0."""
        if not near(target):
            return self.soft
        lent = scratch.lent
        apart = torch.addcmul(target, target, target, value=-1, out=scratch.like(target))
        scratch.back(lent)
        return self.hard if torch.linalg.vector_norm(apart).item() == 0 else self.soft

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
        tape = basis.tape if place is None else basis.keeping
        given = (logits, target) if place is None else (logits, target, place)
        found = tape.run(given, [scratch.like(logits) for _ in range(tape.lent)])
        return [mixed(found, own) for own in basis.shares]

    def parts(self, totals: Sequence[Tensor]) -> list[Tensor]:
        """The totals, each in a tensor of its own: a loss may compute in it."""
        return [total.clone() for total in totals]

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
        """Writes d(Σ weight * part) / d(logits) to `out`, where g stands if it is `filled`."""
        basis = self.basis(target, scratch)
        if filled:
            slope = basis.slope_of_kept.of((out, target), weights, scratch)
        else:
            slope = basis.slope.of((logits, target), weights, scratch, out)
        if slope is not out:
            out.copy_(everywhere(slope, logits, logits))


Piece = tuple[Poly, Region]
"""A sum that is taken on its own: of one product, of `tail`, or of all the rest of a polynomial."""


class Basis:
    """Polynomials in y, g, h and d; of a target that is not soft h is the target and d is 0."""

    def __init__(self, polys: Sequence[Poly], regions: Sequence[Region], rank: int, *, is_soft: bool):
        turned = [poly.substituted(_turned(is_soft)) for poly in polys]
        values = [poly.substituted(_stable) for poly in turned]
        self.slopes = [_signed(poly.derivative(_slope).substituted(_stable)) for poly in turned]
        self.vanishes = all(poly.vanishes(ZEROS) for poly in (*values, *self.slopes))
        pieces = [_pieces(poly, region) for poly, region in zip(values, regions, strict=True)]
        # What two losses sum is summed once.
        unique = list(dict.fromkeys(piece for own in pieces for piece, _ in own))
        place = {piece: index for index, piece in enumerate(unique)}
        self.shares = [[(place[piece], number) for piece, number in own] for own in pieces]
        target = "target" if is_soft else ONE_HOT
        makers = SOFT if is_soft else MAKERS
        self.tape = _tape(unique, rank, makers, ("logits", target))
        self.keeping = _tape(unique, rank, {**makers, "wrong": _kept_wrong}, ("logits", target, "place"))
        self.slope = Weighed(self.slopes, makers, ("logits", target), MULTIPLIERS)
        self.keeps = all(slope.names <= OF_WRONG for slope in self.slopes)
        self.slope_of_kept = Weighed(self.slopes if self.keeps else (), makers, ("wrong", target), MULTIPLIERS)


def _pieces(poly: Poly, region: Region) -> list[tuple[Piece, float]]:
    alone = [(m, n) for m, n in poly.terms if m == TAIL or (m and all(a.name in BOUNDED for a in m))]
    rest = Poly.of(term for term in poly.terms if term not in alone)
    pieces = [((Poly.of([(m, 1.0)]), region), n) for m, n in alone]
    return [*pieces, ((rest, region), 1.0)] if rest.terms else pieces


def _tape(
    pieces: Sequence[Piece], rank: int, makers: Mapping[str, Maker], given: Sequence[str]
) -> Tape:
    """The sums of all pieces."""
    draft = Draft(makers, given)
    results: list[int] = []
    for poly, region in pieces:
        if poly.terms == ((TAIL, 1.0),):
            results.append(draft.write(partial(_tails, region), _doubt(draft), is_lent=False))
        else:
            values = Polynomials(draft).write(poly)
            if values in draft.constants:
                values = draft.write(everywhere, values, draft["logits"], draft["logits"], is_lent=False)
            results.append(draft.write(summing(region, rank), values, is_lent=False))
    return draft.done(*results)


# ------------------------------------------------------------------- the change of variables


def _turned(is_soft: bool) -> Callable[[Atom], Poly]:
    """What the views of a prediction and its target are in y, g, h and d."""
    y, g, h, d, s = (Poly.atom(Atom(n)) for n in ("bound", "wrong", ONE_HOT, "rest", "softplus"))
    views = {
        "target": h + d if is_soft else h,
        "probs": h + g - (h * g).times(2.0),
        "logits": y - (h * y).times(2.0),
        "softplus": s - h * y,
    }
    return lambda atom: views[atom.name]


def _stable(atom: Atom) -> Poly:
    """softplus(y) as max(y, 0) + log(1 + e^-|y|): beside multiples of y nothing is lost by cancellation."""
    if atom.name == "softplus":
        return Poly.atom(Atom("relu")) + Poly.atom(Atom("tail"))
    return Poly.atom(atom)


def _slope(name: str) -> Poly:
    """The derivative of a named tensor with respect to the logits; dy/dx = 1 - 2 h."""
    rises = {"bound": (), "wrong": (Atom("slope"),), "softplus": (Atom("wrong"),)}
    if name not in rises:
        return Poly()
    return Poly.of([(rises[name], 1.0), ((*rises[name], SIDE), -2.0)])


def _signed(poly: Poly) -> Poly:
    """The same, with one factor in place of two terms: a - 2 h a is (1 - 2 h) a."""
    terms = dict(poly.terms)
    for monomial, number in poly.terms:
        ((with_side, _),) = Poly.of([((*monomial, SIDE), 1.0)]).terms
        if SIDE not in monomial and terms.get(with_side) == -2 * number:
            del terms[monomial], terms[with_side]
            terms[*monomial, Atom("sign")] = number
    return Poly.of(terms.items())


# ------------------------------------------------------------------- how tensors are made


def _sign(out: Tensor, side: Tensor) -> Tensor:
    return torch.mul(side, -2.0, out=out).add_(1.0)


def _wrong(out: Tensor, turned: Tensor) -> Tensor:
    return torch.sigmoid(turned, out=out)


def _kept_wrong(draft: Draft) -> int:
    """g, in the tensor that will be the gradient."""
    return draft.write(_wrong, draft["place"], draft["turned"], is_lent=False)


def _relu(out: Tensor, turned: Tensor) -> Tensor:
    return torch.clamp(turned, min=0, out=out)


def _bound(out: Tensor, turned: Tensor) -> Tensor:
    """y, held between the largest numbers that there are: it is multiplied by what may be 0."""
    limits = torch.finfo(turned.dtype)
    return torch.clamp(turned, limits.min, limits.max, out=out)


def _doubt(draft: Draft) -> int:
    """min(g, 1 - g), the probability of the less likely side."""
    wrong = draft["wrong"]
    return draft.write(_minimum, wrong, draft.write(_complement, wrong))


def _complement(out: Tensor, probs: Tensor) -> Tensor:
    return torch.sub(1, probs, out=out)


def _minimum(out: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.minimum(a, b, out=out)


def _tail(out: Tensor, doubt: Tensor) -> Tensor:
    """log(1 + e^-|y|) = -log(1 - min(g, 1 - g))."""
    return torch.neg(doubt, out=out).log1p_().neg_()


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


def _side(out: Tensor, target: Tensor) -> Tensor:
    return torch.gt(target, 0.5, out=out)


def _rest(out: Tensor, target: Tensor, side: Tensor) -> Tensor:
    return torch.sub(target, side, out=out)


def _times_slope(out: Tensor, values: Tensor, wrong: Tensor) -> Tensor:
    """v g (1 - g)."""
    return torch.ops.aten.sigmoid_backward.grad_input(values, wrong, grad_input=out)


MAKERS: Mapping[str, Maker] = {
    "sign": lambda d: d.write(_sign, d[ONE_HOT]),
    "turned": lambda d: d.write(times, d["sign"], d["logits"]),
    "wrong": lambda d: d.write(_wrong, d["turned"]),
    "slope": lambda d: d.write(plus_product, d["wrong"], d["wrong"], d["wrong"], d.constant(-1.0)),
    "bound": lambda d: d.write(_bound, d["turned"]),
    "relu": lambda d: d.write(_relu, d["turned"]),
    "tail": lambda d: d.write(_tail, _doubt(d)),
}
SOFT: Mapping[str, Maker] = {
    **MAKERS,
    ONE_HOT: lambda d: d.write(_side, d["target"]),
    "rest": lambda d: d.write(_rest, d["target"], d[ONE_HOT]),
}
MULTIPLIERS: Mapping[str, Multiplier] = {"slope": lambda d, values: d.write(_times_slope, values, d["wrong"])}
