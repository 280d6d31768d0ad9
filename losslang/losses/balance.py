"""Losses whose weights come from the batch: from its labels, or from how hard it is.

The weights count over everything that is not masked, on this process alone: with several processes each
has its own, and a batch of another size has others.
"""

from __future__ import annotations

import math
from typing import Annotated, cast

from pydantic import Field

from losslang.primitives.decorators import loss
from losslang.primitives.entropy import agreement, binary_entropy, error, times_log, turned
from losslang.primitives.functions import softplus
from losslang.primitives.presets import MEAN_ALONE, Preset
from losslang.tensors.devices import can_read_without_sync
from losslang.tensors.lazy import is_eager, torch
from losslang.tensors.options import Option, fixed, may_count
from losslang.vocabulary import Count, Dynamic, Fixed, Float, Scale, Tensor

Momentum = Annotated[float, Field(ge=0, lt=1)]


@loss(
    aliases=("balanced_binary_cross_entropy",),
    paper="Xie, Tu 2015, arXiv:1504.06375",
    whole=True,
    range=(0, math.inf),
    zero_when="perfect",
    like={
        "mmseg": Preset("sigmoid", channels=(1,), ranks=(4,), hard=True),
        "toolbelt": Preset("sigmoid, reduction=mean_all", hard=True, takes="ignore_index reduction"),
    },
)
def balanced_bce(
    log_probs: Float[Tensor, "*shape"],
    log_complement: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    mask: Float[Tensor, "*shape"] | None,
) -> Float[Tensor, "*shape"]:
    """-(n₋/n t log p + n₊/n (1 - t) log(1 - p)), n₊ and n₋ the positives and negatives of the batch.

    Both kinds have the same say, however few the positives are: edges, mostly. A batch of one kind alone
    gives 0. HED sums over an image; the mean here is over all elements, as in mmseg and pytorch-toolbelt.
    """
    positive, negative = _shares(target, mask)
    return -(times_log(negative * target, log_probs) + times_log(positive * (1 - target), log_complement))


@balanced_bce.kernel("sigmoid")
def balanced_bce_of_logits(
    logits: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], mask: Float[Tensor, "*shape"] | None
) -> Float[Tensor, "*shape"]:
    """`balanced_bce` of the logits, with one logarithm in place of two."""
    positive, negative = _shares(target, mask)
    return binary_entropy(logits, target, negative, positive)


@loss(
    aliases=("ghmc", "ghmc_loss"),
    paper="Li, Liu, Wang 2019, arXiv:1811.05181",
    whole=True,
    range=(0, math.inf),
    zero_when="perfect",
    like={"mmdet": Preset("sigmoid", ranks=(2,), refuses=MEAN_ALONE, takes="reduction")},
)
def ghm_c(
    probs: Float[Tensor, "*shape"],
    log_probs: Float[Tensor, "*shape"],
    log_complement: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    mask: Float[Tensor, "*shape"] | None,
    memory: Float[Tensor, "bins"],
    *,
    bins: Fixed[Count, "it is the length of what the loss remembers"] = 10,
    momentum: Dynamic[Momentum] = 0.0,
) -> Float[Tensor, "*shape"]:
    """-w (t log p + (1 - t) log(1 - p)), w = n / (m n_bin), n_bin of the n elements as wrong as this.

    |p - t| is sorted into `bins` of equal width, m of which hold anything: all of those have the same say.
    With a `momentum` μ the numbers are running ones, μ old + (1 - μ) new; they start at 0, as in mmdet, so
    the first weights are 1 / (1 - μ) times too large. In `eval()` they are read and stay as they are.

    Unit: nats; `bins` counts, `momentum` is a fraction a call.
    """
    weight = _harmonized((probs - target).abs(), mask, memory, bins, momentum)
    return -weight * agreement(log_probs, log_complement, target)


