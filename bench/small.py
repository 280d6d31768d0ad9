"""Eager overhead on small tensors: `0.5*bce(sigmoid) + dice(smooth=1)` against hand-written torch.

Both run in one process, interleaved, and the medians are compared; the absolute times are those of
this machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

import losslang

PROGRAM = "0.5*bce(sigmoid) + dice(smooth=1)"
ROUNDS, CALLS = 60, 100


def by_hand(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    probs = torch.sigmoid(logits)
    space = (2, 3)
    overlap = (probs * target).sum(space)
    dice = 1 - (2 * overlap + 1) / (probs.sum(space) + target.sum(space) + 1)
    return 0.5 * F.binary_cross_entropy_with_logits(logits, target) + dice.mean()


def microseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        run()
    return (time.perf_counter() - start) / CALLS * 1e6


def main() -> None:
    torch.manual_seed(0)
    loss = losslang.compile(PROGRAM)
    logits = torch.randn(32, 1, 16, 16, requires_grad=True)
    target = (torch.rand(32, 1, 16, 16) > 0.5).float()
    torch.testing.assert_close(loss(logits, target), by_hand(logits, target))

    print(f"{PROGRAM} on {tuple(logits.shape)}, eager, {torch.get_num_threads()} threads")
    print(f"{'':<18}{'losslang':>12}{'by hand':>12}{'ratio':>8}")
    rows: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "forward": (lambda: loss(logits, target), lambda: by_hand(logits, target)),
        "forward, backward": (
            lambda: loss(logits, target).backward(),
            lambda: by_hand(logits, target).backward(),
        ),
    }
    for name, (ours, theirs) in rows.items():
        microseconds(ours), microseconds(theirs)
        pairs = [(microseconds(ours), microseconds(theirs)) for _ in range(ROUNDS)]
        mine, hand = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(f"{name:<18}{mine:>9.1f} us{hand:>9.1f} us{mine / hand:>8.2f}")


if __name__ == "__main__":
    main()
