"""Cross-entropies: what the truth costs under the probabilities of a prediction, in nats.

Shapes: logits and probabilities are (B, C, *S). `labels` are indices (B, *S) or a distribution
(B, C, *S); dense targets are like the prediction.
"""

from __future__ import annotations

import math
from typing import Any

from losslang.primitives.cross_entropy import cross_entropy, labels_outside, reduced_over
from losslang.primitives.decorators import loss
from losslang.primitives.entropy import binary_entropy, pick, times_log
from losslang.primitives.presets import CLIPPED, SUM_OF_MEANS, Preset
from losslang.tensors.byte_masks import cleared
from losslang.tensors.devices import can_read_without_sync
from losslang.tensors.lazy import NO_IGNORED_LABEL, REDUCTIONS, kernels, torch
from losslang.tensors.numerics import mean_along
from losslang.tensors.options import Option, is_number, may_count
from losslang.vocabulary import Dynamic, Float, Fraction, Int, Tensor


@loss(
    aliases=(
        "cross_entropy",
        "softmax_cross_entropy",
        "categorical_crossentropy",
        "softmax_ce = ce(softmax)",
        "soft_cross_entropy",
    ),
    activation="softmax",
    ignore_index=-100,
    range=(0, float("inf")),
    zero_when="perfect",
    like={
        "torch": Preset(
            activations=("softmax",), takes="label_smoothing ignore_index class_weight reduction"
        ),
        "nnunet": Preset(
            activations=("softmax",),
            truth="indices",
            takes="label_smoothing ignore_index class_weight reduction",
        ),
        "optax": Preset(activations=("softmax",), takes="reduction"),
        "toolbelt": Preset(
            "reduction=mean_all",
            activations=("softmax",),
            truth="indices",
            takes="label_smoothing ignore_index reduction",
        ),
        "mmdet": Preset(
            "reduction=mean_all",
            activations=("softmax",),
            truth="indices",
            takes="ignore_index class_weight reduction",
        ),
        "mmseg": Preset(
            "reduction=wmean_all",
            activations=("softmax",),
            truth="indices",
            refuses={
                "class_weight ignore_index": "mmseg looks up the weight of the ignored label, and fails"
            },
            takes="ignore_index class_weight reduction",
        ),
        "smp": Preset(
            "reduction=mean_all",
            activations=("softmax",),
            truth="indices",
            takes="label_smoothing ignore_index reduction",
        ),
        "timm": Preset(
            "label_smoothing=0.1",
            activations=("softmax",),
            truth="indices",
            ranks=(2,),
            takes="label_smoothing",
        ),
        "keras": Preset(
            "identity",
            activations=("identity", "softmax"),
            note=CLIPPED,
            several=True,
            distribution=True,
            takes="label_smoothing ignore_index reduction",
        ),
        "sklearn": Preset("identity", ranks=(2,), truth="indices", several=True),
    },
)
def ce(
    log_probs: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *space"],
    class_weight: Float[Tensor, "c"] | None,
    *,
    label_smoothing: Dynamic[Fraction] = 0.0,
) -> Float[Tensor, "b *space"]:
    """-Σ_c w_c t_c log p_c, with t smoothed to (1 - ε) t + ε / C.

    `label_smoothing` is ε, as in Szegedy et al. 2016, arXiv:1512.00567. With `class_weight` the mean
    divides by the sum of the weights of the labels, and of soft or one-hot labels by their number, as torch
    does: two numbers for one truth, 0.69 and 2.08 for a weight of 3. An ignored label is not counted: in
    mmdet, mmseg and pytorch-toolbelt it is, and with half of the labels ignored they give half. keras
    reads probabilities and holds them in [1e-7, 1 - 1e-7]: a wrong certainty costs 16.1, and 100 here.

    Source: the negative log-likelihood of a categorical variable; torch's `cross_entropy`.
    """
    weighted = log_probs if class_weight is None else log_probs * _along_classes(class_weight, log_probs)
    spread = label_smoothing * mean_along(weighted, 1) if may_count(label_smoothing) else 0.0
    return -(1 - label_smoothing) * pick(weighted, labels) - spread


