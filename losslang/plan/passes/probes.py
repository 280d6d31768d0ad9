"""Probes of a loss of elements: where it is 0, and what it reads, found by a call of it on one element."""

from __future__ import annotations

from typing import Any

from losslang.plan.plan import Step
from losslang.primitives.entropy import NEVER
from losslang.primitives.primitive import Loss
from losslang.registry import Registry
from losslang.tensors.lazy import torch


def zero_at(step: Step, registry: Registry) -> float | None:
    """Returns a prediction at which a loss is exactly 0 beside a target of 0; None if it is not known.

    That is 0 for a loss of a difference, and a logit of `NEVER` for one of a sigmoid.
    """
    if any(argument is not None for argument in step.inputs[2:]):
        return None
    number = NEVER if step.kernel_activation == "sigmoid" else 0.0
    found = _called(step, registry, [number, 0.0, *step.inputs[2:]])
    return number if found is not None and not found.count_nonzero().item() else None


def reads(step: Step, place: int, registry: Registry) -> bool:
    """Returns whether a loss reads the tensor in a place: False if it computes without it."""
    given = [0.5 if argument is not None and i != place else None for i, argument in enumerate(step.inputs)]
    return _called(step, registry, given) is None


def _called(step: Step, registry: Registry, given: list[Any]) -> Any:
    """Returns what a loss makes of one element; None if it fails, or is no function of each element alone.

    A loss that somebody registers is not asked: one element does not show what it reads beside it, as the
    mean of an error.
    """
    loss = registry.get(Loss, step.loss_name) if step.kind in ("loss", "kernel") else None
    if loss is None or loss.has_total or not loss.is_map or step.named:
        return None
    if not loss.function.__module__.startswith("losslang.losses."):
        return None
    function = loss.function if step.kind == "loss" else loss.kernels[step.kernel_activation]
    try:
        with torch.no_grad():
            tensors = [
                None if value is None else torch.full((1, 1), value, dtype=torch.float64, device="cpu")
                for value in given
            ]
            return function(*tensors, **dict(step.options))
    except Exception:
        # It needs a tensor that it is not handed, or more axes.
        return None
