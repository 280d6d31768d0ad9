"""Windows over images, neighbours in them, and means of what counts: what losses of images are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from losslang.tensors.devices import exact, wide, widest
from losslang.tensors.lazy import F, torch
from losslang.tensors.options import Option
from losslang.vocabulary import Tensor


def gaussian(window: int, sigma: Option, like: Tensor) -> Tensor:
    """Returns the weights of a window along one axis, in float64: their sum must be 1 for a variance."""
    place = wide(torch.arange(window, device=like.device)) - (window - 1) / 2
    return torch.softmax(-0.5 * (place / sigma).square(), 0)


def stacked(
    parts: tuple[Tensor, ...], mask: Tensor | None, sums: Callable[[Tensor], Tensor]
) -> tuple[Tensor, ...]:
    """Applies `sums`, a sum over windows, to images and the mask, if there is one, in one call."""
    if mask is not None:
        parts = (*parts, mask.expand(parts[0].shape).to(parts[0].dtype))
    return sums(torch.cat(parts, 1)).chunk(len(parts), 1)


def blurred(parts: Tensor, kernel: Tensor) -> Tensor:
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


def around(window: int) -> tuple[int, int]:
    """How far a window reaches beyond its pixel, to both sides of an axis."""
    return (window - 1) // 2, window // 2


def box(parts: Tensor, window: int) -> Tensor:
    """The mean of a box around each pixel, with zeros beyond the border."""
    axes = parts.ndim - 2
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[axes - 1]
    return pool(F.pad(parts, [*around(window)] * axes), window, stride=1)


def halved(x: Tensor, y: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Both images and the mask at half their size, by means of two by two unmasked pixels."""
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[x.ndim - 3]
    smaller, other = pool(x, 2, ceil_mode=True), pool(y, 2, ceil_mode=True)
    if mask is None:
        return smaller, other, None
    share = pool(mask.expand(x.shape).to(x.dtype), 2, ceil_mode=True)
    some = share > 0
    whole = torch.where(some, share, 1.0)
    return smaller / whole, other / whole, some


def centred(image: Tensor) -> tuple[Tensor, Tensor]:
    """Channels less their means over space, and these means in double precision."""
    if not image.numel():
        return image, image
    offset = image.mean(list(range(2, image.ndim)), keepdim=True, dtype=widest(image))
    return image - offset.to(image.dtype), offset


def amplitude(image: Tensor) -> Tensor:
    """Returns the magnitude of each frequency over space: half of the last axis, without the mirror."""
    if not image.numel():
        return image
    axes = list(range(2, image.ndim))
    return cast("Tensor", torch.fft.rfftn(image, dim=axes, norm="ortho")).abs()  # pyright: ignore


def over_spectrum(values: Tensor, length: int) -> Tensor:
    """The mean over all frequencies of an axis of this length, given the first half, which the other mirrors."""
    place = torch.arange(values.shape[-1], device=values.device)
    number = 2 - (place == 0).to(values.dtype) - (2 * place == length).to(values.dtype)
    with exact(values):
        return values @ (number / max(length, 1))


# -------------------------------------------------------------------- neighbours, and means


def neighbours(mask: Tensor, axis: int) -> Tensor:
    """A mask that is True where an element and the next one along an axis both count."""
    number = mask.shape[axis] - 1
    return first(mask, axis) & mask.narrow(axis, 1, number)


def step(values: Tensor, axis: int, mask: Tensor | None) -> Tensor:
    """The differences x(next) - x along an axis, one fewer than elements; 0 where one of both is masked."""
    more = values.diff(dim=axis)
    return more if mask is None else torch.where(neighbours(mask.expand(values.shape), axis), more, 0.0)


def first(values: Tensor, axis: int) -> Tensor:
    """All elements but the last along an axis, as a view."""
    return values.narrow(axis, 0, values.shape[axis] - 1)


def ended(steps: Tensor, axis: int, length: int) -> Tensor:
    """Differences along an axis, padded to its length with a 0: the last element has no next one."""
    return F.pad(steps, [0, 0] * (steps.ndim - 1 - axis) + [0, length - steps.shape[axis]])


def mean(values: Tensor, share: Tensor | None, keep: int) -> Tensor:
    """The mean over all but the first `keep` axes, each value by its share; of none it is 0."""
    flat = values.flatten(keep)
    if share is None:
        return flat.sum(-1) / max(flat.shape[-1], 1)
    weight = share.expand(values.shape).to(values.dtype).flatten(keep)
    whole = weight.sum(-1)
    return (flat * weight).sum(-1) / torch.where(whole == 0, 1.0, whole)
