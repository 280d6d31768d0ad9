"""What people write out of habit, from Python and from other tools: the repair that is printed works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import losslang
from losslang.tools.cli import clock, main

LOGITS, LABELS = torch.randn(4, 3, generator=torch.Generator().manual_seed(3)), torch.tensor([0, 1, 2, 0])


def refused(text: str, **options: Any) -> losslang.LossError:
    with pytest.raises(losslang.LossError) as caught:
        losslang.compile(text, **options)
    return caught.value


def fix(text: str, **options: Any) -> str:
    return refused(text, **options).diagnostics[0].fix


@pytest.mark.parametrize(
    "written", ["not batch.invalid", "~batch.invalid", "!batch.invalid", "~ (batch.invalid)"]
)
def test_a_negated_mask_is_one_minus_it(written: str) -> None:
    (meant,) = re.findall("`([^`]*)`", fix(f"ce(mask={written})"))
    assert meant == "mask=1 - batch.invalid"
    invalid = torch.tensor([True, False, False, True])
    given = losslang.compile(f"ce({meant})")(LOGITS, LABELS, invalid=invalid)
    torch.testing.assert_close(given, losslang.compile("ce")(LOGITS[~invalid], LABELS[~invalid]))


def test_a_negation_of_something_else_keeps_its_answer() -> None:
    assert "1 -" not in fix("~ce")
    assert "ignore_index=255" in fix("ce(mask=target != 255)")
    assert fix("5 % * ce") == "write a percentage as a number: `0.05*ce`"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("ce@0", "ce@pred[0]"),
        ("ce@[0]", "ce@pred[0]"),
        ("ce@[-1]", "ce@pred[-1]"),
        ("0.5*ce(label_smoothing=0.1)@[1]", "ce(label_smoothing=0.1)@pred[1]"),
        ("2*(ce + focal(softmax))@[0]", "(ce + focal(softmax))@pred[0]"),
    ],
)
def test_an_element_behind_a_route_is_named_whole(text: str, meant: str) -> None:
    assert fix(text) == f"an element of a list is named whole: `{meant}`"
    assert losslang.compile(meant)([LOGITS, LOGITS], LABELS).isfinite()


def test_a_route_behind_a_bound_name_is_shown_where_it_is_bound() -> None:
    wanted = fix("seg = ce + focal(softmax); seg@head")
    binding, name = re.findall("`([^`]*)`", wanted)
    assert binding == "seg = (ce + focal(softmax))@head"
    assert losslang.compile(f"{binding}; {name}")({"head": LOGITS}, LABELS).isfinite()
    assert "line that binds the name" in fix("w = 2; ce*(w@seg)")


@pytest.mark.parametrize(
    "name", ["train.loss", "conf/train.toml", "../a-b/train.yaml", "C:\\runs\\train.json"]
)
def test_the_name_of_a_file_is_told(name: str) -> None:
    (found,) = refused(name).diagnostics
    assert found.code == "E143"
    assert found.span == (0, len(name))
    assert [d.code for d in losslang.check(name)] == ["E143"]


@pytest.mark.parametrize(
    ("ending", "content"),
    [("toml", "loss = 'ce'"), ("yaml", "loss: ce"), ("json", '{"loss": "ce"}'), ("loss", "ce")],
)
def test_the_file_that_is_named_is_read_by_the_repair(ending: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / f"train.{ending}"
    path.write_text(content)
    (call,) = re.findall("`([^`]*)`", fix(str(path)))
    names = {
        "losslang": losslang,
        "Path": Path,
        **{n: pytest.importorskip(n) for n in ("tomllib", "yaml", "json") if f"{n}." in call},
    }
    assert eval(call, names).canonical == "ce"


@pytest.mark.parametrize("text", ["pred.loss", "pred.a/pred.loss", "pred.loss + dise"])
def test_a_path_of_tensors_is_no_file(text: str) -> None:
    assert "E143" not in [d.code for d in losslang.check(text)]


def test_a_constant_that_is_not_given_is_told_by_compile() -> None:
    assert [d.code for d in refused("exp(-const.s)*ce + const.t").diagnostics] == ["E501", "E501"]
    assert fix("exp(-const.s)*ce") == "compile with `const={'s': ...}`"
    mistyped = fix("const.log_sigma*ce", const={"log_sgima": 1.0})
    assert "did you mean `const.log_sgima`?" in mistyped
    assert losslang.compile("const.w.a*ce", const={"w": {"a": 2.0}, "unread": 1})(LOGITS, LABELS).isfinite()


def test_hard_scores_are_made_before_the_call() -> None:
    assert "`dice(identity)`" in fix("dice(argmax)")
    assert "@seg" in fix("dice(seg)")


def test_a_setting_of_the_command_line_is_shown_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("loss: ce(label_smoothing=0.1)\n")
    assert main(["check", str(path), "--set", "ce.label_smoothing=3"]) == 1
    assert " --> <--set>:1:20\n" in capsys.readouterr().out
    assert main(["check", str(path), "--set", "ce.label_smothing=0.3"]) == 1
    assert " --> <--set>:1:1\n" in capsys.readouterr().out
    assert main(["check", str(path), "--set", "ce.label_smoothing=0.3"]) == 0


def test_waiting_for_input_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 41.0, 42.5])
    monkeypatch.setattr(clock, "perf_counter", lambda: next(now))
    counted = clock.Clock()
    with counted.stopped():
        pass
    assert counted.milliseconds == 2500
