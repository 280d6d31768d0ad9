"""The memory of a large gradient serves the next one, and never two at once."""

from __future__ import annotations

import gc
import mmap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

import losslang
from losslang.runtime.blocks import memory
from losslang.runtime.blocks.memory import GRADIENTS, Pieces

pytestmark = pytest.mark.skipif(
    not memory.IS_KNOWN, reason="the system cannot be told that it may take memory"
)

LARGE = 2**23 + 2**20
"""Floats: 36 MiB."""


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    gc.collect()
    GRADIENTS.free.clear()
    yield
    GRADIENTS.free.clear()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of any size are kept."""
    monkeypatch.setattr(memory, "LEAST", 0)


def gradient(pred: Tensor, target: Tensor) -> Tensor:
    loss = losslang.compile("0.5*bce(sigmoid) + dice(smooth=1)")
    return torch.autograd.grad(loss(pred, target), pred)[0]


def test_the_next_gradient_lies_where_the_last_one_lay():
    pred = torch.randn(4, 1, LARGE // 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    target = (pred.detach() > 0.5).float()
    first = gradient(pred, target)
    place, bits = first.data_ptr(), first.clone()
    second = gradient(pred, target)
    assert second.data_ptr() != place
    del first
    third = gradient(pred, target)
    assert third.data_ptr() == place
    assert torch.equal(second, bits)
    assert torch.equal(third, bits)


def test_memory_that_the_system_took_in_between():
    pred = torch.randn(4, 1, LARGE // 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    target = (pred.detach() > 0.5).float()
    bits = gradient(pred, target).clone()
    (piece,) = GRADIENTS.free
    piece.madvise(mmap.MADV_DONTNEED)
    assert torch.equal(gradient(pred, target), bits)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "like",
    [
        torch.empty(2, 3, 4),
        torch.empty(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.empty(4, 6).t(),
        torch.empty(4, 6)[:, ::2],
        torch.empty(3, 1).expand(3, 5),
        torch.empty(7, dtype=torch.float64),
        torch.empty(7, dtype=torch.bfloat16),
        torch.empty(()),
        torch.nn.Parameter(torch.empty(3)),
    ],
    ids=lambda tensor: f"{tuple(tensor.shape)}-{tensor.stride()}-{tensor.dtype}",
)
def test_it_is_as_empty_like_makes_it(like: Tensor):
    found, wanted = Pieces().like(like), torch.empty_like(like)
    assert (found.shape, found.stride(), found.dtype) == (wanted.shape, wanted.stride(), wanted.dtype)
    assert type(found) is Tensor
    assert not found.requires_grad
    assert not found._is_view()
    assert found.is_leaf


@pytest.mark.usefixtures("small")
def test_a_view_holds_the_memory():
    pieces, like = Pieces(), torch.empty(1000)
    found = pieces.like(like)
    view = found[10:20].fill_(7.0).numpy()
    del found
    assert not pieces.free
    other = pieces.like(like).fill_(1.0)
    assert (view == 7.0).all()
    del view
    assert len(pieces.free) == 1
    assert (other == 1.0).all()


@pytest.mark.usefixtures("small")
def test_which_piece_serves():
    """One that is large enough, and not more than twice so; two are kept, the latest."""
    pieces = Pieces()
    some = [pieces.like(torch.empty(number)) for number in (1000, 2000, 4000)]
    _, _, place = [tensor.data_ptr() for tensor in some]
    while some:
        del some[0]
    assert [len(piece) for piece in pieces.free] == [8000, 16000]
    too_large = pieces.like(torch.empty(4001))
    too_small = pieces.like(torch.empty(999))
    assert sorted(len(piece) for piece in pieces.free) == [8000, 16000]
    assert pieces.like(torch.empty(2001)).data_ptr() == place
    del too_large, too_small
    assert [len(piece) for piece in pieces.free] == [16004, 3996]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("number", "serves"), [(1999, False), (2000, True), (4000, True), (4001, False)])
def test_how_large_a_piece_may_be(number: int, serves: bool):
    pieces = Pieces()
    pieces.like(torch.empty(4000))
    pieces.like(torch.empty(number))
    assert (len(pieces.free) == 1) == serves


@pytest.mark.usefixtures("small")
def test_threads_never_share_a_piece():
    pieces, like = Pieces(), torch.empty(5000)

    def work(number: int) -> bool:
        right = True
        for _ in range(200):
            mine = pieces.like(like).fill_(number)
            right &= bool((mine == number).all())
        return right

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_without_an_address_what_is_kept_is_given_back(monkeypatch: pytest.MonkeyPatch):
    """A gradient that has no room beside it may have room without; if not, torch says so as it always does."""

    def no_address(size: int) -> mmap.mmap:
        raise OSError(12, "Cannot allocate memory")

    pieces = Pieces()
    pieces.like(torch.empty(LARGE))
    assert len(pieces.free) == 1
    monkeypatch.setattr(memory, "_mapped", no_address)
    assert pieces.like(torch.empty(2 * LARGE)).shape == (2 * LARGE,)
    assert not pieces.free


def test_a_kernel_without_large_pages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", -1)
    pieces = Pieces()
    found = pieces.like(torch.empty(LARGE)).fill_(2.0)
    assert (found == 2.0).all()
    del found
    assert len(pieces.free) == 1


def test_a_system_that_refuses_gets_it_at_once():
    class Refusing:
        def madvise(self, _: int) -> None:
            raise OSError(22, "Invalid argument")

    pieces = Pieces()
    pieces._release(Refusing())  # pyright: ignore
    assert not pieces.free


def test_elsewhere_it_is_what_torch_gives(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "IS_KNOWN", False)
    pieces = Pieces()
    assert pieces.like(torch.empty(LARGE)).shape == (LARGE,)
    assert not pieces.free


@pytest.mark.parametrize(
    ("elements", "device", "kept"),
    [
        (2**23 - 2**14 - 1, "cpu", 0),
        (2**23 - 2**14, "cpu", 1),
        (2**23, "cpu", 1),
        (2**27, "cpu", 1),
        (2**27 + 1, "cpu", 0),
        (LARGE, "meta", 0),
    ],
)
def test_what_is_kept(elements: int, device: str, kept: int):
    """Not what malloc keeps by itself, what is larger than half a gigabyte, nor what is not in the CPU's memory."""
    pieces = Pieces()
    assert pieces.like(torch.empty(elements, device=device)).device.type == device
    assert len(pieces.free) == kept


def test_a_default_device_is_not_where_the_piece_is():
    with torch.device("meta"):
        assert Pieces().like(torch.empty(LARGE, device="cpu")).device.type == "cpu"
