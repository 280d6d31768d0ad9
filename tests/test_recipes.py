"""Objectives of real systems, each against torch written by hand.

Each recipe has a function here: it makes the tensors that the program names and computes the total itself,
from the formulas of the papers, with nothing of losslang. Value and gradient have to agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

import losslang

ENTRIES: list[dict[str, str]] = yaml.safe_load((Path(__file__).parent / "recipes.yaml").read_text("utf-8"))
RECIPES = {entry["name"]: entry["loss"] for entry in ENTRIES}

# ---------------------------------------------------------------------------- by hand


@dataclass
class Case:
    """The call of a recipe, and its total computed by hand."""

    pred: Any
    target: Any
    total: Callable[[], Tensor]
    batch: dict[str, Any] = field(default_factory=dict)
    const: dict[str, Any] = field(default_factory=dict)
    time: dict[str, int] = field(default_factory=dict)


CASES: dict[str, Callable[[], Case]] = {}


def recipe(name: str) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    """Names the recipe that a function computes; its random numbers are the same in every run."""

    def register(make: Callable[[], Case]) -> Callable[[], Case]:
        def seeded() -> Case:
            torch.manual_seed(7)
            return make()

        CASES[name] = seeded
        return seeded

    return register


def real(*shape: int) -> Tensor:
    """What a network returns: it wants its gradient."""
    return (2 * torch.randn(shape, dtype=torch.float64)).requires_grad_()


def data(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def binary(*shape: int) -> Tensor:
    return (torch.rand(shape) > 0.6).double()


def bce(logits: Tensor, target: Tensor, pos_weight: Tensor | float = 1.0) -> Tensor:
    """-(w t log p + (1 - t) log(1 - p)), every element."""
    p = 1 / (1 + torch.exp(-logits))
    return -(pos_weight * target * torch.log(p) + (1 - target) * torch.log(1 - p))


def softmax(logits: Tensor) -> Tensor:
    e = torch.exp(logits - logits.detach().amax(1, keepdim=True))
    return e / e.sum(1, keepdim=True)


def ce(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p of the true class, every place; labels outside of the classes are for the caller to drop."""
    one_hot = torch.stack([labels == c for c in range(logits.shape[1])], 1)
    return -(torch.log(softmax(logits)) * one_hot).sum(1)


def overlap(probs: Tensor, target: Tensor, smooth: float, over: tuple[int, ...]) -> Tensor:
    """1 - (2 Σ p t + s) / (Σ p + Σ t + s)."""
    shared, both = (probs * target).sum(over), probs.sum(over) + target.sum(over)
    return 1 - (2 * shared + smooth) / (both + smooth)


def minus_log_sigmoid(x: Tensor) -> Tensor:
    """-log(1 / (1 + e^-x))."""
    return torch.log(1 + torch.exp(-x))


def squared(a: Tensor, b: Tensor | float) -> Tensor:
    return ((a - b) ** 2).mean()


@recipe("BCE + Dice")
def _() -> Case:
    pred, target = real(3, 1, 6, 5), binary(3, 1, 6, 5)

    def total() -> Tensor:
        probs = 1 / (1 + torch.exp(-pred))
        return 0.5 * bce(pred, target).mean() + overlap(probs, target, 1.0, (2, 3)).mean()

    return Case(pred, target, total)


@recipe("nnU-Net Dice+TopK10")
def _() -> Case:
    pred, target = real(2, 4, 8, 7), torch.randint(4, (2, 1, 8, 7))

    def total() -> Tensor:
        labels = target[:, 0]
        hardest = ce(pred, labels).flatten().sort(descending=True).values[: int(2 * 8 * 7 * 0.1)]
        one_hot = torch.stack([labels == c for c in range(4)], 1).double()
        regions = overlap(softmax(pred), one_hot, 1e-5, (0, 2, 3))
        return hardest.mean() + regions[1:].mean()

    return Case(pred, target, total)


@recipe("SSD300")
def _() -> Case:
    """Rows are images, places are anchors; class 0 is background, and the caller takes boxes of anchors that have one."""
    pred = {"cls": real(2, 3, 20), "box": real(5, 4)}
    labels = torch.where(torch.rand(2, 20) < 0.15, torch.randint(1, 3, (2, 20)), 0)
    labels[:, 0] = 1
    target = {"cls": labels, "box": data(5, 4)}
    number = (labels > 0).sum().double()

    def total() -> Tensor:
        values = ce(pred["cls"], labels)
        chosen = torch.zeros(())
        for value, label in zip(values, labels, strict=True):
            hardest = value[label == 0].sort(descending=True).values
            chosen = chosen + value[label > 0].sum() + hardest[: 3 * int((label > 0).sum())].sum()
        e = (pred["box"] - target["box"]).abs()
        return (chosen + torch.where(e < 1, e**2 / 2, e - 0.5).sum()) / number

    return Case(pred, target, total, {"num_pos": number})


@recipe("RetinaNet (Detectron2)")
def _() -> Case:
    """Rows are anchors; a row of zeros is background, and only foreground has a box."""
    pred = {"cls": real(20, 3), "box": real(6, 4)}
    target = {"cls": torch.eye(4).double()[torch.randint(4, (20,)), :3], "box": data(6, 4)}
    num_pos = 6

    def total() -> Tensor:
        p, t = torch.sigmoid(pred["cls"]), target["cls"]
        p_true, alpha = p * t + (1 - p) * (1 - t), 0.25 * t + 0.75 * (1 - t)
        focal = (-alpha * (1 - p_true) ** 2 * torch.log(p_true)).sum()
        error = (pred["box"] - target["box"]).abs()
        box = torch.where(error < 0.1, error**2 / 0.2, error - 0.05).sum()
        return (focal + box) / num_pos

    return Case(pred, target, total, batch={"num_pos": num_pos})


