"""`compile(..., distributed=)`: every rank has the value of the batch of all ranks, and DDP its gradients."""

from __future__ import annotations

import copy
import pickle
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from _every_loss import LAYERS, TRAINED, USES, data, masked, text_of
from over_ranks import Case, compare, compiled, counted_collectives, over_ranks, spawned
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import losslang
from losslang.meaning.ranks import why_not_over_ranks
from losslang.registry import current_registry
from losslang.runtime.explain import names_of_ways

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(sys.platform == "win32", reason="gloo by a file"),
]

# ------------------------------------------------------------ a network under DDP

PROGRAMS = (
    "l1(mask=batch.m)@(pred.d, batch.y) + ce(ignore_index=255)@(pred.s, target)",
    "ce(class_weight=[1, 2, 5], ignore_index=255)@(pred.s, target) + mse@(pred.d, batch.y)",
    "tversky(softmax, alpha=0.3, beta=0.7, ignore_index=255)@(pred.s, target) + l1(mask=batch.m)@(pred.d, batch.y) + 0.5",
    "(dice(softmax, batch=true, ignore_index=255) + ce(ignore_index=255))@(pred.s, target)",
    "tversky(softmax, batch=true, alpha=0.3, ignore_index=255, background=false)@(pred.s, target)",
    "infonce@(pred.a, pred.b) + mnrl(scale=exp(pred.t), symmetric=true)@(pred.a, pred.b)",
    "ce(ignore_index=255, reduction=sum)@(pred.s, target) + 1e-3*sqrt(mse@(pred.d, batch.y))",
    "balance((dice(softmax, batch=true, ignore_index=255) + ce(ignore_index=255))@(pred.s, target), "
    "l1(mask=batch.m)@(pred.d, batch.y), infonce@(pred.a, pred.b))",
    "ce(ignore_index=255)@(pred.s, target) + "
    "gradmatch(ce(ignore_index=255)@(pred.s, target), mse@(pred.d, batch.y), wrt=batch.w)*mse@(pred.d, batch.y)",
)
N = 8
CUTS = {
    2: (slice(0, 6), slice(6, 8)),
    4: (slice(0, 3), slice(3, 3), slice(3, 6), slice(6, 8)),
}
"""Unequal parts, of four ranks one is empty; the last has nothing that counts."""


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.s, self.d = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 3, 1), nn.Conv2d(4, 1, 1)
        self.a, self.b, self.t = nn.Linear(16, 3), nn.Linear(16, 3), nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.body(x).relu()
        rows = features.mean(1).flatten(1)
        found = {"s": self.s(features), "d": self.d(features), "a": self.a(rows), "b": self.b(rows)}
        return {**found, "t": self.t + 0.0}


def _batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r = torch.Generator().manual_seed(5)
    x, y = torch.randn(N, 2, 4, 4, generator=r).double(), torch.randn(N, 1, 4, 4, generator=r).double()
    labels = torch.randint(3, (N, 4, 4), generator=r)
    m = torch.rand(N, 4, 4, generator=r) > 0.3
    labels[-2:], m[-2:] = 255, False
    return x, labels, y, m


def _model() -> nn.Module:
    torch.manual_seed(0)
    return Heads().double()


def _gradients(model: nn.Module, loss: losslang.Loss, rows: slice) -> tuple[list[Tensor], losslang.Detail]:
    x, labels, y, m = (part[rows] for part in _batch())
    pred = model(x)
    shared = next(p for name, p in model.named_parameters() if name.endswith("body.weight"))
    # Heads that the program leaves out have a gradient of 0.
    unused = sum(0.0 * head.sum() for head in pred.values())
    (loss(pred, labels, y=y, m=m, w=shared) + unused).backward()
    out = loss.detail({name: head.detach() for name, head in pred.items()}, labels, y=y, m=m, w=shared)
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None], out


def _under_ddp(rank: int, ranks: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    found: list[Any] = []
    for text in PROGRAMS:
        loss = losslang.compile(text, distributed=True if ranks == 2 else dist.group.WORLD)
        found.append(_gradients(DistributedDataParallel(_model()), loss, CUTS[ranks][rank]))
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("ranks", [2, 4])
def test_gradients_of_ranks_are_those_of_one_process(ranks: int, tmp_path: Path, monkeypatch: Any) -> None:
    of_ranks = spawned(_under_ddp, ranks, tmp_path, monkeypatch)
    for index, text in enumerate(PROGRAMS):
        wanted, whole = _gradients(_model(), compiled(text), slice(None))
        for gradients, out in (found[index] for found in of_ranks):
            assert len(gradients) == len(wanted)  # every head has one, also where nothing counts
            for found, grad in zip(gradients, wanted, strict=True):
                torch.testing.assert_close(found, grad, rtol=1e-6, atol=1e-12)
            assert out.names == whole.names
            torch.testing.assert_close(out.values, whole.values)


@pytest.fixture
def alone() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=0, world_size=1)
        yield
        dist.destroy_process_group()


