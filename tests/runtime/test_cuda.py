"""On a GPU: the same numbers as on a CPU, the same bits in every run, and nothing that waits for it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import _every_loss as every_loss
import _oracle as oracle
import pytest
import torch
from cutting import cut
from torch import Tensor, nn
from torch.utils._pytree import tree_map

import losslang

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

WAITS = {
    "hausdorff_dt": "its search of distances ends when nothing is farther",
    "linear_ce": "rows that do not count are taken out, and how many that are has to be known",
}
"""Losses that look at a number of the GPU in every call, and why."""
MISSION = "0.5*bce(sigmoid) + dice(smooth=1)"
PROGRAMS = [
    (MISSION, (8, 1, 64, 64)),
    ("focal(sigmoid) + dice + 0.3*tversky", (8, 1, 64, 64)),
    ("ce + dice", (4, 5, 16, 16, 16)),
    ("huber + l1", (8, 3, 32, 32)),
]


@pytest.fixture(params=["whole", "in blocks"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Small tensors as they are, and cut as if they were large."""
    with cut(3) if request.param == "in blocks" else nullcontext():
        yield request.param


def there(value: Any) -> Any:
    """Tensors and modules on the GPU; a prediction still wants its gradient."""

    def moved(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return leaf.detach().cuda().requires_grad_(leaf.requires_grad)
        return copy.deepcopy(leaf).cuda() if isinstance(leaf, nn.Module) else leaf

    return tree_map(moved, value)


@contextmanager
def unwaiting() -> Iterator[None]:
    """Raises where a value is fetched from the GPU."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")


def gradient(loss: Any, pred: Tensor, *others: Any, **batch: Any) -> tuple[Tensor, Tensor]:
    value = loss(pred, *others, **batch)
    (slope,) = torch.autograd.grad(value, pred)
    return value.detach(), slope


def case(text: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    r = torch.Generator().manual_seed(0)
    pred = torch.randn(shape, generator=r).to(dtype).cuda().requires_grad_()
    if text.startswith("ce"):
        return pred, torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=r).cuda()
    return pred, (torch.rand(shape, generator=r) > 0.5).to(dtype).cuda()


# -------------------------------------------------------------------- numbers


@every_loss.each_use
def test_every_loss_is_that_of_a_cpu(name: str, use: str, way: str):
    text, (pred, target, batch) = every_loss.text_of(name, use), every_loss.data(name, use)
    loss = every_loss.compiled(text)
    pred = pred.requires_grad_()
    wanted = gradient(loss, pred, target, **batch)
    found = gradient(loss, *there((pred, target)), **there(batch))
    assert all(part.is_cuda for part in found)
    torch.testing.assert_close(tuple(part.cpu() for part in found), wanted, rtol=1e-8, atol=1e-10)


@every_loss.each_use
def test_single_precision_is_not_rounded_further(name: str, use: str):
    """As torch is by default: convolutions of cuDNN in TF32."""
    text, (pred, target, batch) = every_loss.text_of(name, use), every_loss.data(name, use)
    loss = every_loss.compiled(text)
    wanted = gradient(loss, pred.requires_grad_(), target, **batch)

    def single(value: Any) -> Any:
        return tree_map(
            lambda leaf: leaf.float() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf,
            value,
        )

    given, other, more = there(single((pred.detach(), target, batch)))
    more = {k: v.float() if isinstance(v, nn.Module) else v for k, v in more.items()}
    found = [part.double().cpu() for part in gradient(loss, given.requires_grad_(), other, **more)]
    torch.testing.assert_close(found[0], wanted[0], rtol=2e-5, atol=2e-6)
    torch.testing.assert_close(found[1], wanted[1], rtol=0, atol=1e-4 * float(wanted[1].abs().max()))


@pytest.mark.parametrize(("text", "layout"), oracle.HAND, ids=lambda v: v)
def test_every_option_is_that_of_a_cpu(text: str, layout: str, way: str):
    pred, target, batch = oracle.data(layout)
    loss = oracle.compiled(text)
    wanted = loss(pred, target, **batch)
    found = loss(*there((pred, target)), **there(batch))
    torch.testing.assert_close(found.cpu(), wanted, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("text", "shape"), PROGRAMS)
def test_the_same_bits_in_every_run(text: str, shape: tuple[int, ...], way: str):
    loss, call = losslang.compile(text), case(text, shape)
    first = gradient(loss, *call)
    for _ in range(5):
        assert all(map(torch.equal, gradient(loss, *call), first))


@pytest.mark.parametrize(("text", "shape"), PROGRAMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(text: str, shape: tuple[int, ...], dtype: torch.dtype, way: str):
    loss, (pred, target) = losslang.compile(text), case(text, shape, dtype)
    exact = pred.detach().double().requires_grad_()
    truth = target.double() if target.is_floating_point() else target
    wanted = gradient(loss, exact, truth)
    for given in (False, True):
        with torch.autocast("cuda", dtype=dtype, enabled=given):
            found = gradient(loss, pred, target)
        assert (found[0].dtype, found[1].dtype) == (torch.float32, dtype)
        torch.testing.assert_close(found[0].double(), wanted[0], rtol=1e-4, atol=0)
        torch.testing.assert_close(found[1].double(), wanted[1], rtol=2e-2, atol=2e-2 * wanted[1].abs().max())


@pytest.mark.parametrize(("text", "shape"), PROGRAMS)
def test_large_tensors_as_they_come(text: str, shape: tuple[int, ...]):
    grown = {4: (320, shape[1], 512, 512), 5: (4, 16, 128, 128, 128)}[len(shape)]
    loss, (pred, target) = losslang.compile(text), case(text, grown)
    found = gradient(loss, pred, target)
    exact = pred.detach().double().requires_grad_()
    wanted = gradient(loss, exact, target if target.dtype == torch.long else target.double())
    torch.testing.assert_close(found[0].double(), wanted[0], rtol=2e-6, atol=0)
    scale = float(wanted[1].abs().max())
    torch.testing.assert_close(found[1].double(), wanted[1], rtol=2e-5, atol=1e-6 * scale)


@pytest.fixture
def reduced() -> Iterator[None]:
    """Matrix products in TF32, as many trainings have them."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


def test_reduced_matrix_products_reach_no_overlap(reduced: None, way: str):
    """Sums over probabilities are none of their business."""
    for text, shape in PROGRAMS:
        loss, (pred, target) = losslang.compile(text), case(text, shape)
        truth = target if target.dtype == torch.long else target.double()
        wanted = gradient(loss, pred.detach().double().requires_grad_(), truth)
        found = gradient(loss, pred, target)
        torch.testing.assert_close(found[0].double(), wanted[0], rtol=2e-6, atol=0)
        scale = float(wanted[1].abs().max())
        torch.testing.assert_close(found[1].double(), wanted[1], rtol=1e-4, atol=1e-5 * scale)


# -------------------------------------------------------------------- what a training loop needs


@every_loss.each_use
def test_no_call_but_the_first_waits(name: str, use: str, way: str):
    text, (pred, target, batch) = every_loss.text_of(name, use), every_loss.data(name, use)
    loss = every_loss.compiled(text)
    given = there((pred.requires_grad_(), target)), there(batch)
    gradient(loss, *given[0], **given[1])
    if name in WAITS:
        with pytest.raises(RuntimeError, match="synchronizing"), unwaiting():
            gradient(loss, *given[0], **given[1])
    else:
        with unwaiting():
            for _ in range(3):
                gradient(loss, *given[0], **given[1])


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(
    "text",
    [
        "ce(ignore_index=9)",
        "ce(ignore_index=9, label_smoothing=0.1)",
        "ce(ignore_index=9, reduction=sum)",
        "nll(log_softmax, ignore_index=9)",
        "ce(ignore_index=9) + dice(softmax, ignore_index=9)",
    ],
)
@pytest.mark.parametrize("shape", [(64, 5), (4, 5, 16, 16), (2, 5, 8, 8, 8)], ids=str)
def test_labels_to_ignore_are_left_out_unseen(text: str, shape: tuple[int, ...], share: float):
    """No number stands beside them, and none of the GPU is waited for."""
    if "dice" in text and len(shape) == 2:
        pytest.skip("an overlap needs an axis of space")
    loss, (pred, _) = losslang.compile(text, validate="never"), case("mse", shape)
    r = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 5, (shape[0], *shape[2:]), generator=r)
    labels = labels.masked_fill(torch.rand(labels.shape, generator=r) < share, 9)
    hidden = (labels == 9).unsqueeze(1).expand(shape)
    near = pred.detach().cpu().masked_fill(hidden, torch.nan).requires_grad_()
    far, target = there((near, labels))
    wanted = gradient(loss, near, labels)
    gradient(loss, far, target)
    with unwaiting():
        found = [gradient(loss, far, target) for _ in range(3)]
    for value, slope in found:
        torch.testing.assert_close(value.cpu(), wanted[0])
        torch.testing.assert_close(slope.cpu(), wanted[1])
        assert torch.equal(slope, found[0][1])
        assert not slope[hidden.cuda()].any()


