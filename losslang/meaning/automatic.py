"""Automatic weights: those that a combinator finds in every call from its losses, as `balance(bce, dice)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from losslang.diagnostics.source import Span
from losslang.syntax import formatter

if TYPE_CHECKING:
    from losslang.meaning.meaning import Input


@dataclass(frozen=True)
class Automatic:
    """The weight of one argument of a combinator.

    `group` names the call in the program, `member` counts its arguments from 0, and `wrt` is the tensor at
    which gradients are measured: None for the predictions.
    """

    method: str
    group: str
    member: int
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


def lines(parts: Sequence[tuple[Automatic | None, str]]) -> list[str]:
    """The terms of a program as lines, those that a combinator weighs as one line: its name is left out."""
    found = [text for automatic, text in parts if automatic is None]
    groups: dict[str, dict[int, list[str]]] = {}
    calls: dict[str, Automatic] = {}
    for automatic, text in parts:
        if automatic is not None:
            calls.setdefault(automatic.group, automatic)
            groups.setdefault(automatic.group, {}).setdefault(automatic.member, []).append(text)
    for group, members in groups.items():
        inside = [" + ".join(sorted(members[member])) for member in sorted(members)]
        call = calls[group]
        found.append(f"{call.method}({', '.join([*inside, *call.in_words()])})")
    return found
