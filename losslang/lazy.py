"""torch, and what of this package imports it, loaded when first used: all but running a loss works without.

`private` are names of torch that are not public, the kernels behind `F` among them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F

    from losslang import eager
    from losslang import torch_private as private
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
    private = _Proxy("losslang.torch_private")
    eager = _Proxy("losslang.eager")


INSIDE = ("losslang.chunked", "losslang.shield", "losslang.slopes")
"""Modules that import torch, and that functions of tensors import where they need them."""


def traces() -> bool:
    """`eager.traces`, for what is read before torch is there."""
    return eager.traces()


def is_eager() -> bool:
    """`eager.is_eager`, likewise."""
    return eager.is_eager()


def load() -> None:
    """Loads all of it now: what torch.compile traces can import nothing."""
    _ = torch.Tensor, F.relu, private.mse_loss, eager.traces
    for name in INSIDE:
        import_module(name)


__all__ = ["F", "eager", "is_eager", "load", "private", "torch", "traces"]
