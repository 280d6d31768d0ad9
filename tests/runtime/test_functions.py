"""Functions along axes: what they are worth, what lies beside the axis that they keep, and their mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import losslang

BIG = 64 * 8 * 96 * 96
"""Elements of a tensor that is walked over in blocks."""


def data(*shape: int, wants: bool = False) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=wants)


def same(text: str, wanted: Callable[..., Tensor], pred: Tensor, target: Any = None, **batch: Any) -> None:
    """Value and gradient of a program, in its first call and in a later one."""
    const = {name: batch.pop(name) for name in ("bins", "c") if name in batch}
    loss = losslang.compile(text, const=const)
    by_hand = wanted(pred)
    (gradient,) = torch.autograd.grad(by_hand, pred)
    for _ in range(2):
        found = loss(pred, target, **batch)
        torch.testing.assert_close(found, by_hand, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(torch.autograd.grad(found, pred)[0], gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -3, [0, 2], [-1, 1]])
@pytest.mark.parametrize(
    ("name", "torchs"),
    [
        ("sum", lambda x, dim: x.sum(dim, keepdim=True)),
        ("mean", lambda x, dim: x.mean(dim, keepdim=True)),
        ("max", lambda x, dim: x.amax(dim, keepdim=True)),
        ("min", lambda x, dim: x.amin(dim, keepdim=True)),
        ("logsumexp", lambda x, dim: torch.logsumexp(x, dim, keepdim=True)),
        ("norm", lambda x, dim: torch.linalg.vector_norm(x, dim=dim, keepdim=True)),
    ],
)
def test_what_reduces_keeps_its_axes(name: str, torchs: Callable[..., Tensor], dim: Any) -> None:
    torch.manual_seed(1)
    same(
        f"mean((pred - {name}(pred, dim={dim}))**2)",
        lambda x: ((x - torchs(x, dim)) ** 2).mean(),
        data(3, 4, 5, wants=True),
    )


@pytest.mark.parametrize(
    ("name", "torchs"),
    [
        ("sum", Tensor.sum),
        ("mean", Tensor.mean),
        ("max", Tensor.amax),
        ("min", Tensor.amin),
        ("logsumexp", lambda x: torch.logsumexp(x, (0, 1))),
        ("norm", torch.linalg.vector_norm),
    ],
)
def test_without_an_axis_everything_is_reduced(name: str, torchs: Callable[..., Tensor]) -> None:
    same(f"{name}(pred)", torchs, data(3, 4, wants=True))


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "normalize"])
def test_what_needs_an_axis(name: str, dim: int) -> None:
    weights = data(3, 4)
    torchs = getattr(F, name)
    same(
        f"sum(batch.w*{name}(pred, dim={dim}))",
        lambda x: (weights * torchs(x, dim=dim)).sum(),
        data(3, 4, wants=True),
        w=weights,
    )


# ---------------------------------------------------------------------------- at the edges


def gradient(text: str, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    found = losslang.compile(text)(x)
    return found.detach(), torch.autograd.grad(found, x)[0]


@pytest.mark.parametrize("dim", ["", ", dim=1"])
def test_logsumexp_of_nothing_but_minus_infinity_has_no_gradient(dim: str) -> None:
    """A row whose every class is forbidden; torch's gradient there is NaN."""
    x = torch.tensor([[-torch.inf, -torch.inf]])
    value, slope = gradient(f"mean(exp(logsumexp(pred{dim})))", x)
    assert (value, slope.tolist()) == (0, [[0, 0]])
    both = torch.cat([x, torch.tensor([[1.0, -torch.inf]])])
    value, slope = gradient("mean(exp(logsumexp(pred, dim=1)))", both)
    torch.testing.assert_close(slope, torch.tensor([[0, 0], [torch.e / 2, 0]]))
    assert value == torch.tensor(torch.e) / 2


def test_logsumexp_neither_overflows_nor_underflows() -> None:
    value, slope = gradient("mean(logsumexp(pred, dim=1))", torch.tensor([[1e4, 1e4], [-1e4, -1e4]]).double())
    assert value == pytest.approx(0.693147, abs=1e-6)
    torch.testing.assert_close(slope, torch.full_like(slope, 0.25))


