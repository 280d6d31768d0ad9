"""Losses of regions and their surfaces: by hand, against textbook formulas, against numbers of other libraries."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from reference import evaluate
from torch import Tensor

import losslang
from losslang.tensors.numerics import power_by_logarithm

R = torch.Generator().manual_seed(5)


def compiled(text: str) -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        return losslang.compile(text)


def t(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def col(*values: float) -> Tensor:
    """One sample and one channel, (1, 1, n)."""
    return t(*values).reshape(1, 1, -1)


def real(*shape: int) -> Tensor:
    return torch.randn(shape, generator=R, dtype=torch.float64)


# -------------------------------------------------------------------- by hand

YES = col(1, 1, 0, 0)
# Two classes of volumes 3 and 1; Σ p t = 5/2 and 1/2, Σ p = 3 and 1.
SURE = t([[0.5, 0.5, 1, 1], [0.5, 0.5, 0, 0]])
RARE = t([[0.0, 1, 1, 1], [1, 0, 0, 0]])
NONE = t([[1.0, 1, 1, 1], [0, 0, 0, 0]])  # Σ p t = 3, and a class that is not there
L2 = math.log(2)

BY_HAND: list[tuple[str, Tensor, Tensor, float]] = [
    # gdl: weights 1/9 and 1; 1/3 and 1; 1 and 1
    ("gdl(identity, smooth=0)", SURE, RARE, 1 - 2 * (2.5 / 9 + 0.5) / (6 / 9 + 2)),
    ("gdl(identity, smooth=0, weighting=simple)", SURE, RARE, 1 - 2 * (2.5 / 3 + 0.5) / (6 / 3 + 2)),
    ("gdl(identity, smooth=0, weighting=uniform)", SURE, RARE, 1 - 2 * 3 / 8),
    ("gdl(identity, smooth=2, weighting=uniform)", SURE, RARE, 1 - (2 * 3 + 2) / (8 + 2)),
    # the absent class weighs as much as the other, 1/16
    ("gdl(identity, smooth=0)", SURE, NONE, 1 - 2 * 3 / (7 + 1)),
    ("gdl(identity, smooth=0, batch=true)", torch.cat([SURE, SURE]), torch.cat([RARE, NONE]),
     1 - 2 * (5.5 / 49 + 0.5) / (13 / 49 + 3)),
    ("gdl(identity)", col(0, 0), col(0, 0), 0.0),
    ("gdl(identity, smooth=0)", col(1, 0), col(0, 0), 0.0),  # nothing weighs anything
    # lovasz_hinge: errors -1, 2, -1, 2; a miss and an invention together: IoU 1/3
    ("lovasz_hinge", col(2, -1, -2, 1), YES, 2 * (1 - 1 / 3)),
    ("lovasz_hinge", col(2, 2, -2, -2), YES, 0.0),
    ("lovasz_hinge", col(-3, -1), col(0, 0), 0.0),
    ("lovasz_hinge", col(-3, 4), col(0, 0), 5.0),  # of an absent class: the largest error
    # lovasz_softmax: errors 0.6 (a miss, IoU 1/2), 0.2 (an invention, 1/3), then 0.1: a miss, 0
    ("lovasz_softmax(identity)", col(0.9, 0.4, 0.2, 0.1), YES, 0.6 / 2 + 0.2 / 6 + 0.1 / 3),
    # an absent class does not count; if it does, it gives its largest probability
    ("lovasz_softmax(identity)", SURE, NONE, (0.5 + 0.5) / 4),
    ("lovasz_softmax(identity, classes=all)", SURE, NONE, ((0.5 + 0.5) / 4 + 0.5) / 2),
    ("lovasz_softmax(identity)", SURE, 0 * NONE, 0.0),
    # mcc: TP 1, FP 0, FN 1, TN 2
    ("mcc(identity, smooth=1e-12)", col(1, 0, 0, 0), YES, 1 - 2 / math.sqrt(1 * 2 * 2 * 3)),
    ("mcc(identity, smooth=1)", col(1, 0, 0, 0), YES, 1 - (2 * 3 - 1 * 2) / math.sqrt(3 * 4 * 4 * 5)),
    ("mcc(identity, smooth=1e-12)", YES, YES, 0.0),
    ("mcc(identity, smooth=1e-12)", 1 - YES, YES, 2.0),
    ("mcc(identity, smooth=1e-12)", col(0, 0), col(0, 0), 0.5),
    # sensitivity_specificity: (1/4) / 2 of the positives, 1/2 · (1/4 + 0) of the negatives
    ("sensitivity_specificity(identity, smooth=0)", col(0.5, 1, 0.5, 0), YES, 0.1 / 8 + 0.9 / 8),
    ("sensitivity_specificity(identity, smooth=0, r=1)", col(0, 0, 1, 1), YES, 1.0),
    ("sensitivity_specificity(identity, smooth=0, r=0)", col(0, 0, 1, 0), YES, 0.5),
    ("sensitivity_specificity(identity, smooth=0)", col(0, 0), col(0, 0), 0.0),
    ("sensitivity_specificity(identity, smooth=2, r=1)", col(0, 0, 1, 1), YES, 2 / 4),
    # unified_focal: both Tversky parts are 1/2, one under the root
    ("unified_focal(identity, smooth=0, share=0)", col(0.5, 0.5), col(1, 0), (math.sqrt(0.5) + 0.5) / 2),
    ("unified_focal(identity, share=1)", col(0.5, 0.5), col(1, 0), (0.7 + 0.3 * math.sqrt(0.5)) * L2 / 4),
    ("unified_focal(identity, smooth=0, share=0, delta=1)", col(0, 1, 0, 0), YES, math.sqrt(0.5) / 2),
    # exp_log: D = 3/4, and one true place of four at 1/2
    ("exp_log(identity, smooth=1e-12)", col(0.5, 1, 0.5, 0), YES, 0.8 * (-math.log(0.75)) ** 0.3 + 0.2 * L2**0.3 / 4),
    ("exp_log(identity, w_dice=0, gamma=0.01)", YES, YES, 0.0),  # 0^γ, however small γ is
    ("exp_log(identity, smooth=1e-12, gamma=1, w_dice=0)", SURE, RARE, 0.2 * (L2 + L2) / 4),
    # boundary: 1/2 · 2 - 1 · 1, over two places
    ("boundary(identity)", col(0.5, 1), col(2, -1), 0.0),
    ("boundary(identity)", col(0, 1, 0), col(1, -1, 1), -1 / 3),
    # hausdorff_dt: D(t) = 2 1 1 2 3, D(p) = 3 2 1 1 2, wrong everywhere but in the middle
    ("hausdorff_dt(identity)", col(0, 0, 0, 1, 1), col(1, 1, 0, 0, 0), (13 + 5 + 5 + 13) / 5),
    ("hausdorff_dt(identity, alpha=1)", col(0, 0, 0, 1, 1), col(1, 1, 0, 0, 0), (5 + 3 + 3 + 5) / 5),
    # of one side alone there is no distance, so D(p) = 0
    ("hausdorff_dt(identity)", col(0, 0, 0, 0, 0), col(1, 1, 0, 0, 0), (4 + 1) / 5),
    ("hausdorff_dt(identity)", col(0, 0), col(0, 0), 0.0),
    ("hausdorff_dt(identity)", col(1, 1), col(0, 0), 0.0),
    ("log(1 + hausdorff_dt(identity))", col(0, 0, 0, 0, 0), col(1, 1, 0, 0, 0), math.log(2)),
    # hausdorff_er: 0 1 1 1 0, then 0 1/3 1 1/3 0, then 0 0 1 0 0, then nothing
    ("hausdorff_er(identity)", col(0, 0, 0, 0, 0), col(1, 1, 1, 1, 1), (3 + 4 * 5 / 3 + 9) / 5),
    ("hausdorff_er(identity, k=2, alpha=1)", col(0, 0, 0, 0, 0), col(1, 1, 1, 1, 1), (3 + 2 * 5 / 3) / 5),
    # cldice: the skeleton of 0 1 1 1 0 is its middle, that of 0 0 1 1 1 its end, found by the second erosion
    ("cldice(identity)", col(0, 0, 1, 1, 1), col(0, 1, 1, 1, 0), 1 - 2 * (1 / 2) / (1 / 2 + 1)),
    ("cldice(identity, iters=1)", col(0, 0, 1, 1, 1), col(0, 1, 1, 1, 0), 0.0),
    ("cldice(identity, smooth=3)", col(0, 0, 1, 1, 1), col(0, 1, 1, 1, 0), 1 - 2 * (3 / 4) / (3 / 4 + 1)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "pred", "target", "wanted"), BY_HAND)
def test_by_hand(text: str, pred: Tensor, target: Tensor, wanted: float):
    if pred.ndim == 2:
        pred, target = pred[None], target[None]
    assert compiled(text)(pred, target).item() == pytest.approx(wanted, abs=1e-9)


# -------------------------------------------------------------------- textbook

X, Y = 2 * real(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5), generator=R)
Y[0] = Y[0].clamp(max=1)  # a class that one sample lacks
X1, Y1 = 2 * real(2, 2, 9), torch.randint(0, 2, (2, 9), generator=R)
X3, Y3 = 2 * real(1, 2, 3, 4, 3), torch.randint(0, 2, (1, 3, 4, 3), generator=R)
PLACES = torch.rand(2, 4, 5, generator=R) > 0.4
SUMS = (
    "gdl(sigmoid)", "gdl(softmax, weighting=simple)", "lovasz_hinge", "lovasz_softmax(softmax)",
    "lovasz_softmax(sigmoid, classes=all)", "mcc(sigmoid)", "sensitivity_specificity(softmax)",
    "unified_focal(sigmoid, gamma=0.3)", "exp_log(softmax)",
)  # fmt: skip
SURFACES = (
    "hausdorff_dt(softmax)",
    "hausdorff_dt(sigmoid, alpha=1.5)",
    "hausdorff_er(sigmoid)",
    "cldice(softmax)",
)
DATA = {
    "1-D": (X1, Y1, {}),
    "2-D": (X, Y, {}),
    "3-D": (X3, Y3, {}),
    "masked": (X, Y, {"mask": PLACES}),
    "a channel masked": (X, Y, {"mask": t([1, 0, 1], [1, 1, 1])[:, :, None, None]}),
    "ignored": (X, Y.masked_fill(PLACES, 255), {}),
}
USES = [(text, layout) for text in SUMS + SURFACES for layout in DATA]
USES += [
    (f"{text[:-1]}, batch=true)" if ")" in text else f"{text}(batch=true)", d) for text in SUMS for d in DATA
]


@pytest.mark.parametrize(("text", "layout"), USES)
def test_textbook(text: str, layout: str):
    """Value and gradient to 1e-9; the Lovász extension by its definition, distances by looking at all pairs."""
    pred, target, batch = DATA[layout]
    more = "mask=batch.mask" if batch else "ignore_index=255"
    text = f"{text[:-1]}, {more})" if text.endswith(")") else f"{text}({more})"
    x, y = pred.clone().requires_grad_(), pred.clone().requires_grad_()
    found, wanted = compiled(text)(x, target, **batch), evaluate(text, y, target, batch).total
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
    found.backward()
    wanted.backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("text", [*SUMS, *SURFACES])
def test_textbook_without_background(text: str):
    """Under a mask of places, which has one channel where two are left of three."""
    text = f"{text[:-1]}, background=false, " if text.endswith(")") else f"{text}(background=false, "
    x, y = X.clone().requires_grad_(), X.clone().requires_grad_()
    found = compiled(f"{text}mask=batch.mask)")(x, Y, mask=PLACES)
    wanted = evaluate(f"{text}mask=batch.mask)", y, Y, {"mask": PLACES}).total
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
    found.backward()
    wanted.backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-9, atol=1e-12)


def test_erosions_have_a_gradient():
    """The small examples above are eroded to nothing: here something thick is wrong."""
    target = torch.zeros(1, 1, 7, 6, dtype=torch.float64)
    target[..., 1:6, 1:5] = 1
    x = (0.3 * real(1, 1, 7, 6)).requires_grad_()
    found, wanted = (
        compiled("hausdorff_er(sigmoid)")(x - 4, target),
        evaluate("hausdorff_er(sigmoid)", x - 4, target),
    )
    torch.testing.assert_close(found, wanted.total, rtol=1e-9, atol=0)
    (grad,) = torch.autograd.grad(found, x)
    torch.testing.assert_close(grad, torch.autograd.grad(wanted.total, x)[0], rtol=1e-9, atol=1e-12)
    assert grad.abs().sum() > 0


# -------------------------------------------------------------------- Lovász


def test_of_plain_yes_and_no_lovasz_is_the_jaccard():
    """It extends 1 - IoU: on the corners of the cube both are the same."""
    target = torch.randint(0, 2, (4, 3, 30), generator=R).double()
    pred = torch.randint(0, 2, (4, 3, 30), generator=R).double()
    for more in ("", ", batch=true"):
        wanted = compiled(f"jaccard(identity, smooth=0, reduction=none{more})")(pred, target)
        found = compiled(f"lovasz_softmax(identity, reduction=none{more})")(pred, target)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("text", ["lovasz_hinge(", "lovasz_softmax(softmax, ", "lovasz_softmax(identity, "])
def test_what_is_masked_is_as_if_it_were_not_there(text: str, dtype: torch.dtype):
    """In value and gradient, also beside errors of 0; the authors', smp's and toolbelt's fail in float64."""
    target, kept = torch.randint(0, 2, (1, 2, 40), generator=R), torch.rand(40, generator=R) > 0.3
    x = 3 * real(1, 2, 40)
    if "identity" in text:
        x = torch.where(real(40) > 0.5, target, torch.sigmoid(x))
    masked, left = (part.to(dtype).requires_grad_() for part in (x.clone(), x[:, :, kept]))
    found = compiled(f"{text}mask=batch.m)")(masked, target, m=kept[None])
    wanted = compiled(f"{text}reduction=mean)")(left, target[:, :, kept])
    assert found.dtype == dtype
    torch.testing.assert_close(found, wanted)
    found.backward()
    wanted.backward()
    torch.testing.assert_close(masked.grad[:, :, kept], left.grad)
    assert masked.grad[:, :, ~kept].abs().sum() == 0


