"""What losslang computes where torch lacks a private name: each name hidden in a process of its own.

`python hidden.py` prints what differs from a process that hides nothing, a line each. `python hidden.py NAME...` tries
these alone.
"""

from __future__ import annotations

import ast
import copy
import importlib
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

import losslang
from losslang.vocabulary import Float, Tensor, Total

PRIVATE = "losslang.tensors.torch_private"
FILE = Path(__file__).parents[2].joinpath(*PRIVATE.split(".")).with_suffix(".py")
Numbers = dict[str, list[float]]

R = torch.Generator().manual_seed(3)
X = torch.randn(4, 3, 5, generator=R, dtype=torch.float64)
LABELS = torch.randint(0, 3, (4, 5), generator=R)
YES = (torch.rand(4, 3, 5, generator=R) > 0.5).double()
SOME = LABELS.where(torch.rand(4, 5, generator=R) > 0.3, 255)
CALLS: dict[str, Tensor] = {
    "mse": YES,
    "huber(delta=0.5) + smooth_l1": YES,
    "pseudo_huber": YES,
    "bce(sigmoid) + dice(sigmoid)": YES,
    "dice(sigmoid) + tversky(sigmoid, alpha=0.3, beta=0.7)": YES,
    "bce(sigmoid) + focal(sigmoid)": YES,
    "ce + dice": LABELS,
    "ce(ignore_index=255) + dice(softmax, ignore_index=255)": SOME,
    "ce(ignore_index=255, label_smoothing=0.1)": SOME,
    "ce(class_weight=balanced)": LABELS,
    "nll(log_softmax)": LABELS,
    "ghm_c(sigmoid, momentum=0.5, bins=4)": YES,
}
COMPILED = ("mse", "huber(delta=0.5) + smooth_l1", "ce + dice")


class Pair(NamedTuple):
    low: Tensor
    high: Tensor


def names() -> list[str]:
    """The names that the file looks up."""
    calls = [node for node in ast.walk(ast.parse(FILE.read_text())) if isinstance(node, ast.Call)]
    found: list[str] = []
    for call in calls:
        match call:
            case ast.Call(func=ast.Name("find"), args=[ast.Constant(str(name))]):
                found.append(name)
            case ast.Call(func=ast.Name("_kernel"), args=[ast.Constant(str(name))]):
                found.append(f"_C._nn.{name}")
            case _:
                pass
    return found


@contextmanager
def hidden(name: str) -> Iterator[None]:
    """torch has no such name, for those that look for it now."""
    path, _, last = name.rpartition(".")
    holder: Any = torch
    for part in path.split("."):
        holder = getattr(holder, part)
    own, is_own = getattr(holder, last), last in vars(holder)
    setattr(holder, last, None)
    try:
        yield
    finally:
        setattr(holder, last, own)
        if not is_own:  # a base class has it
            delattr(holder, last)


def answers() -> dict[str, str]:
    """What answers each question."""
    every = vars(importlib.import_module(PRIVATE)).items()
    kept = {name: value for name, value in every if not name.startswith("_") and name != "find"}
    return {
        name: f"{type(value).__name__} {value.__qualname__ if isinstance(value, FunctionType) else ''}"
        for name, value in kept.items()
    }


# ---------------------------------------------------------------------------- uses


def slopes(call: Callable[[Tensor], Tensor]) -> list[float]:
    """The value and the gradient."""
    x = X.clone().requires_grad_()
    value = call(x)
    return [value.item(), *torch.autograd.grad(value, x)[0].flatten().tolist()]


def ordinary(text: str, target: Tensor) -> Numbers:
    """Calls of one signature, each of which may go another way; in blocks; and what a loss remembers."""
    from cutting import cut

    loss = losslang.compile(text)
    found = {f"call {turn}": slopes(lambda x: loss(x, target)) for turn in range(3)}
    found["memory"] = memory_of(loss)
    with cut(3):
        cut_loss = losslang.compile(text)
        found["in blocks"] = slopes(lambda x: cut_loss(x, target))
    return found


