"""Chunks of rows of a linear layer: their cross entropy, and the gradients of hidden states, weight and bias.

The logits of a chunk become its values and then, in the same buffer, the gradient of the logits: the softmax
minus the target. The gradients are those for a `grad_output` of 1, or of the one that is handed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from losslang.tensors.options import Option, is_number, may_count

CHUNK = 8 * 2**20
"""Bytes of the logits of a chunk: few beside those of all rows, and enough work for each operation."""
PIECE = 2**20
"""Elements of a chunk whose softmax is made at a time: all of a chunk in bfloat16 take a tenth longer."""
FEW, FEW_HALF = 128, 512
"""Rows of a chunk at least: with fewer, reading a large weight takes longer than multiplying by it; in half
precision, where a product takes half the time and is added to a sum of a wider type, that holds of more.

Of 32768 classes, one thread, float32: 64 rows take 1.2 times the time of 128, 256 rows 0.95 of it and twice
the memory; in bfloat16 256 rows take 1.1 times the time of 512.
"""


class How(NamedTuple):
    """The options of the loss, and the type in which the products are made."""

    smoothing: Option
    softcap: Option | None
    kind: torch.dtype

    @property
    def is_learned(self) -> bool:
        """Whether an option asks for a gradient: chunks make none for it."""
        options = (self.smoothing, self.softcap)
        return any(isinstance(option, Tensor) and option.requires_grad for option in options)


class Gradients(NamedTuple):
    """The gradients of hidden states, weight and bias; None where none is needed."""

    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    def scale(self, grad_output: Tensor) -> None:
        """Multiplies in place: each row by its own `grad_output`, weight and bias by the one of all rows."""
        if self.hidden is not None:
            self.hidden.mul_(grad_output.unsqueeze(1))
        for gradient in (self.weight, self.bias):
            if gradient is not None:
                # A sum over the first row alone: 0 where there is no row, which `grad_output[0]` would refuse.
                gradient.mul_(grad_output[:1].sum())


def by_chunks(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    truth: Tensor,
    how: How,
    needed: Sequence[bool],
    grad_output: Tensor | None = None,
) -> tuple[Tensor, Gradients]:
    """Returns values and gradients: products in `how.kind`, softmax and sums in float32 at least.

    Without `grad_output` the gradients are those for a `grad_output` of 1.
    """
    kind, wide = how.kind, torch.promote_types(how.kind, torch.float32)
    number, classes = len(hidden), len(weight)
    layer, shift = weight.to(kind), None if bias is None else bias.to(kind)
    values = hidden.new_empty(number, dtype=wide)
    # More than CHUNK only for a weight that is larger than these rows of logits.
    enough = max(
        CHUNK // max(1, classes * kind.itemsize), min(FEW if kind == wide else FEW_HALF, hidden.shape[1])
    )
    rows = max(1, min(number, enough))
    # Sums of one chunk alone need no wider type, if they cannot leave the range of their own.
    of_sums = kind if number <= rows and kind == torch.bfloat16 else wide
    # The first chunk writes the gradient of the weight, the others add to it.
    start_of = weight.new_empty if number else weight.new_zeros
    gradients = Gradients(
        hidden.new_empty(hidden.shape, dtype=kind) if needed[0] else None,
        start_of(weight.shape, dtype=of_sums) if needed[1] else None,
        weight.new_zeros(classes, dtype=wide) if needed[2] else None,
    )
    scratch = weight.new_empty(weight.shape, dtype=kind) if needed[1] and of_sums != kind else None
    buffer = hidden.new_empty((rows, classes), dtype=kind)
    for start in range(0, number, rows):
        chunk = slice(start, start + rows)
        x, y = hidden[chunk].to(kind), truth[chunk].unsqueeze(1)
        logits = _logits(x, layer, shift, buffer[: len(x)])
        factor = None if grad_output is None else grad_output[chunk].unsqueeze(1)
        true = _turn(logits, y, how, values[chunk], gradients.bias, factor, learns=any(needed))
        if any(needed):
            _add_chunk(gradients, chunk, logits, x, layer, scratch)
        if true is not None:
            _add_true(gradients, chunk, true, y.squeeze(1), x, layer)
    return values, gradients


def _turn(
    logits: Tensor,
    truth: Tensor,
    how: How,
    values: Tensor,
    bias: Tensor | None,
    factor: Tensor | None,
    *,
    learns: bool,
) -> Tensor | None:
    """Writes the values of a chunk, and turns its logits into their gradient, in place; adds that to `bias`.

    Returns what the gradient leaves out, for each row, of the true class: it is a thousand times as large as
    the other classes, whose products lose digits as soon as it is added to them. In half precision that is
    less than what a product loses of a probability near 1, and on a GPU chance would order the rows.
    """
    less = how.smoothing - 1
    share = (
        values.new_full(truth.shape, less) if is_number(less) else less.to(values.dtype).expand(truth.shape)
    )
    apart = learns and how.kind == values.dtype and how.softcap is None and logits.device.type == "cpu"
    for start in range(0, len(logits), step := max(1, PIECE // logits.shape[1])):
        rows = slice(start, start + step)
        z, y = logits[rows].to(values.dtype), truth[rows]
        slope = None if how.softcap is None else _cap(z, how.softcap)
        values[rows] = _softmax(z, y, how.smoothing)
        if not learns:
            continue
        if not apart:
            z.scatter_add_(1, y, share[rows])
        if may_count(how.smoothing):
            z.sub_(how.smoothing / z.shape[1])
        for each in (slope, None if factor is None else factor[rows]):
            if each is not None:
                z.mul_(each)
        if bias is not None:
            bias.add_(z.sum(0))
        if z.dtype != logits.dtype:
            logits[rows] = z
    if not apart:
        return None
    return share if factor is None else share * factor


def _add_chunk(
    gradients: Gradients, chunk: slice, dz: Tensor, x: Tensor, layer: Tensor, scratch: Tensor | None
) -> None:
    """Writes the gradient of a chunk's hidden states, and adds the chunk to that of the weight."""
    if gradients.hidden is not None:
        torch.mm(dz, layer, out=gradients.hidden[chunk])
    if gradients.weight is not None:
        _add_product(gradients.weight, dz, x, scratch, first=chunk.start == 0)


