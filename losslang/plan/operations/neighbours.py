"""Warnings about a term beside another on one prediction: what one leaves out, the other counts."""

from __future__ import annotations

from typing import Any

from losslang.diagnostics.mistakes import beside
from losslang.meaning.layout import channel_axis
from losslang.plan.operations.checks import activated
from losslang.plan.operations.compared import ends_of, values_of
from losslang.plan.operations.notices import warn_once
from losslang.tensors.repairs import has_shape
from losslang.tensors.targets import Site
from losslang.vocabulary import Tensor


def warn_of_unmasked(
    value: Any, pred: Tensor, site: Site, labels: tuple[int, ...], ignoring: str, fix: str
) -> None:
    """Warns, once, of a term that counts the places whose labels its neighbour `ignoring` leaves out."""
    target = values_of(value)
    if target is None or target.dtype.is_floating_point or has_shape(target, pred.shape):
        return
    if any(bool((target == label).any()) for label in labels):
        warn_once(site, beside.counts_what_is_ignored(site.span, site.term, ignoring, labels, fix))


def warn_of_untold_axis(pred: Tensor, site: Site, first: str, last: str) -> None:
    """Warns, once, of three axes of which no label and no word tells which one the classes are."""
    if pred.ndim == 3:
        warn_once(site, beside.untold_axis(site.span, site.term, tuple(pred.shape), first, last))


def warn_of_logits(value: Any, site: Site, meant: str) -> None:
    """Warns, once, of log-probabilities above 0, which are none."""
    values = values_of(value)
    if values is None or not (high := ends_of(values)[1]) > 1e-4:
        return
    warn_once(site, beside.no_log_probabilities(site.span, site.term, high, activated(site, meant)))


def warn_of_activated(pred: Tensor, site: Site, activation: str, fix: str, channel: int = 1) -> None:
    """Warns, once, of a softmax over numbers between 0 and 1 that add up to 1 over the classes.

    One place, or the same numbers at all places, may add up to 1 by chance.
    """
    values = values_of(pred)
    axis = channel_axis(channel, pred.ndim)
    if values is None or pred.ndim < 2 or pred.shape[axis] < 2 or not pred.numel():
        return
    # The first of them tells mostly: what is laid out anew is a copy.
    for part in (values[0], values):
        low, high = ends_of(part)
        if low < 0 or high > 1:
            return
    places = values.movedim(axis, -1).reshape(-1, pred.shape[axis])
    if bool((places == places[0]).all()):
        return
    if bool(((places.sum(-1) - 1).abs() < 1e-3).all()):
        warn_once(site, beside.activated_already(site.span, site.term, activation, fix))
