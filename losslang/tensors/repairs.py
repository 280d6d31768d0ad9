"""Repairs of tensors of a wrong shape: what to hand over, or to write, in place of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Literal, NamedTuple

from losslang.vocabulary import Tensor

Reads = Literal["indices", "probs", "values"]
"""What a loss reads of a target: class indices or one number a class, one number a class, plain numbers."""


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
    return f"if the classes are the last axis, write `channels=last` in the loss, or hand over `{moved('logits', rank, -1, 1)}`"


def moved(name: str, rank: int, source: int, target: int) -> str:
    """Returns the expression that moves an axis of a tensor: of three axes as `transpose`."""
    return f"{name}.transpose(1, 2)" if rank == 3 else f"{name}.movedim({source}, {target})"


def labels_of_rows(target: Tensor) -> str:
    """Returns the repair of a target with one number a row where it is read as further rows."""
    if target.dtype.is_floating_point:
        return "hand over a target of the prediction's shape"
    return "hand over the other view of each row; a class for each row is read by `supcon`, `circle`, `multi_similarity`, a softmax over classes by `ce`"


class Misfit(NamedTuple):
    """A target and a prediction whose shapes do not fit, as the call hands them over.

    `written` is the `channels=` of the loss, '' if none is; `of_rows` says that a row is the last axis.
    """

    target: Tensor
    pred: Tensor
    reads: Reads
    written: str = ""
    of_rows: bool = False

    @property
    def is_last(self) -> bool:
        """Whether classes are read along the last axis."""
        return self.written == "last" or (self.of_rows and self.written != "first")

    @property
    def repair(self) -> str:
        """What to hand over, or to write, in place of them: what needs least comes first."""
        found = [
            self.other_axis(),
            self.other_axis_of_target(),
            self.laid(),
            self.row_labels(),
            self.shifted(),
        ]
        return next(filter(None, [*found, self.one_hot(), self.sizes()]))

    def places(self, is_last: bool) -> tuple[int, ...]:
        """The shape of the prediction without its classes."""
        shape = tuple(self.pred.shape)
        return shape[:-1] if is_last else shape[:1] + shape[2:]

    def other_axis(self) -> str:
        """The repair of class indices that fit if the classes are the other axis than the one that is read."""
        rank, is_last = self.pred.ndim, not self.is_last
        place = self.places(is_last)
        if rank < 3 or self.of_rows or self.reads == "values" or self.target.ndim > rank:
            return ""
        with_channel = (*place, 1) if is_last else (*place[:1], 1, *place[1:])
        if not has_shape(self.target, place) and not has_shape(self.target, with_channel):
            return ""
        if not self.written:
            return classes_last(rank)
        other, to = ("last", (-1, 1)) if is_last else ("first", (1, -1))
        return (
            f"the labels fit classes on {'the last axis' if is_last else 'axis 1'}: write `channels={other}` in place of "
            f"`channels={self.written}`, or hand over `{moved('logits', rank, *to)}`"
        )

    def other_axis_of_target(self) -> str:
        """The repair of a target of the prediction's rank that has its classes on the other axis."""
        rank, to = self.pred.ndim, (1, -1) if self.is_last else (-1, 1)
        if self.target.ndim != rank or rank < 3:
            return ""
        name, what = ("pred", "channels") if self.reads == "values" else ("logits", "classes")
        found: list[str] = []
        if has_shape(self.target.movedim(*to), self.pred.shape):
            found.append(f"move the {what} of the target: `{moved('target', rank, *to)}`")
        if has_shape(self.pred.movedim(*to), self.target.shape):
            found.append(f"move the {what} of the prediction: `{moved(name, rank, *to)}`")
        return ", or ".join(found)

    def laid(self) -> str:
        """The repair of a target that fits once an axis is added, dropped or swapped."""
        target, channel = self.target, -1 if self.written == "last" else 1
        steps: list[tuple[str, str, Callable[[], Tensor]]] = []
        if target.ndim:
            steps.append(
                ("add the channel", f"target.unsqueeze({channel})", lambda: target.unsqueeze(channel))
            )
        if target.ndim > 1:
            steps += [
                ("drop the channel of the target", "target.squeeze(1)", lambda: target.squeeze(1)),
                ("drop the last axis of the target", "target.squeeze(-1)", lambda: target.squeeze(-1)),
                ("swap the axes of the target", "target.transpose(-2, -1)", lambda: target.transpose(-2, -1)),
                ("flatten the target as the prediction", "target.flatten()", target.flatten),
            ]
        for what, text, step in steps:
            if self.fits(step()):
                return f"{what}: `{text}`"
        place = self.places(self.is_last)
        for shape in (tuple(self.pred.shape), place if self.reads == "indices" else ()):
            if prod(shape) == target.numel() and shape:
                return f"bring the target to that shape: `target.reshape{shape}`"
        return ""

    def fits(self, target: Tensor) -> bool:
        """Whether a target has the prediction's shape, or that of its class indices."""
        is_index = self.reads == "indices" and not target.dtype.is_floating_point
        return has_shape(target, self.pred.shape) or (
            is_index and has_shape(target, self.places(self.is_last))
        )

    def row_labels(self) -> str:
        """The repair of one number a row where a loss of rows reads rows."""
        rows = self.target.squeeze(-1) if self.target.ndim == 2 else self.target
        is_of_rows = self.of_rows and self.pred.ndim == 2 and self.reads == "values"
        return labels_of_rows(self.target) if is_of_rows and has_shape(rows, self.pred.shape[:1]) else ""

    def shifted(self) -> str:
        """The repair of labels (B, T) beside T - 1 or T + 1 tokens, as language models have them."""
        if self.reads != "indices" or self.target.ndim != 2 or self.pred.ndim != 3:
            return ""
        name = "hidden" if self.of_rows else "logits"
        for is_last in [self.is_last] if self.written or self.of_rows else [False, True]:
            samples, tokens = self.places(is_last)
            more = self.target.shape[1] - tokens if self.target.shape[0] == samples else 0
            if more not in (1, -1):
                continue
            both = f"`{name}[{':' if is_last else '...'}, :-1]`", "`labels[:, 1:]`"
            here, there = both if more < 0 else both[::-1]
            fix = f"each token predicts the next: hand over {here} beside {there}, which is cut already"
            return fix if is_last == self.is_last else f"{fix}; {classes_last(3)}"
        return ""

    def one_hot(self) -> str:
        """The repair of class indices where one number a class is read."""
        is_index = not self.target.dtype.is_floating_point and self.pred.ndim > 1 and self.reads != "indices"
        for is_last in (self.is_last, not self.is_last):
            if is_index and has_shape(self.target, self.places(is_last)):
                text = f"torch.nn.functional.one_hot(target, {self.pred.shape[-1 if is_last else 1]})"
                text += "" if is_last or self.pred.ndim == 2 else ".movedim(-1, 1)"
                return f"class indices are read by `ce`; one number a class is `{text}.float()`"
        return ""

    def sizes(self) -> str:
        """What to do about the first size that differs, where nothing nearer is known."""
        target, pred, axis = self.target, self.pred, -1 if self.is_last else 1
        this = "hand over the target of this prediction"
        if target.ndim and pred.ndim and target.shape[0] != pred.shape[0]:
            return f"{this}: it has {pred.shape[0]} samples, the target {target.shape[0]}"
        space, wanted = tuple(target.shape[1:]), self.places(self.is_last)[1:]
        if target.ndim == pred.ndim > 1:
            has, owns = pred.shape[axis], target.shape[axis]
            if has != owns:
                part = (
                    f", or take one of them: `target[{':' if axis == 1 else '...'}, 0:1]`" if has == 1 else ""
                )
                return f"predict {owns} channels in place of {has}, as the target has them{part}"
            space = tuple(target.shape[1:-1] if self.is_last else target.shape[2:])
        elif self.reads != "indices":
            space = ()
        if pred.ndim > 3 and not self.is_last and len(space) == len(wanted):
            return f"bring them to one size: `torch.nn.functional.interpolate(pred, size={space})`"
        if len(space) == len(wanted) and space != wanted:
            return f"{this}: a sample has {shown(wanted)} places, one of the target {shown(space)}"
        if target.ndim == 1 < pred.ndim == 2:
            return f"predict one number a sample in place of {pred.shape[1]}, or hand over as many"
        return this


def shown(shape: Sequence[int]) -> str:
    """Returns sizes as they are spoken: 8 x 8."""
    return " x ".join(map(str, shape))
