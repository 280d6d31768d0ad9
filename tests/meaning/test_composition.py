"""The laws of composition (LANGUAGE.md 2 to 5): programs that must be equal, and how a weight or a mask lies."""

from __future__ import annotations

import math
import pickle
import warnings
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import losslang

pytestmark = pytest.mark.filterwarnings("ignore:(?s).*W320")  # every program gets the whole batch

R = torch.Generator().manual_seed(11)
X = torch.randn(3, 4, 2, 5, generator=R, dtype=torch.float64)
Y = torch.randint(0, 4, (3, 2, 5), generator=R)
Z = torch.randn(3, 4, 2, 5, generator=R, dtype=torch.float64)
BATCH: dict[str, Any] = {
    "sample": torch.rand(3, generator=R, dtype=torch.float64) + 0.1,
    "place": torch.rand(3, 2, 5, generator=R, dtype=torch.float64) + 0.1,
    "element": torch.rand(3, 4, 2, 5, generator=R, dtype=torch.float64) + 0.1,
    "yes": torch.ones(3, 4, 2, 5, dtype=torch.float64),
    "keep": torch.rand(3, 2, 5, generator=R) > 0.4,
    "s": torch.tensor(0.7, dtype=torch.float64),
    "n": torch.tensor(30.0, dtype=torch.float64),
}


@cache
def compiled(text: str) -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        return losslang.compile(text)


def call(text: str, target: Any = Y, batch: dict[str, Any] | None = None) -> tuple[Tensor, Tensor]:
    pred = X.clone().requires_grad_()
    value = compiled(text)(pred, target, **(BATCH if batch is None else batch))
    return value.detach(), torch.autograd.grad(value, pred)[0]


