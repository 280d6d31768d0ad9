"""The points of a sweep, and which of them are too slow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

DTYPES = ("float32", "bfloat16")
MOST, SPARE = 1.15, 10e-6
"""What is allowed: so many times the time by hand, or so many seconds more."""


@dataclass(frozen=True)
class Point:
    """A row at one size: seconds by hand, and the ratios of losslang now and then to that.

    `as_given` is the ratio to the form by hand that computes in half precision, and `error` how far its value is
    off, as a part of it.
    """

    family: str
    variant: str
    size: int
    threads: int
    dtype: str
    by_hand: float
    ratio: float
    then: float | None = None
    as_given: float | None = None
    error: float | None = None

    @property
    def row(self) -> tuple[str, str]:
        return self.family, self.variant

    @property
    def panel(self) -> tuple[int, str]:
        return self.threads, self.dtype

    @property
    def allowed(self) -> float:
        return max(MOST, 1 + SPARE / self.by_hand)

    @property
    def holds(self) -> bool:
        return self.ratio <= self.allowed


class Record:
    """Points in a file, one a line, from which the next run of the same code on the same machine goes on.

    `of` says which code and machine: a file of others is written anew.
    """

    def __init__(self, file: Path, of: Mapping[str, Any]):
        self.file = file
        head, *lines = file.read_text().splitlines() if file.exists() else [""]
        if head != json.dumps(of):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(of) + "\n")
            lines = []
        points = [Point(**json.loads(line)) for line in lines]
        self.known = {(point.row, point.size, point.threads, point.dtype): point for point in points}

    def add(self, point: Point) -> Point:
        with self.file.open("a") as lines:
            lines.write(json.dumps(asdict(point)) + "\n")
        return point


@dataclass(frozen=True)
class Sweep:
    """All points of one run."""

    machine: dict[str, str]
    points: tuple[Point, ...]
    against: str | None = None

    @cached_property
    def rows(self) -> tuple[tuple[str, str], ...]:
        return tuple(dict.fromkeys(point.row for point in self.points))

    @cached_property
    def panels(self) -> tuple[tuple[int, str], ...]:
        return tuple(dict.fromkeys(point.panel for point in self.points))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(sorted({point.size for point in self.points}))

    def of(self, row: tuple[str, str], panel: tuple[int, str]) -> list[Point]:
        """The points of a row with so many threads, by size."""
        found = [point for point in self.points if point.row == row and point.panel == panel]
        return sorted(found, key=lambda point: point.size)
