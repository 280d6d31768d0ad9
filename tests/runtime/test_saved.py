"""What a compiled loss leaves in checkpoints, pickles and copies: nothing that `nn.CrossEntropyLoss()` would not.

What other libraries do with a `state_dict` is done here by hand; tests/libraries does it with the libraries.
"""

from __future__ import annotations

import copy
import io
import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import losslang
from losslang import LossError, LossWarning
from losslang.runtime.checkpoint import Lock, from_state, to_tensor, understood, written
from losslang.runtime.constants import Constants

R = torch.Generator().manual_seed(5)
X, Y = torch.randn(6, 3, generator=R), torch.tensor([0, 2, 1, 1, 0, 2])
GHM = "ghm_c(sigmoid, momentum=0.5, bins=4)"
HOT = nn.functional.one_hot(Y, 3).float()
KEYS = ["memory_ghm_c", "_extra_state"]


class Model(nn.Module):
    """A network that holds its loss, as a LightningModule does."""

    def __init__(self, loss: nn.Module | None = None, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.net = nn.Linear(3, 3)
        if loss is not None:
            self.loss = loss


def remembering(text: str = GHM, **more: Any) -> losslang.Loss:
    """A loss that remembers something."""
    loss = losslang.compile(text, **more)
    loss(X, HOT)
    return loss


def same(one: losslang.Loss, other: losslang.Loss) -> None:
    """Both remember the same."""
    assert [k for k, _ in one.named_buffers()] == [k for k, _ in other.named_buffers()]
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), other.buffers(), strict=True))


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def old_file(loss: losslang.Loss) -> dict[str, Any]:
    """The `state_dict` of the first version: a mapping in place of bytes, in every loss."""
    state = {k: v for k, v in loss.state_dict().items() if k != "_extra_state"}
    terms = {t.name: str(t) for t in loss.meaning.terms}
    return {**state, "_extra_state": {"fingerprint": loss.fingerprint, "terms": terms}}


# -------------------------------------------------------------------- no tensors, no keys


@pytest.mark.parametrize(
    ("text", "const"),
    [
        ("ce + dice", {}),
        ("ce(class_weight=const.w)", {"w": torch.ones(3)}),
        ("ce(class_weight=const.w)", {"w": [1.0, 2.0, 3.0]}),
        ("const.k*mse", {"k": 2.0}),
        ("perceptual(net=const.net)", {"net": nn.Conv2d(1, 2, 3).requires_grad_(False)}),
    ],
)
def test_a_loss_without_tensors_of_its_own_has_no_key(text: str, const: dict[str, Any]):
    loss = losslang.compile(text, const=const)
    assert dict(loss.state_dict()) == {}
    assert list(loss.parameters()) == []
    assert list(Model(loss).state_dict()) == list(Model().state_dict())


@pytest.mark.parametrize("assign", [False, True])
def test_checkpoints_from_before_and_after_fit_both_ways(assign: bool):
    """With a plain criterion, with this loss, without any."""
    for here in (nn.CrossEntropyLoss(), losslang.compile("ce + dice"), None):
        for there in (nn.CrossEntropyLoss(), losslang.compile("ce"), None):
            a, b = Model(here, seed=1), Model(there, seed=2)
            a.load_state_dict(through_a_file(b.state_dict()), strict=True, assign=assign)
            assert torch.equal(a.net.weight, b.net.weight)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("text", ["ce", GHM])
def test_a_file_of_the_first_version_loads(text: str, assign: bool):
    """Its mapping goes, what it remembers is kept, and the same program gives no warning."""
    saved, loss = losslang.compile(text), losslang.compile(text)
    saved(X, HOT)
    state = old_file(saved)
    state |= {f"net.{k}": v for k, v in nn.Linear(3, 3).state_dict().items()}
    model = Model(loss)
    state = {k if k.startswith("net") else f"loss.{k}": v for k, v in state.items()}
    model.load_state_dict(state, assign=assign)
    same(loss, saved)
    with pytest.warns(LossWarning, match=r"W308(?s:.*)2 \| mse\n  \| \^\^\^ this one"):
        losslang.compile("\nmse\n").load_state_dict(old_file(saved))


def test_a_trained_constant_that_the_first_version_did_not_save_stays_as_it_is():
    loss = losslang.compile("const.s*mse", const={"s": nn.Parameter(torch.ones(()))})
    state = {key: value for key, value in old_file(loss).items() if key == "_extra_state"}
    loss.load_state_dict(state, strict=True)
    assert loss.const["s"].item() == 1


