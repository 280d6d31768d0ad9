"""Each loss against torch's own (float64, to 1e-12, with gradient), and against numbers worked out by hand."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import losslang

R = torch.Generator().manual_seed(7)


def real(*shape: int) -> Tensor:
    return torch.randn(shape, generator=R, dtype=torch.float64)


def unit(*shape: int) -> Tensor:
    return torch.rand(shape, generator=R, dtype=torch.float64)


def compiled(text: str, **more: Any) -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        return losslang.compile(text, **more)


# -------------------------------------------------------------------- against torch

X, Y = real(6, 4), torch.tensor([0, 3, 1, 1, 2, 0])
XS, YS = real(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5), generator=R)
IGNORED = YS.masked_fill(unit(2, 4, 5) < 0.3, -100)
SOFT, SOFTS = torch.softmax(real(6, 4), 1), torch.softmax(real(2, 3, 4, 5), 1)
W4 = torch.tensor([0.2, 1.0, 3.0, 0.5], dtype=torch.float64)
W3 = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
P, T = unit(5, 3), unit(5, 3)
A, B = 2 * real(5, 3), 2 * real(5, 3)
V = unit(5, 3) + 0.01
E1, E2, E3 = real(5, 8), real(5, 8), real(5, 8)
COUNTS = torch.randint(0, 6, (5, 3), generator=R).double()
SIGNS = 2.0 * torch.randint(0, 2, (5, 3), generator=R).double() - 1
w4, w3 = "class_weight=[0.2, 1, 3, 0.5]", "class_weight=[0.2, 1, 3]"

TORCH: list[Any] = [
    # text, prediction, target, torch's, and keywords of the batch
    ("ce", X, Y, F.cross_entropy),
    ("cross_entropy", X, Y, F.cross_entropy),
    ("ce(reduction=sum)", X, Y, lambda x, t: F.cross_entropy(x, t, reduction="sum")),
    ("ce(reduction=none)", X, Y, lambda x, t: F.cross_entropy(x, t, reduction="none")),
    ("ce(reduction=none)", XS, IGNORED, lambda x, t: F.cross_entropy(x, t, reduction="none")),
    ("ce", XS, YS, F.cross_entropy),
    ("ce", XS, IGNORED, F.cross_entropy),
    ("ce(ignore_index=2)", XS, YS, lambda x, t: F.cross_entropy(x, t, ignore_index=2)),
    (f"ce({w4})", X, Y, lambda x, t: F.cross_entropy(x, t, W4)),
    (f"ce({w4}, reduction=sum)", X, Y, lambda x, t: F.cross_entropy(x, t, W4, reduction="sum")),
    (f"ce({w3})", XS, IGNORED, lambda x, t: F.cross_entropy(x, t, W3)),
    ("ce(label_smoothing=0.1)", XS, IGNORED, lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1)),
    (f"ce({w3}, label_smoothing=0.1)", XS, IGNORED, lambda x, t: F.cross_entropy(x, t, W3, label_smoothing=0.1)),
    ("ce", X, SOFT, F.cross_entropy),
    ("ce", XS, SOFTS, F.cross_entropy),
    (f"ce({w4})", X, SOFT, lambda x, t: F.cross_entropy(x, t, W4)),
    ("ce(label_smoothing=0.1)", X, SOFT, lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1)),
    (f"ce({w4}, label_smoothing=0.1)", X, SOFT,
     lambda x, t: F.cross_entropy(x, t, W4, label_smoothing=0.1)),
    ("ce(softmax(temperature=2))", X, Y, lambda x, t: F.cross_entropy(x / 2, t)),
    ("nll", torch.log_softmax(X, 1), Y, F.nll_loss),
    ("nll(ignore_index=1)", torch.log_softmax(X, 1), Y, lambda x, t: F.nll_loss(x, t, ignore_index=1)),
    ("nll", torch.log_softmax(XS, 1), IGNORED, F.nll_loss),
    (f"nll({w4}, reduction=sum)", torch.log_softmax(X, 1), Y, lambda x, t: F.nll_loss(x, t, W4, reduction="sum")),
    ("bce", P, T, F.binary_cross_entropy),
    ("bce(weight=batch.w)", P, T, lambda x, t: F.binary_cross_entropy(x, t, V), {"w": V}),
    ("bce(reduction=none)", P, T, lambda x, t: F.binary_cross_entropy(x, t, reduction="none")),
    ("bce(sigmoid)", A, T, F.binary_cross_entropy_with_logits),
    ("bce_with_logits", A, T, F.binary_cross_entropy_with_logits),
    ("bce(sigmoid, weight=batch.w)", A, T, lambda x, t: F.binary_cross_entropy_with_logits(x, t, V), {"w": V}),
    ("bce(sigmoid, pos_weight=2.5)", A, T,
     lambda x, t: F.binary_cross_entropy_with_logits(x, t, pos_weight=torch.tensor(2.5, dtype=torch.float64))),
    (f"bce(sigmoid, {w3.replace('class', 'pos')})", A, T,
     lambda x, t: F.binary_cross_entropy_with_logits(x, t, pos_weight=W3)),
    ("bce(sigmoid, pos_weight=const.w)", XS, SOFTS,
     lambda x, t: F.binary_cross_entropy_with_logits(x, t, pos_weight=W3[:, None, None])),
    ("mse", A, B, F.mse_loss),
    ("sse", A, B, lambda x, t: F.mse_loss(x, t, reduction="sum")),
    ("half_mse", A, B, lambda x, t: F.mse_loss(x, t) / 2),
    ("rmse", A, B, lambda x, t: F.mse_loss(x, t).sqrt()),
    ("l1", A, B, F.l1_loss),
    ("mae(reduction=sum)", A, B, lambda x, t: F.l1_loss(x, t, reduction="sum")),
    ("smooth_l1", A, B, F.smooth_l1_loss),
    ("smooth_l1(beta=0.3)", A, B, lambda x, t: F.smooth_l1_loss(x, t, beta=0.3)),
    ("smooth_l1(beta=0)", A, B, lambda x, t: F.smooth_l1_loss(x, t, beta=0.0)),
    ("huber", A, B, F.huber_loss),
    ("huber(delta=0.4)", A, B, lambda x, t: F.huber_loss(x, t, delta=0.4)),
    ("kl(exp)", torch.log_softmax(X, 1), SOFT, lambda x, t: F.kl_div(x, t, reduction="batchmean")),
    ("kl(softmax)", X, SOFT, lambda x, t: F.kl_div(F.log_softmax(x, 1), t, reduction="batchmean")),
    ("kl(softmax, reduction=sum)", XS, SOFTS, lambda x, t: F.kl_div(F.log_softmax(x, 1), t, reduction="sum")),
    ("kl(softmax)", XS, SOFTS, lambda x, t: F.kl_div(F.log_softmax(x, 1), t, reduction="batchmean")),
    ("kl(softmax, reduction=none)", X, SOFT, lambda x, t: F.kl_div(F.log_softmax(x, 1), t, reduction="none").sum(1)),
    ("gaussian_nll(variance=batch.v)", A, B, lambda x, t: F.gaussian_nll_loss(x, t, V), {"v": V}),
    ("gaussian_nll(variance=batch.v, full=true)", A, B, lambda x, t: F.gaussian_nll_loss(x, t, V, full=True), {"v": V}),
    ("gaussian_nll(variance=batch.v, eps=0.5)", A, B, lambda x, t: F.gaussian_nll_loss(x, t, V, eps=0.5), {"v": V}),
    ("poisson_nll", A, COUNTS, F.poisson_nll_loss),
    ("poisson_nll(full=true)", A, COUNTS, lambda x, t: F.poisson_nll_loss(x, t, full=True)),
    ("poisson_nll(log_input=false)", A.abs(), COUNTS, lambda x, t: F.poisson_nll_loss(x, t, log_input=False)),
    ("poisson_nll(log_input=false, full=true, eps=0.1)", A.abs(), COUNTS,
     lambda x, t: F.poisson_nll_loss(x, t, log_input=False, full=True, eps=0.1)),
    ("multi_margin", X, Y, F.multi_margin_loss),
    ("multi_margin(p=2)", X, Y, lambda x, t: F.multi_margin_loss(x, t, p=2)),
    ("multi_margin(margin=0.4)", X, Y, lambda x, t: F.multi_margin_loss(x, t, margin=0.4)),
    (f"multi_margin({w4}, p=2, margin=2)", X, Y, lambda x, t: F.multi_margin_loss(x, t, p=2, margin=2, weight=W4)),
    (f"multi_margin({w4})", X, Y, lambda x, t: F.multi_margin_loss(x, t, weight=W4)),
    ("triplet@(pred, batch.p, batch.n)", E1, None, lambda x, t: F.triplet_margin_loss(x, E2, E3), {"p": E2, "n": E3}),
    ("triplet(margin=5, p=1)@(pred, batch.p, batch.n)", E1, None,
     lambda x, t: F.triplet_margin_loss(x, E2, E3, margin=5, p=1), {"p": E2, "n": E3}),
    ("triplet(margin=5, p=3.5, swap=true)@(pred, batch.p, batch.n)", E1, None,
     lambda x, t: F.triplet_margin_loss(x, E2, E3, margin=5, p=3.5, swap=True), {"p": E2, "n": E3}),
    ("triplet(swap=true, margin=0.1)@(pred, batch.p, batch.n)", E1, None,
     lambda x, t: F.triplet_margin_loss(x, E2, E3, margin=0.1, swap=True), {"p": E2, "n": E3}),
    ("cosine", E1, E2, lambda x, t: F.cosine_embedding_loss(x, t, torch.ones(5))),
    ("cosine(eps=9)", E1, E2, lambda x, t: (1 - F.cosine_similarity(x, t, eps=9)).mean()),
    ("hinge", A, SIGNS, lambda x, t: F.relu(1 - t * x).mean()),
    ("mse@(softplus(pred), target)", A, B, lambda x, t: F.mse_loss(F.softplus(x), t)),
    ("l1(sigmoid(temperature=0.5))", A, B, lambda x, t: F.l1_loss(torch.sigmoid(2 * x), t)),
]  # fmt: skip


def _case(row: Any) -> Any:
    """A row with its keywords filled in, under the name of its program."""
    return pytest.param(*row, *([{}] if len(row) == 4 else []), id=row[0])


@pytest.mark.parametrize(("text", "pred", "target", "torchs", "batch"), [_case(row) for row in TORCH])
def test_equals_torch(
    text: str, pred: Tensor, target: Any, torchs: Callable[..., Tensor], batch: dict[str, Tensor]
):
    x, y = pred.clone().requires_grad_(), pred.clone().requires_grad_()
    found = compiled(text, const={"w": W3} if "const.w" in text else None)(x, target, **batch)
    wanted = torchs(y, target)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    found.sum().backward()
    wanted.sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-11, atol=1e-12)
    assert x.grad.abs().sum() > 0


# -------------------------------------------------------------------- by hand

L2 = math.log(2)


def t(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def col(*values: float) -> Tensor:
    """Probabilities of one sample and one channel, (1, 1, n)."""
    return t(*values).reshape(1, 1, -1)


YES = col(1, 1, 0, 0)
HALF = col(0.5, 1, 0.5, 0)  # Σp = 2, Σt = 2, Σpt = 1.5, Σp² = 1.5, Σt² = 2

HEAD = "head=const.head"
SECOND = t([0.0, 0.0], [0.0, 1.0])
"""A head whose logits are 0 and the second number."""

BY_HAND: list[tuple[str, Any, Any, float]] = [
    # dice: 1 - (2·1.5 + s) / (2 + 2 + s)
    ("dice(identity, smooth=0)", HALF, YES, 1 - 3 / 4),
    ("dice(identity, smooth=1)", HALF, YES, 1 - 4 / 5),
    ("dice(identity)", HALF, YES, 1 - 3.00001 / 4.00001),
    # squared: the denominator is Σp² + Σt² = 1.5 + 2
    ("dice(identity, smooth=0, squared=true)", HALF, YES, 1 - 3 / 3.5),
    # absent from both: s/s, and the limit at s = 0
    ("dice(identity)", col(0, 0), col(0, 0), 0.0),
    ("dice(identity, smooth=0)", col(0, 0), col(0, 0), 0.0),
    ("dice(identity, smooth=0)", col(1, 1), col(0, 0), 1.0),
    ("dice(identity, empty=one)", col(0, 0), col(0, 0), 1.0),
    ("dice(identity, empty=zero)", col(1, 1), col(0, 0), 0.0),
    # skip: of two samples the one with no truth is not counted; the other gives 1 - 2/3
    ("dice(identity, smooth=0, empty=skip)", t([[1.0, 1]], [[1.0, 1]]), t([[0.0, 0]], [[1.0, 0]]), 1 - 2 / 3),
    ("dice(identity, smooth=0)", t([[1.0, 1]], [[1.0, 1]]), t([[0.0, 0]], [[1.0, 0]]), (1 + 1 / 3) / 2),
    # batch: sums over both samples, 1 - 2·1 / (4 + 1)
    ("dice(identity, smooth=0, batch=true)", t([[1.0, 1]], [[1.0, 1]]), t([[0.0, 0]], [[1.0, 0]]), 1 - 2 / 5),
    # jaccard: 1 - 1.5 / (2 + 2 - 1.5)
    ("jaccard(identity, smooth=0)", HALF, YES, 1 - 1.5 / 2.5),
    ("jaccard(identity, smooth=1)", HALF, YES, 1 - 2.5 / 3.5),
    # tversky: TP 1.5, FP 0.5, FN 0.5
    ("tversky(identity, smooth=0)", HALF, YES, 1 - 1.5 / 2),
    ("tversky(identity, alpha=1, beta=0, smooth=0)", col(1, 1, 0, 0), col(1, 0, 0, 0), 1 - 1 / 2),  # FP alone
    ("tversky(identity, alpha=0, beta=1, smooth=0)", col(1, 1, 0, 0), col(1, 0, 0, 0), 0.0),
    ("tversky(identity, alpha=0.3, beta=0.7, smooth=1)", col(1, 1, 0, 0), col(1, 0, 1, 0), 1 - 2 / 3.0),
    ("focal_tversky(identity, smooth=0)", HALF, YES, 0.25**0.75),
    ("focal_tversky(identity, smooth=0, gamma=2)", HALF, YES, 0.25**2),
    # focal: -(1 - 1/2)² log(1/2) = log 2 / 4 for either label; alpha 1/4 for yes, 3/4 for no
    ("focal(sigmoid)", t([0.0]), t([1.0]), L2 / 4),
    ("focal(sigmoid, gamma=0)", t([0.0]), t([0.0]), L2),
    ("focal(sigmoid, alpha=0.25)", t([0.0]), t([1.0]), L2 / 16),
    ("focal(sigmoid, alpha=0.25)", t([0.0]), t([0.0]), 3 * L2 / 16),
    ("focal(sigmoid, alpha=0)", t([0.0]), t([1.0]), 0.0),
    # after a softmax: one value per sample; of four equal classes p = 1/4: (3/4)² log 4
    ("focal(softmax)", t([0.0, 0, 0, 0]), torch.tensor([2]), 9 / 16 * math.log(4)),
    ("focal(softmax, alpha=0.25)", t([0.0, 0, 0, 0]), torch.tensor([2]), 9 / 64 * math.log(4)),
    ("focal(softmax, alpha=0.25)", t([0.0, 0, 0, 0]), torch.tensor([0]), 27 / 64 * math.log(4)),
    # bce of given probabilities: torch's floor of -100
    ("bce", t(0.0, 1.0), t(1.0, 1.0), 50.0),
    ("bce", t(0.25), t(1.0), math.log(4)),
    # smoothing 0.2 makes 1 a 0.9: -(0.9 log 1/4 + 0.1 log 3/4)
    ("bce(label_smoothing=0.2)", t(0.25), t(1.0), -0.9 * math.log(0.25) - 0.1 * math.log(0.75)),
    # ce of given probabilities
    ("ce(identity)", t([0.5, 0.25, 0.25]), torch.tensor([1]), math.log(4)),
    # weights of the batch: classes 0, 0, 1 are N / (C N_c) = 3/4 and 3/2; every -log p is log 2
    ("ce(class_weight=balanced)", t([0.0, 0], [0, 0], [0, 0]), torch.tensor([0, 0, 1]), L2),
    ("ce(class_weight=balanced, reduction=mean)", t([0.0, 0], [0, 0], [0, 0]), torch.tensor([0, 0, 1]), L2),
    # complement: 1/3 and 2/3
    ("ce(class_weight=complement, reduction=sum)", t([0.0, 0], [0, 0], [0, 0]), torch.tensor([0, 0, 1]), 4 / 3 * L2),
    # pos_weight: one positive of four, weight 3
    ("bce(sigmoid, pos_weight=balanced)", t(0.0, 0, 0, 0), t(1.0, 0, 0, 0), 6 / 4 * L2),
    # regression
    ("rmse", t(0.0, 0.0), t(3.0, 4.0), math.sqrt(12.5)),
    ("sse", t(0.0, 0.0), t(3.0, 4.0), 25.0),
    ("half_mse", t(0.0, 0.0), t(3.0, 4.0), 6.25),
    ("log_cosh", t(1e4), t(0.0), 1e4 - L2),
    ("log_cosh", t(-1e4), t(0.0), 1e4 - L2),
    ("log_cosh", t(0.0), t(1.0), math.log(math.cosh(1))),
    ("charbonnier", t(0.0), t(0.0), 1e-3),
    ("charbonnier(eps=4)", t(3.0), t(0.0), 5.0),
    # tukey: c²/6 (1 - (1 - 1/4)³) at e = c/2, c²/6 beyond
    ("tukey(c=2)", t(1.0), t(0.0), 4 / 6 * (1 - 27 / 64)),
    ("tukey", t(100.0), t(0.0), 4.685**2 / 6),
    ("tukey", t(0.0), t(0.0), 0.0),
    # quantile: an underestimate costs q, an overestimate 1 - q
    ("quantile(q=0.9)", t(0.0), t(2.0), 1.8),
    ("quantile(q=0.9)", t(2.0), t(0.0), 0.2),
    ("quantile", t(2.0), t(0.0), 1.0),
    ("quantile(q=[0.1, 0.9])", t([0.0, 0.0], [3.0, 3.0]), t(1.0, 1.0), (0.1 + 0.9 + 0.9 * 2 + 0.1 * 2) / 4),
    ("smooth_l1(beta=2)", t(1.0, 5.0), t(0.0, 0.0), (0.25 + 4) / 2),
    ("huber(delta=2)", t(1.0, 5.0), t(0.0, 0.0), (0.5 + 8) / 2),
    # margins: 0 and 1 of integers and booleans are -1 and +1
    ("hinge", t(0.5, -2.0, 3.0), torch.tensor([1, 0, 0]), (0.5 + 0 + 4) / 3),
    ("hinge", t(0.5, -2.0, 3.0), torch.tensor([True, False, False]), 1.5),
    ("hinge", t(0.5, -2.0, 3.0), t(1.0, -1.0, -1.0), 1.5),
    ("hinge", t(0.5, -2.0, 3.0), torch.tensor([1, -1, -1]), 1.5),
    ("squared_hinge", t(0.5, -2.0, 3.0), torch.tensor([1, 0, 0]), 16.25 / 3),
    ("hinge(margin=3)", t(0.5, -2.0), torch.tensor([1, 0]), (2.5 + 1) / 2),
    ("hinge", t([0.5, -2.0, 3.0]), torch.tensor([0]), (0.5 + 0 + 4) / 3),  # a class index is one-hot
    ("multi_margin", t([1.0, 0.5, 3.0]), torch.tensor([0]), (0.5 + 3) / 3),
    ("multi_margin(p=2)", t([1.0, 0.5, 3.0]), torch.tensor([0]), (0.25 + 9) / 3),
    # zero_one: one of three wrong; one channel: p > 1/2
    ("0*ce + ce + metric(zero_one)", t([0.0, 0]), torch.tensor([1]), L2),
    # two classes told apart by the second number: logits 0 and log 3, so p = 1/4 and 3/4
    (f"linear_ce({HEAD})", t([5.0, math.log(3)]), torch.tensor([0]), 2 * L2),
    (f"linear_ce({HEAD})", t([5.0, math.log(3)], [1.0, 0.0]), torch.tensor([1, 0]), (math.log(4 / 3) + L2) / 2),
    (f"linear_ce({HEAD}, ignore_index=1)", t([5.0, 1.0], [1.0, 0.0]), torch.tensor([1, 0]), L2),
    # smoothing 0.2 makes (0, 1) a (0.1, 0.9)
    (f"linear_ce({HEAD}, label_smoothing=0.2)", t([5.0, math.log(3)]), torch.tensor([1]),
     0.1 * math.log(4) + 0.9 * math.log(4 / 3)),
    # 2 tanh(z / 2) of log 3 is 1
    (f"linear_ce({HEAD}, softcap=2)", t([5.0, math.log(3)]), torch.tensor([1]), math.log(1 + 1 / math.e)),
    # distributions
    ("kl(identity)", t([0.5, 0.5]), t([1.0, 0.0]), L2),
    ("kl(identity)", t([0.5, 0.5], [0.5, 0.5]), t([1.0, 0.0], [0.5, 0.5]), L2 / 2),
    ("js(identity)", t([1.0, 0.0]), t([0.0, 1.0]), L2),
    # m = (3/4, 1/4): half of log(4/3) and half of log(2/3)/2 + log(2)/2
    ("js(identity)", t([0.5, 0.5]), t([1.0, 0.0]), 0.5 * (0.5 * math.log(2 / 3) + 0.5 * L2) + 0.5 * math.log(4 / 3)),
    # T = 2: the teacher is (3/4, 1/4) after its division by 2, the student (1/2, 1/2)
    ("kd(temperature=2)", t([0.0, 0.0]), t([2 * math.log(3), 0.0]),
     4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))),
    ("kd", t([1.0, 2.0]), t([5.0, 6.0]), 0.0),
    ("gaussian_nll(variance=1)", t(1.0), t(3.0), 2.0),
    ("gaussian_nll(variance=1, full=true)", t(1.0), t(3.0), 2 + math.log(2 * math.pi) / 2),
    ("poisson_nll", t(0.0), t(2.0), 1.0),
    ("poisson_nll(log_input=false)", t(1.0), t(2.0), 1 - 2 * math.log(1 + 1e-8)),
    ("cosine", t([3.0, 4.0], [1.0, 0.0]), t([4.0, 3.0], [-1.0, 0.0]), (1 - 24 / 25 + 2) / 2),
    # boxes: 1 of 4 + 4 - 1 = 7; hull 9
    ("iou", t([0.0, 0, 2, 2]), t([1.0, 1, 3, 3]), 1 - 1 / (7 + 1e-7)),
    ("iou(mode=log)", t([0.0, 0, 2, 2]), t([1.0, 1, 3, 3]), math.log(7 + 1e-7)),
    ("iou(mode=square)", t([0.0, 0, 2, 2]), t([1.0, 1, 3, 3]), 1 - (1 / (7 + 1e-7)) ** 2),
    ("iou(format=xywh)", t([0.0, 0, 2, 2]), t([1.0, 1, 2, 2]), 1 - 1 / (7 + 1e-7)),
    ("iou(format=cxcywh)", t([1.0, 1, 2, 2]), t([2.0, 2, 2, 2]), 1 - 1 / (7 + 1e-7)),
    ("iou(mode=log)", t([0.0, 0, 1, 1]), t([5.0, 5, 6, 6]), -math.log(1e-7)),
    ("giou", t([0.0, 0, 2, 2]), t([1.0, 1, 3, 3]), 1 - 1 / (7 + 1e-7) + 2 / (9 + 1e-7)),
    # disjoint: hull 3·1, union 2: 1 + 1/3
    ("giou", t([0.0, 0, 1, 1]), t([2.0, 0, 3, 1]), 1 + 1 / (3 + 1e-7)),
    ("giou(format=cxcywh)", t([0.5, 0.5, 1, 1]), t([2.5, 0.5, 1, 1]), 1 + 1 / (3 + 1e-7)),
    ("giou", t([1.0, 1, 1, 1]), t([1.0, 1, 1, 1]), 1.0),  # no area: vision#7746
    # reductions
    ("mse(reduction=topk(k=2))", t(1.0, 3.0, 2.0), t(0.0, 0, 0), 6.5),
    ("mse(reduction=topk(frac=0.34))", t(1.0, 3.0, 2.0), t(0.0, 0, 0), 9.0),
    ("mse(reduction=batchmean)", t([1.0, 3.0], [2.0, 0]), t([0.0, 0], [0, 0]), 7.0),
    ("mse(avg_factor=4)", t(1.0, 3.0, 2.0), t(0.0, 0, 0), 3.5),
    ("sqrt(mse)", t(3.0), t(0.0), 3.0),
    ("1 - 0.5*mse", t(1.0), t(0.0), 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("text", "pred", "target", "number"), BY_HAND, ids=[row[0] for row in BY_HAND])
def test_by_hand(text: str, pred: Tensor, target: Any, number: float):
    pred = pred.clone().requires_grad_()
    if target.is_floating_point() is False and pred.ndim > 1 and target.ndim == 0:
        target = target[None]
    found = compiled(text, const={"head": SECOND})(pred, target)
    assert found.item() == pytest.approx(number, rel=1e-12, abs=1e-12)
    found.backward()
    assert pred.grad is not None
    assert pred.grad.isfinite().all()


@pytest.mark.parametrize(
    ("pred", "target", "wrong"),
    [
        (t([1.0, 2, 3], [3, 2, 1], [1, 5, 0]), torch.tensor([2, 2, 1]), 1 / 3),
        (t([1.0, 2, 3], [3, 2, 1]), torch.tensor([2, 0]), 0.0),
    ],
)
def test_zero_one_counts_mistakes(pred: Tensor, target: Tensor, wrong: float):
    out = compiled("ce + metric(zero_one)").detail(pred, target)
    assert dict(zip(out.names, out.values.tolist(), strict=True))["zero_one"] == pytest.approx(wrong)


def test_zero_one_of_one_channel():
    pred, target = t([[2.0, -1, 3]]), torch.tensor([[1, 1, 0]])
    out = compiled("bce(sigmoid) + metric(zero_one)").detail(pred, target)
    assert out.values[1].item() == pytest.approx(2 / 3)


def test_log_of_a_given_probability_is_not_below_minus_100():
    """In float64 too, as torch clamps: LANGUAGE.md 11, `bce`."""
    p = t(1e-100, 1e-30)
    assert F.binary_cross_entropy(p, t(1.0, 1.0)).item() == pytest.approx((100 + 30 * math.log(10)) / 2)
    assert compiled("bce")(p, t(1.0, 1.0)).item() == pytest.approx((100 + 30 * math.log(10)) / 2)


@pytest.mark.parametrize("text", ["ce", "ce(label_smoothing=0.1)", "ce(reduction=sum)"])
def test_a_soft_label_of_nothing_is_still_learned(text: str):
    """The derivative for a share of 0 is the logarithm that it would weigh; only 0 log 0 is 0."""
    logits = torch.tensor([[1.0, 2.0, 0.5]], dtype=torch.float64)
    labels = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(compiled(text), (logits, labels))
    (slope,) = torch.autograd.grad(compiled(text)(logits, labels), labels)
    assert (slope > 0).all()


def test_a_class_that_is_ruled_out():
    logits = torch.tensor([[1.0, 2.0, -math.inf]], dtype=torch.float64, requires_grad=True)
    value = compiled("ce")(logits, torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64))
    (slope,) = torch.autograd.grad(value, logits)
    torch.testing.assert_close(value, compiled("ce")(logits[:, :2], torch.full((1, 2), 0.5).double()))
    assert slope.isfinite().all()


@pytest.mark.parametrize(
    "text",
    ["bce(sigmoid)", "bce(sigmoid, pos_weight=3)", "focal(sigmoid)", "0.5*bce(sigmoid) + dice(smooth=1)"],
)
def test_a_binary_entropy_is_as_exact_where_torch_compiles(text: str):
    """torch.compile computes a formula of its own, of sigmoid(-|x|): here beside the same call in double precision."""
    logits = torch.tensor([[-100.0, -30.0, -5.0, -1e-3, 0.0, 1e-3, 5.0, 30.0, 100.0]]).T.reshape(9, 1, 1, 1)
    for target in (0.0, 1.0, 0.25):
        labels = torch.full_like(logits, target)
        slopes: list[Tensor] = []
        for run, dtype in (
            (torch.compile(compiled(text), backend="aot_eager", fullgraph=True), torch.float32),
            (compiled(text), torch.float64),
        ):
            pred = logits.to(dtype).requires_grad_()
            value = run(pred, labels.to(dtype))
            slopes.append(torch.autograd.grad(value, pred)[0].double())
            slopes.append(value.detach().double())
        # A soft label may lie where the slope is 0, and 1 - p of a dice has lost its digits even in double precision.
        is_exact = target != 0.25 and "dice" not in text
        torch.testing.assert_close(slopes[0], slopes[2], rtol=2e-6, atol=1e-38 if is_exact else 1e-8)
        torch.testing.assert_close(slopes[1], slopes[3], rtol=1e-6, atol=0.0)


def test_infinite_logits_where_torch_compiles():
    logits = torch.tensor([-math.inf, math.inf, -math.inf, math.inf, math.nan], requires_grad=True)
    target = torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0])
    run = torch.compile(compiled("bce(sigmoid, reduction=none)"), backend="aot_eager", fullgraph=True)
    values = run(logits, target)
    wanted = torch.tensor([0.0, 0.0, math.inf, math.inf, math.nan])
    torch.testing.assert_close(values, wanted, equal_nan=True)
    (slope,) = torch.autograd.grad(values[:4].sum(), logits)
    assert slope[:4].tolist() == [0.0, 0.0, -1.0, 1.0]
