"""Losses of images: against torch in float64, by hand, and against numbers of other libraries."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import losslang

R = torch.Generator().manual_seed(5)


def unit(*shape: int) -> Tensor:
    return torch.rand(shape, generator=R, dtype=torch.float64)


def wave(*shape: int, step: float) -> Tensor:
    """Values from 0 to 1 that every library can be given."""
    place = torch.arange(math.prod(shape), dtype=torch.float64)
    return (torch.sin(step * place**1.5) / 2 + 0.5).reshape(shape)


def pair(*shape: int, scale: float = 1) -> tuple[Tensor, Tensor]:
    """An image, and one that is like it."""
    x = wave(*shape, step=0.11 * scale)
    return x, 0.6 * x + 0.4 * wave(*shape, step=0.07 * scale)


def t(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def line(*values: float) -> Tensor:
    """One sample with one channel of numbers in a row: (1, 1, n)."""
    return t(*values).reshape(1, 1, -1)


def compiled(text: str, **more: Any) -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        return losslang.compile(text, **more)


def over(pred: Tensor, text: str) -> losslang.Loss:
    """The loss of `text` for this prediction: of a signal (B, C, T) it says that channels come first."""
    name, _, options = text.partition("(")
    if pred.ndim > 3:
        return compiled(text)
    return compiled(f"{name}(channels=first, {options}" if options else f"{name}(channels=first)")


def value_and_gradient(loss: Any, pred: Tensor, target: Any = None, **batch: Any) -> tuple[Tensor, Tensor]:
    x = pred.clone().requires_grad_()
    value = loss(x, target, **batch)
    return value.detach(), torch.autograd.grad(value.sum(), x)[0]


# -------------------------------------------------------------------- against torch


def map_of_ssim(
    x: Tensor, y: Tensor, window: int = 11, sigma: float = 1.5, c1: float = 1e-4, c2: float = 9e-4
):
    """As in the paper: local means with one kernel of all axes, deviations from them in a second pass."""
    axes = x.ndim - 2
    place = torch.arange(window, dtype=torch.float64) - (window - 1) / 2
    grid = torch.meshgrid(*[place] * axes, indexing="ij")
    kernel = torch.exp(-sum(g**2 for g in grid) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).flatten()

    def patches(image: Tensor) -> Tensor:
        for axis in range(axes):
            image = image.unfold(axis + 2, window, 1)
        return image.flatten(2 + axes)

    x, y = patches(x), patches(y)
    mx, my = x @ kernel, y @ kernel
    dx, dy = x - mx.unsqueeze(-1), y - my.unsqueeze(-1)
    vx, vy, cov = (dx * dx) @ kernel, (dy * dy) @ kernel, (dx * dy) @ kernel
    contrast = (2 * cov + c2) / (vx + vy + c2)
    return (2 * mx * my + c1) / (mx**2 + my**2 + c1) * contrast, contrast


def ssim_of(x: Tensor, y: Tensor, **options: Any) -> Tensor:
    return map_of_ssim(x, y, **options)[0].mean()


def padded_ssim(x: Tensor, y: Tensor) -> Tensor:
    return ssim_of(*(F.pad(image, [5] * 4, mode="reflect") for image in (x, y)))


def ms_ssim_of(x: Tensor, y: Tensor) -> Tensor:
    index: Any = 1.0
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    for scale, weight in enumerate(weights):
        index = index * map_of_ssim(x, y)[scale < 4].mean(2) ** weight
        x, y = ((a[:, :, 0::2] + a[:, :, 1::2]) / 2 for a in (x, y))
    return index.mean()


def lncc_of(x: Tensor, y: Tensor) -> Tensor:
    """By 3 x 3 patches, zeros beyond the border."""
    x, y = (F.unfold(F.pad(a.flatten(0, 1).unsqueeze(1), [1] * 4), 3) for a in (x, y))
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    return -((x * y).sum(1) ** 2 / ((x * x).sum(1) * (y * y).sum(1))).mean()


X, Y = unit(2, 3, 13, 12), unit(2, 3, 13, 12)
V, W = unit(2, 1, 6, 5, 7), unit(2, 1, 6, 5, 7)
S, U = unit(2, 2, 192), unit(2, 2, 192)
S = 0.3 * S + 0.7 * U
TORCH: list[tuple[str, Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]] = [
    ("ssim", X, Y, ssim_of),
    ("1 - ssim", X, Y, lambda x, y: 1 - ssim_of(x, y)),
    ("dssim", X, Y, lambda x, y: (1 - ssim_of(x, y)) / 2),
    ("ssim(window=7, sigma=2.5)", X, Y, lambda x, y: ssim_of(x, y, window=7, sigma=2.5)),
    ("ssim(window=4)", X, Y, lambda x, y: ssim_of(x, y, window=4)),
    ("ssim(max_val=2, k1=0.1, k2=0.2)", X, Y, lambda x, y: ssim_of(x, y, c1=0.04, c2=0.16)),
    ("ssim(padding=same)", X, Y, padded_ssim),
    ("ssim(window=5)", V, W, lambda x, y: ssim_of(x, y, window=5)),
    ("ssim", S, U, ssim_of),
    ("ms_ssim", S, U, ms_ssim_of),
    ("psnr", X, Y, lambda x, y: -10 * (x - y).square().mean((1, 2, 3)).log10().mean()),
    ("psnr(max_val=255)", X, Y, lambda x, y: 10 * torch.log10(255**2 / (x - y).square().mean((1, 2, 3))).mean()),
    ("tv", X, Y, lambda x, y: sum(x.diff(dim=i).abs().sum() for i in (2, 3)) / 2),
    ("tv(reduction=sum)", V, W, lambda x, y: sum(x.diff(dim=i).abs().sum() for i in (2, 3, 4))),
    ("lncc", X, Y, lncc_of),
    ("spectral", X, Y, lambda x, y: F.mse_loss(torch.fft.fft2(x).abs(), torch.fft.fft2(y).abs()) / 156),
    ("spectral", S, U, lambda x, y: F.mse_loss(torch.fft.fft(x).abs(), torch.fft.fft(y).abs()) / 192),
]  # fmt: skip


@pytest.mark.parametrize(("text", "pred", "target", "torchs"), TORCH, ids=[row[0] for row in TORCH])
def test_equals_torch(text: str, pred: Tensor, target: Tensor, torchs: Callable[[Tensor, Tensor], Tensor]):
    found = value_and_gradient(over(pred, text), pred, None if text.startswith("tv") else target)
    wanted = value_and_gradient(torchs, pred, target)
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found[1], wanted[1], rtol=1e-9, atol=1e-11)
    assert found[1].abs().sum() > 0


# -------------------------------------------------------------------- by hand

ROOM = t([[0.0, 1.0], [3.0, 1.0]]).reshape(1, 1, 2, 2)
C1, C2 = 1e-4, 9e-4
BY_HAND: list[tuple[str, Tensor, Any, float]] = [
    # nothing varies: the first factor alone, here 0 against 1
    ("ssim", torch.zeros(1, 1, 11, 11).double(), torch.ones(1, 1, 11, 11).double(), C1 / (1 + C1)),
    ("ssim(window=1)", line(0, 1, 0.5), line(1, 1, 0), (C1 / (1 + C1) + 1 + C1 / (0.25 + C1)) / 3),
    ("ssim(window=1, max_val=255, k1=0.1)", line(0), line(255), 0.01 / 1.01),
    # a flat window of two: means 1 and 1, variances 1 and 1, covariance -1
    ("ssim(window=2, sigma=1e9)", line(0, 2), line(2, 0), (-2 + C2) / (2 + C2)),
    ("dssim(window=2, sigma=1e9)", line(0, 2), line(2, 0), 2 / (2 + C2)),
    # what is negative counts as 0
    ("ms_ssim(window=2, sigma=1e9, scale_weights=[1])", line(0, 2), line(2, 0), 0.0),
    ("ms_ssim(window=1, scale_weights=[1])", line(0, 1), line(1, 1), (C1 / (1 + C1) + 1) / 2),
    # halved: 0, 2, 5 are 1 and 5 (upwards: the last alone); 2, 0, 5 as well
    ("ms_ssim(window=1, scale_weights=[0, 1])", line(0, 2, 5), line(2, 0, 5), 1.0),
    ("ms_ssim(window=1, scale_weights=[0, 1])", line(0, 2, 5), line(0, 2, 0), (1 + C1 / (25 + C1)) / 2),
    ("ms_ssim(window=1, scale_weights=[0, 0.5])", line(0, 0), line(1, 1), math.sqrt(C1 / (1 + C1))),
    # decibels
    ("psnr", line(0.1, 0.1), line(0, 0.2), 20.0),
    ("psnr(max_val=255)", line(0), line(255), 0.0),
    ("psnr", line(1, 2), line(1, 2), 100.0),
    ("psnr(eps=1e-4)", line(1, 2), line(1, 2), 40.0),
    ("psnr", t([[0.1]], [[1.0]]), t([[0.0]], [[0.0]]), 10.0),
    # 0 1 over 3 1: 1 + 2 across, 3 + 0 down
    ("tv", ROOM, None, 6.0),
    ("tv(reduction=mean)", ROOM, None, 1.5),
    ("tv(isotropic=true)", ROOM, None, math.sqrt(10) + 2),
    ("tv", torch.cat([ROOM, 0 * ROOM]), None, 3.0),
    ("tv(reduction=sum)", torch.cat([ROOM, ROOM], 1), None, 12.0),
    ("tv", line(5), None, 0.0),
    # in proportion, and against it
    ("lncc", line(1, 2, 4), line(3, 6, 12), -1.0),
    ("lncc", line(1, 2, 4), line(-1, -2, -4), -1.0),
    ("lncc", line(1, 2, 4), line(0, 0, 0), 0.0),
    # windows 0 1 0, 1 0 2 and 0 2 0 of x; 0 1 1, 1 1 0 and 1 0 0 of y
    ("lncc", line(1, 0, 2), line(1, 1, 0), -((1 / 3) ** 2 / (2 / 3) ** 2 + 1 / (2 * 2 / 3) + (2 / 3) ** 2 / (8 / 3 * 2 / 3)) / 3),
    # below the floor nothing is a correlation: 2e-4² / (ε ε), with ε = 1
    ("lncc(window=1, eps=1)", line(1, 2), line(1, 2), 0.0),
    # shifted around: the same spectrum; 1 1 against 1 -1: sqrt(2) at 0 against sqrt(2) at the other
    ("spectral", line(1, 0, 0), line(0, 0, 1), 0.0),
    ("spectral", line(1, 1), line(1, -1), 2.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "pred", "target", "number"), BY_HAND, ids=[f"{i}-{row[0]}" for i, row in enumerate(BY_HAND)]
)
def test_by_hand(text: str, pred: Tensor, target: Any, number: float):
    value, grad = value_and_gradient(over(pred, text), pred, target)
    assert value.item() == pytest.approx(number, rel=1e-9, abs=1e-12)
    assert grad.isfinite().all()


def test_a_step_of_depth_costs_less_where_the_image_has_one():
    loss = compiled("depth_smoothness(channels=first)@(pred, batch.image)")
    flat, edge = line(0, 0, 0), line(0, 0, 1)
    assert loss(line(0, 0, 2), None, image=flat).item() == pytest.approx(1.0)
    assert loss(line(0, 0, 2), None, image=edge).item() == pytest.approx(math.exp(-1))
    assert loss(line(0, 2, 2), None, image=edge).item() == pytest.approx(1.0)
    # The mean of two channels of the image: e^-(1 + 3)/2.
    assert loss(line(0, 0, 2), None, image=torch.cat([edge, 3 * edge], 1)).item() == pytest.approx(
        math.exp(-2)
    )


# -------------------------------------------------------------------- other libraries' numbers

# kornia, tests/losses/test_ssim.py:66
KORNIA_1 = t(
    [[[0.5764233, 0.37663615, 0.6794336, 0.9937525], [0.25412983, 0.9688798, 0.95883495, 0.43684947],
      [0.7321194, 0.56794167, 0.5549539, 0.018021345]],
     [[0.3655427, 0.3805437, 0.23571652, 0.047184706], [0.5402546, 0.74712646, 0.7118596, 0.8114423],
      [0.16533959, 0.64122057, 0.5180827, 0.21323752]]]
)  # fmt: skip
KORNIA_2 = t(
    [[[0.7427806, 0.61514795, 0.78090996, 0.82859933], [0.36478752, 0.64501184, 0.75223535, 0.53091556],
      [0.16872293, 0.8357349, 0.32939863, 0.85058707]],
     [[0.84335977, 0.5611597, 0.11177105, 0.20615906], [0.29503727, 0.5175914, 0.021591902, 0.8368446],
      [0.109356165, 0.71604425, 0.859347, 0.55938]]]
)  # fmt: skip
A, B = pair(2, 2, 14, 16)
LARGE = pair(1, 2, 192, 176, scale=0.1)
SOLID = pair(1, 2, 5, 6, 7)
RECORDED: list[tuple[str, Tensor, Tensor, float]] = [
    ("dssim(like=kornia, window=5)", KORNIA_1, KORNIA_2, 0.39149907),  # SSIMLoss(5)
    # on `pair`: MONAI 1.6.1, piq 0.8.0, kornia 0.9.0, pytorch-msssim 1.0.0
    ("1 - ssim(like=monai)", A, B, 0.19524258375167847),  # SSIMLoss(2)
    ("ssim", A, B, 0.8047575193366145),  # piq.ssim(downsample=False)
    ("dssim(like=kornia)", A, B, 0.10532558030217971),  # ssim_loss(11)
    ("ms_ssim", *LARGE, 0.8073153769242435),  # piq.multi_scale_ssim
    ("lncc(like=monai)", A, B, -0.7384458071987854),  # LocalNormalizedCrossCorrelationLoss(2)
    ("lncc(window=5)", *SOLID, -0.8372257959535168),  # the same, kernel_size=5, in three dimensions
    ("spectral", A[:, :1], B[:, :1], 0.02135984015043357),  # JukeboxLoss(2)
    ("psnr(like=monai)", A, B, 14.096952359483918),  # PSNRMetric(1.0)
    ("tv", A, B, 397.928014912567),  # piq.total_variation(norm_type="l1")
    ("tv(reduction=sum)", A, B, 795.8560298251339),  # kornia's total_variation, summed
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "pred", "target", "number"), RECORDED, ids=[f"{i}-{row[0]}" for i, row in enumerate(RECORDED)]
)
def test_numbers_of_other_libraries(text: str, pred: Tensor, target: Tensor, number: float):
    found = compiled(text)(pred, None if text.startswith("tv") else target)
    # MONAI and kornia have float32 in between.
    assert found.item() == pytest.approx(number, rel=1e-6)


def test_depth_smoothness_is_that_of_kornia():
    found = compiled("depth_smoothness(like=kornia, image=batch.image)")(A[:, :1], None, image=B)
    assert found.item() == pytest.approx(0.6488488752075774, rel=1e-12)


def test_where_other_libraries_differ():
    """As the docstrings say: a mix is no index, a spectrum over channels is another, a norm is no variation."""
    mix = compiled("200*(0.025*(1 - ms_ssim) + 0.975*l1)")(*LARGE).item()
    assert mix != pytest.approx(33.01744813498837, rel=1e-3)  # kornia.losses.MS_SSIMLoss()
    assert compiled("spectral")(A, B).item() != pytest.approx(0.02314992568447239, rel=1e-2)  # JukeboxLoss(2)
    assert compiled("tv")(A).item() != pytest.approx(16.186564015589433, rel=1)  # piq.total_variation()


# -------------------------------------------------------------------- masks, sizes, and what must not break

BOTH = ("ssim", "ssim(padding=same)", "dssim", "ms_ssim(scale_weights=[0.4, 0.6], window=5)", "psnr", "lncc")


def masked(text: str) -> losslang.Loss:
    return compiled(text.replace(")", ", mask=batch.mask)") if "(" in text else f"{text}(mask=batch.mask)")


@pytest.mark.parametrize("text", [*BOTH, "tv", "tv(isotropic=true)"])
def test_a_mask_of_everything_hides_nothing(text: str):
    target = None if text.startswith("tv") else Y
    found = value_and_gradient(masked(text), X, target, mask=torch.ones(2, 13, 12))
    wanted = value_and_gradient(compiled(text), X, target)
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("text", "perfect"), list(zip(BOTH, (1, 1, 0, 1, 100, -1), strict=True)))
def test_a_difference_under_the_mask_is_none(text: str, perfect: float):
    """Equal where anything counts: the best value, though windows reach across."""
    mask = torch.rand(2, 13, 12, generator=torch.Generator().manual_seed(1)) > 0.3
    target = torch.where(mask.unsqueeze(1), X, Y)
    assert masked(text)(X, target, mask=mask).item() == pytest.approx(perfect, abs=1e-9)
    assert compiled(text)(X, target).item() != pytest.approx(perfect, abs=1e-2)


def test_a_window_that_is_partly_masked_reads_the_rest():
    """A mask of the outer columns is the image without them, for windows of one row."""
    mask = torch.ones(1, 1, 1, 6)
    mask[..., 4:] = 0
    x, y = unit(1, 1, 1, 6), unit(1, 1, 1, 6)
    flat = "window=1"
    torch.testing.assert_close(
        masked(f"ssim({flat})")(x, y, mask=mask), compiled(f"ssim({flat})")(x[..., :4], y[..., :4])
    )
    # Of a window of six the last two are gone: a flat one is a window of four.
    torch.testing.assert_close(
        masked("ssim(window=6, sigma=1e9, channels=first)")(x[:, :, 0], y[:, :, 0], mask=mask[:, :, 0]),
        compiled("ssim(window=4, sigma=1e9, channels=first)")(x[:, :, 0, :4], y[:, :, 0, :4]),
    )


def test_differences_beside_a_mask_are_left_out():
    hidden = t([[1, 0], [1, 1]]).reshape(1, 1, 2, 2)
    assert masked("tv")(ROOM, mask=hidden).item() == pytest.approx(3 + 2)
    loss = compiled("depth_smoothness(image=batch.image, mask=batch.mask, channels=first)")
    image = line(0, math.nan, 0, 1)
    value, grad = value_and_gradient(loss, line(0, 7, 1, 3), image=image, mask=line(1, 0, 1, 1))
    assert value.item() == pytest.approx(2 * math.exp(-1))
    assert grad.isfinite().all()


@pytest.mark.parametrize(
    ("text", "target"),
    [("1 - ssim", 0.5), ("dssim", 0.5), ("-psnr", 0.5), ("lncc", 0.5), ("spectral", 0.0), ("tv(isotropic=true)", None)],
)  # fmt: skip
def test_flat_and_equal_images_have_a_finite_gradient(text: str, target: float | None):
    flat = torch.full((2, 1, 12, 12), 0.5 if target is None else target, dtype=torch.float64)
    value, grad = value_and_gradient(compiled(text), flat, None if target is None else flat)
    assert value.isfinite()
    assert grad.abs().max() < 1e-9


def test_float32_of_bytes_is_close():
    """Variances are differences of squares of up to 65025."""
    x, y = 255 * A, 255 * B
    exact = compiled("ssim(max_val=255)")(x, y).item()
    assert compiled("ssim(max_val=255)")(x.float(), y.float()).item() == pytest.approx(exact, abs=2e-5)
    assert compiled("ssim")(A, B).item() == pytest.approx(exact, abs=1e-9)


def test_autocast_does_not_round_the_windows():
    wanted = compiled("ssim")(A.float(), B.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert compiled("ssim")(A.float(), B.float()).item() == wanted.item()


def test_the_smallest_image():
    assert compiled("ms_ssim(channels=first)")(*pair(1, 1, 161, scale=0.1)).isfinite()
    with pytest.raises(
        ValueError, match=r"(?s)a side of .*160.* is below 161, .* a window of 11 at 5 scales"
    ):
        compiled("ms_ssim")(*pair(1, 1, 200, 160))
    with pytest.raises(ValueError, match=r"(?s)a side of .*10.* is below 11 .*`padding=same`"):
        compiled("ssim")(*pair(1, 1, 12, 10))
    assert compiled("ssim(padding=same)")(*pair(1, 1, 12, 10)).isfinite()
    with pytest.raises(ValueError, match=r"(?s)a side of .*5.* is below 6 for a window of 11"):
        compiled("ssim(padding=same)")(*pair(1, 1, 12, 5))
    for padding in ("zeros", "replicate"):
        assert compiled(f"ssim(padding={padding})")(*pair(1, 1, 12, 5)).isfinite()


# -------------------------------------------------------------------- networks


class Net(nn.Module):
    """A network in parts, with a ReLU in place, that says how far it was run."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(inplace=True), nn.Conv2d(3, 2, 2))
        self.ends = 0
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(wave(*parameter.shape, step=0.9) - 0.5)

    def forward(self, image: Tensor) -> Tensor:
        self.ends += 1
        return self.body(image)


