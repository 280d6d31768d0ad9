"""Values that are no text, given to every door; and settings from outside that are text."""

from __future__ import annotations

import datetime
import pickle
from collections import UserDict, UserList
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
import torch
import yaml

import losslang
from losslang.meaning.overrides import spelled_in_yaml
from losslang.tools.configfile import read

DOORS = [losslang.compile, losslang.parse, losslang.format, losslang.explain]

# A value, the code, its kind in the message, and a word of the repair.
VALUES = [
    (None, "E408", "`text` holds nothing", "`ce`"),
    (3, "E409", "`text` holds a number, not an expression: `3`", "a constant is `'3'`"),
    (0.5, "E409", "`text` holds a number, not an expression: `0.5`", "a constant is `'0.5'`"),
    (True, "E409", "`text` holds a truth value, not an expression: `True`", "0.5*ce"),
    (datetime.date(2026, 1, 31), "E409", "`text` holds a date, not an expression: `2026-01-31`", "0.5*ce"),
    (["ce"], "E407", "`text` holds a list, not an expression", "one by one"),
    (("ce", "l1"), "E407", "`text` holds a list, not an expression", "one by one"),
    (UserList(["ce"]), "E407", "`text` holds a list, not an expression", "one by one"),
    ({"a": "ce"}, "E407", "`text` holds a mapping, not an expression", "one by one"),
    ({"lr": 1, "loss": "ce"}, "E407", "`text` holds a mapping, not an expression", "`['loss']`"),
    (UserDict(criterion="ce"), "E407", "`text` holds a mapping, not an expression", "`['criterion']`"),
    ({"_target_": "torch.nn.BCELoss"}, "E410", "`text` builds `torch.nn.BCELoss`", "`bce`"),
    ({"text": "ce", "overrides": {"a": 1}}, "E407", "`text` holds a mapping", "`losslang.compile(**config)`"),
    ({"class_path": "a.B"}, "E410", "`text` builds `a.B`", "`ce + dice`"),
    ({"_target_": "losslang.compile", "text": "ce"}, "E410", "`losslang.compile`", "hydra.utils.instantiate"),
    (b"ce", "E409", "`text` holds bytes, not an expression: `b'ce'`", "text.decode()"),
    (Path("a.loss"), "E409", "`text` holds a path, not an expression: `a.loss`", "read_text()"),
    (torch.nn.BCELoss(), "E409", "`text` holds a BCELoss, not an expression: `BCELoss()`", "0.5*ce"),
    (torch.ones(9, 9), "E409", "`text` holds a Tensor, not an expression: `tensor([[1.,", "0.5*ce"),
]


@pytest.mark.parametrize(
    ("value", "code", "said", "repair"), VALUES, ids=[str(row[2:])[:60] for row in VALUES]
)
def test_every_door_says_the_same(value: Any, code: str, said: str, repair: str) -> None:
    (found,) = losslang.check(value, source="train.py")
    assert found.code == code
    assert said in found.message
    assert repair in found.fix
    assert found.source.filename == "train.py"
    for door in DOORS:
        with pytest.raises(losslang.LossError) as caught:
            door(value)
        assert [(d.code, d.message, d.fix) for d in caught.value.diagnostics] == [
            (code, found.message, found.fix)
        ]


MONAI = {"_target_": "monai.losses.DiceLoss", "softmax": True, "include_background": False}
FOREIGN = [
    (MONAI, "dice(softmax, background=false)"),
    (UserDict(MONAI), "dice(softmax, background=false)"),
    ({**MONAI, "_partial_": True, "weight": [1, 2.5]}, "dice(softmax, background=false, class_weight=[1, 2.5])"),
    ({"class_path": "torch.nn.CrossEntropyLoss", "init_args": {"label_smoothing": 0.1}}, "ce(label_smoothing=0.1)"),
    ({"class_path": "torch.nn.HuberLoss"}, "huber"),
    ({"_target_": "monai.losses.DiceLoss", "squared_pred": None, "jaccard": 1}, "jaccard"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "ours"), FOREIGN)
@pytest.mark.parametrize("door", [losslang.compile, losslang.check, losslang.explain])
def test_what_a_config_builds_is_translated_with_its_options(
    config: Any, ours: str, door: Callable[[Any], Any]
) -> None:
    try:
        (found,) = door(config)
    except losslang.LossError as error:
        (found,) = error.diagnostics
    assert found.code == "E410"
    assert f"`{ours}" in found.fix
    assert all(not d.is_error for d in losslang.check(ours))


