"""Labels to ignore: in no call, in some, in all, and whatever number or no number stands beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
from _executors import ways
from _oracle import whole_value
from cutting import cut
from torch import Tensor
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

import losslang
from losslang.losses import entropy as cross_entropies
from losslang.plan.operations import masks
from losslang.primitives import cross_entropy as kernels_of_labels
from losslang.registry import current_registry
from losslang.runtime import block_sizes, ignored_labels
from losslang.runtime.compiled import _understood
from losslang.tensors import torch_private

R = torch.Generator().manual_seed(0)
PRED, LABELS = torch.randn(4, 3, 5, generator=R), torch.randint(0, 3, (4, 5), generator=R)
SOME = torch.rand(4, 5, generator=R) < 0.4


def entropy(pred: Tensor, labels: Tensor, kept: Tensor) -> Tensor:
    """-log p of the kept labels, 0 elsewhere."""
    clean = torch.where(kept.unsqueeze(1), pred, 0.0)
    picked = clean.gather(1, labels.where(kept, 0).unsqueeze(1)).squeeze(1)
    return -picked.where(kept, 0.0)


def mean(pred: Tensor, labels: Tensor, kept: Tensor) -> Tensor:
    return entropy(pred, labels, kept).sum() / kept.sum().clamp(min=1)


def of_logits(pred: Tensor, labels: Tensor, kept: Tensor) -> Tensor:
    return mean(torch.where(kept.unsqueeze(1), pred, 0.0).log_softmax(1), labels, kept)


def smoothed(pred: Tensor, labels: Tensor, kept: Tensor) -> Tensor:
    """A tenth of every label is spread over all classes."""
    log_probs = torch.where(kept.unsqueeze(1), pred, 0.0).log_softmax(1)
    evenly = -log_probs.mean(1).where(kept, 0.0).sum() / kept.sum().clamp(min=1)
    return 0.9 * mean(log_probs, labels, kept) + 0.1 * evenly


def by_sample(pred: Tensor, labels: Tensor, kept: Tensor) -> Tensor:
    return entropy(pred, labels, kept).sum() / kept.any(1).sum().clamp(min=1)


CASES: list[tuple[str, int, Callable[[Tensor, Tensor, Tensor], Tensor]]] = [
    ("nll", -100, mean),
    ("nll(reduction=sum)", -100, lambda *given: entropy(*given).sum()),
    ("nll(reduction=batchmean)", -100, by_sample),
    ("nll(reduction=none)", -100, entropy),
    ("nll + 0.5*nll(reduction=sum)", -100, lambda *given: mean(*given) + 0.5 * entropy(*given).sum()),
    ("0.1 + 2*nll", -100, lambda *given: 0.1 + 2 * mean(*given)),
    ("nll(ignore_index=255)", 255, mean),
    ("nll(ignore_index=255) + metric(nll(ignore_index=255))", 255, mean),
    ("ce", -100, of_logits),
    ("ce(ignore_index=255)", 255, of_logits),
    ("ce(label_smoothing=0.1)", -100, smoothed),
    ("ce(ignore_index=255, label_smoothing=0.1) + ce(ignore_index=255, reduction=sum)", 255,
     lambda *given: smoothed(*given) + of_logits(*given) * given[2].sum()),
    ("ce(reduction=sum)", -100, lambda *given: of_logits(*given) * given[2].sum()),
]  # fmt: skip
BESIDE = {
    "no number": lambda pred, hidden: pred.masked_fill(hidden, torch.nan),
    "infinity": lambda pred, hidden: pred.masked_fill(hidden, torch.inf),
    "one that is no number": lambda pred, hidden: pred.index_copy(
        1, torch.tensor([1]), pred[:, 1:2].masked_fill(hidden[:, 1:2], torch.nan)
    ),
    "one infinity": lambda pred, hidden: pred.index_copy(
        1, torch.tensor([2]), pred[:, 2:].masked_fill(hidden[:, 2:], torch.inf)
    ),
}
"""What stands beside ignored labels."""


@pytest.fixture(params=["near", "as on a GPU"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where tensors are: numbers of those on a GPU are not looked at."""
    _understood.cache_clear()
    if request.param != "near":
        monkeypatch.setattr(block_sizes, "can_read_without_sync", lambda _: False)
        monkeypatch.setattr(cross_entropies, "can_read_without_sync", lambda _: False)
        monkeypatch.setattr(masks, "_seen", masks._outside)
    yield request.param
    _understood.cache_clear()


