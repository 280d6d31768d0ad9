"""A recorded case: a call of another library, and the number it gave."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CASES = Path(__file__).parent / "cases"

SPECIAL = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}

# Relative and absolute: no number is held to more than the type can tell apart that it was computed in,
# by the library and by us. A float32 exponent of 50 leaves five digits.
RESOLUTION: dict[torch.dtype, tuple[float, float]] = {
    torch.float32: (1e-5, 1e-6),
    torch.float64: (1e-12, 1e-12),
}


@dataclass(frozen=True, eq=False)
class Case:
    """One call of a library with its answer. `loss` is what we call it; `kind` where the number is from."""

    library: str
    number: int
    loss: str
    kind: str
    source: str
    call: str
    callable: str
    inputs: dict[str, Any] = field(repr=False)
    expected: Any = field(repr=False)
    rtol: float
    atol: float
    init: dict[str, Any] = field(default_factory=dict[str, Any])
    params: dict[str, Any] = field(default_factory=dict[str, Any])
    dtypes: dict[str, str] = field(default_factory=dict[str, str])
    post: str = ""

    @property
    def name(self) -> str:
        return f"{self.library}-{self.number}-{self.callable}"

    @property
    def arguments(self) -> dict[str, Any]:
        """What was handed to the constructor and to the call, tensors apart."""
        return {**self.init, **self.params}

    @cached_property
    def in_float32(self) -> bool:
        """Whether the library computed in float32: jax and keras always do, mmdet makes labels of it."""
        single = any(dtype.startswith("float32") for dtype in self.dtypes.values())
        with_labels = self.library == "mmdet" and self.callable in ("CrossEntropyLoss", "GHMC")
        return single or with_labels or self.library in ("optax", "keras")

    def tensors(self, dtype: torch.dtype) -> dict[str, Any]:
        """The inputs, those of floats in `dtype`. What has no one shape is a list of tensors."""
        return {
            name: [self._tensor("", level, dtype) for level in value]
            if _ragged(value)
            else self._tensor(name, value, dtype)
            for name, value in self.inputs.items()
        }

    def _tensor(self, name: str, value: Any, dtype: torch.dtype) -> Tensor:
        plain = torch.tensor(_numbers(value))
        found = torch.tensor(_numbers(value), dtype=dtype) if plain.is_floating_point() else plain
        kind, _, shape = self.dtypes.get(name, "").partition("[")
        if kind:
            sizes = [int(n) for n in re.findall(r"\d+", shape)]
            found = found.reshape(sizes) if found.numel() != 1 else found.reshape([]).expand(sizes)
        if kind == "bool":
            return found.bool()
        floating = kind.startswith("float") if kind else found.is_floating_point()
        return found.to(dtype) if floating else found.long()

    def wanted(self, dtype: torch.dtype) -> Tensor:
        return torch.tensor(_numbers(self.expected), dtype=torch.float64).to(dtype)

    def tolerance(self, dtype: torch.dtype) -> dict[str, float]:
        """The case's own, or what the types of both sides can tell apart."""
        floor = RESOLUTION[torch.float32 if self.in_float32 else dtype]
        return {"rtol": max(self.rtol, floor[0]), "atol": max(self.atol, floor[1])}


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return SPECIAL.get(value, value) if isinstance(value, str) else value


def _ragged(value: Any) -> bool:
    try:
        torch.tensor(_numbers(value))
    except (ValueError, TypeError):
        return True
    return False


@dataclass(frozen=True)
class Library:
    """A library, the version whose numbers these are, and its cases."""

    name: str
    repository: str
    version: str
    cases: tuple[Case, ...]


def libraries() -> Iterator[Library]:
    for file in sorted(CASES.glob("*.json")):
        held = json.loads(file.read_text("utf-8"))
        name = held["library"]
        cases = tuple(Case(library=name, number=i, **case) for i, case in enumerate(held["cases"]))
        yield Library(name, held["repository"], held["version"], cases)
