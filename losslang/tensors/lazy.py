"""torch, and what of this package imports it, loaded when first used: all but running a loss works without.

`private` are names of torch that are not public, `kernels` those of them that stand behind `F`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F

    from losslang.tensors import eager
    from losslang.tensors import torch_private as kernels
    from losslang.tensors import torch_private as private
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
    kernels = private = _Proxy("losslang.tensors.torch_private")
    eager = _Proxy("losslang.tensors.eager")


NO_IGNORED_LABEL = -(2**31)
"""What no label is: torch's kernels leave out -100 unless they are told another."""


REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}
"""As the functions of `kernels` know them."""

INSIDE = (
    "losslang.tensors.linear_cross_entropy",
    "losslang.tensors.gradient_mask",
    "losslang.tensors.custom_gradient",
)
"""Modules that import torch, and that functions of tensors import where they need them."""


def traces() -> bool:
    """`eager.traces`, for what is read before torch is there."""
    return eager.traces()


def is_eager() -> bool:
    """`eager.is_eager`, likewise."""
    return eager.is_eager()


def load() -> None:
    """Loads all of it now: what torch.compile traces can import nothing."""
    _ = torch.Tensor, F.relu, kernels.mse_loss, eager.traces
    for name in INSIDE:
        import_module(name)


__all__ = [
    "NO_IGNORED_LABEL",
    "REDUCTIONS",
    "F",
    "eager",
    "is_eager",
    "kernels",
    "load",
    "private",
    "torch",
    "traces",
]
