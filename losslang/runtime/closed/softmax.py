"""Sums of polynomials in a softmax and the class of each place, and their gradient.

With y the class of a place, every sum is a polynomial in p summed over all elements, plus a polynomial in p_y
and log p_y summed over the places: no one-hot target is made.

    v = ∂/∂p over the elements,  q = p_y ∂/∂p_y + ∂/∂log p_y over the places
    d/dx_c = p_c (v_c - Σ v p - q) + [c = y] q
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from losslang.runtime.closed.algebra import ONE_HOT, Atom, Monomial, Poly
from losslang.runtime.closed.evaluate import Region, Weighed, everywhere, polynomial, result, summing
from losslang.runtime.closed.scratch import Scratch
from losslang.runtime.closed.symbols import LABEL, UntraceableError, at_label
from losslang.runtime.closed.tape import Tape
from losslang.runtime.closed.trace import Part
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

LEAST = 2.0**-10
"""From this sum of exponentials on, every exponential that matters is a normal number."""


class Values:
    """The tensors of one block by name, each computed once.

    `mask`: True where a place counts; None if all do.
    """

    def __init__(self, logits: Tensor, labels: Tensor, scratch: Scratch, mask: Tensor | None):
        self.logits = logits
        self.labels = labels
        self.scratch = scratch
        self.mask = mask
        self.known: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.known:
            self.known[name] = MAKERS[name](self)
        return self.known[name]

    def of(self, names: Sequence[str]) -> list[Tensor]:
        return [self[name] for name in names]


def _probs(values: Values) -> Tensor:
    return softmax(values.logits, values.scratch.like(values.logits), values.mask)


def _probs_of_label(values: Values) -> Tensor:
    """p_y; 1 where a place is masked."""
    probs = _pick(values["probs"], values.labels)
    return probs if values.mask is None else probs.where(values.mask, 1.0)


def _log_of_label(values: Values) -> Tensor:
    """log p_y: the logarithm of p_y, or the log-softmax of the logits if some p_y is too small for that."""
    probs = values["probs" + LABEL]
    if bool(probs.min() > torch.finfo(probs.dtype).tiny / LEAST**2):
        return probs.log()
    return _pick(torch.log_softmax(_finite(values.logits, values.mask), 1), values.labels)


def softmax(logits: Tensor, out: Tensor, mask: Tensor | None = None) -> Tensor:
    """Writes the softmax along dimension 1 to `out`.

    e^x / Σ e^x takes half the time of torch's softmax, which subtracts the largest logit first. torch's is
    used where a sum shows that this matters: if it overflowed, is NaN or is small.
    """
    sums = torch.exp(logits, out=out).sum(1, keepdim=True)
    if mask is not None:
        # Masked places do not decide which softmax is used.
        odd = ~(mask.unsqueeze(1) | ((sums > LEAST) & (sums < torch.inf)))
        if bool(odd.any()):
            out.masked_fill_(odd, 0.0)
            sums.masked_fill_(odd, 1.0)
    least, most = sums.aminmax()
    if least.item() > LEAST and most.item() < torch.inf:
        return out.div_(sums)
    return out.copy_(torch.softmax(_finite(logits, mask), 1))


def _finite(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Logits with 0 where a place is masked, which may hold NaN."""
    return logits if mask is None else logits.masked_fill(~mask.unsqueeze(1), 0.0)


MAKERS: Mapping[str, Callable[[Values], Tensor]] = {
    "probs": _probs,
    "slots": lambda v: _slots(v),
    "probs" + LABEL: _probs_of_label,
    "log_probs" + LABEL: _log_of_label,
}


