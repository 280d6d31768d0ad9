"""Uses of losses: `focal(sigmoid, gamma=2, mask=batch.valid)@seg` becomes a LossUse."""

from __future__ import annotations

from losslang.meaning.uses.operands import Scope
from losslang.meaning.uses.paths import bound_with_route, handed_below
from losslang.meaning.uses.use import read_use

__all__ = ["Scope", "bound_with_route", "handed_below", "read_use"]
