"""Warnings where sizes cannot tell which axis the classes are, and where the truth says another one."""

from __future__ import annotations

from losslang.diagnostics.mistakes import layout
from losslang.plan.operations.notices import warn_once
from losslang.tensors.repairs import classes_last, has_shape
from losslang.tensors.targets import Site
from losslang.vocabulary import Tensor


def warn_of_class_axis(target: Tensor, pred: Tensor, site: Site, adds_up: bool) -> None:
    """Warns, once, of a prediction that would fit its target as well with its classes last.

    `adds_up`: one-hot and soft labels have to add up to 1 over the classes.
    """
    if pred.ndim < 3 or pred.shape[1] == 1:
        return
    shapes, whole = (tuple(pred.shape), tuple(target.shape)), site.source.whole
    if has_shape(target, pred.shape):
        if adds_up and _adds_up(target, -1) and not _adds_up(target, 1):
            warn_once(site, layout.truth_adds_up_last(whole, *shapes, classes_last(pred.ndim)))
    elif target.ndim == pred.ndim - 1 and pred.shape[1:-1] == pred.shape[2:]:
        warn_once(site, layout.axes_of_one_size(whole, *shapes, classes_last(pred.ndim)))


def _adds_up(target: Tensor, axis: int) -> bool:
    """Returns whether a target is a distribution along an axis, everywhere."""
    return bool(((target.sum(axis) - 1).abs() < 1e-3).all())
