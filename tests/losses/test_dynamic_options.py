"""Options that may be tensors of one number: the value of the number, a gradient, the bounds of a written one."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
import torch
from _every_loss import LOSSES, data, text_of, uses
from cutting import cut
from pydantic import ValidationError
from torch import Tensor

import losslang
from losslang.meaning.options import bounds_of, is_dynamic, validated
from losslang.primitives.primitive import Activation, Primitive, Reduction
from losslang.registry import current_registry
from losslang.vocabulary import Why


def is_number(declared: Any) -> bool:
    """True for the type of an option that may be a number, or a list of numbers."""
    if declared in (float, int):
        return True
    return declared is not bool and any(map(is_number, get_args(declared)))


DYNAMIC = [(name, o) for name, loss in LOSSES.items() for o, t in loss.option_types.items() if is_dynamic(t)]
STATIC = [
    (name, o) for name, loss in LOSSES.items() for o, t in loss.option_types.items() if not is_dynamic(t)
]
OWNERS = [*LOSSES.values(), *(current_registry().all(Activation)), *(current_registry().all(Reduction))]
FIXED = {
    ("ghm_c", "bins"): "it is the length of what the loss remembers",
    ("ghm_r", "bins"): "it is the length of what the loss remembers",
    ("multi_margin", "p"): "it is a whole number, which chooses the formula",
    ("triplet", "p"): "it chooses the norm, and the formula with it",
    ("mase", "seasonality"): "it counts steps, by which the history is shifted",
    ("ssim", "window"): "it is the size of a window, in elements",
    ("dssim", "window"): "it is the size of a window, in elements",
    ("ms_ssim", "window"): "it is the size of a window, in elements",
    ("lncc", "window"): "it is the size of a window, in elements",
    ("ms_ssim", "scale_weights"): "its length is the number of scales",
    ("bi_tempered", "t1"): "at 1 it is another formula",
    ("bi_tempered", "t2"): "at 1 it is another formula",
    ("bi_tempered", "iters"): "it counts steps, which are that many operations",
    ("topk_error", "k"): "it counts classes",
    ("perceptual", "layer_weights"): "it is a list, one for each layer",
    ("hausdorff_er", "k"): "it counts erosions, which are that many operations",
    ("cldice", "iters"): "it counts erosions, which are that many operations",
    ("topk", "k"): "it counts values, and is the size of what is kept; `frac` takes one",
    ("ohem", "min_kept"): "it counts values",
}
"""The options that are numbers and have to be known before anything runs, and why."""
NO_SLOPE = {
    ("ghm_c", "momentum"): "the weights have no gradient",
    ("ghm_r", "momentum"): "the weights have no gradient",
    ("ciou", "eps"): "the factor that it bounds has no gradient",
}
VALUES = {
    "margin": 0.37, "gamma": 1.6, "alpha": 0.31, "q": 0.3, "softcap": 3.0, "label_smoothing": 0.15, "eps": 0.05,
    "smooth": 0.3, "momentum": 0.3, "gamma_pos": 1.2,
}  # fmt: skip
each_dynamic = pytest.mark.parametrize(("name", "option"), DYNAMIC, ids=str)


def number(name: str, option: str) -> float:
    """A value of an option within its bounds that is no default."""
    return within(LOSSES[name], option, VALUES.get(option), 0.9)


def within(owner: Primitive, option: str, value: float | None, share: float) -> float:
    """A value if an option may have it, else a share of its default, else a small number."""
    declared, default = owner.option_types[option], owner.defaults[option]
    for candidate in (value, default and share * default):
        try:
            return float(validated(candidate, declared))
        except (ValidationError, TypeError):
            continue
    raise AssertionError(f"no value for {option} of {owner.name}")


def text(name: str, use: str, option: str, value: object) -> str:
    return text_of(name, use, f"{option}={value}")


def compiled(text: str, **more: object) -> losslang.Loss:
    return losslang.compile(text, validate="never", **more)  # type: ignore[arg-type]


def test_what_training_moves_is_dynamic() -> None:
    moved = {("huber", "delta"), ("focal", "gamma"), ("infonce", "temperature"), ("mnrl", "scale")}
    assert moved | {("triplet", "margin"), ("quantile", "q"), ("kd", "temperature")} <= set(DYNAMIC)


@each_dynamic
@pytest.mark.parametrize("elements", [None, 8])
@pytest.mark.filterwarnings("ignore::losslang.LossWarning")
def test_a_tensor_gives_the_value_of_its_number(name: str, option: str, elements: int | None) -> None:
    value = number(name, option)
    for use in uses(name):
        pred, target, batch = data(name, use)
        pred.requires_grad_()
        wanted = compiled(text(name, use, option, value))(pred, target, **batch)
        (grad,) = torch.autograd.grad(wanted, pred)
        given = torch.tensor([value], dtype=torch.float64, requires_grad=True)
        if elements is None:
            found = compiled(text(name, use, option, "batch.o"))(pred, target, o=given, **batch)
        else:
            with cut(elements):
                found = compiled(text(name, use, option, "batch.o"))(pred, target, o=given, **batch)
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)
        own, into = torch.autograd.grad(found, (pred, given), allow_unused=True)
        torch.testing.assert_close(own, grad, rtol=1e-7, atol=1e-10)
        if (name, option) in NO_SLOPE:
            continue
        step = 1e-5
        ends = [
            compiled(text(name, use, option, repr(value + side)))(pred, target, **batch).detach()
            for side in (-step, step)
        ]
        slope = (ends[1] - ends[0]) / (2 * step)
        into = torch.zeros_like(given) if into is None else into
        torch.testing.assert_close(into.squeeze(), slope, rtol=1e-4, atol=1e-7)


@each_dynamic
@pytest.mark.filterwarnings("ignore::losslang.LossWarning")
def test_a_tensor_has_the_bounds_of_a_written_number(name: str, option: str) -> None:
    bounds = bounds_of(LOSSES[name].option_types[option])
    use = uses(name)[-1]
    pred, target, batch = data(name, use)
    loss = losslang.compile(text(name, use, option, "batch.o"))
    least = bounds.get("ge", bounds.get("gt", 0.0))
    beyond = (least - 1 - abs(least), 1e30) if bounds else ()
    for wrong in (*beyond, float("nan")):
        with pytest.raises(losslang.LossError, match=f"E550.*`{option}` of `{name}` holds"):
            loss(pred, target, o=torch.tensor(wrong), **batch)
    with pytest.raises(losslang.LossError, match=r"E505|one number"):
        loss(pred, target, o=torch.ones(3), **batch)


@pytest.mark.parametrize(("name", "option"), STATIC, ids=str)
def test_any_other_option_says_that_it_takes_no_path(name: str, option: str) -> None:
    found = losslang.check(text(name, "", option, "batch.o"))
    assert [d.code for d in found if d.code.startswith("E")] in (["E230"], ["E202"])
    words = str(LOSSES[name].option_types[option])
    # A bare word or a path is read as a name where names are allowed.
    assert found[0].code == "E230" or "Literal" in words or "str" in words


def test_every_number_is_dynamic_or_says_why_not() -> None:
    said: dict[tuple[str, str], str] = {}
    for owner in OWNERS:
        for option, declared in owner.option_types.items():
            if is_number(declared) and not is_dynamic(declared) and option != "classes":
                said[owner.name, option] = next(a for a in get_args(declared) if isinstance(a, Why))
    assert said == FIXED


@pytest.mark.parametrize(("name", "option"), FIXED, ids=str)
def test_one_that_is_not_says_what_to_write(name: str, option: str) -> None:
    where = (
        f"ce(reduction={name}({option}=SCHEDULE))"
        if name in ("topk", "ohem")
        else f"{name}({option}=SCHEDULE)"
    )
    found = losslang.check(where.replace("SCHEDULE", "ramp(1, 2, steps=9)"))
    (wrong,) = (d for d in found if d.code == "E230")
    assert wrong.message == f"`{option}` of `{name}` takes no schedule: {FIXED[name, option]}"
    assert wrong.fix.startswith(f"write `{option}=...` with ")
    for repair in re.findall("until`?.*`", wrong.fix):
        assert not [d for d in losslang.check(repair.strip("`")) if d.is_error], repair
    (path,) = (d for d in losslang.check(where.replace("SCHEDULE", "batch.o")) if d.code in ("E230", "E202"))
    assert (
        path.code == "E202" or path.message == f"`{option}` of `{name}` takes no path: {FIXED[name, option]}"
    )


@pytest.mark.parametrize("name", ["sigmoid", "softmax"])
def test_the_temperature_of_an_activation_may_be_a_tensor(name: str) -> None:
    assert any(a.name == name for a in current_registry().all(Activation))
    pred = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    target = torch.randint(4, (3, 5))
    heat = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)

    def grads(value: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(value, (pred, heat))

    head = {"softmax": "ce", "sigmoid": "bce"}[name]
    loss = losslang.compile(f"{head}({name}(temperature=batch.t)) + dice")
    assert f"dice({name}(temperature=batch.t)" in str(loss.meaning)
    for elements in (None, 8):
        if elements is None:
            found = loss(pred, target, t=heat)
        else:
            with cut(elements):
                again = losslang.compile(loss.canonical)
                found = again(pred, target, t=heat)
        wanted = losslang.compile(f"{head}({name}) + dice")(pred / heat, target)
        torch.testing.assert_close(found, wanted)
        for one, two in zip(grads(found), grads(wanted), strict=True):
            torch.testing.assert_close(one, two)
    with pytest.raises(losslang.LossError, match="E550"):
        losslang.compile(loss.canonical)(pred, target, t=torch.tensor(0.0))


def test_a_computed_option_and_a_setting() -> None:
    x, t = torch.randn(6), torch.randn(6)
    s = torch.tensor(0.3, requires_grad=True)
    loss = losslang.compile("huber(delta=exp(batch.s))")
    value = loss(x, t, s=s)
    torch.testing.assert_close(value, torch.nn.functional.huber_loss(x, t, delta=s.exp().item()))
    value.backward()
    assert s.grad is not None
    assert loss.inputs == ("pred", "target", "batch.s")
    assert losslang.compile("huber(delta=const.d)", const={"d": 0.5})(x, t) == losslang.compile(
        "huber(delta=0.5)"
    )(x, t)
    fixed = losslang.compile("huber(delta=batch.s)", overrides={"huber.delta": 0.5})
    assert fixed(x, t) == losslang.compile("huber(delta=0.5)")(x, t)


def test_half_precision_keeps_its_type() -> None:
    x, t = torch.randn(6, dtype=torch.bfloat16), torch.randn(6, dtype=torch.bfloat16)
    for kind in (torch.float64, torch.bfloat16):
        value = losslang.compile("huber(delta=batch.s)")(x, t, s=torch.tensor(0.5, dtype=kind))
        assert value.dtype == torch.float32


def test_a_traced_program_has_the_tensor_as_an_input() -> None:
    loss = losslang.compile("focal(sigmoid, gamma=batch.g) + huber(delta=batch.g)")
    x, t = torch.randn(8), (torch.rand(8) > 0.5).float()
    traced = torch.compile(loss, fullgraph=True, backend="eager")
    for g in (0.5, 2.0):
        torch.testing.assert_close(traced(x, t, g=torch.tensor(g)), loss(x, t, g=torch.tensor(g)))


def test_a_power_of_a_tensor_has_a_finite_slope_at_zero() -> None:
    x = torch.tensor([100.0, -3.0], requires_grad=True)
    for g in (0.0, 0.5, 2.0):
        loss = losslang.compile("focal(softmax, gamma=batch.g)")
        logits = torch.stack([x, -x], 1)
        value = loss(logits, torch.tensor([0, 1]), g=torch.tensor(g))
        (grad,) = torch.autograd.grad(value, x)
        assert grad.isfinite().all()
        wanted = losslang.compile(f"focal(softmax, gamma={g})")(logits, torch.tensor([0, 1]))
        torch.testing.assert_close(value, wanted)