def test_the_gradient_of_a_norm_at_0_is_0() -> None:
    value, slope = gradient("sum(norm(pred, dim=1)) + norm(pred)", torch.zeros(3, 2))
    assert (value, slope.tolist()) == (0, [[0, 0]] * 3)


def test_a_row_of_zeros_stays_one_and_has_no_gradient() -> None:
    """torch's is 1 / eps = 1e12 there."""
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3e-13, 4e-13]])
    loss = losslang.compile("mean(batch.w*normalize(pred, dim=1))")
    wanted, x = F.normalize(x), x.requires_grad_()
    found = loss(x, w=torch.ones(3, 2))
    torch.testing.assert_close(found, wanted.mean())
    (slope,) = torch.autograd.grad(found, x)
    assert slope[0].tolist() == [0, 0]
    assert slope.isfinite().all()


def test_nan_stays_nan() -> None:
    x = torch.tensor([[torch.nan, 1.0]])
    for text in (
        "logsumexp(pred, dim=1)",
        "normalize(pred, dim=1)",
        "max(pred, dim=1)",
        "softmax(pred, dim=1)",
    ):
        assert losslang.compile(f"mean({text})")(x).isnan(), text


@pytest.mark.parametrize("name", ["max", "min"])
def test_equal_ones_share_the_gradient(name: str) -> None:
    _, slope = gradient(f"sum({name}(pred, dim=1)) + {name}(pred)", torch.ones(2, 2))
    assert slope.tolist() == [[0.75, 0.75]] * 2


def test_the_mean_over_no_elements_is_0() -> None:
    assert losslang.compile("sum(mean(pred, dim=1))")(torch.zeros(3, 0)) == 0


def test_integers_stay_integers_where_a_sum_does() -> None:
    found = losslang.compile("sum(sum(batch.n, dim=1)/2)")(torch.zeros(1), n=torch.tensor([[1, 2], [0, 2]]))
    assert found == 2.5


# ---------------------------------------------------------------------------- what lies beside


def test_what_lacks_the_kept_axis_fits_beside_it() -> None:
    mask = torch.rand(3, 5) > 0.5
    same(
        "sum(batch.m*logsumexp(pred, dim=2)**2)/sum(batch.m)",
        lambda x: (torch.logsumexp(x, 2) ** 2 * mask).sum() / mask.sum(),
        data(3, 5, 7, wants=True),
        m=mask,
    )


def test_it_is_decided_by_the_program_not_by_sizes() -> None:
    """(3, 5) beside (3, 5, 1) that nobody reduced stays a mistake."""
    loss = losslang.compile("mean(batch.m*pred**2)")
    with pytest.raises(losslang.LossError, match="E504"):
        loss(data(3, 5, 1), m=torch.rand(3, 5))


def test_two_kept_axes_are_filled_in_together() -> None:
    weights = data(3, 4)
    same(
        "mean(batch.w*sum(pred, dim=[2, -1]))",
        lambda x: (weights * x.sum((2, 3))).mean(),
        data(3, 4, 5, 6, wants=True),
        w=weights,
    )
    with pytest.raises(losslang.LossError, match="E504"):
        losslang.compile("mean(batch.w*sum(pred, dim=[2, 3]))")(data(3, 4, 5, 6), w=data(3, 4, 5))


def test_what_is_broadcast_back_keeps_nothing() -> None:
    """`pred - max(pred, dim=1)` has every axis again, of one class too."""
    text = "mean(batch.m*(pred - max(pred, dim=1)))"
    for classes in (1, 4):
        with pytest.raises(losslang.LossError, match="E504"):
            losslang.compile(text)(data(3, classes, 5), m=torch.rand(3, 5))


