"""Building the loss of the mission from text, and from the Hydra config that says the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import torch
from torch import Tensor, nn

import losslang
from bench.works import MISSION

NODES = {
    "bce": {"_target_": "torch.nn.BCEWithLogitsLoss"},
    "dice": {"_target_": "bench.hydra_config.Dice", "smooth": 1},
}


class Dice(nn.Module):
    """A dice as projects keep one."""

    def __init__(self, smooth: float):
        super().__init__()
        self.smooth = smooth

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        probs = torch.sigmoid(pred)
        both, predicted, true = ((probs * target).sum((2, 3)), probs.sum((2, 3)), target.sum((2, 3)))
        return (1 - (2 * both + self.smooth) / (predicted + true + self.smooth)).mean()


def from_text() -> Callable[[], object]:
    return lambda: losslang.compile(MISSION)


def from_new_texts() -> Callable[[], object]:
    """Never the same text again: what a text decides is remembered, and here that is of no use."""
    weights = count(1)
    return lambda: losslang.compile(MISSION.replace("0.5", f"0.{next(weights)}"))


def from_nodes() -> Callable[[], object]:
    """Raises ImportError where Hydra is not installed."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    config = OmegaConf.create(NODES)
    return lambda: instantiate(config)
