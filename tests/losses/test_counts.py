"""What is counted: ignored labels, masked elements, classes, denominators, channels of a slice."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import pytest
import torch
from _every_loss import FRAMES, LOSSES, TRAINED, compiled, data, form_of, text_of, uses
from cutting import cut
from formulas import DATA
from torch import Tensor
from torch.nn import functional as F

import losslang
from losslang.plan.operations.notices import ALREADY_GIVEN
from losslang.primitives.primitive import Loss, Reduction
from losslang.registry import current_registry

USES = [(name, use) for name in TRAINED for use in uses(name)]
LABELLED = [(n, u) for n, u in USES if LOSSES[n].reads_classes]
IN_SPACE = ("hausdorff_dt", "hausdorff_er", "cldice")
"""Losses of the form of a region: without some of its places it has another."""
IN_WINDOWS = (
    *("ssim", "dssim", "ms_ssim", "tv", "lncc", "spectral", "depth_smoothness", "perceptual", "lpips"),
)
"""Losses that read neighbours, windows or frequencies: without some columns they have others."""
PLACES = [(n, u) for n, u in USES if n not in DATA and n not in IN_SPACE and FRAMES[n] != "rows"]
SAMPLES, CLASSES, LENGTH, KEPT = 3, 4, 8, 5


def named(values: list[tuple[str, str]]) -> Any:
    return pytest.mark.parametrize(("name", "use"), values, ids=[f"{n}-{u}" if u else n for n, u in values])


def is_program(text: str) -> bool:
    return not any(found.is_error for found in losslang.check(text))


def program(text: str) -> losslang.Loss | None:
    """What a text is compiled to; None if it is refused."""
    try:
        return compiled(text)
    except losslang.LossError:
        return None


def value_and_gradient(text: str, pred: Tensor, target: Any, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    x = pred.clone().requires_grad_()
    value = compiled(text)(x, target, **batch)
    (slope,) = torch.autograd.grad(value, x, allow_unused=True, materialize_grads=True)
    return value.detach(), slope


# -------------------------------------------------------------------- what is masked is as if it were not there


def kept_places(*shape: int) -> Tensor:
    """As many places of every line, at random."""
    generator = torch.Generator().manual_seed(3)
    ranked = torch.rand(*shape, LENGTH, generator=generator).argsort(-1)
    return ranked < KEPT


def without(value: Any, kept: Tensor) -> Any:
    """A tensor without the places that are not kept; anything else as it is."""
    if not isinstance(value, Tensor) or value.shape[:1] != (SAMPLES,) or value.shape[-1] != LENGTH:
        return value
    over = kept if kept.ndim == value.ndim else kept.unsqueeze(1) if value.ndim == 3 else kept
    return value[over.expand_as(value)].reshape(*value.shape[:-1], KEPT)


def without_first_class(target: Tensor, kept: Tensor) -> Tensor:
    """A target whose first sample holds class 0 at none of the places that are kept."""
    indices = target.argmax(1) if target.is_floating_point() else target.clone()
    indices[0] = torch.where(kept[0] & (indices[0] == 0), 1, indices[0])
    if not target.is_floating_point():
        return indices
    return F.one_hot(indices, CLASSES).movedim(-1, 1).to(target.dtype)


OF_COUNTS = (
    [],
    ["class_weight=balanced"],
    ["class_weight=complement"],
    ["pos_weight=balanced"],
    ["batch=true", "empty=skip"],
    ["batch=true", "class_weight=balanced"],
    ["classes=all"],
    ["momentum=0.5"],
    ["class_weight=[1, 2, 5, 0.5]", "reduction=wmean"],
    ["reduction=batchmean"],
    ["reduction=topk(frac=0.3)"],
    ["reduction=hard_negative(ratio=1)"],
)


def holds(text: str, call: tuple[Tensor, Any, dict[str, Any]], wanted: tuple[Tensor, Tensor]) -> None:
    """The value and gradient of tensors that are computed whole, and of the same walked over in blocks."""
    found = [value_and_gradient(text, *call)]
    with cut(12):
        found.append(value_and_gradient(text, *call))
    for value, slope in found:
        torch.testing.assert_close(value, wanted[0], rtol=1e-9, atol=1e-10, msg=lambda m: f"{text}: {m}")
        torch.testing.assert_close(slope, wanted[1], rtol=1e-8, atol=1e-10, msg=lambda m: f"{text}: {m}")


@named(PLACES)
def test_masked_and_ignored_places_are_as_if_they_were_not_there(name: str, use: str) -> None:
    """By `mask=` and by `ignore_index=`: whatever a loss counts by itself sees both."""
    pred, target, batch = data(name, use, shape=(SAMPLES, CLASSES, LENGTH))
    kept = kept_places(SAMPLES)
    if form_of(name, use) in ("classes", "indices"):
        target = without_first_class(target, kept)
    some = without(pred, kept), without(target, kept), {k: without(v, kept) for k, v in batch.items()}
    for options in OF_COUNTS:
        text = text_of(name, use, *options)
        if not is_program(text):
            continue
        value, slope = value_and_gradient(text_of(name, use, *options, "channels=first"), *some)
        whole = torch.zeros_like(pred)
        whole[kept.unsqueeze(1).expand_as(pred)] = slope.flatten()
        # Of three axes of plain values a mask would lack the last.
        masked = text_of(name, use, *options, "mask=batch.m", "channels=first")
        holds(masked, (pred, target, {**batch, "m": kept}), (value, whole))
        if LOSSES[name].reads_classes:
            indices = target.argmax(1) if target.is_floating_point() else target
            ignoring = text_of(name, use, *options, "ignore_index=255")
            holds(ignoring, (pred, torch.where(kept, indices, 255), batch), (value, whole))


@named(
    [(n, u) for n, u in PLACES if LOSSES[n].reads_classes and form_of(n, u) == "classes" and u != "softmax"]
)
def test_masked_and_ignored_elements_are_as_if_they_were_not_there(name: str, use: str) -> None:
    """One by one, of targets like the prediction: every class has places of its own."""
    if LOSSES[name].result_axes == ("b", "*space"):
        pytest.skip("one value a place: a mask of elements is too fine")
    pred, target, batch = data(name, use, shape=(SAMPLES, CLASSES, LENGTH))
    kept = kept_places(SAMPLES, CLASSES)
    for options in ([], ["class_weight=balanced"], ["batch=true", "empty=skip"], ["classes=all"]):
        text = text_of(name, use, *options)
        if not is_program(text):
            continue
        value, slope = value_and_gradient(text, without(pred, kept), without(target, kept), batch)
        whole = torch.zeros_like(pred)
        whole[kept] = slope.flatten()
        holds(
            text_of(name, use, *options, "mask=batch.m"), (pred, target, {**batch, "m": kept}), (value, whole)
        )
        marked = torch.where(kept, target, 255.0)
        holds(text_of(name, use, *options, "ignore_index=255"), (pred, marked, batch), (value, whole))


@pytest.mark.parametrize("name", [n for n in TRAINED if "indices" in LOSSES[n].parameters])
def test_ignored_rows_are_as_if_they_were_not_there(name: str) -> None:
    pred, target, batch = data(name)
    kept = torch.arange(target.numel()).reshape(target.shape) % 4 != 1
    value, slope = value_and_gradient(text_of(name), pred[kept], target[kept], batch)
    whole = torch.zeros_like(pred)
    whole[kept] = slope
    holds(text_of(name, "", "mask=batch.m"), (pred, target, {**batch, "m": kept}), (value, whole))
    holds(text_of(name, "", "ignore_index=99"), (pred, torch.where(kept, target, 99), batch), (value, whole))


@named([(n, u) for n, u in USES if n in IN_SPACE])
def test_in_space_what_is_ignored_is_what_is_masked(name: str, use: str) -> None:
    pred, target, batch = data(name, use)
    indices = target.argmax(1) if target.is_floating_point() else target
    kept = torch.rand(indices.shape, generator=torch.Generator().manual_seed(5)) > 0.3
    for options in ([], ["empty=skip"], ["class_weight=balanced"]):
        masked = text_of(name, use, *options, "mask=batch.m")
        wanted = value_and_gradient(masked, pred, indices, {**batch, "m": kept})
        marked = torch.where(kept, indices, 255)
        holds(text_of(name, use, *options, "ignore_index=255"), (pred, marked, batch), wanted)


OTHERS = [
    (n, u)
    for n, u in USES
    if n in DATA and FRAMES[n] not in ("rows", "number") and n not in (*IN_SPACE, *IN_WINDOWS)
]


@named(OTHERS)
def test_masked_columns_are_as_if_they_were_not_there(name: str, use: str) -> None:
    """Of the losses that want tensors of their own kind, along the last axis."""
    pred, target, batch = data(name, use)
    length = pred.shape[-1]
    kept = torch.arange(length) % 3 != 1

    def some(value: Any) -> Any:
        return value[..., kept] if isinstance(value, Tensor) and value.shape == pred.shape else value

    value, slope = value_and_gradient(
        text_of(name, use), some(pred), some(target), {k: some(v) for k, v in batch.items()}
    )
    whole = torch.zeros_like(pred)
    whole[..., kept] = slope
    mask = kept.reshape([1] * (pred.ndim - 1) + [length])
    holds(text_of(name, use, "mask=batch.m"), (pred, target, {**batch, "m": mask}), (value, whole))


def test_an_ignored_label_makes_no_class_present() -> None:
    """Class 0 is not in the target; an ignored label had stood for it."""
    probs = torch.softmax(torch.randn(1, 3, 6, generator=torch.Generator().manual_seed(1)), 1)
    target = torch.tensor([[1, 2, 1, 255, 255, 2]])
    found = compiled("lovasz_softmax(identity, ignore_index=255)")(probs, target)
    wanted = compiled("lovasz_softmax(identity)")(probs[..., [0, 1, 2, 5]], target[:, [0, 1, 2, 5]])
    torch.testing.assert_close(found, wanted)


# -------------------------------------------------------------------- labels that nobody ignores


@named(LABELLED)
@pytest.mark.parametrize("label", [-100, -1, 99])
def test_a_label_that_is_not_ignored_is_never_left_out(name: str, use: str, label: int) -> None:
    """Refused, whatever the size of the tensors: torch's kernels leave out -100 unless they are told another."""
    pred, target, batch = data(name, use)
    if LOSSES[name].ignore_index == label or ("indices" in LOSSES[name].parameters and "head" not in batch):
        pytest.skip("ignored by default, or any number is a class")
    indices = target.argmax(1) if target.is_floating_point() else target.clone()
    indices.view(-1)[2] = label
    with pytest.raises(losslang.LossError, match="E5"):
        compiled(text_of(name, use))(pred, indices, **batch)
    with cut(3), pytest.raises(losslang.LossError, match="E5"):
        compiled(text_of(name, use))(pred, indices, **batch)


