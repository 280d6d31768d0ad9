"""Mask fusion: a mean or a sum under a mask masks once, where that costs least.

A kernel that can leave places out, as `ce` of class indices, is handed the mask in place of masked tensors:

    zero_masked = zero_masked(x, m); zero_masked2 = zero_masked(labels, m)
    ce = kernel:ce.softmax(zero_masked, zero_masked2, none); value_mask = value_mask(m, ce)
    zero_masked3 = zero_masked(ce, value_mask); mean = reduction:mean(zero_masked3, none, value_mask)

    place_mask = place_mask(m, x); mean = kernel:ce.softmax(x, labels, none, place_mask, reduction=mean)

A loss of elements that is 0 where what it reads is masked, as `mse` of 0 and 0, needs no mask of its values:

    mse = kernel:mse.identity(zero_masked, zero_masked2); total = reduction:sum(mse, none, none)
    number = number_of_counted(m); mean = over_counted(total, number, m, zero_masked)

Not one of PASSES: kernels look at values, and walks over blocks mask by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import NamedTuple

from losslang.plan.passes.drop_dead_steps import drop_unread_steps
from losslang.plan.passes.masked_readers import leaves_out, readers_of
from losslang.plan.passes.probes import zero_at
from losslang.plan.plan import Argument, Plan, Ref, Step, substituted
from losslang.primitives.entropy import NEVER
from losslang.primitives.primitive import Loss
from losslang.registry import Registry

MASKING = ("zero_masked", "zero_masked_raw")
LAYING = ("place_mask", "mask", "broadcast_to_pred")
"""Operations that lay a mask as a prediction or its places lie."""
OF_ALL = {"reduction:mean": "mean", "reduction:sum": "sum", "reduction:wmean": "mean"}
"""Reductions of all values, and what a kernel calls them; `wmean` is its mean beside class weights."""


def fuse_masks(plan: Plan, registry: Registry) -> Plan:
    """Replaces masked values, and their mean or sum, by what masks less."""
    return drop_unread_steps(Plan(tuple(_Means(plan, registry).rewritten()), plan.outputs))


def mask_once(plan: Plan, registry: Registry) -> Plan:
    """Masks a target once that is masked as it comes and again as it is read: by a second step, or by a kernel.

    The elements that a mask leaves are counted once, and its regions are looked at once for all losses of it.
    """
    above = {step.name: step for step in plan.steps}
    same: dict[str, Argument] = {}
    steps: list[Step] = []
    for step in _looked_at_once(plan.steps, same):
        inner = above.get(step.input_names[0]) if step.operation in MASKING else None
        if inner is not None and inner.operation in MASKING and inner.inputs[1:] == step.inputs[1:]:
            same[step.name] = step.inputs[0]
        made = _masked_dense(step, above)
        steps.append(made or (_with_its_target(step, above) if takes_mask(step, registry) else step))
    return drop_unread_steps(substituted(Plan(tuple(steps), plan.outputs), same))


def _looked_at_once(steps: Sequence[Step], same: dict[str, Argument]) -> Iterator[Step]:
    """Yields the steps, those that count a mask or look at its regions once a mask.

    A count that another has made before is left in, and put into `same` with that one in its place.
    """
    counts: dict[tuple[Argument, ...], Ref] = {}
    regions: dict[tuple[object, ...], Ref] = {}
    for step in steps:
        how = dict(step.options)
        if (
            step.operation == "number_of_counted"
            and counts.setdefault(step.inputs, Ref(step.name)).name != step.name
        ):
            same[step.name] = counts[step.inputs]
        if step.operation != "value_mask" or how["frame"] != "region":
            yield step
            continue
        mask, values = step.inputs
        options = (("frame", "region"), ("batch", how["batch"]))
        if (mask, options) not in regions:
            regions[mask, options] = Ref(f"regions of {step.name}")
            inputs = (mask, counts.get((mask,)))
            yield Step(f"regions of {step.name}", "region_mask", inputs, options, owners=step.owners)
        yield replace(
            step, operation="over_regions", inputs=(regions[mask, options], values), options=(), site=None
        )


def _masked_dense(step: Step, above: Mapping[str, Step]) -> Step | None:
    """Returns one step for a target that is masked, brought to the prediction's shape and masked again."""
    dense = above.get(step.input_names[0]) if step.operation in MASKING else None
    raw = above.get(dense.input_names[0]) if dense is not None and dense.operation == "dense" else None
    if dense is None or raw is None or raw.operation not in MASKING:
        return None
    if as_given(raw.inputs[1], above) != as_given(step.inputs[1], above):
        return None
    inputs = (raw.inputs[0], step.inputs[1], dense.inputs[1])
    made = replace(dense, name=step.name, operation="masked_dense", inputs=inputs, owners=step.owners)
    given = as_given(step.inputs[1], above)
    mask = above.get(given.name) if isinstance(given, Ref) else None
    if mask is None or mask.operation != "not_ignored":
        return made
    index = dict(mask.options)["index"]
    told = (index,) if isinstance(index, int) else index
    return replace(made, options=(*made.options, ("index", told)))


