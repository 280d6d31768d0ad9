"""`like=` is a promise: the number of the library, or a refusal.

The grid that it is held to was recorded once, with the library's own code: tests/conformance/record.py.
"""

from __future__ import annotations

import pickle
import warnings
from collections import defaultdict
from collections.abc import Iterator

import pytest
import torch

import losslang
from conformance.points import ATOL, RTOL, Library, Point, call, one_number, outcome, recorded
from losslang.diagnostics.source import Source
from losslang.meaning.checker import analyze
from losslang.primitives.libraries import LIBRARIES
from losslang.primitives.presets import Preset
from losslang.primitives.primitive import Activation, Loss
from losslang.registry import current_registry
from losslang.tools import cli

LOSSES = current_registry().all(Loss)
PRESETS = [(loss, library) for loss in LOSSES for library in loss.like]
GRID = {library.name: library for library in recorded()}
REFUSALS = {"E209", "E210", "E526"}
"""The codes of what was not compared; a program may be refused for other reasons, alone or beside a library."""


def operands(loss: Loss) -> str:
    return "".join(f", {o.name}=batch.{o.name}" for o in loss.operands if o.name not in ("pred", "target"))


def named(value: object) -> str:
    return value if isinstance(value, str) else value.name if isinstance(value, Loss) else str(value)


# ------------------------------------------------------------------------- the promise


def promised() -> Iterator[tuple[Loss, str, list[Point]]]:
    """The points of every preset."""
    for loss, library in PRESETS:
        if library in GRID:
            points = [p for p in GRID[library].points if p.loss == loss.name]
            if points:
                yield loss, library, points


PROMISED = list(promised())


@pytest.mark.parametrize(("loss", "library", "points"), PROMISED, ids=named)
def test_a_preset_gives_the_number_of_the_library_or_refuses(loss: Loss, library: str, points: list[Point]):
    """At every point: activation, label to ignore, weights of classes, reduction, rank, form of the truth."""
    wrong: list[str] = []
    for point in points:
        value = outcome(point)[1]
        if value is None:
            continue
        if point.value is None:
            wrong.append(f"{point.program} of {point.inputs}: {value}, where {library} refuses")
        elif abs(value - point.value) > RTOL * abs(point.value) + ATOL:
            wrong.append(f"{point.program} of {point.inputs}: {value}, and {point.value} there")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("loss", "library", "points"), PROMISED, ids=named)
def test_what_a_preset_declares_was_compared(loss: Loss, library: str, points: list[Point]):
    """Every activation, option, rank and number of channels that it names has a number that agrees."""
    agree = [p for p in points if p.value is not None and outcome(p)[1] is not None]
    preset, has = loss.like[library], GRID[library].has[loss.name]
    assert agree, "a preset that never gives a number"
    shapes = [tuple(prediction(p).shape) for p in agree]
    assert set(preset.ranks) <= {len(shape) for shape in shapes}
    assert set(preset.channels) <= {shape[1] for shape in shapes if len(shape) > 1}
    compared = {name for p in agree for name, _ in p.options}
    assert set(preset.takes.split()) <= compared
    assert set(preset.takes.split()) <= set(has)
    activations = {p.activation for p in agree}
    assert activations == {""} or set(known(preset)) <= activations


def known(preset: Preset) -> tuple[str, ...]:
    """The activations that a preset names."""
    first = preset.options.partition(",")[0]
    return preset.activations or ((first,) if first and "=" not in first else ())


@pytest.mark.parametrize(("loss", "library", "points"), PROMISED, ids=named)
def test_what_the_library_has_too_is_taken_or_refused(loss: Loss, library: str, points: list[Point]):
    """An option that both have is not let through as one that only we have."""
    preset = loss.like[library]
    spoken = {word.partition("=")[0] for key in preset.refuses for word in key.split()} | set(
        preset.takes.split()
    )
    agree = {name for p in points if outcome(p)[1] is not None for name, _ in p.options}
    has = set(GRID[library].has[loss.name]) & agree
    assert has <= spoken


def prediction(point: Point) -> torch.Tensor:
    pred = call(point.inputs)["pred"]
    return next(iter(pred.values())) if isinstance(pred, dict) else pred


ACTIVATED = [held for held in PROMISED if known(held[0].like[held[1]]) and held[2][0].activation]
"""Those that name the activations that they were compared after."""


