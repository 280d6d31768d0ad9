"""Indices of structural similarity: means, variances and covariance of two images, window by window.

Shapes: (B, C, *S) with one to three axes of space. `ssim` and `dssim` have a value for each window, at the
pixel in its middle; `ms_ssim`, which multiplies means, one per sample. What is masked is in no window.
"""

from __future__ import annotations

from typing import Literal

from losslang.losses.windows import around, blurred, gaussian, halved, mean, stacked
from losslang.primitives.decorators import loss
from losslang.primitives.presets import Preset
from losslang.tensors.devices import wide, widest
from losslang.tensors.lazy import F, torch
from losslang.tensors.numerics import power
from losslang.tensors.options import Option, at_least
from losslang.vocabulary import SMALLEST, Count, Dynamic, Fixed, Float, NonNegative, Positive, Tensor

WANG = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
OF_SAMPLES = {
    "reduction=sum": "MONAI adds up the means of the samples",
    "reduction=none": "MONAI keeps the mean of each sample",
}
NEEDS = {"sigma": ("kernel", "gaussian")}


def _edge(*, window: int, padding: str, **_: object) -> tuple[int, int]:
    """How many pixels at both ends of an axis are the centre of no window."""
    return around(window) if padding == "valid" else (0, 0)


@loss(
    aliases=("structural_similarity",),
    paper="Wang, Bovik, Sheikh, Simoncelli 2004",
    activation="identity",
    range=(-1, 1),
    whole=True,
    edge=_edge,
    index=True,
    needs=NEEDS,
    like={
        "monai": Preset(ranks=(4, 5), refuses=OF_SAMPLES, takes="reduction"),
        "kornia": Preset("padding=same", ranks=(4,)),
    },
)
def ssim(
    values: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    mask: Float[Tensor, "b c *space"] | None,
    *,
    max_val: Dynamic[Positive] = 1.0,
    window: Fixed[Count, "it is the size of a window, in elements"] = 11,
    sigma: Dynamic[Positive] = 1.5,
    k1: Dynamic[NonNegative] = 0.01,
    k2: Dynamic[Positive] = 0.03,
    kernel: Literal["gaussian", "box"] = "gaussian",
    padding: Literal["valid", "same", "replicate", "zeros"] = "valid",
) -> Float[Tensor, "b c *space"]:
    """(2 μx μy + c1)(2 σxy + c2) / ((μx² + μy² + c1)(σx² + σy² + c2)), the index itself: write `1 - ssim`.

    One value a window, at the pixel in its middle. μ, σ² and σxy are weighted by a `kernel`: a Gaussian of
    `sigma`, or a box, which has none; c = (k L)², L (`max_val`) is the range of the values: 1, or 255 for
    bytes. `valid` takes the windows that lie inside the image, as the paper's own program, MONAI, piq, piqa
    and pytorch-msssim do: the pixels at the border have no value. Others take one at each pixel: `same`
    reflects the image at its border, as torchmetrics, kornia and Monodepth2 do, `replicate` repeats its last
    pixel, as kornia's ssim3d did before 0.9, `zeros` is that of pytorch-ssim and 3D Gaussian splatting. A
    window that is partly masked reads the rest of itself; its value counts where the pixel does.

    kornia's loss is `dssim(padding=same)`, Monodepth2's `dssim(kernel=box, window=3, padding=same)`; piq
    shrinks large images first, which nothing here does.

    Raises: ValueError if a side of the image is smaller than a window, or than half of it with `same`.
    """
    weights = window_weights(kernel, window, sigma, values)
    light, contrast, _ = similarity(values, target, mask, weights, max_val, k1, k2, padding)
    return light * contrast


