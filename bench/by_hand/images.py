"""By hand: images, at 1 MB of prediction."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.by_hand import PIXELS, by_hand
from bench.work import Call, Shape

IMAGES: tuple[Shape, ...] = ((2, 1, 12, 13), (4, 1, 256, 256))
LARGE: tuple[Shape, ...] = ((1, 1, 161, 162), (4, 1, 256, 256))


class Frozen(nn.Module):
    """A convolution and a ReLU that no one trains."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.randn(4, 1, 3, 3))

    def forward(self, image: Tensor) -> Tensor:
        return F.relu(F.conv2d(image, self.kernel))


class Apart(Frozen):
    """How far two images are from each other: what stands for an LPIPS."""

    def forward(self, image: Tensor, other: Tensor) -> Tensor:
        difference = super().forward(image) - super().forward(other)
        return difference.square().mean((1, 2, 3), keepdim=True)


def images(shape: Shape) -> Call:
    """An image, and one that is like it."""
    target = torch.rand(shape)
    return Call(0.7 * target + 0.3 * torch.rand(shape), target)


def alone(shape: Shape) -> Call:
    return Call(torch.rand(shape))


def with_image(shape: Shape) -> Call:
    """A depth, and the image of it in three colours."""
    batch, _, *space = shape
    return Call(torch.rand(shape), batch={"image": torch.rand(batch, 3, *space)})


def seen_by(network: Callable[[], nn.Module]) -> Callable[[Shape], Call]:
    def make(shape: Shape) -> Call:
        call = images(shape)
        return Call(call.pred, call.target, const={"net": network()})

    return make


def factors(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast with structure, under a Gaussian window of 11."""
    place = torch.arange(11) - 5.0
    line = torch.exp(-(place**2) / (2 * 1.5**2))
    line = (line / line.sum()).to(x.device)
    kernel = torch.outer(line, line)[None, None]
    mx, my = F.conv2d(x, kernel), F.conv2d(y, kernel)
    vx, vy = F.conv2d(x * x, kernel) - mx**2, F.conv2d(y * y, kernel) - my**2
    cov = F.conv2d(x * y, kernel) - mx * my
    light = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
    return light, (2 * cov + 0.03**2) / (vx + vy + 0.03**2)


@by_hand(images, IMAGES, "1 - ssim")
def ssim(pred: Tensor, target: Tensor) -> Tensor:
    light, contrast = factors(pred, target)
    return 1 - (light * contrast).mean()


@by_hand(images, IMAGES)
def dssim(pred: Tensor, target: Tensor) -> Tensor:
    return ssim(pred, target) / 2


@by_hand(images, LARGE, "1 - ms_ssim")
def ms_ssim(pred: Tensor, target: Tensor) -> Tensor:
    index = torch.ones(len(pred), device=pred.device)
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    for scale, weight in enumerate(weights):
        light, contrast = factors(pred, target)
        part = light * contrast if scale == 4 else contrast
        index = index * F.relu(part.mean((1, 2, 3))) ** weight
        pred, target = (F.avg_pool2d(image, 2, ceil_mode=True) for image in (pred, target))
    return 1 - index.mean()


@by_hand(images, PIXELS, "-psnr")
def psnr(pred: Tensor, target: Tensor) -> Tensor:
    return 10 * ((pred - target) ** 2).mean((1, 2, 3)).log10().mean()


@by_hand(alone, PIXELS)
def tv(pred: Tensor, target: None) -> Tensor:
    rows, columns = pred[..., 1:, :] - pred[..., :-1, :], pred[..., 1:] - pred[..., :-1]
    return (rows.abs().sum() + columns.abs().sum()) / len(pred)


@by_hand(images, PIXELS)
def lncc(pred: Tensor, target: Tensor) -> Tensor:
    box = torch.ones(1, 1, 3, 3, device=pred.device)

    def total(image: Tensor) -> Tensor:
        return F.conv2d(image, box, padding=1)

    x, y = total(pred), total(target)
    cross = total(pred * target) - x * y / 9
    xx = (total(pred * pred) - x * x / 9).clamp(min=1e-5)
    yy = (total(target * target) - y * y / 9).clamp(min=1e-5)
    return -(cross * cross / (xx * yy)).mean()


@by_hand(images, PIXELS)
def spectral(pred: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(torch.fft.fft2(pred, norm="ortho").abs(), torch.fft.fft2(target, norm="ortho").abs())


@by_hand(with_image, PIXELS, "depth_smoothness(image=batch.image)")
def depth_smoothness(pred: Tensor, target: None, image: Tensor) -> Tensor:
    total = torch.zeros((), device=pred.device)
    for axis in (2, 3):
        weight = torch.exp(-image.diff(dim=axis).abs().mean(1, keepdim=True))
        total = total + (pred.diff(dim=axis).abs() * weight).mean()
    return total


@by_hand(seen_by(Frozen), PIXELS, "perceptual(net=const.net)")
def perceptual(pred: Tensor, target: Tensor, net: nn.Module) -> Tensor:
    with torch.no_grad():
        wanted = net(target)
    return F.mse_loss(net(pred), wanted)


@by_hand(seen_by(Apart), PIXELS, "lpips(net=const.net)")
def lpips(pred: Tensor, target: Tensor, net: nn.Module) -> Tensor:
    return net(pred, target).mean()
