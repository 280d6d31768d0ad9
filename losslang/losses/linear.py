"""The cross entropy of a last layer, from what the layer reads: its logits are never all there."""

from __future__ import annotations

import math
from functools import partial

from losslang.primitives.decorators import loss
from losslang.tensors.lazy import torch, traces
from losslang.vocabulary import Dynamic, Float, Fraction, Head, Int, Positive, Tensor


@loss(
    aliases=("fused_linear_cross_entropy",),
    paper="Wijmans, Huval, Hertzberg, Koltun, Krähenbühl 2024, arXiv:2411.09009",
    activation="identity",
    ignore_index=-100,
    range=(0, math.inf),
)
def linear_ce(
    hidden: Float[Tensor, "*b d"],
    indices: Int[Tensor, "*b"],
    head: Float[Head, "c d"],
    counted: Float[Tensor, "*b"] | None,
    *,
    label_smoothing: Dynamic[Fraction] = 0.0,
    softcap: Dynamic[Positive | None] = None,
) -> Float[Tensor, "*b"]:
    """-Σ_c t_c log softmax(W x + b)_c, with t smoothed to (1 - ε) t + ε / C: the last layer and `ce` in one.

    `linear_ce(head=const.head)` with `compile(text, const={"head": model.lm_head})`: an nn.Linear, or
    its weight (C, D). Some rows at a time, with the gradient made beside the value, as Liger-Kernel
    and cut-cross-entropy do: no tensor of (rows, C) exists, and rows that do not count cost nothing.
    Of up to a million logits, and traced by torch.compile, torch.export or torch.func, it is the plain
    formula, with all logits.
    `softcap` makes the logits c tanh(z / c), as Gemma 2 does.
    """
    from losslang.tensors.linear_cross_entropy import cross_entropy

    entropy = partial(cross_entropy, smoothing=label_smoothing, softcap=softcap)
    if hidden.ndim == 2 and counted is None:
        return entropy(hidden, *head, indices, whole=hidden.is_meta or traces())
    rows, truth = hidden.reshape(-1, hidden.shape[-1]), indices.reshape(-1)
    if hidden.is_meta or traces():
        return entropy(rows, *head, truth, whole=True).reshape(indices.shape)
    kept = None if counted is None else counted.reshape(-1).nonzero().squeeze(1)
    if kept is None or len(kept) == len(rows):
        return entropy(rows, *head, truth, whole=False).reshape(indices.shape)
    some = entropy(rows.index_select(0, kept), *head, truth[kept], whole=False)
    return torch.zeros_like(truth, dtype=some.dtype).index_copy(0, kept, some).reshape(indices.shape)
