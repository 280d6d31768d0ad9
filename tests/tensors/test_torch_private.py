"""What answers where torch has no private name, beside the name: hidden.py runs losses without each of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from _forks import differentiates_in_a_fork
from hidden import names
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

from losslang.tensors import torch_private as private

ROOT = Path(__file__).parents[2]
X = torch.arange(3.0)


@pytest.mark.slow
@differentiates_in_a_fork
def test_without_any_private_name_the_numbers_are_the_same() -> None:
    """Without each of them, and without all: ordinary calls, in blocks, traced, compiled, transformed, with hooks."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("hidden.py")],
        # A process that forks has one thread.
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_every_name_is_looked_up() -> None:
    assert len(names()) == len(set(names())) >= 16
    assert {"_C._functorch.peek_interpreter_stack", "_C._nn.mse_loss", "Tensor._version"} <= set(names())


# ---------------------------------------------------------------------------- the answers


def told() -> dict[str, tuple[Any, Any]]:
    """What torch's name answers and what the public one does."""
    return {
        "transform": (private.current_transform() is not None, private._try_transform() is not None),
        "tracing": (private.tracing_state() is not None, private._try_tracing() is not None),
        "dual": (private.dual[private.LEVEL], private._TriedLevel()[private.LEVEL]),
        "faked or recorded": (private.is_faked_or_recorded(), private._try_modes()),
        "hooks": (private.has_saved_tensor_hooks(), private._try_to_disable_hooks()),
    }


def nothing(ask: Callable[[Tensor], None]) -> None:
    ask(X)


def inference(ask: Callable[[Tensor], None]) -> None:
    with torch.inference_mode():
        ask(X)


def vmap(ask: Callable[[Tensor], Any]) -> None:
    torch.vmap(lambda x: (ask(x), x)[1])(X)


def grad(ask: Callable[[Tensor], Any]) -> None:
    torch.func.grad(lambda x: (ask(x), x.sum())[1])(X)


def jvp(ask: Callable[[Tensor], Any]) -> None:
    torch.func.jvp(lambda x: (ask(x), x)[1], (X,), (X,))


def dual(ask: Callable[[Tensor], None]) -> None:
    with forward_ad.dual_level():
        ask(X)


def jit(ask: Callable[[Tensor], Any]) -> None:
    torch.jit.trace(lambda x: (ask(x), x + 1)[1], (X,), check_trace=False)  # pyright: ignore


def fx(ask: Callable[[Tensor], Any]) -> None:
    make_fx(lambda x: (ask(x), x + 1)[1])(X)


def fake(ask: Callable[[Tensor], None]) -> None:
    with FakeTensorMode() as mode:
        ask(mode.from_tensor(X))


def hooks(ask: Callable[[Tensor], None]) -> None:
    with torch.autograd.graph.save_on_cpu():
        ask(X)
        ask(X)


def no_hooks(ask: Callable[[Tensor], None]) -> None:
    """Disabled by somebody else, who finds them so again."""
    with torch.autograd.graph.disable_saved_tensors_hooks("none here"):
        ask(X)
        with pytest.raises(RuntimeError, match="none here"), torch.autograd.graph.save_on_cpu():
            pass


def again(ask: Callable[[Tensor], Any]) -> None:
    checkpoint(lambda x: (ask(x), x + 1)[1], X, use_reentrant=False)  # pyright: ignore


SITUATIONS: dict[Callable[..., None], set[str]] = {
    nothing: set(),
    inference: set(),
    vmap: {"transform"},
    grad: {"transform"},
    jvp: {"transform", "dual"},
    dual: {"dual"},
    jit: {"tracing"},
    fx: {"faked or recorded"},
    fake: {"faked or recorded"},
    hooks: {"hooks"},
    no_hooks: set(),
    again: {"hooks"},
}


@pytest.mark.filterwarnings("ignore:.*torch:DeprecationWarning", "ignore:.*torch:FutureWarning")
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda f: f.__name__)
def test_the_public_answer_is_that_of_torchs_name(situation: Callable[..., None]) -> None:
    every: list[dict[str, tuple[Any, Any]]] = []
    situation(lambda x: every.append(told()))
    assert every
    for answers in every:
        for question, (own, public) in answers.items():
            yes = question in SITUATIONS[situation]
            assert (own, public) == ((0, 0) if yes else (-1, -1)) if question == "dual" else (yes, yes), (
                question
            )


@contextmanager
def batched() -> Iterator[list[Tensor]]:
    """The gradient that a backward pass is handed for many at once."""
    seen: list[Tensor] = []

    class Seeing(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
            return x.clone()

        @staticmethod
        def backward(ctx: Any, flow: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
            seen.append(flow)
            assert private.is_batched(flow)
            assert private._has_no_memory(flow)
            return flow

    x = X.clone().requires_grad_()
    torch.autograd.grad(Seeing.apply(x), x, torch.eye(3), is_grads_batched=True)
    yield seen


def test_a_batch_of_gradients_has_no_memory_to_ask_for() -> None:
    with batched() as seen:
        assert len(seen) == 1
    for plain in (X, X[::2], X.expand(2, 3), torch.empty(0), X.to("meta")):
        assert not private.is_batched(plain)
        assert not private._has_no_memory(plain)


def test_memory_is_told_apart_by_its_address() -> None:
    """What has no address may be anybody's."""
    for answer in (private.memory_of, private._address):
        first, view, other = (answer(x.untyped_storage()) for x in (X, X[1:], X.clone()))
        assert first == view != other
    mode = FakeTensorMode()
    assert private._address(mode.from_tensor(X).untyped_storage()) is None
    assert private._address(X.to("meta").untyped_storage()) is None


def test_writes_are_counted() -> None:
    written = torch.ones(3)
    assert private.count_writes(written) == 0
    written.mul_(1)
    assert private.count_writes(written) == 1


# ---------------------------------------------------------------------------- tensors inside of other values


class Pair(NamedTuple):
    low: Any
    high: Any


NESTED = [
    X,
    {"b": 1, "a": [X, (2, None)]},
    [],
    Pair(X, {"c": Pair(1, 2)}),
    OrderedDict(b=X, a=(X,)),
    defaultdict(list, a=[X]),
    deque([1, X], maxlen=4),
    ({}, (), [[X]]),
]


@pytest.mark.parametrize("value", NESTED, ids=lambda value: type(value).__name__)
def test_leaves_are_found_as_torch_finds_them(value: Any) -> None:
    (own, own_shape), (leaves, shape) = private.tree_flatten(value), private._flatten(value)
    assert [id(leaf) for leaf in leaves] == [id(leaf) for leaf in own]
    numbers = list(range(len(leaves)))
    found, wanted = private._unflatten(numbers, shape), private.tree_unflatten(numbers, own_shape)
    assert found == wanted
    assert type(found) is type(wanted)
    assert getattr(found, "maxlen", None) == getattr(wanted, "maxlen", None)
    assert getattr(found, "default_factory", None) == getattr(wanted, "default_factory", None)
