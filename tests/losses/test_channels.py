"""`classes=[1, 2]`: which channels a region loss counts, of views, targets, masks and weights alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from _every_loss import LOSSES, REGION, compiled, data, uses
from cutting import cut
from torch import Tensor

import losslang

R = torch.Generator().manual_seed(3)
PRED, LABELS = (
    torch.randn(3, 4, 5, 2, generator=R, dtype=torch.float64),
    torch.randint(4, (3, 5, 2), generator=R),
)
BY_CLASS = [name for name in REGION if LOSSES[name].result_axes == ("b", "c") and name != "lovasz_softmax"]
"""Losses with a value for each class, which the other channels do not change."""
LISTS = ([1, 2], [3, 1], [0], [2, 0, 3, 1])


def grad(value: Tensor, of: Tensor) -> Tensor:
    return torch.autograd.grad(value, of)[0]


def same(text: str, pred: Tensor, wanted: Any, *others: Any, **batch: Any) -> None:
    """The value and the gradient of a program, whole and in blocks."""
    for elements in (None, 16):
        x = pred.clone().requires_grad_()
        if elements is None:
            found = compiled(text)(x, *others, **batch)
        else:
            with cut(elements):
                found = compiled(text)(x, *others, **batch)
        y = pred.clone().requires_grad_()
        value = wanted(y)
        torch.testing.assert_close(found, value, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(grad(found, x), grad(value, y), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", BY_CLASS)
@pytest.mark.parametrize("classes", LISTS, ids=str)
def test_the_channels_that_count_are_those_of_the_list(name: str, classes: list[int]) -> None:
    for use in uses(name):
        inside = f"{use}, " if use else ""
        pred, target, batch = data(name, use)
        classes = [channel for channel in classes if channel < pred.shape[1]]
        each = compiled(f"{name}({inside}reduction=none)")
        same(
            f"{name}({inside}classes={classes})",
            pred.detach(),
            lambda x, e=each, t=target, b=batch, c=classes: e(x, t, **b)[:, c].mean(),
            target,
            **batch,
        )


@pytest.mark.parametrize("name", [n for n in REGION if n not in BY_CLASS])
def test_a_list_of_all_but_the_first_is_background_false(name: str) -> None:
    use = uses(name)[0]
    inside = f"{use}, " if use else ""
    pred, target, batch = data(name, use)
    every = list(range(1, pred.shape[1]))
    for option in ("", ", batch=true") if LOSSES[name].has_total else ("",):
        one = compiled(f"{name}({inside}background=false{option})")
        if name == "lovasz_softmax":
            one = compiled(f"{name}({inside}background=false, classes=all)")
        found = compiled(f"{name}({inside}classes={every}{option})")(pred, target, **batch)
        torch.testing.assert_close(found, one(pred, target, **batch))


def test_masks_weights_and_absent_classes_go_with_their_channels() -> None:
    each = losslang.compile("dice(softmax, reduction=none)")
    mask = torch.rand(3, 4, 5, 2, generator=R) > 0.3
    part = losslang.compile("dice(softmax, mask=batch.m, reduction=none)")
    weights = torch.tensor([5.0, 7.0], dtype=torch.float64)

    def weighed(x: Tensor) -> Tensor:
        return (each(x, LABELS)[:, [3, 1]] * weights).mean()

    same("dice(softmax, classes=[3, 1], class_weight=[5, 7])", PRED, weighed, LABELS)
    same(
        "dice(softmax, classes=[3, 1], class_weight=const.w)".replace("const.w", "[5, 7]"),
        PRED,
        weighed,
        LABELS,
    )
    same(
        "dice(softmax, classes=[3, 1], mask=batch.m)",
        PRED,
        lambda x: part(x, LABELS, m=mask)[:, [3, 1]].mean(),
        LABELS,
        m=mask,
    )
    two = LABELS.clamp(max=2)
    both = losslang.compile("dice(softmax, empty=skip, reduction=none)")
    same(
        "dice(softmax, classes=[2, 3], empty=skip)",
        PRED,
        lambda x: (v := both(x, two)[:, [2, 3]]).sum() / (v != 0).sum(),
        two,
    )
    w = torch.rand(3, 4, generator=R, dtype=torch.float64)
    same(
        "(batch.w)*dice(softmax, classes=[3, 1])",
        PRED,
        lambda x: (w * each(x, LABELS))[:, [3, 1]].mean(),
        LABELS,
        w=w[:, :, None, None],
    )
    with pytest.raises(losslang.LossError, match=r"E513.*has 4 entries, and the prediction 2 classes"):
        losslang.compile("dice(softmax, classes=[3, 1], class_weight=[1, 1, 1, 1])")(PRED, LABELS)


def test_balanced_weights_count_the_chosen_classes() -> None:
    found = losslang.compile("dice(softmax, classes=[3, 1], class_weight=complement)")(PRED, LABELS)
    counts = torch.stack([(c == LABELS).sum() for c in (3, 1)])
    # Of N places that are told apart by two channels, N - N_c are not those of c.
    share = (LABELS.numel() - counts) / LABELS.numel()
    value = losslang.compile("dice(softmax, reduction=none)")(PRED, LABELS)[:, [3, 1]]
    torch.testing.assert_close(found, (value * share).mean())


def test_lovasz_has_words_and_lists_of_classes() -> None:
    """Berman's `classes`: "present", "all", or a list, of which absent classes count too."""
    each = losslang.compile("lovasz_softmax(softmax, classes=all, reduction=none)")
    same("lovasz_softmax(softmax, classes=[3, 1])", PRED, lambda x: each(x, LABELS)[:, [3, 1]].mean(), LABELS)
    assert "classes=[3, 1]," in str(losslang.compile("lovasz_softmax(softmax, classes=[3, 1])").meaning)