@pytest.mark.parametrize(
    "name", [n for n in TRAINED if "labels" in LOSSES[n].parameters and n not in ("ce", "nll")]
)
def test_no_kernel_leaves_a_label_out_by_itself(name: str) -> None:
    """Where no values are looked at, -100 does not become a 0 that counts."""
    pred, target, batch = data(name)
    loss = losslang.compile(text_of(name), validate="never")
    target = target.clone()
    target.view(-1)[2] = -100
    with pytest.raises((IndexError, RuntimeError)):
        loss(pred, target, **batch)


@named([(n, u) for n, u in LABELLED if "indices" not in LOSSES[n].parameters and n not in DATA])
def test_a_class_is_not_looked_for_among_one_hot_labels(name: str, use: str) -> None:
    """Class 0 of indices is a place; a 0 of one-hot labels is what is not of a class, and had been left out."""
    pred, target, batch = data(name, use)
    indices = target.argmax(1) if target.is_floating_point() else target
    onehot = F.one_hot(indices, 4).movedim(-1, 1)
    for index in (0, 1):
        loss = compiled(text_of(name, use, f"ignore_index={index}"))
        assert loss(pred, indices, **batch).isfinite()
        for form in (onehot, onehot.to(pred.dtype)):
            for _ in range(2):
                with pytest.raises(losslang.LossError, match="E528"):
                    loss(pred, form, **batch)
    for index in (-1, 255) if form_of(name, use) != "signs" else ():
        found = compiled(text_of(name, use, f"ignore_index={index}"))(pred, onehot.to(pred.dtype), **batch)
        torch.testing.assert_close(found, compiled(text_of(name, use))(pred, onehot.to(pred.dtype), **batch))


