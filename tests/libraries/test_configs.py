"""Configs with the libraries that read them: OmegaConf, Hydra, LightningCLI; and objectives of trees.

tests/tools/test_repositories.py checks the same files without the libraries.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _projects import FILLED

import losslang
from losslang.diagnostics.source import Source
from losslang.meaning.checker import analyze
from losslang.tools.configfile.other_libraries import LIGHTGBM, WORDS

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
ROOT = Path(__file__).parents[2]


def library(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(
            name, reason=f"{name} is not installed: `make test-all`", exc_type=ImportError
        )


def run(folder: Path, *command: str, stdin: str = "") -> tuple[int, str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


# ---------------------------------------------------------------------------- OmegaConf


@pytest.mark.parametrize(("text", "wanted"), [row for row in FILLED if "@package train" not in row[0]])
def test_interpolations_are_filled_in_as_omegaconf_does(text: str, wanted: str) -> None:
    config = library("omegaconf").OmegaConf.create(text)
    inside = config.get("m", config)
    theirs = str((inside[0] if library("omegaconf").OmegaConf.is_list(inside) else inside)["loss"])
    ours, meant = (analyze(Source(each)).meaning for each in (wanted, theirs))
    assert ours is not None
    assert meant is not None
    assert ours.fingerprint == meant.fingerprint


@pytest.mark.parametrize(
    ("entry", "code", "repair"),
    [
        ("a: {b: ce}", "E407", "one by one"),
        ("a: {loss: ce}", "E407", "`['loss']`"),
        ("a: [ce]", "E407", "one by one"),
        ("a: {_target_: losslang.compile, text: ce}", "E410", "hydra.utils.instantiate"),
        ("a: null", "E408", "`ce`"),
        ("a: 3", "E409", "a constant"),
    ],
)
def test_containers_are_no_text(entry: str, code: str, repair: str) -> None:
    value = library("omegaconf").OmegaConf.create(entry)["a"]
    (found,) = losslang.check(value)
    assert (found.code, repair in found.fix) == (code, True)
    with pytest.raises(losslang.LossError) as caught:
        losslang.compile(value)
    assert caught.value.diagnostics[0].message == found.message


def test_a_config_of_overrides() -> None:
    """OmegaConf reads `1e-5` as a number; what is quoted stays a text."""
    create = library("omegaconf").OmegaConf.create
    loss = losslang.compile("a = 1; a*ce + dice", overrides=create("{a: 1e-5, dice.smooth: 2}"))
    assert "1e-5*ce" in str(loss.meaning)
    with pytest.raises(losslang.LossError, match="E423"):
        losslang.compile("a = 1; a*ce", overrides=create("{a: '1e-5'}"))


# ---------------------------------------------------------------------------- Hydra

TRAIN = """
import hydra


@hydra.main(version_base=None, config_path="conf", config_name="config")
def train(config):
    print("compiled", hydra.utils.instantiate(config.loss).meaning)