@pytest.mark.parametrize(("text", "shape"), PROGRAMS)
def test_a_step_is_captured_as_a_graph(text: str, shape: tuple[int, ...], way: str):
    loss, (pred, target) = losslang.compile(text), case(text, shape)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            gradient(loss, pred, target)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = gradient(loss, pred, target)
    with torch.no_grad():
        pred.copy_(torch.randn_like(pred))
    graph.replay()
    torch.testing.assert_close(captured, gradient(loss, pred, target))


@pytest.mark.parametrize("fuse", [None, "inductor"])
@pytest.mark.filterwarnings("ignore")
def test_the_gradient_is_nearly_all_the_memory(fuse: Any):
    shape = (320, 1, 1024, 1024)
    loss, (pred, target) = losslang.compile(MISSION, fuse=fuse), case(MISSION, shape)
    loss(pred, target).backward()
    pred.grad = None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    loss(pred, target).backward()
    torch.cuda.synchronize()
    assert torch.cuda.max_memory_allocated() - before <= 1.25 * pred.numel() * 4


def test_a_vocabulary_takes_no_second_tensor_of_logits():
    head = torch.nn.Linear(512, 32768, bias=False).cuda()
    loss = losslang.compile("linear_ce(head=const.head)", const={"head": head})
    hidden = torch.randn(4096, 512, device="cuda", requires_grad=True)
    target = torch.randint(0, 32768, (4096,), device="cuda")
    loss(hidden, target).backward()
    hidden.grad = head.weight.grad = None
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    value = loss(hidden, target)
    value.backward()
    assert torch.cuda.max_memory_allocated() - before < 4096 * 32768 * 4 / 2
    wanted = torch.nn.functional.cross_entropy(head(hidden), target)
    torch.testing.assert_close(value, wanted, rtol=1e-5, atol=0)