def takes_mask(step: Step, registry: Registry) -> bool:
    """Returns whether a step is a kernel that can be handed a mask of places, or has been."""
    found = registry.get(Loss, step.loss_name) if step.kind == "kernel" else None
    if found is None:
        return False
    # A loss that counts over the batch, as `balanced_bce`, is handed a mask of its own.
    taken = signature(found.kernels[step.kernel_activation]).parameters
    return "mask" in taken and "reduction" in taken and "mask" not in found.parameters


def _with_its_target(step: Step, above: Mapping[str, Step]) -> Step:
    """Hands a kernel that masks by itself the target that came, if it is masked by nothing else."""
    prediction, target, *others = step.inputs
    masked = above.get(target.name) if isinstance(target, Ref) else None
    if masked is None or masked.operation not in MASKING or not others or others[-1] is None:
        return step
    if as_given(masked.inputs[1], above) != as_given(others[-1], above):
        return step
    return step.with_inputs((prediction, masked.inputs[0], *others))


def as_given(mask: Argument, above: Mapping[str, Step]) -> Argument:
    """Returns what a mask was before it was laid over a prediction."""
    while isinstance(mask, Ref) and mask.name in above and above[mask.name].operation in LAYING:
        mask = above[mask.name].inputs[0]
    return mask


class _Mean(NamedTuple):
    """A mean or sum of the values of a loss, as the plan has it: its steps, and the mask if there is one."""

    reduction: Step
    loss: Step
    weights: Step | None
    mask: Argument = None
    counted: Step | None = None


