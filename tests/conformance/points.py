"""The grid that every preset is compared on: activations x ignored labels x class weights x ranks x options.

A point is a program without its `like=`, and the name of a call; the tensors of all calls are in one file.
`record.py` asks a library for the number of each point;
tests/conformance/test_presets.py asks ours, and reads nothing but what was recorded.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

import losslang

GRID = Path(__file__).parent / "grid"
INPUTS = GRID / "inputs.json"
WEIGHTS = (1.0, 2.0, 0.5)
"""Of three classes."""
IGNORED = 255
RTOL, ATOL = 1e-5, 5e-6
"""What is computed in float32 on one side: MONAI, toolbelt, optax and keras do that here and there."""


@dataclass(frozen=True)
class Point:
    """One comparison: a loss after an activation ('' where none is written), with options, of one call.

    `value` is the library's number; None where the library refuses the call, or cannot make it.
    """

    library: str
    loss: str
    activation: str
    options: tuple[tuple[str, str], ...]
    inputs: str
    value: float | None = field(default=None, compare=False)

    @property
    def program(self) -> str:
        inside = [self.activation] if self.activation else []
        inside.append(f"like={self.library}")
        inside += [f"{name}={value}" for name, value in self.options]
        inside += [f"{name}=batch.{name}" for name in call(self.inputs)["batch"]]
        text = f"{self.loss}({', '.join(inside)})"
        routes = ROUTES.get(self.loss)
        return f"{text}@({routes})" if routes else text


ROUTES = {"triplet": "pred.a, pred.b, pred.c"}
"""The tensors of losses that do not compare a prediction with a target."""


@dataclass(frozen=True)
class Library:
    """What was recorded of one library. `has` are the options, of each loss, that the library has too."""

    name: str
    version: str
    has: Mapping[str, tuple[str, ...]]
    points: tuple[Point, ...]


@cache
def recorded() -> tuple[Library, ...]:
    return tuple(_library(file) for file in sorted(GRID.glob("*.json")) if file != INPUTS)


def _library(file: Path) -> Library:
    held = json.loads(file.read_text("utf-8"))
    name, has = held["library"], {loss: tuple(options) for loss, options in held["has"].items()}
    points = tuple(
        Point(name, loss, activation, _options(options), inputs, value)
        for loss, groups in held["points"].items()
        for activation, options, values in groups
        for inputs, value in values.items()
    )
    return Library(name, held["version"], has, points)


def _options(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [part.partition("=") for part in text.split("; ") if part]
    return tuple((name, value) for name, _, value in pairs)


@cache
def outcome(point: Point) -> tuple[str, float | None]:
    """The code of our refusal, or our number. An error that is no refusal of ours is not caught."""
    held = call(point.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        try:
            value = losslang.compile(point.program)(held["pred"], held["target"], **held["batch"])
        except losslang.LossError as error:
            return error.diagnostics[0].code, None
    return "", one_number(point, value)


def one_number(point: Point, value: Any) -> float:
    """A result as one number: of values that are not reduced a sum in which each has a weight of its own."""
    if ("reduction", "none") not in point.options:
        return float(value)
    values = torch.as_tensor(value, dtype=torch.float64).detach().flatten()
    return float((values * torch.arange(1, len(values) + 1)).sum() / max(len(values), 1))


def agrees(point: Point) -> bool:
    """Whether both have a number, and it is the same."""
    value = outcome(point)[1]
    if value is None or point.value is None:
        return False
    return abs(value - point.value) <= RTOL * abs(point.value) + ATOL


@cache
def call(name: str) -> dict[str, Any]:
    """`pred`, `target` and the tensors of `batch` of a call by its name: `classes 4 logits indices`."""
    return {part: _tensors(value) for part, value in _inputs()[name].items()}


@cache
def _inputs() -> dict[str, Any]:
    return json.loads(INPUTS.read_text("utf-8"))


def _tensors(value: Any) -> Any:
    """Lists as tensors: of int64, or of float64."""
    if isinstance(value, dict):
        return {name: _tensors(part) for name, part in value.items()}
    if value is None:
        return None
    is_real = torch.tensor(value).is_floating_point()
    return torch.tensor(value, dtype=torch.float64 if is_real else torch.int64)