@pytest.mark.parametrize("dim", [1, -1])
def test_an_expected_value_over_bins(dim: int) -> None:
    bins, target, mask = torch.arange(6.0).double(), data(4), torch.tensor([True, False, True, True])
    text = f"l1(pred=sum(softmax(pred, dim={dim})*const.bins, dim={dim}))"

    def apart(x: Tensor) -> Tensor:
        return ((x.softmax(1) * bins).sum(1) - target).abs()

    pred = data(4, 6, wants=True)
    same(text, lambda x: apart(x).mean(), pred, target, bins=bins)
    same(
        f"{text[:-1]}, mask=batch.m)",
        lambda x: apart(x)[mask].mean(),
        pred,
        target,
        bins=bins,
        m=mask,
    )
    same(f"batch.w*{text}", lambda x: (target * apart(x)).mean(), pred, target, bins=bins, w=target)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_targets_and_masks_lack_the_axis_that_the_prediction_keeps(dim: int) -> None:
    pred = data(3, 4, 5, 6, wants=True)
    target = data(*(size for i, size in enumerate(pred.shape) if i != dim))
    mask = torch.rand(target.shape) > 0.3
    same(
        f"mse(pred=mean(pred, dim={dim}), mask=batch.m)",
        lambda x: ((x.mean(dim) - target) ** 2)[mask].mean(),
        pred,
        target,
        m=mask,
    )


def test_a_target_may_keep_the_axis_too() -> None:
    probs, bins = data(4, 6).softmax(1), torch.arange(6.0).double()
    same(
        "l1@(pred, sum(batch.p*const.bins, dim=1))",
        lambda x: ((probs * bins).sum(1) - x).abs().mean(),
        data(4, wants=True),
        p=probs,
        bins=bins,
    )


def test_samples_beside_channels_stay_a_mistake() -> None:
    for length in (4, 6):
        with pytest.raises(losslang.LossError, match="E504"):
            losslang.compile("mean(batch.w*const.c)", const={"c": data(6)})(data(4, 6), w=data(length))


