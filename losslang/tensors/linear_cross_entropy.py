"""Cross entropy of a linear layer, by chunks of rows: the tensor of all logits never exists.

`linear_chunks.py` makes values and gradients at once. `grad_output` is not known in forward, but it only
scales rows. So the gradients of weight and bias are summed for a `grad_output` of 1, and backward multiplies
them if it is one number for all rows, as after a mean or a sum. Otherwise backward runs the chunks once more.

Hsu et al. 2024, Liger Kernel, arXiv:2410.10989; Wijmans et al. 2024, arXiv:2411.09009.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from losslang.tensors.eager import is_batched_grad
from losslang.tensors.lazy import NO_IGNORED_LABEL
from losslang.tensors.linear_chunks import Gradients, How, by_chunks
from losslang.tensors.options import Option, is_number

SMALL = 2**18
"""Up to so many logits all are made at once: fewer operations are faster there, and the memory is small.

Of 2^18 logits chunks take no longer, of 2^16 a quarter longer, with one thread.
"""


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
    computed so too, unless they are float16, which has no room for the gradients of a mean over many rows.
    """
    how = How(smoothing, softcap, torch.promote_types(hidden.dtype, weight.dtype))
    if whole or how.is_learned:
        return _plain(hidden, weight, bias, truth, how)
    device = hidden.device.type
    if how.kind != torch.float64 and torch.is_autocast_enabled(device):
        how = how._replace(kind=torch.get_autocast_dtype(device))
    if how.kind != torch.float16 and len(hidden) * len(weight) <= SMALL:
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
        values, ctx.gradients = by_chunks(hidden, weight, bias, truth, how, needed)
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
            _, found = by_chunks(hidden, weight, bias, truth, ctx.how, made)
        if even:
            found.scale(grad_output)
        else:
            rows = found._replace(weight=None, bias=None)
            del found  # frees the sums for a grad_output of 1 before those for the real one are made
            rows.scale(grad_output)
            _, sums = by_chunks(hidden, weight, bias, truth, ctx.how, of_layer, grad_output)
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
