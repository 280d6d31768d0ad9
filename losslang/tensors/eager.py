"""Whether torch runs a call as it stands. It is asked in every call, and each answer's name is looked up once."""

from __future__ import annotations

from typing import Any

import torch

_inside: Any = torch._C  # pyright: ignore[reportPrivateUsage]
_compiles = torch.compiler.is_dynamo_compiling
_transform = _inside._functorch.peek_interpreter_stack
_record = _inside._get_tracing_state
_number_of_modes = _inside._len_torch_dispatch_stack
_mode = _inside._get_dispatch_mode
_TRACING = _inside._TorchDispatchModeKey.FAKE, _inside._TorchDispatchModeKey.PROXY
_forward_ad: Any = torch.autograd.forward_ad
_hooks = getattr(_inside._autograd, "_top_saved_tensors_default_hooks", None)


def traces() -> bool:
    """Whether torch traces or transforms what runs, or fakes it: values are not there to be looked at."""
    if _compiles() or _transform() is not None or _record() is not None:
        return True
    return _number_of_modes() > 0 and _is_traced()


def is_eager() -> bool:
    """Whether tensors have values to look at, and run as they stand: nothing traces or transforms."""
    # As above, and not by calling it: this is asked first in every call.
    if _compiles() or _transform() is not None or _record() is not None or _forward_ad._current_level >= 0:
        return False
    return not _number_of_modes() or not _is_traced()


def _is_traced() -> bool:
    """Whether a mode fakes or records tensors, as what exports without Dynamo does."""
    return any(_mode(mode) is not None for mode in _TRACING)


def is_transformed() -> bool:
    """Whether torch.func transforms what runs: nothing outside of it can be written to."""
    return not _compiles() and _transform() is not None


def has_modes() -> bool:
    """Whether a dispatch mode sees every operation, as the one that lets saved tensors be changed does."""
    return _number_of_modes() > 0


def has_saved_tensor_hooks() -> bool:
    """Whether what is saved for the backward pass is handed to hooks, which move it or make it again later.

    Before torch 2.8 that could not be asked, and may be so.
    """
    return _hooks is None or _hooks(True) is not None


def is_batched_grad(grad_output: Any) -> bool:
    """Whether a flow is many at once, as under `is_grads_batched` or vmap: nothing may be written to in place."""
    return _transform() is not None or _inside._functorch.is_legacy_batchedtensor(grad_output)