@ce.kernel("softmax")
def ce_of_logits(
    logits: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *space"],
    class_weight: Float[Tensor, "c"] | None,
    mask: Int[Tensor, "b *space"] | None = None,
    *,
    label_smoothing: Dynamic[Fraction] = 0.0,
    reduction: str = "none",
    ignore_index: int | None = None,
) -> Float[Tensor, "b *space"]:
    """`ce` by torch's kernel for indices; soft labels take the formula, since torch's 0 log 0 is NaN."""
    is_soft = labels.ndim == logits.ndim
    is_moved = (class_weight is not None and class_weight.requires_grad) or not is_number(label_smoothing)
    if not (is_soft or is_moved or torch.compiler.is_exporting()):
        return cross_entropy(logits, labels, class_weight, label_smoothing, reduction, ignore_index, mask)
    # torch's kernel has no gradient into weights, smooths by a number alone, and not in ONNX.
    if ignore_index is not None and not is_soft:
        kept = labels != ignore_index
        mask = kept if mask is None else mask & kept
    if mask is not None:
        shown = mask.unsqueeze(1)
        logits, labels = cleared(logits, shown), cleared(labels, shown if is_soft else mask)
    truth = labels.to(logits.dtype) if is_soft else labels
    log_probs = torch.log_softmax(logits, 1)
    values = ce.function(log_probs, truth, class_weight, label_smoothing=label_smoothing)
    values = values if mask is None else cleared(values, mask)
    return reduced_over(values, labels, class_weight, mask, reduction)


@loss(
    aliases=("nll_loss",),
    activation="exp",
    given="log_probs",
    ignore_index=-100,
    range=(0, float("inf")),
    zero_when="perfect",
    like={"torch": Preset("reduction=wmean", takes="ignore_index class_weight reduction")},
)
def nll(log_probs: Float[Tensor, "b c *space"], labels: Int[Tensor, "b *space"]) -> Float[Tensor, "b *space"]:
    """-Σ_c t_c log p_c of given log-probabilities.

    Beside a `class_weight` torch divides by the weights of the labels: `reduction=wmean`. It has no nll of
    soft labels; here that mean divides by their number, as in `ce`.

    Source: torch's `nll_loss`.
    """
    return -pick(log_probs, labels)


@nll.kernel("identity")
def nll_of_log_probs(
    log_probs: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *space"],
    mask: Int[Tensor, "b *space"] | None = None,
    *,
    reduction: str = "none",
    ignore_index: int | None = None,
) -> Float[Tensor, "b *space"]:
    """`nll` by torch's kernel for indices, which takes the mean or the sum itself and reads contiguous memory."""
    if labels.ndim == log_probs.ndim:
        if mask is not None:
            shown = mask.unsqueeze(1)
            log_probs, labels = cleared(log_probs, shown), cleared(labels, shown)
        # Labels that are 0 cost nothing.
        return reduced_over(-pick(log_probs, labels), labels, None, mask, reduction)
    log_probs = log_probs.contiguous()
    how = REDUCTIONS[reduction]
    if mask is not None:
        labels, ignore_index = labels_outside(labels, mask, ignore_index)
    if ignore_index is None:
        return kernels.nll_loss_nd(log_probs, labels, None, how, NO_IGNORED_LABEL)
    if can_read_without_sync(log_probs):
        value = kernels.nll_loss_nd(log_probs, labels, None, how, ignore_index)
        # The mean of none is no number to torch.
        is_of_none = reduction == "mean" and math.isnan(value.item()) and bool((labels == ignore_index).all())
        return log_probs[:0].sum() if is_of_none else value
    values = kernels.nll_loss_nd(log_probs, labels, None, REDUCTIONS["none"], ignore_index)
    return reduced_over(values, labels, None, labels != ignore_index, reduction)