train()
"""
CONFIGS = {
    "config.yaml": "defaults:\n  - loss: dice_ce\n  - model: unet\n  - _self_\nw: 0.25\nname: ???\ncriterion: ${name}\n",
    "loss/dice_ce.yaml": "_target_: losslang.compile\ntext: a = 1; a*ce + ${w}*dice\noverrides: {a: 1e-5}\n",
    "loss/packaged.yaml": "# @package loss\n_target_: losslang.compile\noverrides: {a: 3}\ntext: a = 1; a*ce + ${loss.overrides.a}*dice\n",
    "model/unet.yaml": "_target_: torch.nn.Linear\nin_features: 3\n",
    "model/forest.yaml": "criterion: gini\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    library("hydra")
    (tmp_path / "train.py").write_text(TRAIN)
    for name, text in CONFIGS.items():
        file = tmp_path / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def test_a_hydra_project(project: Path) -> None:
    """Its folder has no mistake; the composed config is checked as it runs, resolved or not."""
    status, told = run(project, "-m", "losslang", "check", "conf")
    assert status == 0
    assert "warning[W420]: `${w}`" in told  # in the group: config.yaml has the number
    assert "packaged.yaml:4:7  text  3*ce(softmax) + 3*dice" in told
    for resolve in ([], ["--resolve"]):
        status, composed = run(project, "train.py", "name=x", "--cfg", "job", *resolve)
        assert status == 0, composed
        status, told = run(
            project, "-m", "losslang", "check", "-", "--format", "yaml", "--require", stdin=composed
        )
        assert "1e-5*ce(softmax) + 0.25*dice(softmax" in told
        assert status == 1  # `criterion: ${name}` is `x` now
    status, told = run(project, "train.py", "name=x")
    assert (status, "1e-5*ce(softmax" in told, "0.25*dice" in told) == (0, True, True)
    status, told = run(project, "-m", "losslang", "check", ".")
    assert (status, "outputs" in told) == (0, False)


def test_hydra_prints_the_report(project: Path) -> None:
    status, told = run(project, "train.py", "name=x", "loss.text='ce + dise'", "~loss.overrides")
    assert status == 1
    assert "LossError:\nerror[E101]: there is no loss or function `dise`" in told
    assert "1 | ce + dise\n  |      ^^^^ unknown" in told
    status, told = run(project, "train.py", "name=x", "loss.text=null")
    assert "error[E408]: `text` holds nothing" in told


@pytest.mark.parametrize(
    ("override", "is_taken"),
    [
        ("++loss.overrides={seg/dice.smooth: 2}", True),
        ("loss.overrides={a: 1, seg/dice.smooth: 2}", False),  # what the config does not list is added by `+`
        ("++loss.overrides.seg/dice.smooth=2", False),
        ("++loss.overrides={'seg/dice.smooth': 2}", False),
        ("++loss.overrides.'seg/dice'.smooth=2", False),
    ],
)
def test_a_key_with_a_slash_on_the_command_line_of_hydra(
    project: Path, override: str, is_taken: bool
) -> None:
    text = "loss.text='a = 1; seg = a*ce + dice; seg'"
    status, told = run(project, "train.py", "name=x", text, override)
    assert (status == 0, "seg/dice: 1*dice(softmax, smooth=2" in told) == (is_taken, is_taken), told


# ---------------------------------------------------------------------------- LightningCLI

CLI = """
import lightning.pytorch as lightning
import torch
from lightning.pytorch.cli import LightningCLI


class Lit(lightning.LightningModule):
    def __init__(self, loss: torch.nn.Module):
        super().__init__()
        self.loss = loss


print("compiled", LightningCLI(Lit, lightning.LightningDataModule, run=False).model.loss.meaning)
"""
LIT = "model:\n  loss:\n    class_path: TARGET\n    init_args: {text: 'a = 1; a*ce', overrides: {a: 1e-5}}\n"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("TARGET", "losslang.compile"), ""),
        (("a: 1e-5", "a: '1e-5'"), ""),
        (("TARGET", "losslang.complie"), "E420"),
        (("overrides", "overides"), "E422"),
        (("a: 1e-5", "a: high"), "E202"),
        (("a: 1e-5", "b: 1"), "E108"),
        (("a*ce", "a*dise"), "E101"),
    ],
)
def test_lightning_cli_takes_what_is_right(tmp_path: Path, change: tuple[str, str], code: str) -> None:
    library("jsonargparse")
    library("lightning.pytorch")
    (tmp_path / "lit.py").write_text(CLI)
    (tmp_path / "lit.yaml").write_text(LIT.replace(*change).replace("TARGET", "losslang.compile"))
    status, told = run(tmp_path, "-m", "losslang", "check", "lit.yaml")
    assert (status, f"error[{code}]" in told) == (1, True) if code else (0, False)
    status, told = run(tmp_path, "lit.py", "--config", "lit.yaml")
    assert (status == 0, "compiled ce: 1e-5*ce(softmax" in told) == (not code, not code), told


# ---------------------------------------------------------------------------- objectives of trees

X = np.random.default_rng(0).random((40, 3))
Y = (X[:, 0] > 0.5).astype(float)


def test_the_objectives_of_xgboost_are_those_that_it_lists() -> None:
    xgboost = library("xgboost")
    with pytest.raises(Exception, match="Objective candidate") as caught:
        xgboost.train({"objective": "nothing"}, xgboost.DMatrix(X, label=Y), 1)
    listed = {line.rpartition(" ")[2] for line in str(caught.value).splitlines() if "candidate" in line}
    assert listed == {word for word in WORDS["objective"] if ":" in word}


@pytest.mark.parametrize("objective", LIGHTGBM.split())
def test_lightgbm_trains_with_each_of_its_objectives(objective: str) -> None:
    lightgbm = library("lightgbm")
    classes = {"num_class": 2} if objective in ("softmax", "ova", "ovr") or "multiclass" in objective else {}
    ranks = "rank" in objective or "ndcg" in objective
    data = lightgbm.Dataset(X, label=Y + (objective == "gamma"), group=[40] if ranks else None)
    lightgbm.train({"objective": objective, "verbose": -1, "num_threads": 1, **classes}, data, 1)
