"""Losses of images, and of anything else with space: signals, volumes.

Shapes: (B, C, *S) with one to three axes of space; one value per element where a loss is a map of an image,
else one per sample. What is masked is in no window, no sum and no difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

from losslang.losses.windows import (
    amplitude,
    box,
    centred,
    ended,
    first,
    mean,
    neighbours,
    over_spectrum,
    stacked,
    step,
)
from losslang.primitives.decorators import loss
from losslang.primitives.presets import Preset
from losslang.tensors.devices import wide
from losslang.tensors.lazy import F, torch
from losslang.tensors.numerics import root
from losslang.tensors.options import at_least, function_of
from losslang.vocabulary import SMALLEST, Count, Dynamic, Fixed, Float, Positive, Scale, Tensor


@loss(
    aliases=("peak_signal_noise_ratio",),
    activation="identity",
    whole=True,
    index=True,
    like={"monai": Preset(takes="max_val")},
)
def psnr(
    values: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    mask: Float[Tensor, "b c *space"] | None,
    *,
    max_val: Dynamic[Positive] = 1.0,
    eps: Dynamic[Positive] = 1e-10,
) -> Float[Tensor, "b"]:
    """10 log10(L² / mse) in dB, mse that of a sample, not below ε L²: the index itself, write `-psnr`.

    L (`max_val`) is the largest value. Equal images give -10 log10 ε = 100 dB, not inf, with no gradient.
    Source: the peak signal-to-noise ratio of image coding.
    """
    error = mean((values - target).square(), mask, 1)
    least = at_least(eps * max_val**2, SMALLEST)
    return 20 * function_of("log10", max_val) - 10 * error.clamp(min=least).log10()


@loss(
    aliases=("total_variation",),
    paper="Rudin, Osher, Fatemi 1992",
    activation="identity",
    reduction="batchmean",
    range=(0, math.inf),
    whole=True,
    like={
        "kornia": Preset(
            channels=(1,),
            ranks=(4,),
            refuses={"reduction=none": "kornia keeps the sum of each channel"},
            takes="reduction",
        )
    },
)
def tv(
    values: Float[Tensor, "b c *space"],
    mask: Float[Tensor, "b c *space"] | None,
    *,
    isotropic: bool = False,
) -> Float[Tensor, "b c *space"]:
    """Σ_axes |x(next) - x| of each element, summed over an image and averaged over images.

    `isotropic` takes sqrt(Σ_axes (x(next) - x)²). It reads no target: `1e-4*tv@pred.image`. It grows with
    the image; `reduction=mean` divides by the number of elements. Of two neighbours both must count. kornia
    gives the sum of each channel, (B, C); piq's default is sqrt(Σ (·)²) over the image, no total variation.
    """
    sizes: list[Tensor] = []
    for axis in range(2, values.ndim):
        more = step(values, axis, mask)
        sizes.append(ended(more.square() if isotropic else more.abs(), axis, values.shape[axis]))
    total = reduce(torch.add, sizes)
    return root(total) if isotropic else total


@tv.slope
def tv_slope(
    values: Float[Tensor, "b c *space"], mask: Float[Tensor, "b c *space"] | None, *, isotropic: bool = False
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The values, and the function that turns their gradient into that of the image."""
    steps = {axis: step(values, axis, mask) for axis in range(2, values.ndim)}
    total = torch.zeros_like(values)
    for axis, more in steps.items():
        first(total, axis).add_(more.square() if isotropic else more.abs())
    # Not `total` itself: what backward keeps would hold the values that hold it.
    sizes = F.threshold(total.sqrt_(), 0.0, math.inf) if isotropic else None

    def pull(grad_output: Tensor) -> Tensor:
        grad_output, grad_input = grad_output.expand(values.shape), torch.zeros_like(values)
        for axis, more in steps.items():
            rise = more.sign() if sizes is None else more / first(sizes, axis)
            rise.mul_(first(grad_output, axis))
            first(grad_input, axis).sub_(rise)
            grad_input.narrow(axis, 1, more.shape[axis]).add_(rise)
        return grad_input

    return total, pull


@loss(
    aliases=("local_ncc",),
    paper="Avants, Epstein, Grossman, Gee 2008",
    activation="identity",
    range=(-1, 0),
    whole=True,
    like={"monai": Preset(takes="reduction")},
)
def lncc(
    values: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    mask: Float[Tensor, "b c *space"] | None,
    *,
    window: Fixed[Count, "it is the size of a window, in elements"] = 3,
    eps: Dynamic[Scale] = 1e-5,
) -> Float[Tensor, "b c *space"]:
    """-sxy² / (sxx syy), sums of products of deviations in a window, sxx and syy not below ε.

    Sums are of double precision, whose rounding is below ε of at least 1e-12.
    The squared correlation within a box around each pixel, with zeros beyond the border, as in MONAI and
    VoxelMorph. From -1 to 0; it sees neither sign nor contrast: an inverted image has
    -1 too.
    """
    axes = values.ndim - 2
    volume = window**axes
    a, b = wide(values), wide(target)
    x, y, xx, yy, xy = stacked((a, b, a * a, b * b, a * b), None, lambda parts: volume * box(parts, window))
    number: Tensor | float = volume
    if mask is not None:
        masked = 1 - mask.expand(values.shape).to(a.dtype)
        number = (volume * (1 - box(masked, window))).clamp(min=1)
    parts = xy - x * y / number, xx - x * x / number, yy - y * y / number
    cross, spread, other = (part.to(values.dtype) for part in parts)
    return -(cross.square() / (spread.clamp(min=eps) * other.clamp(min=eps)))


@loss(
    paper="Dhariwal et al. 2020, arXiv:2005.00341",
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    whole=True,
)
def spectral(values: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"]) -> Float[Tensor, "b"]:
    """The mean of (|X| - |T|)² over frequencies, X and T the unitary Fourier transforms over space.

    It sees no phases: an image and the same shifted around are alike. What is masked is 0 in both. MONAI's
    JukeboxLoss transforms over the channels too: of one channel it is the same.
    """
    # The first frequency, the offset, is taken apart: in single precision it would be rounded into all the others.
    (x, offset), (t, other) = centred(values), centred(target)
    squares = over_spectrum(F.mse_loss(amplitude(x), amplitude(t), reduction="none"), values.shape[-1])
    return mean(squares, None, 1) + mean((offset.abs() - other.abs()).square(), None, 1).to(values.dtype)


@loss(
    aliases=("inverse_depth_smoothness_loss",),
    paper="Godard, Mac Aodha, Brostow 2017, arXiv:1609.03677",
    activation="identity",
    range=(0, math.inf),
    whole=True,
    like={"kornia": ""},
)
def depth_smoothness(
    values: Float[Tensor, "b c *space"],
    image: Float[Tensor, "b k *space"],
    mask: Float[Tensor, "b c *space"] | None,
) -> Float[Tensor, "b"]:
    """Σ_axes mean of |d(next) - d| exp(-mean_k |I(next) - I|): an edge of the image may be one of depth.

    The second operand is the image, of the same space: `depth_smoothness@(pred.disparity, batch.image)`.
    """
    if mask is not None:
        image = torch.where(mask.any(1, keepdim=True), image, 0.0)
    total = values.new_zeros(len(values))
    for axis in range(2, values.ndim):
        weight = torch.exp(-image.diff(dim=axis).abs().mean(1, keepdim=True))
        beside = None if mask is None else neighbours(mask.expand(values.shape), axis)
        total = total + mean(values.diff(dim=axis).abs() * weight, beside, 1)
    return total