@ghm_c.kernel("sigmoid")
def ghm_c_of_logits(
    logits: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    mask: Float[Tensor, "*shape"] | None,
    memory: Float[Tensor, "bins"],
    *,
    bins: Count = 10,
    momentum: Momentum = 0.0,
) -> Float[Tensor, "*shape"]:
    """`ghm_c` of the logits, with one logarithm in place of two."""
    wrong = turned(logits, target)
    if wrong is None:
        weight = _harmonized(error(logits.detach(), target).abs(), mask, memory, bins, momentum)
        return weight * binary_entropy(logits, target)
    return _harmonized(torch.sigmoid(wrong.detach()), mask, memory, bins, momentum) * softplus.function(wrong)


@loss(
    aliases=("ghmr", "ghmr_loss"),
    paper="Li, Liu, Wang 2019, arXiv:1811.05181",
    activation="identity",
    whole=True,
    range=(0, math.inf),
    zero_when="equal",
    like={"mmdet": Preset(refuses=MEAN_ALONE, takes="reduction")},
)
def ghm_r(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    mask: Float[Tensor, "*shape"] | None,
    memory: Float[Tensor, "bins"],
    *,
    mu: Dynamic[Scale] = 0.02,
    bins: Fixed[Count, "it is the length of what the loss remembers"] = 10,
    momentum: Dynamic[Momentum] = 0.0,
) -> Float[Tensor, "*shape"]:
    """w (sqrt(e² + μ²) - μ), w = n / (m n_bin), with n_bin of the n elements of a gradient like this one's.

    The gradient |e| / sqrt(e² + μ²), from 0 to 1, is sorted into `bins` as in `ghm_c`; `momentum` is its too.

    Unit: that of the target; `mu` is in it too, `bins` counts.
    """
    error = values - target
    square = error.square()
    length = (square + mu * mu).sqrt()
    weight = _harmonized((error / length).abs(), mask, memory, bins, momentum)
    return weight * (square / (length + mu))


def _shares(target: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """n₊/n and n₋/n."""
    present, absent = target, 1 - target
    if mask is None:
        number = max(target.numel(), 1)
        return present.sum() / number, absent.sum() / number
    seen = mask.expand(target.shape).to(target.dtype)
    number = seen.sum().clamp(min=1)
    return (present * seen).sum() / number, (absent * seen).sum() / number


def _harmonized(gradient: Tensor, mask: Tensor | None, memory: Tensor, bins: int, momentum: Option) -> Tensor:
    """n / (m n_bin) for every element: how few others have a gradient in its bin.

    It has no gradient itself.
    """
    # Clamped on both sides: an index made of NaN is any number.
    which = (gradient.detach() * bins).long().clamp(0, bins - 1).flatten()
    if can_read_without_sync(which) and is_eager() and not may_count(momentum):
        # Of so few numbers the operations are the time.
        counted = which if mask is None else which[mask.expand(gradient.shape).flatten()]
        numbers = cast("list[int]", torch.bincount(counted, minlength=bins).tolist())  # pyright: ignore[reportUnknownMemberType]
        most = sum(numbers) / max(sum(map(bool, numbers)), 1)
        rare = [most / number if number else 0.0 for number in numbers]
        table = torch.tensor(rare, dtype=gradient.dtype, device=gradient.device)
        return table.index_select(0, which).reshape(gradient.shape)
    empty = torch.zeros(bins, dtype=torch.long, device=gradient.device)
    seen = torch.ones_like(which) if mask is None else mask.expand(gradient.shape).flatten().long()
    counts = empty.scatter_add(0, which, seen)
    holds, numbers = counts > 0, counts.to(gradient.dtype)
    if may_count(momentum):
        share = fixed(momentum)
        numbers = torch.where(holds, share * memory + (1 - share) * numbers, memory).to(gradient.dtype)
        with torch.no_grad():
            memory.copy_(numbers)
    shares = torch.where(holds, numbers * holds.sum(), 1.0)
    return torch.where(holds, counts.sum() / shares, 0.0).index_select(0, which).reshape(gradient.shape)