EQUAL = [
    # one prediction, one activation
    ("0.5*bce(sigmoid) + dice", "0.5*bce(sigmoid) + dice(sigmoid)"),
    ("ce + dice", "ce + dice(softmax)"),
    ("dice + focal + ce", "dice(softmax) + focal(softmax) + ce(softmax)"),
    ("0*bce(sigmoid) + dice", "dice(sigmoid)"),
    ("ce(softmax(temperature=2)) + dice", "ce(softmax(temperature=2)) + dice(softmax(temperature=2))"),
    ("nll + dice", "nll + dice(exp)"),
    ("bce_with_logits + dice", "bce(sigmoid) + dice(sigmoid)"),
    ("metric(bce(sigmoid)) + ce + dice", "metric(bce(sigmoid)) + ce + dice(softmax)"),
    ("sqrt(ce) + dice", "sqrt(ce) + dice(softmax)"),
    ("ce(softmax(temperature=2))", "ce@(pred/2, target)"),
    ("nll(log_softmax)", "ce"),
    ("nll@(pred, target)", "nll"),
    # arithmetic distributes
    ("2*(ce + 0.5*dice)", "2*ce + dice"),
    ("-(ce - dice)", "dice - ce"),
    ("ce/2", "0.5*ce"),
    ("batch.s*(ce + dice)", "batch.s*ce + batch.s*dice"),
    ("batch.sample*(ce + dice)", "batch.sample*ce + batch.sample*dice"),
    ("batch.place*(2*ce + 0.5*focal(softmax))", "2*(batch.place*ce) + 0.5*(batch.place*focal(softmax))"),
    ("ce*batch.place", "batch.place*ce"),
    ("batch.place*ce", "ce(weight=batch.place)"),
    ("batch.place*(1 - focal(softmax))", "mean(batch.place) - batch.place*focal(softmax)"),
    ("batch.s*ce", "ce*batch.s"),
    ("batch.s*ce(reduction=topk)", "batch.s*(ce(reduction=topk))"),
    ("ce**2", "ce*ce"),
    ("sqrt(mse@(pred, batch.element))", "rmse@(pred, batch.element)"),
    ("a = ce; a + a", "2*ce"),
    # reductions and masks
    ("ce(reduction=sum)", "30*ce"),
    ("ce(reduction=batchmean)", "10*ce"),
    ("ce(avg_factor=batch.n)", "ce"),
    ("ce(avg_factor=15)", "2*ce"),
    ("ce(mask=batch.keep, avg_factor=1)", "ce(mask=batch.keep, reduction=sum)"),
    ("ce(weight=batch.place, reduction=wmean)", "ce(weight=batch.place, reduction=sum)/sum(batch.place)"),
    ("ce(weight=batch.sample, reduction=wmean)", "ce(weight=batch.sample, reduction=sum)/(10*sum(batch.sample))"),
    ("focal(softmax, gamma=0)", "ce"),
    ("focal(sigmoid, gamma=0)", "bce(sigmoid)"),
    ("tversky(softmax)", "dice(softmax, smooth=2e-5)"),
    ("tversky(softmax, alpha=1, beta=1)", "jaccard(softmax)"),
    ("focal_tversky(softmax, gamma=1)", "tversky(softmax)"),
    ("ce(class_weight=[1, 1, 1, 1])", "ce"),
    ("ce(class_weight=[2, 2, 2, 2])", "ce"),
    ("bce(sigmoid, class_weight=[2, 2, 2, 2])", "2*bce(sigmoid)"),
    ("bce(sigmoid, pos_weight=3)", "bce(sigmoid, pos_weight=[3, 3, 3, 3])"),
    ("ce(ignore_index=none)", "ce"),
    ("dice(sigmoid, mask=batch.yes)", "dice(sigmoid)"),
    ("smooth_l1(beta=0.5)@(pred, batch.element)", "2*huber(delta=0.5)@(pred, batch.element)"),
    ("half_mse@(pred, batch.element)", "0.5*mse@(pred, batch.element)"),
    ("quantile@(pred, batch.element)", "0.5*l1@(pred, batch.element)"),
    ("sse@(pred, batch.element)", "mse(reduction=sum)@(pred, batch.element)"),
    ("squared_hinge", "squared_hinge(margin=1)"),
    # a factor is in no denominator
    ("batch.s*ce(class_weight=[1, 2, 3, 4])", "0.7*ce(class_weight=[1, 2, 3, 4])"),
    ("batch.place*ce(class_weight=[2, 2, 2, 2])", "batch.place*ce"),
    ("batch.s*ce(weight=batch.place, reduction=wmean)", "0.7*ce(weight=batch.place, reduction=wmean)"),
    ("batch.s*rmse@(pred, batch.element)", "0.7*rmse@(pred, batch.element)"),
    ("batch.s*dice(softmax, batch=true)", "0.7*dice(softmax, batch=true)"),
    # a weighted mean divides by the weights where they lie, masked ones apart
    ("bce(sigmoid, weight=batch.sample, reduction=wmean)",
     "bce(sigmoid, weight=batch.sample, reduction=sum)/(40*sum(batch.sample))"),
    ("bce(sigmoid, weight=batch.place, reduction=wmean)",
     "bce(sigmoid, weight=batch.place, reduction=sum)/(4*sum(batch.place))"),
    ("ce(weight=batch.place, mask=batch.keep, reduction=wmean)",
     "ce(weight=batch.place*batch.keep, reduction=sum)/sum(batch.place*batch.keep)"),
    ("ce(class_weight=[1, 2, 3, 4], reduction=wmean)", "ce(class_weight=[1, 2, 3, 4])"),
    ("bce(sigmoid, class_weight=[1, 2, 3, 4], reduction=wmean)",
     "bce(sigmoid, class_weight=[1, 2, 3, 4], reduction=sum)/300"),
    ("dice(softmax, class_weight=[1, 2, 3, 4], reduction=wmean)",
     "dice(softmax, class_weight=[1, 2, 3, 4], reduction=sum)/30"),
    # each factor of a product lies by its own rank
    ("batch.sample*batch.place*ce", "batch.sample*ce(weight=batch.place)"),
    ("batch.element*(batch.place*(batch.sample*bce(sigmoid)))",
     "batch.sample*batch.place*bce(sigmoid, weight=batch.element)"),
    ("batch.place/batch.sample*ce", "batch.place*(ce/batch.sample)"),
    ("ce(weight=batch.sample*batch.place)", "batch.place*(batch.sample*ce)"),
    # constants
    ("ce + dice + 3", "3 + (ce + dice)*1"),
    ("ce + dice + 1 + 2", "ce + (dice + 3)"),
    ("a = 3; ce + dice + a", "ce + dice + 3"),
    ("batch.sample*(2 - 3*ce)", "2*mean(batch.sample) - 3*(batch.sample*ce)"),
]  # fmt: skip


