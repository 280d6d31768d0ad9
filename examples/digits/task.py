"""The task: a handwritten digit, damaged. Which digit is it, and where are its strokes?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor

INK = 0.5  # a pixel of the clean scan at least this dark is a stroke
# The file holds one writer after another. Image 1,287 begins a new one, so nobody is on both sides.
FIRST_HELD_OUT = 1287
HELD_OUT_NOISE = 2024  # the held-out images are damaged once, the same way in every run


class Digits(NamedTuple):
    """Scans (N, 1, 8, 8) from 0, paper, to 1, ink, and the digit (N,) that each of them shows."""

    clean: Tensor
    digit: Tensor


def load() -> tuple[Digits, Digits]:
    """The 1,797 scans that scikit-learn carries, as a training set and a held-out set."""
    scans = load_digits()
    clean = torch.from_numpy(scans.images).float().unsqueeze(1) / 16
    digit = torch.from_numpy(scans.target).long()
    cut = FIRST_HELD_OUT
    return Digits(clean[:cut], digit[:cut]), Digits(clean[cut:], digit[cut:])


def strokes(clean: Tensor) -> Tensor:
    """The mask to find: the inked pixels of the scan before it was damaged."""
    return clean >= INK


def damage(clean: Tensor, *, sigma: float, hole: int, generator: torch.Generator | None = None) -> Tensor:
    """Blanks a square of `hole` pixels a side somewhere in each scan, then adds Gaussian noise everywhere."""
    count, _, side, _ = clean.shape
    corner = torch.randint(side - hole + 1, (2, count, 1), generator=generator)
    row, column = (torch.arange(side) >= corner) & (torch.arange(side) < corner + hole)
    blank = (row[:, :, None] & column[:, None, :]).unsqueeze(1)
    noise = torch.randn(clean.shape, generator=generator)
    return clean.masked_fill(blank, 0) + sigma * noise


def overlap(found: Tensor, mask: Tensor) -> float:
    """Intersection over union of two sets of masks (N, 1, 8, 8): the mean over images."""
    both, either = (found & mask).sum((1, 2, 3)), (found | mask).sum((1, 2, 3))
    return (both / either).mean().item()
