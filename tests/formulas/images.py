"""Textbook formulas: images, window by window and pixel by pixel."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from reference import FORMS, textbook
from torch import Tensor, nn

Data = tuple[Tensor, Any, dict[str, Any]]

FORMS |= {
    "ssim": ("like", "element"),
    "dssim": ("like", "element"),
    "ms_ssim": ("like", "sample"),
    "psnr": ("like", "sample"),
    "tv": ("like", "element"),
    "lncc": ("like", "element"),
    "spectral": ("like", "sample"),
    "depth_smoothness": ("like", "sample"),
    "perceptual": ("like", "sample"),
    "lpips": ("like", "sample"),
}


def _samples(values: list[Tensor], x: Tensor) -> Tensor:
    return torch.stack(values) if values else x.flatten(1).sum(1)


def _windows(shape: torch.Size, size: int) -> Iterator[tuple[slice, ...]]:
    """Every box of a size that lies inside."""
    for corner in itertools.product(*(range(n - size + 1) for n in shape)):
        yield tuple(slice(i, i + size) for i in corner)


def _mirrored(x: Tensor, size: int) -> Tensor:
    """An image (*S) continued beyond its border, which is not repeated."""
    for axis, n in enumerate(x.shape):
        places = range(-((size - 1) // 2), n + size // 2)
        x = x.index_select(axis, torch.tensor([(n - 1) - abs((n - 1) - abs(i)) for i in places]))
    return x


def _gaussian(size: int, sigma: float, axes: int) -> Tensor:
    weights = torch.zeros([size] * axes, dtype=torch.float64)
    for place in itertools.product(range(size), repeat=axes):
        square = sum((i - (size - 1) / 2) ** 2 for i in place)
        weights[place] = math.exp(-square / (2 * sigma**2))
    return weights / weights.sum()


def _values(
    x: Tensor, y: Tensor, seen: Tensor, *, window: int, weights: Tensor, c1: float, c2: float
) -> Iterator[tuple[Tensor, Tensor, float]]:
    """ssim and its second factor in every window of one channel, and how much of its weight the window sees."""
    for box in _windows(x.shape, window):
        w = weights * seen[box]
        share = float(w.sum())
        w = w / (share or 1)
        mx, my = (w * x[box]).sum(), (w * y[box]).sum()
        vx, vy = (w * (x[box] - mx) ** 2).sum(), (w * (y[box] - my) ** 2).sum()
        cov = (w * (x[box] - mx) * (y[box] - my)).sum()
        cs = (2 * cov + c2) / (vx + vy + c2)
        yield cs * (2 * mx * my + c1) / (mx**2 + my**2 + c1), cs, share


def _channel(
    x: Tensor, y: Tensor, seen: Tensor, *, window: int, sigma: float, c1: float, c2: float
) -> tuple[Tensor, Tensor]:
    """The means of ssim and of its second factor over the windows of one channel, each by what it sees."""
    weights = _gaussian(window, sigma, x.ndim)
    whole, index, contrast = 0.0, 0 * x.sum(), 0 * x.sum()
    for value, cs, share in _values(x, y, seen, window=window, weights=weights, c1=c1, c2=c2):
        if share:
            index, contrast, whole = index + share * value, contrast + share * cs, whole + share
    return (index / whole, contrast / whole) if whole else (index, contrast)


def _constants(max_val: float, k1: float, k2: float) -> dict[str, float]:
    return {"c1": (k1 * max_val) ** 2, "c2": (k2 * max_val) ** 2}


def _beyond(x: Tensor, size: int, padding: str, outside: float) -> Tensor:
    """An image (*S) continued beyond its border: mirrored, with its last pixel, or with a number."""
    if padding == "same":
        return _mirrored(x, size)
    if padding == "zeros":
        return _framed(x, [((size - 1) // 2, size // 2)] * x.ndim, outside)
    for axis, n in enumerate(x.shape):
        places = range(-((size - 1) // 2), n + size // 2)
        x = x.index_select(axis, torch.tensor([min(max(i, 0), n - 1) for i in places]))
    return x


@textbook
def ssim(
    v: Any,
    t: Tensor,
    mask: Tensor,
    *,
    max_val: float,
    window: int,
    sigma: float,
    k1: float,
    k2: float,
    kernel: str,
    padding: str,
    **_: Any,
):
    """The value of a window stands at the pixel in its middle; one whose window is not inside does not count."""
    values, counted = 0 * v.values, torch.ones_like(mask)
    for b, c in itertools.product(*map(range, v.values.shape[:2])):
        x, y, m = v.values[b, c], t[b, c], mask[b, c].double()
        size = [n - window + 1 for n in x.shape]
        if padding != "valid":
            size = list(x.shape)
            x, y, m = (_beyond(a, window, padding, i) for a, i in ((x, 0.0), (y, 0.0), (m, 1.0)))
        box = torch.full([window] * x.ndim, window**-x.ndim, dtype=torch.float64)
        weights = box if kernel == "box" else _gaussian(window, sigma, x.ndim)
        found = [
            value
            for value, _cs, _share in _values(
                x, y, m, window=window, weights=weights, **_constants(max_val, k1, k2)
            )
        ]
        first = (window - 1) // 2 if padding == "valid" else 0
        inner = (b, c, *(slice(first, first + n) for n in size))
        values[inner] = values[inner] + torch.stack(found).reshape(size)
        if padding == "valid":
            own = torch.zeros_like(counted[b, c])
            own[inner[2:]] = True
            counted[b, c] = own
    return values, counted


@textbook
def dssim(v: Any, t: Tensor, mask: Tensor, **options: Any):
    values, counted = ssim(v, t, mask, **options)
    return (1 - values) / 2, counted


def _pooled(x: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """An image half the size, upwards, and where anything of it counts."""
    size = [(n + 1) // 2 for n in x.shape]
    values, seen = [], []
    for corner in itertools.product(*map(range, size)):
        box = tuple(slice(2 * i, 2 * i + 2) for i in corner)
        number = m[box].sum()
        values.append((x[box] * m[box]).sum() / number if number else 0 * x.sum())
        seen.append(float(number > 0))
    return torch.stack(values).reshape(size), torch.tensor(seen, dtype=torch.float64).reshape(size)


@textbook
def ms_ssim(
    v: Any,
    t: Tensor,
    mask: Tensor,
    *,
    max_val: float,
    window: int,
    sigma: float,
    k1: float,
    k2: float,
    scale_weights: tuple[float, ...] | None,
    **_: Any,
):
    weights = scale_weights or (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    found = []
    for b in range(len(v.values)):
        products = []
        for c in range(v.values.shape[1]):
            x, y, m = v.values[b, c], t[b, c], mask[b, c].double()
            product = 1 + 0 * x.sum()
            for i, w in enumerate(weights):
                index, cs = _channel(x, y, m, window=window, sigma=sigma, **_constants(max_val, k1, k2))
                part = index if i == len(weights) - 1 else cs
                product = product * (part**w if part > 0 else 0 * part)
                (x, n), (y, _n) = _pooled(x, m), _pooled(y, m)
                m = n
            products.append(product)
        found.append(sum(products) / len(products))
    return _samples(found, v.values)


@textbook
def psnr(v: Any, t: Tensor, mask: Tensor, *, max_val: float, eps: float, **_: Any):
    found = []
    for b in range(len(v.values)):
        squares = ((v.values[b] - t[b]) ** 2)[mask[b]]
        error = squares.mean() if len(squares) else 0 * v.values.sum()
        ratio = error / max_val**2
        ratio = ratio if ratio > eps else 0 * ratio + eps
        found.append(-10 * torch.log(ratio) / math.log(10))
    return _samples(found, v.values)


def _after(place: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(i + (k == axis) for k, i in enumerate(place))


@textbook
def tv(v: Any, t: Tensor, mask: Tensor, *, isotropic: bool, **_: Any):
    x = v.values
    values = []
    for place in itertools.product(*map(range, x.shape)):
        steps = []
        for axis in range(2, x.ndim):
            after = _after(place, axis)
            if after[axis] < x.shape[axis] and mask[place] and mask[after]:
                steps.append(x[after] - x[place])
        if isotropic:
            square = sum((s**2 for s in steps), 0 * x.sum())
            values.append(torch.sqrt(square) if square > 0 else 0 * square)
        else:
            values.append(sum((s.abs() for s in steps), 0 * x.sum()))
    return torch.stack(values).reshape(x.shape) if values else x


@textbook
def lncc(v: Any, t: Tensor, mask: Tensor, *, window: int, eps: float, **_: Any):
    values = []
    edge = (window - 1) // 2, window // 2
    for b in range(len(v.values)):
        for c in range(v.values.shape[1]):
            x, y, m = v.values[b, c], t[b, c], mask[b, c].double()
            around = [edge] * x.ndim
            x, y = (_framed(a, around, 0.0) for a in (x, y))
            wide = _framed(m, around, 1.0)
            for place, box in zip(
                itertools.product(*map(range, m.shape)), _windows(x.shape, window), strict=True
            ):
                if not m[place]:
                    values.append(0 * v.values.sum())
                    continue
                inside = wide[box] > 0
                a, z = x[box][inside], y[box][inside]
                a, z = a - a.mean(), z - z.mean()
                xx, zz = (a * a).sum(), (z * z).sum()
                xx, zz = (s if s > eps else 0 * s + eps for s in (xx, zz))
                values.append(-((a * z).sum() ** 2) / (xx * zz))
    return torch.stack(values).reshape(v.values.shape) if values else v.values


def _framed(x: Tensor, around: list[tuple[int, int]], with_: float) -> Tensor:
    size = [n + low + high for n, (low, high) in zip(x.shape, around, strict=True)]
    framed = torch.full(size, with_, dtype=torch.float64)
    framed[tuple(slice(low, low + n) for n, (low, _) in zip(x.shape, around, strict=True))] = x
    return framed


@textbook
def spectral(v: Any, t: Tensor, mask: Tensor, **_: Any):
    found = []
    for b in range(len(v.values)):
        values = []
        for c in range(v.values.shape[1]):
            x, y = v.values[b, c], t[b, c]
            places = list(itertools.product(*map(range, x.shape)))
            for k in places:
                angles = [sum(i * j / n for i, j, n in zip(k, p, x.shape, strict=True)) for p in places]
                turns = 2 * math.pi * torch.tensor(angles, dtype=torch.float64)
                cos, sin = (f(turns).reshape(x.shape) for f in (torch.cos, torch.sin))
                sizes = [_size((a * cos).sum(), (a * sin).sum()) / math.sqrt(x.numel()) for a in (x, y)]
                values.append((sizes[0] - sizes[1]) ** 2)
        found.append(sum(values) / len(values))
    return _samples(found, v.values)


def _size(real: Tensor, imaginary: Tensor) -> Tensor:
    square = real**2 + imaginary**2
    return torch.sqrt(square) if square > 1e-24 else 0 * square


@textbook
def depth_smoothness(v: Any, t: Tensor, mask: Tensor, *, extra: dict[str, Tensor], **_: Any):
    x, image, found = v.values, extra["image"], []
    for b in range(len(x)):
        value = 0 * x.sum()
        for axis in range(1, x.ndim - 1):
            terms = []
            for place in itertools.product(*map(range, x[b].shape)):
                after = _after(place, axis)
                if after[axis] < x[b].shape[axis] and mask[b][place] and mask[b][after]:
                    edge = sum((i[after[1:]] - i[place[1:]]).abs() for i in image[b]) / len(image[b])
                    terms.append((x[b][after] - x[b][place]).abs() * torch.exp(-edge))
            value = value + (sum(terms) / len(terms) if terms else 0.0)
        found.append(value)
    return _samples(found, x)


@textbook
def perceptual(
    v: Any,
    t: Tensor,
    mask: Tensor,
    *,
    extra: dict[str, Any],
    layers: tuple[str, ...] | None,
    layer_weights: tuple[float, ...] | None,
    criterion: str,
    **_: Any,
):
    """For a network that is a sequence of modules."""
    net, found = extra["net"].double(), []
    names = layers or (str(len(net) - 1),)
    for b in range(len(v.values)):
        x, y, value = v.values[b : b + 1], t[b : b + 1].detach(), 0 * v.values.sum()
        for name, module in net.named_children():
            x, y = module(x), module(y).detach()
            if name in names:
                e = x - y
                a = e.abs()
                each = {"mse": e**2, "l1": a, "smooth_l1": torch.where(a < 1, e**2 / 2, a - 0.5)}[criterion]
                weight = 1.0 if layer_weights is None else layer_weights[names.index(name)]
                value = value + weight * each.mean()
        found.append(value)
    return _samples(found, v.values)


@textbook
def lpips(v: Any, t: Tensor, mask: Tensor, *, extra: dict[str, Any], **_: Any):
    net = extra["net"].double()
    return _samples([net(v.values[b : b + 1], t[b : b + 1].detach()).mean() for b in range(len(t))], v.values)


# -------------------------------------------------------------------- what the laws are tried on


class Distance(nn.Module):
    """How far two images are from each other after one convolution, as a map: what stands for an LPIPS."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 2, 2).double()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.features(x) - self.features(y)).square().mean(1, keepdim=True)