def test_lovasz_is_exact_in_float32_over_a_million_places():
    """Each gradient is a step of about a millionth of the IoU: a difference of two of them would be noise."""
    x = torch.randn(1, 1, 2**20, generator=R)
    target = (torch.rand(1, 1, 2**20, generator=R) < 0.1).float()
    single, double = x.clone().requires_grad_(), x.double().requires_grad_()
    compiled("lovasz_softmax(sigmoid)")(single, target).backward()
    compiled("lovasz_softmax(sigmoid)")(double, target.double()).backward()
    torch.testing.assert_close(single.grad.double(), double.grad, rtol=1e-3, atol=1e-12)


def test_classes_that_are_absent_leave_the_mean():
    """Two of the six regions have no truth: four are averaged, and they alone have a gradient."""
    target = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    target[0, 0, :2], target[0, 1, 2:], target[1, :2, 1] = 1, 1, 1
    x = real(2, 3, 4, 4).requires_grad_()
    loss, values = (
        compiled("lovasz_softmax(sigmoid)"),
        compiled("lovasz_softmax(sigmoid, classes=all, reduction=none)"),
    )
    torch.testing.assert_close(loss(x, target), values(x, target)[:, :2].mean(), rtol=1e-12, atol=0)
    (grad,) = torch.autograd.grad(loss(x, target), x)
    assert grad[:, 2].abs().sum() == 0
    assert (grad[:, :2] != 0).any()