# -------------------------------------------------------------------- one target, one ignored label


@pytest.mark.parametrize(
    ("text", "explicit"),
    [
        ("ce(ignore_index=255) + dice", "ce(ignore_index=255) + dice(softmax, ignore_index=255)"),
        ("dice(ignore_index=255) + ce", "dice(softmax, ignore_index=255) + ce(ignore_index=255)"),
        (
            "0*ce(ignore_index=255) + dice + metric(zero_one)",
            "dice(softmax, ignore_index=255) + metric(zero_one(softmax, ignore_index=255))",
        ),
    ],
)
def test_a_term_takes_the_label_that_its_neighbour_wrote(text: str, explicit: str) -> None:
    generator = torch.Generator().manual_seed(2)
    pred, target = torch.randn(2, 3, 8, generator=generator), torch.randint(3, (2, 8), generator=generator)
    target[:, 2:4] = 255
    found, wanted = compiled(text), compiled(explicit)
    for _ in range(3):
        torch.testing.assert_close(found(pred, target), wanted(pred, target))
    assert "  # ignore_index taken from " in str(found.meaning)
    with cut(3):
        torch.testing.assert_close(compiled(text)(pred, target), wanted(pred, target))


def test_the_default_of_ce_does_not_speak() -> None:
    """-100 is ce's own: dice refuses it, and says how it is left out."""
    pred, target = torch.randn(2, 3, 8), torch.randint(3, (2, 8))
    target[0, 0] = -100
    with pytest.raises(losslang.LossError, match="E506") as caught:
        compiled("ce + dice")(pred, target)
    assert "`ignore_index=-100` in `dice`" in str(caught.value)
    assert compiled("ce + dice(ignore_index=-100)")(pred, target).isfinite()
    binary = torch.where(target == -100, -100.0, (target > 0).double())[:, None]
    with pytest.raises(losslang.LossError, match="E516") as caught:
        compiled("dice(sigmoid)")(pred[:, :1], binary)
    assert "`ignore_index=-100` in `dice`" in str(caught.value)


