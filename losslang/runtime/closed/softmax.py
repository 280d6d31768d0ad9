"""Sums of polynomials in a softmax and the class of each place, and their gradient.

With y the class of a place, every sum is that of a polynomial in p over all elements, plus that of a
polynomial in p_y and log p_y over the places: one-hot targets never exist.

    v = ∂/∂p over the elements,  q = p_y ∂/∂p_y + ∂/∂log p_y over the places
    d/dx_c = p_c (v_c - Σ v p - q) + [c = y] q
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from losslang.runtime.closed.algebra import ONE_HOT, Atom, Monomial, Poly
from losslang.runtime.closed.evaluate import Region, Weighed, everywhere, polynomial, result, summing
from losslang.runtime.closed.scratch import Scratch
from losslang.runtime.closed.symbols import LABEL, UntraceableError, at_label
from losslang.runtime.closed.tape import Tape
from losslang.runtime.closed.trace import Part
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

LEAST = 2.0**-10
"""The sum of exponentials from which on none that matters has been lost in it."""


class Values:
    """The tensors of one block by name, each made once. `kept`: which places count; None if all do."""

    def __init__(self, logits: Tensor, labels: Tensor, scratch: Scratch, kept: Tensor | None):
        self.logits = logits
        self.labels = labels
        self.scratch = scratch
        self.kept = kept
        self.known: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.known:
            self.known[name] = MAKERS[name](self)
        return self.known[name]

    def of(self, names: Sequence[str]) -> list[Tensor]:
        return [self[name] for name in names]


def _probs(values: Values) -> Tensor:
    return softmax(values.logits, values.scratch.like(values.logits), values.kept)


def _probs_of_label(values: Values) -> Tensor:
    """p_y; 1 where a place is not kept."""
    probs = _pick(values["probs"], values.labels)
    return probs if values.kept is None else probs.where(values.kept, 1.0)


def _log_of_label(values: Values) -> Tensor:
    """log p_y: of p_y where it is a number to take a logarithm of, else from the logits."""
    probs = values["probs" + LABEL]
    if bool(probs.min() > torch.finfo(probs.dtype).tiny / LEAST**2):
        return probs.log()
    return _pick(torch.log_softmax(_finite(values.logits, values.kept), 1), values.labels)


def softmax(logits: Tensor, out: Tensor, kept: Tensor | None = None) -> Tensor:
    """The softmax along dimension 1, in `out`.

    e^x / Σ e^x as it stands takes half the time of torch's kernel, which subtracts the largest logit
    first. That is left to it where a sum shows that it matters: one that is no number, or that is small.
    """
    sums = torch.exp(logits, out=out).sum(1, keepdim=True)
    if kept is not None:
        # What is not kept decides nothing, and is a probability or 0.
        odd = ~(kept.unsqueeze(1) | ((sums > LEAST) & (sums < torch.inf)))
        if bool(odd.any()):
            out.masked_fill_(odd, 0.0)
            sums.masked_fill_(odd, 1.0)
    least, most = sums.aminmax()
    if least.item() > LEAST and most.item() < torch.inf:
        return out.div_(sums)
    return out.copy_(torch.softmax(_finite(logits, kept), 1))


def _finite(logits: Tensor, kept: Tensor | None) -> Tensor:
    """Logits that are 0 where a place is not kept."""
    return logits if kept is None else logits.masked_fill(~kept.unsqueeze(1), 0.0)


MAKERS: Mapping[str, Callable[[Values], Tensor]] = {
    "probs": _probs,
    "slots": lambda v: _slots(v),
    "probs" + LABEL: _probs_of_label,
    "log_probs" + LABEL: _log_of_label,
}


class Softmax:
    """The sums of a block, and the gradient of their weighted sum."""

    keeps = True
    masks = True

    def __init__(self, parts: Sequence[Part], regions: Sequence[Region], rank: int):
        split = [_split(part) for part in parts]
        found = [
            (*own, part.by_place, region) for own, part, region in zip(split, parts, regions, strict=True)
        ]
        # What two losses sum is summed once.
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
        place: Tensor | None = None,
        kept: Tensor | None = None,
    ) -> list[Tensor]:
        """Every piece, summed over its region, of the places that are kept.

        The probabilities are computed in `place`, if it is given.
        """
        values = Values(logits, labels, scratch, kept)
        if place is not None:
            values.known["probs"] = softmax(logits, place, kept)
        share = None if kept is None else kept.to(logits.dtype)
        return [piece.sum(values, share) for piece in self.pieces]

    def parts(self, totals: Sequence[Tensor]) -> list[Tensor]:
        """What the pieces are of, each in a tensor of its own: a loss may compute in it."""
        return [totals[place].clone() for place in self.order]

    def _placed(self, index: int, weight: Any, values: Values) -> Any:
        """The weight of a part at every place: of a sum by class, that of the place's class."""
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
        filled: bool = False,
        kept: Tensor | None = None,
    ) -> None:
        """Writes d(Σ cotangent * sum) / d(logits) to `out`, where the probabilities stand if it is `filled`.

        Where a place is not kept it is 0.
        """
        values = Values(logits, labels, scratch, kept)
        if filled:
            values.known["probs"] = out
        probs = values["probs"]
        placed = [self._placed(i, weight, values) for i, weight in enumerate(cotangents)]
        q = self.chain.of(values.of(self.chain.given), placed, scratch)
        q = everywhere(q, labels, logits)
        v = self.slope.of(values.of(self.slope.given), cotangents, scratch)
        inward = (q + _inner(v, probs)).unsqueeze(1)
        factor = torch.sub(v, inward, out=scratch.like(probs)) if isinstance(v, torch.Tensor) else v - inward
        if kept is not None:
            share = kept.to(logits.dtype)
            factor, q = factor.mul_(share.unsqueeze(1)), q * share
        torch.mul(probs, factor, out=out).scatter_add_(1, labels.unsqueeze(1), q.unsqueeze(1))


