"""Whether torch runs a call as it stands.

It is asked in every call, and each answer's name is looked up once.
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

_compiles = torch.compiler.is_dynamo_compiling


def traces() -> bool:
    """Whether torch traces or transforms what runs, or fakes it: values are not there to be looked at."""
    if _compiles() or current_transform() is not None or tracing_state() is not None:
        return True
    return count_dispatch_modes() > 0 and is_faked_or_recorded()


def is_eager() -> bool:
    """Whether tensors have values to look at, and run as they stand: nothing traces or transforms."""
    # As above, and not by calling it: this is asked first in every call.
    if _compiles() or current_transform() is not None or tracing_state() is not None or dual[LEVEL] >= 0:
        return False
    return not count_dispatch_modes() or not is_faked_or_recorded()


def is_transformed() -> bool:
    """Whether torch.func transforms what runs: nothing outside of it can be written to."""
    return not _compiles() and current_transform() is not None


def has_modes() -> bool:
    """Whether a dispatch mode sees every operation, as the one that lets saved tensors be changed does."""
    return count_dispatch_modes() > 0


def is_batched_grad(grad_output: Any) -> bool:
    """True if `grad_output` is batched (vmap, is_grads_batched): no in-place writes then."""
    return current_transform() is not None or is_batched(grad_output)