@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
@pytest.mark.parametrize(("text", "index", "wanted"), CASES, ids=[text for text, _, _ in CASES])
def test_in_every_order_of_calls(
    text: str,
    index: int,
    wanted: Callable[[Tensor, Tensor, Tensor], Tensor],
    beside: Callable[[Tensor, Tensor], Tensor],
    place: str,
):
    """Often enough that nothing is looked at twice; beside an ignored label stands no number at all."""
    loss = losslang.compile(text)
    cases = [LABELS, LABELS.masked_fill(SOME, index), torch.full_like(LABELS, index)]
    for first, then in product(cases, repeat=2):
        for labels in (first, first, first, then, then):
            kept = labels != index
            hidden = ~kept.unsqueeze(1).expand(PRED.shape)
            pred = beside(PRED.log_softmax(1), hidden).requires_grad_()
            value = loss(pred, labels)
            torch.testing.assert_close(value, wanted(pred, labels, kept))
            (found,) = torch.autograd.grad(value.sum(), pred)
            (slope,) = torch.autograd.grad(wanted(pred, labels, kept).sum(), pred)
            torch.testing.assert_close(found, slope)
            assert not found[hidden].any()


LEAVING_OUT = ["ce({})", "ce(mask=batch.m{})", "ce(class_weight=[0.5, 1, 2]{})", "ce(label_smoothing=0.1{})"]


@pytest.mark.parametrize("beside", [torch.nan, torch.inf, -torch.inf, 1.0])
@pytest.mark.parametrize("reduction", ["", "reduction=sum"])
@pytest.mark.parametrize("text", LEAVING_OUT)
@pytest.mark.parametrize(("many", "is_kept"), [(0, True), (2**14, True), (2**14, False)])
def test_what_stands_beside_an_ignored_label_of_few_and_of_many(
    text: str, reduction: str, beside: float, many: int, is_kept: bool, monkeypatch: pytest.MonkeyPatch
):
    """One logit of its row, or all: the numbers of F.cross_entropy with 0 there, by what its node keeps or not."""
    monkeypatch.setattr(kernels_of_labels, "FEW", many)
    if not is_kept:
        monkeypatch.setattr(torch_private, "weight_of_nll", lambda value: None)  # pyright: ignore
        monkeypatch.setattr(kernels_of_labels, "private", torch_private)
    written = f", {reduction}" if reduction and not text.startswith("ce({}") else reduction
    loss = losslang.compile(text.format(written))
    how = {"weight": torch.tensor([0.5, 1.0, 2.0])} if "weight" in text else {}
    how |= {"label_smoothing": 0.1} if "smoothing" in text else {}
    how |= {"reduction": "sum"} if reduction else {}
    for hidden in (SOME, torch.zeros_like(SOME), torch.ones_like(SOME)):
        labels = LABELS if "mask" in text else LABELS.masked_fill(hidden, -100)
        for channels in (slice(0, 3), slice(1, 2)):
            pred = PRED.clone()
            pred[:, channels].masked_fill_(hidden.unsqueeze(1), beside)
            pred, clean = pred.requires_grad_(), PRED.clone().requires_grad_()
            value = loss(pred, labels, m=~hidden)
            left = LABELS.masked_fill(hidden, -100)
            wanted: Tensor = torch.nn.functional.cross_entropy(clean, left, **how)
            wanted = clean[:0].sum() if hidden.all() else wanted
            torch.testing.assert_close(value, wanted)
            slopes = torch.autograd.grad(value, pred)[0], torch.autograd.grad(wanted, clean)[0]
            torch.testing.assert_close(*slopes)


KINDS = {
    "int32": LABELS.int(),
    "uint8": LABELS.byte(),
    "transposed": LABELS.T.contiguous().T,
    "every other": LABELS.repeat_interleave(2, 1)[:, ::2],
    "floats": LABELS + 0.0,
}


@pytest.mark.parametrize("labels", KINDS.values(), ids=KINDS)
def test_labels_of_another_kind(labels: Tensor):
    """Read by the steps themselves: of another width, not in one piece; floats are refused."""
    loss = losslang.compile("nll")
    if labels.is_floating_point():
        with pytest.raises(losslang.LossError, match=r"\.long\(\)"):
            loss(PRED.log_softmax(1), labels)
        return
    some = labels if labels.dtype == torch.uint8 else labels.masked_fill(SOME, -100)
    for target in (labels, some, labels, some):
        kept = target != -100
        torch.testing.assert_close(
            loss(PRED.log_softmax(1), target), mean(PRED.log_softmax(1), target.long(), kept)
        )


