"""Lowers a meaning to a plan, literally: a step for everything it says, textbook formulas, nothing shared.

The passes optimize it.
"""

from __future__ import annotations

from losslang.plan.lower.detail import BODY, BY_CLASS, COUNT, FACTOR, MEAN, UNITS
from losslang.plan.lower.factors import has_scheduled_factor, lower_factors, without_scheduled_factors
from losslang.plan.lower.program import entry_names, lower

__all__ = [
    "BODY",
    "BY_CLASS",
    "COUNT",
    "FACTOR",
    "MEAN",
    "UNITS",
    "entry_names",
    "has_scheduled_factor",
    "lower",
    "lower_factors",
    "without_scheduled_factors",
]