# Factors beside constants, below a minus and in a sum: each lies by its own rank.
EQUAL += [
    (
        "batch.sample*(1 - batch.s*mse@(pred, batch.element))",
        "mean(batch.sample) - 0.7*(batch.sample*mse@(pred, batch.element))",
    ),
    ("batch.sample*(1 - batch.place*ce)", "mean(batch.sample) - batch.sample*(batch.place*ce)"),
    ("batch.place*(1 - batch.s*(1 - ce))", "mean(batch.place) - 0.7*(batch.place*(1 - ce))"),
    ("-(batch.sample*batch.place)*ce", "-1*(batch.sample*(batch.place*ce))"),
    ("(1 - batch.sample*batch.place)*ce", "ce - batch.sample*(batch.place*ce)"),
]


@pytest.mark.filterwarnings("ignore:warning.W347")
@pytest.mark.parametrize(("one", "other"), EQUAL, ids=[f"{a} == {b}" for a, b in EQUAL])
def test_equal_programs(one: str, other: str):
    (value, grad), (wanted, gradient) = call(one), call(other)
    torch.testing.assert_close(value, wanted, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(grad, gradient, rtol=1e-10, atol=1e-13)


WRONG: list[tuple[str, list[str]]] = [
    ("bce(sigmoid) + ce + dice", ["E302", "W302"]),
    ("ce + dice(identity)", ["E303"]),
    ("bce(sigmoid) + nll", ["E303"]),
    ("bce(sigmoid) + dice(softmax)", ["W302"]),
    ("ce + dice(sigmoid)", ["W302"]),  # a default speaks, too
    ("dice(sigmoid) + ce", ["W302"]),
    ("ce + focal(softmax(temperature=2))", []),
    ("ce + metric(dice(sigmoid))", []),
    ("ce@seg + dice(sigmoid)@edge", []),
    ("ce(softmax(temperature=2)) + dice(softmax)", ["W302"]),
    ("bce + ce", ["W303"]),
    ("dice", ["W301"]),
    ("bce", []),
    ("dice(identity)", []),
    ("bce(sigmoid)@a + ce@b + dice@b", []),
    ("bce(sigmoid(temperature=2)) + dice + focal(sigmoid)", ["E302", "W302"]),
    ("bce_with_logits(sigmoid)", ["E301"]),
    ("dice@(sigmoid(pred), target)", ["E301", "W301"]),
    ("ce + zero_one", ["E305"]),
    ("ce(reduction=none) + dice", ["E308"]),
    ("dice(sigmoid, pos_weight=2)", ["E205"]),
    # "positive" means nothing where classes are one of many
    ("focal(softmax, pos_weight=2)", ["E205"]),
    ("focal(softmax, pos_weight=balanced)", ["E205"]),
    ("bce(softmax, pos_weight=[1, 2])", ["E205"]),
    ("ce + focal(pos_weight=2)", ["E205"]),
    ("nll + focal(pos_weight=2)", ["E205"]),
    ("ce + metric(focal(pos_weight=2))", ["E205"]),
    ("focal(sigmoid, pos_weight=2)", []),
    ("bce(sigmoid) + focal(pos_weight=balanced)", []),
    ("bce(pos_weight=2)", []),
    ("rmse(weight=batch.w)", ["E205"]),
    ("mse(class_weight=[1, 2])", ["E205"]),
    ("ce(batch=true)", ["E205"]),
    ("ce(avg_factor=3, reduction=sum)", ["E206"]),
]


def test_a_number_and_metrics_learn_nothing():
    assert "E306" in {d.code for d in losslang.check("metric(mse)")}
    assert "E306" in {d.code for d in losslang.check("3 + metric(mse)")}


@pytest.mark.parametrize(("text", "codes"), WRONG, ids=[text for text, _ in WRONG])
def test_what_check_says(text: str, codes: list[str]):
    found = {d.code for d in losslang.check(text)}
    if len(codes) == 2 and codes[1].startswith("W"):
        assert codes[0] in found
        assert found <= set(codes)
    else:
        assert sorted(found) == sorted(codes)


def test_a_mask_lies_by_its_rank():
    """(B,), (B, *S), (B, 1, *S) and (B, C, *S) of the same truth are the same mask."""
    sample = torch.tensor([True, False, True])
    ranks = [sample, sample[:, None, None].expand(3, 2, 5), sample[:, None, None, None].expand(3, 1, 2, 5)]
    for text in ("ce(mask=batch.m)", "bce(sigmoid, mask=batch.m)", "dice(softmax, mask=batch.m)"):
        values = [call(text, batch={"m": m})[0] for m in ranks]
        assert values[0] == values[1] == values[2] or torch.allclose(values[0], values[2], rtol=1e-14)
    for text in ("bce(sigmoid, mask=batch.m)", "dice(sigmoid, mask=batch.m)"):
        wide = call(text, batch={"m": ranks[2].expand(3, 4, 2, 5)})[0]
        torch.testing.assert_close(wide, call(text, batch={"m": sample})[0], rtol=1e-14, atol=0)


def test_a_mask_of_channels_is_partial_labelling():
    """Under a softmax: each channel's sums are over what is labelled of it, and every logit still counts."""
    seen = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 0]], dtype=torch.bool)
    pred = X.clone().requires_grad_()
    loss = compiled("dice(softmax, smooth=1, mask=batch.m)")
    found = loss(pred, Y, m=seen[:, :, None, None])
    p, g = torch.softmax(pred, 1).flatten(2), torch.nn.functional.one_hot(Y, 4).movedim(-1, 1).flatten(2)
    each = 1 - (2 * (p * g).sum(2) + 1) / (p.sum(2) + g.sum(2) + 1)
    wanted = each[seen].mean()
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    (grad,), (other,) = torch.autograd.grad(found, pred), torch.autograd.grad(wanted, pred)
    torch.testing.assert_close(grad, other, rtol=1e-10, atol=1e-14)
    assert (grad != 0).all()  # the logits of an unlabelled channel are in the softmax of the labelled ones