SMP = {
    "dice": {
        "": 0.4286766052246094,
        "[1, 2]": 0.4872165620326996,
        "[3, 1]": 0.2754736542701721,
        "[0]": 0.7402732372283936,
    },
    "jaccard": {
        "": 0.5390547513961792,
        "[1, 2]": 0.6527319550514221,
        "[3, 1]": 0.35523277521133423,
        "[0]": 0.8507550954818726,
    },
}
"""DiceLoss("multiclass", classes=...) and JaccardLoss of segmentation_models_pytorch 0.6.0, on the tensors below."""


@pytest.mark.parametrize("name", SMP)
def test_numbers_of_smp(name: str) -> None:
    logits = torch.tensor(
        [
            [
                [[0.5, -1.0], [2.0, 0.25]],
                [[1.0, 0.0], [-0.5, 1.5]],
                [[-1.0, 2.0], [0.5, 0.0]],
                [[0.0, 0.5], [-2.0, 1.0]],
            ]
        ]
    )
    labels = torch.tensor([[[0, 2], [2, 1]]])
    for classes, wanted in SMP[name].items():
        option = f", classes={classes}" if classes else ""
        value = losslang.compile(f"{name}(softmax, like=smp{option})")(logits, labels)
        assert value.item() == pytest.approx(wanted, abs=1e-6)


def test_what_is_no_channel_is_refused() -> None:
    for text, code in {
        "dice(softmax, classes=[1, 1])": "E202",
        "dice(softmax, classes=[])": "E202",
        "dice(softmax, classes=[-1])": "E202",
        "dice(softmax, classes=1)": "E202",
        "lovasz_softmax(softmax, classes=[1, 1])": "E202",
        "dice(softmax, classes=[1], background=false)": "E206",
        "lovasz_softmax(softmax, classes=[1], background=false)": "E206",
        "ce(classes=[1])": "E205",
        "ssim(classes=[1])": "E205",
    }.items():
        assert [d.code for d in losslang.check(text) if d.code[0] == "E"] == [code], text
    assert not losslang.check("lovasz_softmax(softmax, classes=present, background=false)")
    with pytest.raises(
        losslang.LossError, match=r"E551.*counts channel 4, and the prediction has channels 0 to 3"
    ):
        losslang.compile("dice(softmax, classes=[1, 4])")(PRED, LABELS)


def test_a_preset_leaves_its_background_to_a_written_list() -> None:
    text = str(losslang.compile("unified_focal(softmax, like=monai, classes=[1, 2])").meaning)
    assert "classes=[1, 2]" in text
    assert "background" not in text


def test_a_traced_program_counts_the_same_channels() -> None:
    loss = losslang.compile("dice(softmax, classes=[3, 1], mask=batch.m) + ce(mask=batch.m)")
    mask = torch.rand(3, 5, 2, generator=R) > 0.3
    traced = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(traced(PRED, LABELS, m=mask), loss(PRED, LABELS, m=mask))
