"""`params=model`: terms on parameters read what the model has now, under the names that matched."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import losslang

R = torch.Generator().manual_seed(6)
X, Y = torch.randn(8, 4, generator=R), torch.randn(8, 2, generator=R)
TEXT = "mse + 0.1*l2_reg(match='*.weight')"


def model() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))


def by_hand(network: Any) -> Tensor:
    # First: a forward pass renews what pruning keeps.
    error = nn.functional.mse_loss(network(X), Y)
    squares = [network[i].weight.square().sum() / 2 for i in (0, 2)]
    return error + 0.1 * (squares[0] + squares[1])


def step(network: nn.Module, value: Tensor) -> None:
    gradients = torch.autograd.grad(value, list(network.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter -= 0.1 * gradient


def follows(loss: losslang.Loss, network: Any) -> None:
    """Three steps of training give the numbers and the parameters of the form by hand."""
    with torch.no_grad():
        # What pruning keeps of a forward pass must have no graph to be copied.
        network(X)
    twin = copy.deepcopy(network)
    for _ in range(3):
        found, wanted = loss(network(X), Y), by_hand(twin)
        torch.testing.assert_close(found, wanted)
        step(network, found)
        step(twin, wanted)
    for a, b in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_it_trains_as_by_hand() -> None:
    network = model()
    follows(losslang.compile(TEXT, params=network), network)


def test_parameters_that_are_replaced_are_seen() -> None:
    network = model()
    loss = losslang.compile(TEXT, params=network)
    fixed = losslang.compile(TEXT, params=network.named_parameters())
    before = fixed(X[:, :2], Y)
    other = {name: value + 1 for name, value in network.state_dict().items()}
    network.load_state_dict(other, assign=True)
    follows(loss, network)
    network[2] = nn.Linear(5, 2)
    follows(loss, network)
    torch.testing.assert_close(fixed(X[:, :2], Y), before)


def test_a_pruned_model_counts_what_the_mask_leaves() -> None:
    network = model()
    loss = losslang.compile(TEXT, params=network)
    prune.l1_unstructured(network[0], "weight", amount=0.5)  # pyright: ignore
    follows(loss, network)
    for _ in range(2):
        # No forward pass in between: the graph of the last product is gone.
        total = loss(X[:, :2].detach(), Y)
        (slope,) = torch.autograd.grad(total, network[0].weight_orig)
        torch.testing.assert_close(slope, 0.1 * network[0].weight_orig.detach() * network[0].weight_mask)
    prune.remove(network[0], "weight")  # pyright: ignore
    follows(loss, network)


def test_a_parametrized_model_counts_what_it_computes_with() -> None:
    network = model()
    loss = losslang.compile(TEXT, params=network)
    parametrizations.weight_norm(network[0])
    follows(loss, network)


# ---------------------------------------------------------------------------- copies


class Both(nn.Module):
    """A model and its loss in one module, in either order."""

    def __init__(self, first: str):
        super().__init__()
        network = model()
        if first == "net":
            self.net = network
        self.loss = losslang.compile(TEXT, params=network)
        self.net = network

    def forward(self) -> Tensor:
        return self.loss(self.net(X), Y)


class Owner(nn.Module):
    """A module whose loss reads the parameters of the module itself."""

    def __init__(self) -> None:
        super().__init__()
        self.net = model()
        self.loss = losslang.compile("l2_reg(match='net.*')", params=self)

    def forward(self) -> Tensor:
        return self.loss()


@pytest.mark.parametrize("make", [lambda: Both("net"), lambda: Both("loss"), Owner])
def test_a_copy_of_both_reads_the_copied_model(make: Any) -> None:
    both = make()
    twin = copy.deepcopy(both)
    before = both().detach()
    assert twin.loss is not both.loss
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(3)
    torch.testing.assert_close(both(), before)
    assert twin().item() != before.item()
    gradients = torch.autograd.grad(twin(), list(twin.net.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    assert len(list(both.parameters())) == len(list(twin.parameters())) == 4


def test_a_copy_of_the_loss_alone_reads_the_same_model() -> None:
    network = model()
    loss = losslang.compile(TEXT, params=network)
    follows(copy.deepcopy(loss), network)
    follows(copy.copy(loss), network)
    # Within a module that does not hold the model, too.
    follows(copy.deepcopy(nn.ModuleList([loss]))[0], network)  # pyright: ignore


def test_it_is_no_part_of_the_loss() -> None:
    network = model()
    loss = losslang.compile(TEXT, params=network)
    assert not list(loss.parameters())
    assert not loss.state_dict()
    restored = pickle.loads(pickle.dumps(loss))
    with pytest.raises(losslang.LossError, match="E520"):
        restored(X[:, :2], Y)


# ---------------------------------------------------------------------------- what is gone


def test_a_model_that_nobody_holds_is_told() -> None:
    network = model()
    loss = losslang.compile(TEXT, params=network)
    del network
    gc.collect()
    with pytest.raises(losslang.LossError, match="E540") as caught:
        loss(X[:, :2], Y)
    assert "a model that nobody holds any more" in str(caught.value)


def test_a_name_that_is_gone_is_told() -> None:
    network = model()
    loss = losslang.compile(TEXT, params=network)
    network[2] = nn.Identity()
    with pytest.raises(losslang.LossError, match="E540") as caught:
        loss(X[:, :2], Y)
    assert "`2.weight`" in str(caught.value)


def test_a_pattern_that_matches_nothing_is_told_at_once() -> None:
    with pytest.raises(losslang.LossError, match="E521"):
        losslang.compile("l2_reg(match='*.wieght')", params=model())


def test_torch_compile() -> None:
    network = model()
    loss = losslang.compile(TEXT, params=network)
    compiled = torch.compile(lambda x: loss(network(x), Y), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(X), by_hand(network))
    with torch.no_grad():
        network[0].weight.mul_(2)
    torch.testing.assert_close(compiled(X), by_hand(network))


@pytest.mark.parametrize("name", ["l2_reg", "l1_reg", "elastic_net"])
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("batch.r*{}", lambda value, r: r * value),
        ("0.1*{}*batch.r", lambda value, r: 0.1 * r * value),
        ("{}/batch.r", lambda value, r: value / r),
        ("exp(batch.r)*{}", lambda value, r: r.exp() * value),
        ("const.r*{}", lambda value, r: r * value),
        ("batch.r*(1 - {})", lambda value, r: r * (1 - value)),
        ("batch.r*(mse + 2*{})", lambda value, r: r * (1 + 2 * value)),
        ("batch.r*detach({}) + mse", lambda value, r: r * value + 1),
    ],
)
def test_a_number_of_the_call_weighs_a_loss_of_parameters(
    name: str, text: str, wanted: Callable[[Tensor, Tensor], Tensor]
) -> None:
    model, r = nn.Linear(3, 2).double(), torch.tensor(2.5, dtype=torch.float64)
    pred = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    target = torch.ones(4, dtype=torch.float64)
    plain = losslang.compile(name, params=model)()
    loss = losslang.compile(text.format(name), params=model, const={"r": r} if "const" in text else None)
    keywords = {"r": r} if "batch" in text else {}
    found = loss(pred, target, **keywords) if "mse" in text else loss(**keywords)
    torch.testing.assert_close(found, wanted(plain, r), rtol=1e-12, atol=0)
