"""How masks, weights and vectors lie: by rank, by root, by what a loss declares and by `channels=`; never by size."""

from __future__ import annotations

import itertools
import re
import warnings
from contextlib import nullcontext
from math import prod
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cutting import cut
from torch import Tensor
from torch.testing import assert_close

import losslang
from losslang.plan.operations.notices import ALREADY_GIVEN

B, SIZES = 2, (2, 3, 4)
"""Sizes that agree with one another: where they decided, one of them would be taken for another."""


def value(
    text: str, pred: Any, target: Any = None, const: dict[str, Any] | None = None, **batch: Any
) -> Tensor:
    return losslang.compile(text, const=const)(pred, target, **batch)


def refused(text: str, *tensors: Any, const: dict[str, Any] | None = None, **batch: Any) -> str:
    """The code of the mistake, and its repair."""
    with pytest.raises(losslang.LossError) as error:
        value(text, *tensors, const=const, **batch)
    (diagnostic,) = error.value.diagnostics
    return f"{diagnostic.code} {diagnostic.fix}"


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


# ------------------------------------------------------------------- masks and weights


@pytest.mark.parametrize("steps", [7, 8, 9])
@pytest.mark.parametrize(
    "text", ["mse(mask=batch.m)", "mse(weight=batch.m)", "batch.m*huber", "huber(mask=batch.m)"]
)
@pytest.mark.parametrize("large", [False, True])
def test_a_padded_step_costs_nothing_whatever_its_size(text: str, steps: int, large: bool):
    """(B, T) beside (B, T, D) lacks D, for T = D too."""
    target = draw(2, steps, 8)
    pred = target.clone()
    pred[:, steps // 2 :] = 100.0
    kept = torch.ones(2, steps)
    kept[:, steps // 2 :] = 0
    if large:
        with cut(16):
            assert value(text, pred, target, m=kept) == 0
    else:
        assert value(text, pred, target, m=kept) == 0


SHAPES = [shape for rank in (1, 2, 3, 4) for shape in itertools.product(SIZES[:2], repeat=rank)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_mask_of_plain_values_lies_by_its_rank(shape: tuple[int, ...]):
    """Rank 1 along the samples; one rank less lacks the last axis of three, axis 1 of four."""
    pred, target = draw(*shape), draw(*(2 * s for s in shape))[tuple(slice(s) for s in shape)]
    squares = (pred - target) ** 2
    masks = [torch.arange(shape[0]) % 2 == 0]
    laid = [masks[0].reshape(-1, *[1] * (len(shape) - 1))]
    if len(shape) > 2:
        axis = -1 if len(shape) == 3 else 1
        lacking = list(shape)
        del lacking[axis]
        masks.append(draw(*lacking) > 0)
        laid.append(masks[-1].unsqueeze(axis))
    for mask, wide in zip(masks, laid, strict=True):
        kept = wide.expand(shape)
        wanted = squares[kept].mean() if kept.any() else torch.zeros((), dtype=torch.float64)
        assert_close(value("mse(mask=batch.m)", pred, target, m=mask), wanted)
        assert_close(value("batch.m*mse", pred, target, m=mask.double()), (squares * wide).mean())


@pytest.mark.filterwarnings("ignore::losslang.LossWarning")  # of axes of one size
@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 2), (3, 3, 3), (2, 2, 2, 2), (2, 3, 2, 3)], ids=str)
@pytest.mark.parametrize(
    "text", ["bce(sigmoid, mask=batch.m)", "ce(mask=batch.m)", "dice(sigmoid, mask=batch.m)"]
)
def test_a_mask_of_classes_lacks_axis_1(text: str, shape: tuple[int, ...]):
    if "dice" in text and len(shape) == 2:
        pytest.skip("a region has space")
    pred, target = draw(*shape), torch.randint(shape[1], (shape[0], *shape[2:]))
    kept = torch.arange(shape[0] * target[0].numel()).reshape(target.shape) % 2 == 0
    spoiled = torch.where(kept.unsqueeze(1), pred, torch.nan)
    found = value(text, spoiled, target, m=kept)
    assert_close(found, value(text, pred, target, m=kept.unsqueeze(1)))
    assert found.isfinite()


