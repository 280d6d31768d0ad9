"""Losses of embeddings: against torch in float64, by hand, and against numbers of other libraries."""

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

R = torch.Generator().manual_seed(9)


def real(*shape: int) -> Tensor:
    return torch.randn(shape, generator=R, dtype=torch.float64)


def wave(*shape: int, step: float) -> Tensor:
    """Values from -1 to 1 that every library can be given."""
    place = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(step * place**1.5).reshape(shape)


def t(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def compiled(text: str) -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        return losslang.compile(text)


def value_and_gradient(loss: Any, pred: Tensor, target: Any = None, **batch: Any) -> tuple[Tensor, Tensor]:
    x = pred.clone().requires_grad_()
    value = loss(x, target, **batch)
    return value.detach(), torch.autograd.grad(value.sum(), x)[0]


# -------------------------------------------------------------------- against torch

X, Y = real(6, 4), real(6, 4)
NEAR = X + 0.3 * real(6, 4)
SIGN = t(1, -1, -1, 1, -1, 1)
LABELS = torch.tensor([0, 1, 0, 2, 1, 0])
BOTH, TOGETHER = torch.cat([X, NEAR]), torch.arange(12).roll(6)


def cosines(x: Tensor, y: Tensor) -> Tensor:
    return F.normalize(x, dim=1) @ F.normalize(y, dim=1).T


def clip(x: Tensor, y: Tensor) -> Tensor:
    logits = 5 * cosines(x, y)
    return (F.cross_entropy(logits, torch.arange(6)) + F.cross_entropy(logits.T, torch.arange(6))) / 2


def two_views(x: Tensor, y: Tensor) -> Tensor:
    both = torch.cat([x, y])
    logits = (cosines(both, both) / 0.5).masked_fill(torch.eye(12, dtype=torch.bool), -math.inf)
    return F.cross_entropy(logits, TOGETHER)


def supervised(x: Tensor, labels: Tensor) -> Tensor:
    """The authors' formula, for the rows that have a positive."""
    logits = cosines(x, x) / 0.1
    others = 1 - torch.eye(len(x)).double()
    same = (labels[:, None] == labels).double() * others
    log_probs = logits - ((logits.exp() * others).sum(1, keepdim=True)).log()
    some = same.sum(1) > 0
    return -((same * log_probs).sum(1)[some] / same.sum(1)[some]).mean()


def correlations(x: Tensor, y: Tensor) -> Tensor:
    c = F.batch_norm(x, None, None, training=True).T @ F.batch_norm(y, None, None, training=True) / len(x)
    same = torch.eye(4).double()
    return (c - same).square().mul(same + 5e-3 * (1 - same)).sum()


TORCH: list[tuple[str, Tensor, Any, Callable[[Tensor, Any], Tensor]]] = [
    ("cosine_embedding(sign=batch.sign)", X, Y, lambda x, y: F.cosine_embedding_loss(x, y, SIGN)),
    ("cosine_embedding(margin=0.2, sign=batch.sign, reduction=sum)", X, NEAR,
     lambda x, y: F.cosine_embedding_loss(x, y, SIGN, margin=0.2, reduction="sum")),
    ("margin_ranking@(pred, target, batch.grid)", X, Y,
     lambda x, y: F.margin_ranking_loss(x, y, SIGN[:, None].expand(6, 4))),
    ("margin_ranking(margin=0.7, reduction=none)@(pred, target, batch.grid)", X, Y,
     lambda x, y: F.margin_ranking_loss(x, y, SIGN[:, None].expand(6, 4), margin=0.7, reduction="none")),
    ("contrastive(margin=2, sign=batch.sign)", X, NEAR, lambda x, y: torch.where(
        SIGN > 0, (x - y).norm(dim=1) ** 2, F.relu(2 - (x - y).norm(dim=1)) ** 2).mean() / 2),
    ("infonce", X, NEAR, two_views),
    ("mnrl", X, NEAR, lambda x, y: F.cross_entropy(20 * cosines(x, y), torch.arange(6))),
    ("mnrl(scale=5, symmetric=true)", X, NEAR, clip),
    ("npairs", X, Y, lambda x, y: F.cross_entropy(x @ y.T, torch.arange(6))),
    ("supcon", X, LABELS, supervised),
    ("barlow_twins", X, NEAR, correlations),
]  # fmt: skip


@pytest.mark.parametrize(("text", "pred", "target", "torchs"), TORCH, ids=[row[0] for row in TORCH])
def test_equals_torch(text: str, pred: Tensor, target: Any, torchs: Callable[[Tensor, Any], Tensor]):
    batch = {"sign": SIGN, "grid": SIGN[:, None].expand(6, 4)}
    found = value_and_gradient(compiled(text), pred, target, **batch)
    wanted = value_and_gradient(torchs, pred, target)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    assert found[1].abs().sum() > 0


def test_hinge_embedding_equals_torch():
    found = value_and_gradient(compiled("hinge_embedding(margin=0.5)"), X, SIGN[:, None].expand(6, 4))
    wanted = value_and_gradient(
        lambda x, s: F.hinge_embedding_loss(x, s, margin=0.5), X, SIGN[:, None].expand(6, 4)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


# -------------------------------------------------------------------- by hand

L2 = math.log(2)
ONE, OTHER = t([1.0, 0.0]), t([0.0, 1.0])
CROSS = t([1.0, 0.0], [0.0, 1.0])  # two rows at a right angle
TWO = torch.tensor([0, 0, 1, 1])
AXES = t([1, 0], [1, 0], [0, 1], [0, 1])  # two classes, each on an axis of its own
BY_HAND: list[tuple[str, Tensor, Any, dict[str, Any], float]] = [
    ("cosine_embedding(sign=batch.s)", ONE, OTHER, {"s": t(1.0)}, 1.0),
    ("cosine_embedding(sign=batch.s)", ONE, 3 * ONE, {"s": t(-1.0)}, 1.0),
    ("cosine_embedding(margin=0.4, sign=batch.s)", ONE, ONE + OTHER, {"s": t(-1.0)}, math.sqrt(0.5) - 0.4),
    # of booleans and of 0 and 1, true is together
    ("cosine_embedding(sign=batch.s)", CROSS, CROSS.flip(0), {"s": torch.tensor([True, False])}, 0.5),
    ("cosine_embedding(sign=batch.s)", CROSS, CROSS.flip(0), {"s": torch.tensor([0, 1])}, 0.5),
    ("margin_ranking(sign=batch.s)", t(1.0, 1.0), t(3.0, 3.0), {"s": torch.tensor([True, False])}, 1.0),
    ("hinge_embedding", t(0.2, 0.2, 3), t(1, -1, -1), {}, (0.2 + 0.8 + 0) / 3),
    ("hinge_embedding", t(0.2, 0.2, 3), torch.tensor([1, 0, 0]), {}, (0.2 + 0.8 + 0) / 3),
    # |d| = 5 of what is together: 25 / 2; 0.6 of what is not, at a margin of 1: 0.4² / 2
    ("contrastive(sign=batch.s)", t([3, 4.0]), t([0, 0.0]), {"s": t(1.0)}, 12.5),
    ("contrastive(sign=batch.s)", t([0.6, 0.0]), t([0, 0.0]), {"s": t(-1.0)}, 0.08),
    ("contrastive(sign=batch.s)", t([0.6, 0.0]), t([0, 0.0]), {"s": torch.tensor([False])}, 0.08),
    ("contrastive(sign=batch.s, margin=7)", t([3, 4.0]), t([0, 0.0]), {"s": t(-1.0)}, 2.0),
    ("contrastive(sign=batch.s)", ONE, ONE, {"s": t(-1.0)}, 0.5),
    # one pair alone has nothing to be told apart from
    ("infonce", ONE, OTHER, {}, 0.0),
    # each row has its twin at 1 and two others at 0: log(e² + 2) - 2 at T = 1/2
    ("infonce", CROSS, CROSS, {}, math.log(math.exp(2) + 2) - 2),
    ("simclr(temperature=1)", CROSS, CROSS, {}, math.log(math.e + 2) - 1),
    ("mnrl", CROSS, CROSS, {}, math.log1p(math.exp(-20))),
    ("mnrl(scale=1)", CROSS, CROSS.flip(0), {}, math.log(1 + math.e)),
    # inner products 6 and 0
    ("npairs", 2 * CROSS, 3 * CROSS, {}, math.log1p(math.exp(-6))),
    # the positive at 1, two negatives at 0: log(e^10 + 2) - 10
    ("supcon", AXES, TWO, {}, math.log(math.exp(10) + 2) - 10),
    ("supcon(temperature=1)", AXES, torch.tensor([0, 0, 0, 0]), {}, math.log(math.e + 2) - 1 / 3),
    # the last row has no positive: it does not count, and is a negative of the first two
    ("supcon(temperature=1)", AXES[:3], TWO[:3], {}, math.log(math.e + 1) - 1),
    # s_p = 1, s_n = 0: α_p = 0.4 and α_n = 0.4, e^(-80 (0.4²) - 80 (0.4²)) twice
    ("circle", AXES, TWO, {}, math.log1p(2 * math.exp(-25.6))),
    # the other way round: s_p = 0 and s_n = 1 and 0, α_p = 1.4
    ("circle(gamma=1)", AXES[[0, 2, 0, 2]], TWO, {},
     math.log1p(math.exp(1.4 * 0.6) * (math.exp(1.4 * 0.6) + math.exp(-0.16)))),
    ("multi_similarity", AXES, TWO, {}, math.log1p(math.exp(-1)) / 2 + math.log1p(2 * math.exp(-25)) / 50),
    ("multi_similarity(alpha=1, beta=1, base=1)", AXES, TWO, {}, L2 + math.log1p(2 * math.exp(-1))),
    # columns a, -a of one view and b, b of the other: all correlations are 1 in size
    ("barlow_twins(eps=1e-30)", t([1, -1], [-1, 1]), t([2, 2], [0, 0]), {}, 0 + 2**2 + 5e-3 * 2),
    ("barlow_twins(eps=1e-30, offdiag=0)", t([1, 0], [0, 1], [1, 1], [0, 0]), t([1, 0], [0, 1], [1, 1], [0, 0]), {}, 0),
    ("barlow_twins(eps=1e-30, unbiased=true)", t([1], [-1]), t([1], [-1]), {}, 0.25),
    # variances 2 and 2 (of +1 and -1, over B - 1), covariance 2 in each view
    ("vicreg(eps=1e-30)", t([1, 1], [-1, -1]), t([1, 1], [-1, -1]), {}, 2 * (4 + 4) / 2),
    ("vicreg(eps=1e-30, covariance=0)", t([1, 1], [-1, -1]), t([2, 1], [0, -1]), {}, 25 * 2 / 4),
    # nothing varies: 1 - sqrt(1e-4) of both views
    ("vicreg", t([1, 1], [1, 1]), t([1, 1], [1, 1]), {}, 25 * 0.99),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "pred", "target", "batch", "number"), BY_HAND, ids=[f"{i}-{r[0]}" for i, r in enumerate(BY_HAND)]
)
def test_by_hand(text: str, pred: Tensor, target: Any, batch: dict[str, Any], number: float):
    value, grad = value_and_gradient(compiled(text), pred, target, **batch)
    assert value.item() == pytest.approx(number, rel=1e-11, abs=1e-13)
    assert grad.isfinite().all()


# -------------------------------------------------------------------- other libraries' numbers

ON_A_CIRCLE = t([1.0, 0.0], [0.9848077, 0.17364818], [0.9396926, 0.34202015], [0.64278764, 0.76604444],
                [0.5, 0.8660254], [0.17364818, 0.9848077])  # fmt: skip
KERAS = t([0.70014004, -0.42008403, 0.14002801, 0.56011203], [0.17609018, 0.70436073, -0.52827054, 0.44022545],
          [-0.34050261, 0.25537696, -0.68100522, 0.59587957], [0.32163376, -0.75047877, 0.53605627, -0.21442251],
          [0.51261459, -0.34174306, 0.17087153, 0.76892189])  # fmt: skip
MONAI = t([1, 2, 3, 4], [1, 1, 0, 0]), t([0, 0, 0, 0], [1, 1, 0, 0])
P, Q = wave(8, 5, step=0.3), 0.6 * wave(8, 5, step=0.3) + 0.4 * wave(8, 5, step=0.17)
CLASSES = torch.tensor([0, 1, 2, 0, 1, 2, 0, 3])
TORCHS = t([1.2, 1.76, -1.84, 1.5], [-0.89, -0.1, 1.19, 0.87], [-1.41, 0.63, -1.72, -0.57])
TORCHS_2 = t([1.25, -0.29, 0.4, 0.91], [1.28, 1.04, -1.97, -0.32], [-0.15, -1.78, 0.17, 0.43])
RECORDED: list[tuple[str, Tensor, Any, dict[str, Any], float]] = [
    # torch 2.13, torch/nn/modules/loss.py
    ("cosine_embedding(like=torch, margin=0.2, sign=batch.s)", TORCHS, TORCHS_2, {"s": t(1, -1, 1)},
     0.6722782516483233),
    ("margin_ranking(like=torch, margin=0.3, sign=batch.s)", t(-0.48, -1.74, -0.85, 1.64, -1.15, -0.19),
     t(0.19, 1.15, -1.64, 0.85, 1.74, 0.48), {"s": t(1, -1, 1, -1, 1, -1)}, 0.8749999999999999),
    ("hinge_embedding(like=torch)", t(0.48, 1.74, 0.85, 1.64, 1.15, 0.19), t(1, -1, 1, -1, 1, -1), {},
     0.5483333333333333),
    # optax, losses/_regression_test.py: the mean of 0.9358252 and 1.0464069
    # keras, losses_test.py:1065: -0.18721905 is the mean of -cos
    ("cosine - 1", t([4, 8, 12], [8, 1, 3]), t([1, 9, 2], [-5, -2, 6]), {}, -0.18721905),
    # lightly, tests/loss/test_ntx_ent_loss.py:54
    ("infonce(temperature=0.1)", t([-0.3891558], [0.39058453]), t([-1.4346498], [-0.7003944]), {}, 5.794513458359919),
    # MONAI, tests/losses/test_contrastive_loss.py:63, with a row of zeros
    ("infonce(like=monai)", t([1, 1, 0, 0], [1, 1, 0, 0]), t([1, 1, 0, 0], [1, 1, 0, 0]), {}, 1.0986),
    ("infonce(like=monai)", *MONAI, {}, 0.8719),
    # MONAI, tests/losses/test_barlow_twins_loss.py:81
    ("barlow_twins(like=monai)", t([1, 1, 0, 0], [1, 1, 0, 0]), t([1, 1, 0, 0], [1, 1, 0, 0]), {}, 4.0),
    ("barlow_twins(like=monai)", t([1, 0, 1, 1], [0, 1, 1, 0]), t([1, 1, 1, 0], [1, 1, 0, 1]), {}, 5.2562),
    ("barlow_twins(like=monai, offdiag=5e-4)", t([2, 3, 1, 2], [0, 1, 2, 5]), t([1, 2, 3, 4], [5, 6, 7, 8]), {}, 5.0015),
    # pytorch-metric-learning, tests/losses/test_ntxent_loss.py:157: the last row has no positive
    ("supcon(like=pml)", ON_A_CIRCLE, torch.tensor([0, 0, 0, 1, 1, 2]), {}, 0.7200607),
    # keras, losses_test.py:2140 and 2153: the last row has no positive and does not count
    ("circle(like=keras)", KERAS, torch.tensor([1, 1, 2, 2, 3]), {}, 188.3883),
    ("circle(gamma=256, margin=0.25)", KERAS, torch.tensor([1, 1, 2, 2, 3]), {}, 652.7617),
    ("circle(reduction=sum, weight=batch.w)", KERAS, torch.tensor([1, 1, 2, 2, 3]), {"w": t(2, 2, 1, 1, 0.5)},
     4 * 244.91918),
    # on P and Q: lightly 1.6.0, MONAI 1.6.1, pytorch-metric-learning 2.9.0
    ("infonce(like=lightly)", P, Q, {}, 1.5969149617521161),
    ("infonce(like=pml)", P, Q, {}, 0.5415956340318526),  # NTXentLoss() of both views, as labels
    ("vicreg(like=lightly)", P, Q, {}, 14.442782421666426),
    ("barlow_twins(like=lightly)", P, Q, {}, 0.14779750182085605),
    ("barlow_twins(like=monai)", P, Q, {}, 0.35765531563156),
    ("supcon(like=pml)", P, CLASSES, {}, 6.125638120356677),
    ("circle(like=pml)", P, CLASSES, {}, 95.74847835013607),
    ("multi_similarity(like=pml)", P, CLASSES, {}, 0.8738737262348295),
    ("mnrl(scale=1)", P, Q, {}, 1.4925200096786286),  # NPairsLoss(), which takes unit vectors
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "pred", "target", "batch", "number"),
    RECORDED,
    ids=[f"{i}-{r[0]}" for i, r in enumerate(RECORDED)],
)
def test_numbers_of_other_libraries(
    text: str, pred: Tensor, target: Any, batch: dict[str, Any], number: float
):
    digits = len(f"{number!r}".replace("-", "").replace(".", "").lstrip("0"))
    close = (
        1e-4
        if digits < 6
        else 1e-6
        if digits < 10
        else 2e-5
        if "barlow" in text and "monai" in text
        else 1e-10
    )
    assert compiled(text)(pred, target, **batch).item() == pytest.approx(number, rel=close)


