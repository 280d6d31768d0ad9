"""What stands beside `like=`: another denominator, weights along another axis, an option of another scale."""

from __future__ import annotations

import pytest
import torch

import losslang

WEIGHERS = ["torch", "mmseg", "smp", "toolbelt", "timm", "nnunet"]
"""Libraries whose weights of positives lie along the last axis of a prediction, as torch's."""


def likeness(text: str) -> str:
    """What explain says of a `like=`."""
    (line,) = [line for line in losslang.explain(text).splitlines() if line.strip().startswith("like ")]
    return line.strip().removeprefix("like").strip()


def codes(text: str) -> list[str]:
    return [found.code for found in losslang.check(text) if found.is_error]


# ------------------------------------------------------------------------- weights of positives


@pytest.mark.parametrize("library", WEIGHERS)
@pytest.mark.parametrize("shape", [(2, 3, 3), (2, 3, 4, 3)], ids=str)
@pytest.mark.parametrize("written", ["[1, 2, 0.5]", "batch.w", "const.w"])
def test_a_weight_for_each_class_is_refused_where_classes_are_not_last(
    library: str, shape: tuple[int, ...], written: str
):
    """Even where the last axis is as long as that of the classes: torch gives a number then, and another one."""
    weights = torch.tensor([1, 2, 0.5])
    constants = {"w": [1, 2, 0.5]} if written == "const.w" else None
    loss = losslang.compile(f"bce(sigmoid, like={library}, pos_weight={written})", const=constants)
    given = {"w": weights} if written == "batch.w" else {}
    pred, target = torch.randn(shape), (torch.rand(shape) > 0.5).float()
    for _ in range(2):
        with pytest.raises(losslang.LossError, match="E526") as caught:
            loss(pred, target, **given)
    if library != "mmseg" or len(shape) == 4:
        assert "the library lays it along the last axis" in str(caught.value)


@pytest.mark.parametrize("library", WEIGHERS)
def test_a_weight_for_each_class_of_rows_is_given(library: str):
    pred, target = torch.randn(5, 3), (torch.rand(5, 3) > 0.5).float()
    found = losslang.compile(f"bce(sigmoid, like={library}, pos_weight=[1, 2, 0.5])")(pred, target)
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(
        pred, target, pos_weight=torch.tensor([1, 2, 0.5])
    )
    torch.testing.assert_close(found, wanted)


def test_weights_that_name_their_axis_are_given():
    """(1, C, 1, 1) lies along the channels in torch too; one number is for all, in a list as well."""
    pred, target = torch.randn(2, 3, 4, 5), (torch.rand(2, 3, 4, 5) > 0.5).float()
    weights = torch.tensor([1, 2, 0.5]).reshape(1, 3, 1, 1)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    found = losslang.compile("bce(sigmoid, like=torch, pos_weight=batch.w)")(pred, target, w=weights)
    torch.testing.assert_close(found, entropy(pred, target, pos_weight=weights))
    one = entropy(pred, target, pos_weight=torch.tensor([2.0]))
    torch.testing.assert_close(
        losslang.compile("bce(sigmoid, like=torch, pos_weight=[2])")(pred, target), one
    )
    for given in (2.0, torch.tensor(2.0), torch.tensor([2.0])):
        found = losslang.compile("bce(sigmoid, like=torch, pos_weight=batch.w)")(pred, target, w=given)
        torch.testing.assert_close(found, one)


# ------------------------------------------------------------------------- soft truths


@pytest.mark.parametrize(
    "text",
    [
        "focal(sigmoid, like=smp)",
        "focal(sigmoid, like=kornia)",
        "focal(sigmoid, like=monai)",
        "asl(sigmoid, like=timm)",
        "balanced_bce(sigmoid, like=toolbelt)",
        "jaccard(softmax, like=toolbelt)",
        "tversky(softmax, like=kornia)",
        "gdl(softmax, like=kornia)",
        "lovasz_softmax(softmax, like=mmseg)",
    ],
)
def test_a_truth_between_0_and_1_is_refused_where_the_formula_is_another(text: str):
    pred, soft = torch.randn(2, 3, 4, 5), torch.rand(2, 3, 4, 5).softmax(1)
    with pytest.raises(losslang.LossError, match="of a truth between 0 and 1"):
        losslang.compile(text)(pred, soft)
    hard = torch.nn.functional.one_hot(soft.argmax(1), 3).movedim(-1, 1).float()
    assert losslang.compile(text)(pred, hard).isfinite()


@pytest.mark.parametrize("library", ["torchvision", "fvcore", "mmdet", "toolbelt", "optax"])
def test_a_truth_between_0_and_1_is_given_where_the_formula_is_ours(library: str):
    pred, soft = torch.randn(4, 3), torch.rand(4, 3)
    assert losslang.compile(f"focal(sigmoid, like={library})")(pred, soft).isfinite()


