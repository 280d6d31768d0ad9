"""What was measured: one cell a number, and the machine it is of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Literal

from bench.work import Shape

OURS, INDUCTOR, HAND, COMPILED, COPY = "losslang", "losslang inductor", "by hand", "torch.compile", "copy"
PLAIN, FLAT, PARTS = "losslang, plain tensors", "losslang, flat rows", "losslang, level by level"
What = Literal["forward", "both", "peak", "gradient", "note"]
Key = tuple[str, Shape, str, What, int]


@dataclass(frozen=True)
class Cell:
    """One number. `both` is forward and backward, in seconds; `peak` and `gradient` are bytes.

    A `note` says why a side has no numbers. Memory has no thread count: 0.
    """

    work: str
    shape: Shape
    side: str
    what: What
    threads: int = 0
    value: float | None = None
    note: str = ""

    def line(self) -> str:
        return json.dumps(asdict(self))


def read(lines: Iterable[str]) -> tuple[Cell, ...]:
    """The cells that a worker wrote, one a line."""
    given = (json.loads(line) for line in lines)
    return tuple(Cell(**{**cell, "shape": tuple(cell["shape"])}) for cell in given)


@dataclass(frozen=True)
class Results:
    """All cells of one run."""

    machine: dict[str, str]
    device: str
    threads: tuple[int, ...]
    cells: tuple[Cell, ...]
    quick: bool = False
    missing: tuple[str, ...] = field(default=())
    """Losses without a hand-written form."""

    @cached_property
    def _found(self) -> dict[Key, float]:
        return {
            (c.work, c.shape, c.side, c.what, c.threads): c.value for c in self.cells if c.value is not None
        }

    def seconds(self, work: str, shape: Shape, side: str, threads: int, what: What = "both") -> float | None:
        return self._found.get((work, shape, side, what, threads))

    def ratio(
        self, work: str, shape: Shape, threads: int, over: str, of: str = OURS, what: What = "both"
    ) -> float | None:
        """How many times the time of `of` the side `over` takes."""
        slow, fast = (self.seconds(work, shape, side, threads, what) for side in (over, of))
        return slow / fast if slow and fast else None

    def peak(self, work: str, shape: Shape, side: str) -> float | None:
        return self._found.get((work, shape, side, "peak", 0))

    def gradients(self, work: str, shape: Shape, side: str) -> float | None:
        """The peak of memory in units of the gradient's bytes."""
        peak, gradient = self.peak(work, shape, side), self._found.get((work, shape, "", "gradient", 0))
        return peak / gradient if peak is not None and gradient else None

    def sides(self, work: str, shape: Shape | None = None) -> tuple[str, ...]:
        """Every side of a work that has a number, in the order of the measurement."""
        cells = (c for c in self.cells if c.work == work and shape in (None, c.shape) and c.side)
        return tuple(dict.fromkeys(c.side for c in cells if c.value is not None))

    def notes(self) -> tuple[str, ...]:
        """Why sides are missing, each said once."""
        cells = [c for c in self.cells if c.what == "note"]
        return tuple(dict.fromkeys(f"{c.work}, {c.side}: {c.note}" for c in cells))
