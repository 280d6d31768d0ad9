"""The task: a handwritten digit, damaged. Which digit is it, and where are its strokes?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits
from torch import Tensor

INK = 0.5  # a pixel of the clean scan at least this dark is a stroke
# The file holds one hand after another, 14 runs by 13 writers, and scan 1,287 begins a new run: but for the
# one writer who may have filled two runs, whoever wrote a held-out scan wrote none of the others.
FIRST_HELD_OUT = 1287
HELD_OUT_SEED = 2024  # the held-out scans are damaged once, the same way in every run


class Digits(NamedTuple):
    """Scans (N, 1, 8, 8) from 0, paper, to 1, ink, and the digit (N,) that each of them shows."""

    clean: Tensor
    digit: Tensor


class Reading(NamedTuple):
    """What was made of damaged scans: the digit (N,) and the stroke mask (N, 1, 8, 8) of each."""

    truth: Digits
    damaged: Tensor
    digit: Tensor
    mask: Tensor


class Score(NamedTuple):
    """The share of digits read right, and the mean overlap (IoU) of the strokes found with the true ones."""

    accuracy: float
    iou: float


def load() -> tuple[Digits, Digits]:
    """The 1,797 scans that scikit-learn carries: the first 1,287 to train on, the last 510 held out."""
    scans = load_digits()
    clean = torch.from_numpy(scans.images).float().unsqueeze(1) / 16
    digit = torch.from_numpy(scans.target).long()
    cut = FIRST_HELD_OUT
    return Digits(clean[:cut], digit[:cut]), Digits(clean[cut:], digit[cut:])


def strokes(clean: Tensor) -> Tensor:
    """The mask to find: the inked pixels of the scan before it was damaged."""
    return clean >= INK


def damage(clean: Tensor, *, hole: int, sigma: float, generator: torch.Generator | None = None) -> Tensor:
    """Blanks a square of `hole` pixels a side somewhere in each scan, then adds Gaussian noise everywhere."""
    count, _, side, _ = clean.shape
    corner = torch.randint(side - hole + 1, (2, count, 1), generator=generator)
    row, column = (torch.arange(side) >= corner) & (torch.arange(side) < corner + hole)
    blank = (row[:, :, None] & column[:, None, :]).unsqueeze(1)
    noise = torch.randn(clean.shape, generator=generator)
    return clean.masked_fill(blank, 0) + sigma * noise


def score(reading: Reading) -> Score:
    """What a reading is worth."""
    true_mask = strokes(reading.truth.clean)
    both, either = (reading.mask & true_mask).sum((1, 2, 3)), (reading.mask | true_mask).sum((1, 2, 3))
    return Score((reading.digit == reading.truth.digit).float().mean().item(), (both / either).mean().item())


@threadpool_limits.wrap(limits=1)  # matrices this small only wait for a second thread
def baselines(train: Digits, held_out: Digits, damaged: Tensor, noise: dict[str, float]) -> dict[str, Score]:
    """What is reached without a network on the same damaged scans. The thresholds fit the training scans."""
    seen = Digits(train.clean.repeat(4, 1, 1, 1), train.digit.repeat(4))  # each of them damaged four times
    noisy = damage(seen.clean, **noise, generator=torch.Generator().manual_seed(HELD_OUT_SEED + 1))
    logistic = LogisticRegression(max_iter=1000).fit(noisy.flatten(1), seen.digit)
    ridge = Ridge().fit(noisy.flatten(1), strokes(seen.clean).flatten(1).float())

    def painted(scans: Tensor) -> Tensor:
        return torch.as_tensor(ridge.predict(scans.flatten(1))).view_as(scans)

    commonest = train.digit.mode().values.expand_as(held_out.digit)
    linear = torch.as_tensor(logistic.predict(damaged.flatten(1)))
    inked = damaged >= _threshold(noisy, seen)
    likely = painted(damaged) >= _threshold(painted(noisy), seen)
    return {
        "commonest digit; one grey threshold": score(Reading(held_out, damaged, commonest, inked)),
        "logistic regression; ridge regression": score(Reading(held_out, damaged, linear, likely)),
    }


def _threshold(grey: Tensor, truth: Digits) -> float:
    """The one threshold whose mask overlaps best with the true strokes."""

    def reached(level: float) -> float:
        return score(Reading(truth, grey, truth.digit, grey >= level)).iou

    return max((step / 40 for step in range(41)), key=reached)