def network() -> Net:
    return Net().double()


ONE, TWO = unit(2, 1, 5, 6), unit(2, 1, 5, 6)


def content(net: Net, layers: int, x: Tensor, y: Tensor, measure: Any = F.mse_loss) -> Tensor:
    """Of the first layers, with a ReLU that leaves what it reads."""
    steps = [net.body[0], nn.ReLU(), net.body[2]][:layers]
    return measure(nn.Sequential(*steps)(x), nn.Sequential(*steps)(y))


@pytest.mark.parametrize("whole", [True, False], ids=["module", "sequence"])
def test_perceptual_is_the_distance_of_features(whole: bool):
    net = network()
    given, prefix = (net, "body.") if whole else (net.body, "")
    layers = f"layers=['{prefix}0', '{prefix}2']"
    loss = compiled(f"perceptual(net=const.net, {layers}, layer_weights=[2, 0.5])", const={"net": given})
    found = value_and_gradient(loss, ONE, TWO)
    wanted = value_and_gradient(
        lambda x, y: 2 * content(net, 1, x, y) + 0.5 * content(net, 3, x, y), ONE, TWO
    )
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    for criterion, measure in (("l1", F.l1_loss), ("smooth_l1", F.smooth_l1_loss)):
        loss = compiled(f"perceptual(net=const.net, criterion={criterion})", const={"net": given})
        torch.testing.assert_close(loss(ONE, TWO), content(net, 3, ONE, TWO, measure).detach())


