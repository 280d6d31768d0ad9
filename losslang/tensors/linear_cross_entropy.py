"""Cross entropy of a linear layer, by chunks of rows: the tensor of all logits never exists.

The logits of a chunk become its values and then, in the same buffer, the gradient of the logits: the softmax
minus the target. `grad_output` is not known in forward, but it only scales rows. So the gradients of weight
and bias are summed for a `grad_output` of 1, and backward multiplies them if it is one number for all rows,
as after a mean or a sum. Otherwise backward runs the chunks once more.

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
from losslang.tensors.options import Option, is_number, may_count

SMALL = 2**20
"""Up to so many logits all are made at once: torch's kernels are faster there, and the memory is small.

Measured on two cores: from 2^21 on chunks take no longer, and from 2^22 on a tenth less.
"""
CHUNK = 32 * 2**20
"""Bytes of the logits of a chunk: few beside those of all rows, and enough work for each operation."""
PIECE = 2**20
"""Elements of a chunk whose softmax is made at a time: torch's kernel needs as much memory again."""
FEW = 256
"""Rows of a chunk at least: with fewer, reading a large weight takes longer than multiplying by it."""


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


def cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    truth: Tensor,
    *,
    smoothing: Option,
    softcap: Option | None,
    whole: bool,
) -> Tensor:
    """Returns the cross entropy (N,) of every row of `hidden` (N, D), in float32 at least.

    `whole` computes all logits by plain operations, for tracing, which cannot record chunks. Few logits are
    computed so too, unless they are in half precision: the sums of chunks are in float32, and more exact.
    """
    how = How(smoothing, softcap, torch.promote_types(hidden.dtype, weight.dtype))
    if whole or how.is_learned:
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
    smoothing: Any = how.smoothing
    written = smoothing if is_number(smoothing) else 0.0
    values = F.cross_entropy(
        logits, truth, reduction="none", ignore_index=NO_IGNORED_LABEL, label_smoothing=written
    )
    if not isinstance(smoothing, Tensor):
        return values
    return torch.lerp(values, -torch.log_softmax(logits, 1).mean(1), smoothing.to(values.dtype))


class _Chunked(torch.autograd.Function):
    """Computes values and, already in forward, the gradients for a `grad_output` of 1."""

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
        values, ctx.gradients = _by_chunks(hidden, weight, bias, truth, how, needed)
        return values

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        hidden, weight, bias, truth = ctx.saved_tensors
        needed: tuple[bool, ...] = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled() or is_batched_grad(grad_output):
            # create_graph=True differentiates the gradient once more; a batched grad_output allows no in-place write.
            return (
                *_differentiable(hidden, weight, bias, truth, needed, ctx.how, grad_output),
                None,
                None,
                None,
            )
        of_layer = (False, *needed[1:])
        even = not any(of_layer) or _is_even(grad_output)
        found: Gradients | None = ctx.gradients
        # The caller owns what is returned and may write to it: a second backward computes the gradients again.
        ctx.gradients = None
        if found is None:
            made = needed if even else (needed[0], False, False)
            _, found = _by_chunks(hidden, weight, bias, truth, ctx.how, made)
        if even:
            found.scale(grad_output)
        else:
            rows = found._replace(weight=None, bias=None)
            del found  # frees the sums for a grad_output of 1 before those for the real one are made
            rows.scale(grad_output)
            _, sums = _by_chunks(hidden, weight, bias, truth, ctx.how, of_layer, grad_output)
            found = sums._replace(hidden=rows.hidden)
        each = zip(found, (hidden, weight, bias), strict=True)
        typed = [None if gradient is None else gradient.to(like.dtype) for gradient, like in each]
        return (*typed, None, None, None)


