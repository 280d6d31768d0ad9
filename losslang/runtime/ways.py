"""Which way a call takes: of the rows of WAYS, from top to bottom, the first that applies.

A row either computes, or looks at something and hands the call on: to the rows below it for the same inputs,
or to those of another plan (without masks that are not needed, or with labels to ignore left to kernels).
A row is chosen once for each kind of calls (kinds.py) and look, and kept: so a second call, which checks less
than the first, chooses again, and finds what the first has made. `losslang plan EXPR --stage run` prints the
rows that a call passes.

Every way gives the numbers of the plain plan, `program.whole`. What a shorter one leaves out is proven unread
when it is made: `verify` refuses a plan, and `Binding.slot` a program, that reads a step which is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from losslang.runtime import runners as make
from losslang.runtime.conditions import (
    Call,
    always,
    asks_for_masks,
    checks_labels,
    checks_labels_by_range,
    checks_labels_in_kernels,
    checks_labels_later,
    has_foreign_inputs,
    has_walks,
    ignores_by_range,
    ignores_in_kernels,
    ignores_in_kernels_beside_masks,
    is_fused,
    is_traced,
    never,
)
from losslang.runtime.runners import Runner


class Way(NamedTuple):
    """A row of the table: when it applies, and why in words; what it does; what that saves, as it was measured.

    tests/runtime/test_ways.py has a case of the same name, which holds it to the plain plan.
    """

    name: str
    applies: Callable[[Call], bool]
    because: str
    does: str
    saves: str
    make: Callable[[Call], Runner]


WAYS: tuple[Way, ...] = (
    Way(
        "traced",
        is_traced,
        "torch traces, transforms or fakes the call: no value can be looked at",
        "runs the plan as it stands, masks included",
        "nothing: it is needed",
        make.traced,
    ),
    Way(
        "converted",
        has_foreign_inputs,
        "an input is an array, a list of numbers, of labels without a sign, or of a subclass such as MetaTensor",
        "makes plain tensors of them, and goes on with these",
        "what a subclass does around every operation: six sevenths of `ce + dice` of 2x14x96x96x96 in MetaTensors",
        make.converted,
    ),
    # Later calls, in which labels are checked. (The values of a first call are checked by what computes.)
    Way(
        "labels checked by kernels",
        checks_labels_in_kernels,
        "kernels of torch read the labels, and refuse what is no class",
        "goes on; what torch refuses is said with its place in the program",
        "the look at a range: 2 us, and 0.25 ms a million labels",
        make.refusal_of_kernels_named,
    ),
    Way(
        "labels checked later",
        checks_labels_later,
        "labels are on a GPU: to look at them would wait for it",
        "goes on; leaves the range of the labels there, for a later call to check",
        "the wait",
        make.labels_checked_later,
    ),
    Way(
        "labels checked by range",
        checks_labels_by_range,
        "labels are inputs as they stand, on a CPU",
        "looks at the smallest and the largest: if all are classes, and none to ignore, no check and no mask is needed",
        "the checks: `dice(softmax)` of 4x8x16x16 takes 0.93 of the time",
        make.labels_checked_by_range,
    ),
    Way(
        "labels checked",
        checks_labels,
        "their range does not show that all labels name classes: some may be ignored, or they are computed",
        "runs the checks of labels, and goes on",
        "nothing: it is needed",
        make.labels_checked,
    ),
    # Labels to ignore, where the plan has steps that ask for them.
    Way(
        "ignored by kernels",
        ignores_in_kernels,
        "kernels of torch leave the labels out by themselves, and nothing larger is shared with them",
        "goes on with the plan that tells the kernels which label to ignore",
        "masks: `ce` with a tenth ignored takes 0.4 to 0.5 of the time",
        make.ignored_by_kernels,
    ),
    Way(
        "ignored by range",
        ignores_by_range,
        "the labels are inputs as they stand, on a CPU",
        "looks whether the label to ignore lies within their range; if not, goes on without masks",
        "masks of nothing: `dice(softmax, ignore_index=255)` of 4x8x16x16 takes 0.7 of the time",
        make.ignored_by_range,
    ),
    Way(
        "masks asked",
        asks_for_masks,
        "labels to ignore may be there",
        "makes the masks, and goes on with the plan that has those which hide something",
        "the masks that hide nothing",
        make.masks_asked,
    ),
    # What computes.
    Way(
        "fused",
        is_fused,
        "`fuse` is asked for, and all tensors are ordinary",
        "runs the plan as torch.compile generates it",
        "memory and time, as README counts them: 1.00 gradients for 4.00, 0.97 ms for 1.11 on a GPU",
        make.fused,
    ),
    Way(
        "in blocks",
        has_walks,
        "a prediction is so large that a walk over its blocks takes less time or memory",
        "runs the maps and sums block by block, in closed form where they are polynomials",
        "all memory but the gradient, and time: it takes 0.7 to 1.1 of that of the whole plan at the sizes of "
        "block_sizes.py, and less of it above them",
        make.walked,
    ),
    Way(
        "ignored by kernels beside masks",
        ignores_in_kernels_beside_masks,
        "some labels may be ignored, and some kernels can leave them out by themselves",
        "goes on with the plan that masks what is left",
        "`ce + dice` with a tenth ignored takes 0.77 to 0.83 of the time",
        make.ignored_by_kernels,
    ),
    Way(
        "whole",
        always,
        "nothing above applies",
        "runs every step, in a first call those that check values too; notes which gave back what they were given, "
        "and installs `specialized` for later calls",
        "nothing: the steps to leave out are found here",
        make.whole,
    ),
)

SPECIALIZED: Way = Way(
    "specialized",
    never,
    "a call before had inputs of this signature",
    "runs the steps that did something then: shapes and types alone decide that",
    "3 to 6 us of a call of 30 to 50",
    make.whole,
)
"""The row that `whole` installs in its place: no call chooses it, and `runners.Records` makes what runs."""


def choose(call: Call) -> tuple[Way, Runner]:
    """The first row that applies to a call, and what it makes for calls like this one."""
    way = next(way for way in WAYS if way.applies(call))
    return way, way.make(call)
