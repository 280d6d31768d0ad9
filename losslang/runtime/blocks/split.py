"""Splits a plan into walks: the steps that can run block by block.

Between a prediction and a sum stand maps: steps that compute a part of the batch or of space without the
rest. All maps over predictions of one shape, with the sums that end them, are one walk, from however many
terms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import NamedTuple

from losslang.plan.operations import MAPS
from losslang.plan.plan import Plan, Ref, Step, needed_steps
from losslang.primitives.primitive import Activation, Loss, Reduction
from losslang.registry import Registry

Shape = tuple[int, ...]
LYING = (
    "input",
    "not_ignored",
    "zero_masked",
    "broadcast_to_pred",
    "moved",
    "rows",
    "rows_of_target",
    "number",
    "beside",
    "with_axes",
    "fitted",
)
"""Operations outside of a walk whose value has the axes of the prediction, so that it is cut with it."""
RELAID = ("channels_second", "channels_back")
"""Operations that move the axes of a prediction: it cannot be cut beside tensors with the original axes."""


class Walk(NamedTuple):
    """The maps over predictions of one shape, and the sums that end them."""

    shape: Shape
    maps: tuple[Step, ...]
    sums: tuple[Step, ...]
    looks: tuple[Step, ...]
    """The checks of values."""
    inputs: tuple[tuple[str, bool], ...]
    """The names of the values that the walk reads, and whether each is cut with the prediction."""
    views: tuple[tuple[str, str], ...]
    """The inputs that are views of masks and weights, and the names of the viewed steps."""
    across: bool
    """Whether a sample may be cut too, along its first axis of space (dimension 2)."""
    numbers: tuple[tuple[str, float], ...] = ()
    """The inputs that are one number, the same in every call, and the number."""

    @property
    def prediction(self) -> int:
        """The index of the input of which a prediction is made, by casts and masks: it has the shape."""
        above = {step.name: step for step in self.maps}
        at = next(step for step in self.maps if step.operation == "float_prediction").input_names[0]
        while at in above:
            at = above[at].input_names[0]
        return [name for name, _ in self.inputs].index(at)

    def of_checks(self, checks: Sequence[Step]) -> Walk:
        """The walk of checks of values, with the maps that they need, over the same inputs."""
        needed = _needed_maps(checks, Plan(self.maps, ()), {step.name for step in self.maps})
        maps = tuple(step for step in self.maps if step.name in needed)
        return self._replace(maps=(*maps, *checks), sums=(), looks=())

    def __str__(self) -> str:
        lines = [
            f"walk over {self.shape}",
            *(f"  {s}" for s in self.maps),
            *(f"  sum {s}" for s in self.sums),
        ]
        return "\n".join(lines)


def split(plan: Plan, registry: Registry, shapes: Mapping[str, Shape], least: int) -> tuple[Walk, ...]:
    """Returns the walks of a plan over predictions of at least `least` elements, given their shapes."""
    sources: dict[str, frozenset[str]] = {}
    predictions = {
        read: step.name
        for step in plan.steps
        if step.operation == "float_prediction"
        for read in step.input_names
    }
    lying: dict[str, frozenset[str]] = {}
    after: set[str] = set()
    touched: set[str] = set()
    ends: dict[Shape, list[Step]] = {}
    for step in plan.steps:
        if step.operation == "broadcast_to_pred":
            # A view of a mask or a weight in the prediction's rank: made before the walk, and cut with the prediction.
            raw = step.inputs[1]
            own = predictions.get(raw.name) if isinstance(raw, Ref) else None
            lying[step.name] = frozenset() if own is None else frozenset([own])
            continue
        found = (sources.get(name) or lying.get(name) or frozenset() for name in step.input_names)
        read = frozenset[str]().union(*found)
        late = any(name in after for name in step.input_names) or not _has_samples(
            step, registry, read, shapes
        )
        if step.operation == "float_prediction" or not touched.isdisjoint(step.input_names):
            touched.add(step.name)
        if step.operation == "float_prediction" and not late:
            sources[step.name] = frozenset([step.name])
        elif read and not late and _is_map(step, registry):
            sources[step.name] = read
        elif read and not late and _is_sum(step, registry):
            over = {shapes[name] for name in read}
            if len(over) == 1 and prod(next(iter(over))) >= least:
                ends.setdefault(over.pop(), []).append(step)
            after.add(step.name)
        elif late or step.operation in RELAID or (step.name in touched and step.kind in ("loss", "kernel")):
            # Nothing after a loss that is no map can run in blocks.
            after.add(step.name)
    return tuple(_walk(shape, sums, plan, registry, set(sources)) for shape, sums in ends.items())


def _walk(shape: Shape, sums: list[Step], plan: Plan, registry: Registry, blocked: set[str]) -> Walk:
    walked = _needed_maps(sums, plan, blocked)
    made = {step.name: step for step in plan.steps}
    # Ignored labels are masked in the walk: a masked target outside would be a second target to read.
    read = {name for step in plan.steps if step.name in walked for name in step.input_names}
    walked |= {name for name in read - walked if made[name].operation == "zero_masked"}
    maps = tuple(step for step in plan.steps if step.name in walked)
    looks = tuple(
        step
        for step in plan.steps
        if step.check
        and not walked.isdisjoint(step.input_names)
        and walked.issuperset(blocked.intersection(step.input_names))
    )
    inputs = dict.fromkeys(
        (name, _is_cut(made[name], step))
        for step in (*maps, *looks, *sums)
        for name in step.input_names
        if name not in walked
    )
    across = len(shape) > 2 and all(_is_across(step, registry) for step in (*maps, *sums))
    laid = [made[name] for name, _ in inputs if made[name].operation == "broadcast_to_pred"]
    views = tuple((step.name, step.inputs[0].name) for step in laid if isinstance(step.inputs[0], Ref))
    numbers = tuple((name, n) for name, _ in inputs if (n := _number(made[name], made)) is not None)
    return Walk(shape, maps, tuple(sums), looks, tuple(inputs), views, across, numbers)


def _number(step: Step, made: Mapping[str, Step]) -> float | None:
    """The number above 0 that a step gives as the weight of every class, if the program has it written down."""
    read = step.inputs[0] if step.operation == "per_class" else None
    written = made[read.name] if isinstance(read, Ref) else None
    if written is None or written.operation != "constant":
        return None
    values: tuple[float, ...] = dict(written.options)["values"]
    return values[0] if len(values) == 1 and values[0] > 0 else None


def _needed_maps(steps: Sequence[Step], plan: Plan, blocked: set[str]) -> set[str]:
    """The maps that these steps need, among those that can run on a block."""
    maps = [step for step in plan.steps if step.name in blocked]
    return needed_steps(maps, (name for step in steps for name in step.input_names)) & blocked


def _is_cut(made: Step, reader: Step) -> bool:
    """Returns whether a value from outside is cut with the prediction; a weight per class is not."""
    lies_along = made.operation in LYING or made.kind == "math"
    return lies_along and reader.operation != "per_class"


def _is_map(step: Step, registry: Registry) -> bool:
    match step:
        case Step(kind="activation", op=name):
            return registry.get(Activation, name) is not None
        case Step(kind="loss" | "kernel", loss_name=name):
            loss = registry.get(Loss, name)
            return loss is not None and loss.is_map and not loss.has_total and _lies_along(loss)
        case Step(kind="math", op=name):
            return name in ("+", "-", "*", "/", "**", "neg")
        case _:
            return step.operation in MAPS


def _is_sum(step: Step, registry: Registry) -> bool:
    match step:
        case Step(kind="reduction", op=name):
            return registry.get(Reduction, name) is not None
        case Step(kind="loss", op=name):
            loss = registry.get(Loss, name)
            return loss is not None and loss.is_map and loss.has_total
        case _:
            return False


def _has_samples(step: Step, registry: Registry, read: Iterable[str], shapes: Mapping[str, Shape]) -> bool:
    """Returns whether the first axis of the predictions is the batch, which one row (D) has not."""
    loss = _loss(step, registry)
    if loss is None or not loss.views or not loss.axes[loss.views[0]][0].startswith("*"):
        return True
    own = len(loss.axes[loss.views[0]]) - 1
    return all(len(shapes[name]) > own for name in read)


def _lies_along(loss: Loss) -> bool:
    """Returns whether all operands have the axes of the prediction: others cannot be cut with it."""
    pred = loss.axes[loss.views[0]]
    beyond = [o.name for o in loss.operands if o.name not in ("pred", "target")]
    return all(loss.axes[name] in (pred, pred[:-1]) for name in beyond)


def _is_across(step: Step, registry: Registry) -> bool:
    """Returns whether a step can run on a part of a sample, cut along dimension 2."""
    if step.kind not in ("loss", "kernel"):
        return step.operation != "last_axis"
    loss = _loss(step, registry)
    return loss is not None and loss.axes[loss.views[0]][0] in ("b", "*shape", "*event")


def _loss(step: Step, registry: Registry) -> Loss | None:
    """The loss that a step computes, by its formula or by a kernel; None for any other step."""
    return registry.get(Loss, step.loss_name) if step.kind in ("loss", "kernel") else None