def _is_even(grad_output: Tensor) -> bool:
    """True if `grad_output` is one number for all rows.

    After a mean or a sum it is expanded, with strides of 0.
    """
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
    """Returns the gradients of the plain formula by autograd, with a graph for a second derivative."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views cut the graph above: an input computed from another one would pass its gradient on to it twice.
        each = zip((hidden, weight, bias), needed, strict=True)
        inputs = [x.view_as(x) if needs and x is not None else x for x, needs in each]
        wanted = [x for x, needs in zip(inputs, needed, strict=True) if needs and x is not None]
        first, layer, shift = inputs
        assert first is not None
        assert layer is not None
        values = _plain(first, layer, shift, truth, how)
    found = iter(torch.autograd.grad(values, wanted, grad_output, create_graph=again))
    return [next(found) if needs else None for needs in needed]


def _by_chunks(
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
    # The first chunk writes the gradient of the weight, the others add to it.
    start_of = weight.new_empty if number else weight.new_zeros
    gradients = Gradients(
        hidden.new_empty(hidden.shape, dtype=kind) if needed[0] else None,
        start_of(weight.shape, dtype=wide) if needed[1] else None,
        weight.new_zeros(classes, dtype=wide) if needed[2] else None,
    )
    # More than CHUNK only for a weight that is larger than these rows of logits.
    enough = max(CHUNK // max(1, classes * wide.itemsize), min(FEW, hidden.shape[1]))
    rows = max(1, min(number, enough))
    buffer = hidden.new_empty((rows, classes), dtype=wide)
    for start in range(0, number, rows):
        chunk = slice(start, start + rows)
        x, y = hidden[chunk].to(kind), truth[chunk].unsqueeze(1)
        z = _logits(x, layer, shift, buffer[: len(x)])
        slope = None if how.softcap is None else _cap(z, how.softcap)
        probs, values[chunk] = _softmax(z, y, how.smoothing)
        if any(needed):
            dz = _logit_gradient(probs, y, how, slope)
            if grad_output is not None:
                dz.mul_(grad_output[chunk].unsqueeze(1))
            _add_chunk(gradients, chunk, dz, x, layer)
    return values, gradients


def _logit_gradient(probs: Tensor, truth: Tensor, how: How, slope: Tensor | None) -> Tensor:
    """Turns a softmax into the gradient of the logits, in place: minus target, times the softcap's slope."""
    less = how.smoothing - 1
    share = probs.new_full(truth.shape, less) if is_number(less) else less.to(probs.dtype).expand(truth.shape)
    probs.scatter_add_(1, truth, share)
    if may_count(how.smoothing):
        probs.sub_(how.smoothing / probs.shape[1])
    return probs if slope is None else probs.mul_(slope)


def _add_chunk(gradients: Gradients, chunk: slice, dz: Tensor, x: Tensor, layer: Tensor) -> None:
    """Writes the gradient of a chunk's hidden states, and adds the chunk to those of weight and bias."""
    if gradients.bias is not None:
        gradients.bias.add_(dz.sum(0))
    narrow = dz.to(x.dtype)
    if gradients.hidden is not None:
        torch.mm(narrow, layer, out=gradients.hidden[chunk])
    if gradients.weight is not None:
        _add_product(gradients.weight, narrow, x, first=chunk.start == 0)


def _logits(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    """Writes x W^T + b to `out`, whose type may be wider than that of the product."""
    if out.dtype != x.dtype:
        return out.copy_(F.linear(x, weight, bias))
    if bias is None:
        return torch.mm(x, weight.t(), out=out)
    return torch.addmm(bias, x, weight.t(), out=out)


def _cap(z: Tensor, bound: Option) -> Tensor:
    """Replaces z by c tanh(z / c), and returns the derivative of that."""
    slope = 1 - z.div_(bound).tanh_().square()
    z.mul_(bound)
    return slope


def _softmax(z: Tensor, truth: Tensor, smoothing: Option) -> tuple[Tensor, Tensor]:
    """Returns the softmax of logits and the cross entropy of each row; overwrites the logits.

    torch's softmax is twice as fast as its exp, but allocates its result: many logits are done a few rows at
    a time, and copied back.
    """
    most = z.amax(1, keepdim=True)
    values = most - z.gather(1, truth)
    if may_count(smoothing):
        evenly = most - z.mean(1, keepdim=True)
        values.lerp_(evenly, smoothing if is_number(smoothing) else smoothing.to(values.dtype))
    if z.numel() <= PIECE:
        z = torch.softmax(z, 1)
    else:
        for rows in cast("tuple[Tensor, ...]", z.split(max(1, PIECE // z.shape[1]))):  # pyright: ignore
            rows.copy_(torch.softmax(rows, 1))
    # The largest of a row is e^0 over the sum.
    return z, values.sub_(z.amax(1, keepdim=True).log_()).squeeze(1)


def _add_product(total: Tensor, dz: Tensor, x: Tensor, *, first: bool) -> None:
    """Computes total += dz^T x; the first product overwrites `total`."""
    if total.dtype == dz.dtype:
        total.addmm_(dz.t(), x, beta=0 if first else 1)
        return
    if first:
        total.zero_()
    # float16 ends at 65504: a sum over the rows may exceed that, their mean does not.
    total.add_(dz.t() @ (x / len(x)), alpha=len(x))
