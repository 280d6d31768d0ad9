"""Axes that a function keeps with size 1: what lacks exactly these fits beside it.

They are known from the program: `logsumexp(pred, dim=2)` keeps axis 2 as one, whatever the call.
"""

from __future__ import annotations

from losslang.meaning.layout import Layout, tensors_of
from losslang.meaning.meaning import Apply, Expression, is_static
from losslang.primitives.primitive import Function
from losslang.registry import Registry


def named(expression: Apply) -> tuple[int, ...]:
    """The axes that `dim=` of a function names; none without one."""
    dim = dict(expression.options).get("dim")
    return (dim,) if isinstance(dim, int) else dim or ()


def kept(expression: Expression, registry: Registry) -> tuple[int, ...]:
    """The axes of a tensor expression that have size 1, because a function keeps them, as they are written."""
    return tuple(sorted(_kept(expression, registry)))


def channel_beside(layout: Layout, axes: tuple[int, ...]) -> int:
    """The axis that a mask of one rank less lacks: of plain values the one that the prediction keeps, if one is."""
    if layout.home is None and layout.written is None and len(axes) == 1 and axes[0]:
        return axes[0]
    return layout.channel


def _kept(expression: Expression, registry: Registry) -> frozenset[int]:
    if not isinstance(expression, Apply):
        return frozenset()
    parts = [(part, _kept(part, registry)) for part in expression.arguments if not is_static(part)]
    if len(parts) == 1:
        ((_, inside),) = parts
        function = registry.get(Function, expression.operator)
        if function is None or not function.reduces or len(expression.arguments) > 1:
            return inside
        return inside | frozenset(named(expression)) if named(expression) else frozenset()
    found: frozenset[int] = frozenset()
    for part, axes in parts:
        whole = [other for other, own in parts if other is not part and not axes <= own]
        # `pred - logsumexp(pred, dim=1)` has every axis of `pred`: nothing is kept there.
        if not any(
            set(tensors_of(other)) & set(tensors_of(part)) for other in whole if not _is_one(other, registry)
        ):
            found |= axes
    return found


def _is_one(expression: Expression, registry: Registry) -> bool:
    """True for a function that reduces everything, such as `mean(pred)`."""
    if not isinstance(expression, Apply) or len(expression.arguments) != 1:
        return False
    function = registry.get(Function, expression.operator)
    return function is not None and function.reduces and not named(expression)
