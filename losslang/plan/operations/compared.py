"""Checks that tensors are of a kind that the preset of a library was compared with."""

from __future__ import annotations

from typing import Any, cast

from losslang.diagnostics.mistakes import presets
from losslang.primitives.libraries import LIBRARIES
from losslang.tensors.lazy import torch
from losslang.tensors.targets import Site
from losslang.vocabulary import Tensor


def values_of(value: Any) -> Tensor | None:
    """Returns the detached tensor if its values can be read, else None."""
    if isinstance(value, torch.Tensor) and value.numel() and not value.is_meta:
        return value.detach()
    return None


def ends_of(values: Tensor) -> tuple[float, float]:
    """Returns the smallest and the largest value, read in one pass; NaN if there is any."""
    low, high = values.aminmax()
    return float(low), float(high)


def check_compared(
    pred: Tensor,
    target: Any,
    site: Site,
    library: str,
    ranks: tuple[int, ...],
    channels: tuple[int, ...],
    several: bool,
    truth: str,
) -> None:
    """Refuses shapes that the preset of a library was not compared with."""
    shape, what = tuple(pred.shape), f"on a prediction of shape {tuple(pred.shape)}"
    number = shape[1] if len(shape) > 1 else 1
    dense = isinstance(target, torch.Tensor) and tuple(target.shape) == shape
    wanted = ""
    if ranks and len(shape) not in ranks:
        wanted = f"on predictions of rank {' and '.join(map(str, ranks))}"
    elif (channels and number not in channels) or (number == 1 and several):
        some = " or ".join(map(str, channels)) or "more than 1"
        wanted = f"on {some} channel{'s' * (some != '1')}"
    elif truth and number > 1 and dense != (truth == "dense"):
        what = "of a truth like the prediction" if dense else "of class indices"
        wanted = "on class indices" if dense else "on a truth like the prediction"
    if wanted:
        known = LIBRARIES[library]
        raise site.error(presets.shape_not_compared(site.span, site.term, known, what, wanted))


def check_indexed(pred: Tensor, target: Any, site: Site, library: str) -> None:
    """Refuses a label to ignore in a truth of the prediction's shape, where indices alone were compared."""
    if (
        isinstance(target, torch.Tensor)
        and target.shape == pred.shape
        and pred.ndim > 1
        and pred.shape[1] > 1
    ):
        what, wanted = "with a label to ignore in a truth like the prediction", "on class indices"
        error = presets.shape_not_compared(site.span, site.term, LIBRARIES[library], what, wanted)
        raise site.error(error)


def check_along(weights: Any, pred: Tensor, site: Site, library: str) -> None:
    """Refuses weights per class where the library has them along the last axis, which is not the classes."""
    of_list = isinstance(weights, tuple) and len(cast("tuple[float, ...]", weights)) > 1
    is_list = isinstance(weights, torch.Tensor) and weights.numel() > 1 and weights.ndim < 2
    if (of_list or is_list) and pred.ndim > 2:
        what = f"with a `pos_weight` for each class, on a prediction of shape {tuple(pred.shape)}"
        wanted = "of rank 2: the library lays it along the last axis"
        error = presets.shape_not_compared(site.span, site.term, LIBRARIES[library], what, wanted)
        raise site.error(error)


def check_hard(value: Any, site: Site, library: str, index: int | tuple[int, ...] | str | None) -> None:
    """Refuses a truth between 0 and 1 where one of 0 and 1 was compared."""
    truth = values_of(value)
    if truth is None or not truth.dtype.is_floating_point:
        return
    between = truth != truth.round()
    for label in index if isinstance(index, tuple) else (index,):
        between = between & (truth != label) if isinstance(label, int) else between
    if bool(between.any()):
        what, wanted = "of a truth between 0 and 1", "on a truth of 0 and 1"
        error = presets.shape_not_compared(site.span, site.term, LIBRARIES[library], what, wanted)
        raise site.error(error)


def check_distribution(pred: Tensor, site: Site, library: str) -> None:
    """Refuses channels that do not add up to 1, where a distribution over them was compared."""
    probs = values_of(pred)
    if (
        probs is not None
        and probs.ndim > 1 < probs.shape[1]
        and bool(((probs.sum(1) - 1).abs() > 1e-3).any())
    ):
        what, wanted = "of channels that do not add up to 1", "on probabilities that do"
        error = presets.shape_not_compared(site.span, site.term, LIBRARIES[library], what, wanted)
        raise site.error(error)
