"""`compile(..., distributed=)`: gradients that DDP averages are those of one process on the whole batch."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import losslang

PROGRAMS = (
    "l1(mask=batch.m)@(pred.d, batch.y) + ce(ignore_index=255)@(pred.s, target)",
    "ce(class_weight=[1, 2, 5], ignore_index=255)@(pred.s, target) + mse@(pred.d, batch.y)",
    "tversky(softmax, alpha=0.3, beta=0.7, ignore_index=255)@(pred.s, target) + l1(mask=batch.m)@(pred.d, batch.y) + 0.5",
)
N = 8


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.s, self.d = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 3, 1), nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.body(x).relu()
        return {"s": self.s(features), "d": self.d(features)}


def _batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r = torch.Generator().manual_seed(5)
    x, y = torch.randn(N, 2, 4, 4, generator=r).double(), torch.randn(N, 1, 4, 4, generator=r).double()
    labels = torch.randint(3, (N, 4, 4), generator=r)
    m = torch.rand(N, 4, 4, generator=r) > 0.3
    # The last two samples, a rank of four and half of a rank of two, have nothing that counts.
    labels[-2:], m[-2:] = 255, False
    return x, labels, y, m


def _model() -> nn.Module:
    torch.manual_seed(0)
    return Heads().double()


def _gradients(model: nn.Module, loss: losslang.Loss, rows: slice) -> tuple[list[Tensor], losslang.Detail]:
    x, labels, y, m = (part[rows] for part in _batch())
    pred = model(x)
    loss(pred, labels, y=y, m=m).backward()
    out = loss.detail({name: head.detach() for name, head in pred.items()}, labels, y=y, m=m)
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None], out


def _rank(rank: int, ranks: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    found: list[Any] = []
    for text in PROGRAMS:
        calls = _counting(dist)
        loss = losslang.compile(text, distributed=True if ranks == 2 else dist.group.WORLD)
        model = DistributedDataParallel(_model())
        share = N // ranks
        gradients, out = _gradients(model, loss, slice(share * rank, share * (rank + 1)))
        found.append((gradients, out.names, out.values, calls[0]))
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def _counting(module: Any) -> list[int]:
    """Counts the all-reduces of the loss, which takes them by this name."""
    calls, real = [0], getattr(module.all_reduce, "real", module.all_reduce)

    def all_reduce(*args: Any, **more: Any) -> Any:
        calls[0] += 1
        return real(*args, **more)

    all_reduce.real = real  # pyright: ignore[reportFunctionMemberAccess]
    module.all_reduce = all_reduce
    return calls


@pytest.mark.skipif(sys.platform == "win32", reason="gloo by a file")
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.filterwarnings("ignore")
def test_gradients_of_ranks_are_those_of_one_process(ranks: int, tmp_path: Path, monkeypatch: Any) -> None:
    root = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, *sys.path]))
    torch.multiprocessing.spawn(_rank, (ranks, str(tmp_path)), nprocs=ranks)
    of_ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(ranks)]
    for index, text in enumerate(PROGRAMS):
        model = _model()
        wanted, whole = _gradients(model, losslang.compile(text), slice(None))
        for gradients, names, _, reduced in (found[index] for found in of_ranks):
            assert len(gradients) == len(wanted)  # every head has one, also where nothing counts
            for found, grad in zip(gradients, wanted, strict=True):
                torch.testing.assert_close(found, grad, rtol=1e-6, atol=1e-12)
            assert names == whole.names
            assert reduced == 2  # one for `detail`, one for the call
        values = torch.stack([found[index][2] for found in of_ranks]).mean(0)
        torch.testing.assert_close(values, whole.values)


@pytest.fixture
def alone() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=0, world_size=1)
        yield
        dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_one_rank_is_no_group_to_the_bit(alone: None) -> None:
    for text in PROGRAMS:
        found, _ = _gradients(_model(), losslang.compile(text, distributed=True), slice(None))
        wanted, _ = _gradients(_model(), losslang.compile(text), slice(None))
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))])
def test_copies_and_pickles_stay_distributed(copied: Callable[[losslang.Loss], losslang.Loss]) -> None:
    assert copied(losslang.compile("ce", distributed=True)).distributed is True
    assert copied(losslang.compile("ce")).distributed is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ce(reduction=topk)", "ce"),
        ("ce(reduction=ohem)", "ce"),
        ("l1(reduction=quantile)", "l1"),
        ("ce + dice(batch=true)", "dice"),
        ("infonce@(pred.a, pred.b)", "infonce"),
        ("l1(reduction=sum)", "l1"),
        ("triplet@(pred.a, pred.b, pred.c)", "triplet"),
    ],
)
def test_what_ranks_cannot_compute_is_refused_by_name(text: str, name: str) -> None:
    with pytest.raises(losslang.LossError, match="E374") as caught:
        losslang.compile(text, distributed=True)
    assert f"`{name}` cannot be computed over ranks" in str(caught.value)