def test_a_label_of_more_than_31_bits():
    """Its lower half alone is the number to ignore: it counts, and the label that is this number does not."""
    loss = losslang.compile("bce(sigmoid, ignore_index=3)", validate="never")
    logits = PRED[0].double()
    for labels in (
        torch.full((3, 5), 2**32 + 3),
        torch.full((3, 5), 2**32 + 3).index_fill(1, LABELS[0, :1], 3),
    ):
        kept = labels != 3
        wanted = torch.nn.functional.binary_cross_entropy_with_logits(logits[kept], labels[kept].double())
        for _ in range(3):
            torch.testing.assert_close(loss(logits, labels), wanted)


@pytest.mark.parametrize("text", ["ce", "nll(log_softmax)"])
def test_labels_that_lie_anyhow(text: str):
    """A single label out of a column, a column alone, none at all: through one module, one after the other."""
    loss = losslang.compile(text)
    column = torch.randint(0, 3, (6, 5), generator=R)
    for pred, labels in (
        (PRED[:1, :, 0], column[:1, 1]),
        (PRED[..., :1], column[:4, 2:3]),
        (PRED[:, :, 0], column[:4, 3]),
        (PRED[:1, :, :1], torch.tensor(1).expand(1, 1)),
        (PRED[:0], column[:0]),
    ):
        wanted = torch.nn.functional.cross_entropy(pred, labels) if labels.numel() else torch.zeros(())
        for _ in range(3):
            torch.testing.assert_close(loss(pred, labels), wanted)


@pytest.mark.parametrize("shape", [(6, 5), (3, 5, 4), (3, 5, 2, 3), (2, 5, 2, 3, 2)])
@pytest.mark.parametrize("options", ["", "reduction=sum", "label_smoothing=0.2"])
def test_every_rank_is_that_of_torch(shape: tuple[int, ...], options: str, place: str):
    """Labels left to the kernel: the numbers of F.cross_entropy, which knows ignored ones too."""
    pred = torch.randn(shape, generator=R, requires_grad=True)
    labels = torch.randint(0, 5, (shape[0], *shape[2:]), generator=R)
    labels = torch.where(torch.rand(labels.shape, generator=R) < 0.4, -100, labels)
    loss = losslang.compile(f"ce({options})")
    reduction, smoothing = "sum" if "sum" in options else "mean", 0.2 if "smoothing" in options else 0.0
    wanted = torch.nn.functional.cross_entropy(pred, labels, reduction=reduction, label_smoothing=smoothing)
    for _ in range(3):
        value = loss(pred, labels)
        torch.testing.assert_close(value, wanted)
        found, slope = (torch.autograd.grad(v, pred, retain_graph=True)[0] for v in (value, wanted))
        torch.testing.assert_close(found, slope)


SAME = [
    "ce",
    "ce(label_smoothing=0.1)",
    "ce(reduction=sum)",
    "nll(log_softmax)",
    "ce + dice(ignore_index=-100)",
]


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("text", SAME)
def test_the_same_bits_in_every_call(text: str, share: float, place: str):
    """In the first, which looks at more, and whatever stands beside an ignored label."""
    r = torch.Generator().manual_seed(1)
    for _ in range(10):
        pred = torch.randn(4, 7, 33, generator=r)
        labels = torch.randint(0, 7, (4, 33), generator=r)
        labels = labels.masked_fill(torch.rand(4, 33, generator=r) < share, -100)
        hidden = (labels == -100).unsqueeze(1).expand(pred.shape)
        loss, found = losslang.compile(text), list[tuple[Tensor, Tensor]]()
        for beside in (1.0, 1.0, torch.nan, 1.0, torch.inf, -torch.inf, torch.nan):
            given = pred.masked_fill(hidden, beside).requires_grad_()
            value = loss(given, labels)
            found.append((value.detach(), torch.autograd.grad(value, given)[0]))
        assert all(torch.equal(value, found[0][0]) for value, _ in found)
        assert all(torch.equal(slope, found[0][1]) for _, slope in found)