def test_perceptual_trains_the_prediction_alone():
    net = network()
    loss = compiled("perceptual(net=const.net, layers=['body.1'])", const={"net": net})
    x, y = ONE.clone().requires_grad_(), TWO.clone().requires_grad_()
    loss(x, y).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert y.grad is None
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert all(not module._forward_hooks for module in net.modules())


def test_no_hook_stays_when_the_network_fails():
    net = network()
    loss = compiled("perceptual(net=const.net, layers=['body.0'])", const={"net": net})
    with pytest.raises(RuntimeError):
        loss(unit(1, 4, 5, 5), unit(1, 4, 5, 5))
    assert all(not module._forward_hooks for module in net.modules())


def test_a_sequence_is_left_after_its_last_layer():
    net = network()
    end = Net().double()
    const = {"net": nn.Sequential(net.body[0], end)}
    compiled("perceptual(net=const.net, layers=['0'])", const=const)(ONE, TWO)
    assert end.ends == 0


def test_a_network_may_return_features_by_name():
    class Named(Net):
        def forward(self, image: Tensor) -> Any:
            first = self.body[0](image)
            return {"first": first, "second": first.relu()}

    net = Named().double()
    both = compiled("perceptual(net=const.net)", const={"net": net})
    second = compiled("perceptual(net=const.net, layers=[second])", const={"net": net})
    torch.testing.assert_close(second(ONE, TWO), content(net, 2, ONE, TWO).detach())
    torch.testing.assert_close(
        both(ONE, TWO), (content(net, 1, ONE, TWO) + content(net, 2, ONE, TWO)).detach()
    )


