"""Planned names: those that the language reserves and this version does not compile yet.

They parse, they are reserved, and using one gets a single clear error instead of a wrong guess.
"""

from __future__ import annotations

from losslang.primitives.decorators import DEFINED
from losslang.primitives.primitive import Planned
from losslang.syntax.tree import CLOCKS

_COUNTED = dict(zip(CLOCKS, ("optimizer steps", "epochs"), strict=True))
_PLANNED = {
    "schedule": {
        "ramp": "from a to b over steps or epochs",
        "after": "0, then 1 from a step on",
        "until": "1, then 0 from a step on",
        "cyclic": "a ramp that starts again",
        **{clock: f"the clock that counts {counted}" for clock, counted in _COUNTED.items()},
    },
    "combinator": {
        "learn": "a parameter of the loss",
        "each": "a loss over every element of a list",
        "uncertainty": "weights learned from the noise of each task",
        "dwa": "weights from how fast each loss falls",
        "balance": "equal shares of the gradient",
        "gradmatch": "a weight from the ratio of two gradients",
        "matryoshka": "a loss over nested prefixes of an embedding",
    },
}


def _described(summary: str) -> object:
    def planned() -> None: ...

    planned.__doc__ = summary
    return planned


for _role, _names in _PLANNED.items():
    for _name, _summary in _names.items():
        DEFINED.append(Planned(_name, _described(_summary), role=_role))  # type: ignore[arg-type]
