"""Channel layout: the axis of a prediction's channels, and how masks and weights broadcast beside it.

Ranks, the axes that a loss declares and a written `channels=` decide; sizes never do. The prediction is
read with its channels on the axis where the loss expects them, its `home`: axis 1 for (B, C, *S), the last
for boxes, embeddings, hidden states and lists of quantiles. A loss of plain values, of any shape, has no
home: there the rank decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import meaning as mistakes
from losslang.meaning.meaning import Apply, Expression, Input, LossUse, Term, below, loss_uses, rewrite
from losslang.primitives.primitive import Loss
from losslang.syntax import tree

Written = Literal["first", "last"]
AXIS: dict[str, int] = {"first": 1, "last": -1}
"""Where `channels=` says that channels lie."""
BY_RANK = 0
"""Stands for the channel axis of plain values, which `channel_axis` knows from the rank."""


@dataclass(frozen=True)
class Layout:
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
    roots = {part.root for part in below(expression) if isinstance(part, Input)}
    return "pred" if roots & {"pred", "target"} else "batch" if "batch" in roots else "const"


def lies(use: LossUse, loss: Loss) -> list[str]:
    """Sentences that say how the mask and the weights of a use broadcast over its prediction."""
    channel = layout(use, loss).before
    axis = {1: "axis 1", -1: "the last axis"}.get(channel, "the last axis of three, axis 1 of more")
    named = {name: use.get(name) for name in ("mask", "weight")}
    given = [(f"{name}={value}", value) for name, value in named.items()] + [("", use.factor)]
    return [
        f"{said or value}: rank 1 along the {'channels' if root_of(value) == 'const' else 'samples'}; "
        f"one rank less than the prediction lacks {axis}"
        for said, value in given
        if isinstance(value, (Input, Apply))
    ]


# ------------------------------------------------------------------- one tensor, one channel axis


def resolve_channels(terms: Sequence[Term]) -> tuple[tuple[Term, ...], list[Diagnostic]]:
    """The terms with `channels=` of every tensor decided, and the mistakes where terms contradict.

    It belongs to the tensor that a path leads to, before its slices: `ce(channels=last) + dice` reads one
    tensor.
    """
    found: list[Diagnostic] = []
    speakers: dict[str, list[LossUse]] = defaultdict(list)
    for use in (use for term in terms for use in loss_uses(term)):
        for path in tensors_of(use.prediction):
            if use.get("channels") is not None:
                speakers[path].append(use)
    for path, said in speakers.items():
        other = next((r for r in said if r.get("channels") != said[0].get("channels")), None)
        if other is not None:
            found.append(
                mistakes.two_layouts(
                    other.span_of("channels"), path, str(other.get("channels")), said[0].span_of("channels")
                )
            )

    def resolved(use: LossUse) -> LossUse:
        said = [r for path in tensors_of(use.prediction) for r in speakers.get(path, ())]
        if use.get("channels") is not None or not said:
            return use
        return use.with_option("channels", said[0].get("channels"), said[0].name)

    return tuple(replace(term, body=rewrite(term.body, resolved)) for term in terms), found


def tensors_of(expression: Expression) -> tuple[str, ...]:
    """The paths of the tensors in an expression, each up to its first slice."""
    return tuple(dict.fromkeys(str(whole(part)) for part in below(expression) if isinstance(part, Input)))


def whole(path: Input) -> Input:
    """A path up to its first slice."""
    steps = path.steps
    end = next((i for i, step in enumerate(steps) if isinstance(step, tree.Slice)), len(steps))
    return replace(path, steps=steps[:end])
