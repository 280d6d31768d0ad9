"""Masked programs: what a plan masks, and that values and gradients are those of the plain plan, which masks all."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from _executors import NO_MODULE, executor_of, ways
from _oracle import whole_value
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import losslang
from losslang.plan.passes import fuse_masks, mask_once, share_logs
from losslang.plan.passes.probes import zero_at
from losslang.plan.plan import Ref, Step
from losslang.primitives.entropy import NEVER
from losslang.primitives.primitive import Loss
from losslang.registry import current_registry
from losslang.runtime import compiled
from losslang.runtime.conditions import LABELS as LABELS_LOOK
from losslang.runtime.executor import Executor
from losslang.tensors import byte_masks

R = torch.Generator().manual_seed(3)
SHAPE = (3, 4, 5, 6)
PRED, REAL = (torch.randn(SHAPE, generator=R, dtype=torch.float64) for _ in range(2))
YES, LABELS = (torch.rand(SHAPE, generator=R) > 0.5).double(), torch.randint(4, (3, 5, 6), generator=R)
SOFT = REAL.softmax(1)
PLACES = torch.rand(3, 5, 6, generator=R) > 0.3
LAID = {
    "of places": PLACES,
    "of one channel": PLACES.unsqueeze(1),
    "of elements": torch.rand(SHAPE, generator=R) > 0.3,
    "of columns": torch.rand(1, 1, 1, 6, generator=R) > 0.4,
    "of samples": torch.tensor([True, False, True]),
    "of nothing": torch.zeros(3, 5, 6).bool(),
    "of everything": torch.ones(3, 5, 6).bool(),
    "as numbers": PLACES.double(),
}
OF_ELEMENTS = [
    "mse(mask=batch.m)", "l1(mask=batch.m, reduction=sum)", "smooth_l1(mask=batch.m)", "huber(mask=batch.m)",
    "0.5*mse(mask=batch.m) + l1(mask=batch.m)", "log_cosh(mask=batch.m, reduction=mean)",
]  # fmt: skip
OF_YES = [
    "bce(sigmoid, mask=batch.m)", "focal(sigmoid, mask=batch.m)", "focal(sigmoid, alpha=0.25, mask=batch.m)",
    "bce(sigmoid, mask=batch.m) + dice(smooth=1, mask=batch.m)", "bce(sigmoid, label_smoothing=0.1, mask=batch.m)",
    "bce(sigmoid, pos_weight=2, mask=batch.m)", "hinge(mask=batch.m)", "bce(sigmoid, mask=batch.m, reduction=sum)",
    "bce(sigmoid, mask=batch.m) + mse(mask=batch.m)", "dice(sigmoid, mask=batch.m)", "jaccard(sigmoid, smooth=0, mask=batch.m)",
    "tversky(sigmoid, mask=batch.m) + dice(sigmoid, batch=true, mask=batch.m)", "mcc(sigmoid, mask=batch.m)", "bce(sigmoid, mask=batch.m, reduction=ohem(min_kept=20))",
]  # fmt: skip
OF_CLASSES = [
    "ce(mask=batch.m)", "ce(mask=batch.m, label_smoothing=0.1)", "ce(mask=batch.m, reduction=sum)",
    "ce(mask=batch.m, class_weight=[1, 2, 0.5, 3])", "ce(mask=batch.m) + dice(mask=batch.m)",
    "dice(softmax, background=false, mask=batch.m)", "tversky(softmax, classes=[1, 2], mask=batch.m)", "dice(softmax, empty=skip, mask=batch.m)",
    "nll(log_softmax, mask=batch.m)", "focal(softmax, mask=batch.m)", "focal(softmax, alpha=0.25, mask=batch.m)", "dice(softmax, mask=batch.m)",
    "ce(mask=batch.m, class_weight=[1, 2, 0.5, 3], label_smoothing=0.2)", "ce(mask=batch.m, class_weight=balanced)",
    "ce(mask=batch.m, class_weight=[1, 2, 0.5, 3], reduction=mean)", "ce(mask=batch.m, reduction=topk(frac=0.2))",
    "ce(mask=batch.m, reduction=ohem(min_kept=10))", "ce(mask=batch.m, class_weight=[1, 2, 0.5, 3], reduction=sum)",
]  # fmt: skip
BY_CHANNEL = ("of elements", "of columns", "of samples", "as numbers")


@pytest.fixture(params=["few", "many"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Few elements are masked by torch.where, many by bitwise operations."""
    if request.param == "many":
        monkeypatch.setattr(byte_masks, "MANY", 0)
        monkeypatch.setattr(byte_masks, "CLEARED", 0)
    return request.param


