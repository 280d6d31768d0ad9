"""Readers of masked probabilities: which of them leave out what is masked, whatever number it is.

A loss of windows, as `dssim`, reads masked neighbours of a place that counts: they have to be the 0 and the
sigmoid of 0 of the plain plan. A loss that sums masked products may find any finite number there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from losslang.plan.passes.share_sums import products_of
from losslang.plan.plan import Argument, Plan, Ref, Step
from losslang.registry import Registry, loss_behind

CHANNELS = {"foreground": "foreground_mask", "chosen": "chosen_mask"}
"""Operations that choose channels of a tensor, and those that choose the same of its mask."""
Readers = Mapping[str, Sequence[Step | None]]


def readers_of(plan: Plan) -> Readers:
    """Returns the steps that read each step of a plan; None stands for an output."""
    readers: defaultdict[str, list[Step | None]] = defaultdict(list)
    for step in plan.steps:
        for name in step.input_names:
            readers[name].append(step)
    for output in plan.outputs:
        if isinstance(output.value, Ref):
            readers[output.value.name].append(None)
    return readers


def leaves_out(view: Step, mask: Argument, readers: Readers, registry: Registry) -> bool:
    """Returns whether all that reads a view of a prediction are sums of products under this mask."""
    return all(_leaves_out(reader, mask, readers, registry) for reader in readers[view.name])


def _leaves_out(reader: Step | None, mask: Argument, readers: Readers, registry: Registry) -> bool:
    if reader is None or not isinstance(mask, Ref):
        return False
    if reader.operation in CHANNELS:
        like = CHANNELS[reader.operation], reader.options
        masks = [
            own for own in readers[mask.name] if own is not None and (own.operation, own.options) == like
        ]
        return len(masks) == 1 and leaves_out(reader, Ref(masks[0].name), readers, registry)
    loss = loss_behind(reader.operation, registry)
    if loss is None or not loss.has_total or reader.inputs[-1] != mask:
        return False
    return products_of(reader, loss) is not None
