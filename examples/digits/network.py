"""One small convolutional network with two heads."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TwoHeads(nn.Module):
    """Scans (N, 1, 8, 8) to the logits of the digit (N, 10) and of the stroke mask (N, 1, 8, 8)."""

    def __init__(self, width: int = 24):
        super().__init__()
        self.fine = nn.Sequential(_convolution(1, width), _convolution(width, width))
        self.coarse = nn.Sequential(_convolution(width, 2 * width), _convolution(2 * width, 2 * width))
        self.digit = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(2 * width * 4 * 4, 10))
        self.mask = nn.Sequential(_convolution(3 * width, width), nn.Conv2d(width, 1, kernel_size=1))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        fine = self.fine(image)
        coarse = self.coarse(F.max_pool2d(fine, 2))
        both = torch.cat([fine, F.interpolate(coarse, scale_factor=2)], dim=1)
        return {"digit": self.digit(coarse), "mask": self.mask(both)}


def _convolution(inputs: int, outputs: int) -> nn.Module:
    kernel = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(kernel, nn.BatchNorm2d(outputs), nn.ReLU())
