"""Where a loss of elements is 0: found by a call of it on one element, so that no loss has to say so."""

from __future__ import annotations

from losslang.plan.plan import Step
from losslang.primitives.entropy import NEVER
from losslang.primitives.primitive import Loss
from losslang.registry import Registry
from losslang.tensors.lazy import torch


def zero_at(step: Step, registry: Registry) -> float | None:
    """Returns a prediction at which a loss is exactly 0 beside a target of 0; None if it is not known.

    That is 0 for a loss of a difference, and a logit of `NEVER` for one of a sigmoid.
    """
    loss = registry.get(Loss, step.loss_name) if step.kind in ("loss", "kernel") else None
    if loss is None or loss.has_total or not loss.is_map or step.named:
        return None
    if any(argument is not None for argument in step.inputs[2:]):
        return None
    function = loss.function if step.kind == "loss" else loss.kernels[step.kernel_activation]
    number = NEVER if step.kernel_activation == "sigmoid" else 0.0
    try:
        with torch.no_grad(), torch.device("cpu"):
            given = [torch.full((1, 1), value, dtype=torch.float64) for value in (number, 0.0)]
            found = function(*given, *step.inputs[2:], **dict(step.options))
        return number if not found.count_nonzero().item() else None
    except Exception:
        # A loss of a user may ask for anything: its values are masked.
        return None