def test_one_rank_is_no_group_to_the_bit(alone: None) -> None:
    for text in PROGRAMS:
        calls = counted_collectives()
        found, _ = _gradients(_model(), losslang.compile(text, distributed=True), slice(None))
        wanted, _ = _gradients(_model(), losslang.compile(text), slice(None))
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
        assert not calls


# ------------------------------------------------------------ every loss, and drawn programs


def _cases_of_every_loss() -> list[Case]:
    found: list[Case] = []
    for name, use in USES:
        call = data(name, use)
        for option in ("", "batch=true", "mask=batch.seen"):
            text = text_of(name, use, *[option] * bool(option))
            if any(d.code.startswith("E") for d in losslang.check(text)) or _refused(text):
                continue
            pred, target, batch = call
            if "mask" in option:
                batch = {**batch, "seen": masked(name, use, call, "sample")}
            found.append(Case(text, pred, target, batch, (slice(0, 1), slice(1, len(pred))), tuple(LAYERS)))
    return found


def _refused(text: str) -> str:
    return why_not_over_ranks(compiled(text).meaning.terms[0], current_registry())


def test_every_loss_over_two_ranks_is_that_of_one_process(tmp_path: Path, monkeypatch: Any) -> None:
    cases = _cases_of_every_loss()
    assert len(cases) > 300
    answers = over_ranks(cases, 2, tmp_path, monkeypatch)
    wrong = [line for case, found in zip(cases, answers, strict=True) for line in compare(case, found)]
    assert not wrong, "\n".join(wrong[:20])


def test_what_of_the_registry_has_no_value_over_ranks() -> None:
    assert {name for name in TRAINED if _refused(text_of(name, *_first(name)))} == {
        "balanced_bce",
        "ghm_c",
        "ghm_r",
    }


def _first(name: str) -> list[str]:
    return [use for own, use in USES if own == name][:1]


R = torch.Generator().manual_seed(11)
C, H, W, D = 4, 3, 2, 5


def _whole_batch() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    def real(*shape: int) -> Tensor:
        return torch.randn(shape, generator=R, dtype=torch.float64)

    pred = {"s": real(N, C, H, W), "d": real(N, C, H, W), "a": real(N, D), "b": real(N, D)}
    labels = torch.randint(C, (N, H, W), generator=R)
    labels[2], labels[6:] = 255, 255
    pred |= {"levels": [real(N, C, 2, 2), real(N, C, 1, 1)], "rows": [real(N, D), real(N, D)]}
    target = {"all": labels, "levels": [labels[:, :2], labels[:, :1, :1]]}
    batch = {
        "rows": [real(N, D), real(N, D)],
        "y": real(N, C, H, W),
        "m": torch.rand(N, H, W, generator=R) > 0.4,
        "w": torch.rand(N, H, W, generator=R, dtype=torch.float64),
        "k": torch.randint(3, (N,), generator=R),
        "some": torch.arange(N) != 4,
    }
    return pred, target, batch


