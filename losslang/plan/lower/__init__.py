"""Lowers a meaning to a plan, literally: a step for everything it says, textbook formulas, nothing shared.

The passes optimize it.
"""

from __future__ import annotations

from losslang.plan.lower.detail import BODY, BY_CLASS, COUNT, FACTOR, MEAN, UNITS
from losslang.plan.lower.program import lower

__all__ = ["BODY", "BY_CLASS", "COUNT", "FACTOR", "MEAN", "UNITS", "lower"]