def test_boxes_and_quantiles_lack_the_last_axis():
    boxes = torch.tensor([0.0, 0, 1, 1]).expand(4, 4, 4)
    far = boxes.clone()
    far[:, 2:] += 5
    kept = torch.ones(4, 4)
    kept[:, 2:] = 0
    assert value("iou(mask=batch.m)", far, boxes, m=kept) < 1e-6
    pred, target = draw(3, 3, 3), draw(3, 3)
    pred[:, 1:] = target[:, 1:].unsqueeze(-1)
    skipped = torch.tensor([0.0, 1, 1]).expand(3, 3)
    assert value("quantile(q=[0.1, 0.5, 0.9], mask=batch.m)", pred, target, m=skipped) == 0


@pytest.mark.parametrize(
    ("text", "shape", "axis"),
    [
        ("const.w*mse", (3, 3), 1),
        ("const.w*mse", (3, 3, 3), 2),
        ("const.w*mse", (3, 3, 3, 3), 1),
        ("const.w*mse(channels=first)", (3, 3, 3), 1),
        ("const.w*mse(channels=last)", (3, 3, 3, 3), 3),
        ("mse(weight=const.w)", (3, 3, 3), 2),
        ("mean(const.w*(pred - target)**2)", (3, 3, 3), 2),
        ("mean(const.w*(pred - target)**2)", (3, 3, 3, 3), 1),
        ("mean((pred - target)**2*const.w)", (3, 3), 1),
    ],
)
def test_a_vector_of_const_lies_along_the_channels(text: str, shape: tuple[int, ...], axis: int):
    pred, target, weight = draw(*shape), draw(*shape) + 1, torch.tensor([1.0, 10.0, 100.0]).double()
    wide = weight.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    assert_close(value(text, pred, target, const={"w": weight}), (wide * (pred - target) ** 2).mean())


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("batch.w*mse", (4, 3, 8, 4)),
        ("mean(batch.w*(pred - target)**2)", (4, 3, 8, 4)),
        ("mean((pred - target)**2*batch.w)", (4, 3, 8, 4)),
        ("mean((pred - target)**2*batch.w)", (4, 4)),
        ("mean((pred - target)**2/(1/batch.w))", (4, 1)),
        ("mean(batch.w*(pred - target)**2)", (4,)),
    ],
)
def test_a_vector_of_the_call_lies_along_the_samples(text: str, shape: tuple[int, ...]):
    pred, target, weight = draw(*shape), draw(*shape) + 1, torch.tensor([1.0, 10.0, 100.0, 1000.0]).double()
    wide = weight.reshape(-1, *[1] * (len(shape) - 1))
    assert_close(value(text, pred, target, w=weight), (wide * (pred - target) ** 2).mean())


def test_a_sum_of_products_has_the_shape_of_its_terms():
    assert value("sum(pred*batch.w)", torch.ones(4, 1), w=torch.ones(4)) == 4
    assert value("sum(min(pred, batch.w, 5))", torch.ones(4, 2), w=torch.arange(4.0)) == 6


# ------------------------------------------------------------------- what no rank decides


def test_what_does_not_lie_is_refused_with_both_spellings():
    pred = draw(2, 7, 8)
    found = refused("mse(mask=batch.m)", pred, pred, m=torch.ones(2, 8))
    assert found == (
        "E509 give it the shape (2, 7, 8) or (2, 7) or (2,); (2, 8) is read with `channels=first`"
    )
    assert value("mse(mask=batch.m, channels=first)", pred, pred, m=torch.ones(2, 8)) == 0
    assert refused("mse(mask=batch.m)", draw(5, 3), draw(5, 3), m=torch.ones(3)).startswith("E509")
    image = draw(2, 3, 4, 4)
    assert refused("mse(mask=batch.m)", image, image, m=torch.ones(4, 4)).startswith("E509")


