"""What a step of training costs with weights that are found in it, beside the plain sum: one network, in turns.

    python -m bench.steps              the table below, about two minutes on two cores
    python -m bench.steps --rounds 5   fewer rounds

A step is the forward pass of a small UNet with two heads, the loss, the backward pass and the optimizer. All
sides run in turns in one process; what is printed is the median of the ratios to the plain sum in the same
round. TorchJD, if it is installed, is handed the same losses.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from itertools import pairwise
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import losslang
from bench.machine import described

SEG = "bce(sigmoid)@seg + dice(sigmoid)@seg"
SIDES: Mapping[str, str] = {
    "plain sum": f"{SEG} + l1@depth",
    "dwa": "dwa(bce(sigmoid)@seg, dice(sigmoid)@seg, l1@depth)",
    "relobralo": "relobralo(bce(sigmoid)@seg, dice(sigmoid)@seg, l1@depth)",
    "balance": "balance(bce(sigmoid)@seg, dice(sigmoid)@seg, l1@depth)",
    "balance at the features": "balance(bce(sigmoid)@seg, dice(sigmoid)@seg, l1@depth, wrt=pred.features)",
    "gradnorm at the features": "gradnorm(bce(sigmoid)@seg, dice(sigmoid)@seg, l1@depth, wrt=pred.features)",
}


class UNet(nn.Module):
    """Three levels, two heads on one map of features."""

    def __init__(self, width: int = 16):
        super().__init__()
        sizes = (1, width, 2 * width, 4 * width)
        self.down = nn.ModuleList(_block(a, b) for a, b in pairwise(sizes))
        self.up = nn.ModuleList(_block(a + b, b) for a, b in pairwise(reversed(sizes[1:])))
        self.heads = nn.ModuleDict({name: nn.Conv2d(width, 1, 1) for name in ("seg", "depth")})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        kept: list[Tensor] = []
        for block in self.down:
            x = block(x if not kept else F.max_pool2d(x, 2))
            kept.append(x)
        for block, beside in zip(self.up, reversed(kept[:-1]), strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0), beside], 1))
        return {"features": x, **{name: head(x) for name, head in self.heads.items()}}


def _block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.ReLU(),
    )


Step = Callable[[], None]


def _training(backward: Callable[[dict[str, Tensor], dict[str, Tensor], nn.Module], None]) -> Step:
    """A step of training on one batch: 8 images of 64 by 64 pixels."""
    torch.manual_seed(0)
    net, x = UNet(), torch.randn(8, 1, 64, 64)
    target = {"seg": (torch.rand(8, 1, 64, 64) > 0.99).float(), "depth": torch.randn(8, 1, 64, 64)}
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        backward(net(x), target, net)
        optimizer.step()

    return step


def _of_program(text: str) -> Step:
    loss = losslang.compile(text)
    return _training(lambda pred, target, _: loss(pred, target).backward())


def _of_torchjd() -> dict[str, Step]:
    """Jacobian descent to equal projections, on the same losses by hand; nothing where it is not installed."""
    try:
        from torchjd.aggregation import IMTLG  # pyright: ignore[reportMissingImports]
        from torchjd.autojac import jac_to_grad, mtl_backward  # pyright: ignore[reportMissingImports]
    except ImportError:
        return {}
    aggregator = IMTLG()

    def backward(pred: dict[str, Tensor], target: dict[str, Tensor], net: nn.Module) -> None:
        assert isinstance(net, UNet)
        losses = list(_by_hand(pred, target))
        tasks = [
            net.heads["seg"].parameters(),
            net.heads["seg"].parameters(),
            net.heads["depth"].parameters(),
        ]
        shared = [*net.down.parameters(), *net.up.parameters()]
        mtl_backward(
            losses, features=pred["features"], tasks_params=tasks, shared_params=shared, retain_graph=True
        )
        jac_to_grad(shared, aggregator)

    return {"TorchJD IMTLG": _training(backward)}


def _by_hand(pred: dict[str, Tensor], target: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    probs, true = torch.sigmoid(pred["seg"]), target["seg"]
    both = 2 * (probs * true).sum((2, 3)) + 1e-5
    dice = 1 - both / (probs.sum((2, 3)) + true.sum((2, 3)) + 1e-5)
    bce = F.binary_cross_entropy_with_logits(pred["seg"], true)
    return bce, dice.mean(), F.l1_loss(pred["depth"], target["depth"])


def measured(steps: Mapping[str, Step], rounds: int) -> dict[str, float]:
    """The median over the rounds of the time of each side, over that of the first in the same round."""
    for step in steps.values():
        for _ in range(3):
            step()
    ratios: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        times: dict[str, float] = {}
        for name, step in steps.items():
            start = perf_counter()
            for _ in range(3):
                step()
            times[name] = perf_counter() - start
        first = next(iter(times.values()))
        for name, time in times.items():
            ratios[name].append(time / first)
    return {name: median(found) for name, found in ratios.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    sides = {name: _of_program(text) for name, text in SIDES.items()} | _of_torchjd()
    print(", ".join(f"{name} {value}" for name, value in described("cpu").items()))
    print("\n| weights | a step, the plain sum = 1 |\n|---|---|")
    for name, ratio in measured(sides, rounds).items():
        print(f"| {name} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
