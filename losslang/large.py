"""From which size on tensors are walked over, and in blocks of what size. All of it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from losslang.blocks import Maps, split, workers
from losslang.closed import Closed, ClosedForm, Prepared
from losslang.functions import near
from losslang.lazy import torch
from losslang.plan import Plan
from losslang.registry import Registry

SEVERAL = {"sigmoid": 2**20, "softmax": 2**19}
ALONE, MAPS = 2**21, 2**22
"""Elements of a prediction whose walk is worth it: one of several sums in closed form, by its activation; a closed form
of one sum; and any other.

With one thread and two, forward and backward: closed forms of several sums take 0.7 to 1.1 of the time of the whole
plan there, and less of larger ones. Those of one take 0.6 to 1.2 at 2^21, and 1.5 at 2^20, where all of it is in a
cache anyway. What torch differentiates is no slower from 2^22 on.
"""
BLOCK = {"": 2**17, "sigmoid": 2**18, "softmax": 2**19}
"""Elements of a block for each thread, by the activation of a closed form: half a megabyte to two, of floats.

The largest blocks of which the tensors of a thread lie in a near cache. With two threads, blocks half as large take a
tenth more of the time, twice as large the same to a tenth more. A softmax needs fewest tensors of that size, torch's
own derivatives most.
"""
FAR, FAR_BLOCK = 64, 2**24
"""On a device of its own, where starting an operation costs more than memory: how much larger what is walked over is,
and the elements of a block.

Measured on an H100: that takes 1.2 to 1.7 times the time of the whole plan, and a fifth to a half of its memory.
"""


def are_large(inputs: Sequence[Any], least: int) -> bool:
    """Whether any has so many elements, or is on a device of its own and has as many more."""
    least = FAR * least if are_far(inputs) else least
    return any(isinstance(value, torch.Tensor) and value.numel() >= least for value in inputs)


def are_far(inputs: Sequence[Any]) -> bool:
    """Whether any is on a device of its own."""
    return any(isinstance(value, torch.Tensor) and not near(value) for value in inputs)


def walks(
    plan: Plan, registry: Registry, shapes: Mapping[str, tuple[int, ...]], inputs: Sequence[Any]
) -> list[Prepared]:
    """The walks that are worth it, with their closed forms."""
    names = [step.name for step in plan.inputs]
    given = dict(zip(names, inputs, strict=True))
    is_far = are_far(inputs)
    far = FAR if is_far else 1
    found: list[Prepared] = []
    for walk in split(plan, registry, shapes, far * min(SEVERAL.values())):
        form = ClosedForm.of(walk, registry, given)
        activation = "" if form is None else form.trace.activation
        least = ALONE if len(walk.sums) == 1 and activation else SEVERAL.get(activation, MAPS)
        if prod(walk.shape) >= far * least:
            maps = Maps.of(walk, registry, block(activation, is_far))
            found.append(Prepared(walk, maps, None if form is None else Closed(walk, maps, form)))
    return found


def block(activation: str, is_far: bool) -> int:
    """The elements of a block."""
    return FAR_BLOCK if is_far else BLOCK[activation] * workers()
