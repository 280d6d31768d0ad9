"""`losslang plan --stage run`: what it prints, word for word, and tensors that fit whatever a program reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from losslang.runtime.compiled import _understood
from losslang.tools.cli import main

HERE = Path(__file__).parent / "run"
SMALL = ["--shape", "4,1,16,16"]
GOLDEN = {
    "bce_dice_small": ["0.5*bce(sigmoid) + dice(smooth=1)", *SMALL],
    "bce_dice_large": ["0.5*bce(sigmoid) + dice(smooth=1)", "--shape", "4,1,512,512"],
    "bce_dice_first": ["0.5*bce(sigmoid) + dice(smooth=1)", *SMALL, "--call", "first"],
    "ce_dice_large": ["ce(ignore_index=255) + dice", "--shape", "2,4,256,256"],
    "ce_dice_large_ignored": ["ce(ignore_index=255) + dice(ignore_index=255)", "--shape", "2,4,256,256", "--ignored"],
    "ce_traced": ["ce(ignore_index=255) + dice(ignore_index=255)", "--call", "traced"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Blocks are as large as there are threads to share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    _understood.cache_clear()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", GOLDEN)
def test_what_it_prints(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--stage", "run", *GOLDEN[name]]) == 0
    assert capsys.readouterr().out == (HERE / f"{name}.txt").read_text()


READS = [
    "ce@seg", "(ce + dice)@(pred.a, target.b)", "ce@(pred[0], target[1])", "mse(mask=batch.m, weight=batch.w)",
    "bce(sigmoid, pos_weight=const.p)", "ce(class_weight=const.w)", "linear_ce(head=const.h)", "batch.n*mse",
    "ghm_c(sigmoid, momentum=0.9)", "mse + 0.1*l2_reg(match='*')", "hinge", "mse@(pred[0:1], target[0:1])",
    "s = learn(0); exp(-s)*l1 + s", "focal(sigmoid, gamma=ramp(0, 2, epochs=3)) + until(epochs=3)*dice",
]  # fmt: skip
"""Programs that read more than a prediction and a target."""


@pytest.mark.parametrize("call", ["first", "second", "later", "traced"])
@pytest.mark.parametrize("text", READS)
def test_tensors_are_made_up_for_whatever_is_read(
    text: str, call: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(
        [
            "plan",
            "--stage",
            "run",
            "--shape",
            "4,3,5,6" if "head" not in text else "8,16",
            "--call",
            call,
            text,
        ]
    )
    said = capsys.readouterr()
    assert (status, said.err) == (0, "")
    assert said.out.startswith("1. ")
    assert "\n   total = " in said.out


def test_scheduled_weights_stand_beside_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    text = "l1 + 2*ramp(0, 1, steps=9)*mse"
    assert main(["plan", "--stage", "run", *SMALL, text]) == 0
    eager = capsys.readouterr().out
    assert "schedule:ramp" not in eager
    assert "module.step" not in eager
    assert "mse: 2*ramp(0, 1, steps=9, start=0, shape=linear)" in eager.partition("weights of terms")[2]
    assert main(["plan", "--stage", "run", *SMALL, text, "--call", "traced"]) == 0
    assert "schedule:ramp(input3, 0, 1" in capsys.readouterr().out


def test_a_shape_that_does_not_fit_is_a_mistake_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--stage", "run", "--shape", "8,4", "dice(softmax) + ms_ssim"]) == 1
    assert "error[E" in capsys.readouterr().err


@pytest.mark.parametrize("shape", ["4", "4,x", "0,4", "4;5"])
def test_a_shape_that_is_none(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["plan", "--stage", "run", "--shape", shape, "ce"])
    assert stopped.value.code == 2
    assert "is no shape" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "balance(bce(sigmoid), dice)",
        "dwa(bce(sigmoid), dice)",
        "relobralo(bce(sigmoid), dice)",
        "gradnorm(bce(sigmoid), dice, wrt=pred)",
        "bce(sigmoid) + gradmatch(bce(sigmoid), dice)*dice",
    ],
)
@pytest.mark.parametrize("call", ["first", "later", "traced"])
def test_weights_that_are_found_in_every_call(
    text: str, call: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--stage", "run", text, "--shape", "2,1,16,16", "--call", call]) == 0
    assert "found_weight" in capsys.readouterr().out


def test_what_a_loss_remembers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--stage", "run", "ghm_c(sigmoid, momentum=0.5)", "--shape", "2,1,16,16"]) == 0
    assert "ghm_c" in capsys.readouterr().out
