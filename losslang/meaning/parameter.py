"""A parameter of the loss: a number of the program that is learned beside the network."""

from __future__ import annotations

from dataclasses import dataclass, field

from losslang.diagnostics.source import Span
from losslang.syntax import formatter


@dataclass(frozen=True)
class Learned:
    """A parameter of the loss: its name in the module, where it starts, and its bounds."""

    name: str
    start: float
    low: float | None = None
    high: float | None = None
    span: Span = field(default=Span(0, 0), compare=False, repr=False)

    @property
    def bound(self) -> str:
        """The line of a program that makes it: `s = learn(0, min=-5)`."""
        bounds = (("min", self.low), ("max", self.high))
        inside = [formatter.number(self.start)]
        inside += [f"{name}={formatter.number(value)}" for name, value in bounds if value is not None]
        return f"{self.name} = learn({', '.join(inside)})"

    def __str__(self) -> str:
        return self.name
