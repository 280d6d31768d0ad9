"""Objectives of real systems, each against torch written by hand.

A recipe that `check` accepts has a function here: it makes the tensors that the program names and
computes the total itself, from the formulas of the papers, with nothing of losslang. Value and
gradient have to agree. The others parse, and what is wrong with them is exactly what is not built.
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

NOT_YET = {"bco", "dpo", "sft"}
"""The losses that recipes name and the registry lacks. When one is built, this set shrinks, and the
recipes that then mean something get their function here."""

# ---------------------------------------------------------------------------- by hand


@dataclass
class Case:
    """The call of a recipe, and its total computed by hand."""

    pred: Any
    target: Any
    total: Callable[[], Tensor]
    batch: dict[str, Any] = field(default_factory=dict)
    const: dict[str, Any] = field(default_factory=dict)


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


def test_every_recipe_has_a_name_of_its_own_and_a_source():
    assert len(RECIPES) == len(ENTRIES) == 39
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


def leaves(value: Any) -> Iterator[Tensor]:
    """The tensors of a call that want a gradient."""
    if isinstance(value, Tensor):
        yield from (value,) if value.requires_grad else ()
    elif isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)


@pytest.mark.parametrize("name", CASES)
def test_a_recipe_is_the_formula_of_its_paper(name: str):
    case = CASES[name]()
    loss = losslang.compile(RECIPES[name], const=case.const)
    wanting = [*leaves(case.pred), *leaves(case.batch)]
    assert wanting
    wanted = case.total()
    expected = torch.autograd.grad(wanted, wanting, allow_unused=True)
    # The first call looks at values, the second does not; both are the same loss.
    for _ in range(2):
        found = loss(case.pred, case.target, **case.batch)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
        gradients = torch.autograd.grad(found, wanting, allow_unused=True)
        for gradient, by_hand in zip(gradients, expected, strict=True):
            assert (gradient is None) == (by_hand is None)
            if gradient is not None and by_hand is not None:
                assert by_hand.abs().max() > 0
                torch.testing.assert_close(gradient, by_hand, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_the_terms_of_a_recipe_add_up(name: str):
    case = CASES[name]()
    detail = losslang.compile(RECIPES[name], const=case.const).detail(case.pred, case.target, **case.batch)
    torch.testing.assert_close(detail.contributions.sum(), case.total().detach(), rtol=1e-10, atol=1e-10)
    assert len(set(detail.names)) == len(detail.names)


def test_every_recipe_that_means_something_is_computed_by_hand():
    assert set(CASES) == {name for name, text in RECIPES.items() if not errors(text)}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_one_spelling(name: str):
    once = losslang.format(RECIPES[name])
    assert losslang.format(once) == once
    assert losslang.parse(once) == losslang.parse(RECIPES[name])
    assert errors(once) == errors(RECIPES[name])


@pytest.mark.parametrize("name", CASES)
def test_the_spelling_of_a_recipe_is_the_same_mathematics(name: str):
    text, const = RECIPES[name], CASES[name]().const
    once, again = (losslang.compile(each, const=const) for each in (text, losslang.format(text)))
    assert once.fingerprint == again.fingerprint


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in CASES])
def test_what_is_wrong_with_a_recipe_is_what_is_not_built(name: str):
    found = errors(RECIPES[name])
    assert found
    assert set(found) <= {"E101", "E102"}
    assert found.get("E101", set()) <= NOT_YET


def test_the_missing_losses_are_these():
    assert set().union(*(errors(text).get("E101", set()) for text in RECIPES.values())) == NOT_YET


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
