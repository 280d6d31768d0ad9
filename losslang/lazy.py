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
    if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:  # pyright: ignore
        return True
    if not torch._C._len_torch_dispatch_stack():  # pyright: ignore
        return False
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None  # pyright: ignore


def is_eager() -> bool:
    """Whether tensors have values to look at, and run as they stand: nothing traces or transforms."""
    return not traces() and torch.autograd.forward_ad._current_level < 0  # pyright: ignore


def load() -> None:
    """Loads both now: a module that runs losses needs them traceable."""
    _ = torch.Tensor, F.relu


__all__ = ["F", "is_eager", "load", "torch", "traces"]
