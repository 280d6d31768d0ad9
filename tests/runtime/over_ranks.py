"""What each rank of a process group does: programs on its part of a batch. Run by `spawned`, in processes."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

import losslang
from losslang.meaning.ranks import exchange
from losslang.registry import current_registry

COLLECTIVES = ("all_reduce", "all_gather")


class Case(NamedTuple):
    """A program, a call with its whole batch, and the samples of each rank."""

    text: str
    pred: Any
    target: Any
    batch: dict[str, Any]
    cuts: tuple[slice, ...]
    shared: tuple[str, ...] = ()
    """What of the batch has no samples: all ranks have the same."""
    numbers: tuple[str, ...] = ()
    """What is handed over as its sum over the samples of a call, as the number of positives is."""

    def call(self, cut: slice) -> tuple[Any, Any, dict[str, Any]]:
        """Prediction, target and keywords of some of the samples."""

        def mine(value: Tensor) -> Tensor:
            return value[cut]

        batch = {k: v if k in self.shared else each(v, mine) for k, v in self.batch.items()}
        batch |= {name: batch[name].sum() for name in self.numbers}
        return each(self.pred, mine), each(self.target, mine), batch


class Found(NamedTuple):
    """What one process found: the total, a gradient by each prediction, the detail, and its collectives."""

    total: Tensor
    gradients: list[Tensor]
    detail: losslang.Detail
    collectives: list[str]


def each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Changes the tensors of a prediction, a target or a batch."""
    if isinstance(value, dict):
        return {name: each(part, change) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [each(part, change) for part in value]
    return change(value) if isinstance(value, Tensor) and value.ndim else value


def compiled(text: str, **more: Any) -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        return losslang.compile(text, **more)


def counted_collectives() -> list[str]:
    """Notes the collectives of this process from now on, in order."""
    calls: list[str] = []
    for name in COLLECTIVES:
        real = getattr(getattr(dist, name), "real", getattr(dist, name))

        def noted(*args: Any, real: Any = real, name: str = name, **more: Any) -> Any:
            calls.append(name)
            return real(*args, **more)

        noted.real = real  # pyright: ignore[reportFunctionMemberAccess]
        setattr(dist, name, noted)
    return calls


def found(loss: losslang.Loss, pred: Any, target: Any, batch: dict[str, Any], *, times: int = 2) -> Found:
    """The total, its gradients and its detail; the call runs several times, on its several ways."""
    leaves: list[Tensor] = []

    def leaf(value: Tensor) -> Tensor:
        if not value.is_floating_point():
            return value
        leaves.append(value.detach().clone().requires_grad_())
        return leaves[-1]

    pred = each(pred, leaf)
    calls = counted_collectives()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        total = loss(pred, target, **batch)
        collectives = list(calls)
        for _ in range(times - 1):
            total = loss(pred, target, **batch)
        grads = torch.autograd.grad(total, leaves, allow_unused=True)
        detail = loss.detail(pred, target, **batch)
    gradients = [torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True)]
    return Found(total.detach(), gradients, detail, collectives)


def of_rank(case: Case, rank: int) -> Found:
    return found(compiled(case.text, distributed=True), *case.call(case.cuts[rank]))


def _run(rank: int, ranks: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    answers: list[Any] = []
    for case in torch.load(f"{folder}/cases.pt", weights_only=False):
        try:
            answers.append(of_rank(case, rank))
        except Exception as error:
            raise RuntimeError(f"rank {rank}: {case.text}") from error
    torch.save(answers, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def spawned(run: Any, ranks: int, folder: Path, monkeypatch: Any) -> list[Any]:
    """Runs a function in as many processes; it leaves what it found in a file by its rank."""
    roots = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*roots, *sys.path]))
    torch.multiprocessing.spawn(run, (ranks, str(folder)), nprocs=ranks)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(ranks)]


def over_ranks(cases: Sequence[Case], ranks: int, folder: Path, monkeypatch: Any) -> list[list[Found]]:
    """What each rank found of each case, by case."""
    torch.save(list(cases), folder / "cases.pt")
    return [list(by_rank) for by_rank in zip(*spawned(_run, ranks, folder, monkeypatch), strict=True)]


def compare(case: Case, of_ranks: Sequence[Found], relative: float = 1e-6) -> list[str]:
    """What differs from one process on the whole batch; nothing if all is well."""
    whole = found(compiled(case.text), *case.call(slice(None)))
    said = exchange(compiled(case.text).meaning, current_registry())
    wanted = ["all_gather"] * (2 if said.gathered else 0) + ["all_reduce"] * (
        bool(said.reduced) + bool(said.balanced)
    )
    wrong: list[str] = []

    def near(what: str, a: Tensor, b: Tensor) -> None:
        try:
            torch.testing.assert_close(a, b, rtol=relative, atol=1e-4 * relative, equal_nan=True)
        except AssertionError as error:
            wrong.append(f"{case.text}: {what}: {' '.join(str(error).split())}")

    for rank, own in enumerate(of_ranks):
        near(f"total of rank {rank}", own.total, whole.total)
        near(f"values of rank {rank}", own.detail.values, whole.detail.values)
        near(f"counts of rank {rank}", own.detail.counts, whole.detail.counts)
        near(f"sums of rank {rank}", own.detail.sums, whole.detail.sums)
        if own.detail.names != whole.detail.names or own.collectives != wanted:
            wrong.append(f"{case.text}: rank {rank}: {own.detail.names} {own.collectives}")
        for i, (mine, every) in enumerate(zip(own.gradients, whole.gradients, strict=True)):
            # DDP takes the mean over the ranks: a row is in the batch of one rank alone.
            near(f"gradient {i} of rank {rank}", mine / len(of_ranks), every[case.cuts[rank]])
    return wrong