@pytest.mark.parametrize("validate", ["first", "always", "never"])
@pytest.mark.parametrize("text", SAME)
def test_a_first_call_is_made_again_by_a_checkpoint(text: str, validate: Any, place: str):
    for labels in (LABELS, LABELS.masked_fill(SOME, -100)):
        loss, pred = losslang.compile(text, validate=validate), PRED.clone().requires_grad_()
        for _ in range(3):
            checkpoint(loss, pred, labels, use_reentrant=False).backward()
        (slope,) = torch.autograd.grad(3 * loss(pred, labels), pred)
        torch.testing.assert_close(pred.grad, slope)


def keep_products(ctx: object, operation: object, *args: object, **options: object) -> CheckpointPolicy:
    is_product = operation is torch.ops.aten.mm.default
    return CheckpointPolicy.MUST_SAVE if is_product else CheckpointPolicy.PREFER_RECOMPUTE


@pytest.mark.parametrize(
    "text", ["ce + dice", "focal(softmax)", "ce(class_weight=[1, 2, 3, 4])", "lovasz_softmax(softmax)"]
)
def test_a_selective_checkpoint_sees_the_same_operations_twice(text: str):
    """It refuses an operation that the first call did not run: what is run to choose a way is hidden from it."""
    r = torch.Generator().manual_seed(0)
    loss, labels = losslang.compile(text), torch.randint(4, (4, 9, 9), generator=r)
    contexts = partial(create_selective_checkpoint_contexts, keep_products)
    for _ in range(3):
        pred = torch.randn(4, 4, 9, 9, generator=r).requires_grad_()
        checkpoint(loss, pred, labels, use_reentrant=False, context_fn=contexts).backward()
        (slope,) = torch.autograd.grad(loss(pred, labels), pred)
        torch.testing.assert_close(pred.grad, slope)


@pytest.mark.parametrize("validate", ["first", "always", "never"])
def test_what_remembers_is_told_once_a_call(validate: Any, place: str):
    text = "ce@(pred.a, target.a) + ghm_c(sigmoid, momentum=0.9)@(pred.b, target.b)"
    pred, target = {"a": PRED, "b": torch.zeros(4, 3)}, {"a": LABELS, "b": torch.ones(4, 3)}
    loss, alone = losslang.compile(text, validate=validate), losslang.compile("ghm_c(sigmoid, momentum=0.9)")
    for _ in range(3):
        loss(pred, target)
        alone(pred["b"], target["b"])
        (memory,), (wanted,) = loss.buffers(), alone.buffers()
        torch.testing.assert_close(memory, wanted)


def test_a_class_that_is_ruled_out_asks_for_no_masks():
    loss, labels = losslang.compile("ce"), (LABELS % 2 + 1).masked_fill(SOME, -100)
    pred = PRED.index_fill(1, torch.tensor([0]), -torch.inf).requires_grad_()
    wanted = torch.nn.functional.cross_entropy(pred, labels)
    for _ in range(3):
        value = loss(pred, labels)
        torch.testing.assert_close(value, wanted)
        assert not torch.autograd.grad(value, pred)[0][:, 0].any()
        assert "masks asked" not in ways("ce", pred, labels)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", ["ce", "nll(log_softmax)", "dice(softmax, ignore_index=-100)"])
def test_a_narrow_label_is_not_another_number(text: str):
    """156 in eight bits is what -100 would be."""
    pred, labels = torch.randn(2, 200, 3, generator=R), torch.randint(0, 200, (2, 3), generator=R)
    labels[0, 0] = 156
    loss = losslang.compile(text)
    traced = torch.jit.trace(lambda x, t: loss(x, t), (pred, labels.byte()), check_trace=False)
    for found in (loss(pred, labels.byte()), traced(pred, labels.byte())):
        torch.testing.assert_close(found, loss(pred, labels))


@pytest.mark.parametrize("text", ["ce(ignore_index=255)", "nll(ignore_index=255)", "ce(ignore_index=none)"])
def test_what_torch_ignores_is_no_label(text: str):
    loss, labels = losslang.compile(text, validate="never"), LABELS.index_fill(0, torch.tensor([1]), -100)
    for _ in range(3):
        with pytest.raises(IndexError, match="-100"):
            loss(PRED.log_softmax(1), labels)


def test_an_index_of_more_than_31_bits():
    """Its lower half is -1."""
    index = 2**32 - 1
    loss = losslang.compile(f"ce(ignore_index={index}) + nll(log_softmax, ignore_index={index})")
    some = LABELS.masked_fill(SOME, index)
    for labels in (LABELS, some, LABELS, some):
        torch.testing.assert_close(loss(PRED, labels), 2 * of_logits(PRED, labels, labels != index))


