"""What runs a program, and what its plain plan computes: beside the module, which has no name for either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

import losslang
from losslang.diagnostics.source import Source
from losslang.plan.passes import drop_dead_steps
from losslang.registry import current_registry
from losslang.runtime.compiled import Order, understand
from losslang.runtime.conditions import LABELS
from losslang.runtime.executor import Executor, Fuse
from losslang.runtime.explain import names_of_ways
from losslang.runtime.program import whole

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


def whole_value(loss: losslang.Loss, pred: Any, target: Any, **batch: Any) -> Tensor:
    """The total as the plan gives it that is run whole, every step of it."""
    plan = drop_dead_steps(loss.plan, metrics=False)
    program = whole(plan, current_registry(), validate=False)
    return plan.total(program.run(pred, target, batch, loss.const, NO_MODULE))
