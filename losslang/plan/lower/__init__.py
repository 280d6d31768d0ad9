"""Meaning to plan, literally: a step for everything the meaning says, textbook formulas, nothing shared.

The passes make it good.
"""

from __future__ import annotations

from losslang.plan.lower.program import lower

__all__ = ["lower"]