def test_blocks_do_not_cut_along_a_reduced_axis() -> None:
    torch.manual_seed(3)
    pred, target, bins = (
        torch.randn(64, 8, 96, 96, requires_grad=True),
        torch.rand(64, 96, 96),
        torch.arange(8.0),
    )
    assert pred.numel() == BIG
    weights = torch.rand(64, 8, 1, 96)

    def wanted(x: Tensor) -> Tensor:
        expected = ((x.softmax(1) * bins.view(1, 8, 1, 1)).sum(1) - target).abs().mean()
        scores = F.binary_cross_entropy_with_logits(x, torch.ones_like(x), reduction="none")
        return expected + (scores * weights.amax(2, True) * torch.logsumexp(x.detach(), (0, 2), True)).mean()

    loss = losslang.compile(
        "l1(pred=sum(softmax(pred, dim=1)*const.bins, dim=1)) + max(batch.w, dim=2)*detach(logsumexp(pred, dim=[0, 2]))*bce(sigmoid, target=1)",
        const={"bins": bins},
    )
    by_hand = wanted(pred)
    (slope,) = torch.autograd.grad(by_hand, pred)
    for _ in range(3):
        found = loss(pred, target, w=weights)
        torch.testing.assert_close(found, by_hand, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(torch.autograd.grad(found, pred)[0], slope, rtol=1e-4, atol=1e-9)


# ---------------------------------------------------------------------------- normalize, of embeddings


def rows() -> dict[str, Tensor]:
    return {name: data(5, 4, wants=True) for name in "apn"}


@pytest.mark.parametrize("written", ["normalize", "normalize(eps=0.5)"])
def test_triplets_of_rows_of_length_1(written: str) -> None:
    pred, eps = rows(), 0.5 if "eps" in written else 1e-12
    wanted = F.triplet_margin_loss(*(F.normalize(x, dim=-1, eps=eps) for x in pred.values()), margin=0.3)
    found = losslang.compile(f"triplet({written}, margin=0.3)@(pred.a, pred.p, pred.n)")(pred)
    torch.testing.assert_close(found, wanted)
    for one, other in zip(
        torch.autograd.grad(found, [*pred.values()]),
        torch.autograd.grad(wanted, [*pred.values()]),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_every_embedding_is_normalized_and_no_label_is() -> None:
    pred = {"a": 3 * data(5, 4), "p": 0.1 * data(5, 4)}
    unit = {name: F.normalize(x, dim=-1) for name, x in pred.items()}
    for text in (
        "cosine@(pred.a, pred.p)",
        "infonce@(pred.a, pred.p)",
        "contrastive@(pred.a, pred.p, batch.same)",
    ):
        head, _, tail = text.partition("@")
        same_rows = {"same": torch.tensor([1, -1, 1, 1, -1])}
        found = losslang.compile(f"{head}(normalize)@{tail}")(pred, **same_rows if "batch" in text else {})
        torch.testing.assert_close(
            found, losslang.compile(text)(unit, **same_rows if "batch" in text else {})
        )
    labels = torch.tensor([0, 1, 0, 1, 1])
    torch.testing.assert_close(
        losslang.compile("supcon(normalize)")(pred["a"], labels),
        losslang.compile("supcon")(unit["a"], labels),
    )


# ---------------------------------------------------------------------------- compiled and exported

OBJECTIVE = "1e-4*mean(logsumexp(pred, dim=1)**2) + l1(pred=sum(softmax(pred, dim=1)*const.bins, dim=1)) + norm(normalize(pred, dim=1))"


def test_torch_compiles_functions_along_axes_into_one_graph() -> None:
    loss = losslang.compile(OBJECTIVE, const={"bins": torch.arange(6.0)})
    pred, target = torch.randn(4, 6), torch.rand(4)
    found = torch.compile(loss, fullgraph=True, backend="aot_eager")(pred, target)
    torch.testing.assert_close(found, loss(pred, target))


def test_torch_exports_functions_along_axes() -> None:
    loss = losslang.compile(OBJECTIVE, const={"bins": torch.arange(6.0)})
    pred, target = torch.randn(4, 6), torch.rand(4)
    exported = torch.export.export(loss, (pred, target)).module()
    torch.testing.assert_close(exported(pred, target), loss(pred, target))


# ---------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("text", "code", "fix"),
    [
        ("sum(mse)", "E316", "`mse(reduction=sum)`"),
        ("logsumexp(mse)", "E346", "`mse(reduction=logsumexp)`"),
        ("max(ce)", "E346", "`max(ce, 0.1)` is at least 0.1; `ce(reduction=topk(frac=0.1))` takes its hardest values"),
        ("min(mse(tanh))", "E346", "`min(mse(tanh), 5)` is at most 5"),
        ("norm(ce + mse)", "E346", "`norm` reads a tensor: `norm(pred, dim=1)`"),
        ("max(ce, dim=1)", "E346", "`max(ce, 0.1)` is at least 0.1; `ce(reduction=topk(frac=0.1))` takes its hardest values"),
        ("softmax(ce)", "E103", "it stands in the brackets of the loss: `ce(softmax)`"),
        ("mean(softmax(pred.a))", "E343", "write `softmax(pred.a, dim=1)`, or `dim=-1` for the last axis; as an activation it stands in a loss: `dice(softmax)`"),
        ("mean(max(pred, 0, dim=1))", "E345", "reduce one of them first: `max(max(pred, dim=...), ...)`"),
        ("max(3, dim=1)*ce", "E344", "hand over a tensor, as `pred`"),
        ("sum(step, dim=1)*ce", "E344", "hand over a tensor, as `pred`"),
        ("mean(softmax(3, dim=1))", "E344", "hand over a tensor, as `pred`"),
        ("mean(sum(pred, axis=1))", "E201", "it takes `dim`"),
        ("mean(exp(pred, dim=1))", "E201", "it takes no options"),
        ("mse(normalize)", "E301", "`mse`"),
        ("normalize", "E103", "give it to a loss: `infonce(normalize)`"),
    ],
)  # fmt: skip
def test_mistakes(text: str, code: str, fix: str) -> None:
    (found,) = losslang.check(text)
    assert (found.code, found.fix) == (code, fix)


def test_reduced_losses_stay_arithmetic() -> None:
    pred = torch.ones(4)
    assert losslang.compile("max(mse, 2) + min(mse, 0.5)")(pred, 0 * pred) == 2.5


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("mean(sum(pred, dim=2))", "E543"),
        ("mean(sum(pred, dim=-3))", "E543"),
        ("mean(sum(pred, dim=[1, -1]))", "E543"),
        ("mean(softmax(batch.number, dim=0))", "E543"),
        ("mean(max(batch.none, dim=1))", "E544"),
        ("max(batch.none)", "E544"),
    ],
)
def test_mistakes_of_shapes(text: str, code: str) -> None:
    with pytest.raises(losslang.LossError, match=code):
        losslang.compile(text)(torch.zeros(3, 4), number=2, none=torch.zeros(3, 0))
