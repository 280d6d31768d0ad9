"""The axes of the prediction that the values and the operands of a loss have, and the pixels without a value."""

from __future__ import annotations

from typing import Any

from losslang.meaning.meaning import LossUse
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


def edge(use: LossUse, loss: Loss) -> dict[str, Any]:
    """Returns the pixels at both ends of each axis that have no value, as an option of steps; {} for none."""
    pixels = loss.edge(**dict(use.options)) if loss.edge is not None else (0, 0)
    return {"edge": pixels} if any(pixels) else {}


def other_form(loss: Loss, name: str) -> str:
    """Returns the form of an operand beside prediction and target, as its axes say."""
    own, pred = loss.axes[name], loss.axes[loss.views[0]]
    if name == "sign":
        return "sign_of_row" if own == pred[:-1] else "sign"
    return "operand_like_pred" if own == pred else "per_row" if own == pred[:-1] else "free"


def lacking(form: str) -> dict[str, Any]:
    """Returns the option that says which axis of the mask a tensor lacks, if not the second: the last."""
    return {"lacks": -1} if form in ("indices", "position", "per_row", "sign_of_row") else {}


def guess(loss: Loss) -> str:
    """Returns the activation to suggest if the prediction holds logits instead of probabilities."""
    return "softmax" if "labels" in loss.parameters else "sigmoid"
