"""What the laws of tests/losses/test_edges.py are tried on: nearly equal numbers, and the edges of a domain."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from _every_loss import LOSSES, Call, data, form_of
from torch import Tensor, nn

from losslang.vocabulary import LAYERS

Named = tuple[str, Call]
SMALLER = {"ms_ssim": ("window=3", "scale_weights=[0.3, 0.7]")}
"""Options with which a loss takes the small images of these laws."""


def real(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def typed(call: Call, dtype: torch.dtype) -> Call:
    """The same in another type; a network too."""

    def to(value: Any) -> Any:
        if isinstance(value, nn.Module):
            return copy.deepcopy(value).to(dtype)
        return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

    return to(call[0]), to(call[1]), {name: to(value) for name, value in call[2].items()}


def kind_of(name: str, use: str) -> str:
    """What the prediction is: images, values, rows, boxes, logits, probs or log_probs."""
    loss = LOSSES[name]
    if form_of(name, use) == "boxes":
        return "boxes"
    if loss.given == "log_probs":
        return "log_probs"
    if loss.wants in ("embeddings", "hidden"):
        return "rows"
    if loss.wants == "values":
        return "images" if "*space" in loss.axes[loss.views[0]] else "values"
    return "probs" if loss.wants == "probs" and use in ("", "identity") and not loss.activation else "logits"


def is_real(target: Any, pred: Tensor) -> bool:
    """Whether a target is made of numbers like the prediction."""
    return isinstance(target, Tensor) and target.is_floating_point() and target.shape == pred.shape


# -------------------------------------------------------------------- differences of nearly equal numbers


def nearly_equal(name: str, use: str) -> Iterator[Named]:
    """Calls in float32 in which something is a small difference of large numbers."""
    kind = kind_of(name, use)
    if kind == "images":
        calls = _near_images(name, use)
    elif kind == "rows":
        calls = _near_rows(name, use)
    elif kind == "boxes":
        calls = _near_boxes()
    elif kind == "values":
        calls = _near_values(name, use)
    else:
        calls = _near_classes(name, use, kind)
    for label, call in calls:
        yield label, typed(call, torch.float32)


def flat_background(*shape: int) -> Tensor:
    """A z-scored image: a blob on a background of one number, as a scan is after its head was cut out."""
    inside = torch.zeros(shape, dtype=torch.bool)
    inside[(..., *(slice(n // 3, n // 3 + n // 4 + 1) for n in shape[2:]))] = True
    image = torch.where(inside, 100 + 30 * real(*shape), 0.0)
    return (image - image.mean()) / image.std()


def _near_images(name: str, use: str) -> Iterator[Named]:
    shape = (2, 1, 48, 48) if name == "ms_ssim" else (2, 1, 24, 24)
    image, noise, more = flat_background(*shape), real(*shape, seed=3), real(*shape, seed=4)
    ground = torch.full_like(image, image.min().item())
    pairs = {
        "a flat background": (torch.where(image > ground, image + 0.1 * more, ground), image),
        "nothing but background": (ground, ground),
        "a large offset": (1000 + noise + 0.3 * more, 1000 + noise),
        "nearly equal": (3 + noise.abs() + 0.01 * more, 3 + noise.abs()),
    }
    _, truth, batch = data(name, use)
    for label, (pred, target) in pairs.items():
        others = {"image": torch.cat([target, pred], 1)} if "image" in batch else batch
        yield label, (pred, None if truth is None else target, others)


def _near_rows(name: str, use: str) -> Iterator[Named]:
    pred, target, batch = data(name, use)
    one = real(1, pred.shape[-1], seed=1)
    for label, rows in (
        ("rows nearly equal", one + 0.01 * real(*pred.shape, seed=2)),
        ("rows with an offset", 100 + real(*pred.shape, seed=2)),
    ):
        beside = [rows + 0.01 * real(*rows.shape, seed=seed) for seed in (3, 4)]
        others = {k: beside.pop() if is_real(v, pred) else v for k, v in batch.items()}
        yield label, (rows, beside[0] if is_real(target, pred) else target, others)


def _near_boxes() -> Iterator[Named]:
    """Boxes a twentieth of a pixel apart, near the corner of an image and far from it."""
    for place in (0.0, 4096.0):
        low = place + 20 * real(6, 2, seed=1).abs()
        target = torch.cat([low, low + 20 + 30 * real(6, 2, seed=2).abs()], -1)
        yield f"boxes at {place:g}", (target + 0.05 * real(6, 4, seed=3), target, {})


def _near_values(name: str, use: str) -> Iterator[Named]:
    """Data with an offset; for a predicted logarithm, that of the data."""
    pred, target, batch = data(name, use)
    is_logarithm = LOSSES[name].nonnegative and name not in ("gaussian_nll", "listwise_softmax")
    for label, offset, apart in (("a large offset", 1000.0, 1.0), ("nearly equal", 3.0, 1e-3)):
        base = offset + real(*pred.shape, seed=5).abs()
        # A logarithm in single precision leaves five digits of what it is the logarithm of.
        near = (
            base * (1 + 0.03 * real(*pred.shape, seed=6))
            if is_logarithm
            else base + apart * real(*pred.shape, seed=6)
        )
        values = near.log() if is_logarithm else near
        others = {
            k: near if k in ("baseline", "history") and v.shape == near.shape else v for k, v in batch.items()
        }
        signs = form_of(name, use) == "signs"
        yield label, (values, target if signs or target is None else base, others)


def _near_classes(name: str, use: str, kind: str) -> Iterator[Named]:
    pred, target, batch = data(name, use)
    yield "as it is", (pred, target, batch)
    if kind == "logits" and use != "sigmoid" and LOSSES[name].wants == "probs":
        yield "logits with an offset", (pred + 1000, target, batch)
    if form_of(name, use) == "soft":
        beside = 0.01 * real(*pred.shape, seed=5)
        logits = pred if kind == "logits" else pred.log()
        is_teacher = "target_logits" in LOSSES[name].parameters
        yield (
            "nearly equal",
            (pred, logits + beside if is_teacher else torch.softmax(logits + beside, 1), batch),
        )


# -------------------------------------------------------------------- edges of a domain


def edges(name: str, use: str, option: str = "", value: str = "") -> Iterator[Named]:
    """Predictions, targets and other operands at the edge, each with each."""
    pred, target, batch = _sized(name, use, option, value)
    if (name, option, value) == ("poisson_nll", "log_input", "false"):
        pred = pred.abs()
    for (a, p), (b, t) in product(_predictions(name, use, pred, target), _targets(name, use, pred, target)):
        for c, others in _operands(name, p, t, batch):
            yield f"prediction {a}, target {b}, {c}", (p, t, others)


def _sized(name: str, use: str, option: str, value: str) -> Call:
    """Data in a size that an option asks for."""
    pred, target, batch = data(name, use)
    if option == "q" and value.startswith("["):
        return pred, target[..., 0], batch
    if option == "window" and "ssim" in name:
        pred, target = (x.repeat(1, 1, 4, 4) for x in (pred, target)) if pred.ndim == 4 else (pred, target)
    if option == "seasonality":
        batch = {"history": batch["history"].repeat(1, 5)}
    return pred, target, batch


def _predictions(name: str, use: str, pred: Tensor, target: Any) -> Iterator[tuple[str, Tensor]]:
    kind = kind_of(name, use)
    yield "as it is", pred
    zeros = torch.zeros_like(pred)
    if kind == "boxes":
        yield "without area", torch.cat([pred[:, :2], pred[:, :2]], -1)
    if kind == "rows":
        yield "with a row of zeros", torch.cat([zeros[:1], pred[1:]])
        yield "of rows that are alike", pred[:1].expand_as(pred)
    if kind in ("logits", "log_probs", "probs"):
        for size in (200.0, 3e4):
            first = torch.full_like(pred, -size)
            first[:, 0] = size
            for label, logits in (("sure", pred.sign() * size), ("sure of the first", first)):
                function = {"logits": torch.clone, "probs": _softmax, "log_probs": _log_softmax}[kind]
                yield f"{label}, {size:g}", function(logits)
    if kind == "probs":
        yield "of 1", torch.ones_like(pred)
        if is_real(target, pred):
            yield "the opposite", 1 - target
    if kind != "log_probs":
        yield "of zeros", zeros
    if is_real(target, pred) and kind not in ("logits", "log_probs"):
        yield "equal", target.clone()


def _softmax(logits: Tensor) -> Tensor:
    return torch.softmax(logits, 1)


def _log_softmax(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits, 1)


def _targets(name: str, use: str, pred: Tensor, target: Any) -> Iterator[tuple[str, Any]]:
    yield "as it is", target
    form = form_of(name, use)
    if not isinstance(target, Tensor) or not target.is_floating_point() or form == "signs":
        return
    if form == "soft":
        sure = 200 * pred.roll(1, 0).sign()
        is_teacher = "target_logits" in LOSSES[name].parameters
        yield "underflowed", sure if is_teacher else torch.softmax(sure, 1)
        first = torch.zeros_like(target)
        first[:, 0] = 3e4 if is_teacher else 1
        yield "one-hot", first
        return
    yield "of zeros", torch.zeros_like(target)
    if form == "position":
        yield "the last", torch.full_like(target, pred.shape[-1] - 1)
    if form == "classes":
        yield "of 1", torch.ones_like(target)
        yield "soft", torch.full_like(target, 0.5)


def _operands(
    name: str, pred: Tensor, target: Any, batch: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "others as they are", batch
    for operand, value in batch.items():
        if operand in LAYERS or operand == "sign":
            continue
        yield f"{operand} of zeros", {**batch, operand: torch.zeros_like(value)}
        for label, other in (("the prediction", pred), ("the target", target)):
            if is_real(other, value):
                same = other.abs() if operand in LOSSES[name].nonnegative else other.clone()
                yield f"{operand} as {label}", {**batch, operand: same}
