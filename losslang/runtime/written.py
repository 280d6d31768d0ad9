"""A bound program as one Python function: a call by name takes half the time of a turn of a loop.

def run(v0, v1, v2):
    v5 = f5(v0, v2, reduction=f5_reduction)
    v6 = f6(v5, v4)
    return [v6]

The text has numbers of slots, and options that functions of losslang and of its plugins declare: no word
of a config becomes code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from types import CodeType
from typing import Any

from losslang.runtime.binding import Calls


def written(calls: Calls, results: Sequence[int]) -> Callable[..., list[Any]]:
    """Returns a function that calls what `calls` does, and returns the values of these slots."""
    names: dict[str, Any] = {f"v{calls.roots + i}": value for i, value in enumerate(calls.template)}
    lines = [f"def run({', '.join(f'v{i}' for i in range(calls.roots))}):"]
    for slot, function, arguments in calls.calls:
        lines.append(f"    v{slot} = {_call(f'f{slot}', function, arguments, names)}")
    lines.append(f"    return [{', '.join(f'v{slot}' for slot in results)}]")
    exec(_compiled("\n".join(lines)), names)
    return names["run"]


def _call(name: str, function: Any, arguments: Sequence[int], names: dict[str, Any]) -> str:
    """A call as text, whose names are added: of a partial function that of what it calls, with its options."""
    given, options = [f"v{slot}" for slot in arguments], dict[str, Any]()
    if isinstance(function, partial):
        before = {f"{name}_{i}": value for i, value in enumerate(function.args)}
        options = {f"{name}_{option}": value for option, value in function.keywords.items()}
        given = [*before, *given, *(f"{option}={name}_{option}" for option in function.keywords)]
        names.update(before)
        names.update(options)
        function = function.func
    names[name] = function
    return f"{name}({', '.join(given)})"


@lru_cache(maxsize=1024)
def _compiled(text: str) -> CodeType:
    return compile(text, "<losslang program>", "exec")