@pytest.mark.parametrize(("loss", "library", "points"), ACTIVATED, ids=named)
def test_after_an_activation_that_was_not_compared_it_is_refused(
    loss: Loss, library: str, points: list[Point]
):
    """Of all that the language has: those of the grid that agree, and no other."""
    numbers = {p.activation for p in points if p.value is not None and outcome(p)[1] is not None}
    for activation in current_registry().all(Activation):
        text = f"{loss.name}({activation.name}, like={library}{operands(loss)})"
        codes = [d.code for d in losslang.check(text) if d.is_error]
        if not {"E301", "E302"} & set(codes):
            assert ("E209" in codes) == (activation.name not in numbers), text


@pytest.mark.parametrize(("loss", "library", "points"), PROMISED, ids=named)
def test_what_is_refused_is_another_number(loss: Loss, library: str, points: list[Point]):
    """With its options written out in place of `like=`, each refusal has a point where the library differs."""
    preset = loss.like[library]
    for key in preset.refuses:
        words = set(key.split())
        asked = [p for p in points if words <= spoken(p)]
        if asked:
            assert any(differs(p, written_out(p, preset)) for p in asked), key


def spoken(point: Point) -> set[str]:
    """The words that a refusal is about."""
    pairs = {f"{name}={value}" for name, value in point.options}
    return {point.activation, *(name for name, _ in point.options), *pairs}


def written_out(point: Point, preset: Preset) -> str:
    """The program of a point with what `like=` stands for in its place."""
    written = {name for name, _ in point.options} | {""}
    parts = [part for part in preset.options.split(", ") if part.partition("=")[0] not in written]
    parts = [part for part in parts if "=" in part or not point.activation]
    return (
        point.program.replace(f"like={point.library}", ", ".join(parts))
        .replace("(, ", "(")
        .replace(", , ", ", ")
    )


def differs(point: Point, program: str) -> bool:
    """Whether the library has no number there, or another than a program."""
    held = call(point.inputs)
    program = program.replace(", )", ")").replace("()", "")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", losslang.LossWarning)
            value = one_number(
                point, losslang.compile(program)(held["pred"], held["target"], **held["batch"])
            )
    except losslang.LossError:
        return False
    return point.value is None or abs(value - point.value) > RTOL * abs(point.value) + ATOL


@pytest.mark.parametrize("library", recorded(), ids=lambda library: library.name)
def test_refusals_are_the_exception(library: Library):
    """What the library has a number for of a truth of 0 and 1 is mostly given, so that a preset is of use.

    A written `reduction=mean` asks for nothing that is not there without it.
    """
    counts: dict[str, int] = defaultdict(int)
    for point in library.points:
        loss = current_registry().loss(point.loss)
        is_known = loss is not None and library.name in loss.loss.like and point.value is not None
        if is_known and not point.inputs.endswith("soft") and ("reduction", "mean") not in point.options:
            counts["all"] += 1
            counts["refused"] += outcome(point)[0] in REFUSALS
    assert counts["refused"] < 0.4 * counts["all"], dict(counts)


def test_the_grid_can_fail():
    """A number a little off is seen."""
    off = 0
    for library in recorded():
        for point in library.points:
            value = outcome(point)[1]
            if value is not None and point.value is not None:
                off += abs(value * 1.001 - point.value) > RTOL * abs(point.value) + ATOL
    assert off > 1000


def test_every_preset_is_recorded_of_the_version_that_is_named():
    for library in recorded():
        assert library.version == LIBRARIES[library.name]
        assert library.points
    assert {(loss.name, library) for loss, library, _ in PROMISED} == {
        (known.name, library) for known, library in PRESETS
    }


# ------------------------------------------------------------------------- each mistake that was a wrong number


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("focal(softmax, like=monai)", "E209"),
        ("focal(softmax, like=kornia)", "E209"),
        ("focal(softmax, like=toolbelt)", "E209"),
        ("ce + focal(like=torchvision) + metric(focal(softmax, like=fvcore))", "E209"),
        ("focal(sigmoid, like=monai, ignore_index=255)", "E210"),
        ("focal(sigmoid, like=monai, reduction=sum)", "E210"),
        ("focal(sigmoid, like=smp, class_weight=[1, 2])", "E210"),
        ("ce(like=mmseg, class_weight=[1, 2], ignore_index=255)", "E210"),
        ("mse(like=keras, reduction=sum)", "E210"),
    ],
)
def test_what_is_known_before_any_tensor_is_refused_by_check(text: str, code: str):
    found = [d for d in losslang.check(text) if d.is_error]
    assert [d.code for d in found] == [code]
    assert all(d.fix and ":" in d.message for d in found)


