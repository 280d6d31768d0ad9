"""Properties of a tensor's device: reading values without a sync, double precision, constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from losslang.tensors.lazy import is_eager, torch, traces
from losslang.vocabulary import Tensor

MANY = 2**14
"""Elements from which on writing a gradient of that size takes longer than one more small operation."""


def can_read_without_sync(tensor: Tensor) -> bool:
    """Returns whether a value can be read without a sync: on a CPU, not on a GPU, which runs behind."""
    return tensor.is_cpu


def min_if_cheap(x: Tensor) -> float:
    """Returns min(x) of an eager CPU tensor; NaN on a GPU, under tracing or if x is empty.

    Callers test `> bound`, so that NaN takes the guarded path: reading one number of a CPU tensor costs less
    than guarding every element, but on a GPU it would synchronize.
    """
    if type(x) is not torch.Tensor or traces() or not x.is_cpu or not x.numel():
        return math.nan
    asked = x.detach() if x.requires_grad else x
    # Beside a backward pass `min` of few elements takes half as long as `amin`, and of many twice as long.
    return (asked.min() if x.numel() <= MANY else asked.amin()).item()


def wide(x: Tensor) -> Tensor:
    """Returns x in double precision, for differences of sums; unchanged on a device without doubles."""
    return x.to(widest(x))


def widest(like: Tensor) -> torch.dtype:
    """Returns float64, or the tensor's own type where doubles are not to be had: on Apple GPUs, in ONNX."""
    if like.device.type == "mps":
        return like.dtype
    # onnxruntime has no convolution and no pooling of doubles on a CPU.
    return like.dtype if torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export() else torch.float64


def exact(like: Tensor) -> Any:
    """Returns a context without autocast: exponentials and differences of squares need full precision."""
    kind = like.device.type
    # Not asked of the usual two: torch.compile cannot trace the question until torch 2.8.
    has_autocast = kind in ("cpu", "cuda") or torch.amp.is_autocast_available(kind)
    return torch.autocast(kind if has_autocast else "cpu", enabled=False)


def vector(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns constants as a tensor on a device.

    On a GPU each is filled in there: a copy from the CPU would synchronize.
    """
    if device.type == "cpu":
        return torch.tensor(values, dtype=dtype, device=device)
    return torch.stack([torch.full((), value, dtype=dtype, device=device) for value in values])


def kept_vector(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns the same for a caller that only reads it: on a CPU one tensor for all calls."""
    # What is made in inference mode could not be saved for a backward pass later.
    is_kept = device.type == "cpu" and is_eager() and not torch.is_inference_mode_enabled()
    return _kept(values, dtype) if is_kept else vector(values, dtype, device)


@lru_cache
def kept_one(dtype: torch.dtype) -> Tensor:
    """Returns 1 as a tensor without axes, for eager calls on a CPU: `torch.rsub` makes one in every call."""
    with torch.inference_mode(False):
        return torch.ones((), dtype=dtype, device="cpu")


@lru_cache(maxsize=256)
def _kept(values: tuple[float, ...], dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, dtype=dtype, device="cpu")