def test_a_frozen_network_of_the_first_version_is_loaded():
    """It was saved then. So is one loaded that has been trained where the file is from."""
    trained = losslang.compile("perceptual(net=const.net)", const={"net": nn.Conv2d(1, 2, 3)})
    net = nn.Conv2d(1, 2, 3).requires_grad_(False)
    loss = losslang.compile("perceptual(net=const.net)", const={"net": net})
    loss.load_state_dict(old_file(trained))
    assert torch.equal(net.weight, trained.const["net"].weight)
    wrong = {**trained.state_dict(), "const_net.weight": torch.zeros(1)}
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        loss.load_state_dict(wrong)


# -------------------------------------------------------------------- its tensors and its lock


def test_what_a_loss_remembers_is_in_the_checkpoint():
    loss, other = remembering(), losslang.compile(GHM)
    state = through_a_file(loss.state_dict())
    assert list(state) == KEYS
    assert state["_extra_state"].dtype == torch.uint8
    assert all(isinstance(value, Tensor) for value in state.values())
    other.load_state_dict(state)
    same(loss, other)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("prefix", ["", "loss.", "module.model.loss."])
def test_under_every_prefix(prefix: str, assign: bool):
    loss, other = remembering(), losslang.compile(GHM)
    inside, twin = (nn.Module(), nn.Module()) if prefix else (loss, other)
    for module, leaf in ((inside, loss), (twin, other)) if prefix else ():
        for name in prefix.split(".")[:-2]:
            module.add_module(name, nn.Module())
            module = module.get_submodule(name)
        module.add_module("loss", leaf)
    state = inside.state_dict()
    assert list(state) == [prefix + key for key in KEYS]
    twin.load_state_dict(state, assign=assign)
    same(loss, other)


@pytest.mark.parametrize("change", [torch.Tensor.half, torch.Tensor.bfloat16, torch.Tensor.double])
@pytest.mark.parametrize("assign", [False, True])
def test_a_state_in_another_type(change: Callable[[Tensor], Tensor], assign: bool):
    """Bytes are whole numbers up to 255, which every type holds; the memory is float32 again."""
    loss = remembering()
    state = {key: change(value) for key, value in loss.state_dict().items()}
    other = losslang.compile(GHM)
    other.load_state_dict(state, assign=assign)
    same(loss, other)
    assert all(b.dtype == torch.float32 for b in other.buffers())
    with pytest.warns(LossWarning, match="another loss"):
        losslang.compile(GHM + " + 2*mse").load_state_dict(state)


def test_another_program_is_named_and_never_refused():
    """By its terms. What has no place here is left out, what is missing stays as it was."""
    loss = remembering(GHM + " + 0.5*mse")
    for text, changes in {
        "ghm_c(sigmoid, momentum=0.5, bins=9) + 0.5*mse": ["ghm_c: bins 4 -> 9\n"],
        GHM + " + mse": ["mse: weight 0.5 -> 1\n"],
        "ghm_r(momentum=0.5) + 0.5*mse": ["ghm_c: gone\n", "ghm_r: added\n"],
        "mse": ["ghm_c: gone\n", "mse: weight 0.5 -> 1\n"],
    }.items():
        other = losslang.compile(text)
        before = [b.clone() for b in other.buffers()]
        with pytest.warns(
            LossWarning, match=r"warning\[W308\]: the checkpoint was made with another loss"
        ) as told:
            Model(other).load_state_dict(Model(loss).state_dict())
        (said,) = (str(w.message) for w in told)
        assert all(change in said for change in changes), said
        assert ("mse: " in said) == any("mse: " in change for change in changes)
        if "bins=4" not in text:
            assert all(torch.equal(a, b) for a, b in zip(before, other.buffers(), strict=True))


def test_the_same_mathematics_is_the_same_program():
    saved = remembering(GHM + " + mse").state_dict()
    losslang.compile("a = 1; mse + a*" + GHM).load_state_dict(saved)


HEADS = "a = ghm_c(sigmoid, momentum=0.5, bins=4)@edge; b = ghm_c(sigmoid, momentum=0.5, bins=4)@depth; "


def two_heads(order: str = "a + b") -> tuple[losslang.Loss, dict[str, Tensor]]:
    """A loss whose two terms remember different things, and what each does, by its term."""
    loss = losslang.compile(HEADS + order)
    loss({"edge": X, "depth": 5 * X}, {"edge": HOT, "depth": 1 - HOT})
    a, b = loss.memory_a.clone(), loss.memory_b.clone()
    assert not torch.equal(a, b)
    return loss, {"a": a, "b": b}


