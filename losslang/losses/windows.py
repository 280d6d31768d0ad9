"""Windows over images, neighbours in them, and means of what counts: what losses of images are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from losslang.functions import exact
from losslang.lazy import F, torch
from losslang.vocabulary import Tensor


def gaussian(window: int, sigma: float, like: Tensor) -> Tensor:
    """The weights of a window along one axis."""
    place = torch.arange(window, dtype=like.dtype, device=like.device) - (window - 1) / 2
    weight = torch.exp(-0.5 * (place / sigma).square())
    return weight / weight.sum()


def similarity(
    x: Tensor,
    y: Tensor,
    mask: Tensor | None,
    kernel: Tensor,
    max_val: float,
    k1: float,
    k2: float,
    padding: str,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Luminance, contrast with structure, and what share of it each window reads."""
    size = len(kernel)
    least = size if padding == "valid" else size // 2 + 1
    if min(x.shape[2:], default=0) < least:
        fix = "take a smaller `window`" + (", or `padding=same`" if padding == "valid" else "")
        raise ValueError(
            f"ssim: a side of {tuple(x.shape[2:])} is below {least} for a window of {size}; {fix}"
        )

    def blur(parts: Tensor) -> Tensor:
        return _blurred(parts if padding == "valid" else _reflected(parts, size), kernel)

    mx, my, xx, yy, xy, *rest = stacked(x, y, mask, blur)
    share = rest[0] if rest else None
    if share is not None:
        whole = share.clamp(min=torch.finfo(x.dtype).tiny)
        mx, my, xx, yy, xy = mx / whole, my / whole, xx / whole, yy / whole, xy / whole
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    light = (2 * mx * my + c1) / (mx * mx + my * my + c1)
    contrast = (2 * (xy - mx * my) + c2) / ((xx - mx * mx) + (yy - my * my) + c2)
    return light, contrast, share


def stacked(
    x: Tensor, y: Tensor, mask: Tensor | None, sums: Callable[[Tensor], Tensor]
) -> tuple[Tensor, ...]:
    """Sums over windows of x, y, x², y², xy and, if there is one, the mask, all taken at once."""
    parts = [x, y, x * x, y * y, x * y]
    if mask is not None:
        parts.append(mask.expand(x.shape).to(x.dtype))
    return sums(torch.cat(parts, 1)).chunk(len(parts), 1)


def _blurred(parts: Tensor, kernel: Tensor) -> Tensor:
    """Every channel under a window of these weights, one axis after the other.

    Contiguous, and one group a channel: so torch takes its own kernel on a device, and not cuDNN's, which
    may round to ten bits (TF32). A difference of squares would not survive that.
    """
    channels, axes, parts = parts.shape[1], parts.ndim - 2, parts.contiguous()
    convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    with exact(parts):
        for axis in range(axes):
            shape = [1] * parts.ndim
            shape[axis + 2] = len(kernel)
            weight = kernel.reshape(shape).expand(channels, *shape[1:]).contiguous()
            parts = convolve(parts, weight, groups=channels)
    return parts


def _around(window: int, axes: int) -> list[int]:
    """How far a window reaches beyond its pixel, to both sides of each axis."""
    return [(window - 1) // 2, window // 2] * axes


def _reflected(parts: Tensor, window: int) -> Tensor:
    return F.pad(parts, _around(window, parts.ndim - 2), mode="reflect")


def box(parts: Tensor, window: int) -> Tensor:
    """The mean of a box around each pixel, with zeros beyond the border."""
    axes = parts.ndim - 2
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[axes - 1]
    return pool(F.pad(parts, _around(window, axes)), window, stride=1)


def halved(x: Tensor, y: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Means of two by two pixels, of those that count."""
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[x.ndim - 3]
    smaller, other = pool(x, 2, ceil_mode=True), pool(y, 2, ceil_mode=True)
    if mask is None:
        return smaller, other, None
    share = pool(mask.expand(x.shape).to(x.dtype), 2, ceil_mode=True)
    some = share > 0
    whole = torch.where(some, share, 1.0)
    return smaller / whole, other / whole, some


def amplitude(image: Tensor) -> Tensor:
    """The size of each frequency over space."""
    if not image.numel():
        return image
    axes = list(range(2, image.ndim))
    return cast("Tensor", torch.fft.fftn(image, dim=axes, norm="ortho")).abs()  # pyright: ignore


# -------------------------------------------------------------------- neighbours, and means


def neighbours(mask: Tensor, axis: int) -> Tensor:
    """Where an element and the next one along an axis both count."""
    number = mask.shape[axis] - 1
    return first(mask, axis) & mask.narrow(axis, 1, number)


def step(values: Tensor, axis: int, mask: Tensor | None) -> Tensor:
    """What the next element along an axis is more, for all but the last; 0 beside what is masked."""
    more = values.diff(dim=axis)
    return more if mask is None else torch.where(neighbours(mask.expand(values.shape), axis), more, 0.0)


def first(values: Tensor, axis: int) -> Tensor:
    """All but the last along an axis."""
    return values.narrow(axis, 0, values.shape[axis] - 1)


def ended(steps: Tensor, axis: int, length: int) -> Tensor:
    """Steps along an axis of this length, with a 0 for its last element, which has no next one."""
    return F.pad(steps, [0, 0] * (steps.ndim - 1 - axis) + [0, length - steps.shape[axis]])


def mean(values: Tensor, share: Tensor | None, keep: int) -> Tensor:
    """The mean over all but the first `keep` axes, each value by its share; of none it is 0."""
    flat = values.flatten(keep)
    if share is None:
        return flat.sum(-1) / max(flat.shape[-1], 1)
    weight = share.expand(values.shape).to(values.dtype).flatten(keep)
    whole = weight.sum(-1)
    return (flat * weight).sum(-1) / torch.where(whole == 0, 1.0, whole)