def test_a_place_is_hidden_from_a_softmax_when_all_its_channels_are_masked():
    wide = BATCH["keep"].unsqueeze(1).expand_as(X)
    spoiled = torch.where(wide, X, torch.nan)
    for text in ("dice(softmax, mask=batch.m)", "bce(softmax, mask=batch.m)", "ce + dice(mask=batch.m)"):
        pred = X.clone().requires_grad_()
        clean = compiled(text)(pred, Y, m=BATCH["keep"])
        torch.testing.assert_close(compiled(text)(pred, Y, m=wide), clean, rtol=1e-14, atol=0)
        if text.startswith("ce"):
            continue
        dirty = spoiled.clone().requires_grad_()
        value = compiled(text)(dirty, Y, m=wide)
        torch.testing.assert_close(value, clean, rtol=1e-14, atol=0)
        (grad,) = torch.autograd.grad(value, dirty)
        assert grad.isfinite().all()
        assert grad[~wide].abs().sum() == 0


def test_a_mask_of_channels_hides_from_exp():
    mask, logs = BATCH["element"] > 0.4, torch.log_softmax(X, 1)
    loss = compiled("dice(exp, mask=batch.m)")
    torch.testing.assert_close(loss(torch.where(mask, logs, torch.nan), Y, m=mask), loss(logs, Y, m=mask))


