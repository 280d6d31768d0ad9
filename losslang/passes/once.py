"""The plan for tensors that are computed whole: what several losses sum of one prediction is summed once.

Not one of PASSES: block by block a walk takes equal sums together by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from losslang.lazy import torch
from losslang.passes.share import share
from losslang.plan import Plan, Ref, Step
from losslang.primitive import Loss
from losslang.registry import Registry, loss_behind

REFUSED = (TypeError, AttributeError, RuntimeError, ValueError)
"""What a function of tensors raises when it is handed something else."""


@dataclass(frozen=True)
class Product:
    """Stands for a product of tensors while a loss runs, and can be nothing but multiplied."""

    factors: tuple[str, ...]

    def __mul__(self, other: object) -> Product:
        return Product((*self.factors, *other.factors)) if isinstance(other, Product) else NotImplemented


def once(plan: Plan, registry: Registry) -> Plan:
    """The plan with the sums of products that its losses take as steps of their own, if some of them are equal."""
    split = Plan(tuple(part for step in plan.steps for part in _split(step, registry)), plan.outputs)
    shared = share(split)
    return shared if _sums(shared) < _sums(split) else plan


def _split(step: Step, registry: Registry) -> Iterator[Step]:
    """The products of a loss, their sums, and what it makes of these; a step that is no such loss as it is."""
    loss = loss_behind(step.operation, registry)
    products = None if loss is None or not loss.has_total else _summed(step, loss)
    if loss is None or products is None:
        yield step
        return
    over = (("keep", len(loss.sums)), ("batch", bool(dict(step.options).get("batch"))))
    totals: list[Ref] = []
    for index, (first, *others) in enumerate(product.factors for product in products):
        # No other step has a name with a space in it.
        value = Ref(first)
        for number, other in enumerate(others):
            product = Step(f"{step.name} product {index}.{number}", "math:*", (value, Ref(other)))
            yield replace(product, owners=step.owners)
            value = Ref(product.name)
        total = Step(f"{step.name} sum {index}", "region_sum", (value,), over, owners=step.owners)
        yield total
        totals.append(Ref(total.name))
    options = tuple((name, value) for name, value in step.options if name in loss.option_types)
    yield replace(step, operation=f"totals:{loss.name}", inputs=tuple(totals), options=options)


def _summed(step: Step, loss: Loss) -> list[Product] | None:
    """What a loss sums, if that is products of its tensors, and it reads them for nothing else."""
    *tensors, _, mask = step.inputs
    if mask is not None or loss.whole or loss.parameters[-1] != "total":
        return None
    found: list[Any] = []

    def total(*parts: Any) -> list[Any]:
        found.extend(parts)
        return [torch.ones(1, 1) for _ in parts]

    options = {name: value for name, value in step.options if name in loss.option_types}
    try:
        loss.function(*(Product((i.name,)) if isinstance(i, Ref) else i for i in tensors), total, **options)
    except REFUSED:
        return None
    return found if found and all(isinstance(part, Product) for part in found) else None


def _sums(plan: Plan) -> int:
    return sum(step.operation == "region_sum" for step in plan.steps)