@pytest.mark.parametrize("sizes", [(4, 4), (4, 3)])
def test_samples_beside_channels_are_refused_however_many_there_are(sizes: tuple[int, int]):
    """(B,) of the call times (C,) of `const`."""
    rows, columns = sizes
    pred = draw(rows, columns)
    const = {"c": torch.ones(columns)}
    found = refused("mean(batch.w*const.c*pred)", pred, const=const, w=torch.ones(rows))
    assert found.startswith("E504")
    assert_close(value("mean(batch.w*pred*const.c)", pred, const=const, w=torch.ones(rows)), pred.mean())


@pytest.mark.parametrize("shape", [(2, 3), (3, 4), (3, 4, 5)], ids=str)
def test_other_differences_of_ranks_are_refused(shape: tuple[int, ...]):
    assert refused("mean(pred*batch.w)", draw(2, 3, 4, 5), w=draw(*shape)).startswith("E504")


@pytest.mark.parametrize(("text", "fix"), [
    ("sum(mse)", "`mse(reduction=sum)`"),
    ("mean(mse)", "`mse`"),
    ("sum(dice(sigmoid))", "`dice(sigmoid, reduction=sum)`"),
    ("mean(mse(reduction=none))", "`mse`"),
    ("0.5*mean(ce + dice)", "`ce(softmax) + dice`"),
    ("sum(ce + 2*rmse)", "`ce(softmax, reduction=sum) + 2*rmse`"),
    ("mean(kl(softmax))", "`kl(softmax, reduction=mean)`"),
    ("mean(batch.mask*bce(sigmoid, reduction=none))", "`bce(sigmoid, mask=batch.mask)`"),
    ("sum(batch.w*batch.valid*mse@a)", "`batch.w*mse(mask=batch.valid, reduction=sum)@a`"),
])  # fmt: skip
def test_a_loss_is_reduced_once(text: str, fix: str):
    (found,) = losslang.check(text)
    assert (found.code, found.fix) == ("E316", fix)
    assert not any(again.is_error for again in losslang.check(fix.strip("`")))


# ------------------------------------------------------------------- channels=


def test_the_logits_of_a_language_model_have_their_classes_last():
    for steps in (5, 7):
        logits, labels = draw(2, steps, 7).requires_grad_(), torch.randint(7, (2, steps))
        wanted = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        found = value("ce(channels=last)", logits, labels)
        assert_close(found, wanted)
        assert_close(torch.autograd.grad(found, logits), torch.autograd.grad(wanted, logits))


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "ce({}) + dice",
        "bce(sigmoid, mask=batch.m, {}) + dice",
        "focal(softmax, weight=batch.m, {})",
        "ce(class_weight=[1, 2, 3], ignore_index=2, {})",
        "batch.e*bce(sigmoid, {})",
        "dice(softmax, background=false, {})",
        "l1({})@(pred[0:2], batch.truth[1:3])",
        "const.w*bce(sigmoid, {})",
        "ce(mask=batch.m, {}) + mean(pred[0:1]**2)",
    ],
)
def test_channels_last_is_channels_first_of_moved_tensors(text: str, large: bool):
    """(B, H, W, C), with one-hot targets, masks and weights in the same layout, and H = C."""
    pred, truth, every = draw(2, 3, 4, 3), draw(2, 3, 4, 3).softmax(-1), draw(2, 3, 4, 3).abs()
    labels, mask = torch.randint(3, (2, 3, 4)), torch.randint(2, (2, 3, 4))
    const = {"w": torch.tensor([1.0, 2.0, 3.0])}

    def run(channels: str, *axes: int) -> tuple[Tensor, Tensor]:
        leaf = pred.movedim(*axes).detach().requires_grad_()
        batch = {"m": mask, "e": every.movedim(*axes), "truth": truth.movedim(*axes)}
        loss = losslang.compile(text.format(f"channels={channels}"), const=const)
        total = loss(leaf, labels, **batch)
        (gradient,) = torch.autograd.grad(total, leaf)
        return total, gradient.movedim(axes[1], axes[0])

    if large:
        with cut(16):
            found, wanted = run("last", 0, 0), run("first", -1, 1)
    else:
        found, wanted = run("last", 0, 0), run("first", -1, 1)
    assert_close(found, wanted)


