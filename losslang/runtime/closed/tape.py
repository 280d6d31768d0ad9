"""Tapes: the operations of a block as a straight-line program, in as few buffers as possible.

A tape is built once and run for every block, so that a block costs little more than its torch operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from losslang.runtime.binding import Calls
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

Maker = Callable[["TapeBuilder"], int]
"""Appends the operations that compute a named tensor, and returns its number."""
Multiplier = Callable[["TapeBuilder", int], int]
"""Appends the product of a named tensor and another value, without computing the named tensor itself."""


class Tape(NamedTuple):
    """Operations on the tensors `given`, on numbers, and in `buffers` buffers of the first tensor's shape.

    The first buffer holds the result, if the tape ends in one tensor that it made.
    """

    given: tuple[str, ...]
    buffers: int
    calls: Calls
    results: tuple[int, ...]
    lines: tuple[str, ...]

    def run(
        self, given: Sequence[Tensor], buffers: Sequence[Tensor], numbers: Sequence[Any] = ()
    ) -> list[Any]:
        """Runs the operations, and returns the results."""
        slots = self.calls.run(*given, *numbers, *buffers)
        return [slots[place] for place in self.results]

    def __str__(self) -> str:
        return "\n".join(self.lines)


class _Line(NamedTuple):
    """One operation. `in_buffer`: it writes to a buffer, its first argument; else it allocates its result."""

    function: Callable[..., Any]
    reads: tuple[int, ...]
    result: int
    in_buffer: bool


class TapeBuilder:
    """Builds a tape. Every value, a tensor or a number, is known by its index.

    A named tensor is computed once, when it is first asked for.
    """

    def __init__(
        self,
        makers: Mapping[str, Maker],
        given: Sequence[str],
        numbers: int = 0,
        multipliers: Mapping[str, Multiplier] | None = None,
    ):
        self.makers = makers
        self.multipliers = multipliers or {}
        self.given = tuple(given)
        self.names = [*given, *(f"n{i}" for i in range(numbers))]
        self.known = {name: place for place, name in enumerate(given)}
        self.roots = len(self.names)
        self.constants: dict[int, float] = {}
        self.lines: list[_Line] = []

    def __getitem__(self, name: str) -> int:
        if name not in self.known:
            self.known[name] = self.makers[name](self)
        return self.known[name]

    def number(self, index: int) -> int:
        """Returns the index of the value of a number that every run is given anew."""
        return len(self.given) + index

    def constant(self, value: float) -> int:
        """Returns the index of the value of a number that is the same in every run."""
        for place, known in self.constants.items():
            if known == value:
                return place
        self.names.append(f"{value:g}")
        self.constants[len(self.names) - 1] = value
        return len(self.names) - 1

    def is_tensor(self, value: int) -> bool:
        """Returns whether a value is a tensor, not a number."""
        return value < len(self.given) or (value >= self.roots and value not in self.constants)

    def write(self, function: Callable[..., Any], *reads: int, in_buffer: bool = True) -> int:
        """Appends an operation, and returns the index of its result.

        `in_buffer`: it writes to a buffer, element by element, so that the buffer may be a tensor that
        it reads; any other makes its result, of any shape.
        """
        self.names.append(f"t{len(self.names)}")
        self.lines.append(_Line(function, reads, len(self.names) - 1, in_buffer))
        return len(self.names) - 1

    def done(self, *results: int, into: str = "") -> Tape:
        """Returns the tape with these results.

        `into` names a given tensor that the last one is written to.
        """
        places, buffers = self._places(results)
        if into and self.lines and self.lines[-1].in_buffer and self.lines[-1].result == results[-1]:
            # Safe although the operation may read that tensor: it is elementwise, and nothing is read after it.
            places[results[-1]] = self.known[into]
        template = [*self.constants.values(), *(None for line in self.lines if not line.in_buffer)]
        calls = tuple(
            (
                places[line.result],
                line.function,
                tuple(places[i] for i in ([line.result] * line.in_buffer + [*line.reads])),
            )
            for line in self.lines
        )
        return Tape(
            self.given,
            buffers,
            Calls(self.roots + buffers, tuple(template), calls),
            tuple(places[value] for value in results),
            tuple(self._said(line, places) for line in self.lines),
        )

    def _places(self, results: Sequence[int]) -> tuple[dict[int, int], int]:
        """Assigns slots to values; returns them and the number of buffers.

        A buffer is reused after its last read.
        """
        last = {value: len(self.lines) for value in results}
        for index, line in reversed(list(enumerate(self.lines))):
            for value in line.reads:
                last.setdefault(value, index)
        in_buffer = {line.result for line in self.lines if line.in_buffer}
        lies: dict[int, int] = {}
        free: list[int] = []
        number = 0
        for index, line in enumerate(self.lines):
            free += [lies[v] for v in dict.fromkeys(line.reads) if v in in_buffer and last[v] == index]
            if not line.in_buffer:
                continue
            if len(results) == 1 and line.result == results[0] and number:
                assert index == len(self.lines) - 1, "what is read again would be overwritten"
                lies[line.result] = 0
                continue
            if not free:
                free.append(number)
                number += 1
            lies[line.result] = free.pop()
        places = {i: i for i in range(self.roots)} | {v: self.roots + place for v, place in lies.items()}
        own = [*self.constants, *(line.result for line in self.lines if not line.in_buffer)]
        return places | {value: self.roots + number + i for i, value in enumerate(own)}, number

    def _said(self, line: _Line, places: Mapping[int, int]) -> str:
        def name(value: int) -> str:
            if value in self.constants or places[value] < self.roots:
                return self.names[value if value in self.constants else places[value]]
            return f"t{places[value] - self.roots}"

        function = getattr(line.function, "func", line.function).__name__
        return f"{name(line.result)} = {function}({', '.join(map(name, line.reads))})"


def times(out: Tensor, a: Tensor, b: Any) -> Tensor:
    """a b; b may be a number."""
    return torch.mul(a, b, out=out)


def plus(out: Tensor, total: Any, a: Tensor, number: Any) -> Tensor:
    """total + number a; all but `a` may be numbers, or broadcast."""
    if isinstance(number, torch.Tensor):
        return torch.addcmul(_tensor(total, a), a, number, out=out)
    return torch.add(_tensor(total, a), a, alpha=number, out=out)


def plus_product(out: Tensor, total: Any, a: Tensor, b: Tensor, number: float) -> Tensor:
    """total + number a b."""
    return torch.addcmul(_tensor(total, a), a, b, value=number, out=out)  # pyright: ignore


def plus_number(out: Tensor, total: Tensor, number: Any) -> Tensor:
    return torch.add(total, number, out=out)


def raised(out: Tensor, base: Tensor, exponent: float) -> Tensor:
    return torch.pow(base, exponent, out=out)


def _tensor(value: Any, like: Tensor) -> Tensor:
    return (
        value
        if isinstance(value, torch.Tensor)
        else torch.full((), value, dtype=like.dtype, device=like.device)
    )