def test_where_other_libraries_differ():
    """As the docstrings say."""
    # NPairsLoss() of pytorch-metric-learning normalises; the paper does not.
    assert compiled("npairs")(P, Q).item() != pytest.approx(1.4925200096786286, rel=0.1)
    # A batch of one class: pytorch-metric-learning gives 0, the formula does not.
    assert compiled("supcon")(AXES, torch.zeros(4, dtype=torch.long)).item() > 1
    # optax' cosine_distance of a row of zeros is NaN.
    assert compiled("cosine")(t([0.0, 0.0]), ONE).item() == 1


# -------------------------------------------------------------------- what must not break

PAIRED = ("infonce", "mnrl", "mnrl(symmetric=true)", "npairs", "barlow_twins", "vicreg")
CLASSED = ("supcon", "circle", "multi_similarity")


def masked(text: str) -> losslang.Loss:
    return compiled(text.replace(")", ", mask=batch.mask)") if "(" in text else f"{text}(mask=batch.mask)")


@pytest.mark.parametrize("text", [*PAIRED, *CLASSED])
@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_masked_rows_are_nobodys_negative(text: str, poison: float):
    """The batch without them, in value and gradient, whatever stands there."""
    mask = torch.tensor([True, False, True, True, True, False])
    classed = text in CLASSED
    target = LABELS if classed else NEAR
    wanted = value_and_gradient(compiled(text), X[mask], target[mask])
    x, y = X.clone(), target.clone()
    x[~mask] = poison
    y[~mask] = 10**6 if classed else poison
    found = value_and_gradient(masked(text), x, y, mask=mask)
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found[1][mask], wanted[1], rtol=1e-11, atol=1e-12)
    assert found[1][~mask].abs().sum() == 0
    assert found[0] != compiled(text)(X, target)


