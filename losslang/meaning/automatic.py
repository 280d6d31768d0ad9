"""Automatic weights: those that a combinator finds in every call from its losses, as `balance(bce, dice)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from losslang.diagnostics.source import Span
from losslang.syntax import formatter

if TYPE_CHECKING:
    from losslang.meaning.meaning import Expression, Input


@dataclass(frozen=True)
class Automatic:
    """The weight of one argument of a combinator.

    `group` names the call in the program, `member` counts its `number` arguments from 0, and `wrt` is the
    tensor at which gradients are measured: None for the predictions. `weight` and `factor` are those of the
    term inside of the call: what stands in front of it is not measured.
    """

    method: str
    group: str
    member: int
    number: int
    weight: float = 1.0
    factor: Expression | None = None
    options: tuple[tuple[str, Any], ...] = ()
    wrt: Input | None = None
    written: tuple[str, ...] = field(default=(), compare=False, repr=False)
    span: Span = field(default=Span(0, 0), compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.group}({', '.join([str(self.member + 1), *self.in_words()])})"

    def in_words(self) -> list[str]:
        """The options that have a value, as they are written."""
        named = [*self.options, ("wrt", self.wrt)]
        return [f"{name}={_shown(value)}" for name, value in named if value is not None]


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return formatter.number(value) if isinstance(value, (int, float)) else str(value)


def line(front: str, found: Automatic, members: Sequence[Sequence[str]]) -> str:
    """A call of a combinator as one line, given the texts of its arguments; its name is left out."""
    inside = [" + ".join(sorted(member)) for member in members]
    return f"{front}*{found.method}({', '.join([*inside, *found.in_words()])})"