def hidden(mask: Tensor, value: Tensor, number: float) -> Tensor:
    """A tensor with a number where it is masked."""
    shown = mask if mask.dtype == torch.bool else mask != 0
    if shown.ndim == 1:
        shown = shown.reshape(-1, *[1] * (value.ndim - 1))
    elif shown.ndim < value.ndim:
        shown = shown.unsqueeze(1)
    elif shown.ndim > value.ndim:
        shown = shown.any(1)
    return torch.where(shown, value, torch.tensor(number, dtype=value.dtype))


def holds(text: str, pred: Tensor, target: Tensor, mask: Tensor) -> None:
    """Every call of a module gives what the plain plan does in double precision, whatever is masked."""
    loss, leaf = losslang.compile(text), pred.clone().requires_grad_()
    wanted = whole_value(loss, leaf, target, m=mask)
    (slope,) = torch.autograd.grad(wanted, leaf)
    bad = math.nan if target.is_floating_point() else 77
    worse = hidden(mask, pred, math.nan), hidden(mask, target, bad)
    for given in [(pred, target)] * 4 + [worse] * 2 + [(hidden(mask, pred, math.inf), target)]:
        leaf = given[0].clone().requires_grad_()
        found = loss(leaf, given[1], m=mask)
        torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(torch.autograd.grad(found, leaf)[0], slope, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("laid", LAID)
@pytest.mark.parametrize("text", OF_ELEMENTS)
def test_losses_of_elements(text: str, laid: str, size: str):
    holds(text, PRED, REAL, LAID[laid])


@pytest.mark.filterwarnings("ignore::losslang.LossWarning")
@pytest.mark.parametrize("laid", LAID)
@pytest.mark.parametrize("text", OF_YES)
def test_losses_of_yes_and_no(text: str, laid: str, size: str):
    holds(text, PRED, 2 * YES - 1 if "hinge" in text else YES, LAID[laid])


@pytest.mark.parametrize("laid", [name for name in LAID if name != "of elements"])
@pytest.mark.parametrize("form", ["indices", "distribution"])
@pytest.mark.parametrize("text", OF_CLASSES)
def test_losses_of_classes(text: str, form: str, laid: str, size: str):
    holds(text, PRED, LABELS if form == "indices" else SOFT, LAID[laid])


VOID = "ignore_index=255"
OF_VOID = [
    f"bce(sigmoid, {VOID})", f"bce(sigmoid, {VOID}) + dice(smooth=1, {VOID})", f"bce(sigmoid, pos_weight=2, {VOID}) + dice({VOID})",
    f"focal(sigmoid, {VOID}) + dice({VOID}) + 0.3*tversky({VOID})", f"dice(sigmoid, {VOID}) + bce(sigmoid, {VOID}, reduction=sum)",
    f"bce(sigmoid, {VOID}) + dice(batch=true, {VOID}) + jaccard(empty=skip, {VOID})", f"bce(sigmoid, {VOID}) + bce(sigmoid)",
]  # fmt: skip
FORMS = {
    "numbers": (PRED, YES),
    "whole numbers": (PRED, YES.long()),
    "indices": (PRED, LABELS),
    "places": (PRED[:, :1], YES[:, 0].long()),
}
HIDES = {
    "some": lambda t: torch.rand(t.shape, generator=torch.Generator().manual_seed(5)) > 0.7,
    "one": lambda t: torch.arange(t.numel()).view(t.shape) == 7,
    "a region": lambda t: torch.arange(t.numel()).view(t.shape) < t[0].numel() // (4 if t.ndim == 4 else 1),
    "a sample and one": lambda t: torch.arange(t.numel()).view(t.shape) <= t[0].numel(),
    "all": lambda t: torch.ones(t.shape).bool(),
}  # fmt: skip


@pytest.mark.parametrize("hides", HIDES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", OF_VOID)
def test_labels_to_ignore_of_yes_and_no(text: str, form: str, hides: str, size: str):
    """As `holds`; what nobody is to read is not a number in the prediction."""
    pred, target = FORMS[form]
    void = HIDES[hides](target)
    ignored = target.masked_fill(void, 255)
    if "+ bce(sigmoid)" not in text:
        pred = hidden(~void, pred, math.nan)
    loss, leaf = losslang.compile(text, validate="never"), pred.clone().requires_grad_()
    wanted = whole_value(loss, leaf, ignored)
    (slope,) = torch.autograd.grad(wanted, leaf)
    for _ in range(4):
        found = loss(leaf, ignored)
        torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(torch.autograd.grad(found, leaf)[0], slope, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("index", ["255", "-100", "[-100, 255]", "[254, 255]"])
@pytest.mark.parametrize(
    "number", [0.0, 1.0, 0.5, -1.0, -100.0, -200.0, 254.0, 255.0, 300.0, math.inf, math.nan]
)
def test_which_numbers_are_labels_to_ignore(index: str, number: float):
    """Their ends say that none is there, and may say no more: beside 300 there need be no 255."""
    text = f"bce(sigmoid, ignore_index={index}) + dice(smooth=1, ignore_index={index})"
    loss, target = losslang.compile(text, validate="never"), YES.clone()
    target[1, 2, 3] = number
    for given in (target, YES, target):
        leaf = PRED.clone().requires_grad_()
        wanted = whole_value(loss, leaf, given)
        (slope,) = torch.autograd.grad(wanted, leaf)
        found = loss(leaf, given)
        torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-12, equal_nan=True)
        (own,) = torch.autograd.grad(found, leaf)
        torch.testing.assert_close(own, slope, rtol=1e-10, atol=1e-12, equal_nan=True)


def test_the_ends_of_numbers_say_whether_labels_to_ignore_are_there():
    """No mask is made to be asked."""
    few = YES.clone()
    few[0, 0, 0, 0] = 255
    for target in (YES, few):
        names = ways("bce(sigmoid, ignore_index=255)", PRED, target)
        assert names[0] == "ignored by range"
        assert "masks asked" not in names


def test_a_region_without_elements_is_found():
    """A sample that is masked wholly counts no more; one element less than that may lie anywhere."""
    loss = losslang.compile("bce(sigmoid, mask=batch.m) + dice(smooth=1, mask=batch.m)")
    mask = torch.ones(3, 4, 5, 6).bool()
    for hides in (29, 30, 31):
        mask.flatten()[:hides] = False
        for _ in range(3):
            found = loss.detail(PRED, YES, m=mask).values[1]
        probs, truth = PRED.sigmoid() * mask, YES * mask
        overlap, sizes = (probs * truth).sum((2, 3)), (probs + truth).sum((2, 3))
        wanted = (1 - (2 * overlap + 1) / (sizes + 1)).flatten()[int(hides >= 30) :]
        torch.testing.assert_close(found, wanted.mean())


# -------------------------------------------------------------------- what is left in the plan


def steps_of(text: str, pred: Tensor, target: Tensor, **batch: Any) -> list[str]:
    """The operations of a later call."""
    compiled._understood.cache_clear()
    executor = executor_of(text)
    for _ in range(3):
        executor.run((pred, target, batch, {}, NO_MODULE), LABELS_LOOK)
    return [step.operation for own in _executors(executor) for step in _computing(own)]


def _executors(executor: Executor) -> list[Executor]:
    other = executor.kernel_ignoring
    asked = [executor.without(absent) for absent in (executor.ignore_step_names, ())]
    return list(dict.fromkeys([*([] if other is None else [other]), executor, *asked]))


def _computing(executor: Executor) -> list[Step]:
    for case in executor.cases.values():
        looks = [case.dispatch(look, may_ignore=ignores) for ignores in (False, True) for look in range(3)]
        for dispatch in looks:
            if dispatch.chosen is not None and dispatch.chosen[0].name == "specialized":
                return [s for s in dispatch.chosen[1].programs()[-1][1].steps if isinstance(s, Step)]
    return []


MASKS = ("zero_masked", "zero_masked_raw", "filled", "value_mask")
COUNTED = ["number_of_counted", "over_counted"]
FUSED = {
    "mse(mask=batch.m)": ["zero_masked_raw", "zero_masked", "kernel:mse.identity", *COUNTED],
    "l1(mask=batch.m, reduction=sum)": ["zero_masked_raw", "zero_masked", "loss:l1", "reduction:sum"],
    "bce(sigmoid, mask=batch.m)": ["zero_masked_raw", "filled", "kernel:bce.sigmoid", *COUNTED],
}


@pytest.mark.parametrize(("text", "wanted"), FUSED.items(), ids=FUSED)
def test_a_loss_of_elements_masks_what_it_reads_alone(text: str, wanted: list[str]):
    assert steps_of(text, PRED, YES, m=LAID["of elements"]) == wanted


def test_labels_to_ignore_are_masked_as_a_mask_is():
    ignored = torch.where(LAID["of elements"], YES, 255)
    wanted = ["not_ignored", "zero_masked", "filled", "kernel:bce.sigmoid", *COUNTED]
    assert steps_of("bce(sigmoid, ignore_index=255)", PRED, ignored) == wanted
    text = "bce(sigmoid, ignore_index=255) + dice({0}) + 0.3*tversky({0})".format("ignore_index=255")
    found = steps_of(text, PRED, ignored)
    assert [found.count(name) for name in ("filled", "number_of_counted", "region_mask")] == [1, 1, 1]


def test_a_fill_is_shared_with_a_sigmoid_beside_it():
    text = "bce(sigmoid, mask=batch.m) + dice(smooth=1, mask=batch.m)"
    found = steps_of(text, PRED, YES, m=LAID["of elements"])
    assert found.count("filled") == 1
    assert "zero_masked_raw" in found
    assert found.index("filled") < found.index("activation:sigmoid")


OF_SUMS = {
    "dice(sigmoid, mask=batch.m)": "filled",
    "dice(softmax, mask=batch.m)": "zero_masked",
    "dice(softmax, background=false, mask=batch.m)": "zero_masked",
    "tversky(softmax, classes=[1, 2], mask=batch.m)": "zero_masked",
    "dice(sigmoid, mask=batch.m) + jaccard(sigmoid, mask=batch.m)": "filled",
}


@pytest.mark.parametrize("text", OF_SUMS)
def test_sums_of_what_is_0_where_masked_need_no_mask(text: str):
    compiled._understood.cache_clear()
    executor = executor_of(text)
    for _ in range(3):
        executor.run((PRED, YES, {"m": PLACES}, {}, NO_MODULE), LABELS_LOOK)
    found = [step for own in _executors(executor) for step in _computing(own)]
    losses = [step for step in found if step.operation.partition(":")[0] in ("loss", "totals")]
    assert losses
    assert all(None in step.inputs[-1:] or step.kind == "totals" for step in losses)
    assert OF_SUMS[text] in [step.operation for step in found]


def test_a_loss_that_sums_more_than_products_keeps_its_mask():
    compiled._understood.cache_clear()
    executor = executor_of("mcc(sigmoid, mask=batch.m)")
    for _ in range(3):
        executor.run((PRED, YES, {"m": PLACES}, {}, NO_MODULE), LABELS_LOOK)
    found = [step for own in _executors(executor) for step in _computing(own) if step.kind == "loss"]
    assert [isinstance(step.inputs[-1], Ref) for step in found] == [True]


def test_a_loss_that_reads_the_prediction_as_it_is_keeps_its_zeros():
    found = steps_of("bce(sigmoid, mask=batch.m) + mse(mask=batch.m)", PRED, YES, m=LAID["of elements"])
    assert found.count("filled") == 1
    assert found.count("zero_masked") == 1


@pytest.mark.parametrize("text", ["ce(mask=batch.m)", "ce(mask=batch.m, class_weight=[1, 2, 0.5, 3])"])
def test_a_kernel_of_classes_is_handed_the_mask(text: str):
    found = steps_of(text, PRED, LABELS, m=PLACES)
    assert not {*MASKS, "weight_of_class", "reduction:wmean"} & set(found)
    assert found[-1] == "kernel:ce.softmax"
    assert "labels checked by kernels" in ways(text, PRED, LABELS, m=PLACES)


def test_a_masked_kernel_goes_before_a_walk(one_thread: None):
    """Without a mask the walk is quicker, and labels to ignore are looked for first."""
    pred, labels = torch.randn(1, 2, 2**20), torch.randint(2, (1, 2**20))
    assert "ignored by kernels" in ways("ce(mask=batch.m)", pred, labels, m=labels > 0)
    assert "in blocks" in ways("ce", pred, labels)


def test_class_weights_go_into_the_kernel():
    found = steps_of("ce(class_weight=[1, 2, 0.5, 3])", PRED, LABELS)
    assert found == ["kernel:ce.softmax"]


@pytest.mark.parametrize(("option", "reads"), [("", False), ("alpha=0.25", True)])
def test_focal_of_classes_reads_one_softmax(option: str, reads: bool):
    found = steps_of(f"focal(softmax, {option})", PRED, LABELS)
    third = ["not_background"] if reads else []
    assert found == ["log_true_class", "true_probs", *third, "loss:focal", "reduction:mean"]


KEPT = [
    "bce(sigmoid, label_smoothing=0.1, mask=batch.m)",
    "hinge(mask=batch.m)",
    "bce(sigmoid, class_weight=[1, 2, 3, 4], mask=batch.m)",
    "mse(mask=batch.m, reduction=batchmean)",
    "mse(mask=batch.m, weight=batch.m)",
]


@pytest.mark.parametrize("text", KEPT)
def test_values_that_are_not_0_where_masked_are_masked(text: str):
    found = steps_of(text, PRED, 2 * YES - 1 if "hinge" in text else YES, m=LAID["of elements"])
    assert found.count("zero_masked") == 2
    assert "value_mask" in found


@pytest.mark.parametrize("name", ["fuse_masks", "share_logs", "mask_once"])
def test_what_nothing_masks_stays(name: str):
    plan = losslang.compile("0.5*bce(sigmoid) + dice(smooth=1)").plan
    passes: dict[str, Any] = {"fuse_masks": fuse_masks, "mask_once": mask_once, "share_logs": share_logs}
    found = passes[name](plan, current_registry())
    assert [s.operation for s in found.steps if not s.check] == [
        s.operation for s in plan.steps if not s.check
    ]


# -------------------------------------------------------------------- where a loss is 0


def zero_of(text: str, *options: tuple[str, Any], given: int = 2) -> float | None:
    loss = current_registry().get(Loss, text.partition(":")[2].partition(".")[0])
    assert loss is not None
    return zero_at(Step("v", text, (Ref("x"), Ref("t"), *[None] * (given - 2)), options), current_registry())


def test_where_losses_are_0():
    assert zero_of("kernel:mse.identity") == zero_of("loss:l1") == 0.0
    assert zero_of("kernel:bce.sigmoid", ("label_smoothing", 0), given=3) == NEVER
    assert zero_of("kernel:focal.sigmoid", ("gamma", 2)) == NEVER
    assert zero_of("kernel:bce.sigmoid", ("label_smoothing", 0.1), given=3) is None
    assert zero_of("loss:hinge") is None
    assert zero_of("loss:dice") is None


def test_a_loss_that_fails_on_one_element_is_masked():
    def strict(values: Tensor, target: Tensor) -> Tensor:
        raise ValueError(f"{values.shape} is too few")

    strict.__module__ = "losslang.losses.regression"
    own = current_registry().snapshot()
    known = own.get(Loss, "mse")
    assert known is not None
    step = Step("v", "loss:mse", (Ref("x"), Ref("t")))
    assert zero_at(step, own) == 0.0

    class Strict:
        def get(self, *_: Any) -> Any:
            from dataclasses import replace

            return replace(known, function=strict)

    assert zero_at(step, Strict()) is None  # pyright: ignore[reportArgumentType]


# -------------------------------------------------------------------- what else a call may be


def test_weights_that_add_up_to_0_give_0():
    loss = losslang.compile("ce(class_weight=[0, 0, 1, 1])")
    for _ in range(3):
        pred = PRED.clone().requires_grad_()
        value = loss(pred, LABELS % 2)
        value.backward()
        assert value.item() == 0
        assert pred.grad is not None
        assert not pred.grad.any()


@pytest.mark.parametrize("form", ["indices", "distribution"])
def test_a_gradient_into_class_weights(form: str):
    loss = losslang.compile("ce(class_weight=batch.w, mask=batch.m)")
    target = LABELS if form == "indices" else SOFT
    weight = torch.tensor([1.0, 2, 0.5, 3], dtype=torch.float64)
    wanted = None
    for _ in range(4):
        leaf = weight.clone().requires_grad_()
        value = loss(PRED, target, w=leaf, m=PLACES)
        (slope,) = torch.autograd.grad(value, leaf)
        plain = whole_value(loss, PRED, target, w=leaf, m=PLACES)
        wanted = torch.autograd.grad(plain, leaf)[0] if wanted is None else wanted
        torch.testing.assert_close(value, plain)
        torch.testing.assert_close(slope, wanted)


@pytest.mark.parametrize("text", ["ce(mask=batch.m)", "ce(class_weight=[1, 2, 0.5, 3], mask=batch.m)"])
def test_a_mask_beside_labels_to_ignore(text: str):
    labels = torch.where(torch.rand(3, 5, 6, generator=R) > 0.2, LABELS, -100)
    holds(text, PRED, labels, PLACES)


def test_a_label_that_is_no_class_is_refused_where_it_counts():
    loss, labels = losslang.compile("ce(mask=batch.m)"), LABELS.masked_fill(~PLACES, 255)
    for _ in range(3):
        assert loss(PRED, labels, m=PLACES).isfinite()
        with pytest.raises(losslang.LossError, match="255"):
            loss(PRED, labels, m=~PLACES)


@pytest.mark.parametrize(
    "text", [OF_CLASSES[0], OF_CLASSES[3], OF_YES[3], OF_ELEMENTS[0], "focal(softmax, mask=batch.m)"]
)
def test_a_checkpoint_saves_the_same_in_every_call(text: str):
    loss, target = losslang.compile(text), LABELS if "ce" in text or "softmax" in text else YES
    target = YES if "bce" in text or "mse" in text else target
    for _ in range(3):
        pred = PRED.clone().requires_grad_()
        value = checkpoint(lambda x: loss(x, target, m=PLACES), pred, use_reentrant=False)
        assert isinstance(value, Tensor)
        value.backward()
        assert pred.grad is not None


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize(
    "reduction",
    [
        "ohem(thresh=0.7, min_kept=7)",
        "ohem(thresh=0.99, min_kept=1)",
        "ohem(thresh=0.001, min_kept=50)",
        "ohem",
        "topk(frac=0.2)",
        "topk(k=5)",
    ],
)
def test_the_hardest_are_those_of_a_sort(reduction: str, counted: bool):
    text = f"ce(reduction={reduction}{', mask=batch.m' if counted else ''})"
    loss, pred = losslang.compile(text), PRED.clone().requires_grad_()
    values = torch.nn.functional.cross_entropy(pred, LABELS, reduction="none")
    ranked = (values[PLACES] if counted else values.flatten()).sort(descending=True).values
    bound = {"0.7": 0.7, "0.99": 0.99, "0.001": 0.001}.get(reduction[12:].partition(",")[0], 0.7)
    least = int(reduction.rpartition("=")[2].rstrip(")")) if "min_kept" in reduction else 100_000
    number = max(int((ranked > -math.log(bound)).sum()), min(least, len(ranked)))
    if "topk" in reduction:
        number = 5 if "k=" in reduction and "frac" not in reduction else int(0.2 * len(ranked))
    wanted = ranked[:number].mean()
    slope = torch.autograd.grad(wanted, pred)[0]
    for _ in range(3):
        found = loss(pred, LABELS, m=PLACES)
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(torch.autograd.grad(found, pred)[0], slope)


def test_nan_that_counts_stays_in_the_hardest():
    pred = PRED.clone()
    pred[0, :, 0, 0] = math.nan
    for text in ("ce(reduction=ohem(min_kept=3))", "ce(reduction=ohem)", "ce(reduction=topk)"):
        assert losslang.compile(text)(pred, LABELS).isnan()


@pytest.mark.parametrize("channels", [(1, 3), (3, 1), (3, 5)], ids=str)
@pytest.mark.parametrize(
    "use", ["dice(sigmoid{})", "dice(sigmoid{}, reduction=sum)", "tversky(sigmoid{}, empty=zero)"]
)
def test_heads_of_other_channels_under_one_mask(use: str, channels: tuple[int, int]):
    """Every call, also those after the first, which look at the regions of a mask once for both heads."""
    torch.manual_seed(0)
    mask = torch.rand(2, 1, 4, 5) > 0.4
    mask[1] = False
    preds = {name: torch.randn(2, c, 4, 5) for name, c in zip("ab", channels, strict=True)}
    targets = {name: (torch.rand_like(pred) > 0.5).float() for name, pred in preds.items()}
    one = losslang.compile(use.format(", mask=batch.m"))
    wanted = one(preds["a"], targets["a"], m=mask) + one(preds["b"], targets["b"], m=mask)
    head = use.format(", mask=batch.m")
    loss = losslang.compile(f"{head}@(pred.a, target.a) + {head}@(pred.b, target.b)")
    for _ in range(3):
        torch.testing.assert_close(loss(preds, targets, m=mask), wanted)


@pytest.mark.parametrize("kind", [torch.long, torch.bool, torch.uint8, torch.float32])
@pytest.mark.parametrize("option", ["mask=batch.m", "ignore_index=7"])
def test_a_prediction_of_one_axis_in_the_first_call_and_in_later_ones(option: str, kind: torch.dtype):
    """For every loss that takes it: a target of classes may have that shape too."""
    pred, target = torch.tensor([0.5, -1.0, 2.0, 0.1]), torch.tensor([0, 1, 1, 0]).to(kind)
    if "ignore_index" in option and kind != torch.bool:
        target[1] = 7
    batch = {"m": torch.tensor([True, False, True, True])} if "mask" in option else {}
    taken = 0
    for name in (loss.name for loss in current_registry().all(Loss)):
        for text in (f"{name}({option})", f"{name}(sigmoid, {option})"):
            try:
                loss = losslang.compile(text)
                first = loss(pred, target, **batch)
            except (losslang.LossError, losslang.LossWarning):
                continue
            taken += 1
            for _ in range(2):
                torch.testing.assert_close(loss(pred, target, **batch), first, equal_nan=True)
    assert taken >= 8
