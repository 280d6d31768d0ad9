"""Losses of where a region ends: distances to its boundary, erosions, skeletons.

Shapes: probabilities and targets (B, C, *S) with one to three axes of space; distances are in elements.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from losslang.primitives.decorators import loss
from losslang.primitives.presets import Preset
from losslang.tensors.lazy import F, torch, traces
from losslang.tensors.options import Option
from losslang.vocabulary import Count, Dynamic, Fixed, Float, Positive, Tensor

Power = Annotated[float, Field(ge=0, le=4)]
"""Of a distance of up to 1e4; the paper tries 0.5 to 3."""

BLOCK = 2**22
"""Numbers that a distance transform compares at once: 16 MB of floats."""


@loss(
    aliases=("surface_loss",),
    paper="Kervadec, Bouchtiba, Desrosiers, Granger, Dolz, Ben Ayed 2019, arXiv:1812.07032",
)
def boundary(
    probs: Float[Tensor, "b c *space"], distance: Float[Tensor, "b c *space"]
) -> Float[Tensor, "b c *space"]:
    """p φ, φ the signed distance to the true boundary, below 0 inside: the target is φ, computed once.

    It can be below 0, and wants a region loss beside it: `ce + 0.01*boundary@(pred, batch.distance)`.
    mmseg's BoundaryLoss is something else, the balanced `bce` of an edge map.

    Unit: elements, if the map of distances is.
    """
    return probs * distance


@loss(
    aliases=("hausdorff",),
    paper="Karimi, Salcudean 2019, arXiv:1904.10030",
    whole=True,
    range=(0, math.inf),
    zero_when="perfect",
    like={"monai": Preset("background=alone", ranks=(4, 5), takes="alpha background reduction")},
)
def hausdorff_dt(
    probs: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    mask: Float[Tensor, "b c *space"] | None,
    *,
    alpha: Dynamic[Power] = 2.0,
) -> Float[Tensor, "b c"]:
    """Σ (p - t)² (D(p)^α + D(t)^α) / n, D(x) the distance to the other side of x > 1/2, 0 if there is none.

    D is exact and has no gradient; α ends at 4, where D^α of a volume is still a number of single precision.
    MONAI's LogHausdorffDTLoss is `log(1 + hausdorff_dt)`.

    Unit: elements to the power of `alpha`.
    """
    probs, target = _shown(probs, mask), _shown(target, mask)
    weight = _field(probs, alpha) + _field(target, alpha)
    return _mean((probs - target).square() * weight, mask)


@loss(
    paper="Karimi, Salcudean 2019, arXiv:1904.10030",
    whole=True,
    range=(0, math.inf),
    zero_when="perfect",
    like={
        "kornia": Preset(
            "identity",
            ranks=(4, 5),
            several=True,
            refuses={
                "reduction=sum": "kornia adds up the places too",
                "reduction=none": "kornia keeps every place",
            },
            hard=True,
            takes="k reduction",
        )
    },
)
def hausdorff_er(
    probs: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    mask: Float[Tensor, "b c *space"] | None,
    *,
    alpha: Dynamic[Power] = 2.0,
    k: Fixed[Count, "it counts erosions, which are that many operations"] = 10,
) -> Float[Tensor, "b c"]:
    """Σ_i i^α Σ E_i / n, E_0 = (p - t)², E_i its i-th erosion, `k` of them: what is thick costs more.

    An erosion is max(0, x - 1/2) of the mean x over a place and its 2 to 6 neighbours, 0 outside,
    stretched to 0 to 1 in each region. α ends at 4, as in `hausdorff_dt`.

    Unit: none; `k` counts erosions.
    """
    errors = (_shown(probs, mask) - _shown(target, mask)).square()
    total = torch.zeros_like(errors)
    for i in range(1, k + 1):
        errors = _stretched((_beside(errors) - 0.5).relu())
        total = total + i**alpha * errors
    return _mean(total, mask)


@loss(
    aliases=("soft_cldice", "centerline_dice"),
    paper="Shit, Paetzold et al. 2021, arXiv:2003.07311",
    whole=True,
    range=(0, 1),
    zero_when="perfect",
)
def cldice(
    probs: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    mask: Float[Tensor, "b c *space"] | None,
    *,
    iters: Fixed[Count, "it counts erosions, which are that many operations"] = 3,
    smooth: Dynamic[Positive] = 1.0,
) -> Float[Tensor, "b c"]:
    """1 - 2 P S / (P + S), P = (Σ K(p) t + s) / (Σ K(p) + s), S = (Σ K(t) p + s) / (Σ K(t) + s), K skeleton.

    The skeleton is what an opening takes away, of the mask and of its `iters` erosions. The authors'
    code always takes 10, whatever it is told; MONAI sums over the classes too.

    Unit: none, 0 to 1; `iters` counts erosions of one element each.
    """
    probs, target = _shown(probs, mask), _shown(target, mask)
    found, true = _skeleton(probs, iters), _skeleton(target, iters)
    over = tuple(range(2, probs.ndim))
    precision = ((found * target).sum(over) + smooth) / (found.sum(over) + smooth)
    sensitivity = ((true * probs).sum(over) + smooth) / (true.sum(over) + smooth)
    return 1 - 2 * precision * sensitivity / (precision + sensitivity)


def _shown(value: Tensor, mask: Tensor | None) -> Tensor:
    """0 where masked: after a softmax over nothing it is 1/C."""
    return value if mask is None else torch.where(mask, value, 0.0)


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """The mean over space of what counts."""
    over = tuple(range(2, values.ndim))
    if mask is None:
        return values.mean(over)
    kept = mask.expand(values.shape)
    return torch.where(kept, values, 0.0).sum(over) / kept.sum(over).clamp(min=1)


# -------------------------------------------------------------------- distances


def _field(values: Tensor, alpha: Option) -> Tensor:
    """D^α: comparisons have no gradient, and so has nothing that follows."""
    inside = values > 0.5
    squares = _distance(inside, values.dtype) + _distance(~inside, values.dtype)
    one_sided = squares.isinf()
    return torch.where(one_sided, 0.0, torch.where(one_sided, 1.0, squares) ** (alpha / 2))


def _distance(region: Tensor, dtype: torch.dtype) -> Tensor:
    """The squared distance of each element of a region to the nearest outside of it, exactly.

    Inf if there is none.

    Axis after axis: first how far it is along the last one, then min over x' of f(x') + (x - x')².
    """
    squares = _along(region, dtype)
    if traces() or region.is_meta or not region.numel():
        for axis in range(2, region.ndim - 1):
            squares = _nearest(squares.transpose(axis, -1).contiguous()).transpose(axis, -1)
        return squares
    without = region.flatten(2).all(-1).reshape(*region.shape[:2], *[1] * (region.ndim - 2))
    squares = squares.masked_fill_(without, 0.0)
    for axis in range(2, region.ndim - 1):
        squares = _reached(squares, axis)
    return squares.masked_fill_(without, math.inf)


def _along(region: Tensor, dtype: torch.dtype) -> Tensor:
    """The squared distance to the nearest outside on the same line."""
    at = torch.arange(region.shape[-1], dtype=dtype, device=region.device)
    before = torch.where(region, -math.inf, at).cummax(-1).values
    after = torch.where(region, math.inf, at).flip(-1).cummin(-1).values.flip(-1)
    return torch.minimum(at - before, after - at).square()


def _reached(squares: Tensor, axis: int) -> Tensor:
    """min over x' of f(x') + (x - x')² along an axis, for steps x - x' up to the farthest distance."""
    found, candidates = squares.clone(), torch.empty_like(squares)
    for step in range(1, squares.shape[axis]):
        if step * step >= found.max().item():
            break
        length = squares.shape[axis] - step
        for here, there in ((0, step), (step, 0)):
            near, candidate = found.narrow(axis, here, length), candidates.narrow(axis, here, length)
            torch.add(squares.narrow(axis, there, length), step * step, out=candidate)
            torch.minimum(near, candidate, out=near)
    return found


def _nearest(squares: Tensor) -> Tensor:
    """The same along the last axis, for what traces: all steps, for as many x at once as fit into a block."""
    at = torch.arange(squares.shape[-1], dtype=squares.dtype, device=squares.device)
    gaps = (at.unsqueeze(-1) - at).square()
    some = max(BLOCK // max(squares.numel(), 1), 1)
    return torch.cat([(squares.unsqueeze(-2) + part).amin(-1) for part in torch.split(gaps, some)], -1)


# -------------------------------------------------------------------- shapes


def _beside(values: Tensor) -> Tensor:
    """The mean of each element and its direct neighbours; outside there are zeros.

    Added up from shifted views: a convolution takes ten times as long, and a GPU may round it to ten bits
    (TF32).
    """
    space = range(2, values.ndim)
    wide, total = F.pad(values, [1, 1] * len(space)), values
    for axis in space:
        line = wide
        for other in space:
            line = line if other == axis else line.narrow(other, 1, values.shape[other])
        length = values.shape[axis]
        total = total + line.narrow(axis, 0, length) + line.narrow(axis, 2, length)
    return total / (2 * len(space) + 1)


def _stretched(values: Tensor) -> Tensor:
    """Values from 0 to 1 over space; those that are all alike are left."""
    over = tuple(range(2, values.ndim))
    low, high = values.amin(over, keepdim=True), values.amax(over, keepdim=True)
    alike = low == high
    return torch.where(alike, values, (values - low) / torch.where(alike, 1.0, high - low))


def _skeleton(values: Tensor, iters: int) -> Tensor:
    skeleton = (values - _opened(values)).relu()
    for _ in range(iters):
        values = _eroded(values)
        more = (values - _opened(values)).relu()
        skeleton = skeleton + (more - skeleton * more).relu()
    return skeleton


def _opened(values: Tensor) -> Tensor:
    """Eroded, and dilated again."""
    return _pooled(_eroded(values), [3] * (values.ndim - 2))


def _eroded(values: Tensor) -> Tensor:
    """The smallest of each element and its direct neighbours."""
    axes = values.ndim - 2
    lines = [[3 if axis == i else 1 for i in range(axes)] for axis in range(axes)]
    return -torch.stack([_pooled(-values, line) for line in lines]).amax(0)


def _pooled(values: Tensor, window: list[int]) -> Tensor:
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[values.ndim - 3]
    return pool(values, window, 1, [size // 2 for size in window])