@dataclass(frozen=True)
class Piece:
    """A sum of a polynomial over the elements, and of another one over the places; either may be missing."""

    dense: Tape | None
    placed: Tape | None
    by_class: bool
    region: Region
    rank: int

    @classmethod
    def of(cls, dense: Poly, placed: Poly, by_place: bool, region: Region, rank: int) -> Piece:
        return cls(_tape(dense), _tape(placed), not by_place and region[0] == 2, region, rank)

    def sum(self, values: Values, share: Tensor | None) -> Tensor:
        """The sum in a block of which every place has its share: 1, or 0 where it is masked."""
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
    """Σ_c v_c p_c at every place."""
    if not isinstance(v, torch.Tensor):
        return v
    if probs.ndim > 2 and v.shape[1:].numel() == probs.shape[1]:
        found = v.flatten(1).unsqueeze(1).expand(probs.shape[0], 1, -1) @ probs.flatten(2)
        return found.reshape(probs.shape[0], *probs.shape[2:])
    return (v * probs).sum(1)


def _pick(values: Tensor, labels: Tensor) -> Tensor:
    return values.gather(1, labels.unsqueeze(1)).squeeze(1)


def _by_class(found: Any, values: Values, batch: bool) -> Tensor:
    """Σ over the places of each class, per sample or over all samples; summed in float64.

    A number at every place is that number times how many places a class has.
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
    """The place of each label in a table of samples by classes."""
    labels = values.labels
    samples, classes = values.logits.shape[:2]
    if samples == 1:
        return labels.flatten()
    first = torch.arange(0, samples * classes, classes, device=labels.device)
    return (labels + first.reshape(-1, *[1] * (labels.ndim - 1))).flatten()


def _of(name: str) -> Callable[[str], Poly]:
    return lambda read: Poly.number(1) if read == name else Poly()


def _split(part: Part) -> tuple[Poly, Poly]:
    """The polynomial over all elements, and that over the places, which reads the class of each."""
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
