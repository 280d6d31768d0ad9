"""Locks, and what has changed from one program to another, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from programs import TEXTS_THAT_MEAN_SOMETHING

import losslang
from losslang.diagnostics.source import Source
from losslang.meaning.changes import changes
from losslang.meaning.checker import analyze
from losslang.meaning.lock import locked
from losslang.meaning.program import Meaning
from losslang.primitives.decorators import DEFINED
from losslang.primitives.primitive import Loss
from losslang.registry import _registry, current_registry
from losslang.tools.cli import main
from losslang.vocabulary import Float, Tensor

TESTS = Path(__file__).parent.parent
RECIPES = [entry["loss"] for entry in yaml.safe_load((TESTS / "recipes.yaml").read_text("utf-8"))]
ROUNDS = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def meaning(text: str, overrides: dict[str, Any] | None = None) -> Meaning:
    checked = analyze(Source(text), overrides=overrides)
    assert checked.meaning is not None, checked.diagnostics
    return checked.meaning


def keys(text: str) -> list[str]:
    return [term.name for term in meaning(text).terms]


def terms(text: str) -> dict[str, str]:
    return {term.name: str(term) for term in meaning(text).terms}


# ---------------------------------------------------------------------------- lock


@pytest.mark.parametrize(
    ("text", "lock"),
    [
        (
            "0.5*bce(sigmoid) + dice(smooth=1)",
            """# losslang lock a0dfa23f0420b797: bce 1, dice 1
0.5*bce(sigmoid, label_smoothing=0, reduction=mean)
+ dice(sigmoid, smooth=1, eps=0, squared=false, reduction=mean)
# dice: sigmoid taken from bce""",
        ),
        (
            "gan = bce(sigmoid) + 2*l1; rec = mse; ramp(0, 1, steps=9)*rec - gan",
            """rec = mse(reduction=mean);
gan = -bce(sigmoid, label_smoothing=0, reduction=mean) - 2*l1(reduction=mean);
ramp(0, 1, steps=9)*rec
+ gan""",
        ),
        ("ce(ignore_index=255) + dice", "# dice: ignore_index=255 taken from ce"),
        ("dice", "# dice: identity assumed"),
        ("s = learn(0, min=-5); exp(-s)*mse + s", "s = learn(0, min=-5);\nexp(-s)*mse(reduction=mean)\n+ s"),
        ("a = 0; a*l1 + mse", "zero = 0;\nzero*l1(reduction=mean)\n+ mse(reduction=mean)"),
        ("focal(sigmoid, gamma=ramp(0, 2, epochs=9))", "gamma=ramp(0, 2, epochs=9), alpha=none, reduction=mean)"),
    ],
)  # fmt: skip
def test_a_lock_writes_every_default(text: str, lock: str) -> None:
    found = locked(meaning(text), current_registry())
    assert lock in found
    assert meaning(found).fingerprint == meaning(text).fingerprint
    assert keys(found) == keys(text)


def holds(text: str) -> None:
    """The lock of a program is a program of the same fingerprint."""
    program = meaning(text)
    assert meaning(locked(program, current_registry())).fingerprint == program.fingerprint


@ROUNDS
@given(TEXTS_THAT_MEAN_SOMETHING)
def test_a_lock_is_read_as_the_same_program(text: str) -> None:
    assume(analyze(Source(text)).meaning is not None)
    holds(text)


def test_every_loss_and_every_objective_has_a_lock() -> None:
    registry = current_registry()
    texts = [
        start + name + activation
        for name in registry.names(Loss)
        for activation in ("", "(sigmoid)", "(softmax)")
        for start in ("", "ce + ", "ce(ignore_index=255) + ")
    ]
    found = [text for text in (*texts, *RECIPES) if analyze(Source(text)).meaning is not None]
    assert len(found) > 800
    for text in found:
        holds(text)


def test_a_lock_has_what_is_set_from_outside() -> None:
    loss = losslang.compile("w = 1; w*ce + dice", overrides={"w": 3, "dice.smooth": 2})
    assert "3*ce(" in loss.lock
    assert "smooth=2" in loss.lock
    assert losslang.compile(loss.lock).fingerprint == loss.fingerprint


