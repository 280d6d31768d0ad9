"""Shows which loss trains a network: the share that each term has of the gradient, step by step.

    python examples/balance/shares.py

At 1 % foreground `bce + dice` is soon dice alone: the mean over all pixels counts few mistakes of many, an
overlap counts the few. `balance` keeps both. The picture is examples/balance/out/shares.png.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

import losslang

PROGRAMS = ("bce(sigmoid) + dice(sigmoid)", "balance(bce(sigmoid), dice(sigmoid))")
COLORS = {"bce": "#0072b2", "dice": "#d55e00"}  # Okabe and Ito
OUT = Path(__file__).parent / "out"


def images() -> tuple[Tensor, Tensor]:
    """Noisy images with a square of 9 pixels among 1024, and the square."""
    target = torch.zeros(4, 1, 32, 32)
    target[:, :, 10:13, 20:23] = 1
    return target + 0.3 * torch.randn_like(target), target


def trained(text: str, steps: int) -> tuple[list[list[float]], float]:
    """The share of each term in every step, and the dice of the last prediction."""
    torch.manual_seed(0)
    x, target = images()
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    loss = losslang.compile(text)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    shares: list[list[float]] = []
    for _ in range(steps):
        pred = net(x)
        shares.append(loss.gradients(pred, target).shares.tolist())
        optimizer.zero_grad()
        loss(pred, target).backward()
        optimizer.step()
    score = 1 - losslang.compile("dice(identity)")((net(x).detach() > 0).float(), target)
    return shares, score.item()


def main(steps: int = 200) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
    for text, axis in zip(PROGRAMS, axes, strict=True):
        shares, score = trained(text, steps)
        axis.set_title(text, fontfamily="monospace", fontsize=9)
        for name, share in zip(("bce", "dice"), zip(*shares, strict=True), strict=True):
            axis.plot(share, color=COLORS[name])
            above = 5 if name == "dice" else -5
            axis.annotate(
                name,
                (steps, share[-1]),
                xytext=(3, above),
                textcoords="offset points",
                va="bottom" if above > 0 else "top",
                ha="right",
                color=COLORS[name],
            )
            print(f"{text:<40} {name:<5} {share[0]:>6.1%} at first, {share[-1]:>6.1%} at last")
        print(f"{'':<40} dice of the prediction {score:.2f}")
        axis.set(xlabel="step", ylim=(-0.1, 1.1), xlim=(0, steps))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("share of the gradient")
    OUT.mkdir(exist_ok=True)
    figure.savefig(OUT / "shares.png", dpi=150)
    print(f"wrote {OUT / 'shares.png'}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