@pytest.mark.parametrize("file", ["new", "numbered", "numbered, no lock"])
@pytest.mark.parametrize(
    ("text", "owners"),
    [
        (HEADS + "a + b", {"a": "a", "b": "b"}),
        (HEADS + "b + a", {"a": "a", "b": "b"}),
        (HEADS.replace("a =", "c =") + "b + c", {"c": "a", "b": "b"}),
        (HEADS + "2*b + mse(pred=pred.edge, target=target.edge) + a", {"a": "a", "b": "b"}),
        ("ghm_c(sigmoid, momentum=0.5, bins=4)@depth", {"ghm_c:depth": "b"}),
        ("b = ghm_c(sigmoid, momentum=0.5, bins=4)@depth; b", {"b": "b"}),
    ],
)
def test_a_memory_goes_to_its_term_in_any_order(file: str, text: str, owners: dict[str, str]):
    """In files of before too, which number the memories in the order of the terms of their lock text."""
    loss, remembered = two_heads()
    state = loss.state_dict()
    if file != "new":
        state = {
            "memory_ghm_c_1": state["memory_a"],
            "memory_ghm_c_2": state["memory_b"],
            "_extra_state": state["_extra_state"],
        }
    if file == "numbered, no lock":
        del state["_extra_state"]
        text, owners = HEADS + "a + b", {"a": "a", "b": "b"}
    other = losslang.compile(text)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*W308")
        other.load_state_dict(state)
    assert sorted(name for name, _ in other.named_buffers()) == sorted(f"memory_{owner}" for owner in owners)
    for owner, of_file in owners.items():
        assert torch.equal(getattr(other, f"memory_{owner}"), remembered[of_file])


def test_a_pickle_of_before_numbers_its_memories():
    loss, remembered = two_heads("b + a")
    rebuild, (record,), state = loss.__reduce__()
    buffers = {
        "memory_ghm_c_1": state["_buffers"]["memory_b"],
        "memory_ghm_c_2": state["_buffers"]["memory_a"],
    }
    twin = rebuild(record)
    twin.__setstate__({**state, "_buffers": buffers})
    assert {name: memory.tolist() for name, memory in twin.named_buffers()} == {
        f"memory_{name}": memory.tolist() for name, memory in remembered.items()
    }


def test_several_memories_in_one_term():
    """The second has a number behind, and no other term can have its key."""
    text = f"both = {GHM} * ghm_r(momentum=0.2); both_2 = {GHM}; both + both_2"
    loss = remembering(text)
    assert list(loss.state_dict()) == ["memory_both", "memory_both#2", "memory_both_2", "_extra_state"]
    kept = list(loss.buffers())
    state = {
        f"memory_{key}": memory for key, memory in zip(("ghm_c_1", "ghm_r_2", "ghm_c_3"), kept, strict=True)
    }
    other = losslang.compile(text)
    other.load_state_dict({**state, "_extra_state": loss.state_dict()["_extra_state"]})
    same(loss, other)


def test_a_memory_that_a_file_lacks_is_named():
    loss, _ = two_heads()
    model = Model(loss)
    without = {key: value for key, value in model.state_dict().items() if not key.startswith("loss.")}
    with pytest.warns(LossWarning, match=r"W321.*holds no memory of `a` and `b`") as told:
        model.load_state_dict(without)
    assert len(told) == 1
    unkept = Model(losslang.compile("ghm_c(sigmoid, bins=4)"))
    unkept.load_state_dict({key: value for key, value in unkept.state_dict().items() if "loss" not in key})


def test_a_memory_of_another_length_is_named():
    old = remembering("ghm_c(sigmoid, momentum=0.5, bins=10)").state_dict()
    with pytest.warns(LossWarning, match=r"(?s)W308.*the memory of `ghm_c` stays as it is here") as told:
        losslang.compile("ghm_c(sigmoid, momentum=0.5, bins=12)").load_state_dict(old)
    assert len(told) == 1


@pytest.mark.filterwarnings("ignore:(?s).*W321")
def test_a_missing_lock_or_memory_is_no_mistake():
    loss = remembering()
    state = loss.state_dict()
    other = losslang.compile(GHM)
    other.load_state_dict({"memory_ghm_c": state["memory_ghm_c"]})
    same(loss, other)
    before = [b.clone() for b in loss.buffers()]
    loss.load_state_dict({"_extra_state": state["_extra_state"]})
    loss.load_state_dict({})
    assert all(torch.equal(a, b) for a, b in zip(before, loss.buffers(), strict=True))


