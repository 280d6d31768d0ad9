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
        """A module that is imported on first use, when its names are copied into this object.

        From then on names are found without `__getattr__`: fast, and torch.compile can trace it.
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
"""An `ignore_index` that no label has: torch's kernels ignore -100 by default."""


REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}
"""The numbers by which `kernels` know reductions."""

INSIDE = (
    "losslang.tensors.linear_cross_entropy",
    "losslang.tensors.gradient_mask",
    "losslang.tensors.custom_gradient",
    "losslang.tensors.bounded",
)
"""Modules that import torch and are imported inside functions."""


def traces() -> bool:
    """Calls `eager.traces`, for modules that are loaded before torch."""
    return eager.traces()


def is_eager() -> bool:
    """Calls `eager.is_eager`, for modules that are loaded before torch."""
    return eager.is_eager()


def load() -> None:
    """Imports everything now: code that torch.compile traces cannot import."""
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
