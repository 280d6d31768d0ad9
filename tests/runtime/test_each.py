"""`each` and `matryoshka`, each against torch written by hand in float64: value and gradient."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import losslang
from losslang.diagnostics.errors import LossError


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(3)


def real(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def agrees(text: str, pred: Any, target: Any, wanted: Tensor, leaves: Sequence[Tensor], **batch: Any) -> None:
    """Holds value and gradient of a program to those of `wanted`, in the first call and a later one."""
    loss = losslang.compile(text)
    by_hand = gradients(wanted, leaves)
    for _ in range(3):
        found = loss(pred, target, **batch)
        torch.testing.assert_close(found, wanted.detach(), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(gradients(found, leaves), by_hand, rtol=1e-8, atol=1e-10)


def gradients(total: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(total, leaves, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, leaves, strict=True)]


LEVELS = 3
PREDS = [torch.randn(2, 3, 8 >> i, 8 >> i, dtype=torch.float64, requires_grad=True) for i in range(LEVELS)]
LABELS = [torch.randint(3, (2, 8 >> i, 8 >> i)) for i in range(LEVELS)]


def weighted(weights: Sequence[float]) -> Tensor:
    parts = [w * F.cross_entropy(p, t) for w, p, t in zip(weights, PREDS, LABELS, strict=False)]
    return torch.stack(parts).sum()


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ("", [1, 1, 1]),
        (", weights=[1, 0.5, 0.2]", [1, 0.5, 0.2]),
        (", weights=[1, 0, 2]", [1, 0, 2]),
        (", weights=halving()", [1, 1 / 2, 1 / 4]),
        (", weights=halving(drop_last=1)", [1, 1 / 2]),
        (", weights=halving(normalize=true)", [4 / 7, 2 / 7, 1 / 7]),
        (", weights=halving(drop_last=1, normalize=true)", [2 / 3, 1 / 3]),
        (", weights=decay(0.8)", [0.64, 0.8, 1]),
        (", combine=mean", [1 / 3, 1 / 3, 1 / 3]),
        (", weights=[3, 6, 9], combine=mean", [1, 2, 3]),
        (", weights=halving(drop_last=1), combine=mean", [1 / 2, 1 / 4]),
    ],
)
def test_weights_and_sums(options: str, weights: list[float]) -> None:
    agrees(f"each(ce, over=[pred, target]{options})", PREDS, LABELS, weighted(weights), PREDS)


def test_a_list_is_a_tuple_a_mapping_or_a_record() -> None:
    class Levels(NamedTuple):
        p3: Tensor
        p4: Tensor

    wanted = F.l1_loss(PREDS[0], PREDS[0].detach() + 1) + F.l1_loss(PREDS[1], PREDS[1].detach() + 2)
    pair = PREDS[:2], [PREDS[0].detach() + 1, PREDS[1].detach() + 2]
    agrees("each(l1)", tuple(pair[0]), tuple(pair[1]), wanted, pair[0])
    agrees("each(l1)", Levels(*pair[0]), Levels(*pair[1]), wanted, pair[0])
    by_name = {"p3": pair[0][0], "p4": pair[0][1]}, {"p4": pair[1][1], "p3": pair[1][0]}
    agrees("each(l1)", *by_name, wanted, pair[0])
    agrees("each(l1)@levels", {"levels": by_name[0]}, {"levels": by_name[1]}, wanted, pair[0])
    agrees("each(l1@a)", [{"a": p} for p in pair[0]], [{"a": t} for t in pair[1]], wanted, pair[0])


def test_the_target_stays_whole() -> None:
    preds, target = [real(4, 3), real(4, 3)], torch.randn(4, 3, dtype=torch.float64)
    wanted = F.mse_loss(preds[0], target) + F.mse_loss(preds[1], target)
    agrees("each(mse, over=pred)", preds, target, wanted, preds)
    agrees("each(mse@(pred, target), over=pred.aux)", {"aux": preds}, target, wanted, preds)
    agrees("each(mse(target=batch.t), over=pred)", preds, None, wanted, preds, t=target)


def test_numbers_that_a_model_returns_add_up() -> None:
    preds = [{"a": real(), "b": real()} for _ in range(3)]
    leaves = [p[k] for p in preds for k in ("a", "b")]
    wanted = sum(p["a"] + 2 * p["b"] for p in preds)
    assert isinstance(wanted, Tensor)
    agrees("each(pred.a + 2*pred.b, over=pred)", preds, None, wanted, leaves)
    assert losslang.compile("each(pred.a + 2*pred.b, over=pred)").detail(preds).names == (
        "pred.i.a",
        "pred.i.b",
    )


def test_keys_are_one_a_term_and_stand_whatever_the_number() -> None:
    loss = losslang.compile("0.5*each(ce + 2*dice) + (ce + dice)@(pred[0], target[0])")
    for number in (1, 2, 3):
        out = loss.detail(PREDS[:number], LABELS[:number])
        assert out.names == ("ce", "dice", "ce_2", "dice_2")
        torch.testing.assert_close(out.contributions.sum(), out.total.detach())
    assert loss.inputs == ("pred[0]", "pred[i]", "target[0]", "target[i]")


def test_arithmetic_around_a_repeat() -> None:
    total = weighted([1, 1, 1])
    agrees("sqrt(each(ce))", PREDS, LABELS, total.sqrt(), PREDS)
    agrees("2*each(ce) - 0.5*each(ce, weights=halving())", PREDS, LABELS, 2 * total - 0.5 * weighted([1, 0.5, 0.25]), PREDS)  # fmt: skip


def test_a_factor_of_the_batch_weighs_inside() -> None:
    weight = torch.rand(2, dtype=torch.float64)
    wanted = sum((weight * (p - 1).abs().mean((1, 2, 3))).mean() for p in PREDS)
    assert isinstance(wanted, Tensor)
    ones = [torch.ones_like(p) for p in PREDS]
    agrees("batch.w*each(l1)", PREDS, ones, wanted, PREDS, w=weight)
    agrees("each(batch.w*l1)", PREDS, ones, wanted, PREDS, w=weight)


def test_a_schedule_is_a_weight() -> None:
    loss = losslang.compile("each(ce, weights=[1, ramp(0, 1, steps=4), 0.5])")
    loss.set_clock(step=1)
    torch.testing.assert_close(loss(PREDS, LABELS), weighted([1, 0.25, 0.5]))


def test_a_zero_in_place_leaves_its_element_out() -> None:
    """A 0 that comes from a name is computed: its head stays in the graph, as DDP needs."""
    losslang.compile("each(ce, weights=[1, 0, 1])")(PREDS, LABELS).backward()
    assert PREDS[1].grad is None
    for pred in PREDS:
        pred.grad = None
    losslang.compile("w = 0; each(ce, weights=[1, w, 1])")(PREDS, LABELS).backward()
    assert PREDS[1].grad is not None
    assert not PREDS[1].grad.any()
    for pred in PREDS:
        pred.grad = None


def test_masks_and_ignored_labels_are_those_of_each_level() -> None:
    labels = [t.clone() for t in LABELS]
    labels[1][0] = 255
    labels[2][:] = 255
    parts = [F.cross_entropy(p, t, ignore_index=255) for p, t in zip(PREDS[:2], labels, strict=False)]
    agrees("each(ce(ignore_index=255))", PREDS, labels, parts[0] + parts[1], PREDS)
    masks = [torch.rand(2, 8 >> i, 8 >> i) > 0.4 for i in range(3)]
    wanted = sum(
        (F.cross_entropy(p, t, reduction="none") * m).sum() / m.sum()
        for p, t, m in zip(PREDS, LABELS, masks, strict=True)
    )
    assert isinstance(wanted, Tensor)
    target = [{"seg": t, "valid": m} for t, m in zip(LABELS, masks, strict=True)]
    agrees("each(ce(target=target.seg, mask=target.valid))", PREDS, target, wanted, PREDS)


# ------------------------------------------------------------------------------- resize


def test_labels_are_resized_by_the_nearest() -> None:
    whole = torch.randint(3, (2, 1, 8, 8))
    small = [F.interpolate(whole.double(), p.shape[2:], mode="nearest")[:, 0].long() for p in PREDS]
    wanted = torch.stack([F.cross_entropy(p, t) for p, t in zip(PREDS, small, strict=True)]).sum()
    agrees("each(ce, over=pred, resize=nearest)", PREDS, whole, wanted, PREDS)
    agrees("each(ce, over=pred, resize=nearest)", PREDS, whole[:, 0], wanted, PREDS)
    odd = real(2, 3, 5, 3)
    wanted = F.cross_entropy(odd, F.interpolate(whole.double(), (5, 3), mode="nearest")[:, 0].long())
    agrees("each(ce, over=pred, resize=nearest)", [odd], whole, wanted, [odd])
    wanted = F.cross_entropy(odd, F.interpolate(whole.double(), (5, 3), mode="nearest")[:, 0].long())
    last = [odd.movedim(1, -1)]
    agrees("each(ce(channels=last), over=pred, resize=nearest)", last, whole[:, 0], wanted, [odd])


def test_floats_are_resized_by_area() -> None:
    whole = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    preds = [*PREDS, real(2, 3, 5, 3)]
    wanted = torch.stack([F.l1_loss(p, F.interpolate(whole, p.shape[2:], mode="area")) for p in preds]).sum()
    agrees("each(l1, over=pred, resize=area)", preds, whole, wanted, preds)


def test_area_of_labels_is_refused() -> None:
    with pytest.raises(LossError, match="resize=nearest"):
        losslang.compile("each(ce, over=pred, resize=area)")(PREDS, LABELS[0])


# ------------------------------------------------------------------------------- the best


def test_the_best_of_each_sample() -> None:
    """SAM: 20*focal + dice of three masks, the best one of each sample."""
    masks, truth = [real(4, 1, 6, 6) for _ in range(3)], (torch.rand(4, 1, 6, 6) > 0.5).double()

    def one(logits: Tensor) -> Tensor:
        p = logits.sigmoid()
        true = torch.where(truth > 0, p, 1 - p)
        focal = (-((1 - true) ** 2) * true.log()).flatten(1).mean(1)
        both = (p + truth).flatten(1).sum(1)
        return 20 * focal + 1 - (2 * (p * truth).flatten(1).sum(1) + 1) / (both + 1)

    wanted = torch.stack(list(map(one, masks))).min(0).values.mean()
    text = "each(20*focal(sigmoid) + dice(smooth=1), over=pred.masks, combine=min, per=sample)"
    agrees(text, {"masks": masks}, truth, wanted, masks)


def test_the_best_of_each_pixel() -> None:
    """Monodepth2: the mean over the channels, the smallest over the views, then the mean of the pixels."""
    views, target = [real(2, 3, 4, 5) for _ in range(2)], torch.randn(2, 3, 4, 5, dtype=torch.float64)
    errors = [(v - target).abs().mean(1) + 0.5 * ((v - target) ** 2).mean(1) for v in views]
    wanted = torch.stack(errors).min(0).values.mean()
    agrees("each(l1 + 0.5*mse, over=pred, combine=min, per=place)", views, target, wanted, views)


def test_the_best_and_the_worst_of_each_element() -> None:
    views, target = [real(2, 3) for _ in range(3)], torch.randn(2, 3, dtype=torch.float64)
    errors = torch.stack([(v - target).abs() for v in views])
    agrees("each(l1, over=pred, combine=min, per=element)", views, target, errors.min(0).values.mean(), views)
    agrees("each(l1, over=pred, combine=max, per=element)", views, target, errors.max(0).values.mean(), views)
    agrees(
        "each(l1(reduction=sum), over=pred, combine=min, per=sample)",
        views,
        target,
        errors.sum(2).min(0).values.sum(),
        views,
    )


def test_what_is_masked_does_not_compete() -> None:
    views, target = [real(2, 3, 4, 4) for _ in range(2)], torch.randn(2, 3, 4, 4, dtype=torch.float64)
    masks = [torch.rand(2, 4, 4) > 0.5 for _ in range(2)]
    with torch.no_grad():
        views[0][0, :, 0, 0] = float("nan")
    masks[0][0, 0, 0] = False
    masks[1][1, 1, 1] = masks[0][1, 1, 1] = False
    errors = [(v - target).abs().nan_to_num(0.0).mean(1) for v in views]
    shown = torch.stack([e.masked_fill(~m, float("inf")) for e, m in zip(errors, masks, strict=True)])
    counts = masks[0] | masks[1]
    wanted = shown.min(0).values[counts].mean()
    each = [{"x": v, "m": m} for v, m in zip(views, masks, strict=True)]
    text = "each(l1(pred=pred.x, mask=pred.m), over=pred, combine=min, per=place)"
    loss = losslang.compile(text)
    for _ in range(2):
        found = loss(each, target)
        torch.testing.assert_close(found, wanted)
        for one, other in zip(gradients(found, views), gradients(wanted, views), strict=True):
            torch.testing.assert_close(one, other.nan_to_num(0.0))


def test_classes_compete_by_place() -> None:
    labels = LABELS[0]
    views = [real(2, 3, 8, 8), real(2, 3, 8, 8)]
    errors = torch.stack([F.cross_entropy(v, labels, reduction="none") for v in views])
    for per in ("place", "element"):
        agrees(f"each(ce, over=pred, combine=min, per={per})", views, labels, errors.min(0).values.mean(), views)  # fmt: skip


def test_candidates_of_different_sizes_are_refused() -> None:
    with pytest.raises(LossError, match="E368"):
        losslang.compile("each(l1, over=pred, combine=min, per=element)")([real(2, 3), real(2, 1)], 0)


# ------------------------------------------------------------------------------- embeddings


def test_matryoshka_cuts_embeddings() -> None:
    a, b = real(6, 16), real(6, 16)

    def mnrl(x: Tensor, y: Tensor) -> Tensor:
        similar = F.normalize(x, dim=1) @ F.normalize(y, dim=1).T
        return F.cross_entropy(20 * similar, torch.arange(6))

    parts = [mnrl(a[:, :d], b[:, :d]) for d in (16, 8, 4)]
    pred = {"a": a, "b": b}
    text = "matryoshka(mnrl(scale=20)@(pred.a, pred.b), dims=[16, 8, 4]{})"
    agrees(text.format(""), pred, None, torch.stack(parts).sum(), [a, b])
    wanted = parts[0] + 0.5 * parts[1] + 0.25 * parts[2]
    agrees(text.format(", weights=[1, 0.5, 0.25]"), pred, None, wanted, [a, b])
    with pytest.raises(LossError, match="16 channels"):
        losslang.compile("matryoshka(cosine, dims=[32])")(a, b)


def test_matryoshka_is_read_back_and_set() -> None:
    text = "matryoshka(mnrl(scale=20)@(pred.a, pred.b), dims=[8, 4], weights=[1, ramp(0, 1, steps=2)])"
    loss = losslang.compile(text, overrides={"mnrl.scale": 10})
    plain = losslang.compile(text.replace("20", "10"))
    assert loss.fingerprint == plain.fingerprint
    assert losslang.compile(loss.canonical).fingerprint == plain.fingerprint
    pred = {"a": real(4, 8), "b": real(4, 8)}
    for own in (loss, plain):
        own.set_clock(step=1)
    torch.testing.assert_close(loss(pred), plain(pred))
    cut = losslang.compile(
        "mnrl(scale=10)@(pred.a[:8], pred.b[:8]) + 0.5*mnrl(scale=10)@(pred.a[:4], pred.b[:4])"
    )
    torch.testing.assert_close(loss(pred), cut(pred))


def test_matryoshka_leaves_what_is_no_embedding() -> None:
    a, labels = real(6, 16), torch.randint(3, (6,))
    loss = losslang.compile("supcon")
    wanted = loss(a, labels) + loss(a[:, :4], labels)
    agrees("matryoshka(supcon, dims=[16, 4])", a, labels, wanted, [a])


# ------------------------------------------------------------------------------- as any module


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("each(ce + dice, weights=halving())", LABELS),
        ("each(ce, over=pred, resize=nearest)", LABELS[0]),
        ("each(ce, over=pred, resize=nearest, combine=min, per=sample)", LABELS[0]),
    ],
)
def test_copies_pickles_compilers_and_exports(text: str, target: Any) -> None:
    loss = losslang.compile(text)
    wanted = loss(PREDS, target)
    assert not loss.state_dict()
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), losslang.compile(loss.canonical)):
        torch.testing.assert_close(other(PREDS, target), wanted)
        assert other.fingerprint == loss.fingerprint
    compiled = torch.compile(losslang.compile(text), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(PREDS, target), wanted)
    two = target if isinstance(target, Tensor) else target[:2]
    torch.testing.assert_close(compiled(PREDS[:2], two), loss(PREDS[:2], two))
    exported = torch.export.export(losslang.compile(text), (PREDS, target)).module()
    torch.testing.assert_close(exported(PREDS, target), wanted)


def test_large_levels_run_in_blocks() -> None:
    preds = [torch.randn(2, 1, 400 >> i, 400, dtype=torch.float64, requires_grad=True) for i in range(2)]
    targets = [(torch.rand(2, 1, 400 >> i, 400) > 0.5).double() for i in range(2)]
    wanted = torch.stack(
        [F.binary_cross_entropy_with_logits(p, t) for p, t in zip(preds, targets, strict=True)]
    ).sum()
    agrees("each(bce(sigmoid))", preds, targets, wanted, preds)


def test_settings_reach_into_a_repeat() -> None:
    text = "each(ce(label_smoothing=0.2) + dice, weights=halving())"
    loss = losslang.compile(text, overrides={"dice.smooth": 1, "ce.weight": 0.5, "ce.label_smoothing": 0.1})
    plain = losslang.compile("each(0.5*ce(label_smoothing=0.1) + dice(smooth=1), weights=halving())")
    assert loss.fingerprint == plain.fingerprint
    torch.testing.assert_close(loss(PREDS, LABELS), plain(PREDS, LABELS))
    torch.testing.assert_close(losslang.compile(loss.canonical)(PREDS, LABELS), plain(PREDS, LABELS))


@pytest.mark.parametrize(
    ("text", "pred", "target", "code"),
    [
        ("each(l1)", PREDS, PREDS[0], "E365"),
        ("each(l1)", PREDS[0], PREDS, "E365"),
        ("each(l1)", [], [], "E365"),
        ("each(l1, over=pred)", [PREDS[0]] * 257, PREDS[0], "E365"),
        ("each(l1)", PREDS, PREDS[:2], "E366"),
        ("each(l1)", {"a": PREDS[0]}, {"b": PREDS[0]}, "E366"),
        ("each(l1)", {"a": PREDS[0]}, [PREDS[0]], "E366"),
        ("each(l1, weights=[1, 2])", PREDS, PREDS, "E367"),
        ("each(l1, weights=halving(drop_last=3))", PREDS, PREDS, "E367"),
        ("each(l1)@aux", {"seg": PREDS}, {"seg": PREDS}, "E501"),
    ],
)
def test_a_call_that_does_not_fit_is_refused(text: str, pred: Any, target: Any, code: str) -> None:
    with pytest.raises(LossError) as caught:
        losslang.compile(text)(pred, target)
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_outputs_that_a_network_stacks_are_taken_apart() -> None:
    """As MONAI's DynUNet does, in front of the classes."""
    loss, stacked, target = losslang.compile("each(ce, over=pred)"), torch.randn(2, 2, 3, 4, 4), torch.randint(3, (2, 4, 4))  # fmt: skip
    with pytest.raises(LossError, match=r"of outputs stacked along axis 1 `list\(pred.unbind\(1\)\)`"):
        loss(stacked, target)
    wanted = sum(F.cross_entropy(stacked[:, i], target) for i in range(2))
    torch.testing.assert_close(loss(list(stacked.unbind(1)), target), wanted)