LEFT = {
    "ce + dice(smooth=1)": ["kernel:ce.softmax"],
    "ce + dice(ignore_index=-100)": ["kernel:ce.softmax"],
    "ce(ignore_index=7) + 0.5*ce(label_smoothing=0.1, ignore_index=8) + focal(softmax, ignore_index=none)": [
        "kernel:ce.softmax"
    ]
    * 2,
    "nll(reduction=sum)": ["kernel:nll.identity"],
    "nll(log_softmax)": [],
    "ce(class_weight=[1, 2, 3], ignore_index=8) + 0.5*ce(ignore_index=7)": ["kernel:ce.softmax"] * 2,
    "ce(class_weight=[1, 2, 3], reduction=mean)": [],
    "ce(class_weight=balanced)": [],
    "ce(reduction=topk) + dice": [],
    "ce(mask=batch.m) + dice": ["kernel:ce.softmax"],
    "ce + 2*ce(reduction=sum)": [],
    "ce(weight=batch.w)": [],
    "dice(softmax, ignore_index=255)": [],
}
"""Programs, and which of their kernels leave a label out: where nothing has to be looked at."""


@pytest.mark.filterwarnings("ignore:.*W350:losslang.LossWarning")
@pytest.mark.parametrize(("text", "kernels"), LEFT.items(), ids=LEFT)
def test_what_is_left_to_a_kernel(text: str, kernels: list[str]):
    plan = losslang.compile(text).plan
    left = ignored_labels.with_kernel_ignore_index(plan, current_registry())
    told = [step.operation for step in left.steps if "ignore_index" in dict(step.options)]
    assert told == kernels
    assert len(ignored_labels.ignore_mask_steps(left)) == len(ignored_labels.ignore_mask_steps(plan)) - len(
        kernels
    )
    assert (left == plan) == (not kernels)


