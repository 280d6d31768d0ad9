"""Looks at the tensors of a call. Those that look at values run in the first eager call alone."""

from __future__ import annotations

from typing import Any

from losslang.lazy import torch
from losslang.mistakes import tensors
from losslang.targets import Site
from losslang.vocabulary import Tensor


def check_channels(pred: Tensor, site: Site, activation: str) -> None:
    """Refuses a softmax over one channel, and a prediction without a class axis."""
    if pred.ndim < 2:
        raise site.mismatch(pred, pred, "a prediction (B, C, ...) with a class axis", "unsqueeze the batch")
    if pred.shape[1] == 1:
        raise site.error(tensors.one_channel_softmax(site.span, site.term, activation, tuple(pred.shape)))


def check_probs(probs: Tensor, site: Site, over: str) -> None:
    """Refuses values outside of [0, 1] where probabilities are read."""
    if probs.numel() and bool(((probs < -1e-4) | (probs > 1 + 1e-4)).any()):
        low, high = float(probs.min()), float(probs.max())
        raise site.error(tensors.not_probabilities(site.span, site.term, low, high, over))


def check_classes(target: Any, pred: Tensor, site: Site) -> None:
    """Refuses class indices that the prediction has no channel for."""
    indices = isinstance(target, torch.Tensor) and not target.dtype.is_floating_point
    if indices and target.shape != pred.shape and pred.ndim > 1 and pred.shape[1] > 1 and target.numel():
        low, high = int(target.min()), int(target.max())
        if low < 0 or high >= pred.shape[1]:
            found = low if low < 0 else high
            raise site.error(tensors.class_out_of_range(site.span, site.term, found, pred.shape[1]))


def check_signs(target: Any, site: Site) -> None:
    """Refuses a float 0 where +1 and -1 are read."""
    if isinstance(target, torch.Tensor) and target.dtype.is_floating_point and bool((target == 0).any()):
        raise site.error(tensors.not_signs(site.span, site.term))


def check_nonnegative(value: Any, site: Site) -> None:
    """Refuses values below 0."""
    if isinstance(value, torch.Tensor) and value.numel() and float(value.min()) < 0:
        found = float(value.min())
        raise site.error(tensors.out_of_range(site.span, site.term, site.operand, found, "at least 0"))
