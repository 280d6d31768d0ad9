"""Looking inside: `finite` of a detail, `diagnose`, and `gradients`."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import losslang
from losslang.vocabulary import Float

R = torch.Generator().manual_seed(7)
PRED = torch.randn(4, 3, 5, 5, generator=R)
LABELS = torch.randint(3, (4, 5, 5), generator=R)
NAN, INF = math.nan, math.inf


def spoiled(value: float, *at: int) -> Tensor:
    """The prediction with one number in it that is not finite."""
    other = PRED.clone()
    other[at] = value
    return other


# ---------------------------------------------------------------------------- finite


def test_a_detail_says_which_terms_are_finite() -> None:
    loss = losslang.compile("ce + 0.5*mse@(pred, batch.x) + metric(l1@(pred, batch.x)) + 2")
    x = torch.zeros_like(PRED)
    assert loss.detail(PRED, LABELS, x=x).finite.tolist() == [True] * 4
    x[0, 0, 0, 0] = NAN
    assert loss.detail(PRED, LABELS, x=x).finite.tolist() == [True, False, False, True]


def test_a_weight_that_is_not_finite_spoils_a_finite_value() -> None:
    out = losslang.compile("batch.n*sqrt(ce) + l1@(pred, pred)").detail(PRED, LABELS, n=torch.tensor(INF))
    assert out.values.isfinite().all()
    assert out.finite.tolist() == [False, True]


def test_values_that_are_not_reduced_are_finite_as_one_term() -> None:
    loss = losslang.compile("ce(reduction=none)")
    assert loss.detail(PRED, LABELS).finite.tolist() == [True]
    assert loss.detail(spoiled(NAN, 1, 1, 1, 1), LABELS).finite.tolist() == [False]


# ---------------------------------------------------------------------------- diagnose


@pytest.mark.parametrize(
    ("text", "pred", "batch", "wanted"),
    [
        ("ce + dice", spoiled(NAN, 2, 1, 3, 3), {}, (("ce", "dice"), "`pred`", "pred", 2, (1, 3, 3))),
        ("ce + l1@(pred, batch.x)", PRED, {"x": spoiled(-INF, 1, 0, 0, 4)}, (("l1",), "`batch.x`", "batch.x", 1, (0, 0, 4))),
        ("ce(weight=batch.w)", PRED, {"w": torch.ones(4, 5, 5).index_fill(0, torch.tensor(3), INF)}, (("ce",), "`batch.w`", "batch.w", 3, (0, 0))),
        ("ce + mean(log(batch.x))", PRED, {"x": torch.tensor([[1.0, 2.0], [3.0, 0.0]])}, (("mean_log_batch.x",), "`log`", "batch.x", 1, (1,))),
        ("ce + mean(batch.r/batch.n)", PRED, {"r": torch.ones(3), "n": torch.tensor([1.0, 0.0, 2.0])}, (("mean_batch.r_batch.n",), "the quotient", "batch.r, batch.n", 1, ())),
        ("mse@(pred, batch.x)", PRED, {"x": torch.full_like(PRED, 1e30)}, (("mse",), "`mse`", "pred, batch.x", 0, (0, 0, 0))),
        ("1/l1@(pred, pred) + ce", PRED, {}, (("1_l1_pred_pred",), "the quotient", "pred", None, ())),
        ("ce(channels=last)@(batch.x, batch.t)", None, {"x": torch.zeros(2, 4, 7).index_fill(1, torch.tensor(3), NAN), "t": torch.zeros(2, 4, dtype=torch.long)}, (("ce",), "`batch.x`", "batch.x", 0, (3, 0))),
        ("metric(l1@(pred, batch.x)) + ce", PRED, {"x": spoiled(NAN, 3, 2, 0, 0)}, (("l1",), "`batch.x`", "batch.x", 3, (2, 0, 0))),
        ("l1@head", {"head": spoiled(NAN, 0, 2, 4, 4)}, {}, (("l1.head",), "`pred.head`", "pred.head", 0, (2, 4, 4))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_the_first_step_operand_and_sample_are_named(
    text: str, pred: Any, batch: dict[str, Any], wanted: tuple[Any, ...]
) -> None:
    target = PRED if text == "l1@head" else LABELS
    found = losslang.compile(text).diagnose(pred, target, **batch)
    (finding,) = found.findings
    assert (finding.terms, finding.step, finding.operand, finding.sample, finding.place) == wanted
    assert str(found).lstrip().startswith("error[E381]")
    assert "^" in str(found)


def test_the_report_reads_like_this() -> None:
    found = losslang.compile("ce + 0.5*mean(batch.r/batch.n)").diagnose(
        PRED, LABELS, r=torch.tensor([1.0, 2.0, 3.0]), n=torch.tensor([1.0, 0.0, 2.0])
    )
    assert (
        str(found).strip()
        == """error[E381]: the quotient gives inf in sample 1
 --> <expression>:1:15
  |
