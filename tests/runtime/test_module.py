"""The compiled loss as a torch module: what it says of itself, what it carries, what it refuses."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import subprocess
import sys
import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import losslang
from losslang import LossError, LossWarning

MISSION = "0.5*bce(sigmoid) + dice(smooth=1)"
R = torch.Generator().manual_seed(3)


def real(*shape: int) -> Tensor:
    return torch.randn(shape, generator=R)


def compiled(text: str, **more: Any) -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossWarning)
        return losslang.compile(text, **more)


PRED, TARGET = real(2, 1, 6, 6), (torch.rand(2, 1, 6, 6, generator=R) > 0.5).float()
X, Y = real(4, 3), torch.tensor([0, 2, 1, 1])
XS, YS = real(4, 3, 5), torch.randint(0, 3, (4, 5), generator=R)  # with an axis of space


# -------------------------------------------------------------------- what it says of itself


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        (MISSION, ("pred", "target")),
        ("ce@seg + bce(sigmoid, mask=batch.valid)@edge",
         ("pred.edge", "pred.seg", "target.edge", "target.seg", "batch.valid")),
        ("mse@(pred.mu, batch.noise)", ("pred.mu", "batch.noise")),
        ("pred.a + const.k*pred.b[0]", ("pred.a", "pred.b[0]", "const.k")),
        ("bce(sigmoid, pred=batch.fake, target=1)", ("batch.fake",)),
        ("ce + 0*dice@seg", ("pred", "target")),
        ("bce(sigmoid, pred=batch.d, target=1)", ("batch.d",)),
        ("mse@(pred[0:2], target[-1])", ("pred[0:2]", "target[-1]")),
    ],
)  # fmt: skip
def test_inputs(text: str, inputs: tuple[str, ...]):
    loss = losslang.compile(text, const={"k": 2.0}) if "const.k" in text else compiled(text)
    assert loss.inputs == inputs


def test_what_later_calls_hand_over_is_looked_at_as_in_the_first():
    loss = compiled("ce + l1@(pred, batch.goal)")
    goal, wanted = X + 1, torch.nn.functional.cross_entropy(X, Y).item() + 1
    for _ in range(3):
        assert loss(X, Y, goal=goal).item() == pytest.approx(wanted)
    with pytest.raises(LossError, match="E504"):
        loss(X, Y[:3], goal=goal)
    with pytest.raises(LossError, match="E505"):
        loss(X, Y.float(), goal=goal)
    with pytest.raises(LossError, match="E504"):
        loss(X, Y, goal=goal[:, :2])
    ignored = torch.tensor([0, -100, 1, 1])
    kept = torch.nn.functional.cross_entropy(X, ignored).item() + 1
    for labels, value in ((Y, wanted), (ignored, kept), (Y.int(), wanted), (ignored.int(), kept)) * 3:
        assert loss(X, labels, goal=goal).item() == pytest.approx(value)
    assert loss(X, Y, goal=goal.double()).item() == pytest.approx(wanted)
    assert loss(X.double(), Y, goal=goal).dtype == torch.float64
    assert loss(X, Y, goal=0.0).item() == pytest.approx(wanted - 1 + X.abs().mean().item())


def test_canonical():
    loss = compiled("0.50*bce( sigmoid )+dice(smooth=1.0,)")
    assert loss.canonical == MISSION
    assert compiled(loss.canonical).fingerprint == loss.fingerprint
    assert MISSION in repr(loss)
    assert "total = " in str(loss.plan)


SAME = [
    ("ce + dice", "dice + ce"),
    ("ce + dice", "a = ce; b = dice; a + b"),
    ("0.5*ce", "w = 0.5; w*ce"),
    ("ce", "ce(softmax)"),
    ("ce", "cross_entropy(label_smoothing=0)"),
    ("ce", "ce(ignore_index=-100, reduction=mean)"),
    ("bce_with_logits", "bce(sigmoid)"),
    ("bce(sigmoid) + dice", "bce(sigmoid) + dice(sigmoid)"),
    ("dice(sigmoid)", "dice(sigmoid, smooth=1e-5)"),
    ("2*(ce + 0.5*dice)", "2*ce + dice"),
    ("ce + 0*mse", "ce"),
    ("mse/2", "0.5*mse"),
    ("mse", "mae*0 + mse"),
    ("focal(sigmoid, gamma=2.0)", "focal(sigmoid)"),
    ("mse(reduction=topk)", "mse(reduction=topk(frac=0.1))"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_fingerprints_of_the_same_mathematics(one: str, other: str):
    assert compiled(one).fingerprint == compiled(other).fingerprint


TOLD_APART = [
    "ce", "2*ce", "ce(label_smoothing=0.1)", "ce(reduction=sum)", "ce@seg", "ce(mask=batch.m)", "ce + dice",
    "ce + 2*dice", "ce + dice(smooth=1)", "dice(sigmoid)", "dice(softmax)", "dice(softmax(temperature=2))",
    "ce + metric(zero_one)", "sqrt(ce)", "ce**2", "ce(class_weight=[1, 2, 3])", "ce(class_weight=balanced)",
    "batch.w*ce", "ce(weight=batch.w)", "1 - ce", "-ce", "ce(ignore_index=none)", "detach(ce) + dice", "mse", "l1",
    "mse@(pred, batch.a)", "mse@(pred[0:1], target)", "mse@(pred[0], target)", "dice(softmax, batch=true)",
    "dice(softmax, empty=skip)",
]  # fmt: skip


def test_fingerprints_of_other_mathematics():
    prints = {text: compiled(text).fingerprint for text in TOLD_APART}
    assert len(set(prints.values())) == len(TOLD_APART)
    assert all(len(p) >= 16 for p in prints.values())


# -------------------------------------------------------------------- a module among modules


def test_inside_a_model_its_checkpoint_is_the_model():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.loss = nn.Linear(3, 3), compiled("ce")

    a, b = Model(), Model()
    b.load_state_dict(a.state_dict())
    assert not list(a.loss.parameters())
    assert torch.equal(a.net.weight, b.net.weight)


def test_copies_and_pickles():
    loss = compiled(MISSION + " + const.k*metric(dice)", const={"k": torch.tensor(2.0)})
    wanted = loss(PRED, TARGET)
    for twin in (copy.deepcopy(loss), copy.copy(loss), pickle.loads(pickle.dumps(loss))):
        assert torch.equal(twin(PRED, TARGET), wanted)
        assert twin.fingerprint == loss.fingerprint
        assert twin.canonical == loss.canonical
        assert str(twin.plan) == str(loss.plan)


def test_another_process(tmp_path: Any):
    """A pickle is read there, and the fingerprint is the same: it is a fact of the text alone."""
    loss = compiled(MISSION)
    torch.save({"loss": loss, "data": (PRED, TARGET), "value": loss(PRED, TARGET)}, tmp_path / "loss.pt")
    code = (
        "import sys, torch; kept = torch.load(sys.argv[1], weights_only=False);"
        "assert torch.equal(kept['loss'](*kept['data']), kept['value']); print(kept['loss'].canonical);"
        "import losslang; print(losslang.compile(sys.argv[2]).fingerprint)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "loss.pt"), MISSION], capture_output=True, text=True
    )
    assert out.stdout.split("\n")[:2] == [MISSION, loss.fingerprint], out.stderr


def test_to_moves_const():
    loss = compiled("ce(class_weight=const.w)", const={"w": torch.tensor([1.0, 2.0, 3.0])}).to("meta")
    assert loss.const["w"].device.type == "meta"
    double = compiled("mse(weight=const.w)", const={"w": torch.ones(4)}).double()
    assert double.const["w"].dtype == torch.float64
    assert losslang.compile("mse", device="cpu")(X, X).item() == 0


def test_const_numbers_and_modules():
    net = nn.Linear(3, 3)
    loss = compiled("const.k*mse", const={"k": 3.0, "net": net})
    assert loss(X, X + 1).item() == pytest.approx(3)
    assert set(dict(loss.named_parameters())) == {"const_net.weight", "const_net.bias"}
    with pytest.raises(LossError, match="E501"):
        compiled("const.k*mse")(X, X)


def test_autocast_gives_float32():
    half = PRED.half()
    for dtype in (torch.float16, torch.bfloat16):
        with torch.autocast("cpu", dtype=dtype):
            value = compiled(MISSION)(half, TARGET)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, compiled(MISSION)(PRED, TARGET), rtol=1e-3, atol=1e-3)
    big = torch.full((1, 1, 512, 512), 0.25, dtype=torch.float16)
    value = compiled("dice(sigmoid) + bce(sigmoid)")(big, torch.ones(1, 1, 512, 512))
    assert value.isfinite()  # the sum of 2^18 is no float16


# -------------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    ("text", "overrides", "same_as"),
    [
        ("alpha = 0.7; alpha*ce + dice", {"alpha": 0.3}, "0.3*ce + dice"),
        ("ce + dice", {"dice.weight": 2}, "ce + 2*dice"),
        ("ce + dice", {"dice.smooth": 1}, "ce + dice(smooth=1)"),
        ("ce + dice", {"dice.weight": 0}, "ce + 0*dice"),
        ("seg = dice; ce + seg", {"seg.smooth": 1.0, "seg.weight": 3}, "ce + 3*dice(smooth=1)"),
        ("s = 1; ce + dice(smooth=s)", {"s": 0.5}, "ce + dice(smooth=0.5)"),
        ("a = 2; b = a*3; b*ce", {"a": 4}, "12*ce"),
    ],
)
def test_overrides(text: str, overrides: dict[str, float], same_as: str):
    found = compiled(text, overrides=overrides)
    assert found.fingerprint == compiled(same_as).fingerprint
    assert torch.equal(found(XS, YS), compiled(same_as)(XS, YS))


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("w = 1; w*l1@a + mse@b", {"w": 0}),
        ("w = 0; w*l1@a + mse@b", {}),
        ("w = 2; (w - 2)*l1@a + mse@b", {}),
        ("l1@a + mse@b", {"l1.a.weight": 0}),
        ("0*l1@a + mse@b", {"l1.a.weight": 0}),
    ],
)
def test_a_zero_from_outside_is_computed(text: str, overrides: dict[str, float]):
    """The head stays in the graph, as DDP wants it, and the term in the log."""
    heads = {"a": torch.randn(3, 2, requires_grad=True), "b": torch.randn(3, 2, requires_grad=True)}
    truth = {name: torch.zeros(3, 2) for name in heads}
    loss = losslang.compile(text, overrides=overrides)
    loss(heads, truth).backward()
    assert heads["a"].grad is not None
    assert not heads["a"].grad.any()
    assert loss.detail(heads, truth).names == ("l1.a", "mse.b") == tuple(loss.terms(heads, truth))
    assert loss.detail(heads, truth).values[0] > 0
    assert "pred.a" in loss.inputs
    assert "dropped" not in losslang.explain("w = 0; w*l1@a + mse@b")


@pytest.mark.parametrize(
    "text", ["0*l1@a + mse@b", "0*(2*l1@a) + mse@b", "x = 0.0*l1@a; x + mse@b", "-0*l1@a*mse@a + mse@b"]
)
def test_a_zero_in_place_drops_the_term(text: str):
    assert losslang.compile(text).inputs == ("pred.b", "target.b")
    assert "dropped, because a 0 is written in place" in losslang.explain(text)


def test_a_memory_stays_beside_a_zero_from_outside():
    loss = losslang.compile("ghm_c(sigmoid, momentum=0.5) + mse", overrides={"ghm_c.weight": 0})
    loss(torch.randn(4, 3), torch.ones(4, 3))
    assert loss.memory_ghm_c.any()


@pytest.mark.parametrize(
    ("given", "repair"),
    [
        (["w=0.5"], "{'w': 0.5}"),
        ("w=0.5", "{'w': 0.5}"),
        (["w"], "{'ce.weight': 0.5}"),
        (3, "{'ce.weight': 0.5}"),
    ],
)
def test_overrides_that_are_no_mapping(given: Any, repair: str):
    with pytest.raises(LossError, match=r"E426") as caught:
        losslang.compile("w = 1; w*ce", overrides=given)
    assert f"fix: write `overrides={repair}`" in str(caught.value)


@pytest.mark.parametrize(
    "overrides", [{"beta": 1}, {"dice.smoth": 1}, {"dice.smooth": -1}, {"jaccard.weight": 1}]
)
def test_overrides_that_fit_nothing(overrides: dict[str, float]):
    with pytest.raises(LossError):
        compiled("alpha = 1; alpha*ce + dice", overrides=overrides)


# -------------------------------------------------------------------- detail, terms, metrics


def test_detail():
    loss = compiled("region = dice(smooth=1); 0.5*bce(sigmoid) + region - 0.25*dice + metric(mse(sigmoid))")
    pred = PRED.clone().requires_grad_()
    out = loss.detail(pred, TARGET)
    assert out.names == ("bce", "region", "dice", "mse")
    assert out.values.shape == out.weights.shape == out.contributions.shape == (4,)
    assert out.weights.tolist() == [0.5, 1.0, -0.25, 0.0]
    assert not out.values.requires_grad
    assert not out.contributions.requires_grad
    assert out.total.requires_grad
    assert out.values.dtype == out.total.dtype
    torch.testing.assert_close(out.contributions, out.values * out.weights)
    torch.testing.assert_close(out.contributions.sum(), out.total.detach())
    torch.testing.assert_close(out.total.detach(), loss(PRED, TARGET))


def test_log_keys():
    meaning = losslang.meaning.checker.analyze(
        losslang.diagnostics.source.Source(
            "both = ce + 0.1*dice; ce@a + ce@a + ce@b + both + (1 - mse@c) + sqrt(l1@c)"
        )
    ).meaning
    assert meaning is not None
    assert [t.name for t in meaning.terms] == [
        "ce.a", "ce.a_2", "ce.b", "both/ce", "both/dice", "1-mse_c", "sqrt_l1_c",
    ]  # fmt: skip


def test_metrics_add_nothing_and_need_nothing():
    """A metric is computed by `detail` alone, and never trained on."""
    loss, plain = compiled("ce + metric(zero_one) + metric(3*focal)"), compiled("ce")
    x = X.clone().requires_grad_()
    assert torch.equal(loss(x, Y), plain(x, Y))
    out = loss.detail(x, Y)
    assert out.names == ("ce", "zero_one", "focal")
    assert out.contributions.tolist()[1:] == [0, 0]
    (grad,) = torch.autograd.grad(out.total, x)
    torch.testing.assert_close(grad, torch.autograd.grad(plain(x, Y), x)[0])
    assert tuple(loss.terms(x, Y)) == ("ce",)


def test_terms_carry_gradients():
    x = XS.clone().requires_grad_()
    parts = compiled("0.5*ce + 2*dice")(x, YS), compiled("0.5*ce + 2*dice").terms(x, YS)
    assert tuple(parts[1]) == ("ce", "dice")
    torch.testing.assert_close(sum(parts[1].values()), parts[0])
    grads = [torch.autograd.grad(p, x, retain_graph=True)[0] for p in parts[1].values()]
    torch.testing.assert_close(sum(grads), torch.autograd.grad(parts[0], x)[0])


def test_unreduced_alone():
    loss = compiled("ce(reduction=none)")
    assert loss(X, Y).shape == (4,)
    assert [d.code for d in losslang.check("ce(reduction=none) + dice")] == ["E308"]


def test_a_term_of_weight_0_is_dropped():
    total = compiled("0*bce(sigmoid) + ce@seg", ignore=[])({"seg": X}, Y)
    torch.testing.assert_close(total, nn.functional.cross_entropy(X, Y))


# -------------------------------------------------------------------- kinds of predictions

Pair = namedtuple("Pair", "seg edge")


@dataclasses.dataclass
class Out:
    seg: Tensor
    edge: Tensor


class Plain:
    def __init__(self, seg: Tensor, edge: Tensor):
        self.seg, self.edge = seg, edge


@pytest.mark.parametrize("kind", [dict, OrderedDict, Pair, Out], ids=lambda k: k.__name__)
@pytest.mark.parametrize("targets", [dict, Pair, Out], ids=lambda k: k.__name__)
def test_heads_of_mappings_and_records(kind: Callable[..., Any], targets: Callable[..., Any]):
    pred, target = kind(seg=X, edge=2 * X), targets(seg=Y, edge=Y)
    torch.testing.assert_close(
        compiled("ce@seg + 0.5*ce@edge")(pred, target),
        nn.functional.cross_entropy(X, Y) + 0.5 * nn.functional.cross_entropy(2 * X, Y),
    )


def test_an_object_has_no_parts():
    """No attribute access on objects: LANGUAGE.md 1."""
    with pytest.raises(LossError, match="E502"):
        compiled("ce@seg")(Plain(X, X), Y)
    with pytest.raises(LossError, match="E50"):
        compiled("mse@(pred.T, target)")(X, X)


def test_lists_and_slices():
    deep = [X, 2 * X, 3 * X]
    found = compiled("ce@(pred[0], target) + ce@(pred[-1], target)")(deep, Y)
    torch.testing.assert_close(
        found, nn.functional.cross_entropy(X, Y) + nn.functional.cross_entropy(3 * X, Y)
    )
    found = compiled("l1@(pred[1:3], target[0:2])")(X, X)
    torch.testing.assert_close(found, (X[:, 1:3] - X[:, 0:2]).abs().mean())
    assert compiled("mse@(pred[1:3][0], target)")(deep, X).item() == pytest.approx(X.square().mean().item())


def test_one_target_for_every_head():
    found = compiled("ce@a + ce@b")({"a": X, "b": 2 * X}, Y)
    assert found.item() > 0
    with pytest.raises(LossError, match="E501") as caught:
        compiled("ce@a")({"a": X}, {"c": Y, "d": Y})
    assert "`c`" in str(caught.value)
    assert "`d`" in str(caught.value)


def test_losses_that_a_model_returns():
    pred = {
        "loss_cls": torch.tensor(1.0),
        "loss_box": torch.tensor(2.0),
        "mask": torch.tensor(4.0),
        "logits": X,
    }
    with pytest.raises(LossError, match="E515") as caught:
        compiled("pred.loss_cls + 2*pred.loss_box")(pred)
    assert "`mask`" in str(caught.value)
    assert "ignore=['mask']" in str(caught.value)
    assert "logits" not in str(caught.value)
    assert compiled("pred.loss_cls + 2*pred.loss_box", ignore=["mask"])(pred).item() == 5
    assert compiled("pred.loss_cls + 2*pred.loss_box + pred.mask")(pred).item() == 9
    with pytest.raises(LossError, match="E512"):
        compiled("pred.logits + pred.mask")(pred)


# -------------------------------------------------------------------- mistakes of the tensors

M4 = torch.ones(4, dtype=torch.bool)
REFUSED: list[Any] = [
    # program, code, call, what the message must say
    ("E501", "ce(mask=batch.valid)", (X, Y), {}, ("batch.valid", "the call has no keywords", "valid=...")),
    ("E501", "ce(avg_factor=batch.n)", (X, Y), {"n": None}, ("`batch.n` is read here, and `n` is None", "n=...")),
    ("E501", "ce(mask=batch.valid)", (X, Y), {"vald": M4}, ("`vald`",)),
    ("E501", "ce", (X,), {}, ("target",)),
    ("E501", "ce@seg", ({"edge": X}, Y), {}, ("pred.seg", "`edge`")),
    ("E502", "mse@(pred[0], target)", (X, X), {}, ("(4, 3)", "[0:1]")),
    ("E502", "mse@(pred[5], target)", ([X], X), {}, ("a list of 1",)),
    ("E502", "mse@(pred[-1], target)", (X, X), {}, ("[-1:]",)),
    ("E503", "mse", ([X], X), {}, ("a list of 1",)),
    ("E503", "ce", ({"seg": X}, Y), {}, ("`ce@seg`",)),
    ("E504", "mse", (X[:, :1], X[:, 0]), {}, ("(4,)", "(4, 1)", "unsqueeze(1)")),
    ("E504", "mse", (X[:, 0], X[:, :1]), {}, ("(4,)", "(4, 1)", "squeeze(1)")),
    ("E504", "bce(sigmoid)", (X[:, :1], Y > 0), {}, ("(4,)", "(4, 1)")),
    ("E504", "hinge", (X[:, :1], Y > 0), {}, ("(4,)", "(4, 1)")),
    ("E504", "mse", (X, X[:1]), {}, ("(1, 3)", "(4, 3)")),
    ("E504", "l1", (X, X[0]), {}, ("(3,)", "(4, 3)")),
    ("E504", "mse", (PRED, TARGET[:, 0]), {}, ("(2, 6, 6)", "(2, 1, 6, 6)")),
    ("E504", "ce", (real(2, 3, 4, 4), torch.zeros(2, 4, 5, dtype=torch.long)), {}, ("(2, 4, 5)", "(2, 3, 4, 4)")),
    ("E504", "ce", (real(2, 4, 4, 3), torch.zeros(2, 4, 4, dtype=torch.long)), {}, ("(2, 4, 4)", "(2, 4, 4, 3)")),
    ("E504", "dice(softmax)", (real(2, 3, 4), torch.rand(2, 4, 3)), {}, ("(2, 4, 3)", "`target.transpose(1, 2)`")),
    ("E517", "iou", (real(4, 5), real(4, 5)), {}, ("(4, 5)", "4 numbers")),
    ("E504", "iou", (real(4, 4), real(3, 4)), {}, ("(3, 4)", "(4, 4)")),
    ("E504", "quantile(q=[0.1, 0.9])", (real(4, 3), real(4)), {}, ("(4, 3)", "(4,)")),
    ("E504", "cosine", (X, X[:2]), {}, ("(2, 3)", "(4, 3)")),
    ("E517", "ce", (X[0], Y[:1]), {}, ("(3,)", "pred[None]")),
    ("E505", "ce", (X, Y.float()), {}, ("float32", ".long()")),
    ("E505", "kl(softmax)", (X, torch.ones(4, 3, dtype=torch.long)), {}, ("int64", ".float()")),
    ("E505", "mse", (X.to(torch.complex64), X), {}, ("complex64",)),
    ("E506", "ce", (X, Y + 1), {}, ("class 3", "0 to 2")),
    ("E506", "ce", (X, Y - 1), {}, ("class -1", "ignore_index=-1")),
    ("E506", "dice(softmax)", (XS, YS * 100), {}, ("class 200", "ignore_index=200")),
    ("E507", "dice", (3 * XS + 5, torch.rand(4, 3, 5)), {}, ("sigmoid", "probabilities")),
    ("E507", "dice@seg", ({"seg": 3 * XS}, torch.rand(4, 3, 5)), {}, ("dice(sigmoid)",)),
    ("E507", "ce(identity, ignore_index=none)", (3 * X, Y), {}, ("softmax",)),
    ("E508", "ce", (X[:, :1], Y * 0), {}, ("(4, 1)", "sigmoid")),
    ("E508", "bce(sigmoid) + dice(softmax)", (PRED, TARGET), {}, ("(2, 1, 6, 6)",)),
    ("E509", "mse(mask=batch.m)", (PRED, PRED), {"m": torch.ones(6, 6)}, ("(6, 6)", "(2, 1, 6, 6)", "(2, 6, 6)")),
    ("E509", "mse(weight=batch.m)", (X, X), {"m": torch.ones(3)}, ("(3,)", "(4, 3)", "(4,)")),
    ("E509", "mse(mask=batch.m)", (X, X), {"m": torch.ones(5, 3)}, ("(5, 3)", "(4, 3)")),
    ("E510", "dice(sigmoid, weight=batch.m)", (PRED, TARGET), {"m": torch.rand(2, 1, 6, 6)}, ("(2, 1, 6, 6)", "(2,)")),
    ("E510", "ce(mask=batch.m)", (X, Y), {"m": torch.rand(4, 3) > 0.5}, ("(4, 3)",)),
    ("E510", "batch.m*dice(sigmoid, batch=true)", (PRED, TARGET), {"m": torch.rand(2)}, ("dice",)),
    ("E511", "mse", (X, X.to("meta")), {}, ("meta", "cpu")),
    ("E511", "mse(mask=batch.m)", (X, X), {"m": M4.to("meta")}, ("meta", "cpu")),
    ("E512", "batch.m*sqrt(mse)", (X, X), {"m": torch.rand(4)}, ("(4,)", "`mean(batch.m)`")),
    ("E513", "ce(class_weight=[1, 2])", (X, Y), {}, ("2", "3 classes")),
    ("E513", "bce(sigmoid, pos_weight=[1, 2])", (X, Y), {}, ("2 entries",)),
    ("E513", "dice(softmax, class_weight=[1, 2, 3], background=false)", (XS, YS), {}, ("3 entries", "2 classes")),
    ("E514", "hinge", (X, (X > 0).float()), {}, ("0", "target=2*target - 1")),
    ("E515", "pred.a", ({"a": torch.tensor(1.0), "b": torch.tensor(2.0)},), {}, ("`b`",)),
    ("E516", "gaussian_nll(variance=batch.v)", (X, X), {"v": -torch.ones(4, 3)}, ("variance", "-1")),
    ("E516", "poisson_nll", (X, -torch.ones(4, 3)), {}, ("target", "-1")),
    # the prediction is what is wrong
    *[("E505", text, (Y[:, None] * torch.ones(4, 3, dtype=torch.long), X), {}, ("`pred`", "int64", "swapped?"))
      for text in ("mse", "ce", "bce(sigmoid)", "dice(softmax)", "cosine", "hinge", "kl(softmax)")],
    ("E505", "l1", (X > 0, X), {}, ("`pred`", "bool", "swapped?")),
    *[("E517", f"{loss}(sigmoid)", (X, torch.rand(4, 3)), {}, ("(4, 3)", "(B, C, *S)", "batch=true"))
      for loss in ("dice", "jaccard", "tversky", "focal_tversky")],
    ("E517", "bce(sigmoid) + dice", (X, torch.rand(4, 3)), {}, ("`dice`", "(4, 3)")),
    ("E517", "dice(sigmoid)", (X[:, 0], torch.rand(4)), {}, ("(4,)",)),
    ("E517", "dice(sigmoid, batch=true)", (X[:, 0], torch.rand(4)), {}, ("(4,)", "pred[:, None]")),
    *[("E517", f"{loss}(sigmoid, background=false)", (PRED, TARGET), {}, ("(2, 1, 6, 6)", "`background=alone`"))
      for loss in ("dice", "jaccard", "tversky", "focal_tversky")],
    # truths that are no truths
    *[("E516", f"{loss}(sigmoid)", (XS, truth), {}, ("target", said, "between 0 and 1", "ignore_index="))
      for loss in ("bce", "dice", "focal", "jaccard", "tversky")
      for truth, said in ((torch.full((4, 3, 5), 255.0), "255"), (torch.full((4, 3, 5), 2), "2"))],
    ("E516", "0.5*bce(sigmoid) + dice", (PRED, TARGET - 1), {}, ("-1", "ignore_index=")),
    ("E516", "bce(sigmoid)", (PRED, 255 * TARGET[:, 0].long()), {}, ("255", "ignore_index=")),
    ("E516", "bce(sigmoid, target=2)", (PRED,), {}, ("2", "between 0 and 1")),
    pytest.param("E516", "bce(sigmoid, target=2)", (XS,), {}, ("2", "between 0 and 1")),
    ("E516", "ce", (XS, 2 * torch.rand(4, 3, 5)), {}, ("target", "between 0 and 1")),
    # the target is looked at before a mask
    ("E504", "ce(mask=batch.m)", (XS, YS[:, :4]), {"m": torch.ones(4, 5)}, ("(4, 4)", "(4, 3, 5)")),
    ("E504", "dice(softmax, mask=batch.m)", (XS, YS[:, :4]), {"m": torch.ones(4, 5)}, ("(4, 4)", "(4, 3, 5)")),
    ("E509", "ce(mask=batch.m)", (XS, YS), {"m": torch.ones(4, 7)}, ("(4, 7)", "(4, 5)")),
    # a mask of channels has nothing to lie over where there is one value per place
    *[("E510", text, (XS, YS), {"m": torch.rand(4, 3, 5) > 0.5}, ("`mask`", "(4, 3, 5)", "one per sample and place"))
      for text in ("ce(mask=batch.m)", "focal(softmax, mask=batch.m)", "multi_margin(mask=batch.m)")],
    ("E510", "batch.m*rmse", (X, X), {"m": torch.rand(4)}, ("`batch.m`", "rmse", "one number")),
    ("E510", "batch.m*rmse", (X, X), {"m": torch.rand(4, 3)}, ("(4, 3)", "rmse")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "text", "call", "batch", "says"),
    REFUSED,
    ids=["-".join((row.values if hasattr(row, "values") else row)[:2]) for row in REFUSED],
)
def test_tensors_that_do_not_fit(
    code: str, text: str, call: tuple[Any, ...], batch: dict[str, Any], says: tuple[str, ...]
):
    with pytest.raises(LossError) as caught:
        compiled(text)(*call, **batch)
    assert [d.code for d in caught.value.diagnostics] == [code]
    said = str(caught.value)
    for part in says:
        assert part in said, said
    assert "fix: " in said
    assert "^" in said


# -------------------------------------------------------------------- the first call looks at values


def test_values_are_checked_once():
    """A call that passes turns the check off; a call that fails must not."""
    loss = compiled("dice")
    good, bad, target = torch.rand(4, 3, 5), 3 * XS, torch.rand(4, 3, 5)
    loss(good, target)
    assert loss(bad, target).isfinite()  # nothing looks any more: that would cost a synchronisation
    for call in (compiled("dice"), compiled("dice").detail):
        for _ in range(2):
            with pytest.raises(LossError, match="E507"):
                call(bad, target)


@pytest.mark.parametrize("method", ["__call__", "detail", "terms"])
def test_every_way_in_looks_at_values(method: str):
    loss = compiled("dice")
    with pytest.raises(LossError, match="E507"):
        getattr(loss, method)(3 * XS, torch.rand(4, 3, 5))


def test_numbers_keep_their_precision_and_their_place():
    """A list of the caller is read in the precision of the loss, as a mask it counts; a term goes to its total."""
    weights, labels = [0.1, 0.2, 0.7], torch.tensor([0, 1, 2, 2])
    logits = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    exact = torch.nn.functional.cross_entropy(logits, labels, torch.tensor(weights, dtype=torch.float64))
    found = compiled("ce(class_weight=const.w)", const={"w": weights})(logits, labels)
    torch.testing.assert_close(found, exact, rtol=1e-15, atol=0)
    mask = [[True, False, True]] * 4
    wanted = logits.square()[:, [0, 2]].mean()
    for given in (mask, torch.tensor(mask), torch.tensor(mask).numpy()):
        value = compiled("mse(mask=batch.m)")(logits, torch.zeros_like(logits), m=given)
        torch.testing.assert_close(value, wanted)
    far = torch.randn(2, 3, device="meta")
    assert compiled("mse + batch.reg").detail(far, far, reg=torch.tensor(2.0)).values.is_meta


@pytest.mark.parametrize("kind", ["meta", "empty"])
def test_a_call_without_values_leaves_the_checks_on(kind: str):
    loss = compiled("ce")
    loss(XS.to("meta"), YS.to("meta")) if kind == "meta" else loss(XS[:0], YS[:0])
    with pytest.raises(LossError, match="E506"):
        loss(XS, YS + 5)


def test_meta_tensors_on_the_first_call():
    """Shapes without values: nothing to look at, nothing to refuse."""
    for text in ("ce + dice", "0.5*bce(sigmoid) + dice(smooth=1)", "focal(sigmoid, alpha=0.25)"):
        value = compiled(text)(XS.to("meta"), YS.to("meta"))
        assert (value.shape, value.device.type) == ((), "meta")
    with pytest.raises(LossError, match="E504"):
        compiled("ce")(XS.to("meta"), YS[:, :4].to("meta"))


def test_values_are_not_checked_where_they_cannot_be_seen():
    good, bad, target = torch.rand(4, 3, 5), 3 * XS, torch.rand(4, 3, 5)
    loss = compiled("dice")
    torch.func.vmap(loss, in_dims=(0, None))(torch.stack([bad, bad]), target)
    torch.func.grad(lambda p: loss(p, target))(bad)
    torch._dynamo.reset()
    torch.compile(loss, backend="eager", fullgraph=True)(bad, target)
    with pytest.raises(LossError, match="E507"):
        loss(bad, target)
    assert loss(good, target).isfinite()


def test_a_program_of_the_batch_alone_needs_no_prediction():
    loss = compiled("bce(sigmoid, pred=batch.d, target=1) + mean(batch.d)")
    d = real(5)
    torch.testing.assert_close(loss(d=d), nn.functional.softplus(-d).mean() + d.mean())
    assert loss.detail(d=d).names == ("bce", "mean_batch.d")
    with pytest.raises(LossError, match="E501"):
        compiled("bce(sigmoid, pred=batch.d, target=1) + mse")(d=d)


def test_scalars_of_the_batch_may_go_unread():
    """LANGUAGE.md 7: a keyword that the program does not read is ignored; 3 is about what a model returns."""
    batch = {"kl": torch.tensor(2.0), "step": torch.tensor(7), "w": torch.ones(4)}
    torch.testing.assert_close(
        compiled("mse(weight=batch.w) + batch.kl")(X, X + 1, **batch), torch.tensor(3.0)
    )


def test_unread_keywords_are_ignored_and_warnings_are_given_once():
    assert losslang.compile("ce")(X, Y, epoch=3, lengths=M4).isfinite()
    with pytest.warns(LossWarning, match="W301"):
        losslang.compile("dice")
    with pytest.raises(LossError) as caught:
        losslang.compile("dise(sigmod) + ce(smoth=1)")
    assert len(caught.value.diagnostics) >= 2


def test_a_learned_variance_gives_no_warning():
    """`gaussian_nll@(pred.mu, target, pred.var)`: the variance always wants a gradient."""
    mu, var = X.clone().requires_grad_(), X.exp().requires_grad_()
    value = compiled("gaussian_nll@(pred.mu, target, pred.var)")({"mu": mu, "var": var}, X + 1)
    value.backward()
    assert var.grad is not None


# -------------------------------------------------------------------- compiled and exported


def test_one_graph():
    loss = compiled(MISSION + " + metric(mse(sigmoid))")
    torch._dynamo.reset()
    told = torch._dynamo.explain(loss)(PRED, TARGET)
    assert told.graph_break_count == 0
    assert told.graph_count == 1


def test_a_compiled_loss_gives_the_same_numbers_and_gradients():
    loss = compiled(
        "0.5*bce(sigmoid, mask=batch.m)@a + dice(smooth=1, mask=batch.m)@a + ce(class_weight=balanced)@b"
    )
    torch._dynamo.reset()
    fast = torch.compile(loss, backend="aot_eager", fullgraph=True)
    a, b = PRED.clone().requires_grad_(), X.clone().requires_grad_()
    call = ({"a": a, "b": b}, {"a": TARGET, "b": Y})
    m = torch.rand(2, 6, 6, generator=R) > 0.4
    found, wanted = fast(*call, m=m), loss(*call, m=m)
    torch.testing.assert_close(found, wanted)
    for x, y in zip(torch.autograd.grad(found, (a, b)), torch.autograd.grad(wanted, (a, b)), strict=True):
        torch.testing.assert_close(x, y)
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_inductor_compiles_the_mission():
    loss = compiled(MISSION)
    torch._dynamo.reset()
    fast = torch.compile(loss, fullgraph=True)
    x, y = PRED.clone().requires_grad_(), PRED.clone().requires_grad_()
    found, wanted = fast(x, TARGET), loss(y, TARGET)
    torch.testing.assert_close(found, wanted)
    found.backward()
    wanted.backward()
    torch.testing.assert_close(x.grad, y.grad)
    torch._dynamo.reset()


@pytest.mark.parametrize("strict", [False, True])
def test_export(strict: bool):
    loss = compiled(MISSION)
    exported = torch.export.export(loss, (PRED, TARGET), strict=strict)
    torch.testing.assert_close(exported.module()(PRED, TARGET), loss(PRED, TARGET))


def test_export_of_any_batch_size():
    loss = compiled(MISSION)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(
        loss, (PRED, TARGET), dynamic_shapes=({0: batch}, {0: batch}), strict=False
    )
    more, truth = torch.cat([PRED, 2 * PRED]), torch.cat([TARGET, TARGET])
    torch.testing.assert_close(exported.module()(more, truth), loss(more, truth))


ASKED = ["rmse", "msle", "mse**0.5", "focal_tversky(identity, smooth=0)", "exp_log(identity)"]
"""Losses that ask for the smallest element before they guard what is not above it."""


@pytest.mark.parametrize("text", ASKED)
@pytest.mark.parametrize("tracer", ["jit", "make_fx"])
def test_what_is_traced_is_guarded_whatever_it_was_traced_on(text: str, tracer: str):
    """Traced where all is above 0, called where it is not."""
    loss, target = compiled(text), torch.tensor([[[0.0, 1.0, 1.0]]])
    example = torch.tensor([[[0.3, 0.6, 0.9]]])
    if tracer == "jit":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(lambda a, b: loss(a, b), (example, target), check_trace=False)  # pyright: ignore
    else:
        traced = make_fx(lambda a, b: loss(a, b))(example, target)
    pred = target.clone().requires_grad_()
    value, wanted = traced(pred, target), loss(pred, target)
    torch.testing.assert_close(value, wanted)
    found, known = torch.autograd.grad(value, pred)[0], torch.autograd.grad(wanted, pred)[0]
    torch.testing.assert_close(found, known)
    assert found.isfinite().all()


@pytest.mark.parametrize("text", ASKED[:3])
def test_fake_tensors_beside_no_mode(text: str):
    """They bring their mode with them."""
    mode = FakeTensorMode()
    pred, target = (mode.from_tensor(torch.rand(1, 1, 3)) for _ in range(2))
    loss = compiled(text, validate="never")
    assert torch.autograd.grad(loss(pred.requires_grad_(), target), pred)[0].shape == pred.shape


def test_total_is_float32_at_least():
    assert compiled("mse")(X.bfloat16(), X.bfloat16() + 1).dtype == torch.float32
    assert compiled("mse")(X.double(), X.double()).dtype == torch.float64
    assert compiled("mse")(X, X.double()).dtype == torch.float32
    assert compiled("mse")(torch.tensor([1.0, 2, 3]), torch.tensor([1, 2, 5])).item() == pytest.approx(4 / 3)
    assert math.isclose(compiled("pred.a + 1*pred.b")({"a": 1.5, "b": torch.tensor(1)}).item(), 2.5)