@pytest.mark.parametrize("weight", ["balanced", "complement"])
def test_weights_of_the_batch_know_no_order_of_channels(weight: str):
    """Also under a mask of channels."""
    order = torch.tensor([2, 0, 3, 1])
    truth, mask = (
        torch.nn.functional.one_hot(Y, 4).movedim(-1, 1),
        BATCH["element"] > torch.tensor([0.2, 0.5, 0.7, 0.9]).reshape(1, 4, 1, 1),
    )
    loss = compiled(f"bce(sigmoid, class_weight={weight}, mask=batch.m)")
    torch.testing.assert_close(
        loss(X[:, order], truth[:, order], m=mask[:, order]), loss(X, truth, m=mask), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_a_mask_of_any_type(kind: torch.dtype):
    plain = call("ce(mask=batch.m)", batch={"m": BATCH["keep"]})[0]
    assert call("ce(mask=batch.m)", batch={"m": BATCH["keep"].to(kind)})[0] == plain


def test_weights_leave_the_denominator_alone():
    """A weight of 2 everywhere doubles a mean; `wmean` undoes it."""
    two = {"w": torch.full((3, 2, 5), 2.0, dtype=torch.float64)}
    plain = call("ce")[0]
    torch.testing.assert_close(call("ce(weight=batch.w)", batch=two)[0], 2 * plain)
    torch.testing.assert_close(call("batch.w*ce", batch=two)[0], 2 * plain)
    torch.testing.assert_close(call("ce(weight=batch.w, reduction=wmean)", batch=two)[0], plain)


def test_all_forms_of_a_target_are_one():
    onehot = torch.nn.functional.one_hot(Y, 4).movedim(-1, 1)
    forms = [Y, Y.unsqueeze(1), Y.to(torch.uint8), onehot, onehot.bool(), onehot.double(), Y.int()]
    for text in (
        "ce",
        "nll(log_softmax)",
        "bce(sigmoid)",
        "dice(softmax)",
        "focal(softmax)",
        "focal(sigmoid)",
        "hinge",
    ):
        for form in forms:
            if text == "hinge" and form.is_floating_point():
                form = 2 * form - 1
            torch.testing.assert_close(call(text, form)[0], call(text)[0], rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.float64])
@pytest.mark.parametrize("channel", [False, True])
def test_binary_targets(kind: torch.dtype, channel: bool):
    """(B, *S) and (B, 1, *S) of any type against (B, 1, *S)."""
    pred, truth = X[:, :1], (Y > 1).unsqueeze(1)
    loss = compiled("0.5*bce(sigmoid) + dice(smooth=1)")
    target = (truth if channel else truth[:, 0]).to(kind)
    assert loss(pred, target) == loss(pred, truth.double())


