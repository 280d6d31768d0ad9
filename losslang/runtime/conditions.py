"""The conditions of WAYS, and the facts of a call that they ask for, each looked up once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from losslang.plan.operations.call import is_foreign
from losslang.plan.passes import fuse_masks
from losslang.runtime import block_sizes
from losslang.runtime.blocks import Walker
from losslang.runtime.fitting import fits_everywhere
from losslang.runtime.ignored_labels import (
    ignore_mask_steps,
    ignored_ranges,
    kernels_refuse_the_rest,
    refuses_labels,
)
from losslang.runtime.label_ranges import LabelRange, Sources, are_read_by_kernels, class_ranges
from losslang.tensors.eager import is_eager

if TYPE_CHECKING:
    from losslang.runtime.executor import Case, Dispatch, Executor

NOTHING, LABELS, VALUES = range(3)
"""The *look* of a call, which is the values that it still has to check: none, labels, or all."""


class Call:
    """The facts of the first call of one kind and one look, by which a row of WAYS is chosen.

    `case` holds the facts that do not depend on the look. `may_ignore`: an earlier row has read the range of
    the labels, and one may be ignored, or be no class.
    """

    def __init__(
        self, executor: Executor, case: Case, inputs: Sequence[Any], look: int, *, may_ignore: bool = False
    ):
        self.executor = executor
        self.case = case
        self.inputs = inputs
        self.look = look
        self.may_ignore = may_ignore

    @property
    def next_look(self) -> int:
        """The look that a row hands on: without LABELS, which that row has checked."""
        return NOTHING if self.look == LABELS else self.look

    @property
    def rows_below(self) -> Dispatch:
        """The way of the same inputs once their labels are checked."""
        return self.case.dispatch(self.next_look, may_ignore=self.may_ignore)

    @property
    def validates(self) -> bool:
        """True if all checks of values run."""
        return self.look == VALUES

    @cached_property
    def is_far(self) -> bool:
        """Whether an input is on a GPU, where a look at numbers waits."""
        return block_sizes.are_far(self.inputs)

    @cached_property
    def sources(self) -> Sources:
        """The inputs in small behind the steps of the plan."""
        return Sources(self.executor.plan, self.executor.small(self.inputs)[0])

    @property
    def checks_labels(self) -> bool:
        """Whether this is a later call, of a plan that checks labels."""
        return self.look == LABELS

    @cached_property
    def class_ranges(self) -> list[LabelRange] | None:
        """The ranges of labels that name classes; None if labels are computed."""
        return class_ranges(self.sources, self.executor.small(self.inputs)[1])

    @cached_property
    def ignored_ranges(self) -> list[LabelRange] | None:
        """The ranges that show whether a label may be ignored; None where a range is not enough to tell."""
        return ignored_ranges(self.executor.plan, self.inputs)

    @property
    def are_labels_numbers(self) -> bool:
        """Whether labels to ignore are looked for in floats alone, which name no classes."""
        found = self.ignored_ranges
        return bool(found) and all(self.inputs[own.input].is_floating_point() for own in found)

    @property
    def has_open_masks(self) -> bool:
        """Whether it is not known yet which masks of ignored labels are needed."""
        return bool(self.executor.ignore_step_names)

    @property
    def walks(self) -> list[Walker]:
        """What is worth cutting into blocks."""
        return self.case.walks(self.inputs)

    @property
    def unmasked(self) -> Executor:
        """The executor of the plan without masks of ignored labels."""
        return self.executor.without(self.executor.ignore_step_names)

    @property
    def unmasked_walks(self) -> list[Walker]:
        return self.unmasked.case(self.inputs).walks(self.inputs)

    @cached_property
    def can_ignore_in_kernels(self) -> bool:
        """True if torch's kernels can leave ignored labels out by `ignore_index`, without a mask.

        Not beside a walk, which takes means and sums itself; nor on a CPU where labels are computed.
        """
        own = self.executor.kernel_ignoring
        if own is None or own.case(self.inputs).walks(self.inputs):
            return False
        return self.is_far or (self.executor.fuse is None and self.ignored_ranges is not None)

    @property
    def kernels_need_no_masks(self) -> bool:
        """Whether `ignore_index` of kernels replaces every mask, and no walk that terms share would be faster."""
        own = self.executor.kernel_ignoring
        if own is None or ignore_mask_steps(own.plan):
            return False
        # Terms that share a walk take less time than kernels.
        return all(len(walker.walk.sums) == 1 for walker in self.unmasked_walks)

    @cached_property
    def needs_no_look(self) -> bool:
        """Whether kernels refuse what is no class, and masks of what may be ignored are made without a look.

        Their cost beside kernels that leave labels out themselves is less than that of a look.
        """
        own = self.executor.kernel_ignoring
        if own is None or not self.may_ignore or not self.has_open_masks or self.is_far:
            return False
        if self.walks or self.unmasked_walks or not self.can_ignore_in_kernels:
            return False
        return kernels_refuse_the_rest(own.plan, own.registry, self.sources)


# -------------------------------------------------------------------- the conditions of WAYS, in its order


def is_traced(call: Call) -> bool:
    return not is_eager()


def has_foreign_inputs(call: Call) -> bool:
    return any(map(is_foreign, call.inputs))


def checks_labels_in_kernels(call: Call) -> bool:
    """Whether kernels of torch read all labels, and refuse what is no class."""
    if not call.checks_labels or call.executor.fuse is not None:
        return False
    is_left = ignores_in_kernels(call)
    if call.has_open_masks and not is_left:
        return call.needs_no_look
    own = call.executor.kernel_ignoring if is_left else call.executor
    assert own is not None
    is_meant = partial(refuses_labels, registry=own.registry)
    return not own.case(call.inputs).walks(call.inputs) and are_read_by_kernels(
        fuse_masks(own.plan, own.registry), is_meant
    )


def checks_labels_later(call: Call) -> bool:
    return call.checks_labels and call.is_far


def checks_labels_by_range(call: Call) -> bool:
    return call.checks_labels and not call.may_ignore and call.class_ranges is not None


def checks_labels(call: Call) -> bool:
    return call.checks_labels


def ignores_in_kernels(call: Call) -> bool:
    """Whether kernels leave labels out in every call, or in one in which there may be any.

    Large labels are looked at first: without one to ignore, a walk takes 0.6 to 0.75 of the time of a kernel.
    """
    if not call.has_open_masks:
        return False
    # A walk under a mask of the program takes longer than a kernel that is handed the mask.
    is_masked = any(step.operation == "mask" for step in call.unmasked.plan.steps)
    has_quick_walks = not is_masked and bool(call.unmasked_walks)
    is_best = call.is_far or (call.kernels_need_no_masks and (call.may_ignore or not has_quick_walks))
    return is_best and call.can_ignore_in_kernels


def ignores_by_range(call: Call) -> bool:
    return call.has_open_masks and not call.may_ignore and call.ignored_ranges is not None


def asks_for_masks(call: Call) -> bool:
    """Whether labels to ignore may be there, and their masks say whether they are.

    Not where the plan makes its masks itself: beside kernels that need no look, and for floats of which the
    ends have been looked at. A walk reads masks that are there alone.
    """
    is_said = call.needs_no_look or (call.may_ignore and call.are_labels_numbers and not call.walks)
    return call.has_open_masks and not is_said


def is_fused(call: Call) -> bool:
    own = call.executor
    return own.fuse is not None and fits_everywhere(own.plan, own.registry, call.inputs)


def has_walks(call: Call) -> bool:
    return bool(call.walks)


def ignores_in_kernels_beside_masks(call: Call) -> bool:
    return call.needs_no_look or (not call.has_open_masks and call.can_ignore_in_kernels)


def always(call: Call) -> bool:
    return True


def never(call: Call) -> bool:
    return False