@pytest.mark.parametrize(
    "text", ["ce + dice(smooth=1, ignore_index=-100)", "ce(ignore_index=7) + focal(softmax, ignore_index=7)"]
)
def test_beside_what_stays_masked(text: str, place: str):
    """A dice of what a cross-entropy leaves out: the numbers of the whole program, in every order of calls."""
    loss = losslang.compile(text)
    index = 7 if "7" in text else -100
    for labels in (LABELS, LABELS.masked_fill(SOME, index), torch.full_like(LABELS, index)) * 2:
        hidden = (labels == index).unsqueeze(1).expand(PRED.shape)
        pred = PRED.masked_fill(hidden, torch.nan).requires_grad_()
        plain = PRED.masked_fill(hidden, 0.0).double().requires_grad_()
        wanted = whole_value(loss, plain, labels)
        (slope,) = torch.autograd.grad(wanted, plain)
        for _ in range(3):
            value = loss(pred, labels)
            (found,) = torch.autograd.grad(value, pred)
            torch.testing.assert_close(value.double(), wanted, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(found.double(), slope, rtol=1e-5, atol=1e-6)
            assert not found[hidden].any()


def test_a_prediction_that_is_computed():
    loss = losslang.compile("ce@(2*pred, target)")
    some = LABELS.masked_fill(SOME, -100)
    for labels in (LABELS, some, LABELS, some):
        torch.testing.assert_close(loss(PRED, labels), of_logits(2 * PRED, labels, labels != -100))


def test_what_remembers_beside_nll_remembers_once():
    """All labels ignored is no number to torch's kernel: nothing else may be computed a second time for it."""
    text = "nll@(pred.a, target.a) + ghm_c(sigmoid, momentum=0.9)@(pred.b, target.b)"
    pred, none = {"a": PRED.log_softmax(1), "b": torch.zeros(4, 3)}, torch.full_like(LABELS, -100)
    one, other = losslang.compile(text, validate="never"), losslang.compile(text, validate="never")
    for _ in range(3):
        one(pred, {"a": none, "b": torch.ones(4, 3)})
        other(pred, {"a": LABELS, "b": torch.ones(4, 3)})
        (memory,), (wanted,) = one.buffers(), other.buffers()
        torch.testing.assert_close(memory, wanted)


@pytest.mark.parametrize("maps", [True, False], ids=["all cut", "closed forms cut"])
@pytest.mark.parametrize(
    "text",
    [
        "ce@(pred.a, target.a) + bce(sigmoid)@(pred.b, target.b)",
        "ce(reduction=sum)@(pred.a, target.a) + dice(sigmoid)@(pred.b, target.b)",
        "ce(label_smoothing=0.1)@(pred.a, target.a) + (bce(sigmoid) + dice)@(pred.b, target.b)",
        "nll(log_softmax)@(pred.a, target.a) + tversky(sigmoid)@(pred.b, target.b)",
        "ce@(pred.a + pred.c, target.a) + bce(sigmoid)@(pred.b, target.b)",
        "ce@(pred.a * pred.c, target.a) + l1@(pred.b, target.b)",
        "ce@(pred.a, target.a) + dice(softmax, ignore_index=-100)@(pred.a, target.a) + l1@(pred.b, target.b)",
    ],
)
def test_beside_a_head_that_is_cut(text: str, maps: bool, place: str):
    """Labels are left to kernels, or masked, and counted as many as they are."""
    shapes = {"a": (4, 3, 5), "b": (4, 2, 6, 7), "c": (4, 3, 1)}
    pred = {name: torch.randn(shape, generator=R) for name, shape in shapes.items()}
    target = {"a": LABELS, "b": (torch.rand(shapes["b"], generator=R) < 0.5).float()}
    calls = [LABELS, LABELS.masked_fill(SOME, -100), torch.full_like(LABELS, -100)]
    whole = losslang.compile(text)
    wanted = [gradients(whole, pred, target | {"a": labels}) for labels in calls]
    with cut(8, maps=maps):
        loss = losslang.compile(text)
        for number in (0, 1, 2, 1, 0):
            found = gradients(loss, pred, target | {"a": calls[number]})
            torch.testing.assert_close(found, wanted[number])


def gradients(loss: losslang.Loss, pred: dict[str, Tensor], target: dict[str, Tensor]) -> list[Tensor]:
    """The total, and its gradient for every prediction that is read."""
    leaves = {name: value.clone().requires_grad_() for name, value in pred.items()}
    total = loss(leaves, target)
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return [total.detach(), *(value for value in found if value is not None)]


def test_what_is_not_a_number_by_itself_stays_none():
    pred = PRED.log_softmax(1).masked_fill(torch.ones(4, 3, 5, dtype=torch.bool), torch.nan)
    loss = losslang.compile("nll")
    assert all(loss(pred, LABELS).isnan() for _ in range(3))


REFUSED = {
    "ce(ignore_index=255) + dice": 77,
    "ce(ignore_index=255) + dice(ignore_index=none)": 255,
    "ce(ignore_index=255) + dice(ignore_index=77)": 255,
    "ce(ignore_index=255) + dice(ignore_index=[77, 255])": 77,
    "ce(ignore_index=255, mask=batch.m) + dice(mask=batch.m)": 77,
    "dice(softmax, ignore_index=255)": 77,
}
"""Programs, and a label beside the 255 that one of their losses has no class for."""


@pytest.mark.filterwarnings("ignore:.*W350:losslang.LossWarning")
@pytest.mark.parametrize(("text", "label"), REFUSED.items(), ids=REFUSED)
def test_what_is_no_class_beside_a_label_to_ignore(text: str, label: int):
    """In the first call and in later ones, whatever kernels look at."""
    some = LABELS.masked_fill(SOME, 255)
    wrong = some.index_fill(0, torch.tensor([2]), label)
    batch = {"m": torch.ones_like(SOME)}
    for calls in range(3):
        loss = losslang.compile(text)
        for _ in range(calls):
            loss(PRED, some if label == 77 else LABELS, **batch)
        with pytest.raises(losslang.LossError, match=f"holds class {label},"):
            loss(PRED, wrong, **batch)


REGIONS = [
    "ce(ignore_index=-100) + dice",
    "ce(ignore_index=2) + dice",
    "ce(mask=batch.m) + dice(mask=batch.m)",
]
"""Losses that leave out the same: a label beside the classes, or one of them, or what a mask hides."""


@pytest.mark.parametrize("beside", [torch.nan, torch.inf, -torch.inf, 3.0])
@pytest.mark.parametrize("ruled_out", [False, True])
@pytest.mark.parametrize("text", REGIONS)
def test_regions_beside_what_is_left_out(text: str, ruled_out: bool, beside: float, place: str):
    """A logit that is left out, of a class alone or of all; a class may be ruled out where places count."""
    loss, labels = losslang.compile(text), LABELS % 2
    with_one = labels.masked_fill(SOME, -100)
    for channels in (slice(1, 2), slice(0, 3)):
        pred = PRED.index_fill(1, torch.tensor([2]), -torch.inf) if ruled_out else PRED.clone()
        clean = pred.masked_fill(SOME.unsqueeze(1), 0.0).double().requires_grad_()
        pred[:, channels].masked_fill_(SOME.unsqueeze(1), beside)
        pred = pred.requires_grad_()
        probs = clean.softmax(1) * ~SOME.unsqueeze(1)
        truth = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1) * ~SOME.unsqueeze(1)
        both, sizes = (probs * truth).sum(2), (probs + truth).sum(2)
        wanted = torch.nn.functional.cross_entropy(clean, with_one)
        wanted = wanted + (1 - (2 * both + 1e-5) / (sizes + 1e-5)).mean()
        (slope,) = torch.autograd.grad(wanted, clean)
        for _ in range(3):
            given = labels.masked_fill(SOME, 2 if "=2" in text else -100)
            value = loss(pred, labels if "mask" in text else given, m=~SOME)
            torch.testing.assert_close(value, wanted.float())
            torch.testing.assert_close(torch.autograd.grad(value, pred)[0], slope.float())


