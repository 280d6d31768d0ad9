"""Tensor subclasses that hold what a plain tensor holds: MONAI's MetaTensor, torchvision's and fastai's.

They override `__torch_function__` alone, in Python, around every operation on them: a loss reads them as
plain tensors. A subclass with a `__torch_dispatch__` (DTensor, FakeTensor, nested and masked tensors)
computes otherwise, and stays what it is.
"""

from __future__ import annotations

from typing import Any

from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor


def is_dressed(value: Tensor) -> bool:
    """Returns whether a tensor is of a subclass around a plain tensor; a Parameter is none."""
    kind: Any = type(value)
    plain: Any = torch.Tensor
    if kind is plain or kind is torch.nn.Parameter:
        return False
    is_plain_below = kind.__torch_dispatch__ is plain.__torch_dispatch__
    # Dynamo cannot trace the way out of a subclass (torch 2.13): there a subclass stays what torch makes of it.
    return (
        is_plain_below and not torch.compiler.is_dynamo_compiling() and not torch.nn.parameter.is_lazy(value)
    )


def undressed(value: Tensor) -> Tensor:
    """Returns the plain tensor of a subclass, as a view that hands gradients on; any other as it is."""
    # Not `value.as_subclass`, which a subclass may override: this one asks no `__torch_function__`.
    return torch.Tensor.as_subclass(value, torch.Tensor) if is_dressed(value) else value
