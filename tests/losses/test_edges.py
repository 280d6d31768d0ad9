"""Laws for every loss at the edges: nearly equal numbers, the ends of a domain, the ends of its options."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
import torch
from _every_loss import LOSSES, TRAINED, Call, compiled, each_use, text_of, uses
from edge_data import SMALLER, edges, nearly_equal, typed
from pydantic.fields import FieldInfo
from torch import Tensor

from losslang.primitives.primitive import Sloped
from losslang.vocabulary import Dynamic

HALVES = (torch.float16, torch.bfloat16)
COARSE = {("negative_binomial_nll", "target"): "between counts of 1000 its slope is a difference of digammas"}
"""Gradients that single precision leaves fewer digits of, and why."""
ROUGH = ("kl", "kd")
"""Divergences: near 0 a difference of two entropies, of which single precision keeps 1e-6; their gradients are exact."""


def value_and_gradients(loss: Any, call: Call, *, alone: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
    """The value, and the gradient into every operand that is a float; `alone` into the prediction only."""
    leaves: dict[str, Tensor] = {}

    def leaf(name: str, value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        value = value.detach().clone()
        if not alone or name == "pred":
            leaves[name] = value.requires_grad_()
        return value

    batch = {name: leaf(name, value) for name, value in call[2].items()}
    value = loss(leaf("pred", call[0]), leaf("target", call[1]), **batch)
    found: Sequence[Tensor | None] = [None] * len(leaves)
    if value.requires_grad:
        found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    pairs = zip(leaves.items(), found, strict=True)
    return value.detach(), {n: torch.zeros_like(x) if g is None else g for (n, x), g in pairs}


def ways(name: str) -> Sequence[bool]:
    """Which operands want a gradient: all, and the prediction alone where a loss has a slope written down for that."""
    return (False, True) if isinstance(LOSSES[name].kernels.get("identity"), Sloped) else (False,)


def at(name: str, use: str, *options: str) -> Any:
    """The loss, which looks at no values: the edges of a domain are inside of it, or just beyond."""
    written = {option.partition("=")[0] for option in options}
    smaller = [option for option in SMALLER.get(name, ()) if option.partition("=")[0] not in written]
    return compiled(text_of(name, use, *smaller, *options), validate="never")


# -------------------------------------------------------------------- differences of nearly equal numbers


@each_use
def test_a_difference_of_nearly_equal_numbers_is_that_of_double_precision(name: str, use: str):
    """Flat backgrounds, large offsets, rows nearly alike: float32 is float64 to 1e-4, all gradients too."""
    for label, call in nearly_equal(name, use):
        for alone in ways(name):
            value, slopes = value_and_gradients(at(name, use), call, alone=alone)
            wanted, wanted_slopes = value_and_gradients(
                at(name, use), typed(call, torch.float64), alone=alone
            )
            torch.testing.assert_close(
                value.double(),
                wanted,
                rtol=1e-4,
                atol=1e-6 if name in ROUGH else 1e-7,
                msg=lambda m, w=label: f"{w}: {m}",
            )
            for operand, slope in slopes.items():
                true = wanted_slopes[operand]
                if (name, operand) in COARSE:
                    continue
                error, size = (slope.double() - true).abs().max().item(), true.abs().max().item()
                assert error <= 1e-4 * size + 1e-9, (
                    f"{label}, into {operand}: {error / size:.1e} of {size:.1e}"
                )


# -------------------------------------------------------------------- edges of a domain


@each_use
def test_every_gradient_is_finite_at_the_edges_of_a_domain(name: str, use: str):
    """Zeros, equal operands, sure logits, empty and full targets, in float32: value and all gradients."""
    loss = at(name, use)
    for label, call in edges(name, use):
        for alone in ways(name):
            are_finite(label, *value_and_gradients(loss, typed(call, torch.float32), alone=alone))


@each_use
def test_every_gradient_of_half_types_is_that_of_float32_at_the_edges(name: str, use: str):
    """Of the same numbers; what float16 cannot hold is infinite there, as a GradScaler wants it, never NaN."""
    loss = at(name, use)
    for dtype in HALVES:
        for label, call in edges(name, use):
            half = typed(call, dtype)
            if not all(x.isfinite().all() for x in tensors(half)):
                continue
            value, slopes = value_and_gradients(loss, half)
            wanted, wanted_slopes = value_and_gradients(loss, typed(half, torch.float32))
            are_finite(label, value, {})
            torch.testing.assert_close(
                value, wanted, rtol=1e-2, atol=1e-2, msg=lambda m, w=label: f"{w}: {m}"
            )
            for operand, slope in slopes.items():
                true = wanted_slopes[operand]
                assert not slope.isnan().any(), f"{label}, into {operand}"
                assert (slope.isfinite() | (true.abs() >= torch.finfo(dtype).max)).all(), (
                    f"{label}, {operand}"
                )


def tensors(call: Call) -> Iterator[Tensor]:
    for value in (call[0], call[1], *call[2].values()):
        if isinstance(value, Tensor) and value.is_floating_point():
            yield value


def are_finite(label: str, value: Tensor, slopes: dict[str, Tensor]) -> None:
    assert value.isfinite().all(), f"{label}: {value}"
    for operand, slope in slopes.items():
        assert slope.isfinite().all(), f"{label}: into {operand}"


# -------------------------------------------------------------------- edges of options


def ends(declared: Any, number: int = 3) -> list[str]:
    """What to write at the ends of a declared range, and just inside of them; lists of as many."""
    origin, arguments = get_origin(declared), get_args(declared)
    if declared == Dynamic[float]:
        return []
    if origin is Annotated and arguments[0] not in (int, float):  # `Dynamic` of several types
        return ends(arguments[0], number)
    if origin is Annotated:
        return [f"{x:.17g}" for x in bounds(arguments[0], arguments[1:])]
    if origin in (Union, types.UnionType):
        return [x for part in arguments for x in ends(part, number)]
    if origin is list:
        return [f"[{', '.join([x] * number)}]" for x in ends(arguments[0], number)]
    if origin is Literal:
        return list(arguments)
    return {bool: ["true", "false"], type(None): ["none"]}.get(declared, [])


def bounds(kind: type, annotations: Sequence[Any]) -> list[float]:
    """The ends of a range of numbers that belong to it, and numbers close to each end."""
    said: dict[str, float] = {}
    for annotation in annotations:
        for bound in annotation.metadata if isinstance(annotation, FieldInfo) else [annotation]:
            said.update({key: getattr(bound, key) for key in ("ge", "gt", "le", "lt") if hasattr(bound, key)})
    low, high = said.get("ge", said.get("gt")), said.get("le", said.get("lt"))
    assert low is not None, "a range without a lower end"
    if kind is int:
        return [low, low + 1, 30 if high is None else high]
    assert high is not None, "a range without an upper end"
    inside = [low + 1e-30, low + 1e-6, high - 1e-6, high * (1 - 1e-6), high / 1e6]
    found = [*([low] if "ge" in said else []), *inside, *([high] if "le" in said else [])]
    return sorted(
        {x for x in found if low <= x <= high and ("ge" in said or x > low) and ("le" in said or x < high)}
    )


OPTIONS = [
    (name, option)
    for name in TRAINED
    for option, declared in LOSSES[name].option_types.items()
    if ends(declared) and option != "classes"  # channels: a list of different ones, no range
]


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_every_option_is_finite_at_the_ends_of_its_range(name: str, option: str):
    """Value and all gradients, on ordinary data and at the edges of the domain."""
    for value in ends(LOSSES[name].option_types[option], 1 if option == "layer_weights" else 3):
        for use in uses(name):
            loss = at(name, use, f"{option}={value}")
            for label, call in edges(name, use, option, value):
                where = f"{option}={value}, {label}"
                for alone in ways(name):
                    are_finite(where, *value_and_gradients(loss, typed(call, torch.float32), alone=alone))