KINDS = (
    "ce(ignore_index=255)@(pred.s, target.all)",
    "ce(ignore_index=255, class_weight=[1, 2, 0.5, 4])@(pred.s, target.all)",
    "ce(ignore_index=255, weight=batch.w, reduction=wmean)@(pred.s, target.all)",
    "ce(ignore_index=255, reduction=sum)@(pred.s, target.all)",
    "focal(softmax, ignore_index=255, reduction=batchmean)@(pred.s, target.all)",
    "ce(ignore_index=255, reduction=mean_of_means)@(pred.s, target.all)",
    "ce(ignore_index=255, reduction=mean_all, mask=batch.m)@(pred.s, target.all)",
    "dice(softmax, ignore_index=255)@(pred.s, target.all)",
    "dice(softmax, ignore_index=255, batch=true, empty=skip)@(pred.s, target.all)",
    "dice(softmax, ignore_index=255, batch=true, squared=true, class_weight=[1, 2, 3, 4])@(pred.s, target.all)",
    "tversky(softmax, ignore_index=255, batch=true, mask=batch.m, background=false)@(pred.s, target.all)",
    "gdl(softmax, ignore_index=255, batch=true)@(pred.s, target.all)",
    "mcc(softmax, ignore_index=255, batch=true, classes=[1, 2])@(pred.s, target.all)",
    "unified_focal(softmax, ignore_index=255, batch=true, reduction=sum)@(pred.s, target.all)",
    "l1(mask=batch.m)@(pred.d, batch.y)",
    "mse(weight=batch.w)@(pred.d, batch.y)",
    "mse(mask=batch.m, avg_factor=100)@(pred.d, batch.y)",
    "mse(mask=batch.m, avg_factor=max(batch.n, 3))@(pred.d, batch.y)",
    "rmse(mask=batch.m)@(pred.d, batch.y)",
    "sqrt(mse(mask=batch.m)@(pred.d, batch.y))",
    "ce(ignore_index=255)@(pred.s, target.all)*l1@(pred.d, batch.y)",
    "max(l1@(pred.d, batch.y), 0.1)",
    "silog@(exp(pred.d), exp(batch.y))",
    "infonce@(pred.a, pred.b)",
    "infonce(mask=batch.some, temperature=0.2)@(pred.a, pred.b)",
    "infonce(reduction=sum)@(pred.a, pred.b)",
    "supcon@(pred.a, batch.k)",
    "barlow_twins@(pred.a, pred.b)",
    "matryoshka(mnrl, dims=[2, 5])@(pred.a, pred.b)",
    "cosine@(pred.a, pred.b)",
    "kl_normal@(pred.a, pred.b)",
    "each(ce(ignore_index=255), over=[pred.levels, target.levels], weights=halving())",
    "each(dice(softmax, ignore_index=255, batch=true), over=[pred.levels, target.levels])",
    "ce(ignore_index=255, class_weight=balanced)@(pred.s, target.all)",
    "bce(sigmoid, ignore_index=255, pos_weight=balanced)@(pred.s, target.all)",
    "dice(softmax, ignore_index=255, class_weight=complement, batch=true)@(pred.s, target.all)",
    "each(infonce@(pred, target), over=[pred.rows, batch.rows], combine=mean)",
    "ramp(0.5, 1, steps=10)*dice(softmax, ignore_index=255, batch=true)@(pred.s, target.all)",
)
COMBINED = ("{} + 0.5*{} + 2*{}", "uncertainty({}, {}, {})", "gls({}, {}) + {}", "{} + metric({}) + 0.1*{}")


def _drawn(number: int, ranks: int) -> list[Case]:
    r = random.Random(ranks)
    pred, labels, batch = _whole_batch()
    cases: list[Case] = []
    for index in range(number):
        kinds = r.sample(KINDS, 3)
        text = COMBINED[index % len(COMBINED)].format(*kinds)
        ends = sorted(r.choices(range(N + 1), k=ranks - 1))
        cuts = tuple(slice(a, b) for a, b in zip([0, *ends], [*ends, N], strict=True))
        # What a rank hands over as its number is that of its samples.
        counts = {"n": torch.arange(N, dtype=torch.float64)}
        cases.append(Case(text, pred, labels, {**batch, **counts}, cuts, (), ("n",)))
    return cases


@pytest.mark.parametrize(("number", "ranks"), [(40, 2), (24, 4)])
def test_drawn_programs_over_unequal_ranks(number: int, ranks: int, tmp_path: Path, monkeypatch: Any) -> None:
    cases = _drawn(number, ranks)
    answers = over_ranks(cases, ranks, tmp_path, monkeypatch)
    wrong = [line for case, found in zip(cases, answers, strict=True) for line in compare(case, found)]
    assert not wrong, "\n".join(wrong[:20])


def test_large_parts_in_blocks(tmp_path: Path, monkeypatch: Any) -> None:
    pred = torch.randn(3, C, 400, 400, generator=R)
    labels = torch.randint(C, (3, 400, 400), generator=R)
    labels[0, :50] = 255
    cuts = (slice(0, 2), slice(2, 3))
    texts = (
        "ce + dice(ignore_index=255, batch=true)",
        "ce(ignore_index=255, class_weight=balanced) + dice(batch=true)",
        "bce(sigmoid, ignore_index=255) + tversky(batch=true)",
        "mcc(softmax, ignore_index=255, batch=true)",
    )
    cases = [Case(text, pred, labels, {}, cuts) for text in texts]
    answers = over_ranks(cases, 2, tmp_path, monkeypatch)
    wrong = [line for case, found in zip(cases, answers, strict=True) for line in compare(case, found, 1e-5)]
    assert not wrong, "\n".join(wrong)
    ranked = compiled(texts[0])._programs.ranked.total  # pyright: ignore[reportPrivateUsage]
    assert names_of_ways(ranked, (pred, labels, {}, {}, {"ranks": object()}), 0)[-1] == "in blocks"