def test_explain_says_from_whom_a_label_is_taken() -> None:
    assert "ignore_index=255  (taken from `ce`)" in losslang.explain("ce(ignore_index=255) + dice")
    assert "ignore_index=-100  (default of `ce`)" in losslang.explain("ce + dice")


# -------------------------------------------------------------------- the form of a target

REDUCTIONS = [r.name for r in current_registry().all(Reduction) if r.name != "none"]
UNBALANCED = ("class_weight=[", "class_weight=c")
"""Weights of classes that do not balance them: beside `balanced` the sum of the weights is the count."""


def counts_by_form(loss: Loss, use: str, options: list[str], reduction: str) -> bool:
    """Where class indices and one-hot labels have another denominator: all that has, and what explain says of it."""
    by_label = "labels" in loss.parameters or (use == "softmax" and "positive_truth" in loss.parameters)
    weighs = reduction in ("wmean", "wmean_all") or (loss.name == "ce" and not reduction)
    return by_label and weighs and any(option[:14] in UNBALANCED for option in options)


@named([(n, u) for n, u in USES if form_of(n, u) in ("classes", "indices", "signs") and n != "boundary"])
def test_class_indices_and_one_hot_labels_are_one_truth(name: str, use: str) -> None:
    """The same number, whatever is counted, but for the mean that divides by class weights."""
    pred, target, batch = data(name, use)
    indices = target.argmax(1) if target.is_floating_point() else target
    onehot = F.one_hot(indices, pred.shape[1]).movedim(-1, 1)
    certain = 2.0 * onehot - 1 if form_of(name, use) == "signs" else onehot.double()
    weights = f"class_weight={[1, 2, 5, 0.5][: pred.shape[1]]}"
    ways = "class_weight=balanced", "class_weight=complement", "pos_weight=balanced"
    counting = ("", "sum", "wmean", "wmean_all")
    for options in ([], [weights], *([way] for way in ways)):
        # Weights of the batch are counted before anything is reduced.
        for reduction in ("", *REDUCTIONS) if options in ([], [weights]) else counting:
            text = text_of(name, use, *options, *([f"reduction={reduction}"] if reduction else []))
            if (loss := program(text)) is None:
                continue
            wanted = loss(pred, indices, **batch)
            for form in (onehot, certain, onehot.bool()):
                found = loss(pred, form, **batch)
                differs = not torch.allclose(found, wanted, rtol=1e-9, atol=1e-12)
                assert differs == counts_by_form(LOSSES[name], use, options, reduction), text
                if differs:
                    assert "of soft and one-hot labels Σ v / n" in losslang.explain(text)