# -------------------------------------------------------------------- where things are


def test_a_module_goes_where_it_is_sent():
    weight = torch.tensor([1.0, 2.0, 3.0])
    loss = losslang.compile("ce(class_weight=const.w)", const={"w": weight}, device="cuda")
    assert loss.const["w"].is_cuda
    pred, target = torch.randn(4, 3, device="cuda"), torch.tensor([0, 1, 2, 2], device="cuda")
    wanted = torch.nn.functional.cross_entropy(pred, target, weight.cuda())
    torch.testing.assert_close(loss(pred, target), wanted)


def test_what_a_loss_remembers_is_moved_with_it():
    loss = losslang.compile("ghm_c(sigmoid)").cuda()
    value = loss(torch.randn(8, 3, device="cuda"), torch.ones(8, 3, device="cuda"))
    assert value.is_cuda
    assert all(buffer.is_cuda for buffer in loss.buffers())


def test_a_target_left_behind_is_named():
    with pytest.raises(losslang.LossError, match="cpu") as refused:
        losslang.compile("mse")(torch.randn(3, device="cuda"), torch.randn(3))
    assert refused.value.diagnostics[0].code == "E511"


@pytest.mark.parametrize("text", ["ce", "ce + dice"])
def test_a_class_out_of_range_is_found_before_a_kernel_asserts(text: str):
    with pytest.raises(losslang.LossError, match="class 7"):
        losslang.compile(text)(torch.randn(4, 3, 5, device="cuda"), torch.full((4, 5), 7, device="cuda"))


def test_terms_are_told_on_the_device():
    pred, target = case(MISSION, (4, 1, 8, 8))
    detail = losslang.compile(MISSION).detail(pred, target)
    assert detail.values.is_cuda
    torch.testing.assert_close(detail.contributions.sum(), detail.total.detach())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("text", "shape"), PROGRAMS)
def test_inductor_is_the_same_number(text: str, shape: tuple[int, ...]):
    call = case(text, shape)
    found = gradient(losslang.compile(text, fuse="inductor"), *call)
    torch.testing.assert_close(found, gradient(losslang.compile(text), *call), rtol=1e-4, atol=1e-6)