@loss(
    paper="Wang, Bovik, Sheikh, Simoncelli 2004",
    activation="identity",
    range=(0, 1),
    zero_when="equal",
    whole=True,
    edge=_edge,
    needs=NEEDS,
    like={"kornia": Preset("padding=same", ranks=(4,), takes="reduction")},
)
def dssim(
    values: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    mask: Float[Tensor, "b c *space"] | None,
    *,
    max_val: Dynamic[Positive] = 1.0,
    window: Fixed[Count, "it is the size of a window, in elements"] = 11,
    sigma: Dynamic[Positive] = 1.5,
    k1: Dynamic[NonNegative] = 0.01,
    k2: Dynamic[Positive] = 0.03,
    kernel: Literal["gaussian", "box"] = "gaussian",
    padding: Literal["valid", "same", "replicate", "zeros"] = "valid",
) -> Float[Tensor, "b c *space"]:
    """(1 - ssim) / 2, with the values and the options of `ssim`.

    Raises: ValueError if a side of the image is smaller than a window, or than half of it with `same`.
    """
    weights = window_weights(kernel, window, sigma, values)
    light, contrast, _ = similarity(values, target, mask, weights, max_val, k1, k2, padding)
    return torch.add(values.new_full((), 0.5), light * contrast, alpha=-0.5)


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
    max_val: Dynamic[Positive] = 1.0,
    window: Fixed[Count, "it is the size of a window, in elements"] = 11,
    sigma: Dynamic[Positive] = 1.5,
    k1: Dynamic[NonNegative] = 0.01,
    k2: Dynamic[Positive] = 0.03,
    scale_weights: Fixed[list[NonNegative] | None, "its length is the number of scales"] = None,
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


# -------------------------------------------------------------------- windows of two images


def window_weights(kernel: str, window: int, sigma: Option, like: Tensor) -> Tensor:
    """Returns the weights along one axis of a `gaussian` of this sigma, or of a `box`."""
    if kernel == "box":
        return torch.full((window,), 1 / window, dtype=widest(like), device=like.device)
    return gaussian(window, sigma, like)


def similarity(
    x: Tensor,
    y: Tensor,
    mask: Tensor | None,
    kernel: Tensor,
    max_val: Option,
    k1: Option,
    k2: Option,
    padding: str,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The two factors of ssim in each window, luminance and contrast-structure, and its unmasked share.

    Sums over windows are of double precision: beside a large offset, and on a flat background, nothing is
    left of the mean square less the squared mean in single precision.
    """
    if padding != "valid":
        x, y, mask = _continued(x, y, mask, len(kernel), padding)
    elif min(x.shape[2:], default=0) < len(kernel):
        raise ValueError(
            f"ssim: a side of {tuple(x.shape[2:])} is below {len(kernel)} for a window of {len(kernel)}; "
            "take a smaller `window`, or `padding=same`"
        )

    def blur(parts: Tensor) -> Tensor:
        return blurred(parts, kernel.to(parts.dtype))

    # By the sum and the difference of both: 2 cov = (var(x + y) - var(x - y)) / 2 is never beyond their variances.
    sums, differences = wide(x) + wide(y), wide(x) - wide(y)
    ms, md, ss, dd, *rest = stacked((sums, differences, sums * sums, differences * differences), mask, blur)
    share = rest[0].to(x.dtype) if rest else None
    if rest:
        whole = rest[0].clamp(min=torch.finfo(x.dtype).tiny)
        ms, md, ss, dd = ms / whole, md / whole, ss / whole, dd / whole
    ms, md = ms * ms, md * md
    ms, md, vs, vd = (part.to(x.dtype) / 2 for part in (ms, md, (ss - ms).relu(), (dd - md).relu()))
    c1, c2 = (at_least((k * max_val) ** 2, SMALLEST) for k in (k1, k2))
    return (ms - md + c1) / (ms + md + c1), (vs - vd + c2) / (vs + vd + c2), share


MODES = {"same": "reflect", "replicate": "replicate", "zeros": "constant"}
"""How torch calls what stands beyond a border."""


def _continued(
    x: Tensor, y: Tensor, mask: Tensor | None, window: int, padding: str
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Both images and the mask continued beyond the border, so that each pixel is in the middle of a window."""
    least = window // 2 + 1 if padding == "same" else 1
    if min(x.shape[2:], default=0) < least:
        raise ValueError(
            f"ssim: a side of {tuple(x.shape[2:])} is below {least} for a window of {window}; "
            "take a smaller `window`, or `padding=replicate`"
        )
    beyond, mode = [*around(window)] * (x.ndim - 2), MODES[padding]
    space = x.shape[2:]
    x, y = F.pad(x, beyond, mode=mode), F.pad(y, beyond, mode=mode)
    if mask is not None:
        shown = mask.expand(*mask.shape[:2], *space).to(x.dtype)
        # Zeros beyond the border are no masked pixels.
        mask = F.pad(shown, beyond, mode=mode, value=1.0 if mode == "constant" else None)
    return x, y, mask