# ------------------------------------------------------------------------- reductions


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ce(like=smp, reduction=mean)", "its mean counts what is ignored too"),
        ("ce(like=toolbelt, reduction=mean)", "its mean counts what is ignored too"),
        ("ce(like=mmdet, reduction=mean)", "its mean counts what is ignored too"),
        ("ce(like=mmseg, reduction=mean)", "its mean divides by the weights of the labels"),
        ("ce(like=torch, class_weight=[1, 2], reduction=mean)", "divides by the weights of the labels"),
        ("nll(like=torch, class_weight=[1, 2], reduction=mean)", "divides by the weights of the labels"),
        ("bce(sigmoid, like=smp, reduction=mean)", "its mean counts what is ignored too"),
        ("focal(like=kornia, ignore_index=255, reduction=mean)", "its mean counts what is ignored too"),
        ("focal(like=toolbelt, mask=batch.m, reduction=mean)", "its mean counts what is ignored too"),
        ("asl(like=timm, reduction=mean)", "divides by the samples"),
        ("generalized_kl(like=optax, reduction=mean)", "divides by the samples"),
        ("tv(like=kornia, reduction=mean)", "divides by the samples"),
        ("dice(softmax, like=kornia, reduction=mean)", "that of the means of the samples"),
    ],
)
def test_a_mean_that_is_not_the_libraries_is_refused(text: str, reason: str):
    (wrong,) = [found for found in losslang.check(text) if found.is_error]
    assert wrong.code == "E210"
    assert "`reduction=mean`" in wrong.message
    assert reason in wrong.message
    assert "leave out `reduction`" in wrong.fix


@pytest.mark.parametrize(
    "text",
    [
        "ce(like=torch, reduction=mean)",
        "nll(like=torch, reduction=mean)",
        "ce(like=smp, ignore_index=none, reduction=mean)",
        "bce(like=mmdet, reduction=mean)",
        "focal(like=kornia, reduction=mean)",
        "kl(like=keras, reduction=mean)@(pred.a, pred.b)",
        "mse(like=torch, reduction=mean)",
    ],
)
def test_a_mean_that_is_the_same_is_given(text: str):
    assert not codes(text)
    assert likeness(text).startswith("the number of ")


@pytest.mark.parametrize(
    ("text", "beside"),
    [
        ("ce(like=smp, reduction=batchmean)", "reduction"),
        ("ce(like=torch, reduction=topk(frac=0.2))", "reduction"),
        ("ce(like=torch, reduction=wmean_all)", "reduction"),
        ("dice(softmax, like=smp, reduction=sum)", "reduction"),
        ("dice(softmax, like=nnunet, reduction=none)", "reduction"),
        ("ce(like=mmdet, avg_factor=10)", "avg_factor"),
        ("mse(like=torch, mask=batch.m)", "mask"),
        ("bce(sigmoid, like=torch, pos_weight=balanced)", "pos_weight"),
        ("ce(like=torch, class_weight=balanced)", "class_weight"),
    ],
)
def test_what_the_library_does_not_have_is_not_its_number(text: str, beside: str):
    """The options are the library's; the number is nobody's but ours."""
    said = likeness(text)
    assert said.startswith("the options of ")
    assert f"`{beside}` beside it: ours alone, or not compared" in said


def test_what_a_neighbour_says_stands_beside_it_too():
    text = "ce(ignore_index=255) + dice(softmax, like=optax)"
    assert "`ignore_index` beside it" in likeness(text)


@pytest.mark.parametrize("reduction", ["sum", "none", "mean"])
def test_a_reduction_that_was_compared_is_its_number(reduction: str):
    assert likeness(f"ce(like=torch, reduction={reduction})").startswith("the number of ")


@pytest.mark.parametrize(
    "text",
    [
        "mse(like=keras, reduction=none)",
        "focal(sigmoid, like=smp, reduction=none)",
        "quality_focal(like=mmdet, reduction=none)",
        "ssim(like=monai, reduction=none)",
        "lovasz_softmax(like=mmseg, reduction=none)",
    ],
)
def test_values_that_are_not_the_libraries_are_refused(text: str):
    assert codes(text) == ["E210"]


# ------------------------------------------------------------------------- distributions and scales


def test_keras_divides_probabilities_by_their_sum():
    """Here they are taken as they are, so what does not add up to 1 is refused."""
    probs = torch.tensor([[0.2, 0.2, 0.2], [0.5, 0.1, 0.1]])
    loss = losslang.compile("ce(identity, like=keras)")
    with pytest.raises(losslang.LossError, match="of channels that do not add up to 1"):
        loss(probs, torch.tensor([0, 1]))
    with pytest.raises(losslang.LossError, match="E526"):
        losslang.compile("ce(identity, like=keras)")(probs[:, :1], torch.tensor([[1.0], [0.0]]))
    assert loss(probs / probs.sum(1, keepdim=True), torch.tensor([0, 1])).isfinite()


@pytest.mark.parametrize(
    "text",
    [
        "jaccard(sigmoid, like=monai, smooth=1)",
        "dice(sigmoid, like=smp, smooth=1)",
        "dice(softmax, like=optax, smooth=1)",
        "bce(sigmoid, like=smp, label_smoothing=0.1)",
        "bce(sigmoid, like=toolbelt, label_smoothing=0.1)",
    ],
)
def test_an_option_of_another_scale_is_refused(text: str):
    (wrong,) = [found for found in losslang.check(text) if found.is_error]
    assert wrong.code == "E210"
    assert "half" in wrong.message or "twice" in wrong.message
