"""Sums of polynomials in a softmax and the class of each place, and their gradient.

With y the class of a place, every sum is that of a polynomial in p over all elements, plus that of a
polynomial in p_y and log p_y over the places: one-hot targets never exist.

    v = ∂/∂p over the elements,  q = p_y ∂/∂p_y + ∂/∂log p_y over the places
    d/dx_c = p_c (v_c - Σ v p - q) + [c = y] q
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from losslang.closed.algebra import ONE_HOT, Atom, Monomial, Poly
from losslang.closed.evaluate import Horner, Maker, Scratch, Values, Weighed, along, horner, summed
from losslang.closed.trace import LABEL, Part, UntraceableError, at_label
from losslang.lazy import torch
from losslang.vocabulary import Tensor


def _log_of_label(values: Values) -> Tensor:
    """log p_y: of p_y where it is a number to take a logarithm of, else from the logits."""
    probs = values["probs" + LABEL]
    if bool(probs.min() > torch.finfo(probs.dtype).tiny * 2**10):
        return probs.log()
    return _pick(torch.log_softmax(values["logits"], 1), values["labels"])


def _probs(values: Values) -> Tensor:
    """softmax, of a copy that lies in one piece: torch would make one too, in new memory."""
    logits = values["logits"]
    copy = values.scratch.like(logits).copy_(logits)
    return torch.softmax(copy, 1, out=copy)


MAKERS: Mapping[str, Maker] = {
    "probs": _probs,
    "probs" + LABEL: lambda v: _pick(v["probs"], v["labels"]),
    "log_probs" + LABEL: _log_of_label,
}


class Softmax:
    """The sums of a block, and the gradient of their weighted sum."""

    def __init__(self, parts: Sequence[Part], regions: Sequence[tuple[int, bool]]):
        split = [_split(part) for part in parts]
        self.pieces = [
            (
                horner(dense) if dense.terms else None,
                horner(placed) if placed.terms else None,
                part.by_place,
                region,
            )
            for (dense, placed), part, region in zip(split, parts, regions, strict=True)
        ]
        self.slope = Weighed([dense.derivative(_of("probs")) for dense, _ in split])
        chains = [_chain(placed) for _, placed in split]
        self.chain, self.has_chain = Weighed(chains), [bool(chain.terms) for chain in chains]

    def sums(self, logits: Tensor, labels: Tensor, scratch: Scratch) -> list[Tensor]:
        """Every part, summed over its region; what two losses sum is summed once."""
        values = Values(MAKERS, scratch, logits=logits, labels=labels)
        known: dict[Any, Tensor] = {}
        for piece in self.pieces:
            if piece not in known:
                known[piece] = _sum(values, *piece)
        return [known[piece] for piece in self.pieces]

    def _placed(self, index: int, weight: Tensor, logits: Tensor, labels: Tensor) -> Any:
        """The weight of a part at every place: of a sum by class, that of the place's class."""
        if self.pieces[index][2] or weight.numel() == 1:
            return along(weight, labels.ndim)
        return _pick(_full(weight, logits), labels) if self.has_chain[index] else 0.0

    def gradient(
        self, logits: Tensor, labels: Tensor, weights: Sequence[Tensor], scratch: Scratch, out: Tensor
    ) -> None:
        """Writes d(Σ weight * part) / d(logits) to `out`."""
        values = Values(MAKERS, scratch, logits=logits, labels=labels)
        probs = values["probs"]
        placed = [self._placed(i, weight, logits, labels) for i, weight in enumerate(weights)]
        q = _everywhere(self.chain.of(values, placed), labels, logits)
        v = self.slope.of(values, [along(weight, logits.ndim) for weight in weights])
        inward = (q + _inner(v, probs)).unsqueeze(1)
        factor = torch.sub(v, inward, out=scratch.like(probs)) if isinstance(v, torch.Tensor) else v - inward
        torch.mul(probs, factor, out=out).scatter_add_(1, labels.unsqueeze(1), q.unsqueeze(1))


def _sum(
    values: Values, dense: Horner | None, placed: Horner | None, by_place: bool, region: tuple[int, bool]
) -> Tensor:
    keep, batch = region
    logits, labels = values["logits"], values["labels"]
    total = None
    if dense is not None:
        total = summed(_everywhere(dense.value(values), logits, logits), keep, batch)
    if placed is not None:
        part = _everywhere(placed.value(values), labels, logits)
        if by_place or not keep:
            part = summed(part, keep, batch)
        else:
            part = _by_class(part, labels, logits.shape[1], batch)
        total = part if total is None else total + part
    assert total is not None
    return total


def _chain(placed: Poly) -> Poly:
    """p_y ∂/∂p_y + ∂/∂log p_y."""
    probs = "probs" + LABEL
    return placed.derivative(_of(probs)) * Poly.atom(Atom(probs)) + placed.derivative(_of("log_" + probs))


def _full(weight: Tensor, like: Tensor) -> Tensor:
    return weight.reshape(*weight.shape, *[1] * (like.ndim - weight.ndim)).expand(like.shape)


def _everywhere(value: Any, like: Tensor, real: Tensor) -> Tensor:
    """A tensor of the shape of `like`, also of a number."""
    if isinstance(value, torch.Tensor):
        return value.expand(like.shape)
    return torch.full(like.shape, value, dtype=real.dtype, device=real.device)


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


def _by_class(values: Tensor, labels: Tensor, classes: int, batch: bool) -> Tensor:
    """Σ over the places of each class, per sample or over all samples; summed in float64."""
    samples = labels.shape[0]
    first = torch.arange(0, samples * classes, classes, device=labels.device).reshape(
        -1, *[1] * (labels.ndim - 1)
    )
    sums = torch.bincount((labels + first).flatten(), values.flatten().double(), samples * classes)
    by_sample = sums.reshape(samples, classes).to(values.dtype)
    return by_sample.sum(0, keepdim=True) if batch else by_sample


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
