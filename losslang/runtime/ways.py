"""Ways from the values of inputs to those of outputs, put together from others: each a function for `partial`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from losslang.runtime.program import Program
from losslang.tensors.lazy import torch

Way = Callable[..., list[Any]]
"""Values of inputs to the values of outputs."""


class Routed(Protocol):
    """What holds a way, and may find a shorter one."""

    way: Way


def through(route: Routed, *inputs: Any) -> list[Any]:
    """By the way that a route has by now."""
    return route.way(*inputs)


def looked_at(checks: Program, way: Way, *inputs: Any) -> list[Any]:
    """After all that refuses values, by what looks at none itself."""
    with torch.no_grad():
        checks.run(*inputs)
    return way(*inputs)


def named(checks: Program, way: Way, *inputs: Any) -> list[Any]:
    """What torch refuses of labels is refused with its place in the program."""
    try:
        return way(*inputs)
    except IndexError:
        with torch.no_grad():
            checks.run(*inputs)
        raise
