"""What a program is read as: `check`'s line, `.canonical`, `print(loss)`, locks. Each shows what is in force and can be pasted."""

from __future__ import annotations

import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from programs import TEXTS_THAT_MEAN_SOMETHING

import losslang
from losslang.diagnostics.source import Source
from losslang.meaning.canonical import canonical
from losslang.meaning.checker import Checked, analyze
from losslang.meaning.overrides import settable
from losslang.meaning.program import Meaning
from losslang.meaning.summary import summary
from losslang.primitives.primitive import Loss
from losslang.registry import current_registry
from losslang.runtime.checkpoint import from_state
from losslang.syntax.formatter import format
from losslang.tools.configfile import read

TESTS = Path(__file__).parent.parent
RECIPES = [entry["loss"] for entry in yaml.safe_load((TESTS / "recipes.yaml").read_text("utf-8"))]
REGISTRY = current_registry()
ROUNDS = settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def read_back(text: str, overrides: dict[str, Any] | None = None) -> str:
    """The line that `check` prints of a program."""
    checked = analyze(Source(text), overrides=overrides)
    assert checked.meaning is not None, checked.diagnostics
    return summary(checked.meaning)


def _dropped(meaning: Meaning) -> list[str]:
    """The terms that a 0 in place takes out; a 0 behind a name keeps the head in the graph."""
    return sorted(str(term.body) for term in meaning.terms if term.dropped)


def pasted(checked: Checked) -> None:
    """The line of a program is a program, of the same fingerprint, and no warning more."""
    assert checked.meaning is not None
    line = summary(checked.meaning)
    again = analyze(Source(line))
    assert again.meaning is not None, (line, again.diagnostics)
    assert again.meaning.fingerprint == checked.meaning.fingerprint, line
    assert _dropped(again.meaning) == _dropped(checked.meaning), line
    assert {d.code for d in again.diagnostics} <= {d.code for d in checked.diagnostics}, line
    assert format(line).replace("\n", "; ") == line or "#" in line


@ROUNDS
@given(TEXTS_THAT_MEAN_SOMETHING)
def test_what_check_prints_is_the_program(text: str) -> None:
    checked = analyze(Source(text))
    assume(checked.meaning is not None)
    pasted(checked)


def test_what_check_prints_of_an_objective_is_the_program() -> None:
    found = [checked for text in RECIPES if (checked := analyze(Source(text))).meaning is not None]
    assert len(found) > 20
    for checked in found:
        pasted(checked)


def test_what_check_prints_of_every_preset_is_the_program() -> None:
    """With the options of the library in the place of its name."""
    texts = [
        f"{name}({activation}like={library})"
        for name in REGISTRY.names(Loss)
        for library in REGISTRY.loss(name).loss.like  # type: ignore[union-attr]
        for activation in ("", "sigmoid, ", "softmax, ")
    ]
    found = [checked for text in texts if (checked := analyze(Source(text))).meaning is not None]
    assert len(found) > 60
    for checked in found:
        pasted(checked)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("0.5*bce(sigmoid) + dice(smooth=1)", "0.5*bce(sigmoid) + dice(sigmoid, smooth=1)  # dice: sigmoid from bce"),
        (
            "(ce(ignore_index=255) + dice)@seg",
            "ce(softmax, ignore_index=255)@seg + dice(softmax, ignore_index=255)@seg"
            "  # dice.seg: softmax from ce.seg, ignore_index=255 from ce.seg",
        ),
        ("dice", "dice(identity)  # dice: identity assumed"),
        ("ce(mask=batch.valid, avg_factor=max(batch.n, 1))", "ce(softmax, mask=batch.valid, avg_factor=max(batch.n, 1))"),
        ("mse(reduction=topk(frac=0.2)) + sse", "mse(reduction=topk(frac=0.2)) + sse"),
        ("ce(class_weight=[1, 2]) + l1(reduction=mean)", "ce(softmax, class_weight=[1, 2]) + l1"),
        ("ce(ignore_index=-100) + dice(ignore_index=none)", "ce(softmax, ignore_index=-100) + dice(softmax, ignore_index=none)  # dice: softmax from ce"),
        ("focal_tversky(sigmoid, gamma=2)", "focal_tversky(sigmoid, gamma=2)"),
        ("1e-4*l2_reg(match='*.weight') + mse", "0.0001*l2_reg(match='*.weight') + mse"),
        ("gaussian_nll(variance=pred.var)@(pred.mu, target)", "gaussian_nll@(pred.mu, target, pred.var)"),
        ("gaussian_nll(variance=batch.v)@d", "gaussian_nll(variance=batch.v)@d"),
        ("batch.w*(2 - 3*(batch.v*l1)) - mse/batch.n", "batch.w*(2 - 3*(batch.v*l1)) - (1/batch.n)*mse"),
        ("x = pred.a - 2; metric(2*x) + ce - 0.1*sqrt(mse)", "metric(2*(pred.a - 2)) + ce(softmax) - 0.1*sqrt(mse)"),
    ],
)  # fmt: skip
def test_the_line_says_what_is_in_force(text: str, line: str) -> None:
    assert read_back(text) == line


