"""Masks of sums: a loss of sums over regions needs none, where each product that it sums is 0 if masked.

    zero_masked = zero_masked(x, m); zero_masked2 = zero_masked(t, m)
    sigmoid = activation:sigmoid(zero_masked)
    dice = loss:dice(sigmoid, zero_masked2, none, m)        (each of its products is multiplied by the mask)

    filled = filled(x, m, number=-1e4); sigmoid = activation:sigmoid(filled)
    dice = loss:dice(sigmoid, zero_masked2, none, none)

Probabilities that are not 0 where a place is masked, as those of a softmax, are masked themselves, by a
product if they are finite; then their logits have to be finite alone:

    finite_masked = finite_masked(x, m); softmax = activation:softmax(finite_masked)
    times_mask = times_mask(softmax, m); dice = loss:dice(times_mask, zero_masked2, none, none)

Not one of PASSES: walks over blocks mask by themselves.
"""

from __future__ import annotations

from dataclasses import replace

from losslang.plan.passes.drop_dead_steps import drop_unread_steps
from losslang.plan.passes.fuse_masks import MASKING
from losslang.plan.passes.masked_readers import CHANNELS, leaves_out, readers_of
from losslang.plan.passes.share_sums import products_of
from losslang.plan.plan import Argument, Plan, Ref, Step
from losslang.primitives.entropy import NEVER
from losslang.registry import Registry, loss_behind

SIGMOID, SOFTMAX = "activation:sigmoid", "activation:softmax"


def mask_sums(plan: Plan, registry: Registry) -> Plan:
    """Takes masks from losses of sums, and masks what they read."""
    sums = _Sums(plan, registry)
    steps: list[Step] = []
    for step in plan.steps:
        steps += sums.unmasked(step)
    filled = (sums.filled.get(step.name, step) for step in steps)
    return drop_unread_steps(Plan(tuple(filled), plan.outputs))


class _Sums:
    """The losses of a plan that sum products of masked tensors."""

    def __init__(self, plan: Plan, registry: Registry):
        self.registry = registry
        self.readers = readers_of(plan)
        self.above = {step.name: step for step in plan.steps}
        self.filled: dict[str, Step] = {}

    def unmasked(self, step: Step) -> list[Step]:
        """Returns a loss of sums without its mask, and what masks its tensors; any other step as it is."""
        loss = loss_behind(step.operation, self.registry)
        mask = step.inputs[-1] if step.inputs else None
        if loss is None or not loss.has_total or step.named or dict(step.options).get("parted"):
            return [step]
        products = products_of(step, loss) if isinstance(mask, Ref) else None
        if products is None or mask is None:
            return [step]
        tensors = [argument for argument in step.inputs[:-2] if isinstance(argument, Ref)]
        zeros = {argument.name for argument in tensors if self.is_zero(argument, mask)}
        masked: dict[Argument, Step] = {}
        for factors in (product.factors for product in products):
            if zeros.isdisjoint(factors):
                name = f"{factors[0]} masked for {step.name}"
                how = "times_mask" if self.is_finite(factors[0], mask) else "zero_masked"
                masked[Ref(factors[0])] = Step(name, how, (Ref(factors[0]), mask), owners=step.owners)
                zeros.add(factors[0])
        inputs = [Ref(masked[i].name) if i in masked else i for i in step.inputs[:-1]]
        return [*masked.values(), step.with_inputs((*inputs, None))]

    def is_zero(self, argument: Argument, mask: Argument) -> bool:
        """Returns whether a tensor is 0 where it is masked, or will be once its logits are filled."""
        step, over = self._step(argument), self._step(mask)
        if step is None:
            return False
        if (
            over is not None
            and CHANNELS.get(step.operation) == over.operation
            and step.options == over.options
        ):
            return self.is_zero(step.inputs[0], over.inputs[0])
        if step.operation in MASKING:
            return step.inputs[1] == mask
        logits = self._step(step.inputs[0]) if step.operation == SIGMOID else None
        return logits is not None and self.fills(logits, mask)

    def fills(self, logits: Step, mask: Argument) -> bool:
        """Returns whether logits are filled where masked; fills those that such sums alone read, by sigmoids."""
        if logits.operation == "filled":
            return logits.inputs[1] == mask and dict(logits.options)["number"] == NEVER
        if logits.operation != "zero_masked" or logits.inputs[1] != mask:
            return False
        if not all(self._may_fill(reader, mask) for reader in self.readers[logits.name]):
            return False
        self.filled[logits.name] = replace(logits, operation="filled", options=(("number", NEVER),))
        return True

    def is_finite(self, name: str, mask: Argument) -> bool:
        """Returns whether a tensor is a softmax of logits that are masked.

        They are made finite in place of 0 if such sums alone read them, by a softmax.
        """
        softmax = self.above[name]
        logits = self._step(softmax.inputs[0]) if softmax.operation == SOFTMAX else None
        if logits is None or logits.operation != "zero_masked":
            return False
        over = self._step(logits.inputs[1])
        if over is None or over.operation != "any_channel_mask" or over.inputs[0] != mask:
            return False
        if all(self._may_fill(reader, mask, SOFTMAX) for reader in self.readers[logits.name]):
            self.filled[logits.name] = replace(logits, operation="finite_masked", options=())
        return True

    def _may_fill(self, reader: Step | None, mask: Argument, activation: str = SIGMOID) -> bool:
        if reader is None or reader.operation != activation:
            return False
        return leaves_out(reader, mask, self.readers, self.registry)

    def _step(self, argument: Argument) -> Step | None:
        return self.above.get(argument.name) if isinstance(argument, Ref) else None
