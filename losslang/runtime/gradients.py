"""Gradients of the terms: how much of what a tensor is moved by is each term's, and where they pull apart."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes.inside import nothing_reached
from losslang.diagnostics.source import Source
from losslang.meaning.layout import without_slices
from losslang.meaning.meaning import Input
from losslang.plan.operations.call import fetch
from losslang.plan.plan import Plan
from losslang.tensors.devices import widest
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor


class Gradients(NamedTuple):
    """The answer of `loss.gradients`, term by term. It prints itself as a table.

    `norms` are the lengths of the gradients of the contributions, all chosen tensors as one vector; `shares`
    what each is of their sum. `cosines[i, j]` says how the gradients of two terms lie: 1 along, -1 against
    each other, NaN where one is 0.
    """

    names: tuple[str, ...]
    norms: Tensor
    shares: Tensor
    cosines: Tensor

    def __str__(self) -> str:
        width = max(len("term"), *map(len, self.names))
        columns = [max(6, len(name)) for name in self.names]
        heads = "  ".join(f"{name:>{n}}" for name, n in zip(self.names, columns, strict=True))
        lines = [f"{'term':<{width}}  {'norm':>10}  {'share':>6}  cosine {heads}".rstrip()]
        for i, name in enumerate(self.names):
            cosines = "  ".join(f"{_cosine(self.cosines[i, j]):>{n}}" for j, n in enumerate(columns))
            lines.append(f"{name:<{width}}  {self.norms[i]:>10.4g}  {self.shares[i]:>6.1%}         {cosines}")
        return "\n".join(lines)


def _cosine(value: Tensor) -> str:
    return "-" if value.isnan() else f"{value.item():.2f}"


def predictions(plan: Plan, roots: Sequence[Any]) -> list[Tensor]:
    """The tensors of `pred` that a plan reads, each once, slices as what they are cut from."""
    found: dict[int, Tensor] = {}
    for step in plan.inputs:
        path = dict(step.options)["path"]
        assert isinstance(path, Input)
        if path.root != "pred":
            continue
        assert step.site is not None
        tensor = fetch(roots[0], without_slices(path), step.site)
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
            found[id(tensor)] = tensor
    return list(found.values())


@contextmanager
def leaves_of(tensors: Iterable[Tensor]) -> Generator[None]:
    """Makes tensors that are no part of a graph ask for a gradient, as long as this lasts."""
    bare = [tensor for tensor in tensors if not tensor.requires_grad]
    for tensor in bare:
        tensor.requires_grad_()
    try:
        yield
    finally:
        for tensor in bare:
            tensor.requires_grad_(False)


def compare(terms: Mapping[str, Tensor], wrt: Iterable[Tensor], source: Source, *, wanted: str) -> Gradients:
    """The gradients of terms at tensors. Raises LossError if no term is computed from any of them."""
    tensors = [tensor for tensor in wrt if tensor.requires_grad]
    rows: list[list[Tensor | None]] = []
    for term in terms.values():
        found: Sequence[Tensor | None] = [None] * len(tensors)
        if term.requires_grad and tensors:
            found = torch.autograd.grad(term, tensors, retain_graph=True, allow_unused=True)
        rows.append(list(found))
    if all(gradient is None for row in rows for gradient in row):
        raise LossError([nothing_reached(source.whole, wanted).at(source)])
    products = _products(rows, tensors[0])
    norms = products.diagonal().sqrt()
    whole = norms.sum()
    shares = torch.where(whole > 0, norms / whole, torch.zeros_like(norms))
    return Gradients(tuple(terms), norms, shares, products / (norms[:, None] * norms[None, :]))


def _products(rows: Sequence[Sequence[Tensor | None]], like: Tensor) -> Tensor:
    """The inner product of the gradients of each two terms."""
    dtype = widest(like)
    products = torch.zeros(len(rows), len(rows), dtype=dtype, device=like.device)
    for gradients in zip(*rows, strict=True):
        flat = [None if g is None else g.detach().to(like.device, dtype).flatten() for g in gradients]
        for i, one in enumerate(flat):
            for j, other in enumerate(flat[: i + 1]):
                if one is not None and other is not None:
                    products[i, j] = products[j, i] = products[i, j] + one @ other
    return products
