"""The axes of the prediction that the values of a loss have."""

from __future__ import annotations

from losslang.primitives.primitive import Loss


def frame(loss: Loss, over: str) -> str:
    """Returns which axes of the prediction the values of a loss have: see `operations/masks.py`."""
    before, after = loss.axes[loss.views[0]], loss.result_axes
    if after == ("*event",):
        return "places" if over == "class" else "same"
    if after == ():
        return "number"
    if before == after:
        return "same" if loss.has_classes else "values"
    if after == ("b", "c"):
        return "region"
    if before[-1] in ("d", "n") or before[-1].isdigit():
        return "rows"
    return "samples" if after == ("b",) else "places"
