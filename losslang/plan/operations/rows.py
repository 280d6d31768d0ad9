"""Predictions with their classes last, (B, *S, C), read as rows (B *S, C) where they lie.

Moved to axis 1 the classes of a place lie apart in memory: kernels copy the prediction to gather them.
"""

from __future__ import annotations

from typing import Any

from losslang.diagnostics.mistakes import tensors
from losslang.plan.operations import masks
from losslang.tensors import targets
from losslang.tensors.lazy import torch
from losslang.tensors.targets import Site, broadcasts_to, has_shape
from losslang.vocabulary import Tensor

MOVED = (-1, 1)
"""The axes by which the classes would be moved."""


def rows(pred: Any) -> Any:
    """Returns a prediction (B, *S, C) as rows; one that is (B, C) already, or no tensor, as it is."""
    return pred.flatten(0, -2) if isinstance(pred, torch.Tensor) and pred.ndim > 2 else pred


def rows_of_target(value: Any, pred: Any, site: Site, form: str, **options: Any) -> Any:
    """Returns a target of a prediction (B, *S, C) for its rows: one class a row, or one number a class.

    `form` is the operation that reads it, with its `options`. What does not fit is refused in the shapes of
    the call.
    """
    if not isinstance(value, torch.Tensor) or not isinstance(pred, torch.Tensor) or pred.ndim <= 2:
        return value
    places, classes, is_of_classes = pred.shape[:-1], pred.shape[-1], form in ("labels", "dense", "signs")
    if is_of_classes and has_shape(value, places):
        flat = value.flatten()
        return flat.unsqueeze(-1) if classes == 1 and form != "labels" else flat
    if has_shape(value, pred.shape):
        return value.flatten(0, -2)
    if is_of_classes and has_shape(value, (*places, 1)):
        return value.flatten()
    seen = masks.moved(value, pred, *MOVED), masks.moved(pred, pred, *MOVED)
    read = getattr(targets, form)(*seen, site, **options)
    return (read.movedim(1, -1) if read.ndim == pred.ndim else read).flatten(0, -2)


def rows_of_weight(value: Any, pred: Any, site: Site, vector: str, frame: str) -> Any:
    """Returns a mask or a weight beside a prediction (B, *S, C) for its rows: (N, 1) or (N, C).

    A number, and a vector of channels, stay as they are. `frame` says how the values of the loss lie.
    """
    if not isinstance(value, torch.Tensor) or not isinstance(pred, torch.Tensor) or pred.ndim <= 2:
        return value
    if value.ndim == 0 or (value.ndim == 1 and vector == "channels"):
        return value
    rank, places = pred.ndim, pred.shape[:-1]
    laid = value.reshape(-1, *[1] * (rank - 1)) if value.ndim == 1 else value
    laid = laid.unsqueeze(-1) if laid.ndim == rank - 1 else laid
    shapes = tuple(value.shape), tuple(pred.shape)
    if laid.ndim != rank or not broadcasts_to(laid, pred.shape):
        along_channels = vector == "channels"
        where = rank - 1, along_channels, frame
        raise site.error(tensors.does_not_lie(site.span, site.term, site.operand, *shapes, *where))
    if frame == "places" and laid.shape[-1] != 1:
        kind = "one per sample and place"
        coarser = tuple(places), (*places, 1)
        raise site.error(tensors.too_fine(site.span, site.term, site.operand, shapes[0], kind, coarser))
    return laid.expand(*places, laid.shape[-1]).flatten(0, -2)


def places(values: Tensor, pred: Tensor) -> Tensor:
    """Returns values of rows in the places of the prediction, (B, *S)."""
    return values.reshape(pred.shape[:-1])