@recipe("Mask R-CNN (dict of losses)")
def _() -> Case:
    names = ("loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg", "loss_mask")
    pred = {name: real() for name in names}
    return Case(pred, None, lambda: sum(pred.values(), torch.zeros((), dtype=torch.float64)))


@recipe("PSPNet (mmseg)")
def _() -> Case:
    """One map of labels answers for both heads, and 255 is nobody's."""
    pred = {"decode": real(2, 5, 4, 6), "aux": real(2, 5, 4, 6)}
    target = torch.randint(5, (2, 4, 6))
    target[:, 0] = 255

    def total() -> Tensor:
        counted = target != 255
        decode, aux = (ce(pred[head], target)[counted].mean() for head in ("decode", "aux"))
        return decode + 0.4 * aux

    return Case(pred, target, total)


@recipe("PyTorch Connectomics bcd")
def _() -> Case:
    """Three channels of a volume: the mask, its border, the distance to it."""
    pred = real(2, 3, 3, 4, 4)
    target = torch.cat([binary(2, 2, 3, 4, 4), torch.tanh(data(2, 1, 3, 4, 4))], 1)

    def total() -> Tensor:
        (mask, border, distance), (m, b, d) = pred.split(1, 1), target.split(1, 1)
        seen = bce(mask, m).mean() + 0.5 * overlap(torch.sigmoid(mask), m, 1e-5, (2, 3, 4)).mean()
        weight = (1 - b).sum() / b.sum()
        edge = bce(border, b, weight).mean() + 0.5 * overlap(torch.sigmoid(border), b, 1e-5, (2, 3, 4)).mean()
        return seen + edge + 2 * squared(torch.tanh(distance), d)

    return Case(pred, target, total)


@recipe("Label smoothing")
def _() -> Case:
    pred, target = real(8, 10), torch.randint(10, (8,))

    def total() -> Tensor:
        truth = 0.9 * torch.eye(10).double()[target] + 0.1 / 10
        return -(truth * torch.log(softmax(pred))).sum(1).mean()

    return Case(pred, target, total)


@recipe("KD Hinton (torchdistill)")
def _() -> Case:
    """The teacher is wise, not a pupil: it gets no gradient."""
    pred, teacher, target = real(8, 10), real(8, 10), torch.randint(10, (8,))

    def total() -> Tensor:
        student, wise = softmax(pred / 4), softmax(teacher.detach() / 4)
        kl = (wise * (torch.log(wise) - torch.log(student))).sum() / 8
        return 0.9 * ce(pred, target).mean() + (1 - 0.9) * 16 * kl

    return Case(pred, target, total, batch={"teacher": teacher})


@recipe("pix2pix G")
def _() -> Case:
    """The discriminator's map of patches is to say 1 everywhere."""
    pred, target, fake = real(2, 3, 6, 6), data(2, 3, 6, 6), real(2, 1, 3, 3)

    def total() -> Tensor:
        return torch.log(1 + torch.exp(-fake)).mean() + 100 * (pred - target).abs().mean()

    return Case(pred, target, total, batch={"d_fake": fake})


@recipe("nerfacto")
def _() -> Case:
    pred = {"rgb": real(16, 3), "interlevel": real(), "distortion": real()}
    target = {"rgb": torch.rand(16, 3).double()}

    def total() -> Tensor:
        return squared(pred["rgb"], target["rgb"]) + pred["interlevel"] + 0.002 * pred["distortion"]

    return Case(pred, target, total)


@recipe("MAE")
def _() -> Case:
    """(B, patches, pixels), and a mask that is 1 where a patch was removed."""
    pred, patches, mask = real(2, 9, 12), data(2, 9, 12), binary(2, 9)

    def total() -> Tensor:
        per_patch = ((pred - patches) ** 2).mean(-1)
        return (per_patch * mask).sum() / mask.sum()

    return Case(pred, None, total, batch={"patches": patches, "mask": mask})


@recipe("PINN Burgers")
def _() -> Case:
    pred, target = {"u": real(20, 1), "f": real(50, 1)}, {"u": data(20, 1)}

    def total() -> Tensor:
        return squared(pred["u"], target["u"]) + (pred["f"] ** 2).mean()

    return Case(pred, target, total)


@recipe("TFT quantiles")
def _() -> Case:
    """One quantile per entry of the last axis."""
    pred, target = real(4, 6, 3), data(4, 6)

    def total() -> Tensor:
        parts = []
        for i, q in enumerate((0.1, 0.5, 0.9)):
            missed = target - pred[..., i]
            parts.append(torch.where(missed > 0, q * missed, (q - 1) * missed))
        return torch.stack(parts).mean()

    return Case(pred, target, total)


@recipe("Diffusion min-SNR (eps)")
def _() -> Case:
    """A weight per sample; the mean still counts every element."""
    pred, noise, snr = real(5, 3, 4, 4), data(5, 3, 4, 4), torch.tensor([0.1, 2, 5, 40, 900]).double()

    def total() -> Tensor:
        weights = torch.tensor([1, 1, 1, 5 / 40, 5 / 900]).double()
        return (weights * ((pred - noise) ** 2).mean((1, 2, 3))).mean()

    return Case(pred, None, total, batch={"noise": noise, "snr": snr})