def test_a_version_is_in_the_fingerprint_from_2_on_and_in_every_lock(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A lock of version 1, read where the loss has version 2, says so."""

    def bent(values: Float[Tensor, "*s"], target: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        """e^2."""
        return (values - target).square()

    losslang.loss(activation="identity")(bent)
    first = meaning("bent")
    lock = tmp_path / "lock.loss"
    lock.write_text(locked(first, current_registry()), "utf-8")
    assert lock.read_text("utf-8").startswith(f"# losslang lock {first.fingerprint}: bent 1\n")
    assert "version" not in str(first)
    del DEFINED[-1]
    _registry.cache_clear()
    losslang.loss(activation="identity", version=2)(bent)
    second = meaning("bent")
    assert second.fingerprint != first.fingerprint
    texts = [{term.name: str(term) for term in each.terms} for each in (first, second)]
    assert changes(texts[0], texts[1], current_registry()) == ("bent: version 1 -> 2",)
    assert main(["diff", str(lock), "bent"]) == 1
    assert capsys.readouterr().out == "bent: version 1 -> 2\n"


# ---------------------------------------------------------------------------- diff


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("ce + dice", "0.5*ce + dice(smooth=1)", ["ce: weight 1 -> 0.5", "dice: smooth 1e-5 -> 1"]),
        ("ce + mse@(pred, pred)", "ce + l1@(pred, pred)", ["mse: gone", "l1: added"]),
        ("ramp(0, 1, steps=10)*ce", "0.5*ce", ["ce: weight ramp(0, 1, steps=10) -> 0.5"]),
        ("ramp(0, 1, steps=10)*ce", "ramp(0, 1, epochs=10, shape=cosine)*ce", ["ce: weight ramp(0, 1, steps=10) -> ramp(0, 1, epochs=10, shape=cosine)"]),
        ("2*after(steps=9)*ce", "max(0.1, 1 - 0.01*epoch)*ce", ["ce: weight 2*after(steps=9) -> max(0.1, 1 - 0.01*epoch)"]),
        ("focal(sigmoid, gamma=ramp(0, 2, epochs=9))", "focal(sigmoid)", ["focal: gamma ramp(0, 2, epochs=9) -> 2"]),
        ("dice(sigmoid)", "dice(softmax, class_weight=[1, 2], batch=true)", ["dice: activation sigmoid -> softmax, class_weight none -> [1, 2], batch false -> true"]),
        ("ce", "ce(reduction=topk(frac=0.1))", ["ce: reduction mean -> topk(frac=0.1, k=none)"]),
        ("metric(l1) + mse", "l1 + mse", ["l1: only logged -> trained"]),
        ("sqrt(mse)", "sqrt(mse(mask=batch.m))", ["sqrt_mse: mask none -> batch.m"]),
        ("1 - ssim", "0.5*(1 - ssim(window=7))", ["1-ssim: weight 1 -> 0.5, ssim: window 11 -> 7"]),
        ("a = mse*l1; a", "a = mse*l1(mask=batch.m); a", ["a: l1: mask none -> batch.m"]),
        ("a = mse*l1; a", "a = mse/l1; a", ["a: mse(identity, reduction=mean)@(pred, target)*l1(identity, reduction=mean)@(pred, target) -> mse(identity, reduction=mean)@(pred, target)/l1(identity, reduction=mean)@(pred, target)"]),
        ("r = l1; r", "r = mse(mask=batch.m); r", ["r: l1 -> mse"]),
        ("mse@(pred, batch.x)", "mse@(pred, batch.y)", ["mse: reads batch.x -> batch.y"]),
        ("s = learn(0); exp(-s)*ce + s", "s = learn(1, min=-5); exp(-s)*ce + s", ["learned s: learn(0) -> learn(1, min=-5)"]),
        ("batch.w*l1", "l1", ["l1: weight batch.w -> 1"]),
        ("l1 + 0.1*l2_reg(match='*.weight')", "l1 + 0.1*l2_reg(match='*.bias')", ["l2_reg: match '*.weight' -> '*.bias'"]),
    ],
)  # fmt: skip
def test_what_differs_is_said_term_by_term(
    old: str, new: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", "--", old, new]) == 1
    assert capsys.readouterr().out.splitlines() == words
    assert main(["diff", "--", new, old]) == 1
    assert capsys.readouterr().out.splitlines() != words


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("ce + dice", "ce+dice", "the same program"),
        ("2*l1 + mse", "mse + l1 + l1", None),
        ("2*l1 + mse", "mse + l1*2", "the same mathematics, written differently"),
        ("rec = l1; rec", "l1", "the same mathematics, written differently; rec is called l1"),
        ("cyclic(0, 1, period=9)*ce", "cyclic(0, 1, steps=9)*ce", "the same mathematics, written differently"),
        ("ramp(0, 1, steps=9, start=0)*ce", "ramp(0, 1, steps=9)*ce", "the same mathematics, written differently"),
        ("w = ramp(0, 1, steps=9); w*ce", "ramp(0, 1, steps=9)*ce", "the same mathematics, written differently"),
    ],
)  # fmt: skip
def test_what_is_the_same_exits_with_0(
    old: str, new: str, words: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["diff", old, new])
    said = capsys.readouterr().out.strip()
    assert status == (words is None)
    assert said == words or (words is None and said)


@ROUNDS
@given(TEXTS_THAT_MEAN_SOMETHING, TEXTS_THAT_MEAN_SOMETHING)
def test_other_mathematics_always_has_words(one: str, other: str) -> None:
    assume(analyze(Source(one)).meaning is not None)
    assume(analyze(Source(other)).meaning is not None)
    assume(meaning(one).fingerprint != meaning(other).fingerprint)
    assert all(changes(terms(one), terms(other), current_registry()))
    assert changes(terms(one), terms(one), current_registry()) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ramp(0, 1, steps=9)", "ramp(0, 1, epochs=9)"),
        ("ramp(0, 1, steps=9)", "ramp(0, 1, steps=10)"),
        ("ramp(0, 1, steps=9)", "ramp(1, 0, steps=9)"),
        ("ramp(0, 1, steps=9)", "ramp(0, 1, steps=9, shape=cosine)"),
        ("ramp(0, 1, steps=9)", "ramp(0, 1, steps=9, start=1)"),
        ("after(steps=9)", "until(steps=9)"),
        ("cyclic(0, 1, steps=9)", "cyclic(0, 1, steps=9, ratio=1)"),
        ("0.01*step", "0.01*epoch"),
    ],
)
def test_two_schedules_are_two_fingerprints(one: str, other: str) -> None:
    for frame in ("{}*ce", "focal(sigmoid, gamma={})", "w = {}; ce + w*dice"):
        assert meaning(frame.format(one)).fingerprint != meaning(frame.format(other)).fingerprint


def test_two_files_are_compared_by_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text("loss: ce + dice\n", "utf-8")
    new.write_text("losses:\n  a: ce + 2*dice\n  b: ce + dice(smooth=1)\n", "utf-8")
    assert main(["diff", str(old), f"{new}:losses.b"]) == 1
    assert capsys.readouterr().out == "dice: smooth 1e-5 -> 1\n"
    assert main(["diff", str(old), f"{new}:losses.*"]) == 2
    assert "holds 2 expressions: name one" in capsys.readouterr().err
    assert main(["diff", str(old), "ce + "]) == 2
    assert "E006" in capsys.readouterr().err
    assert main(["diff", str(old), str(tmp_path / "none.yaml")]) == 2


def test_the_lock_of_a_file_is_compared_with_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, lock = tmp_path / "train.yaml", tmp_path / "lock.loss"
    config.write_text("loss: ce + dice\n", "utf-8")
    assert main(["lock", str(config)]) == 0
    lock.write_text(capsys.readouterr().out, "utf-8")
    assert main(["diff", str(lock), str(config)]) == 0
    assert main(["lock", "ce + dise"]) == 1
    assert main(["lock", "--set", "w=3", "w = 1; w*ce"]) == 0
    assert "3*ce(" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (
            "balance(mse, l1, shares=[1, 2])",
            "balance(mse, l1, shares=[1, 4])",
            ["balance: shares [1, 2] -> [1, 4]"],
        ),
        ("balance(mse, l1)", "balance(mse, l1, wrt=pred.a)", ["balance: wrt none -> pred.a"]),
        (
            "balance(mse, l1)",
            "balance(mse(reduction=sum), l1, momentum=0.5)",
            ["balance: momentum 0.7 -> 0.5", "mse: reduction mean -> sum"],
        ),
        (
            "balance(mse, l1)",
            "gradnorm(mse, l1, wrt=pred.a)",
            [
                "mse: weighed as argument 1 of balance -> argument 1 of gradnorm",
                "l1: weighed as argument 2 of balance -> argument 2 of gradnorm",
            ],
        ),
        (
            "balance(mse, l1)",
            "mse + 2*l1",
            [
                "mse: weighed as argument 1 of balance -> none",
                "l1: weight 1 -> 2, weighed as argument 2 of balance -> none",
            ],
        ),
    ],
)
def test_a_combinator_changes_once_whatever_it_weighs(old: str, new: str, wanted: list[str]) -> None:
    assert list(changes(terms(old), terms(new), current_registry())) == wanted
