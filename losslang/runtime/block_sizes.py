"""Measured sizes: from how many elements on a tensor is cut into blocks, and the elements of a block."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

from losslang.plan.plan import Plan
from losslang.registry import Registry
from losslang.runtime.blocks import AutogradEvaluator, Walker, split
from losslang.runtime.blocks.team import FEWEST, share
from losslang.runtime.closed import ClosedForm, ClosedFormEvaluator
from losslang.runtime.label_ranges import Sources
from losslang.tensors.devices import can_read_without_sync
from losslang.tensors.lazy import torch

MIN_ELEMENTS = {"sigmoid": 2**19, "masked sigmoid": 2**20, "softmax": 2**18}
MIN_ELEMENTS_ONE_SUM, MIN_ELEMENTS_AUTOGRAD = 3 * 2**19, 2**23
"""Elements of a prediction from which on a walk is worth it: a closed form of several sums, by its
activation; a closed form of one sum; and a walk that torch differentiates.

With one thread, forward and backward: closed forms of several sums take 0.5 to 1.0 of the time of the whole
plan there, and less of larger ones; of half the size 0.8 to 1.2. A mask costs the whole plan of a sigmoid
less than the walk. Those of one sum take 0.7 to 1.1 at 2^20.5, and 0.7 to 1.4 at 2^20; with several threads
they begin where a team computes them. What torch
differentiates takes 1.6 to 2.3 at 2^22 and 0.3 to 0.6 at 2^23: tensors of 32 MB malloc gets from the system
each time, page by page.
"""
BLOCK = {"": 2**17, "sigmoid": 2**18, "softmax": 2**19}
"""Elements of a block of a thread, by the activation of a closed form: half a megabyte to two, of floats.

The largest blocks of which the tensors of a thread lie in a near cache. With two threads, blocks half as
large take a tenth more of the time, twice as large the same to a tenth more. A softmax needs fewest tensors
of that size, torch's own derivatives most. Where torch's threads share each operation, blocks are twice as
large for each of them: half as many operations, of which each ends in a meeting.
"""
MIN_ELEMENTS_GPU, MIN_ELEMENTS_GPU_AUTOGRAD, BLOCK_GPU = 2**26, 2**28, 2**24
"""On a device of its own, where starting an operation costs more than memory: elements of what is walked over
in closed form, and of any other; and those of a block.

Measured on an H100: that takes 1.2 to 1.7 times the time of the whole plan, and a fifth to a half of its
memory.
"""


def classes_of_size(shapes: Iterable[Sequence[int]]) -> list[int]:
    """How many of the bounds of this file each tensor reaches: between two of them all run alike."""
    least = (*MIN_ELEMENTS.values(), MIN_ELEMENTS_ONE_SUM, MIN_ELEMENTS_AUTOGRAD)
    teams = [_of_a_team(activation) for activation in BLOCK]
    bounds = sorted((*least, *teams, MIN_ELEMENTS_GPU, MIN_ELEMENTS_GPU_AUTOGRAD))
    return [bisect(bounds, prod(shape)) for shape in shapes]


def are_large(inputs: Sequence[Any]) -> bool:
    """Whether any input is large enough to be cut into blocks."""
    least = MIN_ELEMENTS_GPU if are_far(inputs) else min(MIN_ELEMENTS.values())
    return any(isinstance(value, torch.Tensor) and value.numel() >= least for value in inputs)


def are_far(inputs: Sequence[Any]) -> bool:
    """Whether any input is on a device on which a look at a value waits, as on a GPU."""
    return any(isinstance(value, torch.Tensor) and not can_read_without_sync(value) for value in inputs)


def walks(
    plan: Plan, registry: Registry, shapes: Mapping[str, tuple[int, ...]], inputs: Sequence[Any]
) -> list[Walker]:
    """The walks that are worth it, with their closed forms."""
    given = Sources(plan, inputs).by_name
    is_far = are_far(inputs)
    found: list[Walker] = []
    for walk in split(plan, registry, shapes, MIN_ELEMENTS_GPU if is_far else min(MIN_ELEMENTS.values())):
        form = ClosedForm.of(walk, registry, given)
        if prod(walk.shape) >= _least(form, len(walk.sums), is_far):
            activation = "" if form is None else form.trace.activation
            autograd = AutogradEvaluator.of(walk, registry, block(activation, prod(walk.shape), is_far))
            closed = None if form is None else ClosedFormEvaluator(walk, autograd, form)
            found.append(Walker(walk, autograd, closed))
    return found


def _least(form: ClosedForm | None, sums: int, is_far: bool) -> int:
    """The elements from which on a walk of so many sums is worth it."""
    if form is None:
        return MIN_ELEMENTS_GPU_AUTOGRAD if is_far else MIN_ELEMENTS_AUTOGRAD
    if is_far:
        return MIN_ELEMENTS_GPU
    activation = form.trace.activation
    if sums == 1:
        # torch's kernel is a few operations, a walk of few blocks many, and threads meet at the end of each.
        is_shared = torch.get_num_threads() > 1
        return max(MIN_ELEMENTS_ONE_SUM, _of_a_team(activation) if is_shared else 0)
    masked = f"masked {activation}"
    return MIN_ELEMENTS[masked if form.trace.masks and masked in MIN_ELEMENTS else activation]


def block(activation: str, elements: int, is_far: bool) -> int:
    """The elements of a block of a walk over so many, for as many threads as torch has now."""
    if is_far:
        return BLOCK_GPU
    threads = torch.get_num_threads()
    is_shared = threads > 1 and elements < _of_a_team(activation)
    return BLOCK[activation] * (2 * threads if is_shared else share(threads))


def _of_a_team(activation: str) -> int:
    """The elements from which on a team computes a walk: of fewer, torch's threads share each operation."""
    return FEWEST * BLOCK[activation] * share(torch.get_num_threads())