# -------------------------------------------------------------------- distances


def far(inside: Tensor) -> Tensor:
    """How far each element is from the nearest on the other side, by all pairs; 0 if there is none."""
    places = (
        torch.stack(torch.meshgrid(*map(torch.arange, inside.shape), indexing="ij"), -1)
        .flatten(0, -2)
        .double()
    )
    apart = torch.cdist(places, places).masked_fill(inside.flatten()[:, None] == inside.flatten(), math.inf)
    return apart.amin(1).nan_to_num(posinf=0).reshape(inside.shape)


@pytest.mark.parametrize("shape", [(50,), (17, 23), (1, 9), (7, 5, 6)])
@pytest.mark.parametrize("block", [1, 2**22])
def test_distances_are_exact(shape: tuple[int, ...], block: int, monkeypatch: pytest.MonkeyPatch):
    """In float32, position by position or all at once."""
    from losslang.losses import surface

    monkeypatch.setattr(surface, "BLOCK", block)
    inside = torch.rand(2, 3, *shape, generator=R) > 0.7
    inside[0, 0], inside[0, 1] = True, False
    found = surface._field(inside.float(), 1.0)  # pyright: ignore[reportPrivateUsage]
    wanted = torch.stack([torch.stack([far(region) for region in sample]) for sample in inside])
    torch.testing.assert_close(found.double(), wanted, rtol=1e-7, atol=0)


