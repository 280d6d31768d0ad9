"""The cross entropy of a linear layer, some rows at a time: no tensor of all logits exists.

A chunk's logits become its values and, in the same buffer, the gradient: the softmax minus the truth.
What flows back into the values is not known yet; it only scales the rows. So the gradient of a
weight is summed as if 1 flowed into every row, and the backward pass multiplies it by what did if
that is one number, as after a mean or a sum. Otherwise it walks over the rows once more.

Hsu et al. 2024, Liger Kernel, arXiv:2410.10989; Wijmans et al. 2024, arXiv:2411.09009.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from losslang.tensors.eager import is_batched_grad
from losslang.tensors.lazy import NO_IGNORED_LABEL

SMALL = 2**20
"""Logits of which all are made at once: torch's kernels are faster then, and the logits are no memory to speak of.

Measured on two cores: from 2^21 on chunks take no longer, and from 2^22 on a tenth less.
"""
CHUNK = 32 * 2**20
"""Bytes of logits at a time: few beside all of them, and enough work for each operation."""
PIECE = 2**20
"""Elements of them whose softmax is made at a time: what it needs beside them."""
FEW = 256
"""With fewer rows at a time a pass over a large weight takes longer than its arithmetic."""


class How(NamedTuple):
    """The options of the loss, and the type in which the products are made."""

    smoothing: float
    softcap: float | None
    kind: torch.dtype


class Gradients(NamedTuple):
    """Those of the hidden states and of the layer; None where none is asked for."""

    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    def scale(self, grad_output: Tensor) -> None:
        """In place: each row by what flows into it, the layer by what flows into all of them."""
        if self.hidden is not None:
            self.hidden.mul_(grad_output.unsqueeze(1))
        for gradient in (self.weight, self.bias):
            if gradient is not None:
                # The sum of the first alone: 0 where there is no row.
                gradient.mul_(grad_output[:1].sum())


def cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    truth: Tensor,
    *,
    smoothing: float,
    softcap: float | None,
    whole: bool,
) -> Tensor:
    """The cross entropy of every row of `hidden` (N, D): (N,), in float32 at least.

    `whole` is the same by plain operations, with all logits: for what cannot look into a chunk. Few logits
    are made so too, if not in half precision, where the sums of a chunk are more exact.
    """
    how = How(smoothing, softcap, torch.promote_types(hidden.dtype, weight.dtype))
    if whole:
        return _plain(hidden, weight, bias, truth, how)
    device = hidden.device.type
    if how.kind != torch.float64 and torch.is_autocast_enabled(device):
        how = how._replace(kind=torch.get_autocast_dtype(device))
    if how.kind.itemsize >= torch.float32.itemsize and len(hidden) * len(weight) <= SMALL:
        return _plain(hidden, weight, bias, truth, how)
    learns = torch.is_grad_enabled()
    return cast("Tensor", _Chunked.apply(hidden, weight, bias, truth, how, learns))  # pyright: ignore


def _plain(hidden: Tensor, weight: Tensor, bias: Tensor | None, truth: Tensor, how: How) -> Tensor:
    kind = how.kind
    given = (hidden, weight, bias)
    # A conversion to the type that a tensor has already takes as long as a small operation.
    logits = F.linear(*[x if x is None or x.dtype == kind else x.to(kind) for x in given])  # pyright: ignore
    if kind.itemsize < torch.float32.itemsize:
        logits = logits.float()
    if how.softcap is not None:
        logits = how.softcap * torch.tanh(logits / how.softcap)
    return F.cross_entropy(
        logits, truth, reduction="none", ignore_index=NO_IGNORED_LABEL, label_smoothing=how.smoothing
    )


class _Chunked(torch.autograd.Function):
    """Values and, with them, their gradients."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        truth: Tensor,
        how: How,
        learns: bool,
    ) -> Tensor:
        ctx.how = how
        ctx.save_for_backward(hidden, weight, bias, truth)
        needed = ctx.needs_input_grad[:3] if learns else (False, False, False)
        values, ctx.gradients = _walk(hidden, weight, bias, truth, how, needed)
        return values

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        hidden, weight, bias, truth = ctx.saved_tensors
        needed: tuple[bool, ...] = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled() or is_batched_grad(grad_output):
            # create_graph=True: what is handed out will be differentiated once more; or several flows at once.
            return (
                *_differentiable(hidden, weight, bias, truth, needed, ctx.how, grad_output),
                None,
                None,
                None,
            )
        of_layer = (False, *needed[1:])
        even = not any(of_layer) or _is_even(grad_output)
        found: Gradients | None = ctx.gradients
        # What is handed out belongs to the caller: a second backward pass starts afresh.
        ctx.gradients = None
        if found is None:
            made = needed if even else (needed[0], False, False)
            _, found = _walk(hidden, weight, bias, truth, ctx.how, made)
        if even:
            found.scale(grad_output)
        else:
            rows = found._replace(weight=None, bias=None)
            del found  # the sums as if 1 flowed, before the right ones are made
            rows.scale(grad_output)
            _, sums = _walk(hidden, weight, bias, truth, ctx.how, of_layer, grad_output)
            found = sums._replace(hidden=rows.hidden)
        each = zip(found, (hidden, weight, bias), strict=True)
        typed = [None if gradient is None else gradient.to(like.dtype) for gradient, like in each]
        return (*typed, None, None, None)


