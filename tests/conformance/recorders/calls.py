"""The calls of the grid: small tensors of fixed seeds, rounded so that a file can hold them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from conformance.points import IGNORED


def _rounded(value: Tensor) -> Tensor:
    return (value * 1000).round() / 1000


def _classes(seed: int, *shape: int) -> dict[str, Tensor]:
    """Logits, probabilities over the classes and one by one, and every form of a truth.

    The last sample lacks class 0, so that what an absent class gives is seen.
    """
    made = torch.Generator().manual_seed(seed)
    batch, channels, *space = shape
    logits = _rounded(2 * torch.randn(*shape, generator=made, dtype=torch.float64))
    labels = torch.randint(channels if channels > 1 else 2, (batch, *space), generator=made)
    if channels > 1:
        labels[-1] = labels[-1].clamp(min=1)
    ignored = labels.masked_fill(torch.rand(labels.shape, generator=made) < 0.2, IGNORED)
    ignored.view(-1)[1] = IGNORED
    dense = _one_hot(labels, channels).to(logits.dtype)
    soft = _rounded(torch.rand(*shape, generator=made, dtype=torch.float64))
    if channels > 1:
        soft = _summing_to_one(soft)
    unknown = dense.masked_fill((ignored == IGNORED).unsqueeze(1).expand(shape), float(IGNORED))
    return {
        "logits": logits,
        "sigmoid": _rounded(logits.sigmoid()),
        "softmax": _summing_to_one(logits.softmax(1)) if channels > 1 else _rounded(logits.sigmoid()),
        "indices": labels,
        "indices-ignored": ignored,
        "dense": dense,
        "dense-ignored": unknown,
        "soft": soft,
    }


def _one_hot(labels: Tensor, channels: int) -> Tensor:
    if channels == 1:
        return labels.unsqueeze(1)
    return torch.nn.functional.one_hot(labels, channels).movedim(-1, 1)


def _summing_to_one(value: Tensor) -> Tensor:
    value = _rounded(0.01 + 0.97 * value / value.sum(1, keepdim=True))
    rest = 1 - value[:, :-1].sum(1, keepdim=True)
    return _rounded(torch.cat([value[:, :-1], rest], 1))


def _values(seed: int, *shape: int) -> dict[str, Any]:
    made = torch.Generator().manual_seed(seed)
    pred, target = (_rounded(torch.randn(*shape, generator=made, dtype=torch.float64)) for _ in range(2))
    signs = torch.where(torch.rand(*shape, generator=made) < 0.5, 1.0, -1.0).double()
    positive = _rounded(torch.rand(*shape, generator=made, dtype=torch.float64) + 0.1)
    return {"pred": pred, "target": target, "signs": signs, "positive": positive}


SHAPES = {
    "2": (6, 3),
    "3": (4, 3, 5),
    "4": (2, 3, 4, 5),
    "5": (2, 3, 2, 2, 3),
    "2one": (6, 1),
    "4one": (3, 1, 4, 5),
    "4two": (2, 2, 4, 5),
    "5two": (2, 2, 2, 3, 3),
    "5one": (2, 1, 2, 3, 3),
}
"""Of predictions with classes, by rank; `one` is one channel."""
ELEMENTS = {"1": (7,), "2": (5, 4), "3": (2, 3, 4), "4": (2, 2, 3, 3)}
"""Of plain values."""


def views() -> Iterator[tuple[str, str, str]]:
    """Rank, view and form of every call with classes."""
    for rank in SHAPES:
        for view in ("logits", "sigmoid", "softmax"):
            forms = ["dense", "dense-ignored", "soft"]
            if not rank.endswith("one"):
                forms += ["indices", "indices-ignored"]
            for form in forms:
                yield rank, view, form


def made(name: str) -> dict[str, Any]:
    """`pred`, `target` and the tensors of `batch` of a call by its name: `4 logits indices`, `2 values positive`."""
    kind, *parts = name.split()
    if kind == "values":
        rank, form = parts
        held = _values(int(rank), *ELEMENTS[rank])
        pred = held["positive"] if form == "positive" else held["pred"]
        target = (
            held["signs"]
            if form == "signs"
            else held["positive"] + 0.25
            if form == "positive"
            else held["target"]
        )
        return {"pred": pred, "target": target, "batch": {}}
    if kind == "classes":
        rank, view, form = parts
        held = _classes(10 + list(SHAPES).index(rank), *SHAPES[rank])
        return {"pred": held[view], "target": held[form], "batch": {}}
    return _special(kind, *parts)


def _special(kind: str, *parts: str) -> dict[str, Any]:
    made = torch.Generator().manual_seed(5)

    def drawn(*shape: int) -> Tensor:
        return _rounded(torch.randn(*shape, generator=made, dtype=torch.float64))

    match kind, parts:
        case "boxes", (rank,):
            shape = {"1": (4,), "2": (5, 4), "3": (2, 3, 4)}[rank]
            corners = [drawn(*shape).abs() for _ in range(4)]
            first, second = (c[..., :2] for c in corners[:2])
            sizes = [c[..., 2:] + 0.2 for c in corners[2:]]
            return {
                "pred": torch.cat([first, first + sizes[0]], -1),
                "target": torch.cat([second, second + sizes[1]], -1),
                "batch": {},
            }
        case "rows", (what,):
            return _rows(what, drawn)
        case "images", (rank,):
            shape = {"3": (2, 1, 24), "4": (2, 3, 16, 16), "4one": (2, 1, 16, 16), "5": (1, 1, 12, 12, 12)}[
                rank
            ]
            pred, target = drawn(*shape).sigmoid(), drawn(*shape).sigmoid()
            return {"pred": _rounded(pred), "target": _rounded(target), "batch": {}}
        case "logits", (what,):
            return _of_logits(what, drawn, made)
        case "series", (rank,):
            shape = {"2": (3, 4), "3": (2, 4, 1)}[rank]
            return {
                "pred": drawn(*shape),
                "target": drawn(*shape),
                "batch": {"history": drawn(shape[0], 9)},
            }
        case "variance", (rank,):
            held = _values(3, *ELEMENTS[rank])
            return {"pred": held["pred"], "target": held["target"], "batch": {"variance": held["positive"]}}
        case "sign", (rank,):
            held = _values(3, *ELEMENTS[rank])
            sign = held["signs"]
            return {"pred": held["pred"], "target": held["target"], "batch": {"sign": sign}}
        case "signrow", ():
            return {"pred": drawn(5, 4), "target": drawn(5, 4), "batch": {"sign": drawn(5).sign()}}
        case "triplet", (rank,):
            shape = {"1": (4,), "2": (5, 4), "3": (2, 3, 4)}[rank]
            return {"pred": {n: drawn(*shape) for n in "abc"}, "target": None, "batch": {}}
        case "smoothness", ():
            return {"pred": drawn(2, 1, 5, 6), "target": None, "batch": {"image": drawn(2, 3, 5, 6)}}
        case _:
            raise LookupError(f"{kind} {' '.join(parts)}")


def _rows(what: str, drawn: Any) -> dict[str, Any]:
    """Embeddings: of two views, or with the class of each row."""
    if what == "views":
        return {"pred": drawn(5, 4), "target": drawn(5, 4), "batch": {}}
    if what in ("single", "cube"):
        shape = (4,) if what == "single" else (2, 3, 4)
        return {"pred": drawn(*shape), "target": drawn(*shape), "batch": {}}
    labels = {
        "classes": [0, 1, 0, 2, 1, 0],
        "alone": [0, 1, 0, 2, 3, 4],
        "one": [0] * 6,
        "apart": list(range(6)),
    }[what]
    return {"pred": drawn(6, 4), "target": torch.tensor(labels), "batch": {}}


def _of_logits(what: str, drawn: Any, made: torch.Generator) -> dict[str, Any]:
    """Logits beside truths of other kinds."""
    if what == "position":
        return {
            "pred": drawn(5, 8),
            "target": _rounded(7 * torch.rand(5, generator=made, dtype=torch.float64)),
            "batch": {},
        }
    if what == "position3":
        truth = _rounded(7 * torch.rand(2, 3, generator=made, dtype=torch.float64))
        return {"pred": drawn(2, 3, 8), "target": truth, "batch": {}}
    if what in ("scores", "scores1", "scores3"):
        shape = {"scores": (3, 4), "scores1": (5,), "scores3": (2, 3, 4)}[what]
        truth = torch.rand(*shape, generator=made, dtype=torch.float64)
        return {"pred": drawn(*shape), "target": _rounded(truth), "batch": {}}
    shape = (2, 4, 3) if what.endswith("3") else (5, 4)
    probs = _summing_to_one(drawn(*shape).softmax(1))
    if what.startswith("logs"):
        probs = _rounded(probs.log())
    return {"pred": probs, "target": _summing_to_one(drawn(*shape).softmax(1)), "batch": {}}