@pytest.mark.filterwarnings("ignore:(?s).*W321")
@pytest.mark.parametrize("noise", [0, 1, 300, 4096])
def test_bytes_that_are_no_lock_say_nothing(noise: int):
    """An average that cuts off, or memory that nothing was written to: no program is made up of it."""
    bytes_ = torch.randint(256, (noise,), generator=R, dtype=torch.uint8)
    remembering().load_state_dict({"_extra_state": bytes_})
    lock = losslang.compile(GHM).state_dict()["_extra_state"]
    remembering("ghm_r(momentum=0.5)").load_state_dict({"_extra_state": lock - 1})
    remembering("ghm_r(momentum=0.5)").load_state_dict({"_extra_state": torch.full((9,), torch.nan)})
    remembering("ghm_r(momentum=0.5)").load_state_dict({"_extra_state": lock.to("meta")})


def test_what_is_wrong_is_wrong_still():
    """Strict loading finds what strict loading is for."""
    loss = losslang.compile("ce(class_weight=const.w)", const={"w": nn.Parameter(torch.ones(3))})
    with pytest.raises(RuntimeError, match=r"Missing key.*const_w"):
        loss.load_state_dict({})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*whatever"):
        loss.load_state_dict({**loss.state_dict(), "whatever": torch.ones(1)})
    with pytest.raises(RuntimeError, match="size mismatch for const_w"):
        loss.load_state_dict({**loss.state_dict(), "const_w": torch.ones(4)})
    with pytest.raises(RuntimeError, match="size mismatch for memory_ghm_c"):
        losslang.compile(GHM).load_state_dict({"memory_ghm_c": torch.zeros(7)})
    assert loss.load_state_dict({"more": X}, strict=False) == (["const_w"], ["more"])


def test_the_lock_is_text():
    lock = Lock.of(losslang.compile(GHM + " + 0.5*mse").meaning)
    assert understood(written(lock)) == lock
    assert from_state(to_tensor(lock)) == lock
    assert understood(written(lock).replace("0.5", "0.6")) is None
    with torch.device("meta"):
        assert not to_tensor(lock).is_meta


# -------------------------------------------------------------------- what others do with a state_dict


class Ema:
    """An average of everything in a `state_dict`, as timm's ModelEmaV3 takes it."""

    def __init__(self, model: nn.Module, decay: float = 0.9):
        self.module, self.decay = copy.deepcopy(model).eval().requires_grad_(False), decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        pairs = zip(self.module.state_dict().items(), model.state_dict().items(), strict=True)
        for (name, mean), (other, value) in pairs:
            assert name == other
            mean.lerp_(value, 1 - self.decay) if mean.is_floating_point() else mean.copy_(value)


class OldEma(Ema):
    """The one that multiplies every entry, whatever its type, and copies the result into it."""

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        for mean, value in zip(self.module.state_dict().values(), model.state_dict().values(), strict=True):
            mean.copy_(self.decay * mean + (1 - self.decay) * value)


def trained_constant() -> dict[str, Any]:
    return {"head": nn.Linear(3, 3)}


@pytest.mark.parametrize("kind", [Ema, OldEma])
def test_an_average_of_the_weights(kind: type[Ema]):
    """The trained network of a constant is averaged though the copy is frozen; the lock stays a lock."""
    text = f"linear_ce(head=const.head)@(pred, batch.labels) + {GHM}"
    model = Model(losslang.compile(text, const=trained_constant()))
    ema = kind(model)
    wanted = {k: v.double().clone() for k, v in model.state_dict().items() if "_extra" not in k}
    for step in range(5):
        model.loss(X, HOT, labels=Y)
        with torch.no_grad():
            model.loss.const["head"].weight.add_(step)
        ema.update(model)
        for key, mean in wanted.items():
            mean.lerp_(model.state_dict()[key].double(), 0.1)
    for key, mean in wanted.items():
        torch.testing.assert_close(ema.module.state_dict()[key].double(), mean, rtol=1e-4, atol=1e-6)
    assert list(ema.module.state_dict()) == list(model.state_dict())
    Model(losslang.compile(text, const=trained_constant())).load_state_dict(ema.module.state_dict())


