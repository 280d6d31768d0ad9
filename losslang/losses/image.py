"""Losses and indices of images, and of anything else with space: signals, volumes.

Shapes: (B, C, *S) with one to three axes of space; one value per sample, averaged over its channels
and its space, unless a loss says otherwise. What is masked is in no window, no sum and no difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Literal

from losslang.losses.windows import (
    amplitude,
    box,
    centred,
    ended,
    first,
    gaussian,
    halved,
    mean,
    neighbours,
    over_spectrum,
    similarity,
    stacked,
    step,
)
from losslang.primitives.decorators import loss
from losslang.primitives.presets import Preset
from losslang.tensors.devices import wide
from losslang.tensors.lazy import F, torch
from losslang.tensors.numerics import power, root
from losslang.vocabulary import SMALLEST, Count, Float, NonNegative, Positive, Scale, Tensor

WANG = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


@loss(
    aliases=("structural_similarity",),
    paper="Wang, Bovik, Sheikh, Simoncelli 2004",
    activation="identity",
    range=(-1, 1),
    whole=True,
    index=True,
    like={"monai": Preset(ranks=(4, 5), takes="reduction"), "kornia": Preset("padding=same", ranks=(4,))},
)
def ssim(
    values: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    mask: Float[Tensor, "b c *space"] | None,
    *,
    max_val: Positive = 1.0,
    window: Count = 11,
    sigma: Positive = 1.5,
    k1: NonNegative = 0.01,
    k2: Positive = 0.03,
    padding: Literal["valid", "same"] = "valid",
) -> Float[Tensor, "b"]:
    """(2 μx μy + c1)(2 σxy + c2) / ((μx² + μy² + c1)(σx² + σy² + c2)), the index itself: write `1 - ssim`.

    μ, σ² and σxy are those of a Gaussian window, c = (k L)², L (`max_val`) the range of the values: 1, or 255
    for bytes. `valid` takes the windows that lie inside the image, as the paper's own program, MONAI, piq and
    torchmetrics do; `same` one at each pixel, with the image reflected at its border, as kornia does by
    default. A window that is partly masked reads the rest of itself, and counts by the share that it reads.
    kornia's loss is `dssim(padding=same)`; piq shrinks large images first, which nothing here does.
    """
    kernel = gaussian(window, sigma, values)
    light, contrast, share = similarity(values, target, mask, kernel, max_val, k1, k2, padding)
    return mean(light * contrast, share, 1)


@loss(
    paper="Wang, Bovik, Sheikh, Simoncelli 2004",
    activation="identity",
    range=(0, 1),
    zero_when="equal",
    whole=True,
    like={"kornia": Preset("padding=same", ranks=(4,))},
)
def dssim(
    values: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    mask: Float[Tensor, "b c *space"] | None,
    *,
    max_val: Positive = 1.0,
    window: Count = 11,
    sigma: Positive = 1.5,
    k1: NonNegative = 0.01,
    k2: Positive = 0.03,
    padding: Literal["valid", "same"] = "valid",
) -> Float[Tensor, "b"]:
    """(1 - ssim) / 2, with the options of `ssim`."""
    index = ssim.function(
        values, target, mask, max_val=max_val, window=window, sigma=sigma, k1=k1, k2=k2, padding=padding
    )
    return (1 - index) / 2


@loss(
    aliases=("multi_scale_ssim",),
    paper="Wang, Simoncelli, Bovik 2003",
    activation="identity",
    range=(0, 1),
    whole=True,
    index=True,
)
def ms_ssim(
    values: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    mask: Float[Tensor, "b c *space"] | None,
    *,
    max_val: Positive = 1.0,
    window: Count = 11,
    sigma: Positive = 1.5,
    k1: NonNegative = 0.01,
    k2: Positive = 0.03,
    scale_weights: list[NonNegative] | None = None,
) -> Float[Tensor, "b"]:
    """Π_j cs_j^w_j over scales, each half the one before, the last of ssim: the index itself, `1 - ms_ssim`.

    cs is the second factor of `ssim`, averaged over a channel; what is below 0 counts as 0; the product is
    that of a channel, as in pytorch-msssim, piq and TensorFlow (MONAI and torchmetrics average the channels
    first: the same for one). w (`scale_weights`) are the paper's 0.0448, 0.2856, 0.3001, 0.2363 and 0.1333.
    An odd size is halved upwards, as by the paper's own program. kornia's MS_SSIMLoss is another
    thing: 200 (0.025 (1 - ms_ssim) + 0.975 l1), with windows of five sizes instead of smaller images.

    Raises: ValueError if a side of the image is smaller than a window at the last scale: 161 for 5 scales of
        11.
    """
    weights = WANG if scale_weights is None else scale_weights
    least, last = (window - 1) * 2 ** (len(weights) - 1) + 1, len(weights) - 1
    if min(values.shape[2:], default=0) < least:
        raise ValueError(
            f"ms_ssim: a side of {tuple(values.shape[2:])} is below {least}, the least for a window of "
            f"{window} at {len(weights)} scales; give fewer `scale_weights` or a smaller `window`"
        )
    kernel = gaussian(window, sigma, values)
    index, x, y = values.new_ones(values.shape[:2]), wide(values), wide(target)
    for scale, weight in enumerate(weights):
        if scale:
            x, y, mask = halved(x, y, mask)
        light, contrast, share = similarity(x, y, mask, kernel, max_val, k1, k2, "valid")
        part = mean(light * contrast if scale == last else contrast, share, 2).to(values.dtype)
        index = index * power(torch.relu(part), weight)
    return index.mean(1)


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
    max_val: Positive = 1.0,
    eps: Positive = 1e-10,
) -> Float[Tensor, "b"]:
    """10 log10(L² / mse) in dB, mse that of a sample, not below ε L²: the index itself, write `-psnr`.

    L (`max_val`) is the largest value. Equal images give -10 log10 ε = 100 dB, not inf, with no gradient.
    Source: the peak signal-to-noise ratio of image coding.
    """
    error = mean((values - target).square(), mask, 1)
    return 20 * math.log10(max_val) - 10 * error.clamp(min=max(eps * max_val**2, SMALLEST)).log10()


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
    like={
        "monai": Preset(
            refuses={
                "reduction=sum": "MONAI adds up the places too",
                "reduction=none": "MONAI keeps every place",
            },
            takes="reduction",
        )
    },
)
def lncc(
    values: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    mask: Float[Tensor, "b c *space"] | None,
    *,
    window: Count = 3,
    eps: Scale = 1e-5,
) -> Float[Tensor, "b"]:
    """-mean over windows of sxy² / (sxx syy), sums of products of deviations, sxx and syy not below ε.

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
    return -mean(cross.square() / (spread.clamp(min=eps) * other.clamp(min=eps)), mask, 1)


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
