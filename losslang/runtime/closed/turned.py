"""The change of variables that keeps closed forms of a sigmoid numerically stable, and its tensors.

Polynomials with a logarithm are written in the logit of the wrong class, y = (1 - 2 h) x with h = 1 where t >
1/2 and else 0, and in its probability g = sigmoid(y), which is exact where the prediction is nearly right.
With d = t - h, which is 0 for a target of 0 and 1:

    t = h + d    p = h + (1 - 2 h) g    x = (1 - 2 h) y    softplus(x) = softplus(y) - h y
    softplus(y) = max(y, 0) - log(1 - min(g, 1 - g))       dg/dy = g - g^2    d softplus(y)/dy = g

Terms then cancel before anything is computed: bce is softplus(y) - d (1 - 2 h) y, and focal, for a target of
0 and 1, g^γ softplus(y).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from losslang.runtime.closed.algebra import ONE_HOT, Atom, Poly
from losslang.runtime.closed.tape import Maker, Multiplier, TapeBuilder, plus_product, times
from losslang.tensors.lazy import torch
from losslang.tensors.numerics import written
from losslang.vocabulary import Tensor

SIDE = Atom(ONE_HOT)
LOGARITHMS = {"logits", "softplus"}
"""Tensors that lose digits if they are computed from p."""


def turned(poly: Poly, *, is_soft: bool) -> Poly:
    """Rewrites a polynomial in y, g, h and d.

    With a soft target, terms without a logarithm stay in p and t.
    """
    y, g, h, d, s = (Poly.atom(Atom(n)) for n in ("bound", "wrong", ONE_HOT, "rest", "softplus"))
    views = {
        "target": h + d if is_soft else h,
        "probs": h + g - (h * g).times(2.0),
        "logits": y - (h * y).times(2.0),
        "softplus": s - h * y,
    }
    plain = Poly.of(term for term in poly.terms if is_soft and not LOGARITHMS & Poly.of([term]).names)
    return plain + (poly - plain).substituted(lambda atom: views[atom.name])


def stable(atom: Atom) -> Poly:
    """Rewrites softplus(y) as max(y, 0) + log(1 + e^-|y|), which loses no digits beside multiples of y."""
    if atom.name == "softplus":
        return Poly.atom(Atom("relu")) + Poly.atom(Atom("tail"))
    return Poly.atom(atom)


def slope(name: str) -> Poly:
    """Returns the derivative of a named tensor with respect to the logits; dy/dx = 1 - 2 h."""
    if name == "probs":
        return Poly.atom(Atom("slope"))
    rises = {"bound": (), "wrong": (Atom("slope"),), "softplus": (Atom("wrong"),)}
    if name not in rises:
        return Poly()
    return Poly.of([(rises[name], 1.0), ((*rises[name], SIDE), -2.0)])


def signed(poly: Poly) -> Poly:
    """Rewrites a - 2 h a as (1 - 2 h) a: one factor for two terms."""
    terms = dict(poly.terms)
    for monomial, number in poly.terms:
        ((with_side, _),) = Poly.of([((*monomial, SIDE), 1.0)]).terms
        if SIDE not in monomial and terms.get(with_side) == -2 * number:
            del terms[monomial], terms[with_side]
            terms[(*monomial, Atom("sign"))] = number
    return Poly.of(terms.items())


def gathered(poly: Poly) -> Poly:
    """Rewrites a relu + b h relu as (a + b h) relu: where h is 0 and relu infinite, their product is NaN."""
    relu = Atom("relu")
    read = [(monomial, number) for monomial, number in poly.terms if relu in monomial]
    if len(read) < 2:
        return poly
    factor = Poly.of((tuple(atom for atom in monomial if atom != relu), number) for monomial, number in read)
    return Poly.of([*(term for term in poly.terms if term not in read), ((relu, factor.bracket()), 1.0)])


# ------------------------------------------------------------------- how tensors are made


def _sign(out: Tensor, side: Tensor) -> Tensor:
    return torch.sub(1, side, alpha=2, out=out)


def _wrong(out: Tensor, turned: Tensor) -> Tensor:
    """sigmoid(y)."""
    return torch.sigmoid(turned, out=out)


def saved_wrong(builder: TapeBuilder) -> int:
    """Appends g, written to the buffer of the gradient."""
    return builder.write(_wrong, builder["saved"], builder["turned"], in_buffer=False)


def _relu(out: Tensor, turned: Tensor) -> Tensor:
    return torch.clamp(turned, min=0, out=out)


def _bound(out: Tensor, turned: Tensor) -> Tensor:
    """y, clamped to finite numbers: it is multiplied by tensors that may be 0, and 0 * inf is NaN.

    Also if a number of the polynomial, a weight say, is multiplied by it first.
    """
    most = torch.finfo(turned.dtype).max / 2**20
    return torch.clamp(turned, -most, most, out=out)


def unbounded(total: Tensor) -> Tensor:
    """A sum of products of `_bound`, infinite where one of them was: no finite logits come near max / 2^60."""
    return torch.where(total.abs() > torch.finfo(total.dtype).max / 2**60, total * math.inf, total)


def doubt(builder: TapeBuilder) -> int:
    """Appends min(g, 1 - g), the probability of the less likely class."""
    wrong = builder["wrong"]
    return builder.write(_minimum, wrong, builder.write(_complement, wrong))


def _complement(out: Tensor, probs: Tensor) -> Tensor:
    return torch.sub(1, probs, out=out)


def _minimum(out: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.minimum(a, b, out=out)


def _tail(out: Tensor, doubt: Tensor) -> Tensor:
    """log(1 + e^-|y|) = -log(1 - min(g, 1 - g))."""
    return torch.neg(doubt, out=out).log1p_().neg_()


def _side(out: Tensor, target: Tensor) -> Tensor:
    return torch.gt(target, 0.5, out=out)


def _rest(out: Tensor, target: Tensor, side: Tensor) -> Tensor:
    return torch.sub(target, side, out=out)


def _probs(out: Tensor, side: Tensor, wrong: Tensor) -> Tensor:
    """p = h + (1 - 2 h) g."""
    return torch.sub(side, wrong, out=out).abs_()


def _times_slope(out: Tensor, values: Tensor, wrong: Tensor) -> Tensor:
    """v g (1 - g)."""
    return written(out, torch.ops.aten.sigmoid_backward, values, wrong)


PLAIN: Mapping[str, Maker] = {
    "probs": lambda d: d.write(_wrong, d["logits"]),
    "slope": lambda d: d.write(plus_product, d["probs"], d["probs"], d["probs"], d.constant(-1.0)),
}
"""The tensors of polynomials without a logarithm."""
HARD: Mapping[str, Maker] = {
    "sign": lambda d: d.write(_sign, d[ONE_HOT]),
    "turned": lambda d: d.write(times, d["sign"], d["logits"]),
    "wrong": lambda d: d.write(_wrong, d["turned"]),
    "slope": lambda d: d.write(plus_product, d["wrong"], d["wrong"], d["wrong"], d.constant(-1.0)),
    "bound": lambda d: d.write(_bound, d["turned"]),
    "relu": lambda d: d.write(_relu, d["turned"]),
    "tail": lambda d: d.write(_tail, doubt(d)),
}
QUICK: Mapping[str, Maker] = {
    **HARD,
    "turned": lambda d: d.write(plus_product, d["logits"], d[ONE_HOT], d["logits"], d.constant(-2.0)),
}
"""The same with y as x - 2 t x, in one operation: NaN where x is infinite."""
SOFT: Mapping[str, Maker] = {
    **HARD,
    ONE_HOT: lambda d: d.write(_side, d["target"]),
    "rest": lambda d: d.write(_rest, d["target"], d[ONE_HOT]),
    "probs": lambda d: d.write(_probs, d[ONE_HOT], d["wrong"]),
}


def multipliers(probs: str) -> Mapping[str, Multiplier]:
    """Returns v p (1 - p) as one operation, for p or g."""
    return {"slope": lambda d, values: d.write(_times_slope, values, d[probs])}