def test_ce_of_one_hot_labels_divides_as_torch_does() -> None:
    logits, weight = torch.zeros(1, 2), torch.tensor([1.0, 3.0])
    loss = compiled("ce(class_weight=[1, 3])")
    for target in (torch.tensor([1]), torch.tensor([[0.0, 1.0]])):
        wanted = F.cross_entropy(logits, target, weight)
        torch.testing.assert_close(loss(logits, target), wanted)
    assert wanted.item() == pytest.approx(3 * math.log(2))


# -------------------------------------------------------------------- classes, counted

COUNTED = [(n, u) for n, u in USES if is_program(text_of(n, u, "class_weight=balanced"))]


@named(COUNTED)
def test_weights_of_the_batch_are_counted_from_the_target(name: str, use: str) -> None:
    """`balanced` is N / (C N_c) and `complement` (N - N_c) / N, whatever the loss makes of its target."""
    pred, target, batch = data(name, use)
    truth = target if target.is_floating_point() else F.one_hot(target, pred.shape[1]).movedim(-1, 1)
    # A soft truth counts as much of an element as it says.
    numbers = truth.clamp(min=0).movedim(1, -1).flatten(0, -2).sum(0).tolist()
    places, each = truth.numel() / len(numbers), len(numbers)
    for how, weights in {
        "balanced": [places / (each * number) for number in numbers],
        "complement": [(places - number) / places for number in numbers],
    }.items():
        found = compiled(text_of(name, use, f"class_weight={how}"))(pred, target, **batch)
        wanted = compiled(text_of(name, use, f"class_weight={weights}"))(pred, target, **batch)
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9)


def test_a_loss_of_signs_counts_what_bce_counts() -> None:
    """Few positives: sums of +1 and -1 are below 0, and nothing trained."""
    generator = torch.Generator().manual_seed(0)
    logits, truth = torch.randn(64, 3, generator=generator), torch.rand(64, 3, generator=generator) > 0.9
    for how in ("balanced", "complement"):
        wanted = compiled(f"bce(sigmoid, class_weight={how})")(logits, truth)
        for target in (truth, truth.long(), 2.0 * truth - 1):
            torch.testing.assert_close(compiled(f"logistic(class_weight={how})")(logits, target), wanted)


def test_what_holds_no_classes_is_not_counted() -> None:
    codes = [d.code for d in losslang.check("boundary(sigmoid, class_weight=balanced)@(pred, batch.d)")]
    assert codes == ["E205"]
    assert is_program("boundary(sigmoid, class_weight=[1, 2])@(pred, batch.d)")