1 | ce + 0.5*mean(batch.r/batch.n)
  |               ^^^^^^^^^^^^^^^ first here
  |
  = why: 1 of 3 values are not finite
         there batch.r = 2, batch.n = 0
         spoils `mean_batch.r_batch.n`
  = fix: keep what it reads in the range where it is finite: `clip(x, low, high)`"""
    )


@pytest.mark.parametrize(
    "text",
    [
        "ce + dice",
        "bce(sigmoid)@(1e4*pred, batch.ones) + focal(sigmoid)@(1e4*pred, batch.ones)",
        "ce@(1e4*pred, target)",
        "ce(mask=batch.valid)@(batch.x, target) + dice(softmax, mask=batch.valid)@(batch.x, target)",
        "sqrt(mse@(pred, pred)) + cosine@(0*batch.row, batch.row)",
        "ramp(0, 1, steps=9)*ce",
        "l2_reg",
    ],
)
def test_nothing_is_found_where_training_is_well(text: str) -> None:
    """No alarm of a formula that is not what runs, nor of what a mask leaves out."""
    valid = torch.ones(4, 5, 5, dtype=torch.bool)
    valid[2, 3, 3] = False
    model = nn.Linear(2, 2)
    loss = losslang.compile(text, params=model if text == "l2_reg" else None)
    batch = {
        "ones": torch.ones_like(PRED),
        "valid": valid,
        "row": torch.ones(4, 6),
        "x": spoiled(NAN, 2, 1, 3, 3),
    }
    found = loss.diagnose(PRED, LABELS, **batch)
    assert not found.findings
    assert not found.diagnostics
    assert str(found) == "all values and gradients are finite"


def test_a_gradient_that_is_not_finite_of_a_value_that_is() -> None:
    found = losslang.compile("l1@(pred, pred) + mean(log(pred))").diagnose(torch.tensor([1.0, 2.0, 1e-40]))
    (finding,) = found.findings
    assert (finding.terms, finding.step, finding.sample) == (("mean_log_pred",), "`log`", 2)
    assert finding.diagnostic.code == "E382"
    assert "pred = 9.99" in str(found)


def test_a_loss_with_an_infinite_slope_is_named_with_the_sample() -> None:
    """One of a user: the losses of losslang have none."""

    def half_rooted(values: Float[Tensor, "*s"], target: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        """|e|^(1/2), with an infinite slope at 0."""
        return (values - target).abs().sqrt()

    losslang.loss()(half_rooted)
    pred, target = torch.ones(3, 2), torch.zeros(3, 2)
    pred[1, 1] = 0
    valid = torch.ones(3, 2, dtype=torch.bool)
    (finding,) = losslang.compile("half_rooted + l1").diagnose(pred, target).findings
    assert (finding.terms, finding.step) == (("half_rooted",), "`half_rooted`")
    assert (finding.operand, finding.sample, finding.place) == ("pred, target", 1, (1,))
    valid[1, 1] = False
    assert not losslang.compile("half_rooted(mask=batch.m) + l1").diagnose(pred, target, m=valid).findings


def test_what_the_checks_of_a_first_call_refuse_is_told_later_too() -> None:
    loss = losslang.compile("bce")
    loss(torch.full((2, 2), 0.5), torch.zeros(2, 2))
    found = loss.diagnose(torch.full((2, 2), 2.0), torch.zeros(2, 2))
    assert [d.code for d in found.diagnostics] == ["E507"]


def test_looking_changes_nothing() -> None:
    """Neither what a loss remembers, nor the gradients and the tensors of the caller."""
    loss = losslang.compile("ghm_c(sigmoid, momentum=0.5)")
    pred, target = torch.randn(4, 3, generator=R, requires_grad=True), torch.ones(4, 3)
    loss(pred, target)
    before = copy.deepcopy(loss.state_dict())
    bare = torch.randn(4, 3, generator=R)
    loss.diagnose(pred, target)
    loss.gradients(pred, target)
    loss.gradients(bare, target)
    assert all(torch.equal(before[key], now) for key, now in loss.state_dict().items())
    assert pred.grad is None
    assert not bare.requires_grad


# ---------------------------------------------------------------------------- gradients


def test_norms_shares_and_cosines_are_those_of_autograd() -> None:
    pred, x = PRED.double().requires_grad_(), torch.randn(PRED.shape, generator=R).double()
    loss = losslang.compile("l1@(pred, batch.x) + 0.5*mse@(pred, batch.x) + metric(l1@(pred, batch.x))")
    own = [(pred - x).abs().mean(), 0.5 * ((pred - x) ** 2).mean()]
    one, other = (torch.autograd.grad(term, pred, retain_graph=True)[0].flatten() for term in own)
    found = loss.gradients(pred, LABELS, x=x)
    assert found.names == ("l1", "mse")
    norms = torch.stack([one.norm(), other.norm()])
    torch.testing.assert_close(found.norms, norms)
    torch.testing.assert_close(found.shares, norms / norms.sum())
    torch.testing.assert_close(found.cosines[0, 1], one @ other / norms.prod())
    torch.testing.assert_close(found.cosines, found.cosines.T)


def test_a_shared_feature_in_place_of_the_prediction() -> None:
    net, feature = nn.Conv2d(6, 3, 1), torch.randn(4, 6, 5, 5, generator=R, requires_grad=True)
    loss = losslang.compile("ce + 0.5*dice")
    found = loss.gradients(net(feature), LABELS, wrt=[feature, net.weight])
    terms = loss.terms(net(feature), LABELS)
    for norm, term in zip(found.norms, terms.values(), strict=True):
        parts = torch.autograd.grad(term, [feature, net.weight], retain_graph=True)
        wanted = torch.cat([part.flatten() for part in parts]).norm()
        torch.testing.assert_close(norm.float(), wanted)
    alone = loss.gradients(net(feature), LABELS, wrt=feature)
    assert (alone.norms < found.norms).all()


def test_heads_are_apart_and_slices_are_of_one_tensor() -> None:
    a, b = PRED, PRED + 1
    loss = losslang.compile("l1@a + mse@b + l1@(pred.a[0:1], target.a[0:1])")
    found = loss.gradients({"a": a, "b": b}, {"a": a * 2, "b": a * 2})
    assert found.cosines[0, 1] == 0
    # The slice is a third of the tensor, and its mean over a third: both pull the same way there.
    torch.testing.assert_close(found.cosines[0, 2], torch.tensor(1 / math.sqrt(3)).double())


def test_a_term_without_a_gradient_has_no_direction() -> None:
    found = losslang.compile("mse + 3 + batch.n").gradients(PRED, PRED + 1, n=torch.tensor(2.0))
    assert found.norms.tolist()[1:] == [0, 0]
    assert found.shares.tolist() == [1, 0, 0]
    assert found.cosines[0, 1:].isnan().all()


def test_it_prints_as_a_table() -> None:
    pred = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    target = torch.zeros(2, 2)
    table = """term        norm   share  cosine     l1     mse
l1        0.3536   24.0%           1.00    0.95
mse        1.118   76.0%           0.95    1.00"""
    assert str(losslang.compile("l1 + mse").gradients(pred, target)) == table


def test_tensors_that_no_term_is_computed_from_are_refused() -> None:
    loss = losslang.compile("ce")
    for wrt in ([], torch.ones(3), torch.ones(3, requires_grad=True)):
        with pytest.raises(losslang.LossError, match="E383"):
            loss.gradients(PRED, LABELS, wrt=wrt)


@pytest.mark.parametrize("method", ["gradients", "diagnose"])
def test_neither_is_compiled_or_transformed(method: str) -> None:
    loss = losslang.compile("mse")
    with pytest.raises(losslang.LossError, match=f"E380.*`{method}` looks at values"):
        torch.func.vmap(lambda p: getattr(loss, method)(p, p))(torch.ones(2, 3))  # pyright: ignore
    with torch.no_grad():
        getattr(loss, method)(torch.ones(2, 3), torch.zeros(2, 3))