def test_one_hot_targets_follow_the_prediction():
    pred, labels = draw(2, 3, 4, 3), torch.randint(3, (2, 3, 4))
    hot = F.one_hot(labels, 3).double()
    for text in ("ce(channels=last)", "dice(softmax, channels=last)", "bce(sigmoid, channels=last)"):
        assert_close(value(text, pred, hot), value(text, pred, labels))
    binary = draw(2, 3, 4, 1), torch.randint(2, (2, 3, 4, 1))
    moved = [x.movedim(-1, 1) for x in binary]
    assert_close(value("bce(sigmoid, channels=last)", *binary), value("bce(sigmoid)", *moved))


def test_rows_of_maps_say_where_their_numbers_are():
    x, y = draw(2, 3, 4, 5), draw(2, 3, 4, 5) + 1
    assert refused("cosine", x, y).startswith("E517 `channels=first`")
    assert_close(value("cosine(channels=first)", x, y), (1 - F.cosine_similarity(x, y, dim=1)).mean())
    assert_close(value("cosine(channels=last)", x, y), (1 - F.cosine_similarity(x, y, dim=-1)).mean())
    kept = torch.arange(2 * 4 * 5).reshape(2, 4, 5) % 3 > 0
    wanted = (1 - F.cosine_similarity(x, y, dim=1))[kept].mean()
    assert_close(value("cosine(channels=first, mask=batch.m)", x, y, m=kept), wanted)


@pytest.mark.parametrize("text", ["tv", "-psnr", "spectral", "lncc(window=3)", "silog"])
def test_an_image_without_its_batch_is_refused(text: str):
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.5
    given = (x,) if text == "tv" else (x, x.flip(-1))
    assert refused(text, *given).startswith("E517 give an image its batch")
    signal = text[:-1] + ", channels=first)" if text.endswith(")") else text + "(channels=first)"
    assert value(signal, *given).isfinite()


@pytest.mark.parametrize(
    "text", ["1 - ssim(window=3)", "dssim(window=3)", "depth_smoothness@(pred, batch.image)"]
)
def test_images_have_two_axes_of_space_at_least(text: str):
    x = torch.rand(3, 8, 8)
    assert refused(text, x, x, image=x).startswith("E517")


def test_a_slice_of_three_plain_axes_says_which_it_is():
    x, y = draw(2, 3, 3), draw(2, 3, 3)
    assert refused("l1@(pred[0:2], target[0:2])", x, y).startswith("E530")
    for channels, axis in (("first", 1), ("last", 2)):
        found = value(f"l1(channels={channels})@(pred[0:2], target[0:2])", x, y)
        assert_close(found, (x - y).narrow(axis, 0, 2).abs().mean())
    images = draw(2, 3, 3, 3), draw(2, 3, 3, 3) + 1
    assert_close(value("l1@(pred[0:2], target[0:2])", *images), (images[0] - images[1])[:, :2].abs().mean())


def test_two_terms_contradict_each_other():
    (found,) = losslang.check("ce(channels=last) + dice(channels=first)")
    assert found.code == "E317"
    assert not losslang.check("ce(channels=last)@a + dice(softmax, channels=first)@b")


def test_explain_says_how_each_lies():
    text = losslang.explain("ce(channels=last, mask=batch.m) + const.w*dice + batch.v*mse@(pred.x, target.x)")
    assert "channels=last  (taken from `ce`)" in text
    assert (
        "mask=batch.m: either of rank 1, one number a sample, or of one rank less than the prediction, without the last axis"
        in text
    )
    assert "const.w: either of rank 1, one number a channel" in text
    assert (
        "batch.v: either of rank 1, one number a sample, or of one rank less than the prediction, without the last axis of three"
        in text
    )
    text = losslang.explain(
        "gaussian_nll(variance=const.v) + cosine_embedding(sign=batch.s) + mase(history=batch.h)"
    )
    assert "variance=const.v: either of rank 1, one number a channel" in text
    assert (
        "sign=batch.s: either of rank 1, one number a sample, or of one rank less than the prediction, without the last axis"
        in text
    )
    assert "history=batch.h: either" not in text