class Softmax:
    """Computes the sums of a block, and the gradient of Σ cotangent * sum."""

    saves_probs = True
    can_mask = True

    def __init__(self, parts: Sequence[Part], regions: Sequence[Region], rank: int):
        split = [_split(part) for part in parts]
        found = [
            (*own, part.by_place, region) for own, part, region in zip(split, parts, regions, strict=True)
        ]
        # A sum that two losses need is taken once.
        unique = list(dict.fromkeys(found))
        self.pieces = [Piece.of(*piece, rank) for piece in unique]
        self.regions = [region for *_, region in unique]
        self.order = [unique.index(piece) for piece in found]
        self.by_place = [part.by_place for part in parts]
        self.slope = _weighed([dense.derivative(_of("probs")) for dense, _ in split])
        chains = [_chain(placed) for _, placed in split]
        self.chain, self.has_chain = _weighed(chains), [bool(chain.terms) for chain in chains]

    def sums(
        self,
        logits: Tensor,
        labels: Tensor,
        scratch: Scratch,
        saved: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> list[Tensor]:
        """Returns every sum over the unmasked part of its region.

        Writes the probabilities to `saved`, if given.
        """
        values = Values(logits, labels, scratch, mask)
        if saved is not None:
            values.known["probs"] = softmax(logits, saved, mask)
        share = None if mask is None else mask.to(logits.dtype)
        return [piece.sum(values, share) for piece in self.pieces]

    def parts(self, totals: Sequence[Tensor]) -> list[Tensor]:
        """Returns one total per sum that a loss asked for, cloned: a loss may change its totals in place."""
        return [totals[place].clone() for place in self.order]

    def _placed(self, index: int, weight: Any, values: Values) -> Any:
        """Returns the cotangent of a sum at every place.

        Of a sum by class, that of the class of the place.
        """
        labels = values.labels
        if not isinstance(weight, torch.Tensor) or weight.ndim == 0:
            return weight
        if self.by_place[index] or weight.shape[1] == 1:
            return weight.squeeze(1)
        if not self.has_chain[index]:
            return 0.0
        slots = values["slots"] if len(weight) > 1 else labels.flatten()
        return weight.flatten().index_select(0, slots).view(labels.shape)

    def gradient(
        self,
        logits: Tensor,
        labels: Tensor,
        cotangents: Sequence[Any],
        scratch: Scratch,
        out: Tensor,
        has_saved: bool = False,
        mask: Tensor | None = None,
    ) -> None:
        """Writes d(Σ cotangent * sum) / d(logits) to `out`, 0 where masked.

        `has_saved`: `out` holds the probabilities.
        """
        values = Values(logits, labels, scratch, mask)
        if has_saved:
            values.known["probs"] = out
        probs = values["probs"]
        v = self.slope.of(values.of(self.slope.given), cotangents, scratch)
        # Before the probabilities of the labels are picked: it brings all of them into the cache, in their order.
        inner = _inner(v, probs)
        placed = [self._placed(i, weight, values) for i, weight in enumerate(cotangents)]
        q = self.chain.of(values.of(self.chain.given), placed, scratch)
        q = everywhere(q, labels, logits)
        inward = (q + inner).unsqueeze(1)
        factor = torch.sub(v, inward, out=scratch.like(probs)) if isinstance(v, torch.Tensor) else v - inward
        if mask is not None:
            share = mask.to(logits.dtype)
            factor, q = factor.mul_(share.unsqueeze(1)), q * share
        torch.mul(probs, factor, out=out).scatter_add_(1, labels.unsqueeze(1), q.unsqueeze(1))


class Piece(NamedTuple):
    """One sum: of a polynomial over all elements, and of another one over the places.

    Either may be missing.
    """

    dense: Tape | None
    placed: Tape | None
    by_class: bool
    region: Region
    rank: int

    @classmethod
    def of(cls, dense: Poly, placed: Poly, by_place: bool, region: Region, rank: int) -> Piece:
        return cls(_tape(dense), _tape(placed), not by_place and region[0] == 2, region, rank)

    def sum(self, values: Values, share: Tensor | None) -> Tensor:
        """Returns the sum of one block.

        `share` is 1 at every place that counts, 0 where masked, None for all 1.
        """
        logits, labels = values.logits, values.labels
        total = None
        if self.dense is not None:
            given, in_use = values.of(self.dense.given), values.scratch.in_use
            found = everywhere(result(self.dense, given, values.scratch), logits, logits)
            if share is not None:
                found = torch.mul(found, share.unsqueeze(1), out=values.scratch.like(logits))
            total = summing(self.region, self.rank)(found)
            values.scratch.release(in_use)
        if self.placed is not None:
            given, in_use = values.of(self.placed.given), values.scratch.in_use
            found = result(self.placed, given, values.scratch)
            if share is not None:
                found = share * found
            if self.by_class:
                part = _by_class(found, values, self.region[1])
            else:
                part = summing(self.region, self.rank - 1)(everywhere(found, labels, logits))
            values.scratch.release(in_use)
            total = part if total is None else total + part
        assert total is not None
        return total


def _tape(poly: Poly) -> Tape | None:
    return polynomial(poly, {}, sorted(poly.names)) if poly.terms else None


def _weighed(polys: Sequence[Poly]) -> Weighed:
    return Weighed(polys, {}, sorted(frozenset[str]().union(*(poly.names for poly in polys))))


def _chain(placed: Poly) -> Poly:
    """p_y ∂/∂p_y + ∂/∂log p_y."""
    probs = "probs" + LABEL
    return placed.derivative(_of(probs)) * Poly.atom(Atom(probs)) + placed.derivative(_of("log_" + probs))


def _inner(v: Any, probs: Tensor) -> Any:
    """Returns Σ_c v_c p_c at every place."""
    if not isinstance(v, torch.Tensor):
        return v
    if probs.ndim > 2 and v.shape[1:].numel() == probs.shape[1]:
        found = v.flatten(1).unsqueeze(1).expand(probs.shape[0], 1, -1) @ probs.flatten(2)
        return found.reshape(probs.shape[0], *probs.shape[2:])
    return (v * probs).sum(1)


def _pick(values: Tensor, labels: Tensor) -> Tensor:
    return values.gather(1, labels.unsqueeze(1)).squeeze(1)


def _by_class(found: Any, values: Values, batch: bool) -> Tensor:
    """Sums over the places of each class, per sample or over all samples, in float64.

    A plain number is multiplied by the number of places of a class instead.
    """
    logits, slots = values.logits, values["slots"]
    samples, classes = logits.shape[:2]
    if isinstance(found, torch.Tensor):
        zeros = torch.zeros(samples * classes, dtype=torch.float64, device=logits.device)
        sums = zeros.scatter_add_(0, slots, found.flatten().double())
    else:
        sums = torch.bincount(slots, minlength=samples * classes) * found
    by_sample = sums.reshape(samples, classes).to(logits.dtype)
    return by_sample.sum(0, keepdim=True) if batch else by_sample


def _slots(values: Values) -> Tensor:
    """Returns the index of each label in a flat table of samples times classes."""
    labels = values.labels
    samples, classes = values.logits.shape[:2]
    if samples == 1:
        return labels.flatten()
    first = torch.arange(0, samples * classes, classes, device=labels.device)
    return (labels + first.reshape(-1, *[1] * (labels.ndim - 1))).flatten()


def _of(name: str) -> Callable[[str], Poly]:
    return lambda read: Poly.number(1) if read == name else Poly()


def _split(part: Part) -> tuple[Poly, Poly]:
    """Splits a sum into a polynomial over all elements and one over places, which reads their class."""
    if part.by_place:
        if not all(name.endswith(LABEL) for name in part.poly.names):
            raise UntraceableError("elements and places in one product")
        return Poly(), part.poly
    if not part.poly.names <= {"probs", ONE_HOT}:
        raise UntraceableError("more than probabilities over all classes")
    dense: list[tuple[Monomial, float]] = []
    placed: list[tuple[Monomial, float]] = []
    for monomial, number in part.poly.terms:
        read = Poly.of([(monomial, number)]).names
        (placed if ONE_HOT in read else dense).append((monomial, number))
        if ONE_HOT in read and Atom(ONE_HOT) not in monomial:
            raise UntraceableError("a target inside a power")
    return Poly.of(dense), Poly.of(placed).substituted(at_label)
