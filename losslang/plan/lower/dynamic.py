"""Lowers options that may be tensors of one number: those that are become inputs of a step, with their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from losslang.meaning.meaning import COMPUTED, Expression
from losslang.meaning.options import bounds_of, wording
from losslang.plan.plan import Argument

if TYPE_CHECKING:
    from losslang.plan.lower.align import Aligned

Named = tuple[tuple[int, str], ...]
"""The places of inputs that are handed over by name."""


def dynamic(use: Aligned, name: str, value: Expression, declared: Any) -> Argument:
    """Emits an option that is a tensor of one number, and the check of its bounds."""
    number = use.out.number(value, name)
    site, bounds = use.site(name)._replace(span=value.span), tuple(bounds_of(declared).items())
    use.emit("check:option", number, site=site, check=True, bounds=bounds, wanted=wording(declared))
    return number


def options_of(
    use: Aligned, written: Sequence[tuple[str, Any]], types: Mapping[str, Any], at: int
) -> tuple[dict[str, Any], list[Argument], Named]:
    """Returns the options that are known, and emits the others as inputs of a step, from the place `at` on."""
    known = {name: value for name, value in written if not isinstance(value, COMPUTED)}
    moved = [(name, value) for name, value in written if isinstance(value, COMPUTED)]
    named = tuple(enumerate((name for name, _ in moved), at))
    return known, [dynamic(use, name, value, types[name]) for name, value in moved], named