def test_a_traced_call_lies_as_an_eager_one():
    pred, target = draw(4, 4, 4), draw(4, 4, 4) + 1
    batch = {"m": torch.arange(16).reshape(4, 4) % 2 == 0, "w": torch.arange(4.0).double()}
    for text in (
        "mse(mask=batch.m)",
        "mean(batch.w*(pred - target)**2)",
        "mse(channels=first, mask=batch.m)",
    ):
        loss = losslang.compile(text)
        compiled = torch.compile(loss, fullgraph=True, backend="eager")
        assert_close(compiled(pred, target, **batch), loss(pred, target, **batch))


@pytest.mark.parametrize("text", ["ce(class_weight=batch.w)", "dice(softmax, class_weight=batch.w)"])
def test_weights_of_classes_are_one_number_a_class(text: str):
    """Of a map with as many places as there are classes nothing is laid over the classes."""
    pred, target, weight = draw(2, 4, 2, 2), torch.randint(4, (2, 2, 2)), torch.tensor([1.0, 2.0, 3.0, 4.0])
    wanted = value(text, pred, target, w=weight)
    assert_close(value(text, pred, target, w=weight.reshape(1, 4, 1, 1)), wanted)
    for shape in ((1, 1, 2, 2), (2, 2), (4, 1, 1, 1), (4, 1, 1)):
        assert refused(text, pred, target, w=weight.reshape(shape)).startswith("E504")


@pytest.mark.parametrize("kind", ["list", "array", "const"])
def test_lists_and_arrays_lie_as_tensors_do(kind: str):
    """They are converted first: (B,) along the samples, in every call, whatever the sizes agree with."""
    pred, target, weight = draw(4, 3, 4, 4), draw(4, 3, 4, 4) + 1, torch.tensor([1.0, 2.0, 3.0, 4.0]).double()
    mask = draw(4, 4, 4) > 0
    loss = losslang.compile("mse(weight=batch.w, mask=batch.m) + mean(batch.w*(pred - target)**2)")
    wanted = loss(pred, target, w=weight, m=mask)
    made = {"list": lambda x: x.tolist(), "array": lambda x: x.numpy()}.get(kind)
    if made is not None:
        for _ in range(3):
            assert_close(loss(pred, target, w=made(weight), m=made(mask)), wanted)
            assert_close(loss(pred, target, w=weight, m=mask), wanted)
        assert_close(
            losslang.compile("ce")(pred, made(torch.ones(4, 4, 4).long())),
            F.cross_entropy(pred, torch.ones(4, 4, 4).long()),
        )
    else:
        fixed = losslang.compile("mse(mask=const.m)", const={"m": mask.numpy()})
        assert_close(fixed(pred, target), losslang.compile("mse(mask=batch.m)")(pred, target, m=mask))


@pytest.mark.parametrize("odd", [[[1.0], [1.0, 2.0]], [1.0, "a"], [torch.tensor(1.0)] * 4, "w", object()])
def test_what_holds_no_numbers_is_no_tensor(odd: Any):
    pred = draw(4, 3)
    loss = losslang.compile("mse(weight=batch.w)")
    for given in (odd, odd):
        with pytest.raises(losslang.LossError, match="E503"):
            loss(pred, pred, w=given)
        assert loss(pred, pred + 1, w=[1.0, 1, 1, 1]) == 1


LAST = {
    (2, 5, 7): "logits.transpose(1, 2)",
    (2, 9, 7): "logits.transpose(1, 2)",
    (2, 5, 4, 3): "logits.movedim(-1, 1)",
    (2, 4, 4, 3): "logits.movedim(-1, 1)",
}
"""Predictions with their classes last, and the repair in Python."""


