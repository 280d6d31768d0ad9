"""Losses of a class or of a yes and no.

Shapes: logits and probabilities are (B, C, *S). `labels` are indices (B, *S) or a distribution
(B, C, *S); dense targets are like the prediction. Every value is in nats unless it says otherwise.
"""

from __future__ import annotations

from losslang.decorators import loss
from losslang.functions import REDUCTIONS, behind, power
from losslang.lazy import F, torch
from losslang.targets import pick
from losslang.vocabulary import Count, Float, Fraction, Int, NonNegative, Positive, Tensor

TORCH_IGNORES = -100
"""The label that torch's kernels leave out."""


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
        "torch": "",
        "nnunet": "",
        "optax": "",
        "toolbelt": "",
        "mmdet": "reduction=mean",
        "mmseg": "reduction=mean",
        "timm": "label_smoothing=0.1",
        "keras": "identity",
    },
)
def ce(
    log_probs: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *space"],
    class_weight: Float[Tensor, "c"] | None,
    *,
    label_smoothing: Fraction = 0.0,
) -> Float[Tensor, "b *space"]:
    """-Σ_c w_c t_c log p_c, with t smoothed to (1 - ε) t + ε / C.

    `label_smoothing` is ε, as in Szegedy et al. 2016, arXiv:1512.00567. With `class_weight` the mean
    divides by the sum of the weights of the labels, as torch does. An ignored label is not counted: in
    mmdet, mmseg and pytorch-toolbelt it is, and with half of the labels ignored they give half. keras
    reads probabilities and holds them in [1e-7, 1 - 1e-7]: a wrong certainty costs 16.1, and 100 here.
    """
    weighted = log_probs if class_weight is None else log_probs * _along_classes(class_weight, log_probs)
    spread = label_smoothing * weighted.mean(1) if label_smoothing else 0.0
    return -(1 - label_smoothing) * pick(weighted, labels) - spread


@ce.kernel("softmax")
def ce_of_logits(
    logits: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *space"],
    class_weight: Float[Tensor, "c"] | None,
    *,
    label_smoothing: Fraction = 0.0,
    reduction: str = "none",
) -> Float[Tensor, "b *space"]:
    """torch's kernel for indices: no tensor of log-probabilities is kept. Its soft labels give 0 log 0 = NaN."""
    if labels.ndim == logits.ndim:
        log_probs = torch.log_softmax(logits, 1)
        values = ce.function(
            log_probs, labels.to(logits.dtype), class_weight, label_smoothing=label_smoothing
        )
        return _reduced(values, reduction)
    kernel = behind("cross_entropy_loss")
    return kernel(logits, labels, class_weight, REDUCTIONS[reduction], TORCH_IGNORES, label_smoothing)


@loss(
    aliases=("nll_loss",),
    activation="exp",
    given="log_probs",
    ignore_index=-100,
    range=(0, float("inf")),
    zero_when="perfect",
    like={"torch": "reduction=wmean"},
)
def nll(log_probs: Float[Tensor, "b c *space"], labels: Int[Tensor, "b *space"]) -> Float[Tensor, "b *space"]:
    """-Σ_c t_c log p_c of given log-probabilities.

    Beside a `class_weight` torch divides by the weights of the labels: `reduction=wmean`.
    """
    return -pick(log_probs, labels)


@nll.kernel("identity", ignores=TORCH_IGNORES)
def nll_of_log_probs(
    log_probs: Float[Tensor, "b c *space"], labels: Int[Tensor, "b *space"], *, reduction: str = "none"
) -> Float[Tensor, "b *space"]:
    """torch's kernel for indices, which takes its own mean and sum; it wants its input in one piece."""
    if labels.ndim < log_probs.ndim:
        return behind("nll_loss_nd")(
            log_probs.contiguous(), labels, None, REDUCTIONS[reduction], TORCH_IGNORES
        )
    return _reduced(-pick(log_probs, labels), reduction)


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
        "torch": "",
        "keras": "",
        "optax": "sigmoid",
        "mmdet": "sigmoid",
        "mmseg": "sigmoid",
        "smp": "sigmoid, ignore_index=-100",
    },
)
def bce(
    log_probs: Float[Tensor, "*shape"],
    log_complement: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    pos_weight: Float[Tensor, "c"] | None,
    *,
    label_smoothing: Fraction = 0.0,
) -> Float[Tensor, "*shape"]:
    """-(w t log p + (1 - t) log(1 - p)), with t smoothed to (1 - ε) t + ε / 2.

    The logarithm of a given probability is not below -100, as in torch; keras holds p in [1e-7, 1 - 1e-7],
    and a wrong certainty costs 16.1 there. `pos_weight` is w, and mmdet's class_weight. smp smooths by
    ε / 2 where we say ε, and counts what it ignores; timm smooths labels to 1 - ε + ε / C and ε / C.
    """
    t = _smoothed(target, label_smoothing)
    positive = t if pos_weight is None else t * _along_classes(pos_weight, t)
    return -(positive * log_probs + (1 - t) * log_complement)


@bce.kernel("sigmoid")
def bce_of_logits(
    logits: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    pos_weight: Float[Tensor, "c"] | None,
    *,
    label_smoothing: Fraction = 0.0,
    reduction: str = "none",
) -> Float[Tensor, "*shape"]:
    """torch's kernel, exact for logits of any size."""
    weight = None if pos_weight is None else _along_classes(pos_weight, logits)
    return F.binary_cross_entropy_with_logits(
        logits, _smoothed(target, label_smoothing), pos_weight=weight, reduction=reduction
    )


