"""Runs cases in our language and compares."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

import losslang
from conformance.case import Case
from conformance.peers import translate
from conformance.tensors import case_tensors, plain_tensors
from conformance.translation import Inexpressible, Ours

POST: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda value: value,
    "mean": torch.mean,
    "sum": torch.sum,
    "one_minus": lambda value: 1 - value,
}
"""What the library's own test did to a result, its own or ours, before it compared."""


@dataclass(frozen=True)
class Result:
    """What became of a case: our program with its number, or why there is none."""

    ours: Ours | None
    value: Tensor | None
    agrees: bool
    why: str = ""


@cache
def result(case: Case, dtype: torch.dtype) -> Result:
    """The case in our language, computed in `dtype`."""
    try:
        ours = translate(case, dtype)
    except Inexpressible as reason:
        return Result(None, None, agrees=False, why=str(reason))
    try:
        value = POST[case.post](plain_tensors(ours.laid(case_tensors(compute(ours, ours.text)))))
    except losslang.LossError as error:
        return Result(ours, None, agrees=False, why=f"{ours.text}: {error.diagnostics[0].message}")
    return Result(ours, value, agree(case, value, dtype), ours.differs)


def compute(ours: Ours, text: str) -> Tensor:
    """What a program gives for the tensors of a case."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        const = {name: torch.tensor(numbers, dtype=ours.dtype) for name, numbers in ours.const.items()}
        loss = losslang.compile(text, const=const, validate=ours.validate)
    return loss(plain_tensors(ours.pred), plain_tensors(ours.target), **plain_tensors(ours.batch))


def agree(case: Case, value: Tensor, dtype: torch.dtype) -> bool:
    """Whether a value is the library's, to the tolerance of its test. Axes of length 1 are no difference."""
    value, wanted = value.detach().squeeze().double(), case.wanted(torch.float64).squeeze()
    if wanted.ndim == 0:  # a list may be compared with one number, too
        wanted = wanted.expand_as(value)
    if value.shape != wanted.shape:
        return False
    return torch.allclose(value, wanted, **case.tolerance(dtype), equal_nan=True)
