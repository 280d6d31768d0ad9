"""Channel layout: the axis of a prediction's channels, and how masks and weights broadcast beside it.

Ranks, the axes that a loss declares and a written `channels=` decide; sizes never do. The prediction is
read with its channels on the axis where the loss expects them, its `home`: axis 1 for (B, C, *S), the last
for boxes, embeddings, hidden states and lists of quantiles. A loss of plain values, of any shape, has no
home: there the rank decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import meaning as mistakes
from losslang.meaning.meaning import (
    COMPUTED,
    Expression,
    Input,
    LossUse,
    Term,
    below,
    loss_uses,
)
from losslang.meaning.rewriting import rewrite_terms
from losslang.primitives.primitive import Loss
from losslang.syntax import tree

Written = Literal["first", "last"]
AXIS: dict[str, int] = {"first": 1, "last": -1}
"""The axis that `channels=` names."""
BY_RANK = 0
"""The channel axis of plain values, until `channel_axis` decides it by the rank."""


class Layout(NamedTuple):
    """The channel axis of one use of a loss: the one that the loss reads, and the one that is written."""

    home: int | None
    written: Written | None = None

    @property
    def moved(self) -> tuple[int, int] | None:
        """The axes (from, to) by which the prediction is moved before the loss reads it; None if it is not."""
        if self.home is None or self.written is None or AXIS[self.written] == self.home:
            return None
        return AXIS[self.written], self.home

    @property
    def channel(self) -> int:
        """The channel axis of the prediction as the loss reads it: a mask of one rank less lacks it."""
        if self.home is not None:
            return self.home
        return BY_RANK if self.written is None else AXIS[self.written]

    @property
    def before(self) -> int:
        """The channel axis of the prediction as the call hands it over: a slice runs along it."""
        return self.channel if self.written is None else AXIS[self.written]


def channel_axis(channel: int, rank: int) -> int:
    """The channel axis of a tensor of a rank: of plain values the last of (B, T, D), else axis 1."""
    return channel or (-1 if rank == 3 else 1)


def layout(use: LossUse, loss: Loss) -> Layout:
    """The layout of one use of a loss."""
    return Layout(_home(use, loss), use.get("channels"))


def _home(use: LossUse, loss: Loss) -> int | None:
    """The channel axis that a loss declares: last, 1, or None for plain values."""
    if is_of_rows(loss) or isinstance(dict(use.options).get(loss.extra_axis), tuple):
        return -1
    return 1 if loss.has_classes or is_of_images(loss) else None


def is_of_rows(loss: Loss) -> bool:
    """True if a loss declares its last axis: numbers of a box, an embedding, hidden states, bins."""
    axes = loss.axes[loss.views[0]] if loss.views else ()
    return len(axes) == 2 and axes[0] in ("b", "*b") and (axes[1] in ("d", "n") or axes[1].isdigit())


def is_of_images(loss: Loss) -> bool:
    """True if a loss reads (B, C, *S) without classes: images, volumes and signals."""
    return bool(loss.views) and not loss.has_classes and loss.axes[loss.views[0]][:2] == ("b", "c")


def root_of(expression: Expression) -> str:
    """The source of a tensor: `pred` if it reads prediction or target, else `batch`, else `const`."""
    roots = {inner.root for inner in below(expression) if isinstance(inner, Input)}
    return "pred" if roots & {"pred", "target"} else "batch" if "batch" in roots else "const"


def lies(use: LossUse, loss: Loss) -> list[str]:
    """Sentences that say how mask, weights and further operands of a use broadcast over its prediction."""
    channel = layout(use, loss).before
    axis = {1: "axis 1", -1: "the last axis"}.get(channel, "the last axis of three, axis 1 of more")
    named = {name: use.get(name) for name in ("mask", "weight")}
    axes = loss.axes[loss.views[0]] if loss.views else ()
    named |= {name: value for name, value in use.operands[1:] if loss.axes.get(name) in (axes, axes[:-1])}
    named.pop("target", None)
    tensors = [(f"{name}={value}", value) for name, value in named.items()] + [("", use.factor)]
    return [
        f"{label or value}: either of rank 1, one number a {'channel' if root_of(value) == 'const' else 'sample'}, "
        f"or of one rank less than the prediction, without {axis}"
        for label, value in tensors
        if isinstance(value, COMPUTED)
    ]


# ------------------------------------------------------------------- one tensor, one channel axis


def resolve_channels(terms: Sequence[Term]) -> tuple[tuple[Term, ...], list[Diagnostic]]:
    """The terms with `channels=` of every tensor decided, and the mistakes where terms contradict.

    It belongs to the tensor that a path leads to, before its slices: `ce(channels=last) + dice` reads one
    tensor.
    """
    diagnostics: list[Diagnostic] = []
    writers_of: dict[str, list[LossUse]] = defaultdict(list)
    for use in (use for term in terms for use in loss_uses(term) if use.get("channels") is not None):
        for path in tensors_of(use.prediction):
            writers_of[path].append(use)
    for path, writers in writers_of.items():
        other = next((r for r in writers if r.get("channels") != writers[0].get("channels")), None)
        if other is not None:
            diagnostics.append(
                mistakes.two_layouts(
                    other.span_of("channels"),
                    path,
                    str(other.get("channels")),
                    writers[0].span_of("channels"),
                )
            )

    def resolved(use: LossUse) -> LossUse:
        writers = [r for path in tensors_of(use.prediction) for r in writers_of.get(path, ())]
        if use.get("channels") is not None or not writers:
            return use
        return use.with_option("channels", writers[0].get("channels"), writers[0].name)

    return rewrite_terms(terms, resolved), diagnostics


def tensors_of(expression: Expression) -> tuple[str, ...]:
    """The paths of the tensors in an expression, each up to its first slice."""
    return tuple(
        dict.fromkeys(str(without_slices(inner)) for inner in below(expression) if isinstance(inner, Input))
    )


def without_slices(path: Input) -> Input:
    """A path up to its first slice."""
    steps = path.steps
    end = next((i for i, step in enumerate(steps) if isinstance(step, tree.Slice)), len(steps))
    return replace(path, steps=steps[:end])
