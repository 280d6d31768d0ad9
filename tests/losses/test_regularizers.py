"""Terms on the parameters of a model, and what a compiled loss holds that is not its own."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import pytest
import torch
from torch import Tensor, nn

import losslang


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def weights(network: nn.Module, end: str = "") -> list[Tensor]:
    return [p for name, p in network.named_parameters() if name.endswith(end)]


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


FORMS = {
    "l2_reg": lambda w: (w**2).sum() / 2,
    "weight_decay": lambda w: (w**2).sum() / 2,
    "l1_reg": lambda w: w.abs().sum(),
    "elastic_net": lambda w: w.abs().sum() + (w**2).sum() / 2,
    "elastic_net(l1=0.1, l2=3)": lambda w: 0.1 * w.abs().sum() + 1.5 * (w**2).sum(),
}


@pytest.mark.parametrize("text", FORMS)
def test_the_size_of_parameters(text: str):
    network = model()
    loss = losslang.compile(text, params=network.named_parameters())
    wanted = sum(map(FORMS[text], weights(network)), torch.zeros((), dtype=torch.float64))
    close(loss(), wanted)
    found = torch.autograd.grad(loss(), weights(network))
    for a, b in zip(found, torch.autograd.grad(wanted, weights(network)), strict=True):
        close(a, b)


def test_a_pattern_chooses():
    network = model()
    loss = losslang.compile("l2_reg(match='*.weight')", params=network.named_parameters())
    close(loss(), sum(FORMS["l2_reg"](w) for w in weights(network, ".weight")))  # pyright: ignore
    close(
        losslang.compile("l2_reg(match='0.bias')", params=network.named_parameters())(),
        FORMS["l2_reg"](network[0].bias),
    )


def test_the_weight_decay_of_sgd():
    """lambda*l2_reg takes the same step as SGD(weight_decay=lambda)."""
    ours, theirs = model(), model()
    x, y = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    loss = losslang.compile("mse + 0.1*l2_reg", params=ours.named_parameters())
    a = torch.optim.SGD(ours.parameters(), lr=0.1)
    b = torch.optim.SGD(theirs.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        for optimizer, total in (
            (a, lambda: loss(ours(x), y)),
            (b, lambda: nn.functional.mse_loss(theirs(x), y)),
        ):
            optimizer.zero_grad()
            total().backward()
            optimizer.step()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p, q)


def test_it_stands_beside_other_terms_and_is_logged():
    network = model()
    loss = losslang.compile("mse + 1e-3*l2_reg + 1e-4*l1_reg(match='2.*')", params=network.named_parameters())
    assert loss.inputs == ("pred", "target")
    out = loss.detail(torch.zeros(2, 3), torch.ones(2, 3))
    assert out.names == ("mse", "l2_reg", "l1_reg")
    assert out.contributions.sum() == out.total


def test_parameters_are_no_part_of_the_loss():
    """Not of its state, its copies or its checkpoints; a copy points at the same ones."""
    network = model()
    loss = losslang.compile("mse + l2_reg", params=network.named_parameters())
    assert list(loss.parameters()) == []
    assert list(loss.state_dict()) == []
    twin = copy.deepcopy(loss)
    (gradient,) = torch.autograd.grad(twin(torch.zeros(1), torch.zeros(1)), network[0].weight)
    close(gradient, network[0].weight.detach())
    file = io.BytesIO()
    pickle.dump(loss, file)
    assert file.tell() < 20_000
    file.seek(0)
    with pytest.raises(losslang.LossError, match="E520"):
        pickle.load(file)(torch.zeros(1), torch.zeros(1))


def test_float16_parameters_are_summed_in_float32():
    weight = nn.Parameter(torch.full((70_000,), 2.0, dtype=torch.float16))
    assert losslang.compile("l2_reg", params=[("w", weight)])().item() == 140_000


def test_what_is_wrong_is_said_before_anything_runs():
    with pytest.raises(losslang.LossError, match="E520"):
        losslang.compile("mse + l2_reg")
    with pytest.raises(losslang.LossError, match="E521"):
        losslang.compile("mse + l2_reg(match='*.wieght')", params=model().named_parameters())
    assert [d.code for d in losslang.check("l2_reg@seg")] == ["E304"]
    assert [d.code for d in losslang.check("l2_reg(mask=batch.m)")] == ["E205"]
    assert [d.code for d in losslang.check("l2_reg(reduction=sum)")] == ["E205"]
    assert [d.code for d in losslang.check("l2_reg(sigmoid)")] == ["E301"]


def test_it_compiles_in_one_graph():
    network = model()
    loss = losslang.compile("mse + 0.1*l2_reg", params=network.named_parameters())
    x, y = torch.randn(5, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    traced = torch.compile(loss, fullgraph=True, backend="eager")
    close(traced(x, y), loss(x, y))


# -------------------------------------------------------------------- validate


BAD = (torch.randn(3, 4), torch.tensor([0, 3, 1]))


def test_values_are_looked_at_in_the_first_call():
    loss = losslang.compile("dice(identity, batch=true)")
    fine, wrong = torch.rand(2, 3, 4), 5 * torch.rand(2, 3, 4) + 2
    target = torch.randint(3, (2, 4))
    loss(fine, target)
    loss(wrong, target)
    with pytest.raises(losslang.LossError, match="E507"):
        losslang.compile("dice(identity, batch=true)")(wrong, target)


def test_or_always_or_never():
    fine, wrong = torch.rand(2, 3, 4), 5 * torch.rand(2, 3, 4) + 2
    target = torch.randint(3, (2, 4))
    always = losslang.compile("dice(identity, batch=true)", validate="always")
    always(fine, target)
    with pytest.raises(losslang.LossError, match="E507"):
        always(wrong, target)
    losslang.compile("dice(identity, batch=true)", validate="never")(wrong, target)
    with pytest.raises(ValueError, match="'first', 'always', 'never'"):
        losslang.compile("ce", validate="sometimes")  # pyright: ignore


def test_a_box_that_is_none():
    good, bad = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 1, 0, 2]])
    for pred, target, operand in ((bad, good, "pred"), (good, bad, "target")):
        with pytest.raises(losslang.LossError, match=f"`{operand}` of `giou` holds a box with x2 < x1"):
            losslang.compile("giou")(pred, target)
    losslang.compile("giou(format=xywh)")(bad, good)
    losslang.compile("giou", validate="never")(bad, good)
    losslang.compile("giou(mask=batch.m)")(
        bad.repeat(2, 1), good.repeat(2, 1), m=torch.tensor([False, False])
    )


def test_a_shared_parameter_counts_once():
    network = model()
    twice = [("a", network[0].weight), ("b", network[0].weight)]
    close(losslang.compile("l2_reg", params=twice)(), FORMS["l2_reg"](network[0].weight))


@pytest.mark.parametrize("params", [[], list(model().parameters())])
def test_parameters_without_names_are_told_so(params: object):
    with pytest.raises(TypeError, match=r"model\.named_parameters"):
        losslang.compile("l2_reg", params=params)  # pyright: ignore


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (dict(model().named_parameters()), r"\.items\(\)"),
        (model().parameters(), "have no names"),
        (iter(()), "empty or used up"),
        (model().named_parameters, "call it"),
        (7, "not a int"),
    ],
)
def test_what_is_no_list_of_parameters_is_told_what_it_is(params: object, said: str):
    with pytest.raises(TypeError, match=f"params=model.*{said}"):
        losslang.compile("l2_reg", params=params)  # pyright: ignore


def test_a_state_dict_has_no_gradient_and_a_frozen_parameter_is_fine():
    network = model()
    with pytest.warns(losslang.LossWarning, match="W351"):
        losslang.compile("0.7*l2_reg", params=network.state_dict().items())
    network.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losslang.compile("0.8*l2_reg", params=network)
        losslang.compile("0.8*l2_reg", params=network.named_parameters())


@pytest.mark.parametrize(
    ("text", "code", "fix"),
    [
        ("weight_decay(1e-4)", "E204", "`0.0001*l2_reg`"),
        ("l1_reg(1e-4)", "E204", "`0.0001*l1_reg`"),
        ("l2_reg(weight_decay=1e-4)", "E201", "`0.0001*l2_reg`"),
        ("elastic_net(alpha=0.5)", "E201", "`0.5*elastic_net`"),
        ("l2_reg@(pred)", "E304", "`l2_reg`"),
        ("l2_reg(match=['*.weight'])", "E202", "`match='*.weight'`"),
        ("l2_reg(match=['a*', 'b*'])", "E202", "`l2_reg(match='a*') + l2_reg(match='b*')`"),
        ("1e-4*l2", "E101", "`l2_reg`"),
    ],
)
def test_other_spellings_are_answered_with_ours(text: str, code: str, fix: str):
    (wrong,) = losslang.check(text)
    assert wrong.code == code
    assert fix in wrong.fix
    repaired = fix.strip("`")
    assert losslang.check(f"l2_reg({repaired})" if repaired.startswith("match") else repaired) == ()


def test_a_pattern_that_lacks_a_star_is_offered_one():
    with pytest.raises(losslang.LossError, match=r'`match="\*weight"` matches some'):
        losslang.compile("l2_reg(match=weight)", params=model())
