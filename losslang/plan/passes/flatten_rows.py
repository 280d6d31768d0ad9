"""Flattening: losses of each place read a prediction with its classes last as rows, where it lies.

    moved = moved(x, x, source=-1, target=1); ce = kernel:ce.softmax(moved, labels)
    rows = rows(x); ce = kernel:ce.softmax(rows, labels)

Nothing is copied then: a kernel over axis 1 copies what it is handed moved. A prediction of which any loss
sums over space, or any reduction tells samples apart, stays (B, C, *S).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from losslang.plan.operations import MAPS
from losslang.plan.operations.rows import MOVED
from losslang.plan.plan import Argument, Plan, Ref, Step
from losslang.primitives.primitive import Loss, Reduction
from losslang.registry import Registry, current_registry

FORMS = ("labels", "dense", "signs", "target_like_pred", "float_target")
"""Operations that read a target beside its prediction."""
OF_SHAPES = ("check:channels", "check:rank")
"""Checks of the shape of a prediction: they read it as it was moved."""
OF_CLASSES = ("per_class", "class_weight_balanced", "class_weight_complement", "pos_weight_balanced")
"""Operations whose value has no places."""
CHECKS = tuple(
    f"check:{name}"
    for name in [
        "channels",
        "classes",
        "ignored",
        "probs",
        "bounds",
        "nonnegative",
        "signs",
        "hard",
        "distribution",
        "indexed",
        "unmasked",
        "activated",
        "log_probs",
    ]
)
"""Checks that find the same in rows."""
FLAT = ("none", "topk", "ohem", "quantile", "logsumexp")
"""Reductions that read all values in one row, besides those of sums."""
OF_PLACES = (
    (("b", "c", "*space"), ("b", "*space")),
    (("b", "c", "*space"), ("b", "c", "*space")),
    (("*shape",), ("*shape",)),
    (("*event",), ("*event",)),
)
"""The axes of predictions that losses read place by place, and of their values."""
HANDING = (
    "not_ignored",
    "zero_masked",
    "zero_masked_raw",
    "mask",
    "mask_and",
    "any_channel_mask",
    "foreground_mask",
)
"""Operations whose value lies as their first input does."""
FRAMED = ("value_mask", "weigh")


def flatten_rows(plan: Plan, registry: Registry | None = None) -> Plan:
    """Replaces moved predictions, and what lies beside them, by their rows, wherever all that reads them can."""
    lying = Lying.of(plan, registry or current_registry())
    if not lying.flat:
        return plan
    steps = [made for step in plan.steps for made in _flattened(step, plan, lying)]
    return Plan(tuple(steps), plan.outputs)


class Lying(NamedTuple):
    """Which steps of a plan have the places of which moved predictions, and which predictions can be rows.

    `moved` are the steps that move the predictions.
    """

    predictions: Mapping[str, frozenset[Argument]]
    moved: Mapping[Argument, Ref]
    flat: frozenset[Argument]

    @classmethod
    def of(cls, plan: Plan, registry: Registry) -> Lying:
        found: dict[str, frozenset[Argument]] = {}
        made = {step.name: step for step in plan.steps}
        given = {output.value.name for output in plan.outputs if isinstance(output.value, Ref)}
        together: list[frozenset[Argument]] = []
        read_moved, refused = set[Argument](), set[Argument]()
        for step in plan.steps:
            if is_moved(step):
                found[step.name] = frozenset([step.inputs[1]])
                if not is_prediction(step) and _form(step, plan) is None:
                    refused.add(step.inputs[1])
                continue
            read = frozenset[Argument]().union(*(found.get(name, ()) for name in step.input_names))
            if not read:
                continue
            together.append(read)
            if step.name not in given and _goes_on(step, found, made, registry):
                found[step.name] = read
                read_moved |= read
            elif not _ends(step, made, registry):
                refused |= read
        for _ in together:
            refused.update(*(read for read in together if not refused.isdisjoint(read)))
        moved = {s.inputs[0]: Ref(s.name) for s in plan.steps if is_moved(s) and is_prediction(s)}
        return cls(found, moved, frozenset(read_moved.intersection(moved)) - refused)

    def roots(self, argument: Argument) -> frozenset[Argument]:
        """Returns the predictions whose places an argument has."""
        return self.predictions.get(argument.name, frozenset()) if isinstance(argument, Ref) else frozenset()

    def root(self, argument: Argument) -> Argument:
        """Returns the one prediction whose places an argument has."""
        (found,) = self.roots(argument)
        return found

    def holds(self, argument: Argument) -> bool:
        """Returns whether an argument has the places of a prediction that is read as rows."""
        return not self.flat.isdisjoint(self.roots(argument))

    def as_rows(self, argument: Argument) -> Argument:
        """Returns the rows of a moved prediction; any other argument as it is."""
        is_moved_one = argument in self.moved.values() and self.holds(argument)
        return Ref(_rows_of(argument.name)) if isinstance(argument, Ref) and is_moved_one else argument


def is_moved(step: Step) -> bool:
    """Returns whether a step moves the classes of a tensor from the last axis to axis 1."""
    options = dict(step.options)
    return step.operation == "moved" and (options["source"], options["target"]) == MOVED


def is_prediction(step: Step) -> bool:
    """Returns whether what is moved is the prediction itself."""
    return step.inputs[0] == step.inputs[1]


def _goes_on(step: Step, found: Mapping[str, Any], made: Mapping[str, Step], registry: Registry) -> bool:
    """Returns whether a step gives a value for each place, from that place alone."""
    if step.operation == "broadcast_to_pred":
        return True
    others = [name for name in step.input_names if name not in found]
    if any(made[name].operation not in (*OF_CLASSES, "constant") for name in others):
        return False
    if step.kind in ("loss", "kernel"):
        loss = registry.get(Loss, step.loss_name)
        return loss is not None and _is_of_places(loss)
    if step.operation in ("value_mask", "weigh"):
        return dict(step.options)["frame"] in ("places", "same")
    return step.kind in ("activation", "math") or step.operation in (*MAPS, "not_ignored")


def _is_of_places(loss: Loss) -> bool:
    """Returns whether a loss reads place by place, in any order of the places."""
    axes = loss.axes[loss.views[0]] if loss.views else ()
    return loss.is_map and not loss.has_total and not loss.skips and (axes, loss.result_axes) in OF_PLACES


def _ends(step: Step, made: Mapping[str, Step], registry: Registry) -> bool:
    """Returns whether what reads a value of each place gives the same of rows."""
    if step.operation == "check:rank":
        return dict(step.options).get("least") == 2
    if step.operation == "count":
        options = dict(step.options)
        return not options["per_sample"] and options["frame"] in ("places", "same")
    if step.operation == "reduction:none":
        return _loss_of(step, made, registry).result_axes == ("b", "*space")
    if step.kind == "reduction":
        own = registry.get(Reduction, step.op)
        return own is not None and not own.per_sample and (own.has_total or step.op in FLAT)
    return step.operation in (*OF_CLASSES, *CHECKS)


def _loss_of(step: Step, made: Mapping[str, Step], registry: Registry) -> Loss:
    """Returns the loss whose values a reduction reads: those come first in all that weighs and masks them."""
    while step.kind not in ("loss", "kernel"):
        values = step.inputs[0]
        assert isinstance(values, Ref)
        step = made[values.name]
    loss = registry.get(Loss, step.loss_name)
    assert loss is not None
    return loss


# ---------------------------------------------------------------------------- what stands beside a prediction


def _form(step: Step, plan: Plan) -> Step | None:
    """Returns the step that reads a moved target; None if it is read as two things, or as something else."""
    readers = [reader for reader in _behind(step, plan) if reader.operation in FORMS]
    forms = {reader.operation for reader in readers}
    if not readers or not (forms <= set(FORMS[:3]) or len(forms) == 1):
        return None
    return min(readers, key=lambda reader: FORMS.index(reader.operation))


def _frame(step: Step, plan: Plan) -> str:
    """Returns how the values lie that a mask or a weight is for."""
    frames = [dict(reader.options)["frame"] for reader in _behind(step, plan) if reader.operation in FRAMED]
    return "places" if "places" in frames else "same"


def _behind(step: Step, plan: Plan) -> Iterator[Step]:
    """Yields the steps that read a value, also behind those that hand it on."""
    handed = {step.name}
    for reader in plan.steps:
        if not handed.isdisjoint(reader.input_names[:1]):
            yield reader
            if reader.operation in HANDING:
                handed.add(reader.name)


# ---------------------------------------------------------------------------- the rewriting


def _flattened(step: Step, plan: Plan, lying: Lying) -> Iterator[Step]:
    """Yields what stands in the place of a step."""
    if is_moved(step):
        yield from _rows(step, plan, lying)
        return
    first = step.inputs[0] if step.inputs else None
    if step.operation == "per_class" or not any(map(lying.holds, step.inputs)):
        yield step
    elif step.operation in OF_SHAPES:
        yield step.with_inputs([lying.moved[lying.root(first)], *step.inputs[1:]])
    elif step.operation == "broadcast_to_pred" and not lying.holds(first):
        yield from _laid(step, plan, lying)
    elif step.operation == "reduction:none":
        yield replace(step, name=_rows_of(step.name))
        yield Step(step.name, "places", (Ref(_rows_of(step.name)), lying.root(first)), owners=step.owners)
    else:
        yield step.with_inputs(map(lying.as_rows, step.inputs))


def _rows(step: Step, plan: Plan, lying: Lying) -> Iterator[Step]:
    """Yields the rows of a prediction, or of what is beside it, in place of what moves it."""
    _, raw = step.inputs
    if raw not in lying.flat:
        yield step
    elif is_prediction(step):
        # As it was moved it says its shape to errors; nobody computes with it.
        yield step
        yield Step(_rows_of(step.name), "rows", (raw,), owners=step.owners)
    else:
        form = _form(step, plan)
        assert form is not None
        options = (("form", form.operation), *form.options)
        yield replace(step, operation="rows_of_target", options=options, site=form.site)


def _laid(step: Step, plan: Plan, lying: Lying) -> Iterator[Step]:
    """Yields a mask or a weight from outside for the rows of a prediction."""
    value, pred = step.inputs
    options = dict(step.options)
    how = (("vector", options["vector"]), ("frame", _frame(step, plan)))
    inputs = (value, lying.root(pred))
    beside = Step(_rows_of(step.name), "rows_of_weight", inputs, how, site=step.site, owners=step.owners)
    yield beside
    laid = tuple((name, None if name == "moved" else option) for name, option in step.options)
    yield replace(step, inputs=(Ref(beside.name), lying.as_rows(pred)), options=laid)


def _rows_of(name: str) -> str:
    """Returns a name with a blank, which no step has: names are given anew after the passes."""
    return f"{name} rows"