@pytest.mark.parametrize(("config", "ours"), FOREIGN)
def test_a_file_says_the_same(config: Any, ours: str) -> None:
    """Below a key, and as a whole file: where it is named, and counted in a folder."""
    plain = yaml.safe_dump(dict(config))
    for text in (yaml.safe_dump({"loss": dict(config)}), plain):
        (found,) = read("c.yaml", text).diagnostics
        assert found.code == "E410"
        assert f"`{ours}" in found.fix
    assert found.message.startswith("this file builds `")
    assert text[slice(*found.span)] in (config.get("_target_"), config.get("class_path"))
    reading = read("c.yaml", plain, named=False)
    assert [d.code for d in reading.diagnostics] == []
    assert reading.left == ("of another library",)


@pytest.mark.parametrize(
    "target", ["torch.nn.Linear", "torchmetrics.Dice", "monai.metrics.DiceMetric", "a.B"]
)
def test_a_file_that_builds_no_loss_is_none_of_ours(target: str) -> None:
    (found,) = read("c.yaml", f"_target_: {target}\n").diagnostics
    assert found.code == "E406"


def test_a_text_without_a_target() -> None:
    (found,) = read("c.yaml", "loss: {text: ce, overrides: {a: 1}}\n").diagnostics
    assert (found.code, found.fix) == ("E407", "add `_target_: losslang.compile` beside its `text`")
    whole = read("c.yaml", "loss: {_target_: losslang.compile, text: ce, overrides: {a: 1}}\n")
    assert [source.text for source in whole.sources] == ["ce"]


@pytest.mark.parametrize(
    "written", ["3", "0.5", "yes", "2026-01-31", "~", "[ce]", "{_target_: a.B}", "{x: 1}"]
)
def test_the_command_line_says_the_same_of_a_file(written: str) -> None:
    """A truth value apart: YAML's `yes` is Python's `True`."""
    (in_file,) = read("c.yaml", f"loss: {written}\n").diagnostics
    (in_python,) = losslang.check(yaml.safe_load(written))
    assert in_python.code == in_file.code
    assert in_python.message.replace("`text`", "`loss`").replace("True", "yes") == in_file.message


def test_a_loss_error_is_its_report() -> None:
    """Hydra prints the `repr` of what a target raises."""
    with pytest.raises(losslang.LossError) as caught:
        losslang.compile("ce + dise")
    assert repr(caught.value) == f"LossError:{caught.value}"
    assert "\n1 | ce + dise\n" in repr(caught.value)
    assert repr(pickle.loads(pickle.dumps(caught.value))) == repr(caught.value)


# ---------------------------------------------------------------------------- the pydantic field


class Config(pydantic.BaseModel):
    loss: losslang.LossExpr


def test_the_field_holds_the_text() -> None:
    assert Config(loss="ce + dice").loss == "ce + dice"
    assert Config.model_json_schema()["properties"]["loss"] == {"title": "Loss", "type": "string"}


@pytest.mark.parametrize("value", [None, 3, ["ce"], {"loss": "ce"}, b"ce", "ce + dise"])
def test_the_field_says_the_same(value: Any) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        Config(loss=value)
    (error,) = caught.value.errors()
    (found,) = losslang.check(value)
    first, second, *_ = error["msg"].splitlines()
    assert (first, second) == ("not a valid loss", f"error[{found.code}]: {found.message}")
    assert f"= fix: {found.fix}" in str(caught.value)
    assert error["type"] == "loss"
    assert caught.value.json()


# ---------------------------------------------------------------------------- settings that are text


@pytest.mark.parametrize(
    ("name", "given", "code", "repair"),
    [
        ("alpha", "1e-5", "E423", "write `1.0e-5`, without quotes: PyYAML reads `1e-5` as a text"),
        ("alpha", "1e5", "E423", "write `100000.0`, without quotes: PyYAML reads `1e5` as a text"),
        ("alpha", "0.5", "E423", "write `0.5`, without quotes"),
        ("alpha", "3", "E423", "write `3.0`, without quotes"),
        ("dice.smooth", "1e-5", "E423", "write `1.0e-5`, without quotes: PyYAML reads `1e-5` as a text"),
        ("dice.weight", "1e-5", "E423", "write `1.0e-5`, without quotes: PyYAML reads `1e-5` as a text"),
        ("alpha", "high", "E202", "a number"),
        ("alpha", "nan", "E202", "a number"),
        ("alpha", None, "E202", "a number"),
        ("dice.smooth", "high", "E202", "a number of at least 0"),
    ],
)
def test_a_setting_that_is_text(name: str, given: Any, code: str, repair: str) -> None:
    with pytest.raises(losslang.LossError) as caught:
        losslang.compile("alpha = 0.5; alpha*ce + dice", overrides={name: given})
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert repair in found.fix
    assert "`" + str(given) + "`" in found.message


@pytest.mark.parametrize("number", [1e-5, 1e5, 1e16, 1e22, 0.1, 3.0, -1e-7, 1.5e-300, 5e-324, 123456789.125])
def test_the_repair_is_a_number_for_pyyaml(number: float) -> None:
    load: Callable[[str], Any] = yaml.safe_load
    assert load(spelled_in_yaml(number)) == number
