"""Mask elimination for calls in which no label is ignored, which are most.

Before and after:

    not_ignored = not_ignored(target, x, index=255); zero_masked = zero_masked(target, not_ignored)
    (both are gone, and readers of `zero_masked` read `target`)
"""

from __future__ import annotations

from collections.abc import Collection

from losslang.plan.passes.cse import cse
from losslang.plan.passes.drop_dead_steps import drop_dead_steps
from losslang.plan.plan import Argument, Plan, Ref, substituted

OF_A_MASK = (
    "broadcast_to_pred",
    "mask",
    "any_channel_mask",
    "foreground_mask",
    "chosen_mask",
    "value_mask",
    "counting",
    "flat",
)
"""Operations that return a mask computed from their first input, which is a mask."""


def drop_masks(plan: Plan, absent: Collection[str]) -> Plan:
    """Drops these `not_ignored` steps, the masks computed from them, and all masking by them."""
    same: dict[str, Argument] = {}

    def through(argument: Argument) -> Argument:
        return same.get(argument.name, argument) if isinstance(argument, Ref) else argument

    for step in plan.steps:
        match step.operation, tuple(map(through, step.inputs)):
            case "not_ignored", _ if step.name in absent:
                same[step.name] = None
            case operation, (None, *_) if operation in OF_A_MASK:
                same[step.name] = None
            case "mask_and", (left, right) if left is None or right is None:
                same[step.name] = right if left is None else left
            case "zero_masked" | "zero_masked_raw" | "zero_masked_samples", (value, None):
                same[step.name] = value
            case _:
                pass
    return drop_dead_steps(cse(substituted(plan, same)))