def test_an_activation_is_known_once_it_is_taken_from_a_neighbour():
    """`dice` of optax was compared after a softmax; beside `bce(sigmoid)` it reads a sigmoid."""
    assert not losslang.check("ce + dice(like=optax)")
    (wrong,) = losslang.check("bce(sigmoid) + dice(like=optax)")
    assert wrong.code == "E209"
    assert "`dice(sigmoid)`" in wrong.message
    assert not losslang.check("bce(sigmoid) + dice(like=monai)")


@pytest.mark.parametrize(
    ("text", "shape", "words"),
    [
        ("lovasz_hinge(like=smp)", (2, 3, 4, 5), "compared on 1 channel"),
        ("mcc(identity, like=smp)", (2, 3, 4, 5), "compared on 1 channel"),
        ("dice(sigmoid, like=mmdet)", (4, 6, 7), "compared on 1 channel"),
        ("listwise_softmax(like=optax)", (2, 3, 4), "on predictions of rank 2"),
        ("listwise_softmax(like=optax)", (5,), "on predictions of rank 2"),
        ("unified_focal(identity, like=monai)", (2, 3, 4, 5), "compared on 1 or 2 channels"),
    ],
)
def test_what_the_shape_decides_is_refused_in_every_call(text: str, shape: tuple[int, ...], words: str):
    loss = losslang.compile(text)
    pred = torch.rand(shape).double()
    for _ in range(2):
        with pytest.raises(losslang.LossError, match="E526") as caught:
            loss(pred, (torch.rand(shape) > 0.5).double())
        assert words in str(caught.value)
        assert "^" in str(caught.value)


def test_a_new_shape_is_looked_at_after_many_calls():
    """The look is left out for shapes that passed, and for no others."""
    loss = losslang.compile("dice(sigmoid, like=mmdet)")
    one, several = torch.rand(2, 1, 4, 4), torch.rand(2, 3, 4, 4)
    for _ in range(4):
        loss(one, one.round())
    with pytest.raises(losslang.LossError, match="E526"):
        loss(several, several.round())


@pytest.mark.parametrize("text", ["hausdorff_dt(sigmoid, like=monai)", "unified_focal(identity, like=monai)"])
def test_one_channel_is_no_background(text: str):
    """MONAI keeps it, with a warning; so does `background=alone`, and drops channel 0 of two."""
    pred = torch.rand(2, 1, 6, 6).double()
    target = (torch.rand(2, 1, 6, 6) > 0.5).double()
    assert losslang.compile(text)(pred, target).isfinite()
    two, both = torch.cat([1 - pred, pred], 1), torch.cat([1 - target, target], 1)
    if "hausdorff" in text:
        alone = losslang.compile(text)(two, both)
        assert alone == losslang.compile("hausdorff_dt(sigmoid, background=false)")(two, both)


def test_a_mean_of_everything_counts_what_is_ignored():
    """... as mmdet, mmseg, smp and toolbelt have it; the value at an ignored place stays without a gradient."""
    logits = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 255, 255, 255, 255, 1])
    for library in ("mmdet", "mmseg", "smp", "toolbelt"):
        loss = losslang.compile(f"ce(like={library}, ignore_index=255)")
        value = loss(logits, labels)
        wanted = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255, reduction="sum") / 8
        torch.testing.assert_close(value, wanted)
    (slope,) = torch.autograd.grad(value, logits)
    assert not slope[3:7].any()
    assert slope[:3].all()