def test_the_line_says_what_was_set() -> None:
    text = "alpha = 0.5; alpha*ce + (1 - alpha)*dice(smooth=1)"
    line = read_back(text, {"alpha": 0.3, "dice.smooth": 2})
    assert line == (
        "0.3*ce(softmax) + 0.7*dice(softmax, smooth=2)  # dice: softmax from ce; set from outside: alpha=0.3, dice.smooth=2"
    )


@pytest.mark.parametrize("text", ["(ce(ignore_index=255) + dice)@seg", "gan = ssim + ms_ssim; -gan"])
def test_the_line_can_stand_in_a_config_file(text: str) -> None:
    """Bare, where the format cuts its comment off, and as a block."""
    line = read_back(text, {"dice.seg.weight": 2} if "seg" in text else {"gan/ssim.weight": -2})
    files = {
        "bare.yaml": f"loss: {line}\n",
        "block.yaml": f"loss: |\n  {line}\n",
        "c.toml": f'loss = "{line}"\n',
    }
    for name, file in files.items():
        found = read(name, file)
        assert found.diagnostics == ()
        (source,) = found.sources
        again = analyze(source)
        assert again.diagnostics == ()


# ---------------------------------------------------------------------------- overrides


@st.composite
def overridden(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A program, and some of what can be set in it."""
    text = draw(TEXTS_THAT_MEAN_SOMETHING)
    meaning = analyze(Source(text)).meaning
    assume(meaning is not None)
    assert meaning is not None
    known = list(settable(meaning.terms, REGISTRY)) + (["alpha"] if "alpha = " in text else [])
    names = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
    values = st.sampled_from([0.3, 1.0, 2.0, 0.1 + 0.2, 1e-5, -0.7, 0.0, 3])
    return text, {name: draw(values) for name in names}


@settings(ROUNDS, max_examples=150)
@given(overridden())
def test_the_canonical_text_of_a_program_with_overrides_has_its_fingerprint(
    drawn: tuple[str, dict[str, Any]],
) -> None:
    text, overrides = drawn
    checked = analyze(Source(text), overrides=overrides)
    assume(checked.meaning is not None)
    assert checked.meaning is not None
    written = canonical(checked.meaning, REGISTRY)
    again = analyze(Source(written))
    assert again.meaning is not None, (written, again.diagnostics)
    assert again.meaning.fingerprint == checked.meaning.fingerprint, written
    assert _dropped(again.meaning) == _dropped(checked.meaning), written
    assert format(written) == written
    pasted(checked)


@pytest.mark.parametrize(
    ("text", "overrides", "wanted"),
    [
        ("alpha = 0.5\nalpha*ce + (1 - alpha)*dice", {"alpha": 0.3}, "alpha = 0.3\nalpha*ce + (1 - alpha)*dice"),
        ("0.5*bce(sigmoid) + dice(smooth=1)", {"dice.smooth": 1e-5}, "0.5*bce(sigmoid) + dice(smooth=1e-5)"),
        ("0.5*bce(sigmoid) + dice(smooth=1)", {"bce.weight": 1, "dice.weight": 2}, "bce(sigmoid) + 2*dice(smooth=1)"),
        ("huber@a + 2*huber@b", {"huber.b.delta": 0.5, "huber.a.weight": 3}, "3*huber@a + 2*huber(delta=0.5)@b"),
        (
            "gan = bce(sigmoid) + l1  # both\n0.1*gan - mse",
            {"gan/bce.weight": 0.5, "mse.weight": 3},
            "gan = 5*bce(sigmoid) + l1  # both\n0.1*gan + 3*mse",
        ),
        ("sqrt(mse) + 2*(1 - ssim)", {"1-ssim.weight": 4, "sqrt_mse.weight": 0.7}, "0.7*sqrt(mse) + 4*(1 - ssim)"),
        ("a = 1; b = 2*a; b*ce + dice", {"b": 3}, "b = 3\nb*ce + dice"),
        ("quantile(q=[0.1, 0.9])", {"quantile.q": [0.2, 0.5, 0.8]}, "quantile(q=[0.2, 0.5, 0.8])"),
        ("iou(mode=log)", {"iou.mode": "square"}, "iou(mode=square)"),
        # What is used twice, or was 0, has no place of its own: the terms are written out.
        ("d = dice(sigmoid); 0.5*d + 2*d", {"d_2.smooth": 1}, "0.5*dice(sigmoid) + 2*dice(sigmoid, smooth=1)"),
        ("0*dice + ce", {"dice.weight": 1}, "dice(softmax) + ce(softmax)"),
        # A 0 from outside is computed: written in place it would drop the term.
        ("w = 1; w*l1 + mse", {"w": 0}, "w = 0\nw*l1 + mse"),
        ("2*l1 + 0*mse + huber", {"l1.weight": 0}, "zero = 0\nzero*l1 + 0*mse + huber"),
        ("s = l1 - mse; 2*s + huber", {"s/mse.weight": 0}, "zero = 0\ns = l1 - zero*mse\n2*s + huber"),
        ("zero = 1; -zero*l1 + mse", {"l1.weight": 0}, "zero_2 = 0\nzero = 1\nzero_2*-zero*l1 + mse"),
    ],
)  # fmt: skip
def test_overrides_stand_in_their_places(text: str, overrides: dict[str, Any], wanted: str) -> None:
    loss = losslang.compile(text, overrides=overrides)
    assert loss.canonical == wanted
    assert wanted.split("\n")[-1] in repr(loss)
    assert losslang.compile(wanted).fingerprint == loss.fingerprint


def test_a_loss_without_overrides_keeps_its_own_text() -> None:
    assert losslang.compile("0.50*ce  # half\n + dice").canonical == format("0.50*ce  # half\n + dice")


def test_pickles_and_checkpoints_show_the_values_in_force() -> None:
    """A loss that remembers something keeps its lock in the `state_dict`; another value warns."""
    text = "w = 1; w*ghm_c(sigmoid, momentum=0.5, bins=4)"
    loss = losslang.compile(text, overrides={"w": 3, "ghm_c.bins": 5})
    again = pickle.loads(pickle.dumps(loss))
    assert again.canonical == loss.canonical == "w = 3\nw*ghm_c(sigmoid, momentum=0.5, bins=5)"
    assert "3*ghm_c" in loss.record["lock"]
    assert "bins=5" in loss.record["lock"]
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    lock = from_state(torch.load(file, weights_only=True)["_extra_state"])
    assert lock is not None
    assert lock.terms["ghm_c"].startswith("3*ghm_c")
    assert lock.fingerprint == losslang.compile(loss.canonical).fingerprint
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losslang.compile(loss.canonical).load_state_dict(loss.state_dict())
    with pytest.warns(losslang.LossWarning, match=r"ghm_c: weight 3 -> 1\n"):
        losslang.compile(text, overrides={"ghm_c.bins": 5}).load_state_dict(loss.state_dict())


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["alpha", "ce.weight"])
def test_an_override_is_finite(name: str, value: float) -> None:
    with pytest.raises(losslang.LossError, match="a finite number"):
        losslang.compile("alpha = 1; alpha*ce", overrides={name: value})


# ---------------------------------------------------------------------------- one mathematics, one fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = pred.a + pred.b; x + ce", "pred.a + pred.b + ce"),
        ("x = -2*pred.a; x + ce", "ce - 2*pred.a"),
        ("0.5*(1 + ce + dice)", "0.5*ce + 0.5 + 0.5*dice"),
        ("-(pred.a - 2) + ce", "2 - pred.a + ce"),
    ],
)
def test_a_sum_of_tensors_is_its_addends(one: str, other: str) -> None:
    assert losslang.compile(one).fingerprint == losslang.compile(other).fingerprint