@pytest.mark.parametrize("with_axis", [False, True])
@pytest.mark.parametrize(
    "text", ["ce", "focal(softmax)", "dice(softmax)", "bce(sigmoid)", "gce", "kl(softmax)"]
)
@pytest.mark.parametrize("shape", LAST, ids=str)
def test_labels_of_logits_with_classes_last_say_both_repairs(
    shape: tuple[int, ...], text: str, with_axis: bool
):
    """The shapes tell before any label is looked at: those that no axis has a class for, too."""
    logits, labels = draw(*shape), torch.full(shape[:-1], 99)
    found = refused(text, logits, labels.unsqueeze(-1) if with_axis else labels)
    assert found.startswith("E504")
    assert "`channels=last`" in found
    assert f"`{LAST[shape]}`" in found
    assert "ignore_index" not in found
    if text == "kl(softmax)":
        return
    labels = labels % shape[-1]
    moved = {"torch": torch, "logits": logits}
    told = text.replace(")", ", channels=last)") if "(" in text else f"{text}(channels=last)"
    assert_close(value(told, logits, labels), value(text, eval(LAST[shape], moved), labels))


def warned(text: str, pred: Tensor, target: Tensor, calls: int = 1) -> list[str]:
    """The codes of what `calls` calls of a loss warn of."""
    loss = losslang.compile(text)
    ALREADY_GIVEN.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", losslang.LossWarning)
        for _ in range(calls):
            loss(pred, target)
    return re.findall(r"^warning\[(W\d+)\]", "\n".join(str(w.message) for w in caught), re.MULTILINE)


@pytest.mark.parametrize("text", ["ce", "ce + dice", "bce(sigmoid)", "lovasz_softmax(softmax)"])
@pytest.mark.parametrize("shape", [(2, 5, 5), (2, 4, 4, 4), (2, 3, 3, 3, 3)], ids=str)
def test_axes_of_one_size_are_told_once(text: str, shape: tuple[int, ...]):
    """As many classes as places: every number fits both readings."""
    logits, labels = draw(*shape), torch.randint(shape[1], (shape[0], *shape[2:]))
    assert warned(text, logits, labels, calls=3) == ["W340"]
    for layout in ("first", "last"):
        first, *more = text.split(" + ")
        told = first.replace(")", f", channels={layout})") if "(" in first else f"{first}(channels={layout})"
        assert not warned(" + ".join([told, *more]), logits, labels)
    other = (*shape[:-1], shape[-1] + 1)
    assert not warned(text, draw(*other), torch.randint(shape[1], (other[0], *other[2:])))


@pytest.mark.parametrize("text", ["ce", "dice(softmax)", "kl(softmax)", "ce + dice"])
@pytest.mark.parametrize("shape", [(2, 6, 3), (2, 5, 4, 3), (2, 4, 4, 4)], ids=str)
def test_a_truth_that_adds_up_along_the_last_axis_is_told(text: str, shape: tuple[int, ...]):
    logits, truth = draw(*shape), F.one_hot(torch.arange(prod(shape[:-1])) % shape[-1], shape[-1]).double()
    truth = truth.reshape(shape).roll(1, 0)
    truth[:, :2] = truth[:, :1]  # of places on axis 1 too it would be one of each
    assert warned(text, logits, truth, calls=2) == ["W341"]
    assert not warned(text, logits.movedim(-1, 1), truth.movedim(-1, 1))


def test_marks_on_an_axis_of_their_own_are_no_classes():
    """The first and the last token of an answer: (B, 2, T), with one mark along T each."""
    truth = F.one_hot(torch.tensor([[1, 4], [0, 0]]), 5).double()
    assert not warned("bce(sigmoid)", draw(2, 2, 5), truth)


