"""Detects eager calls, which torch neither traces nor transforms.

Every call asks, so the names are imported one by one instead of through their modules.
"""

from __future__ import annotations

from typing import Any

import torch

from losslang.tensors.torch_private import (
    LEVEL,
    count_dispatch_modes,
    current_transform,
    dual,
    is_batched,
    is_faked_or_recorded,
    tracing_state,
)

compiles = torch.compiler.is_dynamo_compiling


def traces() -> bool:
    """Returns whether torch traces, transforms or fakes the call: values cannot be read then."""
    if compiles() or current_transform() is not None or tracing_state() is not None:
        return True
    return count_dispatch_modes() > 0 and is_faked_or_recorded()


def is_eager() -> bool:
    """Returns whether values can be read and operations run at once: nothing traces or transforms them."""
    return not traces() and dual[LEVEL] < 0


def is_transformed() -> bool:
    """Returns whether torch.func transforms the call: no tensor outside of it can be written to."""
    return not compiles() and current_transform() is not None


def has_modes() -> bool:
    """Returns whether a dispatch mode sees every operation, as the one for mutated saved tensors."""
    return count_dispatch_modes() > 0


def is_batched_grad(grad_output: Any) -> bool:
    """True if `grad_output` is batched (vmap, is_grads_batched): no in-place writes then."""
    return current_transform() is not None or is_batched(grad_output)
