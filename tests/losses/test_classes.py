"""Losses of classes: focal ones, margins, and weights from the batch.

Against torch's own and the oracle (float64, value and gradient), against numbers worked out by hand, and
against numbers that other libraries gave.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cutting import cut
from reference import evaluate
from torch import Tensor

import losslang
from losslang.primitives.primitive import Loss
from losslang.registry import current_registry
from losslang.runtime.blocks import AutogradEvaluator

R = torch.Generator().manual_seed(11)


def real(*shape: int) -> Tensor:
    return torch.randn(shape, generator=R, dtype=torch.float64)


def unit(*shape: int) -> Tensor:
    return torch.rand(shape, generator=R, dtype=torch.float64)


def t(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def compiled(text: str, **more: Any) -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        return losslang.compile(text, **more)


def both(function: Callable[[Tensor], Tensor], pred: Tensor) -> tuple[Tensor, Tensor]:
    """A value and its gradient."""
    pred = pred.detach().clone().requires_grad_()
    value = function(pred)
    (grad,) = torch.autograd.grad(value.sum(), pred)
    return value.detach(), grad


def same(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(one[0], other[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(one[1], other[1], rtol=1e-9, atol=1e-12)


# -------------------------------------------------------------------- against torch

X, Y = real(6, 4), torch.tensor([0, 3, 1, 1, 2, 0])
XS, YS = real(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5), generator=R)
SOFT, MANY = torch.softmax(real(6, 4), 1), (unit(6, 4) > 0.5).double()
A, S = 2 * real(5, 3), 2.0 * torch.randint(0, 2, (5, 3), generator=R).double() - 1
P, SCORE = unit(5, 3), unit(5, 3)
ROWS, WHERE = real(4, 3, 6), torch.randint(0, 6, (4, 3), generator=R)


def lists(target: Tensor) -> Tensor:
    """The true classes of each row, then -1, as torch wants them."""
    found = [row.nonzero().flatten() for row in target]
    return torch.stack([F.pad(row, (0, target.shape[1] - len(row)), value=-1) for row in found])


def pulled(x: Tensor, labels: Tensor) -> Tensor:
    """Crammer and Singer, row by row."""
    rows: list[Tensor] = []
    for scores, y in zip(x, labels.tolist(), strict=True):
        others = torch.cat([scores[:y], scores[y + 1 :]])
        rows.append((1 + others.max() - scores[y]).clamp(min=0))
    return torch.stack(rows).mean()


TORCH: list[Any] = [
    ("logistic", A, S, F.soft_margin_loss),
    ("soft_margin_loss", A, S, F.soft_margin_loss),
    ("logistic", A, S > 0, lambda x, _: F.binary_cross_entropy_with_logits(x, (S + 1) / 2)),
    ("perceptron", A, S, lambda x, y: F.margin_ranking_loss(x, torch.zeros_like(x), y)),
    ("multilabel_margin", X, MANY, lambda x, y: F.multilabel_margin_loss(x, lists(y))),
    ("multilabel_margin(reduction=none)", X, MANY,
     lambda x, y: F.multilabel_margin_loss(x, lists(y), reduction="none")),
    ("multilabel_soft_margin", X, MANY, F.multilabel_soft_margin_loss),
    ("multiclass_hinge", X, Y, pulled),
    ("multiclass_hinge", X, F.one_hot(Y, 4).double(), lambda x, _: pulled(x, Y)),
    ("listwise_softmax", X, SOFT, F.cross_entropy),
    ("listwise_softmax", X, 3 * SOFT, lambda x, y: 3 * F.cross_entropy(x, y / 3)),
    # what each is where its own part is turned off
    ("quality_focal(sigmoid, beta=0)", A, SCORE, F.binary_cross_entropy_with_logits),
    ("asl(sigmoid, gamma_pos=0, gamma_neg=0, clip=0)", A, SCORE,
     lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction="sum")),
    ("asl_single(gamma_neg=0)", X, Y, lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1)),
    ("asl_single(gamma_neg=0)", X, SOFT, lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1)),
    ("poly(epsilon=0)", XS, YS, F.cross_entropy),
    ("poly(epsilon=0)", X, SOFT, F.cross_entropy),
    ("gce(q=1)", XS, YS, lambda x, y: 1 - torch.softmax(x, 1).gather(1, y[:, None]).mean()),
    ("bi_tempered(t1=1, t2=1)", XS, YS, F.cross_entropy),
    ("bi_tempered(t1=1, t2=1)", X, SOFT, lambda x, y: F.kl_div(F.log_softmax(x, 1), y, reduction="batchmean")),
    ("bi_tempered(t1=1, t2=1, label_smoothing=0.2)", X, Y,
     lambda x, y: F.cross_entropy(x, y, label_smoothing=0.2) + (0.85 * math.log(0.85) + 0.15 * math.log(0.05))),
    ("dfl", ROWS, WHERE.double(), lambda x, y: F.cross_entropy(x.flatten(0, 1), y.flatten().long())),
    ("ghm_c(sigmoid, bins=1)", A, SCORE, F.binary_cross_entropy_with_logits),
    ("ghm_r(bins=1, mu=2)", A, S, lambda x, y: ((x - y).square() + 4).sqrt().mean() - 2),
]  # fmt: skip


@pytest.mark.parametrize(("text", "pred", "target", "function"), TORCH, ids=[row[0] for row in TORCH])
def test_against_torch(text: str, pred: Tensor, target: Tensor, function: Callable[..., Tensor]):
    loss = compiled(text)
    same(both(lambda x: loss(x, target), pred), both(lambda x: function(x, target), pred))


def test_gce_becomes_ce():
    loss = compiled("gce(q=1e-7)")
    found, wanted = both(lambda x: loss(x, YS), XS), both(lambda x: F.cross_entropy(x, YS), XS)
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(found[1], wanted[1], rtol=1e-5, atol=1e-9)


def test_hard_heat_maps_are_focal():
    """Of 0 and 1 alone the penalty around a peak has no part."""
    target = (unit(5, 3) > 0.5).double()
    one, other = compiled("gaussian_focal(sigmoid)"), compiled("focal(sigmoid)")
    same(both(lambda x: one(x, target), A), both(lambda x: other(x, target), A))


# -------------------------------------------------------------------- against the oracle

MASK = unit(2, 4, 5) > 0.4
PROGRAMS = [
    "quality_focal(sigmoid)", "quality_focal(sigmoid, beta=0.5)", "quality_focal(softmax)",
    "varifocal(sigmoid)", "varifocal(sigmoid, iou_weighted=false, gamma=1.5)", "varifocal(softmax)",
    "gaussian_focal(sigmoid)", "gaussian_focal(sigmoid, alpha=0.5, gamma=0)", "gaussian_focal(softmax)",
    "asl(sigmoid)", "asl(sigmoid, clip=0)", "asl(sigmoid, clip=0.4, gamma_neg=0.5, gamma_pos=0)", "asl(softmax)",
    "asl_single", "asl_single(gamma_pos=1.5, label_smoothing=0.4)", "asl_single(label_smoothing=0)",
    "poly", "poly(epsilon=-1)", "gce", "gce(q=0.2)",
    "bi_tempered", "bi_tempered(label_smoothing=0.3)", "bi_tempered(t1=0.3, t2=2)", "bi_tempered(t1=1, t2=1.5)",
    "bi_tempered(t1=0.5, t2=1)", "bi_tempered(t1=0, t2=4, iters=7)",
    "perceptron", "logistic", "multiclass_hinge", "multiclass_hinge(margin=0.3)",
    "multilabel_margin", "multilabel_margin(margin=2)",
    "balanced_bce(sigmoid)", "balanced_bce(softmax)",
    "ghm_c(sigmoid)", "ghm_c(sigmoid, bins=3)", "ghm_c(sigmoid, momentum=0.5)", "ghm_r", "ghm_r(mu=1, bins=4)",
]  # fmt: skip


def with_options(text: str, *options: str) -> str:
    inside = text.partition("(")[2].rstrip(")")
    return f"{text.partition('(')[0]}({', '.join([*filter(None, [inside]), *options])})"


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("text", PROGRAMS)
def test_against_the_oracle(text: str, masked: bool):
    name = text.partition("(")[0]
    target: Tensor = YS
    if name in ("quality_focal", "varifocal", "gaussian_focal"):
        target = (1.4 * unit(*XS.shape) - 0.2).clamp(0, 1)
    if name == "ghm_r":
        target = real(*XS.shape)
    batch = {"mask": MASK} if masked else {}
    text = with_options(text, "mask=batch.mask") if masked else text
    found = both(lambda x: compiled(text)(x, target, **batch), XS)
    same(found, both(lambda x: evaluate(text, x, target, batch).total, XS))


@pytest.mark.parametrize(
    "text",
    ["asl_single", "poly", "gce", "bi_tempered", "bi_tempered(label_smoothing=0.1)", "multiclass_hinge"],
)
def test_soft_labels_against_the_oracle(text: str):
    same(both(lambda x: compiled(text)(x, SOFT), X), both(lambda x: evaluate(text, x, SOFT).total, X))


@pytest.mark.parametrize("masked", [False, True])
def test_dfl_against_the_oracle(masked: bool):
    position = 5 * unit(4, 3)
    position[0, 0], position[1, 1] = 5.0, 0.0
    batch = {"mask": unit(4, 3) > 0.4} if masked else {}
    text = "dfl(mask=batch.mask)" if masked else "dfl"
    found = both(lambda x: compiled(text)(x, position, **batch), ROWS)
    same(found, both(lambda x: evaluate(text, x, position, batch).total, ROWS))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("text", PROGRAMS)
def test_in_blocks(text: str, masked: bool, cut_small: list[int]):
    """Cut into pieces they are the same; and what reads the whole batch is not cut."""
    test_against_the_oracle(text, masked)
    assert (len(cut_small) > 4) == (not text.startswith(("balanced_bce", "ghm")))


@pytest.mark.parametrize("masked", [False, True])
def test_dfl_in_blocks(masked: bool, cut_small: list[int]):
    test_dfl_against_the_oracle(masked)
    assert len(cut_small) > 4


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_topk_error_against_the_oracle(k: int):
    text = f"ce + metric(topk_error(k={k}))"
    pred = X.round()  # with ties
    wanted = evaluate(text, pred, Y).values["topk_error"]
    torch.testing.assert_close(compiled(text).detail(pred, Y).values[1].double(), wanted)


# -------------------------------------------------------------------- by hand

L2, L3 = math.log(2), math.log(3)
HALF = t([0.0], [0.0])  # probability 1/2 after a sigmoid

BY_HAND: list[Any] = [
    # |1 - 1/2|^2 log 2
    ("quality_focal(sigmoid)", HALF, t([1.0], [1.0]), L2 / 4),
    ("quality_focal(sigmoid)", HALF, t([0.5], [0.5]), 0.0),
    ("quality_focal(identity)", t([0.2]), t([0.7]), -0.25 * (0.7 * math.log(0.2) + 0.3 * math.log(0.8))),
    # a positive of score 0.7 weighs 0.7, a negative 0.75 · 0.2²
    ("varifocal(identity)", t([0.2]), t([0.7]), -0.7 * (0.7 * math.log(0.2) + 0.3 * math.log(0.8))),
    ("varifocal(identity, iou_weighted=false)", t([0.2]), t([0.7]), -(0.7 * math.log(0.2) + 0.3 * math.log(0.8))),
    ("varifocal(identity)", t([0.2]), t([0.0]), -0.75 * 0.04 * math.log(0.8)),
    ("gaussian_focal(identity)", t([0.2]), t([1.0]), -0.64 * math.log(0.2)),
    ("gaussian_focal(identity)", t([0.2]), t([0.5]), -0.04 * math.log(0.8) / 16),
    ("gaussian_focal(identity)", t([0.2]), t([0.999]), -0.04 * math.log(0.8) * 0.001**4),
    # summed, not averaged: two positives of (1 - 1/2) log 2
    ("asl(sigmoid)", HALF, t([1.0], [1.0]), L2),
    ("asl(sigmoid)", HALF, t([0.0], [0.0]), -2 * 0.45**4 * math.log(0.55)),
    ("asl(identity)", t([0.05, 0.04, 0.0]), t([0.0, 0.0, 0.0]), 0.0),
    ("asl(identity, clip=0)", t([0.5]), t([0.0]), L2 / 16),
    # C = 2, p = 1/2: 0.95 log 2 of the truth and 0.05 (1/2)^4 log 2 of the other
    ("asl_single", t([0.0, 0.0]), torch.tensor([0]), 0.95 * L2 + 0.05 * L2 / 16),
    ("asl_single(gamma_pos=1)", t([0.0, 0.0]), torch.tensor([0]), 0.95 * L2 / 2 + 0.05 * L2 / 16),
    ("asl_single(label_smoothing=0)", t([0.0, 0.0]), torch.tensor([0]), L2),
    ("poly", t([0.0, L3]), torch.tensor([0]), math.log(4) + 0.75),
    ("poly(epsilon=2)", t([0.0, L3]), torch.tensor([0]), math.log(4) + 1.5),
    ("gce", t([0.0, L3]), torch.tensor([0]), (1 - 0.25**0.7) / 0.7),
    ("gce(q=0.5)", t([0.0, L3]), torch.tensor([0]), 1.0),
    ("gce(q=1)", t([0.0, L3]), torch.tensor([0]), 0.75),
    # t2 = 2: p = 1 / (1 + λ - x) and (1/2, 1/2) for equal logits; t1 = 0: log_0 u = u - 1
    ("bi_tempered(t1=0, t2=2)", t([0.0, 0.0]), torch.tensor([0]), (0 - (0.5 - 1)) - (1 - 0.25) / 2 + 0.25 / 2),
    # t2 = 2: 1/u + 1/(u + d) = 1 is u (u + d) = 2 u + d; d = 3/2 has u = 3/2, p = (2/3, 1/3)
    ("bi_tempered(t1=0, t2=2)", t([1.5, 0.0]), torch.tensor([0]), 1 / 3 - (1 - 4 / 9) / 2 + (1 / 9) / 2),
    ("bi_tempered(t1=1, t2=2)", t([1.5, 0.0]), torch.tensor([1]), L3),
    # positions between bins of equal probability, and at the very last
    ("dfl", t([0.0, 0.0, 0.0, 0.0]), t(1.3), math.log(4)),
    ("dfl", t([0.0, L3, 0.0]), t(1.0), math.log(5 / 3)),
    ("dfl", t([0.0, L3, 0.0]), t(1.5), 0.5 * math.log(5 / 3) + 0.5 * math.log(5)),
    ("dfl", t([0.0, L3, 0.0]), t(2.0), math.log(5)),
    ("dfl", t([0.0, L3, 0.0]), t(0.0), math.log(5)),
    ("perceptron", t(0.5, -2.0, 3.0), t(1.0, -1.0, -1.0), 1.0),
    ("logistic", t(0.0, L3), t(1.0, -1.0), (L2 + math.log(4)) / 2),
    ("multiclass_hinge", t([0.5, -2.0, -3.0]), torch.tensor([0]), 0.0),
    ("multiclass_hinge", t([0.5, 1.0, -3.0]), torch.tensor([0]), 1.5),
    ("multiclass_hinge(margin=2)", t([0.5, -1.0, -3.0]), torch.tensor([0]), 0.5),
    # half and half: max(0.5 + 0.5, 1 + 0.5, -3 + 1) - 0.75
    ("multiclass_hinge", t([0.5, 1.0, -3.0]), t([0.5, 0.5, 0.0]), 0.75),
    # classes 0 and 2 ahead of 1: 1 - 2 + 1.5 and 1 - 0.5 + 1.5, over 3
    ("multilabel_margin", t([2.0, 1.5, 0.5]), t([1.0, 0.0, 1.0]), 2.5 / 3),
    ("multilabel_margin", t([2.0, 1.5, 0.5]), t([1.0, 1.0, 1.0]), 0.0),
    ("listwise_softmax", t([0.0, L3]), t([2.0, 1.0]), 2 * math.log(4) + math.log(4 / 3)),
    # one of four is positive: it weighs 3/4, the others 1/4 each
    ("balanced_bce(sigmoid)", t([0.0, 0.0, 0.0, 0.0]), t([1.0, 0.0, 0.0, 0.0]), (0.75 + 3 * 0.25) * L2 / 4),
    ("balanced_bce(identity)", t([0.25, 0.5]), t([1.0, 0.0]), (0.5 * math.log(4) + 0.5 * L2) / 2),
    ("balanced_bce(sigmoid)", t([5.0, -5.0]), t([1.0, 1.0]), 0.0),
    # wrong by 0.25, 0.25 and 0.75: two bins hold something, and weigh 3 / (2 · 2) and 3 / (2 · 1)
    ("ghm_c(identity)", t([0.25, 0.25, 0.25]), t([0.0, 0.0, 1.0]),
     (2 * 0.75 * math.log(4 / 3) + 1.5 * math.log(4)) / 3),
    ("ghm_c(identity, bins=1)", t([0.25, 0.25, 0.25]), t([0.0, 0.0, 1.0]), (2 * math.log(4 / 3) + math.log(4)) / 3),
    # e = 0, 3 and 4 at μ = 3: gradients 0, 0.71 and 0.8, one a bin of ten
    ("ghm_r(mu=3)", t(0.0, 3.0, 4.0), t(0.0, 0.0, 0.0), (math.sqrt(18) - 3 + 2) / 3),
    # of four bins the last two are one
    ("ghm_r(mu=3, bins=2)", t(0.0, 3.0, 4.0), t(0.0, 0.0, 0.0), (0.75 * (math.sqrt(18) - 3) + 0.75 * 2) / 3),
]  # fmt: skip


@pytest.mark.parametrize(("text", "pred", "target", "number"), BY_HAND, ids=[row[0] for row in BY_HAND])
def test_by_hand(text: str, pred: Tensor, target: Tensor, number: float):
    value, grad = both(lambda x: compiled(text)(x, target), pred)
    assert value.item() == pytest.approx(number, rel=1e-9, abs=1e-9)
    assert grad.isfinite().all()


@pytest.mark.parametrize(("k", "wrong"), [(1, 1.0), (2, 0.5), (3, 0.5), (4, 0.0), (5, 0.0)])
def test_topk_error_by_hand(k: int, wrong: float):
    pred, target = t([3.0, 2, 1, 0], [3.0, 2, 1, 0]), torch.tensor([1, 3])
    out = compiled(f"ce + metric(topk_error(k={k}))").detail(pred, target)
    assert out.values[1].item() == wrong


def test_a_constant_prediction_is_not_all_right():
    """Of equal probabilities the first k are taken, as argmax does: a collapsed network is wrong mostly."""
    out = compiled("ce + metric(topk_error(k=2)) + metric(topk_error(k=1)) + metric(zero_one)")
    values = out.detail(torch.zeros(4, 4), torch.arange(4)).values
    assert values[1:].tolist() == [0.5, 0.75, 0.75]


# -------------------------------------------------------------------- recorded numbers

LOGITS = t([-1.69, 1.12, -0.25], [0.89, 1.91, 0.15], [0.0, -1.71, -0.93], [0.0, 0.72, 1.21])
SCORES = t([0.7, 0, 0], [0, 0, 0.4], [0, 0.9, 0], [0, 0, 0])
ONE_OR_NONE = t([1.0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0])
CLASS = torch.tensor([0, 2, 1, 2])
ONE_HOT = F.one_hot(CLASS, 3).double()
BOXES = t([2.79, 2.67, 2.09, -0.17], [2.05, -2.21, -1.15, -0.22], [1.45, -0.09, -2.18, -0.94])
TRUE_BOXES = t([-1.05, -1.2, -2.01, -0.51], [-0.31, 1.65, 1.78, 0.13], [-0.24, 1.67, 2.32, 1.05])
BINS = t([0.13, 1.19, 1.9, -0.9, -1.32], [1.51, 1.64, -1.21, -0.23, 0.88], [1.38, -1.33, 0.66, 1.23, 0.2])
PEAKS = t([1.0, 0.3, 0], [0, 1, 0.6], [0.2, 0.5, 1], [0, 0, 0])
KERAS = t([0.7, 0.3, 0], [0.2, 0.2, 0.6], [0.6, 0.4, 0], [0.2, 0.2, 0.6])
OPTAX, OPTAX_SOFT = t([4.0, 2, 1], [0, 5, 1]), t([1.0, 0, 0], [0, 0.8, 0.2])
BINARY = torch.tensor([[0, 1], [0, 0]])
PIXELS = t([[[1.0, 1], [0.5, 0]], [[1, 1], [0.5, 0]], [[1, 1], [0.5, 0]]])

# library, its call, our program, prediction, target, what it gave, and how exactly it was written down
RECORDED: list[Any] = [
    # mmdet 3.3.0, mmdet/models/losses, in float64; weights and factors in float32, and so some to 7 digits
    ("mmdet", "QualityFocalLoss()", "quality_focal(like=mmdet)", LOGITS, SCORES, 1.5494703064061095, 1e-9),
    ("mmdet", "VarifocalLoss()", "varifocal(like=mmdet)", LOGITS, SCORES, 0.5325279749919186, 1e-9),
    ("mmdet", "GaussianFocalLoss()", "gaussian_focal(like=mmdet)", torch.sigmoid(LOGITS), PEAKS,
     0.37723556306821315, 1e-6),
    ("mmdet", "DistributionFocalLoss()", "dfl(like=mmdet)", BINS, t(0.3, 2.75, 1.5), 2.5963638719423288, 1e-9),
    ("mmdet", "GHMC(bins=10, momentum=0)", "ghm_c(like=mmdet)", LOGITS, ONE_HOT, 0.9918455507174576, 2e-7),
    ("mmdet", "GHMR(mu=0.02, bins=10, momentum=0)", "ghm_r(like=mmdet)", BOXES, TRUE_BOXES,
     2.6126577210872126, 2e-7),
    ("mmdet", "GHMR(mu=1.0, bins=5, momentum=0)", "ghm_r(like=mmdet, mu=1, bins=5)", BOXES, TRUE_BOXES,
     1.1617613975469738, 2e-7),
    ("mmdet", "FocalLoss()", "focal(like=mmdet)", LOGITS, ONE_OR_NONE, 0.3604569806199874, 1e-9),
    ("mmdet", "FocalLoss(gamma=1.5, alpha=0.4)", "focal(like=mmdet, gamma=1.5, alpha=0.4)", LOGITS, ONE_OR_NONE,
     0.38517800407375313, 1e-9),
    ("mmdet", "CrossEntropyLoss()", "ce(like=mmdet)", LOGITS, CLASS, 2.0205902221873666, 1e-9),
    ("mmdet", "CrossEntropyLoss(class_weight=[0.2, 1, 3])", "ce(like=mmdet, class_weight=[0.2, 1, 3])", LOGITS,
     CLASS, 2.8211905638380324, 1e-9),
    ("mmdet", "CrossEntropyLoss(ignore_index=2, avg_non_ignore=True)", "ce(ignore_index=2)", LOGITS,
     CLASS, 2.6239172866790166, 2e-7),
    ("mmdet", "CrossEntropyLoss(use_sigmoid=True)", "bce(like=mmdet)", LOGITS, CLASS, 1.0594536066055298, 2e-7),
    ("mmdet", "CrossEntropyLoss(use_sigmoid=True, class_weight=[0.2, 1, 3])",
     "bce(like=mmdet, pos_weight=[0.2, 1, 3])", LOGITS, CLASS, 1.0824867486953735, 2e-7),
    # torch 2.13.0, torch/nn/modules/loss.py, float64
    ("torch", "SoftMarginLoss()", "logistic(like=torch)", t(-0.48, -1.74, -0.85, 1.64, -1.15, -0.19),
     t(1.0, -1, 1, -1, 1, -1), 1.029046113140666, 1e-9),
    ("torch", "MultiLabelMarginLoss()", "multilabel_margin(like=torch)", LOGITS,
     t([1.0, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 0]), 0.515, 1e-9),
    ("torch", "MultiLabelSoftMarginLoss()", "multilabel_soft_margin_loss", LOGITS,
     t([1.0, 0, 0], [0, 0, 1], [1, 1, 1], [0, 0, 1]), 1.1369537413404485, 1e-9),
    ("torch", "MultiMarginLoss(p=2)", "multi_margin(like=torch, p=2)", LOGITS, CLASS, 3.490625, 1e-9),
    # keras, keras/src/losses/losses_test.py:2280, 2293, 1755, 338, 399, 1027, float32
    ("keras", "CategoricalGeneralizedCrossEntropy()", "gce(like=keras)", KERAS, torch.tensor([0, 1, 0, 1]),
     0.7471580566122626, 1e-6),
    ("keras", "CategoricalGeneralizedCrossEntropy(q=0.8)", "gce(like=keras, q=0.8)", KERAS,
     torch.tensor([0, 1, 0, 1]), 0.6349405258801546, 1e-6),
    ("keras", "BinaryFocalCrossentropy(gamma=2.0)", "focal(like=keras)", t([0.9, 0.8], [0.7, 0.2]),
     t([1.0, 0], [1, 0]), 0.268, 2e-3),
    ("keras", "Hinge()", "hinge(like=keras)", t([0.6, 0.4], [0.4, 0.6]), BINARY, 1.3, 1e-6),
    ("keras", "SquaredHinge()", "squared_hinge(like=keras)", t([0.6, 0.4], [0.4, 0.6]), BINARY, 1.86, 1e-6),
    ("keras", "BinaryCrossentropy()", "bce(like=keras)", t([0.9, 0.1, 0.2], [0.3, 0.8, 0.1], [0.1, 0.2, 0.7]),
     torch.eye(3, dtype=torch.float64), 0.20046903, 1e-6),
    # optax, optax/losses/_classification_test.py:395, 511, 666, 486, float32 to four digits
    ("optax", "poly_loss_cross_entropy(logits, labels)", "poly(like=optax, reduction=none)", OPTAX, OPTAX_SOFT,
     [0.4823, 1.2567], 3e-4),
    ("optax", "poly_loss_cross_entropy(epsilon=-0.5)", "poly(epsilon=-0.5, reduction=none)", OPTAX, OPTAX_SOFT,
     [0.0917, 0.7168], 1e-3),
    ("optax", "multiclass_hinge_loss(scores, labels)", "multiclass_hinge(like=optax, reduction=none)",
     t([10.0, 3], [11, -2]), torch.tensor([1, 0]), [8.0, 0.0], 1e-9),
    ("optax", "perceptron_loss(outputs, targets)", "perceptron(like=optax, reduction=none)", t(10.0, 20),
     t(1.0, -1), [0.0, 20.0], 1e-9),
    ("optax", "hinge_loss(outputs, targets)", "hinge(like=optax, reduction=none)", t(10.0, 20), t(1.0, -1),
     [0.0, 21.0], 1e-9),
    ("optax", "sigmoid_focal_loss(alpha=1, gamma=0)", "focal(like=optax, alpha=1, gamma=0, reduction=none)",
     t([2.0, 0.1, -2], [0.3, -0.1, 1.2]), t([0.0, 0, 1], [1, 0, 0]), [[0, 0, 2.126928], [0.55435526, 0, 0]], 1e-6),
    # optax/losses/_ranking.py, the examples of its documentation, to three digits
    ("optax", "ranking_softmax_loss(scores, labels)", "listwise_softmax(like=optax)", t([2.0, 1, 3]),
     t([1.0, 0, 0]), 1.408, 5e-4),
    # MONAI, tests/losses/test_focal_loss.py:86, float32 to five digits
    ("monai", "FocalLoss(to_onehot_y=True)", "focal(like=monai)", PIXELS, torch.tensor([[[0, 1], [2, 0]]]),
     0.34959, 2e-5),
    ("monai", "FocalLoss(to_onehot_y=True, alpha=0.8)", "focal(like=monai, alpha=0.8)", PIXELS,
     torch.tensor([[[0, 1], [2, 0]]]), 0.08423, 2e-4),
    # after a softmax its mean divides by the three classes too
    ("monai", "FocalLoss(to_onehot_y=True, use_softmax=True)", "focal(softmax) / 3", PIXELS,
     torch.tensor([[[0, 1], [2, 0]]]), 0.16276, 5e-5),
    # fvcore, tests/test_focal_loss.py:151, float32
    ("fvcore", "sigmoid_focal_loss(gamma=0, reduction='mean')", "focal(like=fvcore, gamma=0)",
     t([-2.944439, 2.1972244], [0.08004263, -0.20067078], [2.090741, 1.3862945], [-0.4473123, 0.0]),
     t([1.0, 0], [1, 0], [1, 1], [0, 1]), 1.0096501, 1e-6),
    # smp, tests/test_losses.py:303, 314: it counts the ignored one of 4 and of 5
    ("smp", "SoftCrossEntropyLoss(smooth_factor=0.1)", "0.75*ce(label_smoothing=0.1)",
     18 * torch.eye(4, dtype=torch.float64) - 9, torch.tensor([0, 1, -100, 3]), 1.0125, 1e-4),
    ("smp", "SoftBCEWithLogitsLoss(smooth_factor=0.1)", "bce(sigmoid, ignore_index=-100, reduction=mean_all, label_smoothing=0.2)",
     t(-9.0, 9, 1, 9, -9), torch.tensor([0, 1, -100, 1, 0]), 0.7201, 1e-4),
]  # fmt: skip


@pytest.mark.parametrize(
    ("library", "call", "text", "pred", "target", "number", "rtol"),
    RECORDED,
    ids=[row[1] for row in RECORDED],
)
def test_recorded(library: str, call: str, text: str, pred: Tensor, target: Tensor, number: Any, rtol: float):
    found = compiled(text)(pred, target)
    torch.testing.assert_close(
        found, t(number)[0], rtol=rtol, atol=1e-4 if isinstance(number, list) else 1e-12
    )


def test_presets_say_no_more_than_they_have_to():
    """A preset that is empty says that our defaults are theirs, and one that is not differs from them."""
    for loss in current_registry().all(Loss):
        if loss.origin.split(".")[-2] in ("focal", "margin", "balance", "classification"):
            for library, preset in loss.like.items():
                assert losslang.check(f"{loss.name}({preset.options})") == () or loss.metric_only, (
                    loss.name,
                    library,
                )


def test_timm():
    """timm 1.0.31, written once more as its code stands: it is not installed here."""
    x, y = LOGITS, ONE_HOT
    p = torch.sigmoid(x)
    rest = (1 - p + 0.05).clamp(max=1)
    wanted = -(y * torch.log(p) * (1 - p) + (1 - y) * torch.log(rest) * (1 - rest) ** 4).sum() / 4
    torch.testing.assert_close(compiled("asl(like=timm)")(x, CLASS), wanted)
    log_p = torch.log_softmax(x, 1)
    focus = torch.where(y > 0, 1 - log_p.exp(), log_p.exp() ** 4)
    wanted = -((0.9 * y + 0.1 / 3) * focus * log_p).sum(1).mean()
    torch.testing.assert_close(compiled("asl_single(like=timm)")(x, CLASS), wanted)
    wanted = F.cross_entropy(x, CLASS) + 2 * (1 - (y * log_p.exp()).sum(1)).mean()
    torch.testing.assert_close(compiled("poly(like=timm)")(x, CLASS), wanted)
    wanted = F.cross_entropy(x, CLASS, label_smoothing=0.1)
    torch.testing.assert_close(compiled("ce(like=timm)")(x, CLASS), wanted)


# -------------------------------------------------------------------- what others get wrong


def test_the_last_bin_is_a_place_like_any_other():
    """mmdet raises IndexError there, since it looks for the bin behind it."""
    pred = real(3, 8)
    for position in (7.0, 6.999999999):
        value, grad = both(lambda x, at=position: compiled("dfl")(x, torch.full((3,), at)), pred)
        torch.testing.assert_close(value, F.cross_entropy(pred, torch.full((3,), 7)), rtol=1e-6, atol=0)
        assert grad.isfinite().all()


def test_one_bin():
    assert compiled("dfl")(real(3, 1), torch.zeros(3)).item() == 0


def test_the_true_class_is_no_rival():
    """keras has max((1 - t) x), in which it is a 0: 0.5 here, though the margin of 1 is kept."""
    scores, truth = t([0.5, -2.0]), F.one_hot(torch.tensor([0]), 2).double()
    of_keras = (((1 - truth) * scores).amax(1) - (truth * scores).sum(1) + 1).clamp(min=0)
    assert of_keras.item() == 0.5
    assert compiled("multiclass_hinge")(scores, torch.tensor([0])).item() == 0


def test_tempered_probabilities_add_up_to_1():
    """The five steps of a fixed point of the authors' code leave 1.02 in the worst of these rows."""
    logits = 3 * torch.randn(200, 1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    from losslang.losses.label_noise import _log_tempered_softmax  # pyright: ignore[reportPrivateUsage]

    ours = _log_tempered_softmax(logits, 1.2, 5).exp().sum(1)
    assert (ours - 1).abs().max() < 1e-12
    below = logits - logits.amax(1, keepdim=True)
    scaled = below
    for _step in range(5):
        scaled = below * (1 - 0.2 * scaled).pow(-5).sum(1, keepdim=True).pow(-0.2)
    whole = (1 - 0.2 * scaled).pow(-5).sum(1, keepdim=True)
    theirs = (1 - 0.2 * below * whole.pow(-0.2)).pow(-5) / whole
    assert (theirs.sum(1) - 1).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("options", "target", "numbers"),
    [
        ("t1=0.5, t2=1.5", t([0.2, 0.3, 0.5], [0.6, 0.3, 0.1], [0.2, 0.8, 0.0]),
         [0.02301914, 0.18972909, 0.93874922]),
        # their smoothing of 0.1 is 0.15 here
        ("t1=0.5, t2=1.5, label_smoothing=0.15", torch.arange(3), [0.76652711, 0.08627685, 1.35443510]),
    ],
)  # fmt: skip
def test_bi_tempered_of_its_authors(options: str, target: Tensor, numbers: list[float]):
    """google/bi-tempered-loss, tensorflow/loss_test.py: test_loss_value and test_label_smoothing."""
    pred = t([-0.5, 0.1, 2.0], [0.1, 1.5, -5.0], [4.0, -3.0, -6.0])
    found = compiled(f"bi_tempered({options}, reduction=none)")(pred, target)
    torch.testing.assert_close(found, t(*numbers), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("t1", "t2", "number"), [(0.9, 1.1, 0.45677936), (0.8, 1.2, 0.34298314), (0.7, 1.3, 0.26295574)]
)
def test_bi_tempered_at_other_temperatures(t1: float, t2: float, number: float):
    """The same file, test_dynamic_temperatures. At t1 = t2 = 1 it has the cross entropy, 1.66, which is no limit."""
    found = compiled(f"bi_tempered(t1={t1}, t2={t2})")(t([-0.5, 0.1, 2.0]), t([0.2, 0.5, 0.3]))
    assert found.item() == pytest.approx(number, abs=1e-5)