def test_micro_batches_of_one_sample_make_the_batch():
    parts = [compiled("ce + dice")(X[i : i + 1], Y[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(torch.stack(parts).mean(), compiled("ce + dice")(X, Y), rtol=1e-12, atol=0)


def test_detach_trains_nothing_and_counts():
    value, grad = call("detach(ce) + dice(softmax)")
    wanted, gradient = call("dice(softmax)")
    torch.testing.assert_close(value, wanted + call("ce")[0])
    torch.testing.assert_close(grad, gradient)


def test_the_root_of_nothing_has_no_gradient():
    pred = torch.zeros(3, requires_grad=True)
    for text in ("sqrt(mse)", "mse**0.5", "rmse", "sqrt(abs(l1))"):
        value = compiled(text)(pred, torch.zeros(3))
        (grad,) = torch.autograd.grad(value, pred)
        assert value.item() == 0
        assert grad.tolist() == [0, 0, 0], text


def test_a_loss_that_is_one_number_is_divided_too():
    found, wanted = compiled("rmse(avg_factor=4)")(X, Z), compiled("rmse")(X, Z)
    torch.testing.assert_close(4 * found, wanted)


def test_the_root_of_a_small_half_number_is_not_nothing():
    found = compiled("mean(pred.score**0.5)")({"score": torch.full((4,), 1e-5, dtype=torch.float16)})
    torch.testing.assert_close(found, torch.tensor(1e-5**0.5), rtol=1e-2, atol=0, check_dtype=False)


def test_the_mean_of_half_numbers_is_taken_in_full_precision():
    found = compiled("mean(pred.score)")({"score": torch.full((1000, 100), 100.0, dtype=torch.float16)})
    assert found.dtype == torch.float32
    assert found.item() == 100


def test_a_fraction_as_target_keeps_the_precision_of_the_prediction():
    pred = torch.tensor([0.3, 0.7], dtype=torch.float64)
    value = losslang.compile("mse(target=0.1)")(pred)
    torch.testing.assert_close(value, ((pred - 0.1) ** 2).mean(), rtol=1e-15, atol=0)


@pytest.mark.parametrize("value", ["x", None, [1], True])
@pytest.mark.parametrize(("text", "name"), [("a = 1; a*l1 + mse", "a"), ("l1 + mse", "l1.weight")])
def test_an_override_that_is_no_number(text: str, name: str, value: Any):
    with pytest.raises(losslang.LossError, match="must be a number"):
        losslang.compile(text, overrides={name: value})


def test_overrides_may_be_nested():
    """As a config of nodes has them: `overrides.dice.smooth=1` on Hydra's command line makes a node `dice`."""
    text = "a = 1; gan = l1 + mse; a*ce@seg + dice(softmax)@seg + gan"
    flat = {"a": 2, "dice.seg.smooth": 1, "dice.seg.weight": 3, "gan/l1.weight": 4}
    nested = {"a": 2, "dice": {"seg": {"smooth": 1, "weight": 3}}, "gan/l1": {"weight": 4}}
    one, other = (losslang.compile(text, overrides=overrides) for overrides in (flat, nested))
    assert one.fingerprint == other.fingerprint
    assert pickle.loads(pickle.dumps(other)).fingerprint == one.fingerprint
    with pytest.raises(losslang.LossError, match=r"nothing here is called `dice\.seg\.smoth`"):
        losslang.compile(text, overrides={"dice": {"seg": {"smoth": 1}}})


SMALL = torch.tensor([200, 1, 0, 100], dtype=torch.uint8)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("mean(-batch.a)", -75.25),
        ("mean(batch.a*batch.a)", (40000 + 1 + 10000) / 4),
        ("mean(batch.a + batch.a)", 150.5),
        ("mean(abs(batch.z - batch.a))", 75.25),
        ("mean(batch.m + batch.m)", 1.0),
        ("mean(1 - batch.m)", 0.5),
        ("mean(-batch.m)", -0.5),
        ("mean(exp(-batch.z))", 1.0),
        ("mean(softplus(batch.z))", math.log(2)),
        ("mean(batch.a**-1*batch.a)", (1 + 1 + 1) / 3),
    ],
)
def test_nothing_wraps_around_in_arithmetic(text: str, wanted: float):
    """Of bytes and booleans: they are read in 64 bits, or as floats where they are not only added and multiplied."""
    a = SMALL[[0, 1, 3]] if "**" in text else SMALL
    batch = {"a": a, "z": torch.zeros_like(a), "m": torch.tensor([True, False, True, False])}
    pred = torch.zeros(4)
    loss = compiled(f"{text} + mse")
    for _ in range(3):
        assert loss(pred, pred, **batch).item() == pytest.approx(wanted)


def test_a_mask_is_arithmetic_too():
    mask = torch.tensor([255, 0, 1, 1], dtype=torch.uint8)
    pred, target = torch.tensor([1.0, 2, 3, 4]), torch.zeros(4)
    wanted = (1 + 9 + 16) / 3
    assert compiled("mse(mask=batch.a + batch.b)")(pred, target, a=mask, b=mask).item() == pytest.approx(
        wanted
    )
    assert compiled("mse(mask=1 - batch.m)")(pred, target, m=mask == 0).item() == pytest.approx(wanted)


def test_arithmetic_on_labels_gives_labels():
    logits, labels = X[:, :, 0, 0], torch.tensor([1, 4, 2])
    wanted = torch.nn.functional.cross_entropy(logits, labels - 1)
    torch.testing.assert_close(compiled("ce(target=target - 1)")(logits, labels), wanted)


@pytest.mark.parametrize("text", ["kl(identity)", "js(identity)", "listwise_softmax", "multilabel_margin"])
def test_one_axis_is_no_prediction_of_classes(text: str):
    with pytest.raises(losslang.LossError, match="E517"):
        compiled(text)(torch.rand(4), torch.rand(4))


@pytest.mark.parametrize(
    "text", ["ce(class_weight=const.w)", "ce(class_weight=const.w, reduction=sum, label_smoothing=0.1)"]
)
def test_weights_of_classes_can_be_learned(text: str):
    labels = torch.tensor([0, 2, 3])
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64))
    logits = X[:, :, 0, 0]
    loss = losslang.compile(text, const={"w": weight})
    fixed = losslang.compile(text, const={"w": weight.detach()})
    torch.testing.assert_close(loss(logits, labels), fixed(logits, labels))
    assert torch.autograd.gradcheck(
        lambda w: losslang.compile(text.replace("const", "batch"))(logits, labels, w=w), weight
    )
