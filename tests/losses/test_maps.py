"""Losses whose values are a map of an image: by hand, against numbers of other libraries, and in every reduction."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import losslang

R = torch.Generator().manual_seed(11)
C1, C2 = 0.01**2, 0.03**2


def unit(*shape: int) -> Tensor:
    return torch.rand(shape, generator=R, dtype=torch.float64)


def compiled(text: str) -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)  # an index that would be made small
        return losslang.compile(text)


def wave(*shape: int, step: float) -> Tensor:
    """Values from 0 to 1 that every library can be given."""
    place = torch.arange(math.prod(shape), dtype=torch.float64)
    return (torch.sin(step * place**1.5) / 2 + 0.5).reshape(shape)


def pair(*shape: int) -> tuple[Tensor, Tensor]:
    """An image, and one that is like it."""
    x = wave(*shape, step=0.11)
    return x, 0.6 * x + 0.4 * wave(*shape, step=0.07)


def ssim_by_hand(x: Tensor, y: Tensor, window: int, weights: Tensor, mode: str = "") -> Tensor:
    """Window by window: the index of what a window sees, at the pixel in its middle."""
    low, high = (window - 1) // 2, window // 2
    if mode:
        x, y = (F.pad(image, [low, high, low, high], mode=mode) for image in (x, y))
    rows = []
    for i, j in itertools.product(range(x.shape[2] - window + 1), range(x.shape[3] - window + 1)):
        a, b = (image[:, :, i : i + window, j : j + window] for image in (x, y))
        ma, mb = (a * weights).sum((2, 3)), (b * weights).sum((2, 3))
        da, db = a - ma[..., None, None], b - mb[..., None, None]
        va, vb, cov = ((p * weights).sum((2, 3)) for p in (da * da, db * db, da * db))
        rows.append((2 * ma * mb + C1) * (2 * cov + C2) / ((ma**2 + mb**2 + C1) * (va + vb + C2)))
    return torch.stack(rows, -1).reshape(*x.shape[:2], x.shape[2] - window + 1, x.shape[3] - window + 1)


def box(window: int) -> Tensor:
    return torch.full((window, window), 1 / window**2, dtype=torch.float64)


def gauss(window: int, sigma: float) -> Tensor:
    line = torch.exp(-((torch.arange(window).double() - (window - 1) / 2) ** 2) / (2 * sigma**2))
    weights = torch.outer(line, line)
    return weights / weights.sum()


X, Y = unit(2, 3, 9, 8), unit(2, 3, 9, 8)
BY_HAND = [
    ("window=5", 5, gauss(5, 1.5), ""),
    ("window=4, sigma=0.8", 4, gauss(4, 0.8), ""),
    ("window=3, kernel=box", 3, box(3), ""),
    ("window=4, kernel=box", 4, box(4), ""),
    ("window=5, padding=same", 5, gauss(5, 1.5), "reflect"),
    ("window=3, kernel=box, padding=same", 3, box(3), "reflect"),
    ("window=4, kernel=box, padding=replicate", 4, box(4), "replicate"),
    ("window=5, padding=zeros", 5, gauss(5, 1.5), "constant"),
]


@pytest.mark.parametrize(("options", "window", "weights", "mode"), BY_HAND, ids=[row[0] for row in BY_HAND])
def test_ssim_is_a_map(options: str, window: int, weights: Tensor, mode: str) -> None:
    """Values and gradients, reduced in every way; `1 - ssim` and `dssim` are maps too."""
    target, weight = Y, unit(*X.shape)
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "": Tensor.mean,
        ", reduction=sum": Tensor.sum,
        ", reduction=none": lambda m: (m * m).sum(),
    }
    for how, reduce in ways.items():
        x = X.clone().requires_grad_()
        wanted = ssim_by_hand(x, target, window, weights, mode)
        for text, of in (
            (f"ssim({options}{how})", wanted),
            (f"1 - ssim({options}{how})", 1 - wanted),
            (f"dssim({options}{how})", (1 - wanted) / 2),
        ):
            if how and text.startswith("1"):
                continue  # 1 beside what is reduced
            loss = compiled(text)
            found = loss(x, target)
            if "none" in how:
                torch.testing.assert_close(found, of, rtol=1e-10, atol=1e-12)
                found = (found * found).sum()
            torch.testing.assert_close(found, reduce(of), rtol=1e-10, atol=1e-12)
            slopes = [torch.autograd.grad(v, x, retain_graph=True)[0] for v in (found, reduce(of))]
            torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-11)
    low, high = ((window - 1) // 2, window // 2) if not mode else (0, 0)
    inner = weight[:, :, low : weight.shape[2] - high, low : weight.shape[3] - high]
    for text in (f"dssim({options}, weight=batch.w)", f"batch.w*dssim({options})"):
        found = compiled(text)(X, target, w=weight)
        torch.testing.assert_close(
            found, (inner * (1 - ssim_by_hand(X, target, window, weights, mode)) / 2).mean()
        )


# -------------------------------------------------------------------- other libraries' numbers

A, B = pair(2, 2, 14, 16)
C, D = pair(2, 3, 24, 20)
V, W = pair(1, 2, 9, 10, 12)
RECORDED: list[tuple[str, Tensor, Tensor, float]] = [
    # torchmetrics 1.8.2 and 1.9.0: structural_similarity_index_measure(data_range=1.0)
    ("ssim(padding=same)", A, B, 0.7893488394041361),
    # ... gaussian_kernel=False, kernel_size=7
    ("ssim(kernel=box, window=7, padding=same)", C, D, 0.7828482995451649),
    # MONAI 1.6.1: SSIMLoss(2, kernel_type="uniform", win_size=7), and of volumes with 5
    ("1 - ssim(kernel=box, window=7)", C, D, 0.2150326669216156),
    ("1 - ssim(kernel=box, window=5)", V, W, 0.20193421840667725),
    # MONAI 1.6.1: LocalNormalizedCrossCorrelationLoss(2, reduction="sum")
    ("lncc(like=monai, reduction=sum)", A, B, -661.6474432501117),
    # pytorch-msssim 1.0.0: ssim(data_range=1, win_size=7, win_sigma=2)
    ("ssim(window=7, sigma=2)", A, B, 0.79430452383211),
    # piqa 1.3.2: ssim.ssim, without and with padding=True
    ("ssim", C, D, 0.7778127098961636),
    ("ssim(padding=zeros)", C, D, 0.8115563704037819),
    # kornia 0.9.0: ssim_loss(5, reduction="sum"), ssim_loss(11, padding="valid"), ssim3d(5)
    ("dssim(like=kornia, window=5, reduction=sum)", A, B, 95.62420512741888),
    ("dssim", A, B, 0.09762124033597357),
    ("ssim(window=5, padding=same)", V, W, 0.7887510528361341),
]


@pytest.mark.parametrize(
    ("text", "pred", "target", "number"), RECORDED, ids=[f"{i}-{row[0]}" for i, row in enumerate(RECORDED)]
)
def test_numbers_of_other_libraries(text: str, pred: Tensor, target: Tensor, number: float) -> None:
    # Their windows are of single precision, MONAI's values too.
    assert compiled(text)(pred, target).item() == pytest.approx(number, rel=1e-6)


def test_pixels_of_kornia() -> None:
    """kornia 0.9.0, ssim_loss(11, reduction="none"): a corner, the other corner, the middle."""
    found = compiled("dssim(like=kornia, reduction=none)")(A, B)
    recorded = {(1, 0, 0, 0): 0.08205094396282148, (0, 1, 13, 15): 0.06595027262497855, (1, 1, 6, 8): 0.1036111567147488}  # fmt: skip
    for place, number in recorded.items():
        assert found[place].item() == pytest.approx(number, rel=1e-9)


# -------------------------------------------------------------------- masks, weights, reductions

MAPS = ("ssim(window=5)", "dssim(window=4, kernel=box)", "dssim(window=5, padding=same)", "lncc")


def with_option(text: str, option: str) -> str:
    return text[:-1] + f", {option})" if text.endswith(")") else f"{text}({option})"


def values(text: str) -> Tensor:
    return compiled(with_option(text, "reduction=none"))(X, Y)


@pytest.mark.parametrize("text", MAPS[1:])
def test_the_hardest_pixels(text: str) -> None:
    """As the mean over the largest tenth of the map."""
    hard = values(text).flatten().sort(descending=True).values
    found = compiled(with_option(text, "reduction=topk(frac=0.1)"))(X, Y)
    torch.testing.assert_close(found, hard[: len(hard) // 10].mean())
    torch.testing.assert_close(
        compiled(with_option(text, "reduction=quantile(q=0.9)"))(X, Y), values(text).quantile(0.9)
    )


@pytest.mark.parametrize("text", ["1 - ssim(reduction=topk(frac=0.1))", "-psnr(reduction=ohem)"])
def test_the_largest_values_of_an_index_are_no_hard_ones(text: str) -> None:
    (found,) = losslang.check(text)
    assert found.code == "E347"
    assert ("`dssim`" in found.fix) == ("ssim" in text)
    assert losslang.check("mse + metric(ssim(reduction=topk))") == ()


@pytest.mark.parametrize("text", MAPS)
def test_a_sample_of_the_map_is_that_of_its_image(text: str) -> None:
    """One sample is as if it were alone, and every channel too."""
    whole = values(text)
    loss = compiled(with_option(text, "reduction=none"))
    for b, c in itertools.product(range(2), range(3)):
        alone = loss(X[b : b + 1, c : c + 1], Y[b : b + 1, c : c + 1])
        torch.testing.assert_close(alone[0, 0], whole[b, c], rtol=1e-12, atol=1e-12)


def test_a_mask_counts_the_pixels_in_the_middle() -> None:
    """Windows that reach no masked pixel are as before; a masked pixel has no value, whatever its window sees."""
    mask = torch.ones(2, 1, 9, 8, dtype=torch.bool)
    mask[..., 6:] = False
    x = torch.where(mask, X, math.nan)
    found = compiled("dssim(window=3, kernel=box, mask=batch.m, reduction=none)")(x, Y, m=mask)
    plain = compiled("dssim(window=3, kernel=box, reduction=none)")(X[..., :6], Y[..., :6])
    assert found.shape == (2, 3, 7, 6)
    torch.testing.assert_close(found[..., :4], plain)
    assert found[..., 5].eq(0).all()
    # The window around the last column that counts sees two thirds of itself.
    a, b = (image[0, 0, 0:3, 4:6] for image in (X, Y))
    va, vb, cov = a.var(correction=0), b.var(correction=0), ((a - a.mean()) * (b - b.mean())).mean()
    index = (2 * a.mean() * b.mean() + C1) * (2 * cov + C2) / ((a.mean() ** 2 + b.mean() ** 2 + C1) * (va + vb + C2))  # fmt: skip
    torch.testing.assert_close(found[0, 0, 0, 4], (1 - index) / 2)
    mean = compiled("dssim(window=3, kernel=box, mask=batch.m)")(x, Y, m=mask)
    torch.testing.assert_close(mean, found[..., :5].mean())


def test_zeros_beyond_the_border_are_no_masked_pixels() -> None:
    """A mask of another corner leaves this one as it is."""
    mask = torch.ones(2, 9, 8)
    mask[:, -1, -1] = 0
    for padding in ("zeros", "replicate", "same"):
        text = f"ssim(window=3, padding={padding}, reduction=none)"
        plain = compiled(text)(X, Y)
        found = compiled(with_option(text, "mask=batch.m"))(X, Y, m=mask)
        torch.testing.assert_close(found[..., :7, :6], plain[..., :7, :6], rtol=1e-12, atol=1e-14)
        assert found[..., -1, -1].eq(0).all()


@pytest.mark.parametrize("text", MAPS)
def test_masks_and_weights_of_every_rank(text: str) -> None:
    """(B,), (B, H, W), (B, 1, H, W) and (B, C, H, W), as of any loss of elements."""
    plain, even = values(text), torch.arange(9 * 8).reshape(9, 8) % 2 == 0
    number = with_option(text, "weight=batch.w")
    low, high = (
        ((2, 2) if "window=5" in text else (1, 2)) if "same" not in text and text != "lncc" else (0, 0)
    )
    cut = (..., slice(low, 9 - high), slice(low, 8 - high))
    for shape in ((2, 9, 8), (2, 1, 9, 8), (2, 3, 9, 8), (1, 1, 9, 8), (1, 3, 1, 8)):
        weight = unit(*shape)
        wide = (weight.unsqueeze(1) if weight.ndim == 3 else weight).expand(X.shape)
        torch.testing.assert_close(compiled(number)(X, Y, w=weight), (plain * wide[cut]).mean())
    per_sample = torch.tensor([0.0, 3.0]).double()
    torch.testing.assert_close(compiled(number)(X, Y, w=per_sample), 3 * plain[1].mean() / 2)
    kept = compiled(with_option(text, "mask=batch.w"))(X, Y, w=torch.tensor([False, True]))
    torch.testing.assert_close(kept, plain[1].mean())
    wmean = compiled(with_option(number, "reduction=wmean"))(X, Y, w=even.double().expand(2, 9, 8))
    shown = even.expand(X.shape)[cut]
    torch.testing.assert_close(wmean, plain[shown].mean())


@pytest.mark.parametrize("text", MAPS)
@pytest.mark.parametrize("masked", [False, True])
def test_parts_of_a_batch_add_up(text: str, masked: bool) -> None:
    """Counts are known from the target and the mask; the parts are unequal and their masks too."""
    loss = compiled(with_option(text, "mask=batch.m") if masked else text)
    x, y, m = (torch.cat([image, image.flip(2), image[:1]]) for image in (X, Y, unit(2, 1, 9, 8) > 0.4))
    batch: dict[str, Any] = {"m": m} if masked else {}
    n = loss.count(y, **batch)
    assert loss.detail(x, y, **batch).counts.tolist() == [len(values(text)[0].flatten()) * 5] or masked
    total = loss(x, y, **batch)
    parts = [
        loss(x[s], y[s], norm=n, **{k: v[s] for k, v in batch.items()}) for s in (slice(0, 3), slice(3, 5))
    ]
    torch.testing.assert_close(sum(parts, torch.zeros(())), total, rtol=1e-12, atol=1e-12)


# -------------------------------------------------------------------- contests, as of Monodepth2


def monodepth2(x: Tensor, y: Tensor) -> Tensor:
    """0.85 (1 - ssim) / 2 + 0.15 |x - y| of every pixel: boxes of three, the image reflected at its border."""
    index = ssim_by_hand(x, y, 3, box(3), "reflect")
    return 0.85 * ((1 - index) / 2).clamp(0, 1).mean(1) + 0.15 * (x - y).abs().mean(1)


PHOTOMETRIC = "0.85*dssim(kernel=box, window=3, padding=same) + 0.15*l1"


def test_the_best_of_several_views_pixel_by_pixel() -> None:
    views = [unit(2, 3, 9, 8).requires_grad_() for _ in range(3)]
    loss = compiled(f"each({PHOTOMETRIC}, over=pred, combine=min, per=place)")
    errors = torch.stack([monodepth2(view, Y) for view in views])
    found, wanted = loss(views, Y), errors.min(0).values.mean()
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(v, views) for v in (found, wanted)]
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-12)
    assert len({int(i) for i in errors.argmin(0).flatten()}) == 3


def test_what_is_masked_in_one_view_does_not_compete() -> None:
    views = [{"x": unit(2, 3, 9, 8), "m": unit(2, 9, 8) > 0.3} for _ in range(2)]
    of_view, index = "pred=pred.x, mask=pred.m", "dssim(kernel=box, window=3, padding=same, {})"
    text = f"0.85*{index.format(of_view)} + 0.15*l1({of_view})"
    loss = compiled(f"each({text}, over=pred, combine=min, per=place)")
    alone = compiled(index.format("mask=batch.m, reduction=none"))
    shown = torch.stack([view["m"] for view in views])
    errors = [0.85 * alone(v["x"], Y, m=v["m"]).mean(1) + 0.15 * (v["x"] - Y).abs().mean(1) for v in views]
    best = torch.where(shown, torch.stack(errors), math.inf).min(0).values
    torch.testing.assert_close(loss(views, Y), best[shown.any(0)].mean())


def test_a_border_without_values_does_not_compete_with_one() -> None:
    """Every pixel of l1 has a value: the repair gives ssim one, too."""
    text = "each(0.85*dssim(kernel=box, window=3) + 0.15*l1, over=pred, combine=min, per=place)"
    (found,) = losslang.check(text)
    assert found.code == "E363"
    assert text[found.span.start : found.span.end] == "dssim(kernel=box, window=3)"
    assert "`padding=same`" in found.fix
    repaired = text.replace("window=3", "window=3, padding=same")
    assert losslang.check(repaired) == ()
    views = [unit(2, 3, 9, 8) for _ in range(2)]
    wanted = torch.stack([monodepth2(view, Y) for view in views]).min(0).values.mean()
    torch.testing.assert_close(compiled(repaired)(views, Y), wanted)
    assert losslang.check(text.replace("per=place", "per=sample")) == ()
    alone = compiled("each(dssim(window=3), over=pred, combine=min, per=element)")
    maps = [compiled("dssim(window=3, reduction=none)")(view, Y) for view in views]
    torch.testing.assert_close(alone(views, Y), torch.stack(maps).min(0).values.mean())