@pytest.mark.parametrize(
    "options", ["", "t1=1", "t2=1", "t2=1.0001", "t2=3, t1=0.2", "iters=2", "label_smoothing=0.1"]
)
def test_bi_tempered_has_the_gradient_of_what_it_computes(options: str):
    """And the second derivative, of a normaliser that is found and not computed."""
    loss = compiled(f"bi_tempered({options})" if options else "bi_tempered")
    pred = real(2, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, Y[:2]), (pred,), atol=1e-6)
    if options != "iters=2":
        assert torch.autograd.gradgradcheck(lambda x: loss(x, Y[:2]), (pred,), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 80.0, 1e4, -1e4])
@pytest.mark.parametrize(
    "text", [*(p for p in PROGRAMS if not p.startswith("ghm_r")), "bi_tempered(t2=1.001)"]
)
def test_finite_whatever_the_logits(text: str, size: float, dtype: torch.dtype):
    for target in (torch.zeros_like(YS), YS):
        pred = torch.full(XS.shape, size, dtype=dtype)
        pred[:, 0] = 0
        value, grad = both(lambda x, y=target: compiled(text)(x, y), pred)
        assert value.isfinite()
        assert grad.isfinite().all()


@pytest.mark.parametrize(
    "text",
    [text for text in PROGRAMS if "sigmoid" in text] + ["gce", "poly", "asl_single"],
)
def test_finite_at_given_probabilities_of_0_and_1(text: str):
    """No log(p + ε), which would bend the value: the logarithm is held at -100 and has no slope there."""
    text = text.replace("sigmoid", "identity")
    text = text if "identity" in text else with_options(text, "reduction=mean").replace("(", "(identity, ", 1)
    truth = F.one_hot(YS, 3).movedim(-1, 1).double()
    for pred in (truth, 1 - truth):
        value, grad = both(lambda x: compiled(text)(x, truth), pred)
        assert value.isfinite()
        assert grad.isfinite().all()
        assert value.item() == 0 or not torch.equal(pred, truth)