def handed_over(text: str, target: Tensor) -> Numbers:
    """Calls of which hooks or a mode see what is saved, or every operation."""
    loss = losslang.compile(text).eval()
    packed: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        packed.append(tensor.numel())
        return tensor.clone()

    found = {"checkpoint": slopes(lambda x: checkpoint(loss, x, target, use_reentrant=False))}  # pyright: ignore
    with torch.autograd.graph.save_on_cpu():
        found["save_on_cpu"] = slopes(lambda x: loss(x, target))
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        found["mode"] = slopes(lambda x: loss(x, target))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        found["hooks"] = slopes(lambda x: loss(x, target))
    if " + " not in text:  # terms may save a sum each or have one in common
        found["saved"] = sorted(packed)
    return found


def transformed(text: str, target: Tensor) -> Numbers:
    """torch.func, forward-mode differentiation, batches of gradients, second derivatives."""
    loss = losslang.compile(text)
    found = {
        "grad": torch.func.grad(lambda x: loss(x, target))(X).flatten().tolist(),
        "jvp": [n.item() for n in torch.func.jvp(lambda x: loss(x, target), (X,), (torch.ones_like(X),))],
    }
    if not list(loss.buffers()):  # what a loss remembers is not written to under vmap
        found["vmap"] = torch.vmap(lambda x: loss(x, target))(torch.stack([X, X + 1])).tolist()
    x = X.clone().requires_grad_()
    with forward_ad.dual_level():
        dual = loss(forward_ad.make_dual(x, torch.ones_like(X)), target)  # pyright: ignore
        found["dual"] = [forward_ad.unpack_dual(dual).tangent.item()]  # pyright: ignore
    found["memory"] = memory_of(loss)
    flows = torch.tensor([1.0, -2.0], dtype=X.dtype)
    (many,) = torch.autograd.grad(loss(x, target), x, flows, is_grads_batched=True)
    found["batched"] = many.flatten().tolist()
    (first,) = torch.autograd.grad(loss(x, target), x, create_graph=True)
    found["second"] = torch.autograd.grad(first.square().sum(), x)[0].flatten().tolist()
    return found


def traced(text: str, target: Tensor) -> Numbers:
    """Traced on one prediction and called with another, before anything else has run the loss; and fake."""

    def loss(x: Tensor, t: Tensor) -> Tensor:
        return made(x, t)

    made = losslang.compile(text).eval()
    found = {"make_fx": [make_fx(loss)(X, target)(X + 1, target).item()]}
    made = losslang.compile(text).eval()
    written: Any = torch.jit.trace(loss, (X, target), check_trace=False)  # pyright: ignore
    found["jit"] = [written(X + 1, target).item()]
    with FakeTensorMode() as mode:
        made = losslang.compile(text).eval()
        fake = made(mode.from_tensor(X), mode.from_tensor(target))
        found[type(fake).__name__] = [fake.ndim]
    return found


def compiled(text: str, target: Tensor) -> Numbers:
    """By torch.compile and torch.export."""
    if text not in COMPILED:
        return {}
    torch._dynamo.reset()
    loss = losslang.compile(text)
    traced = torch.compile(loss, backend="eager", fullgraph=True)
    found = {"compiled": slopes(lambda x: traced(x, target))}
    exported = torch.export.export(loss, (X, target), strict=False)
    found["exported"] = [exported.module()(X + 1, target).item()]
    return found


def refusals() -> Numbers:
    """Values are looked at: a label that is no class."""
    try:
        losslang.compile("ce")(X, LABELS + 1)
    except losslang.LossError as error:
        return {f"refused as {error.diagnostics[0].code}": []}
    return {}