@pytest.mark.parametrize("buffers", [False, True])
def test_an_averaged_model(buffers: bool):
    model = Model(losslang.compile(GHM))
    mean = AveragedModel(model, use_buffers=buffers, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    for _ in range(3):
        model.loss(X, HOT)
        mean.update_parameters(model)
    twin = AveragedModel(Model(losslang.compile(GHM)), use_buffers=buffers)
    twin.load_state_dict(through_a_file(mean.state_dict()))
    same(twin.module.loss, mean.module.loss)


@pytest.mark.parametrize("text", ["ce", GHM])
def test_a_dict_of_tensors_as_safetensors_wants_it(text: str):
    """Tensors alone, contiguous, none in the memory of another; written as bytes and read again."""
    model, other = (
        Model(remembering(text) if text == GHM else losslang.compile(text)),
        Model(losslang.compile(text), 1),
    )
    state = model.state_dict()
    assert all(type(v) is Tensor and v.is_contiguous() and v.layout == torch.strided for v in state.values())
    places = [v.untyped_storage().data_ptr() for v in state.values()]
    assert len(set(places)) == len(places)
    raw = {k: (v.numpy().tobytes(), v.dtype, v.shape) for k, v in state.items()}
    read = {k: torch.frombuffer(bytearray(b), dtype=d).reshape(s) for k, (b, d, s) in raw.items()}
    assert other.load_state_dict(read, strict=True) == ([], [])
    same(model.loss, other.loss)


@pytest.mark.parametrize("text", ["ce", GHM])
def test_a_loader_that_sets_one_tensor_after_the_other(text: str):
    """transformers makes the model without data, sets what the file holds, and fills every other buffer anew."""
    saved = Model(losslang.compile(f"{text} + 0*mse(weight=const.w)", const={"w": torch.ones(6, 3)}))
    saved.loss(X, HOT)
    with torch.device("meta"):
        model = Model(
            losslang.compile(
                f"{text} + 0*mse(weight=const.w)", const={"w": torch.arange(18.0, device="cpu").view(6, 3)}
            )
        )
    for key, value in saved.state_dict().items():
        path, _, name = key.rpartition(".")
        module = model.get_submodule(path)
        if name == "_extra_state":
            module.set_extra_state(nn.Parameter(value, requires_grad=False))
        else:
            setattr(module, name, value if name in module._buffers else nn.Parameter(value))
    for module in model.modules():
        for name in module._non_persistent_buffers_set:
            setattr(module, name, torch.full_like(module._buffers[name], torch.nan, device="cpu"))
    assert not any(value.is_meta for value in (*model.parameters(), *model.buffers()))
    assert model.loss.const["w"].flatten().tolist() == list(range(18))
    same(model.loss, saved.loss)


@pytest.mark.parametrize("text", ["ce", GHM])
def test_torchs_own_distributed_checkpoint(text: str):
    """Which looks every key up in the module."""
    saved, model = Model(losslang.compile(text)), Model(losslang.compile(text), 1)
    saved.loss(X, HOT)
    state = get_model_state_dict(saved)
    assert list(state) == list(saved.state_dict())
    set_model_state_dict(model, state)
    same(model.loss, saved.loss)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of one process."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("text", ["ce", GHM])
def test_data_parallel_training(text: str):
    """The memory is synchronised as a buffer; a checkpoint of the wrapper is that of the model, one level deeper."""
    model = Model(losslang.compile(text))
    parallel = nn.parallel.DistributedDataParallel(model)
    model.loss(parallel.module.net(X), HOT).backward()
    state = parallel.state_dict()
    assert list(state) == [f"module.{key}" for key in model.state_dict()]
    other = nn.parallel.DistributedDataParallel(Model(losslang.compile(text), 1))
    other.load_state_dict(through_a_file(state), strict=True)
    same(other.module.loss, model.loss)


def test_a_model_without_data_gets_its_memory_later():
    """`to_empty` hands over whatever stood in the memory; counts start at 0 and constants stay what they are."""
    net = nn.Conv2d(1, 2, 3).requires_grad_(False)
    kept = net.weight.clone()
    with torch.device("meta"):
        loss = losslang.compile(f"{GHM} + perceptual(net=const.net)@(batch.a, batch.a)", const={"net": net})
    assert next(loss.buffers()).is_meta
    loss.to_empty(device="cpu")
    assert all((b == 0).all() for b in loss.buffers())
    assert torch.equal(net.weight, kept)
    loss(X, HOT, a=torch.randn(1, 1, 8, 8))
    assert any((b > 0).any() for b in loss.buffers())
    loss.reset_parameters()
    assert all((b == 0).all() for b in loss.buffers())


# -------------------------------------------------------------------- constants


def test_what_is_trained_is_registered_and_saved():
    """A Parameter whatever it asks for, and a network of which any parameter asks for a gradient."""
    half_frozen = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    half_frozen[0].requires_grad_(False)
    const: dict[str, Any] = {
        "w": nn.Parameter(torch.ones(3)),
        "fixed": nn.Parameter(torch.ones(3), requires_grad=False),
        "net": half_frozen,
        "frozen": nn.Linear(3, 3).requires_grad_(False),
        "bare": nn.ReLU(),
        "t": torch.ones(3),
        "wanted": torch.ones(3, requires_grad=True),
        "k": 2.0,
        "many": {"a": [nn.Parameter(torch.zeros(2)), 1.0], "b": torch.ones(2)},
    }
    loss = losslang.compile("ce", const=const)
    names = ["const_w", "const_fixed", "const_many_0"]
    inner = [f"const_net.{i}.{name}" for i in (0, 1) for name in ("weight", "bias")]
    assert [name for name, _ in loss.named_parameters()] == [*names, *inner]
    assert list(loss.state_dict()) == [*names, "_extra_state", *inner]
    assert list(loss.named_buffers()) == []
    assert all(loss.const[name] is value for name, value in const.items() if name != "many")
    assert loss.const["many"]["a"][0] is const["many"]["a"][0]
    assert loss.const["many"]["a"][1] == 1.0


def test_a_trained_constant_learns():
    scale = nn.Parameter(torch.ones(()))
    loss = losslang.compile("const.s*mse", const={"s": scale})
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    loss(X, HOT).backward()
    optimizer.step()
    assert scale.item() != 1
    other = losslang.compile("const.s*mse", const={"s": nn.Parameter(torch.zeros(()))})
    other.load_state_dict(through_a_file(loss.state_dict()))
    assert torch.equal(other(X, HOT), loss(X, HOT))
    other.load_state_dict({**loss.state_dict(), "const_s": torch.tensor(3.0)}, assign=True)
    assert other.const["s"].item() == 3
    torch.testing.assert_close(other(X, HOT), 3 * nn.functional.mse_loss(X, HOT))


def test_what_stands_beside_the_module_moves_with_it():
    frozen = nn.Linear(3, 3).requires_grad_(False)
    const = {"t": torch.ones(3), "net": frozen, "many": [torch.ones(2), {"a": torch.ones(1)}], "k": [1.0]}
    loss = nn.Sequential(losslang.compile("ce", const=const))
    for move, dtype, device in (
        (lambda m: m.double(), torch.float64, "cpu"),
        (lambda m: m.bfloat16(), torch.bfloat16, "cpu"),
        (lambda m: m.to("meta"), torch.bfloat16, "meta"),
    ):
        held = move(loss)[0].const
        for tensor in (held["t"], held["net"].weight, held["many"][0], held["many"][1]["a"]):
            assert (tensor.dtype, tensor.device.type) == (dtype, device)
    assert const["t"].dtype == torch.float32
    assert loss[0].const["k"] == [1.0]


def test_thawing_a_model_leaves_frozen_networks_frozen():
    net = nn.Conv2d(1, 2, 3).requires_grad_(False)
    model = Model(losslang.compile("perceptual(net=const.net)", const={"net": net}))
    model.requires_grad_(False).requires_grad_(True).train()
    assert not any(p.requires_grad for p in net.parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_calls_are_handed_the_constants_of_their_own_module():
    loss = losslang.compile("ce(class_weight=const.w)", const={"w": torch.tensor([1.0, 2, 3])})
    wanted = loss(X, Y)
    twin = copy.deepcopy(loss).double()
    assert twin(X.double(), Y).dtype == torch.float64
    assert torch.equal(loss(X, Y), wanted)
    assert loss.const["w"].dtype == torch.float32
    assert isinstance(loss._const, Constants)


# -------------------------------------------------------------------- copies and pickles


def every_option() -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossWarning)
        loss = losslang.compile(
            f"a = 0.5; g = {GHM}@x; a*g + mse(weight=const.w)@x + pred.aux + metric(l1)@(pred.x, target.x)",
            const={"w": torch.rand(6, 3, generator=R), "v": nn.Parameter(torch.ones(2)), "k": 3},
            overrides={"a": 0.25, "g.bins": 5},
            ignore=["more"],
            validate="always",
            source="train.yaml",
        )
    loss(*CALL)
    return loss


CALL = {"x": X, "aux": torch.tensor(1.0), "more": torch.tensor(2.0)}, {"x": HOT}
COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda loss: pickle.loads(pickle.dumps(loss)),
    "the first protocol": lambda loss: pickle.loads(pickle.dumps(loss, protocol=0)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "torch.save": lambda loss: _saved(loss, True),
    "torch.save as of old": lambda loss: _saved(loss, False),
    "a deepcopy of a pickle": lambda loss: copy.deepcopy(pickle.loads(pickle.dumps(loss))),
    "a pickle of a deepcopy": lambda loss: pickle.loads(pickle.dumps(copy.deepcopy(loss))),
}


def _saved(loss: Any, zipped: bool) -> Any:
    file = io.BytesIO()
    torch.save(loss, file, _use_new_zipfile_serialization=zipped)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_is_the_same_loss(way: str):
    """Text, overrides, what is ignored, constants, memory, and what was asked of it."""
    loss = every_option()
    twin = COPIES[way](loss)
    assert type(twin) is losslang.Loss
    same(loss, twin)
    assert [k for k, _ in twin.named_parameters()] == ["const_v"]
    assert (twin.canonical, twin.fingerprint, str(twin.plan)) == (
        loss.canonical,
        loss.fingerprint,
        str(loss.plan),
    )
    assert (twin.validate, twin.fuse, twin.training) == (loss.validate, loss.fuse, loss.training)
    assert twin.meaning.source.filename == "train.yaml"
    assert twin.const["k"] == 3
    assert torch.equal(twin.const["w"], loss.const["w"])
    assert list(twin.state_dict()) == list(loss.state_dict())
    if way == "copy":
        return  # which shares its tensors
    assert torch.equal(twin(*CALL), loss(*CALL))
    same(loss, twin)
    twin(*CALL)
    assert not torch.equal(next(twin.buffers()), next(loss.buffers()))
    bad = {"x": X, "aux": X}, {"x": HOT}
    with pytest.raises(LossError):
        twin(*bad)


def test_what_others_have_put_on_a_module_survives():
    loss = losslang.compile("mse")
    loss.eval()
    loss.register_buffer("extra", torch.ones(2))
    loss.note = "mine"
    loss.register_forward_hook(_twice)
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin.note == "mine"
        assert twin.extra.tolist() == [1, 1]
        assert not twin.training
        assert torch.equal(twin(X, X + 1), torch.tensor(2.0))


def _twice(module: nn.Module, args: Any, result: Tensor) -> Tensor:
    return 2 * result


def test_a_pickle_names_no_class_of_ours():
    """Nor a file: the one function that reads it stands at an address that does not move."""
    raw = pickle.dumps(every_option(), protocol=2)
    assert re.findall(rb"c(losslang\S*)\n(\w+)", raw) == [(b"losslang", b"restored")]
    assert (losslang.Loss.__module__, losslang.Detail.__module__) == ("losslang", "losslang")
    assert LossWarning.__module__ == "losslang"
    detail = losslang.compile("mse").detail(X, X)
    assert pickle.loads(pickle.dumps(detail)).names == ("mse",)


def test_a_pickle_holds_plain_values_alone():
    record, state = losslang.compile("ce", overrides={}).record, every_option().__getstate__()
    plain = (str, int, float, bool, type(None), tuple, dict)
    assert all(isinstance(value, plain) for value in record.values())
    torchs = set(nn.Module().__getstate__())
    assert set(state) - torchs == {"_const", "_checked", "distributed"}


def test_a_pickle_of_the_first_version_says_what_to_do():
    loss = losslang.compile("mse")
    old = type(loss).__new__(type(loss))
    with pytest.raises(pickle.UnpicklingError, match="compile it again and load its state_dict"):
        old.__setstate__({"plan": loss.plan, "meaning": loss.meaning, **nn.Module().__dict__})


def test_a_program_that_means_something_else_by_now_is_named():
    loss = remembering()
    rebuild, (record,), state = loss.__reduce__()
    lock = written(Lock.of(losslang.compile("ghm_c(sigmoid, momentum=0.5, bins=5)").meaning))
    with pytest.warns(LossWarning, match="the pickle was made with another loss") as told:
        twin = rebuild({**record, "lock": lock})
    assert "ghm_c: bins 5 -> 4" in str(told[0].message)
    twin.__setstate__({**state, "_buffers": {"memory_ghm_c": torch.zeros(5)}})
    assert next(twin.buffers()).shape == (4,)


SPAWN = """
import sys, torch, torch.multiprocessing as mp
import losslang
from losslang.vocabulary import Float, Tensor

@losslang.loss(activation="identity")
def bent(values: Float[Tensor, "*s"], target: Float[Tensor, "*s"], *, by: float = 2.0) -> Float[Tensor, "*s"]:
    '''b e^2.'''
    return by * (values - target).square()

def work(loss, x, y, out):
    out.put(loss(x, y).item())

if __name__ == "__main__":
    loss = losslang.compile("bent(by=3) + ghm_c(sigmoid, momentum=0.5)", const={"w": torch.ones(2)})
    x, y = torch.randn(4, 3), torch.ones(4, 3)
    loss(x, y)
    loss.eval()  # what moves would move in both processes: their tensors are shared
    context = mp.get_context("spawn")
    out = context.Queue()
    other = context.Process(target=work, args=(loss, x, y, out))
    other.start()
    assert out.get(timeout=120) == loss(x, y).item()
    other.join()
    assert other.exitcode == 0
    torch.save(loss, sys.argv[1])
"""


@pytest.mark.slow
def test_a_spawned_process(tmp_path: Path):
    """With a loss that the main script defines: the process runs the script once more, under another name."""
    (tmp_path / "script.py").write_text(SPAWN)
    file = tmp_path / "loss.pt"
    root = str(Path(__file__).parents[2])
    run = subprocess.run(
        [sys.executable, "script.py", str(file)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": root},
    )
    assert run.returncode == 0, run.stderr
    with pytest.raises(LossError, match=r"E529.*the loss `bent` of __main__ is not registered here"):
        torch.load(file, weights_only=False)


# -------------------------------------------------------------------- looking changes nothing


@pytest.mark.filterwarnings("ignore::losslang.LossWarning")
@pytest.mark.parametrize("text", [GHM, "ghm_r(momentum=0.5)", f"{GHM} + metric(ghm_r(momentum=0.5)) + ce"])
@pytest.mark.parametrize("compiled_by", ["eager", "aot_eager"])
def test_looking_moves_no_memory(text: str, compiled_by: str):
    """Neither for the log nor for weights of gradients; training goes on as if nobody had looked."""
    torch._dynamo.reset()
    loss, alone = losslang.compile(text), losslang.compile(text)
    looks = (loss.detail, loss.terms)
    if compiled_by != "eager":
        looks = tuple(torch.compile(look, backend=compiled_by) for look in looks)
    for step in range(4):
        x = X * (step + 1)
        before = copy.deepcopy(loss.state_dict())
        for look in looks:
            look(x, HOT)
        assert all(torch.equal(v, before[k]) for k, v in loss.state_dict().items())
        assert torch.equal(loss(x, HOT), alone(x, HOT))
        assert any(not torch.equal(v, before[k]) for k, v in loss.state_dict().items())
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore::losslang.LossWarning")
@pytest.mark.parametrize("text", [GHM, "ghm_r(momentum=0.5)", f"{GHM} + metric(ghm_r(momentum=0.5)) + ce"])
def test_training_with_what_was_looked_at_moves_memory(text: str):
    """`detail(...).total.backward()` is a step like any other, and so is one with all terms; in `eval()` none is."""
    plain, by_detail, by_terms = (losslang.compile(text) for _ in range(3))
    for step in range(3):
        x = (X * (step + 1)).requires_grad_()
        plain(x, HOT).backward()
        by_detail.detail(x, HOT)
        by_detail.detail(x, HOT).total.backward()
        torch.autograd.grad(list(by_terms.terms(x, HOT).values()), x)
        # That of a metric stays as it was in a call, which does not compute it.
        trained = {name: memory for name, memory in plain.named_buffers() if memory.any()}
        assert trained
        for other in (by_detail, by_terms):
            assert all(torch.equal(memory, other.get_buffer(name)) for name, memory in trained.items())
    before = [memory.clone() for memory in by_detail.buffers()]
    by_detail.eval().detail(X.clone().requires_grad_(), HOT).total.backward()
    assert all(map(torch.equal, before, by_detail.buffers()))


def test_a_memory_made_where_nothing_is_differentiated():
    with torch.inference_mode():
        loss = losslang.compile(GHM)
        loss(X, HOT)
    x = X.clone().requires_grad_()
    loss(x, HOT).backward()
    assert x.grad is not None
    assert (next(loss.buffers()) > 0).any()


def test_the_callers_dict_is_left_as_it_is():
    state = remembering().state_dict()
    keys = list(state)
    with pytest.warns(LossWarning, match="W308"):
        losslang.compile("mse").load_state_dict(state)
    assert list(state) == keys


def test_a_hook_may_rename_what_is_loaded():
    """Of a network in `const` too, as wrappers of modules do."""
    loss = losslang.compile("linear_ce(head=const.head)", const=trained_constant())
    state = {key.replace("const_head", "old_head"): value for key, value in loss.state_dict().items()}

    def rename(state: dict[str, Any], *_: Any) -> None:
        for key in list(state):
            state[key.replace("old_head", "const_head")] = state.pop(key)

    other = losslang.compile("linear_ce(head=const.head)", const=trained_constant())
    other._register_load_state_dict_pre_hook(rename)
    other.load_state_dict(state, strict=True)
    assert torch.equal(other.const["head"].weight, loss.const["head"].weight)
