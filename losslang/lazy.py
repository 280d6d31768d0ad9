"""`torch` and `F`, loaded when first used: everything but running a loss works without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:

    class _Proxy:
        """Stands for a module until somebody asks it for something; then it holds what was asked for."""

        def __init__(self, name: str):
            self.__dict__["__name__"] = name

        def __getattr__(self, attribute: str) -> Any:
            from importlib import import_module

            value = getattr(import_module(self.__name__), attribute)
            self.__dict__[attribute] = value
            return value

    torch = _Proxy("torch")
    F = _Proxy("torch.nn.functional")

__all__ = ["F", "torch"]