def network() -> nn.Sequential:
    """A small frozen network of three layers, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Conv2d(2, 2, 2)).double()


def _pair(r: torch.Generator, *shape: int) -> tuple[Tensor, Tensor]:
    """An image of values from 0 to 1, and one that is like it."""
    image, other = torch.rand(2, *shape, generator=r, dtype=torch.float64)
    return 0.7 * image + 0.3 * other, image


def _images(*shape: int) -> Callable[[torch.Generator], Data]:
    return lambda r: (*_pair(r, *shape), {})


def _depth(r: torch.Generator) -> Data:
    depth, image = _pair(r, 3, 1, 3, 4)
    return depth, None, {"image": torch.cat([image, 2 * depth], 1)}


def _seen(r: torch.Generator) -> Data:
    return *_pair(r, 3, 1, 4, 4), {"net": network()}


def _judged(r: torch.Generator) -> Data:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return *_pair(r, 3, 1, 4, 4), {"net": Distance()}


DATA: dict[str, Callable[[torch.Generator], Data]] = {
    "ssim": _images(3, 1, 11, 12),
    "dssim": _images(3, 1, 11, 12),
    "ms_ssim": _images(3, 1, 161),
    "psnr": _images(3, 2, 3, 4),
    "tv": lambda r: (_pair(r, 3, 2, 3, 4)[0], None, {}),
    "lncc": _images(3, 2, 3, 4),
    "spectral": _images(3, 2, 3, 4),
    "depth_smoothness": _depth,
    "perceptual": _seen,
    "lpips": _judged,
}
OTHER: dict[tuple[str, str], list[str]] = {
    **{(name, "window"): ["7"] for name in ("ssim", "dssim", "ms_ssim")},
    **{(name, "padding"): ["same", "replicate", "zeros"] for name in ("ssim", "dssim")},
    **{(name, "kernel"): ["box"] for name in ("ssim", "dssim")},
    ("ms_ssim", "scale_weights"): ["[0.5, 0.5]"],
    ("psnr", "eps"): ["5"],
    ("lncc", "window"): ["5"],
    ("perceptual", "layers"): ["['0', '1']"],
    ("perceptual", "layer_weights"): ["[2]"],
    ("perceptual", "criterion"): ["l1", "smooth_l1"],
}
