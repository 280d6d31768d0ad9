"""Sum sharing: sums that several losses take of one prediction are computed once.

    dice = loss:dice(p, t); jaccard = loss:jaccard(p, t)        (each sums p t, p and t)
    dice = totals:dice(sum0, sum1, sum2); jaccard = totals:jaccard(sum0, sum1, sum2)

Not one of PASSES: a walk over blocks shares equal sums by itself.
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
    """Makes the sums that losses take of products steps of their own, if some of them are equal."""
    if sum(_takes_total(step, registry) for step in plan.steps) < 2:
        return plan
    split = Plan(tuple(part for step in plan.steps for part in _split(step, registry)), plan.outputs)
    shared = cse(split)
    return shared if _sums(shared) < _sums(split) else plan


def _takes_total(step: Step, registry: Registry) -> bool:
    loss = loss_behind(step.operation, registry)
    if loss is None or not loss.has_total or dict(step.options).get("parted"):
        return False
    return step.inputs[-1] is None and not step.named


def _split(step: Step, registry: Registry) -> Iterator[Step]:
    """Yields the products of a loss, their sums, and the loss on these sums; any other step unchanged."""
    loss = loss_behind(step.operation, registry)
    products = products_of(step, loss) if loss is not None and _takes_total(step, registry) else None
    if loss is None or products is None:
        yield step
        return
    over = (("keep", len(loss.sums)), ("batch", bool(dict(step.options).get("batch"))))
    totals: list[Ref] = []
    for index, (first, *others) in enumerate(product.factors for product in products):
        # A name with a space cannot collide with that of another step.
        value = Ref(first)
        for number, other in enumerate(others):
            name, factors = f"{step.name} product {index}.{number}", (value, Ref(other))
            yield Step(name, "math:*", factors, owners=step.owners)
            value = Ref(name)
        total = Step(f"{step.name} sum {index}", "region_sum", (value,), over, owners=step.owners)
        yield total
        totals.append(Ref(total.name))
    options = tuple((name, value) for name, value in step.options if name in loss.option_types)
    yield replace(step, operation=f"totals:{loss.name}", inputs=tuple(totals), options=options)


def products_of(step: Step, loss: Loss) -> list[Product] | None:
    """Returns the products of its tensors that a loss sums; None if it does anything else with them."""
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
        # A loss of a user may raise anything for arguments that are no tensors: it keeps its sums.
        return None
    are_products = found and all(isinstance(part, Product) for part in found)
    return found if are_products and not is_changed else None


def _sums(plan: Plan) -> int:
    return sum(step.operation == "region_sum" for step in plan.steps)
