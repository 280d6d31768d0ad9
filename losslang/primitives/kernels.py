"""Kernels: functions that compute a loss with its activation from the logits, and those with a derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KERNELS: list[Callable[..., Any]] = []
"""Every kernel registered so far, in order: what was compiled before one of them goes on without it."""


@dataclass(frozen=True)
class Sloped:
    """A kernel with its derivative: `slope` gives values and d value / d x, `plain` the values alone."""

    plain: Callable[..., Any]
    slope: Callable[..., tuple[Any, Any]]

    def __call__(self, x: Any, *others: Any, reduction: str = "none", **options: Any) -> Any:
        from losslang.tensors.custom_gradient import applied

        return applied(self.plain, self.slope, options, reduction, x, *others)