def _add_true(
    gradients: Gradients, chunk: slice, share: Tensor, truth: Tensor, x: Tensor, layer: Tensor
) -> None:
    """Adds the part of the true class of each row."""
    if gradients.bias is not None:
        gradients.bias.index_add_(0, truth, share.squeeze(1))
    if gradients.hidden is not None:
        gradients.hidden[chunk].addcmul_(layer.index_select(0, truth), share)
    if gradients.weight is not None:
        gradients.weight.index_add_(0, truth, x * share)


def _logits(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    """Writes x W^T + b to `out`."""
    if bias is None:
        return torch.mm(x, weight.t(), out=out)
    return torch.addmm(bias, x, weight.t(), out=out)


def _cap(z: Tensor, bound: Option) -> Tensor:
    """Replaces z by c tanh(z / c), and returns the derivative of that."""
    slope = 1 - z.div_(bound).tanh_().square()
    z.mul_(bound)
    return slope


def _softmax(z: Tensor, truth: Tensor, smoothing: Option) -> Tensor:
    """Returns the cross entropy of each row; turns the logits into their softmax, in place."""
    z.sub_(z.amax(1, keepdim=True))
    values = z.gather(1, truth)
    if may_count(smoothing):
        evenly = z.mean(1, keepdim=True)
        values.lerp_(evenly, smoothing if is_number(smoothing) else smoothing.to(values.dtype))
    total = z.exp_().sum(1, keepdim=True)
    z.div_(total)
    return total.log_().sub_(values).squeeze(1)


def _add_product(total: Tensor, dz: Tensor, x: Tensor, scratch: Tensor | None, *, first: bool) -> None:
    """Computes total += dz^T x; the first product overwrites `total`. `scratch` has the narrower type of `dz`."""
    if scratch is None:
        total.addmm_(dz.t(), x, beta=0 if first else 1)
        return
    # float16 ends at 65504: a sum over the rows may exceed that, their mean does not.
    number = len(x) if dz.dtype == torch.float16 else 1
    torch.mm(dz.t(), x if number == 1 else x / number, out=scratch)
    if first:
        total.zero_()
    total.add_(scratch, alpha=number)
