"""Repairs of tensors of a wrong shape: what to hand over, or to write, in place of it."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.vocabulary import Tensor


def has_shape(value: Tensor, shape: Sequence[int]) -> bool:
    """Returns whether a tensor has a shape. Sizes of unequal ranks are not compared: they may be symbolic."""
    return value.ndim == len(shape) and value.shape == shape


def boxes(value: Tensor, last: int) -> str:
    """Returns the repair of boxes that have no such last axis: masks have losses of their own."""
    if last in value.shape[1:]:
        return f"move the axis of {last} to the end: `pred.movedim({list(value.shape).index(last, 1)}, -1)`"
    return "boxes are rows of four numbers; masks are compared by `jaccard(sigmoid)` or `dice(sigmoid)`"


def rows_of(pred: Tensor) -> str:
    """Returns the repair of a loss of rows that is handed one number a row, such as distances."""
    return (
        f"hand over embeddings ({len(pred) if pred.ndim else 'B'}, D), of which the loss takes distances itself; "
        "distances have `hinge_embedding`, scores `margin_ranking`"
    )


def classes_last(rank: int) -> str:
    """Returns the two repairs of a prediction whose classes are its last axis."""
    moved = "logits.transpose(1, 2)" if rank == 3 else "logits.movedim(-1, 1)"
    return f"if the classes are the last axis, write `channels=last` in the loss, or hand over `{moved}`"


def labels_of_rows(target: Tensor) -> str:
    """Returns the repair of a target with one number a row where it is read as further rows."""
    if target.dtype.is_floating_point:
        return "hand over a target of the prediction's shape"
    return "hand over the other view of each row; a class for each row is read by `supcon`, `circle`, `multi_similarity`, a softmax over classes by `ce`"


def reshape(target: Tensor, pred: Tensor) -> str:
    """Returns the repair for a target of the wrong shape."""
    if pred.ndim > 2 and any(has_shape(target, shape) for shape in (pred.shape[:-1], (*pred.shape[:-1], 1))):
        return classes_last(pred.ndim)
    if target.ndim == pred.ndim - 1 and pred.ndim > 1 and pred.shape[1] == 1:
        return "add the channel: `target.unsqueeze(1)`"
    if target.ndim == pred.ndim + 1 and target.shape[1] == 1:
        return "drop the channel of the target: `target.squeeze(1)`"
    if target.ndim == pred.ndim and sorted(target.shape) == sorted(pred.shape):
        return "move the axes: predictions are (B, C, *S), channels first"
    if target.numel() == pred.numel():
        return "reshape one of them to the other's shape"
    if pred.ndim == 2 and has_shape(target.squeeze(-1) if target.ndim == 2 else target, pred.shape[:1]):
        return labels_of_rows(target)
    return "hand over the target of this prediction"