@loss(
    aliases=(
        "binary_cross_entropy",
        "binary_crossentropy",
        "bce_with_logits = bce(sigmoid)",
        "binary_cross_entropy_with_logits = bce(sigmoid)",
        "sigmoid_ce = bce(sigmoid)",
        "sigmoid_cross_entropy = bce(sigmoid)",
        "sigmoid_binary_cross_entropy = bce(sigmoid)",
        "bernoulli_nll = bce(sigmoid)",
        "multilabel_soft_margin = bce(sigmoid)",
        "multilabel_soft_margin_loss = bce(sigmoid)",
    ),
    range=(0, float("inf")),
    zero_when="perfect",
    like={
        "torch": Preset(activations=("sigmoid", "identity"), takes="pos_weight reduction"),
        "keras": Preset(
            activations=("sigmoid", "identity"),
            refuses=SUM_OF_MEANS,
            note=CLIPPED,
            takes="label_smoothing reduction",
        ),
        "optax": Preset("sigmoid", takes="reduction"),
        "mmdet": Preset("sigmoid, reduction=mean_all", ranks=(2,), takes="ignore_index pos_weight reduction"),
        "mmseg": Preset(
            "sigmoid, reduction=mean_all", ranks=(2, 4), takes="ignore_index pos_weight reduction"
        ),
        "smp": Preset(
            "sigmoid, ignore_index=-100, reduction=mean_all",
            refuses={"label_smoothing": "smp's smooth_factor is half of it"},
            takes="ignore_index pos_weight reduction",
        ),
        "toolbelt": Preset(
            "sigmoid, ignore_index=-100, reduction=mean_all",
            refuses={"label_smoothing": "pytorch-toolbelt's smooth_factor is half of it"},
            takes="ignore_index pos_weight reduction",
        ),
        "timm": Preset(
            "sigmoid",
            truth="dense",
            refuses={"label_smoothing": "timm smooths indices alone, and by another formula"},
            takes="pos_weight reduction",
        ),
        "nnunet": Preset("sigmoid", takes="pos_weight reduction"),
    },
)
def bce(
    log_probs: Float[Tensor, "*shape"],
    log_complement: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    pos_weight: Float[Tensor, "c"] | None,
    *,
    label_smoothing: Dynamic[Fraction] = 0.0,
) -> Float[Tensor, "*shape"]:
    """-(w t log p + (1 - t) log(1 - p)), with t smoothed to (1 - ε) t + ε / 2.

    The logarithm of a given probability is not below -100, as in torch, and has no slope there: at p = 0, t =
    1 the gradient is 0, and -1e12 in torch. That of `bce(sigmoid)` is p - t, however wrong p is: write it so.
    keras holds p in [1e-7, 1 - 1e-7], and a wrong certainty costs 16.1 there. `pos_weight` is w, and mmdet's
    class_weight. smp smooths by ε / 2 where we say ε, and counts what it ignores; timm smooths labels to 1 -
    ε + ε / C and ε / C.

    Source: the negative log-likelihood of a Bernoulli variable; torch's `binary_cross_entropy`.
    """
    t = _smoothed(target, label_smoothing)
    positive = t if pos_weight is None else t * _along_classes(pos_weight, t)
    return -(times_log(positive, log_probs) + times_log(1 - t, log_complement))


@bce.kernel("sigmoid")
def bce_of_logits(
    logits: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    pos_weight: Float[Tensor, "c"] | None,
    *,
    label_smoothing: Dynamic[Fraction] = 0.0,
    reduction: str = "none",
) -> Float[Tensor, "*shape"]:
    """`bce` of the logits, correct to one rounding at each of them: torch's kernel gives 0 for x = -15, t = 0."""
    t = _smoothed(target, label_smoothing)
    weights = () if pos_weight is None else (_along_classes(pos_weight, t), None)
    return binary_entropy(logits, t, *weights, reduction=reduction)


def _smoothed(target: Tensor, epsilon: Option) -> Tensor:
    return target * (1 - epsilon) + epsilon / 2 if may_count(epsilon) else target


def _along_classes(weights: Any, like: Tensor) -> Any:
    """(C,) shaped so that it broadcasts along dimension 1 of `like`; a number stays one."""
    if is_number(weights) or weights.numel() == 1:
        return weights
    return weights.reshape(-1, *[1] * (like.ndim - 2))
