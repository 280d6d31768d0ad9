"""Block by block is the same number: every program of the oracle's list, cut into blocks of a few elements."""

from __future__ import annotations

import gc
import math
import mmap
import pickle
import weakref
from collections.abc import Callable, Iterator
from itertools import product
from typing import Annotated as Float
from typing import Any, ClassVar

import _every_loss as every_loss
import pytest
import torch
from _oracle import HAND, compare, compiled, data, program, whole_value
from cutting import cut
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference import evaluate as textbook
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import losslang
from losslang.diagnostics.source import Source
from losslang.meaning.checker import analyze
from losslang.runtime.blocks import memory, walk
from losslang.runtime.closed import evaluate, scratch
from losslang.vocabulary import Total


@pytest.fixture
def blocks(cut_small: list[int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Everything is cut; and a gradient lies in memory full of NaN: what is not written shows."""
    monkeypatch.setattr(memory, "LEAST", 0)
    mapped = memory._mapped

    def poisoned(size: int) -> mmap.mmap:
        piece = mapped(size)
        piece[:] = b"\xff" * size
        return piece

    monkeypatch.setattr(memory, "_mapped", poisoned)
    monkeypatch.setattr(memory.GRADIENTS, "_fitting", lambda _: None)
    return cut_small


@pytest.mark.parametrize(
    "text", ["0.5*bce(sigmoid) + dice", "tversky(sigmoid)", "dice(sigmoid, class_weight=[1])", "huber"]
)
def test_nothing_of_a_call_outlives_it(text: str, blocks: list[int]):
    loss = losslang.compile(text)
    pred, target = torch.randn(2, 1, 7, requires_grad=True), torch.ones(2, 1, 7)
    loss(pred, target).backward()
    assert blocks
    alive = [weakref.ref(tensor) for tensor in (pred, target)]
    del pred, target
    gc.collect()
    assert [ref() for ref in alive] == [None, None]


@pytest.mark.parametrize(("text", "layout"), HAND, ids=lambda v: v)
def test_every_option_by_hand(text: str, layout: str, blocks: list[int]):
    compare(text, layout)
    is_walked = "reduction=none" not in text and "linear_ce" not in text
    assert (len(blocks) >= 4) == is_walked, (text, len(blocks))


TRACED = [
    ("0.5*bce(sigmoid) + dice(smooth=1)", "bin/soft"),
    ("0.5*bce(sigmoid) + dice(smooth=1)", "seg"),
    ("focal(sigmoid) + dice + 0.3*tversky", "bin"),
    ("focal(sigmoid, gamma=3) + jaccard(batch=true) + dice(squared=true)", "seg/soft"),
    ("bce(sigmoid, label_smoothing=0.1, reduction=batchmean) + focal_tversky(reduction=sum)", "seg"),
    ("focal(sigmoid, alpha=0.25)", "cls"),
    ("0.5*bce(sigmoid, pos_weight=2.5) + dice", "seg"),
    ("bce(sigmoid, pos_weight=0.25, label_smoothing=0.1, reduction=sum) + dice", "seg/soft"),
    ("bce(sigmoid, pos_weight=3, mask=batch.m1) + dice(mask=batch.m1)", "seg"),
    ("ce + dice", "seg"),
    ("ce + dice", "seg/channel"),
    ("ce + 2*dice(batch=true) - 0.1*jaccard + tversky(alpha=0.3, beta=0.7)", "seg3d"),
    ("focal(softmax) + dice(squared=true)", "seg1d"),
    ("ce(reduction=batchmean)", "cls"),
    ("ce(reduction=batchmean) + focal(softmax, reduction=batchmean)", "seg"),
    ("ce + dice(batch=true) + jaccard(batch=true)", "cls"),
    ("dice(softmax)", "seg"),
    ("ce(ignore_index=0)", "cls"),
    ("ce(ignore_index=0, reduction=batchmean)", "cls"),
    ("ce(ignore_index=1, reduction=sum) - 2*ce(ignore_index=1)", "seg"),
    ("ce(ignore_index=0) + dice(ignore_index=0)", "seg"),
    ("ce(ignore_index=0) + dice(ignore_index=0)", "seg/channel"),
    (
        "ce(ignore_index=2) + jaccard(ignore_index=2, batch=true) + 0.1*dice(ignore_index=2, squared=true)",
        "seg3d",
    ),
    ("focal(softmax, ignore_index=1) + tversky(ignore_index=1, alpha=0.3, beta=0.7)", "seg1d"),
    ("focal(softmax, ignore_index=0, reduction=batchmean) + dice(ignore_index=0, batch=true)", "cls"),
    ("0.5*bce(sigmoid, ignore_index=255) + dice(ignore_index=255)", "seg/ignore255"),
    ("bce(sigmoid, ignore_index=255) + jaccard(ignore_index=255, batch=true)", "bin/ignore255float"),
    ("focal(sigmoid, mask=batch.m1) + dice(mask=batch.m1)", "seg"),
    ("bce(sigmoid, mask=batch.m3, reduction=batchmean) + tversky(mask=batch.m3)", "seg/soft"),
    ("focal(sigmoid, gamma=3, alpha=0.3, mask=batch.m3, reduction=sum)", "seg"),
    ("dice(sigmoid, mask=batch.m3, batch=true, squared=true)", "seg"),
    ("ce(mask=batch.m1) + dice(mask=batch.m1)", "seg"),
]


@pytest.mark.parametrize(("text", "layout"), TRACED, ids=lambda v: v)
def test_closed_forms(text: str, layout: str, blocks: list[int], monkeypatch: pytest.MonkeyPatch):
    """These are polynomials: not one block is differentiated by torch."""
    monkeypatch.setattr(walk.AutogradEvaluator, "gradients", None)
    compare(text, layout)


SIGMOIDS = [(text, layout) for text, layout in TRACED if "sigmoid" in text]


@pytest.mark.parametrize(("text", "layout"), SIGMOIDS, ids=lambda v: v)
def test_closed_forms_as_on_a_gpu(text: str, layout: str, blocks: list[int], monkeypatch: pytest.MonkeyPatch):
    """Weights stay tensors there, and no memory is kept."""
    monkeypatch.setattr(walk.AutogradEvaluator, "gradients", None)
    for file in (evaluate, scratch):
        monkeypatch.setattr(file, "can_read_without_sync", lambda _: False)
    compare(text, layout)


@pytest.mark.parametrize(
    "text",
    [
        "sensitivity_specificity(softmax)",
        "ce + sensitivity_specificity(softmax)",
        "ce(sigmoid)",
        "poly1(sigmoid)",
    ],
)
def test_what_has_no_closed_form_after_all(text: str, blocks: list[int]):
    """They are polynomials, of what a block does not have: their maps are differentiated by torch."""
    compare(text, "seg")
    assert len(blocks) >= 4


@pytest.mark.parametrize(
    "text", ["bce(sigmoid, mask=batch.m) + dice(mask=batch.m)", "ce + dice", "huber(sigmoid)"]
)
def test_many_gradients_at_once(text: str, blocks: list[int]):
    r = torch.Generator().manual_seed(0)
    x = torch.randn((2, 3, 5), generator=r, dtype=torch.float64).requires_grad_()
    y = (
        torch.randint(0, 3, (2, 5), generator=r)
        if "ce +" in text
        else torch.rand((2, 3, 5), generator=r).double()
    )
    value = losslang.compile(text)(x, y, m=torch.rand((2, 5), generator=r) > 0.4)
    (one,) = torch.autograd.grad(value, x, retain_graph=True)
    flows = torch.tensor([1.0, -2.0], dtype=torch.float64)
    (many,) = torch.autograd.grad(value, x, flows, is_grads_batched=True)
    torch.testing.assert_close(many, torch.stack([one, -2 * one]))
    assert blocks


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_a_picture_viewed_as_a_mask(activation: str, blocks: list[int]):
    """Bytes of 0 and 255 are booleans too."""
    r = torch.Generator().manual_seed(0)
    x = torch.randn((2, 3, 5), generator=r, dtype=torch.float64).requires_grad_()
    y = torch.randint(0, 3, (2, 5), generator=r)
    m = torch.rand((2, 5), generator=r) > 0.4
    loss = losslang.compile(f"bce({activation}, mask=batch.m) + dice(mask=batch.m)")
    found, wanted = loss(x, y, m=(255 * m.byte()).view(torch.bool)), loss(x, y, m=m)
    torch.testing.assert_close(found, wanted)
    slopes = [torch.autograd.grad(value, x)[0] for value in (found, wanted)]
    torch.testing.assert_close(*slopes)
    assert blocks


def test_one_row_is_not_cut(blocks: list[int]):
    """Of a prediction (D) the first axis is what the loss goes along."""
    x, y = torch.randn(2, 9, dtype=torch.float64)
    torch.testing.assert_close(losslang.compile("cosine")(x, y), 1 - torch.cosine_similarity(x, y, 0))
    assert not blocks


def in_place(
    probs: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"], total: Total
) -> Float[Tensor, "b c"]:
    """1 - (2 Σ p t + 1) / (Σ p + Σ t + 1)."""
    overlap, predicted, true = total(probs * target, probs, target)
    overlap *= 2
    predicted += true
    return 1 - (overlap + 1) / (predicted + 1)


@pytest.mark.parametrize(
    "text", ["in_place(sigmoid) + dice", "in_place(softmax) + dice", "dice(sigmoid) + in_place"]
)
def test_a_loss_may_compute_in_its_sums(text: str, blocks: list[int]):
    losslang.loss(activation="sigmoid")(in_place)
    pred, target, _ = data("seg")
    activation = text.partition("(")[2].partition(")")[0]
    alone = {name: losslang.compile(f"{name}({activation})")(pred, target) for name in ("in_place", "dice")}
    wanted = alone["in_place"] + alone["dice"]
    torch.testing.assert_close(losslang.compile(text)(pred, target), wanted)
    assert blocks


def twice(
    probs: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"], total: Total
) -> Float[Tensor, "b c"]:
    """1 - Σ p t / Σ t."""
    (overlap,) = total(probs * target)
    (true,) = total(target)
    return 1 - overlap / true


def test_a_loss_that_asks_for_its_sums_twice_is_refused(blocks: list[int]):
    losslang.loss(activation="sigmoid")(twice)
    pred, target = torch.randn(2, 1, 7), torch.ones(2, 1, 7)
    with pytest.raises(TypeError, match=r"twice.* calls `total` twice: hand it all that is summed at once"):
        losslang.compile("twice(sigmoid)")(pred, target)


@pytest.mark.parametrize(("name", "use"), every_loss.USES)
def test_every_loss_in_blocks(name: str, use: str, blocks: list[int]):
    """Whatever can be cut and whatever cannot, plain and under a mask, against the textbook."""
    call = every_loss.data(name, use)
    every_loss.against_the_textbook(every_loss.text_of(name, use), call)
    for rank in ("sample", "place"):
        mask = every_loss.masked(name, use, call, rank)
        text = every_loss.text_of(name, use, "mask=batch.mask")
        every_loss.against_the_textbook(text, (call[0], call[1], {**call[2], "mask": mask}))


@settings(
    max_examples=120, deadline=None, derandomize=True, database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(program(), st.integers(0, 5))
def test_programs_by_hypothesis(blocks: list[int], written: tuple[str, str], seed: int):
    text, layout = written
    if analyze(Source(text)).meaning is not None:
        compare(text, layout, seed)


def large(shape: tuple[int, ...], kind: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """A prediction of several blocks, and a mask."""
    r = torch.Generator().manual_seed(0)
    pred = 3 * torch.randn(shape, generator=r, dtype=torch.float64)
    return pred.to(kind).requires_grad_(), (torch.rand(shape, generator=r) > 0.5).to(kind)


PROGRAMS = [
    "0.5*bce(sigmoid) + dice(smooth=1)",
    "focal(sigmoid) + dice + 0.3*tversky",
    "huber + l1",
    "ce + dice",
]
SHAPE = (12, 3, 512, 512)
"""From which on all of them are walked over."""
SMALLER = (2, 3, 512, 512)
"""A dozen blocks of 2^17 elements."""


@pytest.fixture
def sooner() -> Iterator[None]:
    """What is smaller is walked over too, in blocks as large as real ones."""
    with cut(2**17):
        yield


def targets_of(text: str, target: Tensor) -> Tensor:
    return target.argmax(1) if text.startswith("ce") else target


def gradient(loss: losslang.Loss, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    total = loss(pred, target)
    (found,) = torch.autograd.grad(total, pred)
    return total.detach(), found


@pytest.fixture
def two_threads(text: str) -> Iterator[None]:
    """One of them with two threads, also where tests run side by side, with a thread each."""
    before = torch.get_num_threads()
    torch.set_num_threads(2 if text == PROGRAMS[-1] else before)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("text", PROGRAMS)
def test_large_tensors_as_they_come(text: str):
    """Real blocks in float32, against the whole program in float64."""
    pred, target = large(SHAPE)
    target = targets_of(text, target)
    loss = losslang.compile(text)
    value, found = gradient(loss, pred, target)
    exact = pred.detach().double().requires_grad_()
    wanted = whole_value(loss, exact, target if text.startswith("ce") else target.double())
    (slope,) = torch.autograd.grad(wanted, exact)
    torch.testing.assert_close(value.double(), wanted.detach(), rtol=2e-6, atol=0)
    torch.testing.assert_close(found.double(), slope, rtol=2e-5, atol=1e-6 * float(slope.abs().max()))
    again, twice = gradient(loss, pred, target)
    assert torch.equal(again, value), "the same inputs, the same bits"
    assert torch.equal(twice, found)


@pytest.mark.parametrize("text", PROGRAMS)
@pytest.mark.parametrize("layout", ["channels_last", "transposed", "sliced"])
@pytest.mark.usefixtures("sooner")
def test_tensors_that_lie_otherwise(text: str, layout: str):
    pred, target = large(SMALLER)
    plain = pred.detach()
    other = {
        "channels_last": lambda: plain.contiguous(memory_format=torch.channels_last),
        "transposed": lambda: plain.transpose(2, 3).contiguous().transpose(2, 3),
        "sliced": lambda: torch.cat([plain, plain], 3)[..., : SMALLER[3]],
    }[layout]().requires_grad_()
    target = targets_of(text, target)
    loss = losslang.compile(text)
    value, found = gradient(loss, pred, target)
    same, slope = gradient(loss, other, target)
    torch.testing.assert_close(same, value, rtol=1e-6, atol=0)
    torch.testing.assert_close(slope, found)


@pytest.mark.parametrize("text", PROGRAMS)
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.usefixtures("sooner")
def test_half_precision_is_summed_in_float32(text: str, kind: torch.dtype):
    pred, target = large(SMALLER, kind)
    target = targets_of(text, target)
    loss = losslang.compile(text)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total = loss(pred, target)
    (found,) = torch.autograd.grad(1e4 * total, pred)
    assert total.dtype == torch.float32
    assert found.dtype == kind
    exact = pred.detach().double().requires_grad_()
    wanted = whole_value(loss, exact, target if text.startswith("ce") else target.double())
    (slope,) = torch.autograd.grad(1e4 * wanted, exact)
    torch.testing.assert_close(total.double(), wanted, rtol=2e-6, atol=0)
    torch.testing.assert_close(found.double(), slope, rtol=torch.finfo(kind).eps, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        *HAND[::4],
        ("focal(sigmoid) + dice", "bin"),
        ("ce + dice", "seg"),
        ("ce + focal(sigmoid, pos_weight=balanced)@(2*pred, target)", "seg"),
    ],
)
def test_a_gradient_of_the_gradient(text: str, layout: str, blocks: list[int]):
    """With create_graph everything is one block, and torch differentiates it again."""
    pred, target, batch = data(layout)
    if (
        any(word in text for word in ("linear_ce", "reduction=none", "detach"))
        or not pred.is_floating_point()
    ):
        pytest.skip("not a function that is differentiated twice")
    loss = compiled(text)
    twice = []
    for value in (loss(pred, target, **batch), whole_value(loss, pred, target, **batch)):
        (slope,) = torch.autograd.grad(value, pred, create_graph=True)
        penalty = (slope * torch.arange(slope.numel(), dtype=slope.dtype).reshape(slope.shape)).sum()
        twice.append(
            torch.autograd.grad(penalty, pred, allow_unused=True, materialize_grads=True)[0]
            if penalty.requires_grad
            else torch.zeros_like(pred)
        )
    torch.testing.assert_close(twice[0], twice[1], rtol=1e-8, atol=1e-10)


def test_every_tensor_that_wants_a_gradient_gets_one(blocks: list[int]):
    """Targets, weights per element and per class: beside the prediction, and by themselves."""
    r = torch.Generator().manual_seed(0)
    shape = (2, 3, 4, 5)
    pred, soft, weight = (
        torch.rand(shape, generator=r, dtype=torch.float64).requires_grad_() for _ in range(3)
    )
    classes = torch.rand(3, generator=r, dtype=torch.float64).requires_grad_()
    loss = losslang.compile(
        "bce(sigmoid, weight=batch.w, class_weight=const.c) + dice + mse", const={"c": classes}
    )
    leaves = (pred, soft, weight, loss.const["c"])
    found = torch.autograd.grad(loss(pred, soft, w=weight), leaves)
    plain = whole_value(loss, pred, soft, w=weight)
    for one, other in zip(found, torch.autograd.grad(plain, leaves), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    # A frozen prediction and a target that learns: the closed form is not for these.
    loss = losslang.compile("bce(sigmoid) + dice")
    value = loss(pred.detach(), soft)
    plain = whole_value(loss, pred.detach(), soft)
    torch.testing.assert_close(torch.autograd.grad(value, soft), torch.autograd.grad(plain, soft))


@pytest.mark.usefixtures("sooner", "fresh_scratch")
def test_nothing_as_large_as_the_prediction_is_made(monkeypatch: pytest.MonkeyPatch):
    """Forward and backward allocate the gradient, and otherwise blocks."""
    # What is mapped is seen twice: as bytes, and as what it holds.
    monkeypatch.setattr(memory, "LEAST", 2**40)

    class Watch(TorchDispatchMode):
        sizes: ClassVar[list[int]] = []

        def __torch_dispatch__(
            self, function: Any, types: Any, arguments: Any = (), options: Any = None
        ) -> Any:
            before = {
                t.untyped_storage().data_ptr()
                for t in tree_leaves((arguments, options))
                if isinstance(t, Tensor)
            }
            found = function(*arguments, **(options or {}))
            for tensor in tree_leaves(found):
                if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in before:
                    self.sizes.append(tensor.untyped_storage().nbytes())
            return found

    masked = [
        "ce(ignore_index=2) + dice(softmax, ignore_index=2)",
        "bce(sigmoid, ignore_index=255) + dice(ignore_index=255)",
    ]
    for text in [*PROGRAMS, *masked]:
        # Beside so many classes their labels are no large tensor.
        pred, target = large((1, 15, 384, 384) if text in masked[:1] else (2, 5, 512, 512))
        target = targets_of(text, target)
        if text == masked[1]:
            target[..., :9] = 255
        loss = losslang.compile(text)
        loss(pred, target)
        Watch.sizes.clear()
        with Watch():
            loss(pred, target).backward()
        # A mask is a quarter of it.
        whole = [size for size in Watch.sizes if size > pred.nbytes / 4]
        assert len(whole) <= (2 if text == "ce + dice" else 1), (text, sorted(Watch.sizes)[-4:])


@pytest.mark.parametrize("text", ["bce(sigmoid)@(pred, target.a) + dice(sigmoid)@(pred, target.b)"])
def test_two_targets_that_were_one_tensor_before(text: str, blocks: list[int]):
    pred, one, other = torch.rand(3, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    loss = losslang.compile(text, validate="never")
    loss(pred, {"a": one, "b": one})
    found = loss.terms(pred, {"a": one, "b": other})
    torch.testing.assert_close(found["bce"], compiled("bce(sigmoid)")(pred, one))
    torch.testing.assert_close(found["dice"], compiled("dice(sigmoid)")(pred, other))


@pytest.mark.usefixtures("sooner")
def test_one_walk_reads_a_prediction_once(monkeypatch: pytest.MonkeyPatch):
    pred, target = large(SMALLER)
    reads: list[int] = []
    apply = walk._Walk.apply
    monkeypatch.setattr(walk._Walk, "apply", staticmethod(lambda *given: (reads.append(1), apply(*given))[1]))
    losslang.compile("bce(sigmoid) + dice + tversky + focal + mse@(sigmoid(pred), target)")(pred, target)
    assert len(reads) == 1
    reads.clear()
    two = {"a": pred, "b": pred.detach().repeat(2, 1, 1, 1)}
    losslang.compile("(bce(sigmoid) + dice)@a + l1@b")(two, {"a": target, "b": target.repeat(2, 1, 1, 1)})
    assert len(reads) == 2


def test_labels_that_are_ignored_in_one_call_and_not_in_the_next(blocks: list[int]):
    """Two heads, each with and without an ignored label, in every order, through one module."""
    r = torch.Generator().manual_seed(0)
    pred = {
        name: torch.randn((2, 4, 5, 3), generator=r, dtype=torch.float64).requires_grad_() for name in "ab"
    }
    full = torch.randint(1, 4, (2, 5, 3), generator=r)
    some = full.masked_fill(torch.rand((2, 5, 3), generator=r) < 0.3, 0)
    text = (
        "ce(ignore_index=0, reduction=batchmean)@a + dice(softmax, ignore_index=0)@a + ce(ignore_index=0)@b"
    )
    loss = compiled(text)
    for a, b in product((full, some), repeat=2):
        target = {"a": a, "b": b}
        for value in (loss(pred, target), loss(pred, target)):
            torch.testing.assert_close(value, textbook(text, pred, target).total, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("logit", [-torch.inf, torch.inf])
@pytest.mark.parametrize("side", [0.0, 1.0])
@pytest.mark.parametrize("text", ["0.5*bce(sigmoid) + dice", "0.5*bce(sigmoid, pos_weight=2) + dice"])
def test_an_infinite_logit_in_closed_form(
    text: str, side: float, logit: float, blocks: list[int], monkeypatch: pytest.MonkeyPatch
):
    """It costs nothing where it is right, an infinity where it is wrong, and its gradient is p - t."""
    monkeypatch.setattr(walk.AutogradEvaluator, "gradients", None)
    r = torch.Generator().manual_seed(0)
    target = (torch.rand(2, 1, 5, 7, generator=r) > 0.5).float()
    pred = torch.randn(2, 1, 5, 7, generator=r).masked_fill(target == side, logit).requires_grad_()
    value, found = gradient(loss := losslang.compile(text), pred, target)
    wanted = whole_value(loss, pred, target)
    assert value.isinf() == ((logit > 0) != side)
    torch.testing.assert_close(value, wanted.detach())
    torch.testing.assert_close(found, torch.autograd.grad(wanted, pred)[0])


@pytest.mark.parametrize("logit", [-torch.inf, torch.inf])
@pytest.mark.parametrize("label", [0.3, 0.7])
@pytest.mark.parametrize(
    "text", ["0.5*bce(sigmoid) + dice", "bce(sigmoid, pos_weight=2) + dice", "focal(sigmoid) + dice"]
)
def test_a_soft_label_makes_an_infinite_logit_cost_infinity(
    text: str, label: float, logit: float, blocks: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(walk.AutogradEvaluator, "gradients", None)
    pred, target = torch.zeros(2, 1, 5, 7), torch.full((2, 1, 5, 7), label)
    pred[0, 0, 1, 2] = logit
    value, _ = gradient(loss := losslang.compile(text), pred.requires_grad_(), target)
    assert value.item() == whole_value(loss, pred, target).item() == math.inf


HIDDEN = {
    "no numbers": lambda pred, hidden: pred.masked_fill(hidden, torch.nan),
    "infinities": lambda pred, hidden: pred.masked_fill(hidden, -torch.inf),
    "numbers beside large ones": lambda pred, hidden: 200 * pred,
    "no numbers beside large ones": lambda pred, hidden: (200 * pred).masked_fill(hidden, torch.nan),
}


@pytest.mark.parametrize("beside", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize(
    "text",
    [
        "ce(ignore_index=255) + dice(softmax, ignore_index=255)",
        "focal(softmax, ignore_index=255)",
        "ce(ignore_index=255, reduction=batchmean)",
        "0.5*bce(sigmoid, ignore_index=255) + dice(ignore_index=255)",
        "focal(sigmoid, ignore_index=255, reduction=batchmean)",
    ],
)
def test_what_stands_beside_an_ignored_label(
    text: str,
    dtype: torch.dtype,
    beside: Callable[[Tensor, Tensor], Tensor],
    blocks: list[int],
    monkeypatch: pytest.MonkeyPatch,
):
    """In closed form, in blocks of which all, some and none is ignored; a sample of nothing else, and all of them."""
    monkeypatch.setattr(walk.AutogradEvaluator, "gradients", None)
    r = torch.Generator().manual_seed(0)
    whole, full = (
        torch.randn((3, 4, 5, 3), generator=r, dtype=torch.float64),
        torch.zeros(3, 5, 3).long() + 255,
    )
    some = torch.randint(0, 4, (3, 5, 3), generator=r).masked_fill(
        torch.rand((3, 5, 3), generator=r) < 0.3, 255
    )
    some[1], some[2, :3] = 255, 1
    loss = losslang.compile(text, validate="never")
    for labels in (some, full, some):
        hidden = (labels == 255).unsqueeze(1).expand(whole.shape)
        pred = beside(whole, hidden).to(dtype).requires_grad_()
        value, found = gradient(loss, pred, labels)
        # The same numbers, of which nothing has to be hidden.
        plain = pred.detach().double().masked_fill(hidden, 0.0).requires_grad_()
        wanted = whole_value(loss, plain, labels)
        (slope,) = torch.autograd.grad(wanted, plain)
        loose = {torch.float64: 1e-9, torch.float32: 1e-5, torch.float16: 2e-3}[dtype]
        torch.testing.assert_close(value.double(), wanted, rtol=loose, atol=loose)
        torch.testing.assert_close(found.double(), slope, rtol=loose, atol=loose)
        assert not found[hidden].any()
    assert len(blocks) > 20


@pytest.mark.parametrize(
    "text", ["ce", "ce + dice(ignore_index=-100, squared=true)", "focal(softmax, ignore_index=-100)"]
)
def test_what_is_ignored_decides_no_bit(text: str, blocks: list[int]):
    """Of places in the same block; nor which way a first call goes."""
    r = torch.Generator().manual_seed(1)
    pred, labels = torch.randn(3, 7, 33, generator=r), torch.randint(0, 7, (3, 33), generator=r)
    labels = labels.masked_fill(torch.rand(3, 33, generator=r) < 0.3, -100)
    hidden = (labels == -100).unsqueeze(1).expand(pred.shape)
    found = list[tuple[Tensor, Tensor]]()
    with cut(300):
        loss = losslang.compile(text)
        for beside in (1.0, 1.0, torch.nan, torch.inf, -torch.inf, 80.0, -200.0, 1.0):
            found.append(gradient(loss, pred.masked_fill(hidden, beside).requires_grad_(), labels))
    assert all(torch.equal(value, found[0][0]) for value, _ in found)
    assert all(torch.equal(slope, found[0][1]) for _, slope in found)
    assert len(blocks) > 20


@pytest.mark.parametrize("text", ["ce + dice", "0.5*bce(sigmoid) + dice(smooth=1)"])
@pytest.mark.usefixtures("sooner")
def test_backward_twice(text: str):
    """What forward left where the gradient will be is gone after one backward: a second computes it again."""
    pred, target = large(SMALLER)
    target = targets_of(text, target)
    total = losslang.compile(text)(pred, target)
    (first,) = torch.autograd.grad(total, pred, retain_graph=True)
    kept = first.clone()
    (second,) = torch.autograd.grad(3 * total, pred)
    torch.testing.assert_close(second, 3 * kept)
    torch.testing.assert_close(first, kept)
    assert first.data_ptr() != second.data_ptr()


@pytest.mark.usefixtures("sooner")
def test_a_call_in_inference_mode_leaves_nothing_behind():
    """Nor does one that fails: the tensors that blocks are computed in are kept from call to call."""
    pred, target = large(SMALLER)
    labels = targets_of("ce", target)
    loss = losslang.compile("ce + dice", validate="never")
    with torch.inference_mode():
        inside = loss(pred, labels)
    with pytest.raises(RuntimeError):
        loss(pred, labels + 3)
    value, slope = gradient(loss, pred, labels)
    torch.testing.assert_close(value, inside.clone())
    assert slope.isfinite().all()


@pytest.mark.parametrize("shift", [-300.0, -20.0, 0.0, 60.0, 300.0])
@pytest.mark.usefixtures("sooner")
def test_a_softmax_of_logits_of_any_size(shift: float):
    """Of exponentials as they stand, or by torch's kernel where one of them leaves the range of a float."""
    pred, target = large(SMALLER)
    target = targets_of("ce", target)
    far = (10 * pred.detach() + shift).requires_grad_()
    loss = losslang.compile("ce + dice")
    value, slope = gradient(loss, far, target)
    torch.testing.assert_close(value.double(), whole_value(loss, far.double(), target), rtol=1e-5, atol=0)
    exact = far.detach().double().requires_grad_()
    wanted = gradient(loss, exact, target)[1].float()
    torch.testing.assert_close(slope, wanted, rtol=1e-4, atol=1e-5 * wanted.abs().max().item())


@pytest.mark.usefixtures("sooner")
def test_a_loss_that_is_no_map_is_left_whole():
    @losslang.loss(whole=True)
    def centred(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """(x - mean x - t)^2: every element reads all others."""
        return (values - values.mean() - target).square()

    pred, target = large(SMALLER)
    value = losslang.compile("centred + l1")(pred, target)
    wanted = (pred - pred.mean() - target).square().mean() + (pred - target).abs().mean()
    torch.testing.assert_close(value, wanted)


@pytest.mark.usefixtures("sooner")
def test_what_is_wrong_is_said_of_the_whole_tensor():
    pred, _ = large(SMALLER)
    wrong = torch.zeros(2, 3, 512, 511)
    with pytest.raises(losslang.LossError, match=r"\(2, 3, 512, 511\), the prediction \(2, 3, 512, 512\)"):
        losslang.compile("bce(sigmoid) + dice")(pred, wrong)
    with pytest.raises(losslang.LossError, match="class 3"):
        losslang.compile("ce + dice")(pred, torch.full((2, 512, 512), 3))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_inductor_is_the_same_number():
    loss = losslang.compile("0.5*bce(sigmoid) + dice(smooth=1)", fuse="inductor")
    plain = losslang.compile("0.5*bce(sigmoid) + dice(smooth=1)")
    pred, target = large((4, 1, 64, 64))
    for _ in range(2):
        torch.testing.assert_close(gradient(loss, pred, target), gradient(plain, pred, target))
    detail, terms = loss.detail(pred, target), loss.terms(pred, target)
    torch.testing.assert_close(detail.total, loss(pred, target))
    torch.testing.assert_close(detail.contributions, torch.stack(list(terms.values())).detach())
    with pytest.raises(losslang.LossError, match="E50"):
        loss(pred, target[:, :, :3])
    assert pickle.loads(pickle.dumps(loss)).fuse == "inductor"


def test_another_compiler_is_refused():
    with pytest.raises(ValueError, match="inductor"):
        losslang.compile("ce", fuse="eager")  # pyright: ignore


@pytest.mark.parametrize(
    ("shape", "lacks"), [((2, 64, 1024), -1), ((1, 128, 128, 4), -1), ((2, 4, 96, 64), 1)]
)
@pytest.mark.parametrize("option", ["mask", "weight"])
def test_what_lacks_an_axis_lacks_it_in_every_block(shape: tuple[int, ...], lacks: int, option: str):
    """A mask of one rank less lies as it does on the whole, though a block of it may fit another axis."""
    r = torch.Generator().manual_seed(0)
    pred, target = torch.randn((2, *shape), generator=r, dtype=torch.float64)
    given = (torch.rand(pred.select(lacks, 0).shape, generator=r) > 0.3).double()
    errors, wide = (pred - target).square(), given.unsqueeze(lacks).expand(shape)
    wanted = (errors * wide).sum() / (wide.sum() if option == "mask" else wide.numel())
    channels = "last" if lacks == -1 else "first"
    with cut(4096):
        found = losslang.compile(f"mse({option}=batch.given, channels={channels})")(pred, target, given=given)
    torch.testing.assert_close(found, wanted)