def test_no_gradient_flows_through_a_distance():
    x, target = real(2, 1, 6, 7).requires_grad_(), torch.randint(0, 2, (2, 1, 6, 7), generator=R).double()
    p = torch.sigmoid(x)
    weight = torch.stack(
        [(far(a[0] > 0.5) ** 2 + far(b[0] > 0.5) ** 2)[None] for a, b in zip(p, target, strict=True)]
    )
    wanted = ((p - target) ** 2 * weight.detach()).mean()
    found = compiled("hausdorff_dt(sigmoid)")(x, target)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    (grad,) = torch.autograd.grad(found, x)
    torch.testing.assert_close(grad, torch.autograd.grad(wanted, x)[0], rtol=1e-9, atol=1e-12)


# -------------------------------------------------------------------- other libraries

ONE = t([[[1, -1], [-1, 1]]])
L = t([[1, 0], [1, 1]])
PAIR = t([[-1, 0, 1], [1, 0, -1]], [[0, 0, 0], [0, 0, 0]])
LABELS = torch.tensor([[1, 0, 0], [1, 1, 0]])

# MONAI at d388d1c, held by 1.6.1: tests/losses/test_hausdorff_loss.py:205 and test_generalized_dice_loss.py:164.
MONAI: list[tuple[str, Tensor, Tensor, Any]] = [
    ("hausdorff_dt(sigmoid)", ONE, L[None], 0.509329),
    ("log(1 + hausdorff_dt(sigmoid))", ONE, L[None], 0.4116651812039158),
    ("hausdorff_dt(sigmoid)", t([[[1, -1], [1, -1]], [[-1, 1], [-1, 1]]])[None],
     t([[[1, 0], [1, 0]], [[0, 0], [1, 1]]])[None], 0.375718),
    ("hausdorff_dt(sigmoid)", ONE.expand(1, 2, 2, 2), t([[[1, 0], [1, 1]], [[1, 0], [0, 1]]]), 0.326994),
    ("hausdorff_dt(sigmoid, like=monai)", ONE.expand(1, 2, 2, 2), t([[[1, 0], [1, 1]], [[1, 0], [0, 1]]]), 0.144659),
    ("hausdorff_dt(sigmoid, reduction=none)", PAIR[..., None], LABELS[..., None], [[0.407765] * 2, [0.5] * 2]),
    ("hausdorff_dt(softmax)", PAIR[..., None], LABELS[..., None], 0.357016),
    ("hausdorff_dt(softmax, reduction=sum)", PAIR[..., None], LABELS[..., None], 1.428062),
    ("gdl(sigmoid, smooth=1e-6)", ONE, L[None], 0.307576),
    ("gdl(sigmoid, smooth=1e-4)", ONE.expand(2, 1, 2, 2), t([[[1, 1], [1, 1]]], [[[1, 0], [1, 0]]]), 0.416597),
    ("gdl(softmax, smooth=1e-4)", PAIR, LABELS, 0.414507),
    ("gdl(softmax, smooth=1e-4, reduction=none)", PAIR, LABELS, [0.273476, 0.555539]),
    ("gdl(softmax, weighting=simple, smooth=0)", t([[0, 10, 10, 10], [10, 0, 0, 0]]), torch.tensor([[1, 1, 0, 0]]),
     0.250023),
]  # fmt: skip