@pytest.mark.parametrize("text", ["supcon", "circle", "multi_similarity"])
@pytest.mark.parametrize(
    "labels", [[0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 0, 0]], ids=["no positives", "no negatives"]
)
def test_no_positives_and_no_negatives(text: str, labels: list[int]):
    value, grad = value_and_gradient(compiled(text), X, torch.tensor(labels))
    assert value.isfinite()
    assert grad.isfinite().all()
    if text == "circle" or (text == "supcon" and labels[1]):
        assert value == 0
        assert grad.abs().sum() == 0


@pytest.mark.parametrize("text", PAIRED)
def test_one_pair_and_none(text: str):
    for number in (1, 0):
        value, grad = value_and_gradient(compiled(text), X[:number], NEAR[:number])
        assert value.isfinite()
        assert grad.isfinite().all()
        if number == 0:
            assert value == 0


@pytest.mark.parametrize(
    "text", [*PAIRED, *CLASSED, "cosine_embedding(sign=batch.s)", "contrastive(sign=batch.s)"]
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rows_of_zeros_and_equal_rows(text: str, dtype: torch.dtype):
    """A row without length has no direction, and two equal rows no distance."""
    target = LABELS if text in CLASSED else X.to(dtype)
    for rows in (torch.zeros(6, 4, dtype=dtype), X.to(dtype), X[:1].to(dtype).expand(6, 4)):
        loss = compiled(text)
        value, grad = value_and_gradient(loss, rows, target, s=torch.tensor([1, 0, 1, 0, 1, 0]))
        assert value.isfinite()
        assert value.dtype == torch.float32
        assert grad.isfinite().all()


@pytest.mark.parametrize("text", ["infonce(temperature=0.01)", "mnrl(scale=500)", "supcon(temperature=0.01)"])
def test_low_temperatures_do_not_overflow(text: str):
    """Exponents of up to 500, where MONAI's e^(s / T) is infinite in float32."""
    target = LABELS if "supcon" in text else -X.float()
    value, grad = value_and_gradient(compiled(text), X.float(), target)
    assert value.isfinite()
    assert grad.isfinite().all()


@pytest.mark.parametrize("text", [*PAIRED, *CLASSED])
def test_autocast_does_not_round_similarities(text: str):
    target = LABELS if text in CLASSED else NEAR.float()
    wanted = compiled(text)(X.float(), target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert compiled(text)(X.float(), target).item() == wanted.item()


def test_weights_of_circle_carry_no_gradient():
    """At s_p = s_n = 0 with γ = 1: dL/ds_n = σ(z) α_n and no more, though α_n = s_n + m."""
    x = t([1, 0, 0], [0, 1, 0], [0, 0, 1])
    labels = torch.tensor([0, 0, 1])
    x.requires_grad_()
    value = compiled("circle(gamma=1, reduction=none)")(x, labels)[0]
    (grad,) = torch.autograd.grad(value, x)
    slope = torch.sigmoid(torch.tensor(0.84 - 0.16, dtype=torch.float64))
    torch.testing.assert_close(grad[0], torch.stack([0 * slope, -1.4 * slope, 0.4 * slope]))


def test_operands_by_position():
    """as they are written: `loss@(first, second)`."""
    pred = {"a": X, "b": NEAR}
    torch.testing.assert_close(compiled("infonce@(pred.a, pred.b)")(pred, None), compiled("infonce")(X, NEAR))
    torch.testing.assert_close(
        compiled("contrastive@(pred.a, pred.b, batch.same)")(pred, None, same=SIGN > 0),
        compiled("contrastive(sign=batch.s)")(X, NEAR, s=SIGN),
    )
    for alias in ("ntxent", "simclr", "nt_xent"):
        assert compiled(alias)(X, NEAR) == compiled("infonce")(X, NEAR)
    assert compiled("barlow")(X, NEAR) == compiled("barlow_twins")(X, NEAR)