def test_a_layer_that_is_not_there_is_named():
    const = {"net": network()}
    with pytest.raises(ValueError, match=r"no layer 'body\.7'"):
        compiled("perceptual(net=const.net, layers=['body.7'])", const=const)(ONE, TWO)
    with pytest.raises(ValueError, match="1 `layer_weights` for 2 layers"):
        compiled("perceptual(net=const.net, layers=['body.0', 'body.1'], layer_weights=[1])", const=const)(
            ONE, TWO
        )


def test_a_network_of_another_precision_is_asked_in_its_own():
    net = network()
    loss = compiled("perceptual(net=const.net)", const={"net": net})
    found = loss(ONE.float(), TWO.float())
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(content(net, 3, ONE, TWO).item(), rel=1e-5)


@pytest.mark.parametrize("shape", ["map", "column", "number"])
def test_lpips_is_what_the_module_says(shape: str):
    class Apart(Net):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            error = (self.body[0](x) - self.body[0](y)).square()
            return {"map": error, "column": error.mean((1, 2, 3), True), "number": error.mean((1, 2, 3))}[
                shape
            ]

    net = Apart().double()
    loss = compiled("lpips(net=const.net, reduction=none)", const={"net": net})
    y = TWO.clone().requires_grad_()
    value, grad = value_and_gradient(loss, ONE, y)
    wanted = value_and_gradient(lambda a, b: net(a, b).reshape(2, -1).mean(1), ONE, TWO)
    torch.testing.assert_close((value, grad), wanted, rtol=1e-12, atol=1e-14)
    assert all(p.grad is None for p in net.parameters())
    assert y.grad is None


