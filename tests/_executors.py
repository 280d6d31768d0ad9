"""What runs a program, and the ways that a call passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from losslang.diagnostics.source import Source
from losslang.registry import current_registry
from losslang.runtime.compiled import Order, understand
from losslang.runtime.conditions import LABELS
from losslang.runtime.executor import Executor, Fuse
from losslang.runtime.explain import names_of_ways

NO_MODULE: Mapping[str, Any] = {"parameters": {}, "memory": {}}


def executor_of(text: str, fuse: Fuse | None = None) -> Executor:
    """That of all modules of a text: they share it."""
    order = Order.of(Source(text, "<expression>"), {}, (), fuse)
    programs = understand(order, current_registry().snapshot())[1]
    assert programs is not None
    return programs.total


def ways(text: str, pred: Any, target: Any = None, look: int = LABELS, **batch: Any) -> list[str]:
    """The names of the rows that a call passes."""
    return names_of_ways(executor_of(text), (pred, target, batch, {}, NO_MODULE), look)