# -------------------------------------------------------------------- every logit

STEPS = torch.cat([torch.linspace(-30, 30, 241), torch.tensor([0.0, -0.0, 17, -17, 87, -87, 1e4, -1e4])])
EXACT = [
    "bce(sigmoid)", "bce(sigmoid, pos_weight=3)", "balanced_bce(sigmoid)", "ghm_c(sigmoid, bins=1)",
    "focal(sigmoid)", "focal(sigmoid, gamma=1.5, alpha=0.3)", "focal(sigmoid, gamma=3)", "quality_focal(sigmoid)",
    "varifocal(sigmoid)", "gaussian_focal(sigmoid)", "asl(sigmoid, clip=0)",
]  # fmt: skip


def close_to_itself(text: str, found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> None:
    """To 1e-6 of each number; a fourth power, and the slope of a probability near 1, to 5e-6. What no float32 holds is 0."""
    rtol = 1e-6 if "bce" in text or "ghm" in text else 5e-6
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=rtol, atol=1e-36)


@pytest.mark.parametrize("way", ["small", "large", "traced", "differentiated"])
@pytest.mark.parametrize("text", EXACT)
def test_every_element_is_exact(text: str, way: str):
    """float32 is float64 to a rounding of itself, value and gradient, wherever the target is 0 or 1.

    torch's kernel gives 4.5776e-05 for x = -10 of a negative (4.5399e-05), 0 for x = -15, and no gradient for x = 17
    of a positive.
    """
    pred = torch.cat([STEPS, STEPS])[None, None].repeat(1, 1, 70 if way == "large" else 1)
    target = (torch.arange(pred.numel()) // len(STEPS) % 2).float().view_as(pred)
    loss = compiled(with_options(text, "reduction=none"))
    wanted = both(lambda x: loss(x, target.double()), pred.double())
    if way == "differentiated":
        # A target that is learned is differentiated by torch.
        found = both(lambda x: loss(x, target.clone().requires_grad_()), pred)
    elif way == "traced":
        torch._dynamo.reset()
        found = both(lambda x: torch.compile(loss, fullgraph=True, backend="eager")(x, target), pred)
    else:
        found = both(lambda x: loss(x, target), pred)
    close_to_itself(text, found, wanted)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(
    "text",
    ["bce(sigmoid)", "focal(sigmoid)", "focal(sigmoid, gamma=3, alpha=0.3)", "bce(sigmoid, reduction=sum)"],
)
def test_every_sum_in_closed_form_is_exact(text: str, soft: bool, monkeypatch: pytest.MonkeyPatch):
    """A tensor of one logit: nothing hides beside another. Beside a soft label the others are as exact."""
    monkeypatch.setattr(AutogradEvaluator, "gradients", None)
    calls: list[tuple[Tensor, Tensor]] = []
    for truth, x in product((0.0, 1.0), STEPS[::7].tolist()):
        pred, target = torch.full((1, 1, 5, 7), x), torch.full((1, 1, 5, 7), truth)
        if soft:
            pred[0, 0, 2, 3], target[0, 0, 2, 3] = 2.0, 0.25
        calls.append((pred, target))
    with cut(14):
        walked = compiled(text)
        found = [both(lambda p, t=target: walked(p, t), pred) for pred, target in calls]
    whole = compiled(text)
    for one, (pred, target) in zip(found, calls, strict=True):
        wanted = both(lambda p, t=target: whole(p, t.double()), pred.double())
        close_to_itself(text, one, wanted)


@pytest.mark.parametrize(
    ("x", "truth", "value", "slope"),
    [
        (-10.0, 0.0, 4.5398899217e-05, 4.5397868702e-05),
        (-15.0, 0.0, 3.0590227e-07, 3.0590222e-07),
        (17.0, 1.0, 4.1399376e-08, -4.1399375e-08),
        (17.0, 0.0, 17.0000000414, 1.0),
        (0.0, 1.0, math.log(2), -0.5),
    ],
)
@pytest.mark.parametrize("size", [2, 2**15, 2**21])
def test_bce_of_any_size(x: float, truth: float, value: float, slope: float, size: int):
    """The last is in closed form: the same number as one of two elements."""
    pred, target = torch.full((1, 1, size), x), torch.full((1, 1, size), truth)
    found, grad = both(lambda p: compiled("bce(sigmoid)")(p, target), pred)
    assert found.item() == pytest.approx(value, rel=1e-6)
    assert grad.amax().item() * size == pytest.approx(slope, rel=1e-6)
    assert grad.amin().item() * size == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("text", ["bce(sigmoid)", "bce(sigmoid, pos_weight=3)", "balanced_bce(sigmoid)"])
def test_soft_labels_near_a_sure_one_are_exact(text: str):
    """x - t x would be x to a rounding of x."""
    pred = torch.linspace(-30, 30, 241)[None].repeat(4, 1)
    target = torch.tensor([0.001, 0.3, 0.999, 1.0])[:, None].expand_as(pred)
    loss = compiled(with_options(text, "reduction=none"))
    found, wanted = loss(pred, target), loss(pred.double(), target.double())
    torch.testing.assert_close(found.double(), wanted, rtol=1e-6, atol=0)


@pytest.mark.parametrize("text", ["bce(sigmoid)", "bce(sigmoid, pos_weight=3)", "focal(sigmoid, gamma=0)"])
@pytest.mark.parametrize("repeats", [1, 70])
def test_a_label_of_nearly_nothing_is_no_sure_one(text: str, repeats: int):
    """1 - 2 t is 1 for t = 1e-9, which is a value of 3e-8 where p is nearly 0."""
    pred = torch.linspace(-30, 30, 241)[None].repeat(1, repeats)
    loss, target = compiled(with_options(text, "reduction=none")), torch.full_like(pred, 1e-9)
    found, wanted = loss(pred, target), loss(pred.double(), target.double())
    torch.testing.assert_close(found.double(), wanted, rtol=1e-6, atol=0)


def test_zero_is_a_logit_with_a_slope():
    """|x| has none at 0, and -0 is no other logit: zeros are what a layer starts with."""
    for pred in (torch.zeros(1, 4), -torch.zeros(1, 4), torch.zeros(1, 20_000)):
        for truth in (0.0, 0.25, 1.0):
            target = torch.full_like(pred, truth)
            _, grad = both(lambda x, t=target: compiled("bce(sigmoid, reduction=sum)")(x, t), pred)
            assert torch.equal(grad, 0.5 - target)


def test_no_slope_at_a_probability_of_0():
    """The value is held at -100 there. torch has -1e12: one step of that size, where a clamp made the 0."""
    for text in ("bce", "ce(identity)", "focal(identity, gamma=0)"):
        value, grad = both(lambda p, text=text: compiled(text)(p, t([1.0, 0.0])), t([0.0, 1.0]))
        assert value.item() == 100
        assert torch.equal(grad, t([0.0, 0.0]))


def test_nan_is_no_probability():
    """It was a certainty: 100, with no gradient. Where values are looked at it is refused."""
    nothing = torch.tensor([[math.nan]], requires_grad=True)
    value = compiled("bce", validate="never")(nothing, torch.ones(1, 1))
    (grad,) = torch.autograd.grad(value, nothing)
    assert value.isnan()
    assert grad.isnan()
    with pytest.raises(losslang.LossError, match="E507"):
        compiled("bce")(nothing, torch.ones(1, 1))


# -------------------------------------------------------------------- weights from the batch


@pytest.mark.parametrize("text", ["balanced_bce(sigmoid)", "ghm_c(sigmoid)", "ghm_r"])
def test_what_is_masked_is_not_in_the_batch(text: str):
    """Not in the counts either: the value is that of the elements that are left, as one batch."""
    pred, target = real(4, 3, 5), (unit(4, 3, 5) > 0.7).double()
    mask = unit(4, 3, 5) > 0.5
    loss = compiled(with_options(text, "mask=batch.mask"))
    value, grad = both(lambda x: loss(x, target, mask=mask), pred)
    left = both(lambda x: compiled(text)(x, target[mask][:, None]), pred[mask][:, None])
    same((value, grad[mask][:, None]), left)
    assert grad[~mask].abs().sum() == 0
    hidden = both(lambda x: loss(x, target, mask=mask), torch.where(mask, pred, torch.nan))
    same(hidden, (value, grad))


@pytest.mark.parametrize(
    "text", ["balanced_bce(sigmoid)", "ghm_c(sigmoid)", "ghm_r", "ghm_c(sigmoid, momentum=0.5)"]
)
def test_an_empty_batch_weighs_nothing(text: str):
    loss = compiled(with_options(text, "mask=batch.mask"))
    for pred, mask in ((real(3, 2), torch.zeros(3)), (real(0, 2), torch.zeros(0))):
        value, grad = both(lambda x, m=mask: loss(x, torch.zeros_like(x), mask=m), pred)
        assert value.item() == 0
        assert grad.abs().sum() == 0


def test_edges_are_few_and_weigh_as_much():
    """However many negatives there are: the sums over both kinds are alike for equal probabilities."""
    for n in (10, 1000):
        target = torch.zeros(1, n, dtype=torch.float64)
        target[0, :2] = 1
        _, grad = both(lambda x, y=target: compiled("balanced_bce(sigmoid)")(x, y), torch.zeros_like(target))
        assert grad[0, :2].sum().item() == pytest.approx(-grad[0, 2:].sum().item(), rel=1e-12)


def test_each_bin_has_the_same_say():
    pred = torch.cat([torch.full((90,), -3.0), torch.full((9,), 0.1), torch.full((1,), 3.0)]).double()[None]
    loss = compiled("ghm_c(sigmoid, reduction=none)")
    weights = loss(pred, torch.zeros_like(pred)) / F.softplus(pred)
    torch.testing.assert_close(weights[0, [0, 95, 99]], t(100 / 270, 100 / 27, 100 / 3))


def test_harmony_has_no_slope_of_its_own():
    """The weights are numbers: the gradient is that of the weighted entropy."""
    pred, target = real(1, 50), (unit(1, 50) > 0.5).double()
    _, grad = both(lambda x: compiled("ghm_c(sigmoid)")(x, target), pred)
    values = compiled("ghm_c(sigmoid, reduction=none)")(pred, target)
    weights = values / F.binary_cross_entropy_with_logits(pred, target, reduction="none")
    torch.testing.assert_close(grad, weights * (torch.sigmoid(pred) - target) / 50, rtol=1e-9, atol=1e-12)


def test_memory_runs():
    """acc <- μ acc + (1 - μ) n for the bins that hold something, as mmdet's `acc_sum`."""
    loss = compiled("ghm_c(identity, momentum=0.75, bins=4)")
    pred, target = t([0.1, 0.1, 0.9]), t([0.0, 0.0, 0.0])
    logs = -torch.log(1 - pred)[0]
    wanted_memory = [t(0.5, 0, 0, 0.25), t(0.875, 0, 0, 0.4375)]
    for memory in wanted_memory:
        value = loss(pred, target)
        weights = torch.stack([memory[0], memory[0], memory[3]]).reciprocal() * 3 / 2
        torch.testing.assert_close(value, (weights * logs).mean(), rtol=1e-6, atol=0)
    state = loss.state_dict()
    (held,) = [v for k, v in state.items() if "memory" in k]
    torch.testing.assert_close(held.double(), wanted_memory[-1])
    other = copy.deepcopy(loss)
    torch.testing.assert_close(other(pred, target), loss(pred, target))


def test_without_momentum_nothing_is_remembered():
    loss = compiled("ghm_c(sigmoid) + ghm_r")
    first = loss(A, SCORE)
    loss(3 * A, SCORE)
    assert loss(A, SCORE) == first
    assert all(v.abs().sum() == 0 for k, v in loss.state_dict().items() if "memory" in k)


def test_nan_is_seen_and_does_not_crash():
    pred = t([0.5, math.nan, 1.0])
    assert compiled("ghm_c(sigmoid)")(pred, t([0.0, 1.0, 1.0])).isnan()


# -------------------------------------------------------------------- lists


def test_padded_lists_are_lists():
    """A masked item leaves the softmax; a sample without items counts nothing."""
    scores, relevance = real(3, 5), torch.randint(0, 3, (3, 5), generator=R).double()
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]).bool()
    loss = compiled("listwise_softmax(mask=batch.mask)")
    short = compiled("listwise_softmax")(scores[:1, :3], relevance[:1, :3])
    full = compiled("listwise_softmax")(scores[1:2], relevance[1:2])
    value, grad = both(lambda x: loss(x, relevance, mask=mask), scores)
    torch.testing.assert_close(value, (short + full) / 2)
    assert grad.isfinite().all()
    assert grad[~mask].abs().sum() == 0
    # optax's own example of it, to three digits
    found = loss(t([2.0, 1, 0], [1, 0.5, 1.5]), t([1.0, 0, 0], [0, 0, 1]), mask=t([1.0, 1, 0], [1, 1, 1]))
    assert found.item() == pytest.approx(0.497, abs=5e-4)