def constants() -> Numbers:
    """Tensors inside of what `const` holds, moved with the loss and copied."""
    low, high = torch.tensor(2.0), torch.tensor(3.0)
    given = {"a": {"low": [low], "pair": Pair(low, high)}, "b": (high, 1)}
    text = "const.a.low[0]*mse + const.a.pair.high*mae + const.b[0]*huber"
    loss = copy.deepcopy(losslang.compile(text, const=given).double())
    pair = loss.const["a"]["pair"]
    return {
        f"a {type(pair).__name__} of constants": [pair.high.dtype.itemsize],
        "constants": slopes(lambda x: loss(x, YES)),
    }


def tilted(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x t."""
    return values * target


def in_place(
    probs: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"], total: Total
) -> Float[Tensor, "b c"]:
    """1 - (2 Σ p t + 1) / (Σ p + Σ t + 1)."""
    overlap, predicted, true = total(probs * target, probs, target)
    overlap *= 2
    predicted += true
    return 1 - (overlap + 1) / (predicted + 1)


def by_others() -> Numbers:
    """A slope that is the target itself, and a loss that computes in its sums, which others have in common with it."""
    losslang.loss(activation="identity")(tilted).slope(lambda values, target: (values * target, target))
    losslang.loss(activation="sigmoid")(in_place)
    target = YES.clone()
    found: Numbers = {}
    for text in ("3*tilted", "in_place(sigmoid) + dice(sigmoid)"):
        loss = losslang.compile(text)
        for turn in range(3):
            x = X.clone().requires_grad_()
            value = loss(x, target)
            found[f"{text}, call {turn}"] = [
                value.item(),
                *torch.autograd.grad(value, x)[0].flatten().tolist(),
            ]
    return found | {"the target": target.flatten().tolist()}


def memory_of(loss: Any) -> list[float]:
    return [number for memory in loss.buffers() for number in memory.tolist()]


def everything() -> Numbers:
    """Every number, by the program and the use that it is of."""
    found = refusals() | constants() | by_others()
    for use in (traced, compiled, transformed, handed_over, ordinary):
        for text, target in CALLS.items():
            found |= {f"{text}, {use.__name__}, {name}": own for name, own in use(text, target).items()}
    return found


def warm_up() -> None:
    """Nothing is differentiated: torch refuses to go on with that in a forked process."""
    losslang.check("ce + dice")
    torch.compile(torch.square, backend="eager")(torch.ones(1))
    make_fx(torch.square)(X)
    FakeTensorMode()


def numbers(hide: list[str]) -> tuple[dict[str, str], Numbers]:
    """What answers, and every number of a process in which torch lacked these names when losslang was loaded."""
    assert PRIVATE not in sys.modules
    with ExitStack() as stack:
        for name in hide:
            stack.enter_context(hidden(name))
        answering = answers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return answering, everything()


def alone(hide: list[str]) -> tuple[dict[str, str], Numbers]:
    """The same, in a process of its own."""
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.close(reader)
        with os.fdopen(writer, "w") as out:
            json.dump(numbers(hide), out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        found = said.read()
    _, status = os.waitpid(child, 0)
    assert not status, f"the process that hides {hide} died of {status}"
    return json.loads(found)


def differences(hide: list[str], known: tuple[dict[str, str], Numbers]) -> Iterator[str]:
    answering, found = alone(hide)
    if answering == known[0]:
        yield "nothing answers differently"
    yield from (f"{name} is missing" for name in known[1].keys() - found.keys())
    yield from (f"{name} is new" for name in found.keys() - known[1].keys())
    for name in known[1].keys() & found.keys():
        wanted, own = known[1][name], found[name]
        close = [math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) for a, b in zip(wanted, own, strict=False)]
        if len(wanted) != len(own) or not all(close):
            yield f"{name}: {own[:3]}... and not {wanted[:3]}..."


if __name__ == "__main__":
    # A thread does not survive a fork.
    torch.set_num_threads(1)
    # What torch and losslang do only once is done before anything is forked; to check a program loads no torch.
    warm_up()
    every = names()
    nothing = alone([])
    for hide in [[name] for name in sys.argv[1:]] or [*([name] for name in every), every]:
        for said in differences(hide, nothing):
            print(f"without {hide[0] if len(hide) == 1 else 'all of them'}: {said}")