@pytest.mark.parametrize(
    ("text", "shape", "axis"),
    [
        ("mse(softmax)", (3, 4), 1),
        ("mse(softmax)", (2, 3, 4), 2),
        ("mse(softmax)", (2, 3, 4, 5), 1),
        ("mse(softmax, channels=first)", (2, 3, 4), 1),
        ("mse(softmax, channels=last)", (2, 3, 4, 5), 3),
        ("mse(softmax, channels=last)", (2, 1, 4, 5), 3),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_a_softmax_runs_along_the_channels(text: str, shape: tuple[int, ...], axis: int, large: bool):
    pred, target = draw(*shape), draw(*shape) + 1
    wanted = ((pred.softmax(axis) - target) ** 2).mean()
    with cut(16) if large else nullcontext():
        assert_close(value(text, pred, target), wanted)


def test_a_softmax_of_rows_and_of_a_neighbour():
    x, y = draw(2, 3, 4), draw(2, 3, 4) + 1
    assert_close(value("cosine(softmax)", x, y), (1 - F.cosine_similarity(x.softmax(-1), y, dim=-1)).mean())
    labels = torch.randint(4, (2, 3))
    found = value("ce(channels=last) + mse(softmax, target=batch.y)", x, labels, y=y)
    assert_close(found, F.cross_entropy(x.movedim(-1, 1), labels) + ((x.softmax(-1) - y) ** 2).mean())
    mask = draw(2, 3) > 0
    spoiled = torch.where(mask.unsqueeze(-1), x, torch.nan)
    wanted = ((x.softmax(-1) - y) ** 2)[mask].mean()
    assert_close(value("mse(softmax, mask=batch.m)", spoiled, y, m=mask), wanted)


def test_arithmetic_follows_the_channels_of_its_tensor():
    weight, labels = torch.tensor([1.0, 2.0, 3.0]).double(), torch.randint(3, (3, 3, 3))
    pred = draw(3, 3, 3, 3)
    found = value("ce(channels=last) + mean(const.w*pred)", pred, labels, const={"w": weight})
    assert_close(found, F.cross_entropy(pred.movedim(-1, 1), labels) + (weight * pred).mean())
    plain = draw(3, 3, 3)
    found = value("l1(channels=first, target=0) + mean(const.w*pred)", plain, const={"w": weight})
    assert_close(found, plain.abs().mean() + (weight.reshape(-1, 1) * plain).mean())


@pytest.mark.parametrize(
    "text",
    [
        "dice(softmax, background=false{})",
        "ce(class_weight=balanced{})",
        "lovasz_softmax(softmax{})",
        "focal(softmax{})",
    ],
)
@pytest.mark.parametrize("one", [True, 1, torch.tensor(True)])
def test_one_truth_masks_everything_or_nothing(text: str, one: Any):
    pred, target = draw(3, 3, 4, 3), torch.randint(3, (3, 4, 3))
    masked = text.format(", mask=batch.m")
    assert_close(value(masked, pred, target, m=one), value(text.format(""), pred, target))
    spoiled = torch.full_like(pred, torch.nan)
    assert value(masked, spoiled, target, m=torch.tensor(False)) == 0


def test_a_vector_of_const_loses_the_background_too():
    pred, target, weight = (
        draw(2, 3, 4, 4),
        torch.randint(3, (2, 4, 4)),
        torch.tensor([9.0, 1.0, 2.0]).double(),
    )
    each = value("dice(softmax, background=false, reduction=none)", pred, target)
    found = value("const.w*dice(softmax, background=false)", pred, target, const={"w": weight})
    assert_close(found, (each * weight[1:]).mean())


def test_operands_of_an_image_lie_in_its_space():
    depth, image = torch.rand(2, 1, 6, 6), torch.rand(2, 3, 6, 6)
    wanted = value("depth_smoothness(image=batch.i)", depth, i=image)
    last = "depth_smoothness(channels=last, image=batch.i)"
    assert_close(value(last, depth.movedim(1, -1), i=image.movedim(1, -1)), wanted)
    for odd in (image[..., :5], image[:, 0, 0]):
        assert refused("depth_smoothness(image=batch.i)", depth, i=odd).startswith("E504")
    series = torch.rand(2, 3)
    for odd in (torch.rand(2, 9, 3), torch.rand(2, 3, 4, 9), torch.rand(3, 9)):
        assert refused("mase(history=batch.h)", series, series, h=odd)[:4] in ("E504", "E523")


def test_what_cannot_weigh_is_refused():
    pred = draw(3, 3)
    assert refused("batch.w*l1", pred, pred, w=torch.tensor([1j, 1j, 1j])).startswith("E505")
    image = draw(2, 3, 4, 4)
    found = refused("const.w*l1", image, image, const={"w": torch.ones(2)})
    assert found.startswith("E509 give it the shape (2, 3, 4, 4) or (2, 4, 4) or (3,)")