# -------------------------------------------------------------------- what is remembered


def test_the_memory_of_ghm_stays_in_float32():
    """Its counts are beyond float16, and a model in half precision takes its losses along."""
    x, t = torch.randn(3_000_000), (torch.rand(3_000_000) > 0.5).float()
    loss = compiled("ghm_c(sigmoid, momentum=0.5)").half()
    assert all(memory.dtype == torch.float32 for memory in loss.buffers())
    loss(x, t)
    assert all(memory.isfinite().all() for memory in loss.buffers())


def test_the_memory_of_ghm_moves_in_training_alone():
    loss = compiled("ghm_c(sigmoid, momentum=0.5)")
    x, t = torch.randn(4, 3), torch.ones(4, 3)
    loss(x, t)
    (memory,) = (m.clone() for m in loss.buffers())
    loss.eval()(-x, t)
    assert torch.equal(next(iter(loss.buffers())), memory)
    loss.train()(-x, t)
    assert not torch.equal(next(iter(loss.buffers())), memory)


def test_a_momentum_of_one_would_remember_nothing():
    assert [d.code for d in losslang.check("ghm_r(momentum=1)")] == ["E202"]


@pytest.mark.parametrize(
    "name",
    ["focal(identity, gamma=1.5)", "gaussian_focal(identity, alpha=1.5)", "varifocal(identity, gamma=1.5)"],
)
def test_a_probability_that_is_a_rounding_too_large(name: str):
    p = torch.tensor([[1.00005, -0.00005]], requires_grad=True)
    value = compiled(name)(p, torch.tensor([[1.0, 0.0]]))
    value.backward()
    assert value.isfinite()
    assert p.grad is not None
    assert p.grad.isfinite().all()


