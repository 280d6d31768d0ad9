"""Labels that name no class: a look at the range of integer targets in every call.

On a CPU before anything is computed of them. On a GPU their range is left in memory of the host, and read in
a later call: no call waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from losslang.diagnostics.errors import LossError
from losslang.plan.operations import OPERATIONS
from losslang.plan.operations.checks import number_of_classes, refuse_classes, refuse_indices
from losslang.plan.plan import Argument, Plan, Ref, Step
from losslang.runtime.kinds import Model
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

CHECKS = ("check:classes", "check:indices")
"""Steps that refuse labels: their inputs are the labels, and what says how many classes there are."""
SAME = (
    "zero_masked",
    "zero_masked_raw",
    "moved",
    "rows",
    "rows_of_target",
    "number",
    "beside",
    "with_axes",
    "fitted",
)
"""Steps that give the labels that they are given: on other axes, or in a wider type."""
READ = ("zero_masked", "zero_masked_raw", "float_prediction", "hidden", "head")
"""Steps through which an input is read: masks and casts."""
LAID = ("moved", "rows", "rows_of_target")
"""Steps that lay an input on other axes."""
KINDS = ("uint8", "int8", "int16", "int32", "int64")


def ignored_labels(step: Step) -> tuple[int, ...]:
    """The labels that a step `not_ignored` leaves out."""
    index = dict(step.options)["index"]
    return (index,) if isinstance(index, int) else tuple(index)


class Sources:
    """The inputs of a call behind the steps of a plan, and the checks of integer targets among these."""

    def __init__(self, plan: Plan, inputs: Sequence[Any]):
        self.inputs = inputs
        self.above: Mapping[str, Step] = {step.name: step for step in plan.steps}
        self.slots: Mapping[str, int] = {step.name: slot for slot, step in enumerate(plan.inputs)}
        self.checks = [s for s in plan.steps if s.operation in CHECKS and self.is_whole(s.inputs[0])]
        kept = [step for step in plan.steps if step.operation == "not_ignored"]
        self.ignored = {(self.slot(step.inputs[0]), label) for step in kept for label in ignored_labels(step)}

    def slot(self, argument: Argument) -> int | None:
        """The number of the input that an argument is, before masks and casts; None if it is computed."""
        return self._slot(argument, (*READ, *LAID))

    def laid(self, argument: Argument) -> int | None:
        """The number of the input that an argument is, on whichever axes; None if it is computed or masked."""
        return self._slot(argument, LAID)

    def given(self, argument: Argument) -> int | None:
        """The number of the input that labels are of which nothing is masked."""
        return self._slot(argument, ("labels", *LAID))

    def _slot(self, argument: Argument, through: Sequence[str]) -> int | None:
        while isinstance(argument, Ref) and argument.name not in self.slots:
            step = self.above[argument.name]
            argument = step.inputs[0] if step.operation in through else None
        return self.slots[argument.name] if isinstance(argument, Ref) else None

    def seen(self, argument: Argument) -> Any:
        """The input that an argument is, on the axes on which it is read."""
        if not isinstance(argument, Ref) or argument.name in self.slots:
            return self.inputs[self.slots[argument.name]] if isinstance(argument, Ref) else argument
        step = self.above[argument.name]
        value = self.seen(step.inputs[0])
        if step.operation not in LAID:
            return value
        options = dict(step.options) | ({} if step.site is None else {"site": step.site})
        return OPERATIONS[step.operation](value, *map(self.seen, step.inputs[1:]), **options)

    @property
    def by_name(self) -> dict[str, Any]:
        """The inputs, and what lays one of them on other axes, by the names of their steps."""
        laid = [step for step in self.above.values() if self.laid(Ref(step.name)) is not None]
        return {step.name: self.seen(Ref(step.name)) for step in laid}

    def is_whole(self, argument: Argument) -> bool:
        """Whether an argument is, or is computed of, whole numbers that can be looked at."""
        if not isinstance(argument, Ref):
            return argument is not None and argument == int(argument)
        if argument.name in self.slots:
            return _is_whole(self.inputs[self.slots[argument.name]])
        step = self.above[argument.name]
        if step.operation in SAME:
            return self.is_whole(step.inputs[0])
        is_exact = step.operation in ("math:+", "math:-", "math:*", "math:neg")
        return is_exact and all(map(self.is_whole, step.inputs))


def _is_whole(value: Any) -> bool:
    if not isinstance(value, torch.Tensor):
        return isinstance(value, int) and not isinstance(value, bool)
    return str(value.dtype).removeprefix("torch.") in KINDS and value.numel() > 0 and not value.is_meta


class LabelRange(NamedTuple):
    """Which input holds labels, which of them are ignored, and how many classes there are, if that is checked.

    `place`: the input and the axis of it that has as many, where that is another number in another call.
    """

    input: int
    ignored: tuple[int, ...]
    classes: int | None = None
    place: tuple[int, int] | None = None

    def may_hold_ignored(self, inputs: Sequence[Any]) -> bool:
        """Whether the range of the labels holds one to ignore or, if classes are checked, one that is no class."""
        labels = inputs[self.input]
        if self.classes is None:
            # One end of the range takes half as long as both. Beside a NaN both ends are NaN: it may hold one.
            below = [label for label in self.ignored if label < 0]
            above = [label for label in self.ignored if label >= 0]
            if below and not labels.min().item() > max(below):
                return True
            return bool(above) and not labels.max().item() < min(above)
        low, high = _ends(labels)
        classes = self.classes if self.place is None else inputs[self.place[0]].shape[self.place[1]]
        return low < 0 or high >= classes or any(low <= label <= high for label in self.ignored)


def _ends(labels: Any) -> tuple[int, int]:
    """The smallest and the largest label: in one operation, 2 us of few labels and 0.25 ms of a million."""
    if isinstance(labels, int):
        return labels, labels
    low, high = labels.aminmax()
    return low.item(), high.item()


def class_ranges(sources: Sources, model: Model) -> list[LabelRange] | None:
    """The ranges of the integer targets that a plan checks, given the inputs of a call in small.

    None where one is computed, or what says its classes, or where they do not fit: the checks themselves
    have to run, and refuse in the shapes of the call.
    """
    found: list[LabelRange] = []
    for step in sources.checks:
        slot, of_classes = map(sources.slot, step.inputs)
        if slot is None or of_classes is None:
            return None
        try:
            labels, source = map(sources.seen, step.inputs)
        except LossError:
            return None
        number = _classes(step, labels, source)
        ignored = sorted(label for at, label in sources.ignored if at == slot)
        # What is 0 or 1 at every element is of two classes.
        found.append(LabelRange(slot, tuple(ignored), number or 2, _place(number, sources, model)))
    return list(dict.fromkeys(found))


def _place(number: int, sources: Sources, model: Model) -> tuple[int, int] | None:
    """The first axis of an input of this size in small; None if every call of the kind has this very size."""
    if number not in model.sizes:
        return None
    sized = (
        (slot, value.shape) for slot, value in enumerate(sources.inputs) if isinstance(value, torch.Tensor)
    )
    return next((slot, axis) for slot, shape in sized for axis, size in enumerate(shape) if size == number)


def _classes(step: Step, labels: Any, source: Any) -> int:
    """How many classes labels may name; 0 if they say yes or no of every element."""
    if step.operation == "check:indices":
        return len(getattr(source, "weight", source))
    target = labels if isinstance(labels, torch.Tensor) else torch.tensor(labels)
    return number_of_classes(labels, target, source, str(dict(step.options)["form"]))


def are_read_by_kernels(plan: Plan, is_meant: Callable[[Step], bool]) -> bool:
    """Whether nothing reads labels but kernels that refuse by themselves what is no class."""
    labels = {step.inputs[0] for step in plan.steps if step.operation in CHECKS}
    for step in plan.steps:
        if labels.isdisjoint(step.inputs) or step.operation.startswith("check:"):
            continue
        if step.operation in ("labels", "zero_masked", "zero_masked_raw"):
            labels.add(Ref(step.name))
        elif not is_meant(step):
            return False
    return True


@dataclass
class Later:
    """Checks labels on a GPU without a wait: a call starts a copy of their range, and a later call checks it.

    `way` computes a call. `read` returns the arguments of all `checks`, given the inputs of a call.
    """

    way: Callable[..., list[Any]]
    checks: Sequence[Step]
    read: Callable[..., Sequence[Any]]
    classes: list[int] = field(default_factory=list[int])
    host: Tensor | None = None
    event: Any = None
    is_pending: bool = False

    def __call__(self, *inputs: Any) -> list[Any]:
        if torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing():
            # What is captured as a graph can ask for nothing.
            return self.way(*inputs)
        if self.is_pending and (self.event is None or self.event.query()):
            self._refuse()
        values = self.way(*inputs)
        if not self.is_pending:
            self._leave(self.read(*inputs))
        return values

    def _refuse(self) -> None:
        self.is_pending = False
        assert self.host is not None
        found = cast("list[tuple[int, int]]", self.host.tolist())  # pyright: ignore[reportUnknownMemberType]
        for step, classes, (low, high) in zip(self.checks, self.classes, found, strict=True):
            assert step.site is not None
            refuse = refuse_indices if step.operation == "check:indices" else refuse_classes
            refuse(low, high, step.site, classes)

    def _leave(self, read: Sequence[Any]) -> None:
        labels, sources = read[::2], read[1::2]
        device = getattr(sources[0], "weight", sources[0]).device
        if device.type not in ("cpu", "cuda"):
            # Whether an answer is there can be asked of these alone.
            return
        each = zip(self.checks, labels, sources, strict=True)
        self.classes = [_classes(step, own, source) for step, own, source in each]
        found = torch.stack([_ends_there(own, device) for own in labels])
        if not found.is_cuda:
            self.host = found
        else:
            if self.host is None:
                self.host = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
                self.event = torch.cuda.Event()
            self.host.copy_(found, non_blocking=True)
            self.event.record()
        self.is_pending = True


def _ends_there(labels: Any, device: torch.device) -> Tensor:
    """The smallest and the largest label, where they are."""
    if isinstance(labels, torch.Tensor):
        return torch.stack(labels.aminmax()).long()
    return torch.full((2,), labels, dtype=torch.long, device=device)