LOOKED_AT = {
    "nll": 0, "nll(reduction=sum)": 0, "nll(ignore_index=255)": 0, "nll(reduction=batchmean)": 1, "ce": 0,
    "ce(label_smoothing=0.1)": 0, "ce(ignore_index=7) + ce(ignore_index=7, label_smoothing=0.1)": 0,
    "nll + dice(exp)": 1, "nll + dice(exp, ignore_index=-100)": 1, "ce(class_weight=[1, 2, 3])": 0,
    "ce + ce(ignore_index=none)": 0, "ce(ignore_index=-100) + ce(ignore_index=7)": 0,
}  # fmt: skip
"""Programs, and how often a later call looks at the range of labels."""


@pytest.mark.filterwarnings("ignore:.*W350:losslang.LossWarning")
@pytest.mark.parametrize(("text", "number"), LOOKED_AT.items(), ids=LOOKED_AT)
def test_a_kernel_that_leaves_labels_out_is_not_preceded_by_a_look(text: str, number: int):
    loss = losslang.compile(text)
    for _ in range(4):
        loss(PRED.log_softmax(1), LABELS)
    passed = ways(text, PRED.log_softmax(1), LABELS)
    assert len([name for name in passed if "by range" in name]) == number


@pytest.mark.parametrize("order", [("none", "some"), ("some", "nan"), ("none", "nan", "some")])
@pytest.mark.parametrize(
    "text", ["bce(sigmoid, ignore_index=255) + dice(sigmoid)", "dice(sigmoid, ignore_index=255)"]
)
def test_a_walk_over_floats_is_the_same_after_any_call(text: str, order: tuple[str, ...]):
    """Labels to ignore may be there or not, and a NaN hides whether they are."""
    shape = (1, 1, 1000, 1100)
    torch.manual_seed(0)
    pred, target = torch.randn(shape), (torch.rand(shape) > 0.5).float()
    targets = {"none": target}
    for name, label in (("some", 255.0), ("nan", torch.nan)):
        targets[name] = target.clone()
        targets[name][0, 0, 0, 0] = label
    loss = losslang.compile(text)
    for name in order:
        wanted = whole_value(losslang.compile(text), pred, targets[name])
        torch.testing.assert_close(loss(pred, targets[name]), wanted, equal_nan=True)


def test_where_no_weight_is_left_a_second_derivative_is_zero_too():
    logits = torch.randn(2, 3, 4).requires_grad_()
    loss = losslang.compile("ce(ignore_index=9, class_weight=[1, 2, 3])")
    (slope,) = torch.autograd.grad(loss(logits, torch.full((2, 4), 9)), logits, create_graph=True)
    (second,) = torch.autograd.grad(slope.square().sum(), logits)
    assert not slope.any()
    assert not second.any()


def test_a_nan_that_counts_is_seen_where_all_labels_weigh_nothing():
    logits = torch.randn(2, 3, 4)
    logits[0, 0, 0] = torch.nan
    assert losslang.compile("ce(class_weight=[0, 1, 1])")(logits, torch.zeros(2, 4).long()).isnan()
