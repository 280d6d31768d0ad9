"""How many torch operations a call and its backward pass take, by the way that the call takes: no more than pinned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from _executors import ways
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import losslang
from losslang.runtime.compiled import _understood

pytestmark = pytest.mark.skipif(
    not torch.__version__.startswith("2.13."), reason="counted with 2.13: others see other operations"
)
R = torch.Generator().manual_seed(0)
Call = tuple[Tensor, Any]


class Counter(TorchDispatchMode):
    """Counts what reaches the dispatcher."""

    number = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        self.number += 1
        return function(*arguments, **(options or {}))


def dense(*shape: int) -> Call:
    return torch.randn(shape, generator=R), (torch.rand(shape, generator=R) > 0.5).float()


def indexed(*shape: int) -> Call:
    labels = torch.randint(shape[1], (shape[0], *shape[2:]), generator=R)
    return torch.randn(shape, generator=R), labels


def ignored(index: int, *shape: int) -> Call:
    """A tenth of the labels is the index."""
    pred, labels = indexed(*shape)
    return pred, labels.masked_fill(torch.rand(labels.shape, generator=R) < 0.1, index)


def void(*shape: int) -> Call:
    """A tenth of the zeros and ones is 255."""
    pred, target = dense(*shape)
    return pred, target.masked_fill(torch.rand(shape, generator=R) < 0.1, 255)


SMALL, LARGE, LARGER = (4, 5, 16, 16), (2, 8, 256, 256), (2, 8, 512, 512)
RANGE, KERNELS, WHOLE = "labels checked by range", "labels checked by kernels", "specialized"
PROGRAMS: list[tuple[str, Callable[[], Call], list[str], tuple[int, int], tuple[int, int]]] = [
    # text, inputs, the way of a later call, operations of a first call and of a later one (forward, backward)
    ("mse", lambda: dense(32, 10), [WHOLE], (1, 3), (1, 3)),
    ("mse", lambda: (dense(2, 3)[0], [[1.0, 2, 3], [4, 5, 6]]), ["converted", WHOLE], (2, 3), (2, 3)),
    ("0.5*bce(sigmoid) + dice(smooth=1)", lambda: dense(32, 1, 16, 16), [WHOLE], (26, 28), (21, 28)),
    (
        "0.5*bce(sigmoid) + dice(smooth=1)",
        lambda: dense(4, 1, 512, 1024),
        ["in blocks"],
        (433, 113),
        (335, 113),
    ),
    (
        "0.5*bce(sigmoid, pos_weight=2) + dice(smooth=1)",
        lambda: dense(32, 1, 16, 16),
        [WHOLE],
        (31, 29),
        (25, 29),
    ),
    (
        "0.5*bce(sigmoid, ignore_index=255) + dice(smooth=1, ignore_index=255)",
        lambda: void(32, 1, 16, 16),
        ["ignored by range", WHOLE],
        (112, 30),
        (39, 30),
    ),
    (
        "focal(sigmoid, ignore_index=255) + dice(ignore_index=255) + 0.3*tversky(ignore_index=255)",
        lambda: void(32, 1, 16, 16),
        ["ignored by range", WHOLE],
        (237, 58),
        (52, 58),
    ),
    ("ce", lambda: indexed(*SMALL), [KERNELS, "ignored by kernels", WHOLE], (18, 5), (4, 5)),
    ("ce", lambda: ignored(-100, *SMALL), [KERNELS, "ignored by kernels", WHOLE], (31, 5), (8, 5)),
    ("ce", lambda: indexed(*LARGE), [KERNELS, "ignored by kernels", WHOLE], (35, 5), (4, 5)),
    ("ce", lambda: indexed(*LARGER), [RANGE, "in blocks"], (259, 86), (146, 86)),
    ("ce", lambda: ignored(-100, *LARGER), [RANGE, KERNELS, "ignored by kernels", WHOLE], (50, 5), (11, 5)),
    (
        "nll(log_softmax)",
        lambda: ignored(-100, *SMALL),
        [RANGE, "labels checked", "masks asked", WHOLE],
        (48, 14),
        (53, 14),
    ),
    ("ce + dice", lambda: indexed(*SMALL), [RANGE, "ignored by kernels", WHOLE], (40, 26), (24, 26)),
    ("ce + dice", lambda: indexed(*LARGE), [RANGE, "in blocks"], (178, 93), (87, 92)),
    ("ce(ignore_index=255) + dice", lambda: indexed(*LARGE), [RANGE, "in blocks"], (177, 93), (87, 92)),
    (
        "ce(ignore_index=255) + dice(ignore_index=255)",
        lambda: ignored(255, *SMALL),
        [RANGE, KERNELS, "ignored by kernels beside masks", WHOLE],
        (99, 27),
        (44, 27),
    ),
    (
        "ce(ignore_index=255) + dice(ignore_index=255)",
        lambda: ignored(255, *LARGE),
        [RANGE, "labels checked", "masks asked", "in blocks"],
        (416, 128),
        (247, 127),
    ),
    (
        "dice(softmax, ignore_index=255)",
        lambda: (indexed(*SMALL)[0], indexed(*SMALL)[1].int()),
        [RANGE, "masks asked", WHOLE],
        (33, 22),
        (24, 22),
    ),
]


@pytest.fixture(autouse=True)
def one_thread(fresh_scratch: None) -> Iterator[None]:
    """Blocks are as large as there are threads to share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    _understood.cache_clear()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("text", "inputs", "passed", "first", "later"), PROGRAMS, ids=[f"{p[0]}, {p[2]}" for p in PROGRAMS]
)
def test_a_way_takes_no_more_operations(
    text: str,
    inputs: Callable[[], Call],
    passed: list[str],
    first: tuple[int, int],
    later: tuple[int, int],
):
    loss, (pred, target) = losslang.compile(text), inputs()
    counts: list[tuple[int, int]] = []
    for _ in range(4):
        leaf = pred.clone().requires_grad_()
        with Counter() as forward:
            value = loss(leaf, target)
        with Counter() as backward:
            value.backward()
        counts.append((forward.number, backward.number))
    assert ways(text, pred, target) == passed
    assert all(found <= pinned for found, pinned in zip(counts[0], first, strict=True)), counts
    assert all(found <= pinned for found, pinned in zip(counts[-1], later, strict=True)), counts
