"""A loss inside a model that real libraries save, load and average. `make test-all` installs them.

tests/runtime/test_saved.py makes the same calls without the libraries.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import losslang

pytestmark = [
    pytest.mark.slow,
    # Theirs are theirs; ours is an error still.
    pytest.mark.filterwarnings("ignore", "error::losslang.LossWarning"),
]

GHM = "ghm_c(softmax, momentum=0.5, bins=4)"
R = torch.Generator().manual_seed(5)
X, Y = torch.randn(6, 3, generator=R), torch.tensor([0, 2, 1, 1, 0, 2])
HOT = nn.functional.one_hot(Y, 3).float()
TEXTS = ["ce + mse(softmax)", GHM]


def library(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(
            name, reason=f"{name} is not installed: `make test-all`", exc_type=ImportError
        )


def same(one: nn.Module, other: nn.Module) -> None:
    """Both have the same tensors."""
    (a, b) = one.state_dict(), other.state_dict()
    assert list(a) == list(b)
    assert all(torch.equal(a[key], b[key]) for key in a)


class Model(nn.Module):
    def __init__(self, text: str | None, seed: int = 0, const: dict[str, Any] | None = None):
        super().__init__()
        torch.manual_seed(seed)
        self.net = nn.Linear(3, 3)
        if text is not None:
            self.loss = losslang.compile(text, const=const)


# ---------------------------------------------------------------------------- lightning


@pytest.fixture
def lit() -> Any:
    """A class of LightningModules with a loss of a text, a plain criterion, or none."""
    lightning = library("lightning.pytorch")

    class Lit(lightning.LightningModule):
        def __init__(self, text: str | None = None):
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Linear(3, 3)
            self.loss = nn.CrossEntropyLoss() if text is None else losslang.compile(text)

        def training_step(self, batch: Any, _: int) -> Any:
            return self.loss(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Lit


def fitted(model: Any, folder: Path) -> Path:
    lightning = library("lightning.pytorch")
    trainer = lightning.Trainer(
        max_steps=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(model, torch.utils.data.DataLoader(list(zip(X, HOT, strict=True)), batch_size=3))
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


@pytest.mark.parametrize("text", TEXTS)
def test_a_lightning_checkpoint_from_before_the_loss(lit: Any, text: str, tmp_path: Path):
    old = lit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)  # W321: a memory starts anew
        found = lit.load_from_checkpoint(fitted(old, tmp_path), text=text, strict=True)
    assert torch.equal(found.net.weight, old.net.weight)
    fitted(found, tmp_path)


@pytest.mark.parametrize("text", TEXTS)
def test_a_lightning_checkpoint_with_the_loss(lit: Any, text: str, tmp_path: Path):
    new = lit(text)
    path = fitted(new, tmp_path)
    same(lit.load_from_checkpoint(path, strict=True), new)
    if text == GHM:
        with pytest.warns(losslang.LossWarning, match="W308"):
            lit.load_from_checkpoint(path, text="ce", strict=True)
    else:
        # Into the plain criterion that it took the place of.
        assert list(lit.load_from_checkpoint(path, text=None, strict=True).state_dict()) == list(
            new.state_dict()
        )


# ---------------------------------------------------------------------------- transformers and safetensors


@pytest.fixture
def bert() -> Any:
    """A tiny model of transformers that holds its loss, and the same one without."""
    transformers = library("transformers")

    class Holding(transformers.BertForSequenceClassification):
        text: str | None = None

        def __init__(self, config: Any):
            super().__init__(config)
            if self.text is not None:
                # A list has its numbers wherever a model is made; so has a tensor that is put somewhere.
                const = {"w": torch.tensor([1.0, 2.0, 3.0], device="cpu"), "k": [1.0, 2.0, 3.0]}
                more = " + ce(class_weight=const.w, target=batch.labels) + ce(class_weight=const.k, target=batch.labels)"
                self.loss = losslang.compile(self.text + more, const=const)
            self.post_init()

        def _init_weights(self, module: nn.Module) -> None:
            """What no file holds is memory that nothing was written to: a buffer is filled here or never."""
            super()._init_weights(module)
            if isinstance(module, losslang.Loss):
                module.reset_parameters()

    def made(text: str | None) -> Any:
        kind = type("Holding", (Holding,), {"text": text})
        config = transformers.BertConfig(
            vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
            max_position_embeddings=8, num_labels=3,
        )  # fmt: skip
        return kind, config

    return made


@pytest.mark.parametrize("saved_with", [None, *TEXTS])
@pytest.mark.parametrize("text", [None, *TEXTS])
def test_a_pretrained_model(bert: Any, saved_with: str | None, text: str | None, tmp_path: Path):
    """Saved and loaded with its loss, with another, and without."""
    kind, config = bert(saved_with)
    model = kind(config)
    if saved_with is not None:
        model.loss(X, HOT, labels=Y)
    model.save_pretrained(tmp_path)
    kind, _ = bert(text)
    if saved_with == GHM != text and text is not None:
        # What no module asks for is not handed to it: transformers lists it and goes on.
        found, info = kind.from_pretrained(tmp_path, output_loading_info=True)
        assert set(info["unexpected_keys"]) == {"loss.memory_ghm_c", "loss._extra_state"}
    else:
        found = kind.from_pretrained(tmp_path)
    assert torch.equal(found.classifier.weight, model.classifier.weight)
    if text == saved_with:
        same(found, model)
    if text is not None:
        assert found.loss.const["w"].tolist() == [1, 2, 3]
        assert all((b == 0).all() for b in found.loss.buffers()) == (text != saved_with or text != GHM)
        assert found.loss(X, HOT, labels=Y).isfinite()


@pytest.mark.parametrize("text", TEXTS)
def test_safetensors(text: str, tmp_path: Path):
    safetensors = library("safetensors.torch")
    model, other = Model(text, 1), Model(text, 2)
    model.loss(X, HOT)
    safetensors.save_model(model, str(tmp_path / "model.safetensors"))
    assert safetensors.load_model(other, str(tmp_path / "model.safetensors"), strict=True) == (set(), [])
    same(model, other)
    safetensors.save_file(model.state_dict(), str(tmp_path / "state.safetensors"))
    Model(text, 3).load_state_dict(safetensors.load_file(str(tmp_path / "state.safetensors")))


def test_safetensors_of_a_head_that_the_model_has_too(tmp_path: Path):
    """One tensor under two names is written once."""
    safetensors = library("safetensors.torch")
    model, other = Model(None, 1), Model(None, 2)
    for each in (model, other):
        each.loss = losslang.compile("linear_ce(head=const.head)", const={"head": each.net})
    safetensors.save_model(model, str(tmp_path / "model.safetensors"))
    safetensors.load_model(other, str(tmp_path / "model.safetensors"), strict=True)
    same(model, other)
    assert other.loss.const["head"] is other.net


# ---------------------------------------------------------------------------- timm


@pytest.fixture
def ema() -> Any:
    """timm's average of a model, out of its file alone: the package wants torchvision."""
    found = importlib.util.find_spec("timm")
    if found is None or not found.submodule_search_locations:
        pytest.skip("timm is not installed: `make test-all`")
    path = Path(found.submodule_search_locations[0]) / "utils" / "model_ema.py"
    spec = importlib.util.spec_from_file_location("timm_model_ema", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("text", [*TEXTS, f"linear_ce(head=const.head)@(pred, batch.labels) + {GHM}"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ModelEmaV3", {}),
        ("ModelEmaV3", {"foreach": False}),
        ("ModelEmaV3", {"exclude_buffers": True}),
        ("ModelEmaV3", {"dtype": torch.float64}),
        ("ModelEmaV3", {"dtype": torch.bfloat16}),
        ("ModelEmaV2", {}),
        ("ModelEma", {}),
    ],
)
def test_timm_averages_a_model(ema: Any, text: str, kind: str, options: dict[str, Any], tmp_path: Path):
    const = {"head": nn.Linear(3, 3)} if "head" in text else {}
    model = Model(text, const=const)
    average = getattr(ema, kind)(model, decay=0.5, **options)
    held = getattr(average, "ema", None) or average.module
    start = held.net.weight.double().clone()
    with torch.no_grad():
        model.net.weight.add_(1)
        for parameter in model.loss.parameters():
            parameter.add_(1)
    model.loss(X, HOT, labels=Y)
    average.update(model)
    torch.testing.assert_close(held.net.weight.double(), start + 0.5, rtol=0, atol=1e-2)
    assert list(held.state_dict()) == list(model.state_dict())
    for (_, mean), (_, moved) in zip(held.loss.named_buffers(), model.loss.named_buffers(), strict=True):
        wanted = moved if "exclude_buffers" in options else 0.5 * moved
        torch.testing.assert_close(mean, wanted)
        assert mean.dtype == torch.float32
    torch.save(held.state_dict(), tmp_path / "ema.pt")
    other = Model(text, const={"head": nn.Linear(3, 3)} if const else {})
    other.load_state_dict(torch.load(tmp_path / "ema.pt", weights_only=True))
    for a, b in zip(other.parameters(), held.parameters(), strict=True):
        torch.testing.assert_close(a, b.to(a.dtype))
