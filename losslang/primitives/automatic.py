"""Automatic weights: combinators whose weights follow from the values, or the gradients, of their losses.

Each is a function of what a call in training measures and what is kept of the calls before. It gives what is
kept next; the first row of that are the weights in force. Nothing in it waits for a GPU.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import Field

from losslang.primitives.combinators import combinator
from losslang.tensors.devices import vector
from losslang.tensors.lazy import torch
from losslang.vocabulary import Fraction, NonNegative, Positive, Tensor

COUNTS = 2**23
"""Calls after which a count starts over: single precision counts no further than twice that."""
Shares = Annotated[list[Positive], Field(min_length=2)]


class Measured(NamedTuple):
    """What a call measures of n losses: values (n,), the lengths of their gradients (n,), and the epoch."""

    values: Tensor
    norms: Tensor
    epoch: Any
    """A number in an eager call on a CPU, and a 0-d tensor elsewhere."""


class Kept(NamedTuple):
    """What is kept from call to call: rows (r, n), of which the first are the weights, and numbers (k,)."""

    rows: Tensor
    numbers: Tensor


@combinator(
    measures="values",
    rows=4,
    numbers=3,
    clock="epoch",
    paper="Liu et al. 2019, End-to-End Multi-Task Learning with Attention, arXiv:1803.10704, eq. 7",
)
def dwa(measured: Measured, kept: Kept, *, temperature: Positive = 2.0) -> Kept:
    """n softmax(r / T)_i of the n losses, r_i = L_i(t-1) / L_i(t-2) by the means of the last two epochs.

    What falls more slowly than the others weighs more. In the first two epochs all weights are 1. The epoch
    is that of the clock: `loss.set_clock(epoch=...)` or `loss.tick("epoch")` at its end.
    """
    _, mean, last, before = kept.rows
    count, epoch, ended = kept.numbers
    is_new = (measured.epoch != epoch) & (count > 0)
    last, before = torch.where(is_new, mean, last), torch.where(is_new, last, before)
    ended = torch.where(is_new, ended + 1, ended)
    count = torch.where(is_new, torch.zeros_like(count), count)
    rates = torch.where(before != 0, last / before, torch.ones_like(before))
    found = len(mean) * torch.softmax(rates / temperature, 0)
    weights = torch.where(ended >= 2, found, torch.ones_like(found))
    count = count + 1
    mean = torch.where(count > 1, mean + (measured.values - mean) / count, measured.values)
    ended = ended.clamp(max=2)
    now = torch.zeros_like(epoch) + measured.epoch
    return Kept(torch.stack([weights, mean, last, before]), torch.stack([count, now, ended]))


@combinator(
    measures="gradients",
    rows=3,
    paper="the running mean of Défossez et al. 2022, High Fidelity Neural Audio Compression, arXiv:2210.13438, 3.4",
)
def balance(
    measured: Measured,
    kept: Kept,
    *,
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.7,
    shares: Shares | None = None,
    max: Positive = 1e4,
) -> Kept:
    """s_i Σ g / g_i, g_i the running mean of the length of the gradient of L_i at the prediction.

    Each loss has its share s_i of the gradient, the same for all if no `shares` are written, and the lengths
    add up to what they do in the plain sum. So a weight inside is no share: `balance(2*a, b)` makes the whole
    longer. A call in which a loss has no gradient, as without positives, leaves its mean as it is. No weight
    is larger than `max`. `wrt=pred.features` measures at a tensor that the predictions are computed from.
    """
    _, mean, counted = kept.rows
    moves = measured.norms > 0
    mean = torch.where(moves, momentum * mean + (1 - momentum) * measured.norms, mean)
    counted = torch.where(moves, momentum * counted + (1 - momentum), counted)
    is_known = counted > 0
    norms = torch.where(is_known, mean / counted, torch.zeros_like(mean))
    wanted = torch.ones_like(mean) if shares is None else vector(shares, mean.dtype, mean.device)
    wanted = torch.where(is_known, wanted, torch.zeros_like(wanted))
    weights = (wanted / wanted.sum() * norms.sum() / norms).clamp(max=max)
    weights = torch.where(is_known, weights, torch.ones_like(weights))
    return Kept(torch.stack([weights, mean, counted]), kept.numbers)


@combinator(
    measures="values",
    rows=3,
    numbers=1,
    paper="Bischof and Kraus 2021, Multi-Objective Loss Balancing for PINNs, arXiv:2110.09813",
)
def relobralo(
    measured: Measured,
    kept: Kept,
    *,
    alpha: Fraction = 0.95,
    beta: Fraction = 0.99,
    temperature: Positive = 1.0,
    seed: Annotated[int, Field(ge=0, lt=2**20)] = 0,
) -> Kept:
    """α (ρ w + (1-ρ) w⁰) + (1-α) w', w' = n softmax(L / (T L')) by the values L' of the call before.

    w⁰ is the same by the values of the first call, and ρ is 1 with the probability β: now and then the
    weights look back to the start. The draws follow from `seed` and the number of calls, which is kept.
    """
    weights, last, first = kept.rows
    (calls,) = kept.numbers
    of_last, of_first = (
        len(last) * torch.softmax(measured.values / (temperature * before + 1e-8), 0)
        for before in (last, first)
    )
    stays = (_drawn(calls, seed) < beta).to(weights.dtype)
    found = alpha * (stays * weights + (1 - stays) * of_first) + (1 - alpha) * of_last
    weights = torch.where(calls > 0, found, weights)
    first = torch.where(calls > 0, first, measured.values)
    return Kept(torch.stack([weights, measured.values, first]), _next(calls)[None])


@combinator(
    measures="gradients",
    rows=3,
    ones=2,
    numbers=1,
    needs_wrt=True,
    paper="Chen et al. 2018, GradNorm, arXiv:1711.02257, algorithm 1",
)
def gradnorm(measured: Measured, kept: Kept, *, alpha: NonNegative = 1.5, lr: Positive = 0.025) -> Kept:
    """Weights w with the sum n, moved so that w_i g_i comes to mean(w g) r_i^α: all train at one rate.

    g_i is the length of the gradient of L_i at `wrt`, the last tensor that the tasks share: it has to be
    named. r_i = (L_i / L_i(0)) / mean(L / L(0)). A step moves w against the gradient of
    Σ |w_i g_i - mean(w g) r_i^α|, divided by mean(g): `lr` needs no unit.
    """
    _, weights, first = kept.rows
    (calls,) = kept.numbers
    first = torch.where(calls > 0, first, measured.values)
    fallen = torch.where(first != 0, measured.values / first, torch.ones_like(first))
    rates = fallen / fallen.mean()
    lengths = weights * measured.norms
    slope = torch.sign(lengths - lengths.mean() * rates**alpha) * measured.norms
    unit = measured.norms.mean()
    moved = weights - lr * torch.where(unit > 0, slope / unit, torch.zeros_like(slope))
    moved = moved.clamp(min=1e-3)
    return Kept(torch.stack([weights, moved * len(moved) / moved.sum(), first]), _next(calls)[None])


@combinator(
    measures="gradients",
    rows=1,
    gives="weight",
    paper="Esser et al. 2021, Taming Transformers, arXiv:2012.09841, eq. 7",
)
def gradmatch(
    measured: Measured,
    kept: Kept,
    *,
    scale: NonNegative = 1.0,
    eps: Positive = 1e-4,
    max: Positive = 1e4,
) -> Kept:
    """The weight scale g_a / (g_b + eps) up to `max`, with which the gradient of b is as long as that of a.

    g is the length of the gradient in this call at `wrt`, as the weight of the last layer in VQGAN,
    `wrt=batch.last`, or at the predictions if none is written. It multiplies what is to be weighed:
    `a + gradmatch(a, b, wrt=batch.last)*b`.
    """
    of_a, of_b = measured.norms
    weight = (scale * of_a / (of_b + eps)).clamp(0, max)
    return Kept(torch.stack([torch.ones_like(weight), weight])[None], kept.numbers)


def _next(calls: Tensor) -> Tensor:
    """Returns the number of calls after one more; 0 is the first call alone."""
    return calls % COUNTS + 1


def _drawn(calls: Tensor, seed: int) -> Tensor:
    """Returns a number from 0 to 1 that looks drawn, the same for the same count on every device."""
    mixed = (calls.long() + 7919 * seed) * 1103515245 % 2**31
    mixed = (mixed ^ (mixed >> 15)) * 1597334677 % 2**31
    mixed = (mixed ^ (mixed >> 13)) * 1103515245 % 2**31
    return (mixed >> 7).to(calls.dtype) / 2**24
