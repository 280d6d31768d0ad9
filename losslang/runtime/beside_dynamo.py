"""Calls that torch.compile runs as they are: outside of its graph, or as a constant in it.

The decorators import torch._dynamo and sympy, which takes a second: only what is traced imports this file.
"""

from __future__ import annotations

from typing import Any

import torch

WHY_IT_BREAKS = (
    "`balance`, `gradnorm` and `gradmatch` measure gradients inside of the call: leave `fullgraph=True` out, or "
    "weigh by values, as `dwa` and `relobralo` do"
)
"""What torch.compile says of a loss that it does not take into its graph."""


@torch.compiler.disable(reason=WHY_IT_BREAKS)  # pyright: ignore[reportUnknownMemberType, reportUntypedFunctionDecorator]
def outside_of_graph(owner: Any, method: str, *arguments: Any) -> Any:
    """Calls a method outside of the graph of torch.compile."""
    return getattr(owner, method)(*arguments)


@torch.compiler.assume_constant_result  # pyright: ignore[reportUnknownMemberType]
def constant(owner: Any, method: str, *arguments: Any) -> Any:
    """Calls a method whose answer torch.compile takes as a constant: it runs as it is, once."""
    return getattr(owner, method)(*arguments)