@pytest.mark.parametrize(("text", "pred", "target", "wanted"), MONAI)
def test_monai(text: str, pred: Tensor, target: Tensor, wanted: Any):
    found = compiled(text)(pred, target)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-6)


def test_monai_cldice():
    """MONAI at d388d1c, SoftclDiceLoss(iter_=3, smooth=1), which drops the first of two channels."""
    target = torch.zeros(7, 7, dtype=torch.float64)
    target[1:6, 2:5] = 1
    p = 0.1 + 0.8 * target
    p[3, 5] = 0.6
    pair = torch.stack([1 - p, p])[None], torch.stack([1 - target, target])[None]
    assert compiled("cldice(identity, background=false)")(*pair).item() == pytest.approx(
        0.038961038961038974, abs=1e-12
    )
    assert compiled("cldice(identity)")(p[None, None], target[None, None]).item() == pytest.approx(
        0.038961038961038974
    )


# segmentation-models-pytorch, tests/test_losses.py:327-361: what its MCCLoss gives, both channels in one row.
SMP_MCC = [
    ([1, 1, 0, 0, 0, 0, 1, 1], [1, 1, 0, 0, 0, 0, 1, 1], 5.00679e-06),
    ([1, 1, 0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1, 0, 0], 1.999995),
    ([0, 1, 1, 0, 0, 1, 1, 0], [1, 1, 0, 0, 1, 1, 0, 0], 1.0),
    ([0, 0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 1, 1, 0, 0], 1.0),
    ([0, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1], 1.4999988),
    ([1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 1], 0.5000012),
]