@pytest.mark.parametrize(
    "text", ["bce(sigmoid, pos_weight=0)", "bce(sigmoid, pos_weight=[0, 1])", "balanced_bce(sigmoid)"]
)
def test_a_weight_of_zero_forgives_what_is_ruled_out(text: str):
    """-log p of a logit of -inf is infinite; where it weighs nothing it costs nothing."""
    logits = torch.tensor([[-torch.inf, 2.0]]).requires_grad_()
    value = losslang.compile(text)(logits, torch.ones(1, 2))
    assert value.isfinite()
    (slope,) = torch.autograd.grad(value, logits)
    assert slope.isfinite().all()


@pytest.mark.parametrize(
    "text",
    [
        "focal(sigmoid, gamma=1.5)",
        "quality_focal(sigmoid, beta=1.5)",
        "varifocal(sigmoid, gamma=1.5)",
        "asl(sigmoid, gamma_neg=1.5, clip=0)",
    ],
)
def test_what_is_surely_right_has_no_second_derivative(text: str):
    """x^1.5 has an infinite one at 0, which a probability that underflows reaches."""
    pred = torch.tensor([[-110.0, 1.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(losslang.compile(text)(pred, torch.zeros(1, 2)), pred, create_graph=True)
    (bend,) = torch.autograd.grad((slope * slope).sum(), pred)
    assert bend[0, 0] == 0 < bend[0, 1]