@recipe("Improved diffusion hybrid")
def _() -> Case:
    pred, noise = {"eps": real(4, 3, 4, 4), "vb": real()}, data(4, 3, 4, 4)

    def total() -> Tensor:
        return squared(pred["eps"], noise) + 4.0 * pred["vb"]

    return Case(pred, None, total, batch={"noise": noise}, const={"timesteps": 4000})


@recipe("Tacotron 2")
def _() -> Case:
    pred = {"mel": real(2, 8, 12), "mel_post": real(2, 8, 12), "gate": real(2, 12)}
    target = {"mel": data(2, 8, 12), "gate": binary(2, 12)}

    def total() -> Tensor:
        mels = squared(pred["mel"], target["mel"]) + squared(pred["mel_post"], target["mel"])
        return mels + bce(pred["gate"], target["gate"]).mean()

    return Case(pred, target, total)


@recipe("GLS (geometric)")
def _() -> Case:
    pred = {"depth": real(2, 1, 4, 4), "seg": real(2, 5, 4, 4)}
    target = {"depth": data(2, 1, 4, 4), "seg": torch.randint(5, (2, 4, 4))}

    def total() -> Tensor:
        return torch.sqrt(squared(pred["depth"], target["depth"]) * ce(pred["seg"], target["seg"]).mean())

    return Case(pred, target, total)


@recipe("YOLOv8")
def _() -> Case:
    corner, other = real(6, 2), data(6, 2)
    size = torch.rand(6, 2).double() + 1
    pred = {"box": torch.cat([corner, corner + size], 1), "cls": real(6, 3), "dist": real(8, 16)}
    target = {
        "box": torch.cat([other, other + 2 * torch.rand(6, 2).double() + 0.5], 1),
        "cls": binary(6, 3),
        "dist": 15 * torch.rand(8).double(),
    }

    def ciou(a: Tensor, b: Tensor) -> Tensor:
        wide = [torch.minimum(a[:, i + 2], b[:, i + 2]) - torch.maximum(a[:, i], b[:, i]) for i in (0, 1)]
        inter = torch.relu(wide[0]) * torch.relu(wide[1])
        (aw, ah), (bw, bh) = ((x[:, 2:] - x[:, :2]).T for x in (a, b))
        iou = inter / (aw * ah + bw * bh - inter + 1e-7)
        hull = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
        apart = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2
        v = 4 / math.pi**2 * (torch.atan(bw / bh) - torch.atan(aw / ah)) ** 2
        alpha = (v / (1 - iou + v + 1e-7)).detach()
        return 1 - iou + (apart**2).sum(1) / ((hull**2).sum(1) + 1e-7) + alpha * v

    def total() -> Tensor:
        log_p = torch.log(softmax(pred["dist"]))
        low = target["dist"].floor().long()
        share = target["dist"] - low
        rows = torch.arange(8)
        dist = -((1 - share) * log_p[rows, low] + share * log_p[rows, low + 1])
        cls = bce(pred["cls"], target["cls"])
        return 7.5 * ciou(pred["box"], target["box"]).mean() + 0.5 * cls.mean() + 1.5 * dist.mean()

    return Case(pred, target, total)


