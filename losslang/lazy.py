"""`torch`, `F` and `kernels`, loaded when first used: everything but running a loss works without torch.

`kernels` are what stands behind `F`, which looks at its arguments once more and expands tensors. That takes as
long as an error of ten thousand numbers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F

    from losslang import eager

    kernels: Any
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
    kernels = _Proxy("torch._C._nn")
    eager = _Proxy("losslang.eager")


def traces() -> bool:
    """`eager.traces`, for what is read before torch is there."""
    return eager.traces()


def is_eager() -> bool:
    """`eager.is_eager`, likewise."""
    return eager.is_eager()


def load() -> None:
    """Loads them now: a module that runs losses needs them traceable."""
    _ = torch.Tensor, F.relu, kernels.mse_loss


__all__ = ["F", "is_eager", "kernels", "load", "torch", "traces"]