# -------------------------------------------------------------------- a network that is somebody else's


def test_a_module_that_stands_twice_runs_twice():
    relu = nn.ReLU()
    net = nn.Sequential(nn.Conv2d(1, 3, 2), relu, nn.Conv2d(3, 3, 2), relu, nn.Conv2d(3, 2, 2)).double()
    x, y = pair(2, 1, 8, 7)
    for layers, through in ((["4"], net), (["3"], net[:4])):
        found = compiled(f"perceptual(net=const.net, layers={layers})", const={"net": net})(x, y)
        torch.testing.assert_close(found, nn.functional.mse_loss(through(x), through(y)))


def test_a_first_layer_in_place_leaves_the_images_alone():
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(1, 2, 2)).double()
    x, y = (2 * image - 1 for image in pair(2, 1, 6, 5))
    kept = x.clone(), y.clone()
    leaf = x.requires_grad_()
    compiled("perceptual(net=const.net, layers=['1'])", const={"net": net})(leaf, y).backward()
    torch.testing.assert_close((leaf.detach(), y), kept)


def test_train_of_the_loss_is_not_train_of_the_network():
    net = nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Dropout(0.5)).double().eval()
    x, _ = pair(2, 1, 6, 5)
    loss = compiled("perceptual(net=const.net)", const={"net": net})
    around = nn.Sequential(loss).train()
    assert loss.training
    assert not net.training
    assert loss(x, x.clone()) == 0
    assert not around.eval()[0].training


def test_threads_share_a_network():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)).double()
    loss = compiled("perceptual(net=const.net)", const={"net": net})
    calls = [pair(2, 1, 16, 16) for _ in range(4)]
    wanted = [loss(*call) for call in calls]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: loss(*calls[i % 4]), range(40)))
    for i, value in enumerate(found):
        torch.testing.assert_close(value, wanted[i % 4])
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in net.parameters())