@pytest.mark.parametrize(("pred", "target", "wanted"), SMP_MCC)
def test_smp_mcc(pred: list[float], target: list[float], wanted: float):
    found = compiled("mcc(like=smp)")(col(*pred), col(*target))
    assert found.item() == pytest.approx(wanted, abs=2e-7)


# What the libraries give for the logits Z of three classes and the labels W, none of which is missing.
Z = t([[1.72, -1.9, 0.4, 1.8], [-1.08, 0.19, 0.5, -0.3], [0.2, 0.1, -0.7, 0.9]])
W = torch.tensor([[0, 1, 2, 0]])
P, ONEHOT = torch.softmax(Z, 1), torch.nn.functional.one_hot(W, 3).movedim(-1, 1).double()
I, A, B = (P * ONEHOT).sum(2), P.sum(2), ONEHOT.sum(2)  # noqa: E741
PRESETS = [
    ("dice(softmax, like=monai)", (1 - (2 * I + 1e-5) / (A + B + 1e-5)).mean()),
    ("dice(softmax, like=smp)", (1 - 2 * I / (A + B)).mean()),
    ("dice(softmax, like=nnunet) - 1", -((2 * I + 1) / (A + B + 1)).mean()),
    ("dice(softmax, like=optax)", (1 - (I + 1) / (I + 0.5 * (A - I) + 0.5 * (B - I) + 1)).mean()),
    ("jaccard(softmax, like=monai)", (1 - (2 * I + 1e-5) / (2 * (A + B - I) + 1e-5)).mean()),
    ("jaccard(softmax, like=smp)", (1 - I / (A + B - I)).mean()),
    ("tversky(like=mmseg)", (1 - (I + 1) / (I + 0.3 * (A - I) + 0.7 * (B - I) + 1)).mean()),
    (
        "tversky(softmax, like=optax, alpha=0.2)",
        (1 - (I + 1) / (I + 0.2 * (A - I) + 0.5 * (B - I) + 1)).mean(),
    ),
    ("tversky(softmax, like=smp)**0.75", (1 - 2 * I / (A + B)).mean() ** 0.75),
    ("gdl(softmax, like=kornia)", 1 - 2 * I.sum() / (A + B).sum()),
    ("gdl(softmax, like=keras)", 1 - 2 * I.sum() / (A + B).sum()),
]


