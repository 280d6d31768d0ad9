"""Lowers a meaning to a plan, literally: a step for everything it says, textbook formulas, nothing shared.

The passes optimize it.
"""

from __future__ import annotations

from losslang.plan.lower.detail import BY_CLASS, COUNT
from losslang.plan.lower.program import lower

__all__ = ["BY_CLASS", "COUNT", "lower"]