@recipe("clDice")
def _() -> Case:
    """A line of probabilities that has a thin skeleton: after ten openings it is itself."""
    pred = torch.sigmoid(2 * torch.randn(2, 1, 6, 7, dtype=torch.float64)).requires_grad_()
    target = binary(2, 1, 6, 7)

    def smallest(x: Tensor, by: tuple[int, int], sign: int) -> Tensor:
        edge = (by[1] // 2, by[1] // 2, by[0] // 2, by[0] // 2)
        wide = torch.nn.functional.pad(sign * x, edge, value=math.inf)
        return sign * wide.unfold(2, by[0], 1).unfold(3, by[1], 1).flatten(4).amin(-1)

    def skeleton(x: Tensor) -> Tensor:
        found: Tensor | None = None
        for _ in range(11):
            thin = torch.minimum(smallest(x, (3, 1), 1), smallest(x, (1, 3), 1))
            left = torch.relu(x - smallest(thin, (3, 3), -1))
            found = left if found is None else found + torch.relu(left - found * left)
            x = thin
        assert found is not None
        return found

    def total() -> Tensor:
        ours, true = skeleton(pred), skeleton(target)
        precision = ((ours * target).sum((2, 3)) + 1) / (ours.sum((2, 3)) + 1)
        recall = ((true * pred).sum((2, 3)) + 1) / (true.sum((2, 3)) + 1)
        centre = 1 - 2 * precision * recall / (precision + recall)
        return 0.5 * overlap(pred, target, 1.0, (2, 3)).mean() + 0.5 * centre.mean()

    return Case(pred, target, total)


class Vgg(torch.nn.Module):
    """Five named convolutions in a row."""

    def __init__(self) -> None:
        super().__init__()
        for i, name in enumerate(("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")):
            self.add_module(name, torch.nn.Conv2d(3 if i == 0 else 4, 4, 3, padding=1).double())

    def features(self, x: Tensor) -> list[Tensor]:
        found: list[Tensor] = []
        for layer in self.children():
            x = layer(x)
            found.append(x)
            x = torch.relu(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)[-1]


@recipe("Real-ESRGAN")
def _() -> Case:
    pred, target, vgg, fake = real(2, 3, 6, 5), data(2, 3, 6, 5), Vgg(), real(2, 1)

    def total() -> Tensor:
        weights = (0.1, 0.1, 1, 1, 1)
        pairs = zip(weights, vgg.features(pred), vgg.features(target), strict=True)
        seen = sum((w * (a - b.detach()).abs().mean() for w, a, b in pairs), torch.zeros(()))
        return (pred - target).abs().mean() + seen + 0.1 * bce(fake, torch.ones(())).mean()

    return Case(pred, target, total, {"d_fake": fake}, {"vgg": vgg})


@recipe("EDSR GAN string")
def _() -> Case:
    pred, target, vgg, fake = real(2, 3, 6, 5), data(2, 3, 6, 5), Vgg(), real(2, 1)

    def total() -> Tensor:
        seen = squared(vgg(pred), vgg(target).detach())
        return 5 * seen + 0.15 * bce(fake, torch.ones(())).mean()

    return Case(pred, target, total, {"d_fake": fake}, {"vgg": vgg})


@recipe("3D Gaussian splatting")
def _() -> Case:
    pred, target = torch.rand(2, 3, 14, 13).double().requires_grad_(), torch.rand(2, 3, 14, 13).double()

    def windows(x: Tensor) -> Tensor:
        place = torch.arange(-5, 6).double()
        line = torch.exp(-(place**2) / (2 * 1.5**2))
        weight = torch.outer(line, line) / line.sum() ** 2
        return (x.unfold(2, 11, 1).unfold(3, 11, 1) * weight).sum((-1, -2))

    def total() -> Tensor:
        mx, my = windows(pred), windows(target)
        xx, yy, xy = windows(pred**2) - mx**2, windows(target**2) - my**2, windows(pred * target) - mx * my
        index = (2 * mx * my + 1e-4) * (2 * xy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (xx + yy + 9e-4))
        return 0.8 * (pred - target).abs().mean() + 0.2 * (1 - index.mean())

    return Case(pred, target, total)


def unit(x: Tensor) -> Tensor:
    return x / torch.sqrt((x**2).sum(1, keepdim=True))


def nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """-log of what a row's other view has among all other rows, one value for each of the 2 B rows."""
    both = unit(torch.cat([a, b]))
    each: list[Tensor] = []
    for i in range(len(both)):
        alike = torch.exp(both @ both[i] / temperature)
        others = torch.cat([alike[:i], alike[i + 1 :]]).sum()
        each.append(-torch.log(alike[(i + len(a)) % len(both)] / others))
    return torch.stack(each)


@recipe("SimCLR")
def _() -> Case:
    pred = {"z1": real(4, 6), "z2": real(4, 6)}
    return Case(pred, None, lambda: nt_xent(pred["z1"], pred["z2"], 0.5).mean())


@recipe("wav2vec 2.0")
def _() -> Case:
    pred = {"x": real(4, 6), "y": real(4, 6), "diversity": real(), "features_pen": real()}

    def total() -> Tensor:
        contrast = nt_xent(pred["x"], pred["y"], 0.5).sum() / 2
        return contrast + 0.1 * pred["diversity"] + 10 * pred["features_pen"]

    return Case(pred, None, total)


@recipe("SupCon")
def _() -> Case:
    pred, target = {"features": real(6, 5)}, torch.tensor([0, 1, 0, 2, 1, 0])

    def total() -> Tensor:
        z = unit(pred["features"])
        each: list[Tensor] = []
        for i in range(6):
            alike = z @ z[i] / 0.07
            others = torch.cat([alike[:i], alike[i + 1 :]])
            log_p = alike - torch.log(torch.exp(others - others.max()).sum()) - others.max()
            friends = [j for j in range(6) if j != i and target[j] == target[i]]
            if friends:
                each.append(-log_p[friends].mean())
        return torch.stack(each).mean()

    return Case(pred, target, total)


@recipe("Barlow Twins")
def _() -> Case:
    """BatchNorm1d without affine parameters: the variance over the batch, and 1e-5 beside it."""
    pred = {"z1": real(6, 4), "z2": real(6, 4)}

    def total() -> Tensor:
        a, b = ((z - z.mean(0)) / torch.sqrt(z.var(0, unbiased=False) + 1e-5) for z in pred.values())
        c = a.T @ b / 6
        return ((c.diagonal() - 1) ** 2).sum() + 0.0051 * ((c**2).sum() - (c.diagonal() ** 2).sum())

    return Case(pred, None, total)


@recipe("pytorch-forecasting doc")
def _() -> Case:
    pred, target = real(4, 5), data(4, 5)

    def total() -> Tensor:
        e = (pred - target).abs()
        return (2 * e / (pred.abs() + target.abs())).mean() + 0.4 * e.mean()

    return Case(pred, target, total)


# ---------------------------------------------------------------------------- the tests


def kl_to_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, var) || N(0, 1)), every latent."""
    return 0.5 * (mu**2 + torch.exp(logvar) - 1 - logvar)


@recipe("beta-VAE + annealing")
def _() -> Case:
    pred = {"x": real(3, 8), "mu": real(3, 4), "logvar": real(3, 4)}
    target = binary(3, 8)

    def total() -> Tensor:
        rec = bce(pred["x"], target).sum() / 3
        return rec + 4 * 2500 / 10_000 * kl_to_normal(pred["mu"], pred["logvar"]).sum() / 3

    return Case(pred, target, total, time={"step": 2500})


@recipe("mmdet#10969")
def _() -> Case:
    corner, other = real(5, 2), data(5, 2)
    pred = {"box": torch.cat([corner, corner + torch.rand(5, 2).double() + 1], 1), "cls": real(5, 3)}
    target = {"box": torch.cat([other, other + torch.rand(5, 2).double() + 1], 1), "cls": binary(5, 3)}

    def giou(a: Tensor, b: Tensor) -> Tensor:
        def area(low: Tensor, high: Tensor) -> Tensor:
            return torch.relu(high - low).prod(1)

        inter = area(torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:]))
        union = area(a[:, :2], a[:, 2:]) + area(b[:, :2], b[:, 2:]) - inter
        hull = area(torch.minimum(a[:, :2], b[:, :2]), torch.maximum(a[:, 2:], b[:, 2:]))
        return 1 - inter / (union + 1e-7) + (hull - union) / (hull + 1e-7)

    def total() -> Tensor:
        p, t = 1 / (1 + torch.exp(-pred["cls"])), target["cls"]
        p_true = t * p + (1 - t) * (1 - p)
        focal = -((1 - p_true) ** 2) * torch.log(p_true)
        share = 3 / 12
        near, far = 0.1 + 0.8 * share, 0.9 - 0.8 * share
        return near * giou(pred["box"], target["box"]).mean() + far * focal.mean()

    return Case(pred, target, total, time={"epoch": 3})


@recipe("cyclical KL")
def _() -> Case:
    pred = {"x": real(3, 8), "mu": real(3, 4), "logvar": real(3, 4)}
    target = data(3, 8)

    def total() -> Tensor:
        # 23,000 steps are two periods and 3,000 steps of a third, which rises for 5,000.
        kl = kl_to_normal(pred["mu"], pred["logvar"]).sum(1).mean()
        return squared(pred["x"], target) + 3000 / 5000 * kl

    return Case(pred, target, total, time={"step": 23_000})


@recipe("Kendall (explicit)")
def _() -> Case:
    pred = {"depth": real(3, 4), "seg": real(3, 5, 4)}
    target = {"depth": data(3, 4), "seg": torch.randint(5, (3, 4))}

    def total() -> Tensor:
        return 0.5 * squared(pred["depth"], target["depth"]) + ce(pred["seg"], target["seg"]).mean()

    return Case(pred, target, total)


@recipe("Kendall (combinator)")
def _() -> Case:
    pred = {"depth": real(3, 4), "seg": real(3, 5, 4)}
    target = {"depth": data(3, 4), "seg": torch.randint(5, (3, 4))}

    def total() -> Tensor:
        return (squared(pred["depth"], target["depth"]) + ce(pred["seg"], target["seg"]).mean()) / 2

    return Case(pred, target, total)


@recipe("MPO (TRL)")
def _() -> Case:
    pred = {"chosen": real(6), "rejected": real(6), "nll": real(6)}
    batch = {"ref_chosen": data(6), "ref_rejected": data(6), "delta": data()}

    def total() -> Tensor:
        chosen = 0.1 * (pred["chosen"] - batch["ref_chosen"])
        rejected = 0.1 * (pred["rejected"] - batch["ref_rejected"])
        dpo = minus_log_sigmoid(chosen - rejected)
        bco = minus_log_sigmoid(chosen - batch["delta"]) + minus_log_sigmoid(batch["delta"] - rejected)
        return 0.8 * dpo.mean() + 0.2 * bco.mean() + pred["nll"].mean()

    return Case(pred, None, total, batch)


@recipe("T5X z-loss")
def _() -> Case:
    pred, target, valid = real(2, 5, 7), torch.randint(7, (2, 5)), torch.rand(2, 5) > 0.3

    def total() -> Tensor:
        log_z = torch.log(torch.exp(pred).sum(-1))
        own = pred.gather(-1, target[..., None])[..., 0]
        return ((log_z - own + 1e-4 * log_z**2) * valid).sum() / valid.sum()

    return Case(pred, target, total, {"valid": valid})


@recipe("Mixtral load balance")
def _() -> Case:
    """Rows of the router are tokens; two experts of eight are chosen for each."""
    pred = {"lm": real(9, 5), "router": real(9, 8)}
    chosen = torch.zeros(9, 8).double()
    chosen[torch.arange(9)[:, None], pred["router"].detach().sort(1, descending=True).indices[:, :2]] = 1
    target = {"lm": torch.randint(5, (9,))}

    def total() -> Tensor:
        each = [chosen[:, e].mean() * softmax(pred["router"])[:, e].mean() for e in range(8)]
        return ce(pred["lm"], target["lm"]).mean() + 0.02 * 8 * sum(each, torch.zeros(()))

    return Case(pred, target, total, {"chosen": chosen})


@recipe("ORPO")
def _() -> Case:
    chosen, rejected = ((-torch.rand(6).double() - 0.1).requires_grad_() for _ in range(2))
    pred = {"chosen": chosen, "rejected": rejected, "nll": real(6)}

    def odds(log_p: Tensor) -> Tensor:
        return torch.exp(log_p) / (1 - torch.exp(log_p))

    def total() -> Tensor:
        ratio = torch.log(odds(chosen) / odds(rejected))
        return pred["nll"].mean() + 0.1 * minus_log_sigmoid(ratio).mean()

    return Case(pred, None, total)


@recipe("PPO")
def _() -> Case:
    pred = {name: real(8) for name in ("logp", "value", "entropy")}
    batch = {name: data(8) for name in ("logp", "adv", "returns")}

    def total() -> Tensor:
        gains: list[Tensor] = []
        for now, before, adv in zip(pred["logp"], batch["logp"], batch["adv"], strict=True):
            ratio = torch.exp(now - before)
            is_clipped = bool(ratio > 1.2 if adv > 0 else ratio < 0.8)
            gains.append((now.new_tensor(1.2 if adv > 0 else 0.8) if is_clipped else ratio) * adv)
        value = squared(pred["value"], batch["returns"])
        return -torch.stack(gains).mean() + 0.5 * value - 0.01 * pred["entropy"].mean()

    return Case(pred, None, total, batch)


def preferences() -> tuple[dict[str, Tensor], dict[str, Tensor], Callable[[], Tensor]]:
    """Log-probabilities of chosen and rejected answers, those of the reference, and the margin between them."""
    pred = {"chosen": real(6), "rejected": real(6)}
    batch = {"ref_chosen": data(6), "ref_rejected": data(6)}

    def margin() -> Tensor:
        return pred["chosen"] - pred["rejected"] - (batch["ref_chosen"] - batch["ref_rejected"])

    return pred, batch, margin


@recipe("DPO")
def _() -> Case:
    pred, batch, margin = preferences()
    return Case(pred, None, lambda: minus_log_sigmoid(0.1 * margin()).mean(), batch)


@recipe("IPO")
def _() -> Case:
    pred, batch, margin = preferences()
    return Case(pred, None, lambda: squared(margin(), 5.0), batch)


@recipe("SimPO")
def _() -> Case:
    pred = {"chosen": real(6), "rejected": real(6)}
    batch = {f"long_{name}": torch.randint(1, 9, (6,)).double() for name in pred}

    def total() -> Tensor:
        rewards = [2 / batch[f"long_{name}"] * log_p for name, log_p in pred.items()]
        return minus_log_sigmoid(rewards[0] - rewards[1] - 1).mean()

    return Case(pred, None, total, batch)


@recipe("Policy gradient with an entropy bonus")
def _() -> Case:
    pred, target, adv = real(7, 4), torch.randint(4, (7,)), data(7)

    def total() -> Tensor:
        p = softmax(pred)
        entropy = -(p * torch.log(p)).sum(1)
        return (adv * ce(pred, target)).mean() - 0.01 * entropy.mean()

    return Case(pred, target, total, {"adv": adv})


@recipe("DEX (expected age)")
def _() -> Case:
    pred, target, ages = real(5, 9), 4 + data(5), torch.arange(9).double()
    return Case(pred, target, lambda: (softmax(pred) @ ages - target).abs().mean(), const={"ages": ages})


@recipe("Attention transfer")
def _() -> Case:
    pred = {"features": real(2, 4, 3, 5), "logits": real(2, 6)}
    target, teacher = {"logits": torch.randint(6, (2,))}, data(2, 7, 3, 5)

    def attention(features: Tensor) -> Tensor:
        flat = (features**2).mean(1).reshape(2, -1)
        return flat / (flat**2).sum(1, keepdim=True).sqrt()

    def total() -> Tensor:
        apart = squared(attention(pred["features"]), attention(teacher))
        return ce(pred["logits"], target["logits"]).mean() + 500 * apart

    return Case(pred, target, total, {"teacher": teacher})


@recipe("nnU-Net v2 (softmax)")
def _() -> Case:
    sizes = (8, 4, 2)
    pred = [real(2, 3, n, n) for n in sizes]
    target = [torch.randint(3, (2, 1, n, n)) for n in sizes]

    def one(logits: Tensor, labels: Tensor) -> Tensor:
        truth = torch.stack([labels[:, 0] == c for c in range(3)], 1).double()
        dice = overlap(softmax(logits)[:, 1:], truth[:, 1:], 1e-5, (0, 2, 3)).mean()
        return ce(logits, labels[:, 0]).mean() + dice

    def total() -> Tensor:
        # 1/2^i, the last one 0, divided by their sum.
        return 2 / 3 * one(pred[0], target[0]) + 1 / 3 * one(pred[1], target[1]) + 0 * pred[2].sum()

    return Case([*pred[:2], pred[2].detach()], target, total)


@recipe("DETR")
def _() -> Case:
    layers = [{"logits": real(6, 4), "boxes": real(6, 4)} for _ in range(3)]
    pred = [{"logits": x["logits"], "boxes": boxes(x["boxes"])} for x in layers]
    labels = [torch.randint(4, (6,)) for _ in layers]
    found = [boxes(data(6, 4)) for _ in layers]
    eos, number = torch.tensor([1, 1, 1, 0.1], dtype=torch.float64), torch.tensor(5.0, dtype=torch.float64)

    def one(i: int) -> Tensor:
        own = eos[labels[i]]
        classes = (ce(pred[i]["logits"], labels[i]) * own).sum() / own.sum()
        apart = (pred[i]["boxes"] - found[i]).abs().sum()
        return classes + (5 * apart + 2 * giou(pred[i]["boxes"], found[i]).sum()) / number

    def total() -> Tensor:
        return one(0) + one(1) + one(2)

    target = [{"logits": t, "boxes": b} for t, b in zip(labels, found, strict=True)]
    return Case({"layers": pred}, {"layers": target}, total, {"num_boxes": number}, {"eos": eos})


def boxes(x: Tensor) -> Tensor:
    """Any four numbers as a box with corners in order."""
    corner, size = x[:, :2], 0.5 + x[:, 2:].abs()
    return torch.cat([corner, corner + size], 1)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """1 - (IoU - what the hull has beside the union, of the hull)."""

    def area(low: Tensor, high: Tensor) -> Tensor:
        return (high - low).clamp(min=0).prod(1)

    inter = area(torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:]))
    union = area(a[:, :2], a[:, 2:]) + area(b[:, :2], b[:, 2:]) - inter
    hull = area(torch.minimum(a[:, :2], b[:, :2]), torch.maximum(a[:, 2:], b[:, 2:]))
    return 1 - inter / (union + 1e-7) + (hull - union) / (hull + 1e-7)


@recipe("U2-Net")
def _() -> Case:
    logits = [real(2, 1, 6, 6) for _ in range(7)]
    pred, target = [1 / (1 + torch.exp(-x)) for x in logits], binary(2, 1, 6, 6)

    def total() -> Tensor:
        parts = [-(target * torch.log(p) + (1 - target) * torch.log(1 - p)).mean() for p in pred]
        return torch.stack(parts).sum()

    return Case(pred, target, total)


@recipe("Matryoshka")
def _() -> Case:
    a, b = real(5, 768), real(5, 768)

    def one(size: int) -> Tensor:
        rows = [x[:, :size] / x[:, :size].norm(dim=1, keepdim=True) for x in (a, b)]
        return ce(20 * rows[0] @ rows[1].T, torch.arange(5)).mean()

    def total() -> Tensor:
        return torch.stack([one(size) for size in (768, 512, 256, 128, 64)]).sum()

    return Case({"a": a, "b": b}, None, total)


def ssim_map(x: Tensor, y: Tensor, weights: Tensor, beyond: str) -> Tensor:
    """The index of the window around every pixel, from deviations from its weighted means."""
    low, high = (len(weights) - 1) // 2, len(weights) // 2
    around = [low, high, low, high]
    x, y = (torch.nn.functional.pad(image, around, mode=beyond) for image in (x, y))
    x, y = (image.unfold(2, len(weights), 1).unfold(3, len(weights), 1) for image in (x, y))

    def mean(values: Tensor) -> Tensor:
        return (weights * values).sum((-1, -2), keepdim=True)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean((x - mx) ** 2), mean((y - my) ** 2), mean((x - mx) * (y - my))
    light = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
    return (light * (2 * cov + 9e-4) / (vx + vy + 9e-4)).squeeze(-1).squeeze(-1)


def image(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64)


@recipe("3D Gaussian splatting (its border)")
def _() -> Case:
    pred, target = image(2, 3, 13, 14).requires_grad_(), image(2, 3, 13, 14)
    line = torch.exp(-(torch.arange(-5.0, 6.0, dtype=torch.float64) ** 2) / (2 * 1.5**2))
    window = torch.outer(line, line) / torch.outer(line, line).sum()

    def total() -> Tensor:
        index = ssim_map(pred, target, window, "constant").mean()
        return 0.8 * (pred - target).abs().mean() + 0.2 * (1 - index)

    return Case(pred, target, total)


@recipe("Monodepth2")
def _() -> Case:
    """Two source frames, warped at two scales to the size of the target; the frames as they are stay."""
    target, frames = image(2, 3, 9, 11), [image(2, 3, 9, 11) for _ in range(2)]
    warped = [[image(2, 3, 9, 11).requires_grad_() for _ in frames] for _ in range(2)]
    sizes = ((9, 11), (5, 6))
    disparity = [image(2, 1, *size).requires_grad_() for size in sizes]
    colors = [image(2, 3, *size) for size in sizes]
    box = torch.full((3, 3), 1 / 9, dtype=torch.float64)

    def photometric(view: Tensor) -> Tensor:
        apart = ((1 - ssim_map(view, target, box, "reflect")) / 2).clamp(0, 1)
        return 0.85 * apart.mean(1) + 0.15 * (view - target).abs().mean(1)

    def smooth(disp: Tensor, color: Tensor) -> Tensor:
        disp = disp / (disp.mean((2, 3), keepdim=True) + 1e-7)
        parts = [
            (disp.diff(dim=axis).abs() * torch.exp(-color.diff(dim=axis).abs().mean(1, keepdim=True))).mean()
            for axis in (2, 3)
        ]
        return parts[0] + parts[1]

    def total() -> Tensor:
        sums = torch.zeros(())
        for scale in range(2):
            errors = torch.stack([photometric(view) for view in (*frames, *warped[scale])])
            # Every view is the best somewhere: a frame as it is wins where nothing moved.
            assert len(errors.argmin(0).unique()) == 4
            sums = sums + errors.min(0).values.mean()
            sums = sums + 1e-3 * smooth(disparity[scale], colors[scale]) / 2**scale
        return sums / 2

    pred = {f"views_{scale}": [*warped[scale], *frames] for scale in range(2)}
    return Case({**pred, "disparity": disparity}, target, total, {"image": colors})


@recipe("RAFT")
def _() -> Case:
    pred, target = [real(2, 2, 5, 6) for _ in range(4)], 300 * data(2, 2, 5, 6)
    valid = binary(2, 5, 6)

    def total() -> Tensor:
        counts = (valid >= 0.5) & ((target**2).sum(1).sqrt() < 400)
        assert 0 < counts.sum() < valid.sum()
        each = [0.8 ** (3 - i) * (counts[:, None] * (pred[i] - target).abs()).mean() for i in range(4)]
        return torch.stack(each).sum()

    return Case(pred, target, total, {"valid": valid})


def test_every_recipe_has_a_name_of_its_own_and_a_source():
    assert len(RECIPES) == len(ENTRIES) == 52
    assert all(set(entry) == {"name", "source", "loss"} for entry in ENTRIES)
    assert all(entry["source"] for entry in ENTRIES)


def errors(text: str) -> dict[str, set[str]]:
    """The texts of the mistakes of a program, by code."""
    found: dict[str, set[str]] = {}
    for diagnostic in losslang.check(text):
        if diagnostic.is_error:
            place = text[diagnostic.span.start : diagnostic.span.end]
            found.setdefault(diagnostic.code, set()).add(place)
    return found


@recipe("VQGAN")
def _() -> Case:
    """λ = 0.8 |∇ nll| / (|∇ g| + 1e-4) at the weight of the last layer, up to 1e4, from step 30001 on."""
    last = real(3, 4)
    features, kernel = data(2, 5, 5, 4), data(3)
    image = (features @ last.T).permute(0, 3, 1, 2)
    pred = {"x": image, "codebook": real(1).mean()}
    target = data(2, 3, 5, 5)
    d_fake = torch.einsum("bchw,c->bhw", image, kernel)

    class Distance(torch.nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return (x - y).square().mean((1, 2, 3), keepdim=True)

    def total() -> Tensor:
        nll = (image - target).abs().mean() + (image - target).square().mean()
        g = -d_fake.mean()
        of_nll, of_g = (torch.autograd.grad(each, last, retain_graph=True)[0].norm() for each in (nll, g))
        weight = (0.8 * of_nll / (of_g + 1e-4)).clamp(0, 1e4)
        return nll + pred["codebook"] + weight * g

    batch = {"d_fake": d_fake, "last_layer": last}
    return Case(pred, target, total, batch, {"lpips": Distance()}, {"step": 30_001})


def leaves(value: Any) -> Iterator[Tensor]:
    """The tensors of a call that want a gradient."""
    if isinstance(value, Tensor):
        yield from (value,) if value.requires_grad else ()
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)


@pytest.mark.parametrize("name", CASES)
def test_a_recipe_is_the_formula_of_its_paper(name: str):
    case = CASES[name]()
    loss = losslang.compile(RECIPES[name], const=case.const)
    loss.set_clock(**case.time)
    wanting = [*leaves(case.pred), *leaves(case.batch)]
    assert wanting
    wanted = case.total()
    expected = torch.autograd.grad(wanted, wanting, allow_unused=True, retain_graph=True)
    # The first call looks at values, the second does not; both are the same loss.
    for _ in range(2):
        found = loss(case.pred, case.target, **case.batch)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
        gradients = torch.autograd.grad(found, wanting, allow_unused=True, retain_graph=True)
        for gradient, by_hand in zip(gradients, expected, strict=True):
            assert (gradient is None) == (by_hand is None)
            if gradient is not None and by_hand is not None:
                assert by_hand.abs().max() > 0
                torch.testing.assert_close(gradient, by_hand, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_the_terms_of_a_recipe_add_up(name: str):
    case = CASES[name]()
    loss = losslang.compile(RECIPES[name], const=case.const)
    loss.set_clock(**case.time)
    detail = loss.detail(case.pred, case.target, **case.batch)
    torch.testing.assert_close(detail.contributions.sum(), case.total().detach(), rtol=1e-10, atol=1e-10)
    assert len(set(detail.names)) == len(detail.names)


def test_every_recipe_is_computed_by_hand():
    assert set(CASES) == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_one_spelling(name: str):
    once = losslang.format(RECIPES[name])
    assert losslang.format(once) == once
    assert losslang.parse(once) == losslang.parse(RECIPES[name])
    assert errors(once) == errors(RECIPES[name])


@pytest.mark.parametrize("name", CASES)
def test_the_spelling_of_a_recipe_is_the_same_mathematics(name: str):
    text, const = RECIPES[name], CASES[name]().const
    again = losslang.compile(losslang.format(text), const=const)
    assert again.fingerprint == losslang.compile(text, const=const).fingerprint


# ---------------------------------------------------------------------------- beside the recipes


@pytest.mark.parametrize("share", [0.29, 0.57])
def test_the_hardest_share_is_the_same_under_a_mask_that_hides_nothing(share: float):
    """`Dice+TopK` with an ignored label that does not occur."""
    text = f"l1(reduction=topk(frac={share}))"
    pred, target = torch.arange(100.0).double(), torch.zeros(100)
    masked = losslang.compile(text.replace("(red", "(mask=batch.mask, red"))
    found = masked(pred, target, mask=torch.ones(100, dtype=torch.bool))
    assert found.item() == losslang.compile(text)(pred, target).item()


@pytest.mark.parametrize(("function", "weights"), [("min", [2, 2.5, 2.5]), ("max", [2.5, 3, 4])])
def test_the_smaller_of_an_integer_and_a_fraction(function: str, weights: list[float]):
    """`min(batch.snr, 2.5)` of integers, and `max(batch.num_pos, 0.5)`."""
    pred = torch.ones(3)
    found = losslang.compile(f"{function}(batch.n, 2.5)*mse")(pred, 0 * pred, n=torch.tensor([2, 3, 4]))
    assert found.item() == pytest.approx(sum(weights) / 3)