@loss(
    aliases=(
        "focal_loss",
        "sigmoid_focal = focal(sigmoid)",
        "sigmoid_focal_loss = focal(sigmoid)",
        "binary_focal_loss_with_logits = focal(sigmoid)",
        "binary_focal_crossentropy",
        "softmax_focal = focal(softmax)",
    ),
    paper="Lin, Goyal, Girshick, He, Dollár 2017, arXiv:1708.02002",
    range=(0, float("inf")),
    zero_when="perfect",
    like={
        "torchvision": "sigmoid, alpha=0.25",
        "kornia": "sigmoid, alpha=0.25",
        "mmdet": "sigmoid, alpha=0.25",
        "mmseg": "sigmoid, alpha=0.5",
        "fvcore": "sigmoid",
        "monai": "sigmoid",
        "smp": "sigmoid",
        "optax": "sigmoid",
        "toolbelt": "sigmoid",
        "keras": "identity",
    },
)
def focal(
    p_true: Float[Tensor, "*event"],
    log_p_true: Float[Tensor, "*event"],
    positive_truth: Float[Tensor, "*event"],
    *,
    gamma: NonNegative = 2.0,
    alpha: Fraction | None = None,
) -> Float[Tensor, "*event"]:
    """-α_t (1 - p_t)^γ log p_t, with p_t the probability given to what is true.

    After a sigmoid one value per element, after a softmax one per sample and place. `alpha` weighs
    the positives and 1 - alpha the negatives (after a softmax: class 0 is the negative one).

    Of labels between 0 and 1 p_t is t p + (1 - t)(1 - p), as in torchvision; MONAI, kornia and smp each
    have another. After a softmax the means of MONAI and kornia divide by the classes too: C times smaller;
    with an ignore_index MONAI 1.6.1 divides by the places alone after a sigmoid: C times larger. keras
    multiplies all of `CategoricalFocalCrossentropy` by its alpha, 0.25.
    """
    values = -power(1 - p_true, gamma) * log_p_true
    if alpha is None:
        return values
    return (alpha * positive_truth + (1 - alpha) * (1 - positive_truth)) * values


@focal.kernel("sigmoid")
def focal_of_logits(
    logits: Float[Tensor, "*shape"],
    positive_truth: Float[Tensor, "*shape"],
    *,
    gamma: NonNegative = 2.0,
    alpha: Fraction | None = None,
) -> Float[Tensor, "*shape"]:
    """The same, with 1 - p_t = t + p - 2 t p and torch's kernel for the logarithm."""
    probs = torch.sigmoid(logits)
    wrong = torch.addcmul(positive_truth, probs, 1 - 2 * positive_truth)
    values = power(wrong, gamma) * F.binary_cross_entropy_with_logits(
        logits, positive_truth, reduction="none"
    )
    return values if alpha is None else (1 - alpha + (2 * alpha - 1) * positive_truth) * values


@loss(aliases=("hinge_loss",), range=(0, float("inf")), like={"keras": "", "optax": ""})
def hinge(
    logits: Float[Tensor, "*shape"], signs: Float[Tensor, "*shape"], *, margin: Positive = 1.0
) -> Float[Tensor, "*shape"]:
    """max(0, m - y x), y = +1 or -1."""
    return torch.relu(margin - signs * logits)


@loss(range=(0, float("inf")), like={"keras": ""})
def squared_hinge(
    logits: Float[Tensor, "*shape"], signs: Float[Tensor, "*shape"], *, margin: Positive = 1.0
) -> Float[Tensor, "*shape"]:
    """max(0, m - y x)^2, y = +1 or -1."""
    return torch.relu(margin - signs * logits).square()


@loss(
    aliases=("multi_margin_loss", "weston_watkins"),
    paper="Weston, Watkins 1999",
    range=(0, float("inf")),
    like={"torch": ""},
)
def multi_margin(
    logits: Float[Tensor, "b c *space"],
    labels: Int[Tensor, "b *space"],
    *,
    margin: Positive = 1.0,
    p: Count = 1,
) -> Float[Tensor, "b *space"]:
    """Σ_{c ≠ y} max(0, m - x_y + x_c)^p / C, as in torch."""
    excess = torch.relu(margin - pick(logits, labels).unsqueeze(1) + logits) ** p
    return (excess.sum(1) - margin**p) / logits.shape[1]


@loss(
    aliases=("classification_error", "misclassification"),
    metric_only=True,
    range=(0, 1),
    zero_when="perfect",
)
def zero_one(
    probs: Float[Tensor, "b c *space"], labels: Int[Tensor, "b *space"]
) -> Float[Tensor, "b *space"]:
    """1 where the most probable class is not the true one. One channel: p > 1/2 is class 1.

    Not differentiable: only inside `metric(...)`.
    """
    if probs.shape[1] == 1:
        found, true = probs[:, 0] > 0.5, (labels[:, 0] if labels.ndim == probs.ndim else labels) > 0.5
    else:
        # Of equal ones the first, as argmax: that one takes three times as long over an axis in the middle.
        found, true = probs.max(1).indices, labels.argmax(1) if labels.ndim == probs.ndim else labels
    return (found != true).to(probs.dtype)


def _reduced(values: Tensor, reduction: str) -> Tensor:
    """What torch's kernels do by themselves."""
    return values if reduction == "none" else values.mean() if reduction == "mean" else values.sum()


def _smoothed(target: Tensor, epsilon: float) -> Tensor:
    return target * (1 - epsilon) + epsilon / 2 if epsilon else target


def _along_classes(weights: Tensor, like: Tensor) -> Tensor:
    """(C,) shaped so that it broadcasts along dimension 1 of `like`; a number stays one."""
    return weights.reshape(-1, *[1] * (like.ndim - 2)) if weights.ndim else weights
