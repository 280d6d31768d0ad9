"""The clock of a command: the time since its start, but for what it waits for its input."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from time import perf_counter


class Clock:
    """Counts from the moment that it is made."""

    def __init__(self) -> None:
        self._started = perf_counter()

    @property
    def milliseconds(self) -> float:
        return (perf_counter() - self._started) * 1000

    @contextmanager
    def stopped(self) -> Generator[None]:
        """Leaves out the time in its block."""
        before = perf_counter()
        try:
            yield
        finally:
            self._started += perf_counter() - before


CLOCK = Clock()