def test_images_are_averaged_after_their_classes():
    """Berman's `per_image`: an image of one class counts as much as one of three."""
    probs = torch.rand(2, 3, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(1)
    labels = torch.cat([torch.zeros(1, 12).long(), torch.arange(12).unsqueeze(0) % 3])
    loss = losslang.compile("lovasz_softmax(identity, batch=false)")
    each = [loss(probs[i : i + 1], labels[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(loss(probs, labels), (each[0] + each[1]) / 2)


def test_a_label_to_ignore_makes_no_class_present():
    """Hidden labels are 0 inside; class 0 is not there because of them."""
    probs = torch.rand(1, 3, 8, dtype=torch.float64).softmax(1)
    labels = torch.tensor([[1, 1, 2, 255, 2, 1, 255, 2]])
    kept = labels[0] != 255
    found = losslang.compile("lovasz_softmax(identity, ignore_index=255)")(probs, labels)
    wanted = losslang.compile("lovasz_softmax(identity)")(probs[:, :, kept], labels[:, kept])
    torch.testing.assert_close(found, wanted)


def test_a_batch_of_one_class_is_nothing_to_tell_apart():
    rows = torch.randn(5, 4, requires_grad=True)
    value = losslang.compile("supcon(like=pml)")(rows, torch.zeros(5).long())
    (slope,) = torch.autograd.grad(value, rows)
    assert value == 0
    assert not slope.any()
    assert losslang.compile("supcon")(rows, torch.zeros(5).long()) > 0
    some = torch.tensor([0, 0, 1, 1, 2])
    assert losslang.compile("supcon(like=pml)")(rows, some) == losslang.compile("supcon")(rows, some)


def test_a_soft_truth_is_seen_in_the_first_call():
    pred, soft = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    with pytest.raises(losslang.LossError, match="E526"):
        losslang.compile("dice(sigmoid, like=smp)")(pred, soft)
    assert losslang.compile("dice(sigmoid, like=monai)")(pred, soft).isfinite()


# ------------------------------------------------------------------------- what a preset is


def test_there_are_many_and_of_many_libraries():
    assert len(PRESETS) > 160
    assert {library for _, library in PRESETS} <= set(LIBRARIES)
    assert len({library for _, library in PRESETS}) > 18


@pytest.mark.parametrize(("loss", "library"), PRESETS, ids=named)
def test_a_preset_is_what_its_options_are(loss: Loss, library: str):
    """It means the same as the options written out, and nothing in it is wrong or unknown."""
    preset = loss.like[library]
    inside = [preset.options] if preset.options else []
    if loss.inherits and preset.activations and not set(preset.activations) & set(preset.options.split(", ")):
        inside = [preset.activations[0], *inside]
    written = ", ".join(inside)
    said = ", ".join([*(inside[:1] if inside != [preset.options] else []), f"like={library}"])
    texts = [f"{loss.name}({text}{operands(loss)})".replace("(, ", "(") for text in (said, written)]
    found = [analyze(Source(f"mse + metric({t})" if loss.metric_only else t)) for t in texts]
    assert not found[0].errors, found[0].errors
    assert found[0].meaning is not None
    assert found[1].meaning is not None
    assert found[0].meaning.fingerprint == found[1].meaning.fingerprint


def test_an_override_is_no_way_around():
    """... of an option that is refused, and one that gives what is the default anyway is none."""
    text = "bce(sigmoid, like=timm)"
    assert losslang.compile(text, overrides={"bce.label_smoothing": 0.0})
    with pytest.raises(losslang.LossError, match="E210"):
        losslang.compile(text, overrides={"bce.label_smoothing": 0.1})
    assert not losslang.check("bce(sigmoid, like=timm, label_smoothing=0)")


def test_a_plan_with_a_library_prints_and_is_pickled():
    loss = losslang.compile("dice(sigmoid, like=mmdet) + unified_focal(sigmoid)")
    assert "check:compared" in str(loss.plan)
    pred = torch.rand(2, 1, 4, 4)
    assert pickle.loads(pickle.dumps(loss))(pred, pred.round()) == loss(pred, pred.round())


def test_what_is_written_wins():
    x, y = torch.randn(2, 3, 5), torch.randint(3, (2, 5))
    found = losslang.compile("dice(softmax, like=toolbelt, smooth=2)")(x, y)
    wanted = losslang.compile("dice(softmax, like=toolbelt)", overrides={"dice.smooth": 2})(x, y)
    assert found == wanted
    assert losslang.compile("dice(softmax, like=smp, batch=false)")(x, y) != losslang.compile(
        "dice(softmax, like=smp)"
    )(x, y)


def test_explain_says_what_is_ours_alone():
    shown = losslang.explain("dice(softmax, like=toolbelt, mask=batch.m, smooth=2, ignore_index=255)")
    (line,) = [line for line in shown.splitlines() if line.strip().startswith("like")]
    assert "the options of pytorch-toolbelt 0.8.0" in line
    assert "`mask` beside it: ours alone" in line
    assert "smooth" not in line
    assert "ignore_index" not in line
    assert "1 more than nnU-Net's" in losslang.explain("dice(softmax, like=nnunet)")


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
    for library, preset in current_registry().loss("dice").loss.like.items():  # pyright: ignore
        assert f"like={library}" in shown
        assert LIBRARIES[library] in shown
        assert preset.options in shown


def test_a_name_that_carries_an_activation_keeps_it():
    """torchvision's own name with torchvision's numbers; a softmax that is written is refused."""
    found, wanted = (
        analyze(Source(text)).meaning
        for text in ("sigmoid_focal(like=torchvision)", "focal(like=torchvision)")
    )
    assert found is not None
    assert wanted is not None
    assert found.fingerprint == wanted.fingerprint
    assert [d.code for d in losslang.check("softmax_focal(like=torchvision)")] == ["E209"]


def test_two_libraries_at_once_are_one_too_many():
    assert [d.code for d in losslang.check("dice(sigmoid, like=smp, like=monai)")] == ["E203"]
