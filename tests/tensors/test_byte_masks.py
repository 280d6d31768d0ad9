"""What is done on the bytes of masks is what torch does with booleans."""

from __future__ import annotations

import math

import pytest
import torch
from _oracle import HAND, compare
from torch import Tensor
from torch.autograd import forward_ad

import losslang
from losslang.tensors import byte_masks

FLOATS = [torch.float32, torch.float64, torch.float16]


@pytest.fixture(autouse=True)
def even_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_masks, "MANY", 0)
    monkeypatch.setattr(byte_masks, "CLEARED", 0)


def masks() -> list[Tensor]:
    """The last is a picture of 0 and 255, viewed as booleans."""
    some = torch.tensor([[True, False, True], [False, True, True]])
    return [
        some,
        some.T,
        some[:, ::2],
        some[:1].expand(4, 3),
        torch.ones(2, 3).bool(),
        torch.zeros(0, 3).bool(),
        (255 * some.byte()).view(torch.bool),
    ]


@pytest.mark.parametrize("mask", masks(), ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_numbers_and_all(mask: Tensor, dtype: torch.dtype):
    assert byte_masks.holds_all(mask) == bool(mask.all())
    found = byte_masks.numbers(mask, dtype)
    assert found.dtype == dtype
    assert found.equal(mask.to(dtype))


@pytest.mark.parametrize("values", [[1.0, 255.0, math.nan], [0, 255, 1], [True, False, True]], ids=str)
def test_differs(values: list[float]):
    given = torch.tensor(values)
    assert byte_masks.differs(given, 255).equal(given != 255)


@pytest.mark.parametrize("mask", masks(), ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_what_is_cleared_is_no_number_beforehand(mask: Tensor, dtype: torch.dtype):
    """Neither its value nor what flows back to it reaches anything."""
    x = torch.randn(mask.shape, dtype=dtype).masked_fill(~mask, math.nan).requires_grad_()
    found = byte_masks.cleared(x, mask)
    assert found.equal(x.detach().masked_fill(~mask, 0.0))
    flow = torch.randn(mask.shape, dtype=dtype).masked_fill(~mask, math.inf)
    (slope,) = torch.autograd.grad(found, x, flow)
    assert slope.equal(flow.masked_fill(~mask, 0.0))


# torch's own, which it says when forward mode is first used.
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_it_is_differentiated_twice_and_transformed():
    x, mask = torch.randn(2, 3, dtype=torch.float64, requires_grad=True), masks()[0]

    def cubes(x: Tensor) -> Tensor:
        return byte_masks.cleared(x, mask) ** 3

    assert torch.autograd.gradcheck(cubes, x)
    assert torch.autograd.gradgradcheck(cubes, x)
    wanted = 3 * x.detach() ** 2 * mask
    torch.testing.assert_close(torch.func.grad(lambda x: cubes(x).sum())(x.detach()), wanted)
    (_, tangent) = torch.func.jvp(cubes, (x.detach(),), (torch.ones_like(x),))
    torch.testing.assert_close(tangent, wanted)
    with forward_ad.dual_level():
        flow = forward_ad.make_dual(torch.ones_like(x), torch.full_like(x, 2.0))
        (dual,) = torch.autograd.grad(cubes(x), x, flow)
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, 2 * wanted)
    negative = torch.complex(torch.zeros_like(x), x.detach()).conj().imag
    assert negative.is_neg()
    torch.testing.assert_close(cubes(negative), cubes(-x.detach()))
    flows = torch.eye(6, dtype=torch.float64).view(6, 2, 3)
    (many,) = torch.autograd.grad(cubes(x), x, flows, is_grads_batched=True)
    torch.testing.assert_close(many, flows * wanted)
    torch.testing.assert_close(torch.compile(cubes, backend="aot_eager", fullgraph=True)(x), cubes(x))


@pytest.mark.parametrize(
    ("text", "layout"), [case for case in HAND if "mask" in case[0] or "ignore" in case[0]], ids=lambda v: v
)
def test_every_masked_program_by_hand(text: str, layout: str):
    compare(text, layout)


@pytest.mark.parametrize(
    "text", ["ce(mask=batch.m)", "dice(softmax, mask=batch.m)", "bce(sigmoid, mask=batch.m)"]
)
@pytest.mark.parametrize("whole", [True, False])
def test_one_boolean_is_a_mask_of_everything(text: str, whole: bool):
    x, y = torch.randn(4, 3, 5), torch.randint(3, (4, 5))
    found, other = (
        losslang.compile(text)(x, y, m=m) for m in (torch.tensor(whole), torch.full((4, 5), whole))
    )
    torch.testing.assert_close(found, other)


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float32, torch.float64]
)
@pytest.mark.parametrize("size", [4, 2**17])
def test_what_is_cleared_keeps_its_type(dtype: torch.dtype, size: int):
    mask = torch.arange(size) % 2 > 0
    cleared = byte_masks.cleared(torch.ones(size).to(dtype), mask)
    assert cleared.dtype == dtype
    assert torch.equal(cleared, mask.to(dtype))


def test_a_boolean_target_under_a_mask_is_refused_as_what_it_is():
    loss = losslang.compile("kl(softmax, mask=batch.m)")
    with pytest.raises(losslang.LossError, match="`target` of `kl` is bool"):
        loss(torch.randn(4, 4), torch.ones(4, 4) > 0, m=torch.tensor([True, False, True, True]))