def test_balanced_weights_have_no_gradient() -> None:
    soft = torch.rand(8, 3, requires_grad=True)
    logits = torch.randn(8, 3)
    for text in ("bce(sigmoid, pos_weight=balanced)", "bce(sigmoid, class_weight=balanced)"):
        (found,) = torch.autograd.grad(compiled(text)(logits, soft), soft)
        number = soft.detach().sum(0 if "class" in text else None)
        weights = (8 / (3 * number)).tolist() if "class" in text else ((24 - number) / number).item()
        spelled = f"bce(sigmoid, {text.partition(', ')[2].partition('=')[0]}={weights})"
        (wanted,) = torch.autograd.grad(compiled(spelled)(logits, soft), soft)
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", ["bce(sigmoid", "dice(sigmoid", "logistic("])
def test_one_channel_cannot_be_balanced(name: str) -> None:
    """It is said once, at the line that calls the loss, and not where torch compiles."""
    pred, target = torch.randn(2, 1, 8), torch.randint(2, (2, 1, 8))
    ALREADY_GIVEN.clear()
    comma = "" if name.endswith("(") else ", "
    loss = losslang.compile(f"{name}{comma}class_weight=balanced)")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            loss(pred, target)
    assert [w.category for w in caught] == [losslang.LossWarning]
    assert "W306" in str(caught[0].message)
    assert "`pos_weight=balanced`" in str(caught[0].message)
    assert caught[0].filename == __file__


# -------------------------------------------------------------------- what a sum is divided by


def of_zero(loss: Any, n: Any) -> Tensor:
    """The gradient where the factor is 0: the value has to be 0."""
    pred = torch.tensor([[1.0, -2.0]], requires_grad=True)
    value = loss(pred, torch.zeros(1, 2), n=n)
    assert value.item() == 0
    return torch.autograd.grad(value, pred)[0]


@pytest.mark.parametrize(
    "n", [0, 0.0, torch.tensor(0), torch.tensor([0.0])], ids=["int", "float", "long", "one"]
)
def test_a_factor_of_0_gives_0_and_is_warned_of_once(n: Any) -> None:
    ALREADY_GIVEN.clear()
    loss = losslang.compile("l1(avg_factor=batch.n)")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(4):
            assert of_zero(loss, n).eq(0).all()
        assert of_zero(copy.deepcopy(loss), n).eq(0).all()
    assert [w.category for w in caught] == [losslang.LossWarning]
    assert "W305" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_a_factor_of_0_gives_0_where_nothing_is_looked_at() -> None:
    """Compiled, under vmap and in blocks."""
    zero, loss = torch.tensor(0.0), compiled("l1(avg_factor=batch.n)")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        traced = torch.compile(lambda p, t, n: loss(p, t, n=n), backend="eager", fullgraph=True)
        assert traced(torch.ones(2), torch.zeros(2), zero).item() == 0
        numbers = torch.tensor([0.0, 2.0])
        found = torch.func.vmap(lambda n: loss(torch.ones(2), torch.zeros(2), n=n))(numbers)
        assert found.tolist() == [0.0, 1.0]
        slopes = torch.func.vmap(torch.func.grad(lambda p, n: loss(p, torch.zeros(2), n=n)), (None, 0))
        assert slopes(torch.ones(2), numbers).tolist() == [[0.0, 0.0], [0.5, 0.5]]
    ALREADY_GIVEN.clear()
    with cut(3), pytest.warns(losslang.LossWarning, match="W305"):
        of_zero(compiled("l1(avg_factor=batch.n)"), zero)


@pytest.mark.parametrize(
    "text", ["l1(weight=batch.w, reduction=wmean)", "ce(class_weight=batch.w)", "ce(class_weight=[0, 0])"]
)
def test_a_mean_over_weights_of_0_is_0(text: str) -> None:
    pred = torch.randn(2, 2, requires_grad=True)
    target = torch.randn(2, 2) if text.startswith("l1") else torch.tensor([0, 1])
    value = compiled(text)(pred, target, w=torch.zeros(2))
    assert value.item() == 0
    assert torch.autograd.grad(value, pred)[0].eq(0).all()


def test_a_mean_over_weights_that_cancel_is_0() -> None:
    """Also where no value is looked at, and none of both is 0."""
    loss = losslang.compile("l1(weight=batch.w, reduction=wmean)", validate="never")
    pred = torch.tensor([1.0, 3.0], requires_grad=True)
    value = loss(pred, torch.zeros(2), w=torch.tensor([1.0, -1.0]))
    assert value.item() == 0
    assert torch.autograd.grad(value, pred)[0].eq(0).all()


def test_division_stays_as_it_is() -> None:
    pred = torch.ones(2)
    assert losslang.compile("l1/batch.n")(pred, torch.zeros(2), n=torch.tensor(0.0)).item() == math.inf


@pytest.mark.parametrize("bad", [-1.0, math.inf, math.nan])
@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("l1(avg_factor=batch.w)", ()),
        ("l1(avg_factor=2*batch.w)", ()),
        ("ce(class_weight=batch.w)", (3,)),
        ("dice(softmax, class_weight=batch.w)", (3,)),
        ("bce(sigmoid, pos_weight=batch.w)", ()),
        ("bce(sigmoid, pos_weight=batch.w)", (3,)),
        ("l1(weight=batch.w, reduction=wmean)", (2,)),
        ("l1(weight=2*batch.w, reduction=wmean)", (2,)),
    ],
)
def test_bounds_hold_for_tensors_as_for_literals(text: str, shape: tuple[int, ...], bad: float) -> None:
    """In the calls that look at values, on tensors whole and in blocks."""
    pred, weight = torch.randn(2, 3, 8), torch.ones(shape)
    target = torch.randint(3, (2, 8)) if text[:2] in ("ce", "di") else torch.rand(2, 3, 8)
    assert compiled(text)(pred, target, w=weight.clone()).isfinite()
    weight.view(-1)[-1] = bad
    calls = [lambda: compiled(text)(pred, target, w=weight)]
    if not shape:
        calls.append(lambda: compiled(text)(pred, target, w=bad))
    for call in calls:
        with pytest.raises(losslang.LossError, match="E527"):
            call()
        with cut(3), pytest.raises(losslang.LossError, match="E527"):
            call()
    always = losslang.compile(text, validate="always")
    always(pred, target, w=torch.ones(shape))
    with pytest.raises(losslang.LossError, match="E527"):
        always(pred, target, w=weight)
    losslang.compile(text, validate="never")(pred, target, w=weight)


def test_what_is_masked_has_no_weight_to_look_at() -> None:
    loss = compiled("l1(weight=batch.w, reduction=wmean, mask=batch.m)")
    pred, weight = torch.tensor([1.0, 2.0]), torch.tensor([1.0, math.nan])
    assert loss(pred, torch.zeros(2), w=weight, m=torch.tensor([True, False])).item() == 1


def test_what_a_loss_is_multiplied_with_may_be_negative() -> None:
    pred, weight = torch.tensor([1.0, 2.0]), torch.tensor([1.0, -1.0])
    for text in ("batch.w*l1", "l1(weight=batch.w)"):
        assert compiled(text)(pred, torch.zeros(2), w=weight).item() == -0.5


# -------------------------------------------------------------------- channels of a slice


@pytest.mark.parametrize(
    ("cut_out", "sizes"),
    [
        ("[3:4]", "3 channels"),
        ("[1:4]", "`[1:]`"),
        ("[-4:]", "3 channels"),
        ("[2:1]", "3 channels"),
        ("[:-3]", "3 channels"),
    ],
)
def test_a_slice_beyond_the_channels_is_refused(cut_out: str, sizes: str) -> None:
    pred = torch.randn(4, 3)
    for text in (f"l1@(pred{cut_out}, target{cut_out})", f"mean(pred{cut_out})"):
        loss = compiled(text)
        for _ in range(2):
            with pytest.raises(losslang.LossError, match="E502") as caught:
                loss(pred, pred)
        assert sizes in str(caught.value)
        assert "(4, 3)" in str(caught.value)


def test_a_slice_beyond_a_list_is_refused() -> None:
    x = torch.randn(4, 3)
    with pytest.raises(losslang.LossError, match="E502") as caught:
        compiled("mse@(pred[1:3][0], target)")([x, x], x)
    assert "it has 2 elements" in str(caught.value)
    assert compiled("mse@(pred[1:2][0], target)")([x, x], x).item() == 0


@pytest.mark.parametrize(
    ("cut_out", "wanted"),
    [
        ("[-1:]", slice(2, 3)),
        ("[:-1]", slice(0, 2)),
        ("[0:3]", slice(0, 3)),
        ("[:]", slice(0, 3)),
        ("[-3:-1]", slice(0, 2)),
    ],
)
def test_a_slice_within_the_channels_counts_as_python_does(cut_out: str, wanted: slice) -> None:
    pred = torch.randn(4, 3)
    found = compiled(f"mse@(pred{cut_out}, batch.other)")(pred, other=torch.zeros(4, 3)[:, wanted])
    torch.testing.assert_close(found, pred[:, wanted].square().mean())


def test_a_slice_of_one_axis_says_what_a_slice_takes() -> None:
    with pytest.raises(losslang.LossError, match="E502"):
        compiled("mse@(pred[0:1], target)")(torch.randn(4), torch.randn(4))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_hard_negatives_of_elements_are_those_of_elements(activation: str) -> None:
    """Also beside a softmax: the values of `bce` have a class axis, and so has the truth."""
    pred, target = torch.randn(2, 3, 8, dtype=torch.float64), torch.randint(3, (2, 8))
    values = compiled(f"bce({activation}, reduction=none)")(pred, target)
    positive = F.one_hot(target, 3).movedim(-1, 1).bool()
    wanted = values[positive].sum()
    for value, yes in zip(values, positive, strict=True):
        wanted = wanted + value[~yes].sort(descending=True).values[: int(yes.sum())].sum()
    found = compiled(f"bce({activation}, reduction=hard_negative(ratio=1))")(pred, target)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", ["hinge", "squared_hinge", "logistic", "perceptron"])
def test_signs_of_class_indices_know_the_classes(name: str) -> None:
    """A label that names no class is refused, one to ignore is left out, whoever wrote it."""
    loss, pred = compiled(name), torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    good = torch.tensor([0, 1, 2, 1])
    for _ in range(3):
        loss(pred, good)
        for label in (7, -1):
            with pytest.raises(losslang.LossError, match="E506"):
                loss(pred, torch.where(good == 2, label, good))
    with pytest.raises(losslang.LossError, match="E516"):
        compiled(name)(pred, torch.tensor([[0, 1, 5]]).expand(4, 3))
    some = torch.tensor([0, 1, 255, 1])
    kept = some != 255
    wanted = loss(pred[kept], some[kept])
    torch.testing.assert_close(compiled(f"{name}(ignore_index=255)")(pred, some), wanted)
    both = compiled(f"ce(ignore_index=255) + {name}")(pred, some)
    torch.testing.assert_close(both, wanted + F.cross_entropy(pred[kept], some[kept]))


def test_hard_negatives_keep_what_is_no_number() -> None:
    pred, target = torch.tensor([[math.nan, 1.0, 2.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    assert compiled("bce(sigmoid, reduction=hard_negative)")(pred, target).isnan()


@pytest.mark.parametrize(
    ("text", "wanted"), [("multilabel_margin", 0.5 / 3), ("bi_tempered(t1=1, t2=1)", 0.4740770)]
)
def test_a_class_that_is_ruled_out_is_compared_with_none(text: str, wanted: float) -> None:
    pred = torch.tensor([[1.0, -math.inf, 0.5]], requires_grad=True)
    target = torch.tensor([[1.0, 0.0, 0.0]]) if "label" in text else torch.tensor([0])
    found = compiled(text)(pred, target)
    assert found.item() == pytest.approx(wanted, rel=1e-5)
    (gradient,) = torch.autograd.grad(found, pred)
    assert gradient.isfinite().all()