def _is_even(grad_output: Tensor) -> bool:
    """Whether one number flows into every row; that of a mean or a sum is one number already, expanded."""
    return not any(grad_output.stride()) or bool((grad_output == grad_output[:1]).all())


def _differentiable(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    truth: Tensor,
    needed: Sequence[bool],
    how: How,
    grad_output: Tensor,
) -> list[Tensor | None]:
    """The gradients by the plain formula, as results that can be differentiated where that is asked for."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # Each input stands for itself: one that is made of another must not send its gradient there a second time.
        each = zip((hidden, weight, bias), needed, strict=True)
        inputs = [x.view_as(x) if needs and x is not None else x for x, needs in each]
        wanted = [x for x, needs in zip(inputs, needed, strict=True) if needs and x is not None]
        first, layer, shift = inputs
        assert first is not None
        assert layer is not None
        values = _plain(first, layer, shift, truth, how)
    found = iter(torch.autograd.grad(values, wanted, grad_output, create_graph=again))
    return [next(found) if needs else None for needs in needed]


def _walk(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    truth: Tensor,
    how: How,
    needed: Sequence[bool],
    grad_output: Tensor | None = None,
) -> tuple[Tensor, Gradients]:
    """Values and gradients, chunk by chunk: products in `how.kind`, softmax and sums in float32 at least.

    `grad_output` is what flows back into each row; without it 1 does.
    """
    kind, wide = how.kind, torch.promote_types(how.kind, torch.float32)
    number, classes = len(hidden), len(weight)
    layer, shift = weight.to(kind), None if bias is None else bias.to(kind)
    values = hidden.new_empty(number, dtype=wide)
    of_hidden = hidden.new_empty(hidden.shape, dtype=kind) if needed[0] else None
    # The first chunk writes the sums, the others add to them.
    start_of = weight.new_empty if number else weight.new_zeros
    of_weight = start_of(weight.shape, dtype=wide) if needed[1] else None
    of_bias = weight.new_zeros(classes, dtype=wide) if needed[2] else None
    # More than CHUNK only for a weight that is larger than these rows of logits.
    enough = max(CHUNK // max(1, classes * wide.itemsize), min(FEW, hidden.shape[1]))
    rows = max(1, min(number, enough))
    buffer = hidden.new_empty((rows, classes), dtype=wide)
    for start in range(0, number, rows):
        part = slice(start, start + rows)
        x, y = hidden[part].to(kind), truth[part].unsqueeze(1)
        z = _logits(x, layer, shift, buffer[: len(x)])
        slope = None if how.softcap is None else _cap(z, how.softcap)
        z, values[part] = _softmax(z, y, how.smoothing)
        if not any(needed):
            continue
        # The softmax minus the truth is the gradient of the logits.
        z.scatter_add_(1, y, z.new_full(y.shape, how.smoothing - 1))
        if how.smoothing:
            z.sub_(how.smoothing / classes)
        if slope is not None:
            z.mul_(slope)
        if grad_output is not None:
            z.mul_(grad_output[part].unsqueeze(1))
        if of_bias is not None:
            of_bias.add_(z.sum(0))
        narrow = z.to(kind)
        if of_hidden is not None:
            torch.mm(narrow, layer, out=of_hidden[part])
        if of_weight is not None:
            _add_product(of_weight, narrow, x, first=start == 0)
    return values, Gradients(of_hidden, of_weight, of_bias)


def _logits(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    """x W^T + b in `out`, which may be wider than the product is made."""
    if out.dtype != x.dtype:
        return out.copy_(F.linear(x, weight, bias))
    if bias is None:
        return torch.mm(x, weight.t(), out=out)
    return torch.addmm(bias, x, weight.t(), out=out)


def _cap(z: Tensor, bound: float) -> Tensor:
    """Makes z into c tanh(z / c), in place, and returns the derivative."""
    slope = 1 - z.div_(bound).tanh_().square()
    z.mul_(bound)
    return slope


def _softmax(z: Tensor, truth: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """The softmax of logits and the cross entropy of each row; the logits are gone.

    torch's kernel is twice as fast as its exp, and makes a tensor of its own: of many logits a few rows at a
    time, copied back.
    """
    most = z.amax(1, keepdim=True)
    values = most - z.gather(1, truth)
    if smoothing:
        values.lerp_(most - z.mean(1, keepdim=True), smoothing)
    if z.numel() <= PIECE:
        z = torch.softmax(z, 1)
    else:
        for rows in cast("tuple[Tensor, ...]", z.split(max(1, PIECE // z.shape[1]))):  # pyright: ignore
            rows.copy_(torch.softmax(rows, 1))
    # The largest of a row is e^0 over the sum.
    return z, values.sub_(z.amax(1, keepdim=True).log_()).squeeze(1)


def _add_product(total: Tensor, dz: Tensor, x: Tensor, *, first: bool) -> None:
    """total += dz^T x; the first product is written over what is there."""
    if total.dtype == dz.dtype:
        total.addmm_(dz.t(), x, beta=0 if first else 1)
        return
    if first:
        total.zero_()
    # float16 ends at 65504, which a sum over the rows may reach and their mean does not.
    total.add_(dz.t() @ (x / len(x)), alpha=len(x))
