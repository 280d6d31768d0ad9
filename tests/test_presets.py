"""`like=`: the options that give another library's numbers. The numbers themselves: tests/test_conformance.py."""

from __future__ import annotations

import pytest
import torch

import losslang
from losslang import cli
from losslang.checker import analyze
from losslang.libraries import LIBRARIES
from losslang.primitive import Loss
from losslang.registry import current_registry
from losslang.text import Source

LOSSES = current_registry().all(Loss)
PRESETS = [(loss, library) for loss in LOSSES for library in loss.like]


def operands(loss: Loss) -> str:
    return "".join(f", {o.name}=batch.{o.name}" for o in loss.operands if o.name not in ("pred", "target"))


def test_there_are_many_and_of_many_libraries():
    assert len(PRESETS) > 60
    assert {library for _, library in PRESETS} <= set(LIBRARIES)
    assert len({library for _, library in PRESETS}) > 10


@pytest.mark.parametrize(("loss", "library"), PRESETS, ids=lambda v: v if isinstance(v, str) else v.name)
def test_a_preset_is_what_its_options_are(loss: Loss, library: str):
    """It means the same as the options written out, and nothing in it is wrong or unknown."""
    options = loss.like[library]
    said = f"{loss.name}(like={library}{operands(loss)})"
    written = f"{loss.name}({options}{operands(loss)})" if options else f"{loss.name}({operands(loss)[2:]})"
    texts = (f"mse + metric({text})" if loss.metric_only else text for text in (said, written))
    found = [analyze(Source(text)) for text in texts]
    assert not found[0].errors, found[0].errors
    assert found[0].meaning is not None
    assert found[1].meaning is not None
    assert found[0].meaning.fingerprint == found[1].meaning.fingerprint


def test_what_is_written_wins():
    x, y = torch.randn(2, 3, 5), torch.randint(3, (2, 5))
    found = losslang.compile("dice(softmax, like=smp, smooth=2)")(x, y)
    wanted = losslang.compile("dice(softmax, like=smp)", overrides={"dice.smooth": 2})(x, y)
    assert found == wanted
    assert losslang.compile("dice(softmax, like=smp, batch=false)")(x, y) != losslang.compile(
        "dice(softmax, like=smp)"
    )(x, y)


def test_a_library_without_the_loss_is_refused_with_those_that_have_it():
    (wrong,) = losslang.check("dice(sigmoid, like=torchvison)")
    assert wrong.code == "E208"
    assert "`like` is one of" in wrong.fix
    (near,) = losslang.check("dice(sigmoid, like=smpp)")
    assert near.fix == "did you mean `smp`?"
    assert [d.code for d in losslang.check("dice(sigmoid, like=3)")] == ["E208"]


def test_the_page_of_a_loss_lists_them(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["show", "dice"]) == 0
    shown = capsys.readouterr().out
    for library, options in current_registry().loss("dice").loss.like.items():  # pyright: ignore
        assert f"like={library}" in shown
        assert LIBRARIES[library] in shown
        assert options in shown


def test_a_name_that_carries_an_activation_keeps_it():
    """torchvision's own name with torchvision's numbers; a softmax that is written stays one."""
    found, wanted = (
        analyze(Source(text)).meaning
        for text in ("sigmoid_focal(like=torchvision)", "focal(like=torchvision)")
    )
    assert found is not None
    assert wanted is not None
    assert found.fingerprint == wanted.fingerprint
    assert not losslang.check("softmax_focal(like=torchvision)")


def test_two_libraries_at_once_are_one_too_many():
    assert [d.code for d in losslang.check("dice(sigmoid, like=smp, like=monai)")] == ["E203"]