class _Means:
    """The means and sums of a plan, and what replaces those that can be fused with their mask."""

    def __init__(self, plan: Plan, registry: Registry):
        self.plan = plan
        self.registry = registry
        self.above = {step.name: step for step in plan.steps}
        self.readers = readers_of(plan)

    def rewritten(self) -> Iterator[Step]:
        """Yields the steps of the plan, those that can be fused replaced."""
        found = [mean for step in self.plan.steps if (mean := self.mean(step)) is not None]
        changed: dict[str, list[Step]] = {}
        zeros: dict[str, float] = {}
        for mean in found:
            if (kernel := self.by_kernel(mean)) is not None:
                changed[mean.reduction.name] = kernel
            elif (number := self.zero(mean)) is not None:
                zeros[mean.loss.name] = number
                changed[mean.reduction.name] = _over_mask(mean)
        changed |= self.filled([mean for mean in found if mean.loss.name in zeros], zeros)
        for step in self.plan.steps:
            yield from changed.get(step.name, [step])

    def step(self, argument: Argument, *operations: str) -> Step | None:
        """Returns the step behind an argument, if it is one of these operations."""
        found = self.above.get(argument.name) if isinstance(argument, Ref) else None
        return found if found is not None and (not operations or found.operation in operations) else None

    def is_read_by(self, step: Step, *readers: Step | None) -> bool:
        """Returns whether nothing else reads a step."""
        known = [reader for reader in readers if reader is not None]
        return all(reader in known for reader in self.readers[step.name])

    def mean(self, step: Step) -> _Mean | None:
        """Returns a mean or sum of a loss whose values nothing else reads; None of any other step."""
        if step.operation not in OF_ALL:
            return None
        values, weights, counted = (self.step(argument) for argument in step.inputs[:3])
        if weights is None and step.inputs[1] is not None:
            return None
        if counted is None:
            loss = values if step.operation == "reduction:wmean" and step.inputs[2] is None else None
            is_own = loss is not None and self.is_read_by(loss, step, weights)
            return _Mean(step, loss, weights) if loss is not None and is_own else None
        loss = (
            self.step(values.inputs[0]) if values is not None and values.operation == "zero_masked" else None
        )
        how = dict(counted.options)
        is_masked = counted.operation == "value_mask" and not how.get("edge") and not how.get("batch")
        if loss is None or values is None or not is_masked or values.inputs[1] != Ref(counted.name):
            return None
        is_own = (
            counted.inputs[1] == Ref(loss.name)
            and self.is_read_by(loss, values, counted)
            and self.is_read_by(values, step, weights)
            and self.is_read_by(counted, values, step)
        )
        return _Mean(step, loss, weights, counted.inputs[0], counted) if is_own else None

    def masked(self, argument: Argument, mask: Argument) -> Argument:
        """Returns what a tensor was before it was masked; None if it is not masked so."""
        step = self.step(argument, *MASKING)
        if step is None:
            return None
        over = self.step(step.inputs[1], "any_channel_mask")
        own = over.inputs[0] if over is not None else step.inputs[1]
        return step.inputs[0] if own == mask else None

    def by_kernel(self, mean: _Mean) -> list[Step] | None:
        """Returns a kernel that leaves out what is masked, with its mask; None if there is none."""
        loss, named = mean.loss, mean.loss.named
        if named or not takes_mask(loss, self.registry) or not self.is_weighted(mean):
            return None
        prediction, truth, *others = loss.inputs
        reduced = (*loss.options, ("reduction", OF_ALL[mean.reduction.operation]))
        made = replace(loss, name=mean.reduction.name, options=reduced, owners=mean.reduction.owners)
        if mean.counted is None:
            return [made]
        given = self.masked(prediction, mean.mask), self.masked(truth, mean.mask) or truth
        if given[0] is None:
            return None
        places = Step(
            f"places of {loss.name}",
            "place_mask",
            (self.given(mean.mask), mean.mask, given[0]),
            site=mean.counted.site,
            owners=made.owners,
        )
        inputs = (*given, *others, Ref(places.name))
        return [places, replace(made, inputs=inputs)]

    def given(self, mask: Argument) -> Argument:
        """Returns a mask as it was given, if it lies along the samples and places of a prediction; else itself."""
        step = self.step(mask, "mask")
        laid = self.step(mask if step is None else step.inputs[0], "broadcast_to_pred")
        how = {} if laid is None else dict(laid.options)
        is_of_places = how.get("channel") == 1 and how.get("vector") == "samples" and not how.get("moved")
        return laid.inputs[0] if laid is not None and is_of_places else mask

    def is_weighted(self, mean: _Mean) -> bool:
        """Returns whether the weights of a mean are none, or those of the classes that its kernel is handed."""
        _, truth, *others = mean.loss.inputs
        given, own = others[0] if others else None, mean.weights
        if mean.reduction.operation != "reduction:wmean":
            return own is None and (given is None or mean.reduction.operation == "reduction:sum")
        if own is None or own.operation != "weight_of_class" or given is None:
            return False
        is_of_labels = dict(own.options)["by"] == "label" and own.inputs[:2] == (given, truth)
        return is_of_labels and self.is_read_by(own, mean.reduction)

    def zero(self, mean: _Mean) -> float | None:
        """Returns what a masked prediction has to be for the loss to be 0 there; None if nothing makes it so."""
        loss, counted = mean.loss, mean.counted
        if counted is None or mean.reduction.operation == "reduction:wmean" or mean.weights is not None:
            return None
        is_of_elements = dict(counted.options)["frame"] in ("same", "values") and len(loss.inputs) >= 2
        tensors = [argument for argument in loss.inputs[:2] if self.masked(argument, mean.mask) is not None]
        if not is_of_elements or len(tensors) < 2:
            return None
        return zero_at(loss, self.registry)

    def filled(self, means: list[_Mean], zeros: dict[str, float]) -> dict[str, list[Step]]:
        """Returns predictions that are filled with another number than 0 where masked, and what reads them.

        Where something else reads the zeros of a prediction, the losses get a filled copy.
        """
        changed: dict[str, list[Step]] = {}
        for mean in means:
            number, loss = zeros[mean.loss.name], mean.loss
            masked = self.step(loss.inputs[0])
            if number == 0 or masked is None:
                continue
            fill = replace(masked, operation="filled", options=(("number", number),))
            if all(self._may_fill(reader, masked, zeros) for reader in self.readers[masked.name]):
                changed[masked.name] = [fill]
            else:
                own = replace(fill, name=f"{masked.name} filled")
                changed[masked.name] = [masked, own]
                changed[loss.name] = [replace(loss, inputs=(Ref(own.name), *loss.inputs[1:]))]
        return changed

    def _may_fill(self, reader: Step | None, masked: Step, zeros: dict[str, float]) -> bool:
        """Returns whether a reader of a prediction may find `NEVER` where it is masked, in place of 0."""
        if reader is None:
            return False
        if reader.operation == "activation:sigmoid":
            return leaves_out(reader, masked.inputs[1], self.readers, self.registry)
        return (
            zeros.get(reader.name) == NEVER
            and reader.input_names.count(masked.name) == 1
            and (reader.inputs[0] == Ref(masked.name))
        )


def _over_mask(mean: _Mean) -> list[Step]:
    """Returns the steps of a mean or a sum of values that are 0 where they are masked."""
    name, owners = mean.reduction.name, mean.reduction.owners
    total = Step(name, "reduction:sum", (Ref(mean.loss.name), None, None), owners=owners)
    if mean.reduction.operation == "reduction:sum":
        return [total]
    total = replace(total, name=f"total of {name}")
    number = Step(f"number of {name}", "number_of_counted", (mean.mask,), owners=owners)
    inputs = (Ref(total.name), Ref(number.name), mean.mask, mean.loss.inputs[0])
    return [total, number, Step(name, "over_counted", inputs, owners=owners)]
