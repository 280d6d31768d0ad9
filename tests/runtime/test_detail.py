"""What `detail` says beside the values: sums and counts that add up over batches, and values by class."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cutting import cut
from torch import Tensor

import losslang

R = torch.Generator().manual_seed(11)
N, C, H, W = 11, 4, 5, 3
PRED = torch.randn(N, C, H, W, generator=R, dtype=torch.float64)
LABELS = torch.randint(C, (N, H, W), generator=R)
LABELS[1:3] = 255
VALID = torch.rand(N, H, W, generator=R) > 0.4
VALID[4] = False
WEIGHT = torch.rand(N, H, W, generator=R, dtype=torch.float64)
ROW = torch.randn(N, 6, generator=R, dtype=torch.float64)
BATCHES = (slice(0, 1), slice(1, 3), slice(3, 8), slice(8, N))
"""Uneven batches: the second holds nothing but labels to ignore, the third a sample that is masked."""


def batch(rows: slice) -> dict[str, Any]:
    return {"m": VALID[rows], "w": WEIGHT[rows], "divisor": VALID[rows].sum().double()}


ADDED = [
    "ce(ignore_index=255)",
    "ce(ignore_index=255, mask=batch.m)",
    "ce(ignore_index=255, mask=batch.m, class_weight=[1, 2, 3, 4])",
    "ce(ignore_index=255, class_weight=[1, 2, 3, 4], weight=batch.w)",
    "ce(ignore_index=255, mask=batch.m, weight=batch.w, reduction=wmean)",
    "ce(ignore_index=255, mask=batch.m, reduction=wmean_all)",
    "ce(ignore_index=255, mask=batch.m, reduction=sum)",
    "ce(ignore_index=255, mask=batch.m, reduction=batchmean)",
    "ce(ignore_index=255, mask=batch.m, reduction=mean_of_means)",
    "ce(ignore_index=255, mask=batch.m, reduction=mean_all)",
    "ce(ignore_index=255, mask=batch.m, reduction=hard_negative)",
    "ce(ignore_index=255, mask=batch.m, avg_factor=batch.divisor)",
    "focal(sigmoid, ignore_index=255, mask=batch.m)",
    "focal(softmax, ignore_index=255, mask=batch.m, alpha=0.3)",
    "dice(softmax, ignore_index=255, mask=batch.m)",
    "dice(softmax, ignore_index=255, mask=batch.m, background=false)",
    "dice(softmax, ignore_index=255, classes=[1, 3])",
    "dice(softmax, ignore_index=255, mask=batch.m, empty=skip)",
    "dice(softmax, ignore_index=255, class_weight=[1, 2, 3, 4], reduction=wmean)",
    "lovasz_softmax(softmax, ignore_index=255, reduction=mean)",
    "hinge(ignore_index=255, mask=batch.m)",
    "1 - 2*dice(softmax, ignore_index=255, mask=batch.m)",
    "batch.w*ce(ignore_index=255, mask=batch.m)",
    "l1@(pred, pred**2)",
    "l1(mask=batch.m)@(pred, pred**2)",
    "l1(reduction=sum)@(pred, pred**2)",
    "2*l1(reduction=batchmean, mask=batch.m)@(pred, pred**2)",
    "metric(zero_one(softmax, ignore_index=255, mask=batch.m)) + l1@(pred, pred**2)",
    "metric(detach(l1@(pred, pred**2))) + l1@(pred, pred**2)",
    "ssim(window=3)@(pred, pred**2)",
]


def together(out: losslang.Detail) -> Tensor:
    """The formula that the documentation gives."""
    return torch.where(out.counts > 0, out.sums / out.counts, out.sums)


def compiled(text: str) -> losslang.Loss:
    return losslang.compile(text)


@pytest.mark.parametrize("text", ADDED)
@pytest.mark.parametrize("elements", [None, 40])
@pytest.mark.filterwarnings("ignore::losslang.LossWarning")
def test_uneven_batches_add_up_to_the_whole_epoch(text: str, elements: int | None) -> None:
    def run(rows: slice) -> losslang.Detail:
        if elements is None:
            return loss.detail(PRED[rows], LABELS[rows], **batch(rows))
        with cut(elements):
            return compiled(text).detail(PRED[rows], LABELS[rows], **batch(rows))

    loss = compiled(text)
    whole = run(slice(None))
    parts = [run(rows) for rows in BATCHES]
    sums, counts = sum(out.sums for out in parts), sum(out.counts for out in parts)
    assert isinstance(sums, Tensor)
    assert not sums.isnan().any()
    torch.testing.assert_close(counts, whole.counts)
    torch.testing.assert_close(sums, whole.sums)
    torch.testing.assert_close(torch.where(counts > 0, sums / counts, sums), whole.values)
    for out in parts:
        # The mean over nothing is 0, and 1 - 0 no part of a sum.
        assert text.startswith("1 -") or torch.allclose(together(out), out.values)
        assert len(out.names) == len(out.sums) == len(out.counts) == len(out.values)


@pytest.mark.parametrize("reduction", ["mean", "batchmean", "sum", "wmean"])
def test_losses_of_rows_add_up_too(reduction: str) -> None:
    loss = losslang.compile(f"cosine(mask=batch.m, weight=batch.w, reduction={reduction})@(pred, batch.o)")
    mask, weight = VALID[:, 0, 0], WEIGHT[:, 0, 0]

    def run(rows: slice) -> losslang.Detail:
        return loss.detail(ROW[rows], o=-(ROW[rows] ** 2), m=mask[rows], w=weight[rows])

    whole = run(slice(None))
    parts = [run(rows) for rows in BATCHES]
    torch.testing.assert_close(sum(out.sums for out in parts), whole.sums)
    torch.testing.assert_close(sum(out.counts for out in parts), whole.counts)
    torch.testing.assert_close(together(whole), whole.values)


def test_counts_by_hand() -> None:
    loss = losslang.compile(
        "ce(ignore_index=255, mask=batch.m, class_weight=[1, 2, 3, 4]) + ce(ignore_index=255) + dice"
    )
    out = loss.detail(PRED, LABELS, **batch(slice(None)))
    kept = VALID & (LABELS != 255)
    weights = torch.arange(1.0, 5.0)[LABELS.where(kept, 0)] * kept
    seen = (LABELS != 255).flatten(1).any(1).sum() * C
    wanted = torch.stack([weights.sum(), (LABELS != 255).sum(), seen]).double()
    torch.testing.assert_close(out.counts, wanted)
    assert out.counts.dtype == out.sums.dtype == torch.float64
    assert not out.sums.requires_grad
    assert out.by_class == {}


@pytest.mark.parametrize(
    "term",
    [
        "ce(reduction=topk)",
        "ce(reduction=ohem)",
        "ce(reduction=quantile)",
        "ce(reduction=logsumexp)",
        "dice(softmax, batch=true)",
        "sqrt(ce)",
        "ce*l1@(pred, pred**2)",
        "rmse@(pred, pred**2)",
        "metric(1 + l1(reduction=sum)@(pred, pred**2))",
        "batch.s",
    ],
)
def test_what_is_no_quotient_of_sums_says_so(term: str) -> None:
    out = losslang.compile(f"{term} + mse@(pred, pred**2)").detail(PRED, LABELS % 4, s=torch.tensor(2.0))
    assert out.counts[:-1].isnan().all()
    assert out.sums[:-1].isnan().all()
    assert out.counts[-1] == PRED.numel()
    assert out.values.isfinite().all()


def test_what_reads_no_tensor_of_the_call_counts_one_a_call() -> None:
    """The epoch mean of a term on parameters is the mean of the calls, whatever changes between them."""
    network = torch.nn.Linear(6, 1).double()
    regularizers = ("l2_reg", "l1_reg", "elastic_net", "l2_reg(match='bias')", "sqrt(l2_reg)")
    loss = losslang.compile(
        " + ".join(("mse@(pred, 0)", *regularizers, "2", "const.s")),
        params=network,
        const={"s": torch.tensor(3.0)},
    )
    parts = list[losslang.Detail]()
    for rows in BATCHES:
        parts.append(loss.detail(ROW[rows]))
        with torch.no_grad():
            network.weight *= 2
    sums, counts = sum(out.sums for out in parts), sum(out.counts for out in parts)
    assert isinstance(counts, Tensor)
    assert counts.tolist() == [ROW.numel(), *[len(BATCHES)] * 7]
    torch.testing.assert_close((sums / counts)[1:], torch.stack([out.values for out in parts]).mean(0)[1:])


def test_the_count_of_a_step_is_taken_once_for_its_micro_batches() -> None:
    loss = losslang.compile("ce(ignore_index=255, avg_factor=batch.n)")
    n = (LABELS != 255).sum()
    parts = [loss.detail(PRED[rows], LABELS[rows], n=n) for rows in BATCHES]
    whole = loss.detail(PRED, LABELS, n=n)
    assert all(out.counts == n for out in parts)
    torch.testing.assert_close(sum(out.values for out in parts), whole.values)
    torch.testing.assert_close(sum(out.sums for out in parts) / n, whole.values)


def test_each_class_has_sums_and_counts_as_a_metric() -> None:
    named = "; ".join(f"c{c} = dice(softmax, classes=[{c}], empty=skip, ignore_index=255)" for c in range(C))
    metrics = " + ".join(f"metric(c{c})" for c in range(C))
    loss = losslang.compile(f"{named}; ce(ignore_index=255) + {metrics}")
    parts = [loss.detail(PRED[rows], LABELS[rows]) for rows in BATCHES]
    sums, counts = sum(out.sums for out in parts), sum(out.counts for out in parts)
    by_class = losslang.compile("dice(softmax, ignore_index=255, empty=skip)").detail(
        PRED, LABELS, by="class"
    )
    torch.testing.assert_close((sums / counts)[1:], by_class.by_class["dice"])


def test_a_term_of_weight_zero_needs_nothing() -> None:
    loss = losslang.compile("l1@a + 0*dice(softmax)@b")
    assert loss.detail({"a": ROW}, {"a": ROW}).names == ("l1.a",)


def test_values_that_are_not_reduced_have_their_count_too() -> None:
    out = losslang.compile("ce(reduction=none)").detail(PRED, LABELS % 4)
    assert out.values.shape == LABELS.shape
    assert out.counts.isnan().all()


def test_nothing_is_read_back() -> None:
    """On tensors without data every look at a number would raise."""
    loss = losslang.compile("ce(mask=batch.m) + dice(mask=batch.m) + ce(class_weight=[1, 2, 3, 4])")
    far = loss.detail(*(x.to("meta") for x in (PRED, LABELS)), m=VALID.to("meta"))
    assert far.counts.is_meta
    assert far.sums.is_meta


# -------------------------------------------------------------------- by class


def nan(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.filterwarnings("ignore::losslang.LossWarning")
@pytest.mark.parametrize("elements", [None, 40])
def test_values_by_class(elements: int | None) -> None:
    text = (
        "ce(ignore_index=255, mask=batch.m) + dice(mask=batch.m) + focal(sigmoid, mask=batch.m, ignore_index=255)"
        "@(batch.x, target) + l1@(pred, pred**2)"
    )
    more = {**batch(slice(None)), "x": PRED}
    if elements is None:
        out = losslang.compile(text).detail(PRED, LABELS, by="class", **more)
    else:
        with cut(elements):
            out = losslang.compile(text).detail(PRED, LABELS, by="class", **more)
    plain = losslang.compile(text).detail(PRED, LABELS, **more)
    for one, two in zip(out[:-1], plain[:-1], strict=True):
        if isinstance(one, Tensor):
            torch.testing.assert_close(one, two, equal_nan=True)
    kept = VALID & (LABELS != 255)
    picked = -PRED.log_softmax(1).gather(1, LABELS.where(kept, 0)[:, None])[:, 0]
    wanted = torch.stack([picked[kept & (c == LABELS)].mean() for c in range(C)])
    assert set(out.by_class) == {"ce", "dice", "focal"}
    torch.testing.assert_close(out.by_class["ce"], wanted)
    each = losslang.compile("dice(softmax, mask=batch.m, ignore_index=255, reduction=none)")(
        PRED, LABELS, **batch(slice(None))
    )
    some = kept.flatten(1).any(1)
    torch.testing.assert_close(out.by_class["dice"], each[some].mean(0))
    per = losslang.compile("focal(sigmoid, reduction=none)")(PRED, LABELS.where(kept, 0))
    torch.testing.assert_close(out.by_class["focal"], (per * kept[:, None]).sum((0, 2, 3)) / kept.sum())


def test_the_mean_of_the_classes_is_the_value() -> None:
    """As many values count of each channel: their mean is the term. By label, weighted by their numbers."""
    labels = LABELS % 4
    for text in (
        "dice(softmax)",
        "bce(sigmoid)",
        "hinge",
        "jaccard(sigmoid)",
        "tversky(softmax, batch=true)",
    ):
        out = losslang.compile(text).detail(PRED, labels, by="class")
        (value,) = out.by_class.values()
        torch.testing.assert_close(value.mean(), out.values[0])
    soft = torch.softmax(PRED * 2, 1)
    for target in (labels, soft):
        out = losslang.compile("ce").detail(PRED, target, by="class")
        shares = (
            torch.bincount(labels.flatten(), minlength=C).double()
            if target is labels
            else soft.sum((0, 2, 3))
        )
        if target is labels:
            torch.testing.assert_close((out.by_class["ce"] * shares).sum() / shares.sum(), out.values[0])
        values = losslang.compile("ce(reduction=none)")(PRED, target)
        if target is soft:
            torch.testing.assert_close(out.by_class["ce"], (soft * values[:, None]).sum((0, 2, 3)) / shares)


def test_a_class_that_is_not_there_or_left_out_is_nan() -> None:
    labels = (LABELS % 4).clamp(max=2)
    each = losslang.compile("dice(softmax, reduction=none)")(PRED, labels)
    for text, shown in {
        "dice(softmax, empty=skip)": (0, 1, 2),
        "dice(softmax, background=false)": (1, 2, 3),
        "dice(softmax, classes=[3, 1])": (1, 3),
        "dice(softmax, classes=[2, 0, 3, 1])": (0, 1, 2, 3),
        "lovasz_softmax(softmax)": (0, 1, 2),
        "ce": (0, 1, 2),
    }.items():
        (found,) = losslang.compile(text).detail(PRED, labels, by="class").by_class.values()
        assert found.shape == (C,)
        assert [c for c in range(C) if not found[c].isnan()] == list(shown), text
        if text.startswith("dice"):
            held = torch.stack([(labels == c).flatten(1).any(1) for c in range(C)], 1)
            counted = held.double() if "skip" in text else torch.ones_like(each)
            wanted = (each * counted).sum(0) / counted.sum(0)
            torch.testing.assert_close(found[list(shown)], wanted[list(shown)])


def test_one_channel_is_one_class() -> None:
    for text, pred in {"bce(sigmoid)": PRED[:, :1], "hinge": PRED[:, 0, 0, 0]}.items():
        truth = pred > 0
        out = losslang.compile(text).detail(pred, truth if text == "hinge" else truth.double(), by="class")
        (found,) = out.by_class.values()
        torch.testing.assert_close(found, out.values)


def test_terms_that_are_no_loss_have_no_classes() -> None:
    out = losslang.compile("sqrt(ce) + l1@(pred, pred**2)").detail(PRED, LABELS % 4, by="class")
    assert out.by_class == {}
    with pytest.raises(ValueError, match="None or 'class'"):
        losslang.compile("ce").detail(PRED, LABELS % 4, by="channel")  # type: ignore[arg-type]


def test_counting_keeps_rows_where_they_lie() -> None:
    """A count reads no values: what trains, and what is logged, is the plan that is best without it."""
    loss = losslang.compile("ce(channels=last, ignore_index=255, mask=batch.m)")
    plans = [executor.plan for executor in (loss._programs.total, loss._programs.full)]
    for plan in plans:
        assert "rows" in {step.operation for step in plan.steps}
    assert not any(step.operation == "count" for step in plans[0].steps)
    assert "count" not in str(loss.plan)


@pytest.mark.parametrize(
    "text",
    [t for t in ADDED if "hard" not in t and "1 -" not in t and ("ce(" in t or "dice(" in t or "hinge" in t)],
)
@pytest.mark.filterwarnings("ignore::losslang.LossWarning")
def test_channels_last_count_the_same(text: str) -> None:
    last = text.replace("ignore_index=255", "ignore_index=255, channels=last")
    for by in (None, "class"):
        one = losslang.compile(text).detail(PRED, LABELS, by=by, **batch(slice(None)))  # type: ignore[arg-type]
        two = losslang.compile(last).detail(PRED.movedim(1, -1), LABELS, by=by, **batch(slice(None)))  # type: ignore[arg-type]
        torch.testing.assert_close(two.counts, one.counts)
        torch.testing.assert_close(two.sums, one.sums)
        torch.testing.assert_close(two.values, one.values)
        for name, value in one.by_class.items():
            torch.testing.assert_close(two.by_class[name], value, equal_nan=True)
