"""Every loss of the registry: its uses, a call for each, and what the textbook makes of it."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import pytest
import torch
from formulas import DATA
from reference import evaluate
from torch import Tensor

import losslang
from losslang.meaning.frame import frame
from losslang.meaning.layout import is_of_rows
from losslang.primitives.primitive import Loss
from losslang.registry import current_registry
from losslang.vocabulary import LAYERS

LOSSES = {loss.name: loss for loss in current_registry().all(Loss) if loss.wants != "parameters"}
"""All but those of parameters, which read no tensor of the call: tests/losses/test_regularizers.py."""
TRAINED = [name for name, loss in LOSSES.items() if not loss.metric_only]
REGION = [name for name, loss in LOSSES.items() if loss.is_region]
FRAMES = {name: frame(loss, "element") for name, loss in LOSSES.items()}
"""Where the values of a loss lie: rows, regions, samples, places, elements, or one number."""
SIGNALS = ("ms_ssim",)
"""Losses of images that are tried on signals (B, C, T): theirs would have to be large."""
Call = tuple[Tensor, Any, dict[str, Any]]
CLASSES = 7
"""What a last layer tells apart."""


def compiled(text: str, **more: Any) -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        return losslang.compile(text, **more)


# -------------------------------------------------------------------- uses and data of a loss


@cache
def uses(name: str) -> tuple[str, ...]:
    """The activations under which a loss is tried: `''` is its default."""
    loss = LOSSES[name]
    if loss.wants != "probs" or loss.activation is not None:
        return ("",)
    # A divergence compares distributions, and the sigmoids of one sample are none.
    return (
        ("softmax", "identity") if "target_probs" in loss.parameters else ("sigmoid", "softmax", "identity")
    )


USES = [(name, use) for name in TRAINED for use in uses(name)]
each_use = pytest.mark.parametrize(("name", "use"), USES, ids=[f"{n}-{u}" if u else n for n, u in USES])


def text_of(name: str, use: str = "", *options: str) -> str:
    """A program of this loss alone, its operands beyond the first two from the batch."""
    loss = LOSSES[name]
    operands = [o.name for o in loss.operands if o.name not in ("pred", "target")]
    inside = [*([use] if use else []), *options, *(f"{o}=batch.{o}" for o in operands)]
    if name in SIGNALS:
        inside.append("channels=first")
    return f"{name}({', '.join(inside)})" if inside else name


def of_samples(batch: dict[str, Any], rows: Any) -> dict[str, Any]:
    """The other operands of some samples; a layer is the same for all."""
    return {k: v if k in LAYERS else v[rows] for k, v in batch.items()}


def form_of(name: str, use: str = "") -> str:
    """What kind of target is natural for a loss."""
    loss = LOSSES[name]
    names = set(loss.parameters)
    if "indices" in names:
        return "rows"
    if "position" in names:
        return "position"
    if "signs" in names:
        return "signs"
    if "labels" in names or ("positive_truth" in names and use == "softmax"):
        return "indices"
    if names & {"target_probs", "target_logits"}:
        return "soft"
    if loss.axes[loss.views[0]][-1] == "4":
        return "boxes"
    return "classes" if loss.has_classes else "like"


def data(
    name: str,
    use: str = "",
    *,
    seed: int = 0,
    shape: tuple[int, ...] = (3, 4, 2, 3),
    dtype: Any = torch.float64,
) -> Call:
    """A prediction, a target and the other operands of a loss."""
    loss, r = LOSSES[name], torch.Generator().manual_seed(seed)
    form = form_of(name, use)
    if name in DATA:
        pred, target, batch = DATA[name](r)

        def typed(value: Any) -> Any:
            return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

        if loss.wants == "probs" and use in ("", "identity") and loss.activation is None:
            pred = torch.softmax(pred, 1) if pred.min() < 0 or pred.max() > 1 else pred
        return typed(pred), typed(target), {k: typed(v) for k, v in batch.items()}

    def real(*size: int) -> Tensor:
        return torch.randn(size, generator=r, dtype=torch.float64)

    if form == "boxes":
        # The second half is positive: read as corners or as sizes, they are boxes.
        low, other = -real(5, 2).abs(), -real(5, 2).abs()
        high, others = 0.5 + real(5, 2).abs(), 0.5 + real(5, 2).abs()
        pred, target = torch.cat([low, high], -1), torch.cat([other, others], -1)
        return pred.to(dtype), target.to(dtype), {}
    if is_of_rows(loss):
        # Of four axes none would say where a row lies.
        shape = (*shape[:2], shape[-1])
    pred = real(*shape)
    b, c, *space = shape
    indices = torch.randint(0, c, (b, *space), generator=r)
    onehot = torch.nn.functional.one_hot(indices, c).movedim(-1, 1).double()
    target: Any = {
        "signs": 2 * onehot - 1,
        "indices": indices,
        "rows": torch.randint(0, CLASSES, shape[:-1], generator=r),
        "position": torch.rand(shape[:-1], generator=r, dtype=torch.float64) * (shape[-1] - 1),
        "soft": torch.softmax(real(*shape), 1),
        "classes": onehot,
        "like": real(*shape),
    }[form]
    if "target" in loss.nonnegative:
        target = target.abs().round() if name == "poisson_nll" else target.abs()
    if use == "identity" or (not use and loss.wants == "probs" and loss.activation != "softmax"):
        pred = torch.softmax(pred, 1)
    if name == "nll":
        pred = torch.log_softmax(pred, 1)
    target = target.to(dtype) if target.is_floating_point() else target
    others: dict[str, Any] = {}
    for operand in (o.name for o in loss.operands if o.name not in ("pred", "target")):
        own = shape if loss.axes[operand] == loss.axes[loss.views[0]] else shape[:-1]
        if operand in LAYERS:
            made = real(CLASSES, shape[-1])
        elif operand == "sign":
            made = torch.where(real(*own) > 0, 1.0, -1.0).double()
        else:
            made = real(*own).abs() + 0.1
        others[operand] = made.to(dtype)
    if "target" not in [o.name for o in loss.operands]:
        target = None
    return pred.to(dtype), target, others


def run(name: str, use: str, call: Call, *options: str) -> Tensor:
    pred, target, batch = call
    return compiled(text_of(name, use, *options))(pred, target, **batch)


def value_and_gradient(loss: Any, call: Call) -> tuple[Tensor, Tensor]:
    pred, target, batch = call
    pred = pred.detach().clone().requires_grad_()
    value = loss(pred, target, **batch)
    (grad,) = torch.autograd.grad(value, pred, allow_unused=True)
    return value.detach(), torch.zeros_like(pred) if grad is None else grad


def masked(name: str, use: str, call: Call, rank: str) -> Tensor:
    """A mask that hides about half, of one of the ranks that lie."""
    pred = call[0]
    r = torch.Generator().manual_seed(4)
    shape = {
        "sample": pred.shape[:1],
        "place": pred.shape[:-1] if FRAMES[name] == "rows" else pred.shape[:1] + pred.shape[2:],
    }[rank]
    mask = torch.rand(shape, generator=r) > 0.5
    mask.view(-1)[0], mask.view(-1)[-1] = True, False
    return mask


def over_prediction(name: str, mask: Tensor, pred: Tensor) -> Tensor:
    """The mask in the prediction's shape."""
    if mask.ndim == pred.ndim - 1:
        axis = -1 if FRAMES[name] == "rows" else 1
        return mask.unsqueeze(axis).expand_as(pred)
    return mask.reshape(-1, *[1] * (pred.ndim - 1)).expand_as(pred)


# -------------------------------------------------------------------- the textbook


def against_the_textbook(text: str, call: Call) -> None:
    pred, target, batch = call
    pred = pred.detach().clone().requires_grad_()
    found, wanted = compiled(text)(pred, target, **batch), evaluate(text, pred, target, batch).total
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11, msg=lambda m: f"{text}: {m}")
    if wanted.requires_grad:
        a, b = (
            torch.autograd.grad(v, pred, retain_graph=True, allow_unused=True)[0] for v in (found, wanted)
        )
        zero = torch.zeros_like(pred)
        a, b = zero if a is None else a, zero if b is None else b
        scale = b.abs().max().item() if b.numel() else 1.0
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9 * scale + 1e-13, msg=lambda m: f"{text}: {m}")
