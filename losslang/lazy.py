"""`torch` and `F`, loaded when first used: everything but running a loss works without torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:

    class _Proxy:
        """Stands for a module. On the first use it takes over all the module's names.

        From then on a name is found without `__getattr__`, which is fast, and which torch.compile
        can trace.
        """

        def __init__(self, name: str):
            self.__dict__["__name__"] = name

        def __getattr__(self, attribute: str) -> Any:
            module = import_module(self.__name__)
            self.__dict__.update(vars(module))
            return getattr(module, attribute)

    torch = _Proxy("torch")
    F = _Proxy("torch.nn.functional")


def traces() -> bool:
    """Whether torch traces or transforms what runs, or fakes it: values are not there to be looked at."""
    inside: Any = torch._C  # pyright: ignore[reportPrivateUsage]
    if torch.compiler.is_compiling() or inside._functorch.peek_interpreter_stack() is not None:
        return True
    if inside._get_tracing_state() is not None:
        return True
    if not inside._len_torch_dispatch_stack():
        return False
    modes = inside._TorchDispatchModeKey
    return any(inside._get_dispatch_mode(mode) is not None for mode in (modes.FAKE, modes.PROXY))


def is_eager() -> bool:
    """Whether tensors have values to look at, and run as they stand: nothing traces or transforms."""
    return not traces() and torch.autograd.forward_ad._current_level < 0  # pyright: ignore


def hands_over() -> bool:
    """Whether what is saved for the backward pass is handed to hooks, which move it or make it again later.

    Before torch 2.8 that could not be asked, and may be so.
    """
    inside: Any = torch._C  # pyright: ignore[reportPrivateUsage]
    asked = getattr(inside._autograd, "_top_saved_tensors_default_hooks", None)
    return asked is None or asked(True) is not None


def load() -> None:
    """Loads both now: a module that runs losses needs them traceable."""
    _ = torch.Tensor, F.relu


__all__ = ["F", "hands_over", "is_eager", "load", "torch", "traces"]
