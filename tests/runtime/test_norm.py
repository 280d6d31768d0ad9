"""Denominators handed over: micro-batches add up to one big batch, in value and gradient."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from _every_loss import TRAINED, USES, compiled, data, masked, of_samples, text_of
from torch import Tensor
from torch.nn.functional import one_hot

import losslang
from losslang.meaning.splitting import why_not_counted, why_not_split
from losslang.registry import current_registry

pytestmark = pytest.mark.filterwarnings("ignore::losslang.LossWarning")
R = torch.Generator().manual_seed(3)
N, C, H, W = 9, 4, 5, 3
CUTS = (slice(0, 1), slice(1, 1), slice(1, 3), slice(3, 8), slice(8, N))
"""Unequal micro-batches: the second is empty, the third holds nothing but ignored labels, the last is short."""
PRED = torch.randn(N, C, H, W, generator=R, dtype=torch.float64)
LABELS = torch.randint(C, (N, H, W), generator=R)
LABELS[1:3] = 255
VALUES = torch.randn(N, C, H, W, generator=R, dtype=torch.float64)
VALID = torch.rand(N, H, W, generator=R) > 0.4
VALID[4] = False
WEIGHT = torch.rand(N, H, W, generator=R, dtype=torch.float64)
CLASS = torch.tensor([1.0, 2.0, 0.5, 4.0], dtype=torch.float64)
BATCH = {"m": VALID, "w": WEIGHT, "y": VALUES}
Formula = Callable[[Tensor, Tensor], Tensor]


def rows(value: Any, cut: slice) -> Any:
    return {name: part[cut] for name, part in value.items()} if isinstance(value, dict) else value[cut]


def split(
    loss: losslang.Loss, pred: Any, target: Any, batch: dict[str, Any], cuts: Sequence[slice] = CUTS
) -> Tensor:
    n = sum(loss.count(rows(target, cut), **rows(batch, cut)) for cut in cuts)
    return sum(loss(rows(pred, cut), rows(target, cut), norm=n, **rows(batch, cut)) for cut in cuts)


def gradient(value: Tensor, pred: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(value, pred, retain_graph=True)
    return found


# ------------------------------------------------------------ written by hand


def _over_places(values: Tensor, counted: Tensor, weight: Tensor | None = None) -> Tensor:
    """The mean of values (N, H, W) over what counts, or a weighted one."""
    values = torch.where(counted, values, 0.0)
    if weight is None:
        return values.sum() / counted.sum()
    return (values * weight).sum() / torch.where(counted, weight, 0.0).sum()


def _ce(pred: Tensor) -> Tensor:
    known = LABELS.clamp(max=C - 1)
    return -torch.log_softmax(pred, 1).gather(1, known.unsqueeze(1)).squeeze(1)


def _dice(pred: Tensor, counted: Tensor) -> Tensor:
    p = torch.softmax(pred, 1) * counted.unsqueeze(1)
    t = one_hot(LABELS.clamp(max=C - 1), C).movedim(-1, 1) * counted.unsqueeze(1)
    both, either = (p * t).sum((2, 3)), p.sum((2, 3)) + t.sum((2, 3))
    return (1 - (2 * both + 1) / (either + 1))[counted.flatten(1).any(1)].mean()


def _bce(pred: Tensor) -> Tensor:
    t = one_hot(LABELS.clamp(max=C - 1), C).movedim(-1, 1).double()
    return torch.nn.functional.binary_cross_entropy_with_logits(pred, t, reduction="none")


SEEN = LABELS != 255
ALL = torch.ones_like(SEEN)
KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "ce(ignore_index=255)": lambda x: _over_places(_ce(x), SEEN),
    "ce(ignore_index=255, mask=batch.m)": lambda x: _over_places(_ce(x), SEEN & VALID),
    "ce(ignore_index=255, class_weight=[1, 2, 0.5, 4])": lambda x: _over_places(
        _ce(x), SEEN, CLASS[LABELS.clamp(max=C - 1)]
    ),
    "ce(ignore_index=255, weight=batch.w, reduction=wmean)": lambda x: _over_places(_ce(x), SEEN, WEIGHT),
    "batch.w*ce(ignore_index=255)": lambda x: _over_places(WEIGHT * _ce(x), SEEN),
    "ce(ignore_index=255, reduction=batchmean)": lambda x: (
        (_ce(x) * SEEN).sum() / SEEN.flatten(1).any(1).sum()
    ),
    "ce(ignore_index=255, reduction=mean_of_means)": lambda x: torch.stack(
        [_ce(x)[i][SEEN[i]].mean() for i in range(N) if SEEN[i].any()]
    ).mean(),
    "ce(ignore_index=255, reduction=sum)": lambda x: (_ce(x) * SEEN).sum(),
    "bce(sigmoid, ignore_index=255)": lambda x: _bce(x).mean(1)[SEEN].mean(),
    "bce(sigmoid, ignore_index=255, mask=batch.m)": lambda x: _bce(x).mean(1)[SEEN & VALID].mean(),
    "dice(softmax, ignore_index=255, smooth=1)": lambda x: _dice(x, SEEN),
    "dice(softmax, ignore_index=255, smooth=1, mask=batch.m)": lambda x: _dice(x, SEEN & VALID),
    "(1 - 2*dice(softmax, ignore_index=255, smooth=1))": lambda x: 1 - 2 * _dice(x, SEEN),
    "l1@(pred, batch.y)": lambda x: (x - VALUES).abs().mean(),
    "l1(mask=batch.m)@(pred, batch.y)": lambda x: (x - VALUES).abs().mean(1)[VALID].mean(),
    "mse(weight=batch.w)@(pred, batch.y)": lambda x: ((x - VALUES) ** 2 * WEIGHT.unsqueeze(1)).mean(),
    "mse(mask=batch.m, avg_factor=100)@(pred, batch.y)": lambda x: (
        ((x - VALUES) ** 2 * VALID.unsqueeze(1)).sum() / 100
    ),
    "huber(reduction=sum)@(pred, batch.y)": lambda x: torch.nn.functional.huber_loss(
        x, VALUES, reduction="sum"
    ),
    "0.25": lambda x: x.new_tensor(0.25),
}


def _drawn(seed: int) -> tuple[str, Formula]:
    r = random.Random(seed)
    kinds = r.sample(sorted(KINDS), 3)
    weights = [r.choice([1, 0.5, 3, 1e-2]) for _ in kinds]

    def by_hand(x: Tensor) -> Tensor:
        return sum((w * KINDS[kind](x) for w, kind in zip(weights, kinds, strict=True)), x.new_zeros(()))

    return " + ".join(f"{w}*{kind}" for w, kind in zip(weights, kinds, strict=True)), by_hand


@pytest.mark.parametrize("seed", range(30))
def test_micro_batches_of_a_drawn_program_add_up_to_what_is_written_by_hand(seed: int) -> None:
    text, by_hand = _drawn(seed)
    pred = PRED.clone().requires_grad_()
    loss, wanted = compiled(text), by_hand(pred)
    found = split(loss, pred, LABELS, BATCH)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(gradient(found, pred), gradient(wanted, pred), rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(loss(pred, LABELS, **BATCH), wanted, rtol=1e-9, atol=1e-11)


SPLIT_USES = [
    (name, use)
    for name, use in USES
    if not why_not_split(compiled(text_of(name, use)).meaning.terms[0], current_registry())
]


@pytest.mark.parametrize("rank", ["", "sample", "place"])
@pytest.mark.parametrize(("name", "use"), SPLIT_USES)
def test_every_loss_that_can_be_split_adds_up(name: str, use: str, rank: str) -> None:
    pred, target, batch = data(name, use)
    text = text_of(name, use)
    if rank:
        if "mask=" in text or losslang.check(text_of(name, use, "mask=batch.seen")):
            pytest.skip("takes no mask")
        text, batch = (
            text_of(name, use, "mask=batch.seen"),
            {**batch, "seen": masked(name, use, (pred, target, batch), rank)},
        )
    loss, cuts = compiled(text), (slice(0, 1), slice(1, len(pred)))
    pred = pred.clone().requires_grad_()
    parts = [(pred[cut], None if target is None else target[cut], of_samples(batch, cut)) for cut in cuts]
    if why_not_counted(loss.meaning.terms[0], current_registry()):
        n = sum(loss.detail(x, y, **more).counts for x, y, more in parts)
    else:
        n = sum(loss.count(y, **more) for _, y, more in parts)
    found = sum(loss(x, y, norm=n, **more) for x, y, more in parts)
    whole = loss(pred, target, **batch)
    torch.testing.assert_close(found, whole, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(gradient(found, pred), gradient(whole, pred), rtol=1e-8, atol=1e-11)


def test_most_losses_can_be_split() -> None:
    left = set(TRAINED) - {name for name, _ in SPLIT_USES}
    assert left == {
        "balanced_bce", "barlow_twins", "circle", "ghm_c", "ghm_r", "infonce", "mnrl", "multi_similarity",
        "npairs", "relmse", "rmse", "supcon", "vicreg",
    }  # fmt: skip


# ------------------------------------------------------------ the count


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ce(ignore_index=255)", [SEEN.sum()]),
        ("ce(ignore_index=255) + dice", [SEEN.sum(), N - 2]),
        ("bce(sigmoid)@(pred, batch.y)", [N * C * H * W]),
        ("l1(mask=batch.m)@(pred, batch.y)", [VALID.sum() * C]),
        ("ce(ignore_index=255, reduction=sum) + ce + 0.1", [0, SEEN.sum(), 1]),
        ("l1(avg_factor=batch.n)@(pred, batch.y) + ce", [0, N * H * W]),
        ("metric(dice(softmax)) + ce", [N * H * W]),
        ("0*dice(softmax) + ce", [N * H * W]),
    ],
)
def test_the_count_is_in_units_of_the_target(text: str, wanted: list[Any]) -> None:
    found = compiled(text).count(LABELS, **BATCH)
    assert found.dtype == torch.float64
    assert found.tolist() == [float(n) for n in wanted]


def test_a_prediction_of_the_batch_is_counted() -> None:
    loss = compiled("bce(sigmoid, pred=batch.d_fake, target=1)")
    assert loss.count(d_fake=torch.randn(5, 1)).tolist() == [5]


@pytest.mark.parametrize(
    "text",
    ["bce(sigmoid, target=1)", "triplet@(pred.a, pred.p, pred.n)", "l1(mask=pred.m)@(pred.x, target)"],
)
def test_a_denominator_of_the_prediction_alone_is_refused_by_its_term(text: str) -> None:
    with pytest.raises(losslang.LossError, match="E370") as caught:
        compiled(text).count(torch.zeros(3))
    assert f"the denominator of `{text.partition('(')[0].partition('@')[0]}`" in str(caught.value)


def test_labels_of_a_language_model_are_counted_in_their_places() -> None:
    logits = torch.randn(3, 5, 7, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(7, (3, 5))
    labels[0, 2:] = -100
    loss = compiled("ce(channels=last)")
    assert loss.count(labels).tolist() == [12]
    parts = [loss(logits[i : i + 1], labels[i : i + 1], norm=12) for i in range(3)]
    torch.testing.assert_close(sum(parts), loss(logits, labels))


# ------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ce(reduction=topk)", "`topk` ranks the values"),
        ("dice(softmax, batch=true)", "one region of all samples"),
        ("sqrt(mse)", "no multiple of one mean"),
        ("ce*dice", "no multiple of one mean"),
        ("rmse", "one number of the whole batch"),
        ("ce(class_weight=balanced)", "computed from the whole batch"),
        ("infonce@(pred.a, pred.b)", "compares the samples"),
        ("pred.loss", "nothing says what `pred.loss` was divided by"),
        ("1 - sse", "counts once in each part"),
        ("l1@(pred - mean(pred), target)", "`mean(pred)` reads the whole batch"),
        ("l1@(pred - mean(pred, dim=[0, 1]), target)", "reads the whole batch"),
        ("l1@(pred - mean(pred, dim=-2), target)", "may read the whole batch: count its axes from 0"),
        ("ce(reduction=hard_negative)", "`hard_negative` ranks the values"),
    ],
)
def test_a_term_that_cannot_be_split_is_named_with_the_reason(text: str, why: str) -> None:
    loss = compiled(text)
    for call in (lambda: loss(PRED, LABELS, norm=3), lambda: loss.count(LABELS)):
        with pytest.raises(losslang.LossError, match="E371") as caught:
            call()
        assert why in str(caught.value)
    assert "cannot be split over micro-batches: " in losslang.explain(text)
    assert why in losslang.explain(text)


def test_explain_says_nothing_of_what_can_be_split() -> None:
    assert "micro-batches" not in losslang.explain("ce + 0.1*dice + metric(rmse) + 1e-4*l2_reg")


def test_all_terms_that_cannot_be_split_are_named_at_once() -> None:
    with pytest.raises(losslang.LossError) as caught:
        compiled("ce(reduction=topk) + l1@(pred, batch.y) + rmse@(pred, batch.y)").count(LABELS, **BATCH)
    assert [d.code for d in caught.value.diagnostics] == ["E371", "E371"]


def test_one_number_is_taken_where_the_plan_has_one_denominator() -> None:
    n = SEEN.sum()
    shared = compiled("ce(ignore_index=255) + 0.5*focal(softmax) + l1(reduction=sum)@(pred, batch.y)")
    found = sum(shared(rows(PRED, c), rows(LABELS, c), norm=n, **rows(BATCH, c)) for c in CUTS)
    torch.testing.assert_close(found, shared(PRED, LABELS, **BATCH))
    for text, pair in (
        ("ce(ignore_index=255) + l1@(pred, batch.y)", "`ce` and `l1`"),
        ("ce + l1(mask=batch.m)@(pred, batch.y)", "`ce` and `l1`"),
        ("ce + focal(softmax) + 0.1", "`ce` and `focal`"),
        ("ce + 0.1*l1(reduction=sum)@(pred, batch.y) + 0.1", "`ce` and `0.1`"),
        # Without an ignored label the counts are equal here: by chance.
        ("ce(ignore_index=7) + focal(softmax, ignore_index=none)", "`ce` and `focal`"),
    ):
        with pytest.raises(losslang.LossError, match="E372") as caught:
            compiled(text)(PRED, LABELS.clamp(max=3), norm=n, **BATCH)
        assert pair in str(caught.value)


@pytest.mark.parametrize("norm", [[1.0, 2.0, 3.0], torch.ones(3), torch.ones(2, 2), "five"])
def test_a_norm_that_does_not_fit_is_refused(norm: Any) -> None:
    with pytest.raises(losslang.LossError, match="E373") as caught:
        compiled("ce + dice")(PRED, LABELS.clamp(max=3), norm=norm)
    assert "2 numbers, for ce, dice" in str(caught.value)


def test_a_sum_takes_no_number() -> None:
    with pytest.raises(losslang.LossError, match="E373"):
        compiled("mse(reduction=sum)")(VALUES, PRED, norm=3)


# ------------------------------------------------------------ parameters, detail, terms, tracing


def test_what_is_no_mean_over_samples_counts_one_a_call() -> None:
    layer = torch.nn.Linear(3, 2).double()
    loss = compiled("mse + 0.1*l2_reg + 0.5", params=layer)
    x, y = torch.randn(7, 3, dtype=torch.float64), torch.randn(7, 2, dtype=torch.float64)
    whole = loss(layer(x), y)
    wanted = torch.autograd.grad(whole, layer.weight)[0]
    cuts = (slice(0, 4), slice(4, 4), slice(4, 7))
    n = sum(loss.count(y[cut]) for cut in cuts)
    assert n.tolist() == [14, 3, 3]
    found = sum(loss(layer(x[cut]), y[cut], norm=n) for cut in cuts)
    torch.testing.assert_close(found, whole)
    torch.testing.assert_close(torch.autograd.grad(found, layer.weight)[0], wanted)


def test_details_of_parts_add_up() -> None:
    loss = compiled("2*ce(ignore_index=255) + batch.s*dice + metric(l1@(pred, batch.y))")
    batch = {**BATCH, "s": torch.full((N,), 0.3, dtype=torch.float64)}

    def of(cut: slice, **more: Any) -> losslang.Detail:
        own = {**rows(BATCH, cut), "s": batch["s"][0]}
        return loss.detail(rows(PRED, cut), rows(LABELS, cut), **own, **more)

    n = sum(loss.count(rows(LABELS, cut), s=0.3) for cut in CUTS)
    whole, parts = of(slice(None)), [of(cut, norm=n) for cut in CUTS]
    torch.testing.assert_close(sum(p.values for p in parts)[:2], whole.values[:2])
    torch.testing.assert_close(sum(p.contributions for p in parts), whole.contributions)
    torch.testing.assert_close(sum(p.sums for p in parts), whole.sums)
    torch.testing.assert_close(sum(p.counts for p in parts), whole.counts)
    assert all(torch.equal(p.weights, whole.weights) for p in parts)
    for p in parts:
        torch.testing.assert_close(p.contributions.sum(), p.total)
    terms = [loss.terms(rows(PRED, c), rows(LABELS, c), norm=n, **rows(BATCH, c), s=0.3) for c in CUTS]
    torch.testing.assert_close(sum(sum(t.values()) for t in terms), whole.total)


def test_nothing_in_the_whole_step_is_0() -> None:
    pred, loss = PRED.clone().requires_grad_(), compiled("ce(ignore_index=255) + dice")
    labels = torch.full_like(LABELS, 255)
    n = loss.count(labels)
    assert n.tolist() == [0, 0]
    value = loss(pred, labels, norm=n)
    value.backward()
    assert value == 0
    assert pred.grad is not None
    assert not pred.grad.any()


def test_torch_compiles_count_and_norm() -> None:
    loss = compiled("ce(ignore_index=255) + 0.5*dice + l1(mask=batch.m)@(pred, batch.y)")

    def step(pred: Tensor, labels: Tensor, m: Tensor, y: Tensor) -> Tensor:
        return loss(pred, labels, norm=2 * loss.count(labels, m=m, y=y), m=m, y=y)

    # The first call of all is compiled.
    found = torch.compile(step, fullgraph=True, backend="eager")(PRED, LABELS, VALID, VALUES)
    wanted = step(PRED, LABELS, VALID, VALUES)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(wanted, loss(PRED, LABELS, **BATCH) / 2)


def test_a_large_batch_in_blocks_is_the_same() -> None:
    pred, labels = torch.randn(4, 4, 128, 128, dtype=torch.float64), torch.randint(4, (4, 128, 128))
    loss = compiled("ce + dice")
    found = loss(pred, labels, norm=loss.count(labels) * 2)
    torch.testing.assert_close(found * 2, loss(pred, labels))


def test_a_keyword_named_norm_is_still_refused_by_check() -> None:
    assert [d.code for d in losslang.check("mse@(pred, batch.norm)")] == ["E312"]


# ------------------------------------------------------------ the numbers that are handed over


@pytest.mark.parametrize("as_given", [list, torch.tensor, lambda n: torch.tensor(n).float().unbind()])
@pytest.mark.parametrize(
    ("numbers", "code", "said"),
    [
        ([-1.0, 9.0], "E375", "the `norm` of `ce` is -1"),
        ([float("nan"), 9.0], "E375", "the `norm` of `ce` is nan"),
        ([135.0, float("inf")], "E375", "the `norm` of `dice` is inf"),
        ([135.0, 0.0], "E376", "the `norm` of `dice` is 0, and this call counts 9"),
    ],
)
def test_a_number_that_is_no_count_is_refused_in_every_call(
    as_given: Callable[[Any], Any], numbers: list[float], code: str, said: str
) -> None:
    loss, labels = compiled("ce + dice"), LABELS.clamp(max=3)
    for _ in range(3):
        loss(PRED, labels, norm=[135, 9])
        with pytest.raises(losslang.LossError, match=code) as caught:
            loss(PRED, labels, norm=as_given(numbers))
        assert said in str(caught.value)


@pytest.mark.parametrize(
    "norm", [torch.ones(2, requires_grad=True), [1.0, torch.ones((), requires_grad=True)]]
)
def test_a_count_with_a_gradient_is_refused(norm: Any) -> None:
    with pytest.raises(losslang.LossError, match="E377"):
        compiled("ce + dice")(PRED, LABELS.clamp(max=3), norm=norm)


@pytest.mark.parametrize("norm", [True, [True, 1.0], [None, 3.0], [torch.ones(1), 3.0], torch.ones(2) * 1j])
def test_what_is_no_number_is_no_norm(norm: Any) -> None:
    with pytest.raises(losslang.LossError, match="E373"):
        compiled("ce + dice")(PRED, LABELS.clamp(max=3), norm=norm)


def test_the_entry_of_a_term_that_needs_none_is_not_read() -> None:
    loss = compiled("ce + l1(reduction=sum)@(pred, batch.y)")
    found = loss(PRED, LABELS.clamp(max=3), y=VALUES, norm=[135, float("nan")])
    torch.testing.assert_close(found, loss(PRED, LABELS.clamp(max=3), y=VALUES))


def test_a_zero_that_cannot_be_looked_at_shows() -> None:
    loss, labels = compiled("ce(ignore_index=255)"), LABELS.clamp(max=3)

    def step(pred: Tensor, labels: Tensor, n: Tensor) -> Tensor:
        return loss(pred, labels, norm=n)

    run = torch.compile(step, fullgraph=True, backend="eager")
    assert run(PRED, labels, torch.zeros(1)) == torch.inf
    # A window in which all is masked is 0.
    pred = PRED.clone().requires_grad_()
    value = run(pred, torch.full_like(labels, 255), torch.zeros(1))
    assert value == 0
    assert not gradient(value, pred).any()


def test_elementwise_functions_of_two_arguments_do_not_mix_samples() -> None:
    loss = compiled("l1@(max(pred, 0), batch.y)")
    torch.testing.assert_close(split(loss, PRED, LABELS, BATCH), loss(PRED, LABELS, **BATCH))


# ------------------------------------------------------------ each, and matryoshka

SIZES = (4, 2, 1)
LEVELS = [torch.randn(N, C, s, s, generator=R, dtype=torch.float64) for s in SIZES]
LEVEL_LABELS = [torch.randint(C, (N, s, s), generator=R) for s in SIZES]
for _own, _ignored in zip(LEVEL_LABELS, (slice(2, 3), slice(4, 9), slice(0, 1)), strict=True):
    _own[_ignored] = 255
EMBEDDED = [torch.randn(N, 6, generator=R, dtype=torch.float64) for _ in range(2)]


def cut_lists(value: Any, cut: slice) -> Any:
    return [part[cut] for part in value] if isinstance(value, list) else rows(value, cut)


@pytest.mark.parametrize(
    ("text", "pred", "target", "wanted"),
    [
        # Each element counts by itself, where it has a target of its own.
        ("each(ce(ignore_index=255))", LEVELS, LEVEL_LABELS, [8 * 16, 4 * 4, 8]),
        ("each(ce(ignore_index=255) + dice, weights=halving())", LEVELS, LEVEL_LABELS, [8 * 16, 4 * 4, 8, 8, 4, 8]),
        ("each(ce(ignore_index=255), combine=mean, weights=[1, 0, 2]) + 0.1", LEVELS, LEVEL_LABELS, [8 * 16, 8, len(CUTS)]),
        ("2*each(1 - 0.5*dice(softmax, ignore_index=255))", LEVELS, LEVEL_LABELS, [8, 4, 8]),
        ("each(ce(ignore_index=255, reduction=sum))", LEVELS, LEVEL_LABELS, [0]),
        # Elements with one target share its count.
        ("each(ce(ignore_index=255), over=pred)", [PRED, 2 * PRED], LABELS, [7 * 15]),
        ("each(l1, over=[pred.x, pred.y])", {"x": LEVELS[:1], "y": LEVELS[:1]}, None, None),
        ("matryoshka(cosine, dims=[2, 6])@(pred, target)", EMBEDDED[0], EMBEDDED[1], [N]),
    ],
)  # fmt: skip
def test_elements_count_by_themselves_or_share_by_the_plan(
    text: str, pred: Any, target: Any, wanted: list[int] | None
) -> None:
    loss = compiled(text)
    if wanted is None:
        with pytest.raises(losslang.LossError, match=r"E37[01]"):
            loss.count(target)
        return
    leaves = (
        [part.clone().requires_grad_() for part in pred]
        if isinstance(pred, list)
        else [pred.clone().requires_grad_()]
    )
    pred = leaves if isinstance(pred, list) else leaves[0]
    n = sum(loss.count(cut_lists(target, cut)) for cut in CUTS)
    assert n.tolist() == [float(number) for number in wanted]
    parts = [loss(cut_lists(pred, cut), cut_lists(target, cut), norm=n) for cut in CUTS]
    whole = loss(pred, target)
    torch.testing.assert_close(sum(parts), whole)
    for a, b in zip(
        *(torch.autograd.grad(v, leaves, allow_unused=True) for v in (sum(parts), whole)), strict=True
    ):
        torch.testing.assert_close(a, b)
    details = [loss.detail(cut_lists(pred, cut), cut_lists(target, cut), norm=n).values for cut in CUTS]
    torch.testing.assert_close(sum(details), loss.detail(pred, target).values)


@pytest.mark.parametrize(
    ("text", "code", "why"),
    [
        ("each(ce, combine=min, per=place)", "E371", "`combine` takes the best of the values"),
        ("each(ce, over=pred, resize=nearest)", "E371", "take the size of each prediction"),
        ("each(bce(sigmoid, target=1), over=pred)", "E371", "no tensor but each prediction"),
        ("each(ce(reduction=topk))", "E371", "`topk` ranks the values"),
        ("each(ce*dice)", "E371", "no multiple of one mean"),
    ],
)
def test_elements_that_cannot_be_split(text: str, code: str, why: str) -> None:
    with pytest.raises(losslang.LossError, match=code) as caught:
        compiled(text).count(LEVEL_LABELS)
    assert why in str(caught.value)


def test_one_number_and_a_vector_of_another_length_name_the_elements() -> None:
    loss = compiled("each(ce(ignore_index=255))")
    with pytest.raises(losslang.LossError, match="E372") as caught:
        loss(LEVELS, LEVEL_LABELS, norm=9)
    assert "`ce[0]` and `ce[1]`" in str(caught.value)
    with pytest.raises(losslang.LossError, match="E373") as caught:
        loss(LEVELS, LEVEL_LABELS, norm=[9, 9])
    assert "3 numbers, for ce[0], ce[1], ce[2]" in str(caught.value)
    shared = compiled("each(ce(ignore_index=255), over=pred)")
    found = sum(shared([rows(PRED, c)] * 2, rows(LABELS, c), norm=7 * 15) for c in CUTS)
    torch.testing.assert_close(found, shared([PRED] * 2, LABELS))