# ------------------------------------------------------------ torch.compile

GRAPHS = {
    "ce(ignore_index=255, mask=batch.m)@(pred.s, target.all) + dice(softmax)@(pred.s, target.all)": 1,
    "tversky(softmax, ignore_index=255, batch=true)@(pred.s, target.all) + sqrt(mse)@(pred.d, batch.y)": 1,
    # How many rows other ranks have is read before theirs are.
    "infonce@(pred.a, pred.b)": 3,
}
"""Programs with the number of graphs that torch.compile makes of a call."""


def _under_compile(rank: int, ranks: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    pred, labels, batch = _whole_batch()
    answers: list[Any] = []
    for text in GRAPHS:
        loss, graphs = compiled(text, distributed=True), [0]

        def counting(graph: Any, _: Any, graphs: list[int] = graphs) -> Any:
            graphs[0] += 1
            return graph.forward

        def step(pred: Any, labels: Tensor, more: Any, loss: losslang.Loss = loss) -> Tensor:
            return loss(pred, labels, **more)

        case = Case(text, pred, labels, batch, (slice(0, 3), slice(3, N)))
        own, target, more = case.call(case.cuts[rank])
        leaves = [value.requires_grad_() for value in own.values() if isinstance(value, Tensor)]
        found: list[Any] = []
        for run in (torch.compile(step, backend=counting, fullgraph=GRAPHS[text] == 1), step):
            total = run(own, target, more)
            found.append([total.detach(), *torch.autograd.grad(total, leaves, allow_unused=True)])
        torch.testing.assert_close(*found)
        answers.append(graphs[0])
    torch.save(answers, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_torch_compiles_an_all_reduce_in_one_graph(tmp_path: Path, monkeypatch: Any) -> None:
    assert spawned(_under_compile, 2, tmp_path, monkeypatch) == [list(GRAPHS.values())] * 2


# ------------------------------------------------------------ copies, and what is refused


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))])
def test_copies_and_pickles_stay_distributed(copied: Callable[[losslang.Loss], losslang.Loss]) -> None:
    assert copied(losslang.compile("ce", distributed=True)).distributed is True
    assert copied(losslang.compile("ce")).distributed is None


def test_a_process_that_is_no_rank_is_told_so() -> None:
    loss = losslang.compile("mse", distributed=True)
    with pytest.raises(losslang.LossError, match="E570") as caught:
        loss(torch.zeros(3), torch.zeros(3))
    assert "init_process_group" in str(caught.value)
    assert losslang.compile("mse", distributed=False)(torch.zeros(3), torch.zeros(3)) == 0
    loss.distributed = None
    assert loss(torch.zeros(3), torch.zeros(3)) == 0


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        ("ce(reduction=topk)", "ce", "`topk` ranks the values"),
        ("ce(reduction=ohem)", "ce", "`ohem` ranks the values"),
        ("l1(reduction=quantile)", "l1", "`quantile` ranks the values"),
        ("ce(reduction=hard_negative)", "ce", "`hard_negative` ranks the values"),
        ("ce(reduction=logsumexp)", "ce", "neither a sum nor a mean"),
        ("ce + lovasz_softmax(batch=true)", "lovasz_softmax", "ranks the places"),
        ("balanced_bce(sigmoid)", "balanced_bce", "computes its weights from the whole batch"),
        ("ghm_c(sigmoid)", "ghm_c", "remembers"),
        ("dice(softmax, batch=true, weight=batch.w, reduction=wmean)", "dice", "write `class_weight=`"),
        ("pred.loss", "pred.loss", "nothing says what `pred.loss` was divided by"),
        ("l1@(pred - mean(pred), target)", "l1", "`mean(pred)` reads the whole batch"),
    ],
)
def test_what_ranks_cannot_compute_is_refused_by_name(text: str, name: str, why: str) -> None:
    with pytest.raises(losslang.LossError, match="E374") as caught:
        losslang.compile(text, distributed=True)
    assert f"`{name}` cannot be computed over ranks" in str(caught.value)
    assert why in str(caught.value)