@pytest.mark.parametrize(("text", "wanted"), PRESETS)
def test_presets(text: str, wanted: Tensor):
    # kornia takes images alone.
    pred, target = (Z.unsqueeze(2), W.unsqueeze(1)) if "kornia" in text else (Z, W)
    torch.testing.assert_close(compiled(text)(pred, target), wanted, rtol=1e-12, atol=1e-12)


def test_smp_leaves_an_absent_class_in_the_mean():
    """As a 0: the mean of a right class and an invented one is 0, and not 1/2."""
    pred, target = t([[1, 1], [1, 1]]), t([[1, 1], [0, 0]])
    assert compiled("dice(identity, like=smp)")(pred, target).item() == 0
    assert compiled("dice(identity, smooth=0)")(pred, target).item() == pytest.approx(0.5)


def test_monai_unified_focal():
    """MONAI 1.6.1, AsymmetricUnifiedFocalLoss(), of a background and a foreground: one channel says the same."""
    p, target = t([[0.2, 0.9], [0.6, 0.4]])[None], t([[0, 1], [1, 0]])[None]
    pair = torch.cat([1 - p, p], 1), torch.cat([1 - target, target], 1)
    for found in (
        compiled("unified_focal(like=monai)")(*pair),
        compiled("unified_focal(identity, smooth=1e-7)")(p, target),
    ):
        assert found.item() == pytest.approx(0.2349628105748382, abs=1e-12)


# -------------------------------------------------------------------- where others fail


@pytest.mark.parametrize("text", [*SUMS, *SURFACES])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_nothing_and_everything_are_finite(text: str, value: float):
    """An empty and a full target, against certain predictions of both kinds, in float32."""
    for says in (-1e4, 1e4):
        x = torch.full((2, 3, 4, 4), says).requires_grad_()
        found = compiled(text)(x, torch.full((2, 3, 4, 4), value))
        assert found.isfinite()
        assert torch.autograd.grad(found, x)[0].isfinite().all()


def test_mcc_of_a_large_image_is_a_number_in_float32():
    """Counts that are differences of sums may come out below 0: of a nearly right prediction, sums of 0.99..."""
    target = (torch.rand(1, 1, 2**20, generator=R) < 0.7).float()
    for sure in (8, 12, 16):
        x = (sure * (2 * target - 1) + torch.rand(target.shape, generator=R)).requires_grad_()
        found = compiled("mcc(sigmoid)")(x, target)
        assert 0 <= found.item() < 1e-2
        assert torch.autograd.grad(found, x)[0].isfinite().all()


def test_mmseg_boundary_is_another_loss():
    """Kervadec's is p times a given distance, and can be below 0."""
    assert compiled("boundary(identity)")(col(0, 1, 1, 0), col(1, -1, -1, 1)).item() == -0.5


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_power_by_logarithm_takes_no_notice_of_what_stands_beside(kind: torch.dtype):
    """Whether all are above the least number is asked first; no element depends on the answer."""
    tiny = torch.finfo(kind).tiny
    base = torch.tensor(
        [tiny * f for f in (1.0, 1.0005, 1.01, 1.5, 2.0, 3.0, 5.0, 1e6)] + [0.3, 1.0, 2.0]
    ).to(kind)
    for element in base:
        alone = power_by_logarithm(element.reshape(1), 0.3)
        beside = power_by_logarithm(torch.stack([element, torch.zeros((), dtype=kind)]), 0.3)
        assert torch.equal(alone, beside[:1])
