"""The plan for tensors that are computed whole: what several losses sum of one prediction is summed once.

Not one of PASSES: block by block a walk takes equal sums together by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from losslang.plan.operations.regions import Product
from losslang.plan.passes.cse import cse
from losslang.plan.plan import Plan, Ref, Step
from losslang.primitives.primitive import Loss
from losslang.registry import Registry, loss_behind
from losslang.tensors.lazy import private, torch
from losslang.vocabulary import Tensor


def share_sums(plan: Plan, registry: Registry) -> Plan:
    """The plan with the sums of products that its losses take as steps of their own, if some of them are equal."""
    if sum(_takes_total(step, registry) for step in plan.steps) < 2:
        return plan
    split = Plan(tuple(part for step in plan.steps for part in _split(step, registry)), plan.outputs)
    shared = cse(split)
    return shared if _sums(shared) < _sums(split) else plan


def _takes_total(step: Step, registry: Registry) -> bool:
    loss = loss_behind(step.operation, registry)
    return loss is not None and loss.has_total and step.inputs[-1] is None


def _split(step: Step, registry: Registry) -> Iterator[Step]:
    """The products of a loss, their sums, and what it makes of these; a step that is no such loss as it is."""
    loss = loss_behind(step.operation, registry)
    products = _summed(step, loss) if loss is not None and _takes_total(step, registry) else None
    if loss is None or products is None:
        yield step
        return
    over = (("keep", len(loss.sums)), ("batch", bool(dict(step.options).get("batch"))))
    totals: list[Ref] = []
    for index, (first, *others) in enumerate(product.factors for product in products):
        # No other step has a name with a space in it.
        value = Ref(first)
        for number, other in enumerate(others):
            name, both = f"{step.name} product {index}.{number}", (value, Ref(other))
            yield Step(name, "math:*", both, owners=step.owners)
            value = Ref(name)
        total = Step(f"{step.name} sum {index}", "region_sum", (value,), over, owners=step.owners)
        yield total
        totals.append(Ref(total.name))
    options = tuple((name, value) for name, value in step.options if name in loss.option_types)
    yield replace(step, operation=f"totals:{loss.name}", inputs=tuple(totals), options=options)


def _summed(step: Step, loss: Loss) -> list[Product] | None:
    """What a loss sums, if that is products of its tensors, and it only reads them to hand them over."""
    *tensors, _, _ = step.inputs
    names = [i.name for i in tensors if isinstance(i, Ref)]
    if loss.whole or loss.parameters[-1] != "total" or len(names) < len(tensors):
        return None
    found: list[Any] = []
    totals: list[Tensor] = []

    def total(*parts: Any) -> list[Tensor]:
        if found:
            raise TypeError("`total` is called twice")
        found.extend(parts)
        totals.extend(torch.ones(1, 1) for _ in parts)
        return totals

    options = {name: value for name, value in step.options if name in loss.option_types}
    try:
        loss.function(*(Product((name,)) for name in names), total, **options)
        is_changed = any(map(private.count_writes, totals))
    except Exception:
        # A loss of somebody else's may raise anything when it is handed no tensors: it is left as it is.
        return None
    are_products = found and all(isinstance(part, Product) for part in found)
    return found if are_products and not is_changed else None


def _sums(plan: Plan) -> int:
    return sum(step.operation == "region_sum" for step in plan.steps)
