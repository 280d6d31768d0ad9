"""Planned names: those that the language reserves and this version does not compile yet.

They parse, they are reserved, and using one gets a single clear error instead of a wrong guess.
"""

from __future__ import annotations

from losslang.primitives.decorators import DEFINED
from losslang.primitives.primitive import Planned

_PLANNED = {
    "combinator": {
        "dwa": "weights from how fast each loss falls",
        "balance": "equal shares of the gradient",
        "gradmatch": "a weight from the ratio of two gradients",
    },
}


def _described(summary: str) -> object:
    def planned() -> None: ...

    planned.__doc__ = summary
    return planned


for _role, _names in _PLANNED.items():
    for _name, _summary in _names.items():
        DEFINED.append(Planned(_name, _described(_summary), role=_role))  # type: ignore[arg-type]