def test_the_repair_for_one_target_works() -> None:
    with pytest.raises(LossError, match="`over=pred`: the target stays whole"):
        losslang.compile("each(l1)")(PREDS[:1], PREDS[0].detach())
    losslang.compile("each(l1, over=pred)")(PREDS[:1], PREDS[0].detach())


class Net(nn.Module):
    """Two convolutions with a head each."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 8, 3, padding=1)
        self.down = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.heads = nn.ModuleList([nn.Conv2d(8, 2, 1), nn.Conv2d(8, 2, 1)])

    def forward(self, x: Tensor) -> list[Tensor]:
        fine = self.body(x).relu()
        coarse = self.down(fine).relu()
        return [self.heads[0](fine), self.heads[1](coarse)]


def test_deep_supervision_trains() -> None:
    """All heads learn: nnU-Net's weights on a bright square, the target resized to each head."""
    text = "each(ce + dice(background=false), over=pred, weights=halving(normalize=true), resize=nearest)"
    net, loss = Net(), losslang.compile(text)
    x = torch.randn(4, 1, 16, 16) * 0.3
    x[:, :, 4:10, 4:10] += 1
    truth = torch.zeros(4, 1, 16, 16, dtype=torch.long)
    truth[:, :, 4:10, 4:10] = 1
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    first = loss(net(x), truth).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss(net(x), truth).backward()
        optimizer.step()
    fine, coarse = net(x)
    assert loss(net(x), truth).item() < 0.4 * first
    assert (fine.argmax(1) == truth[:, 0]).float().mean() > 0.95
    assert (coarse.argmax(1) == truth[:, 0, ::2, ::2]).float().mean() > 0.93


def test_a_check_says_nothing_of_what_is_right() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in ("each(bce(), over=pred)", "each(ce + dice)", "each(ce)@seg + l1@depth"):
            assert losslang.check(text) == ()
