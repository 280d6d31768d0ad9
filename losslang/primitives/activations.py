"""Activations: functions between views of a prediction, and the views that losses ask for."""

from __future__ import annotations

from losslang.primitives.decorators import activation
from losslang.tensors.lazy import F, torch
from losslang.tensors.numerics import unit
from losslang.vocabulary import Dynamic, Float, Positive, Tensor


@activation(takes="logits", gives="probs")
def sigmoid(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1 / (1 + e^-x): one probability per element."""
    if not torch.compiler.is_compiling() or torch.compiler.is_exporting():
        return torch.sigmoid(logits)
    # A binary entropy of the same logits is made of this too: torch's compiler computes one exponential for both,
    # and one loop of their gradients, which it splits in two where a torch.where reads the probability.
    is_positive, _, unlikely = less_likely(logits)
    likely = is_positive.to(logits.dtype)
    return likely + (1 - 2 * likely) * unlikely


@activation(takes="logits", gives="probs", over="class")
def softmax(logits: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
    """e^x_c / Σ e^x over the class axis (dimension 1): one distribution per place."""
    return torch.softmax(logits, 1)


@activation(takes="logits", gives="log_probs", over="class")
def log_softmax(logits: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
    """log softmax: log-probabilities, as `nll` reads them."""
    return torch.log_softmax(logits, 1)


@activation(takes="log_probs", gives="probs", over="class")
def exp(log_probs: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
    """e^x: the probabilities of a model that returns log-probabilities."""
    return torch.exp(log_probs)


@activation(takes="logits", gives="values")
def tanh(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """(e^x - e^-x) / (e^x + e^-x)."""
    return torch.tanh(logits)


@activation(takes="values", gives="values")
def relu(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """max(x, 0)."""
    return torch.relu(values)


@activation(takes="values", gives="values")
def softplus(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log(1 + e^x)."""
    return F.softplus(values)


@activation(takes="embeddings", gives="embeddings", over="row")
def normalize(embeddings: Float[Tensor, "*b d"], *, eps: Dynamic[Positive] = 1e-12) -> Float[Tensor, "*b d"]:
    """x / max(|x|, ε): rows of length 1, of every embedding that the loss reads. A row of zeros stays one."""
    return unit(embeddings, (-1,), eps)


@activation(takes="any", gives="any")
def identity(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x: the prediction already is what the loss reads."""
    return values


# ------------------------------------------------------------------- what the views are made of

LOG_FLOOR = -100.0
"""The logarithm of a probability of 0, as in torch's binary_cross_entropy."""


def log(probs: Tensor) -> Tensor:
    """log p of given probabilities, not below LOG_FLOOR; of NaN it is NaN.

    At p = 0 the gradient is 0, as that of a constant. 1 / p would be infinite, and times the slope of a
    sigmoid or softmax that has underflowed, 0, it would be NaN. torch's binary_cross_entropy has -1e12
    there, its own bound on p (1 - p), which is one step of 1e12 where nothing but a clamp stands behind the
    probability.
    """
    nothing = probs <= torch.finfo(probs.dtype).tiny
    return torch.where(nothing, LOG_FLOOR, torch.where(nothing, 1.0, probs).log()).clamp(min=LOG_FLOOR)


def log_complement(probs: Tensor) -> Tensor:
    """log(1 - p) of given probabilities, not below LOG_FLOOR."""
    return log(1 - probs)


def less_likely(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x >= 0, -|x| and sigmoid(-|x|): which side of a yes and no is less likely, its logit and its probability."""
    is_positive = logits >= 0
    # Not -abs(), whose derivative at 0 is 0.
    least = torch.where(is_positive, -logits, logits)
    return is_positive, least, torch.sigmoid(least)


def log_more_likely(least: Tensor, unlikely: Tensor) -> Tensor:
    """log(1 - sigmoid(-|x|)), of what `less_likely` returns."""
    # ONNX has no log1p: torch's exporter writes log(1 - e), which has no digit of a small e.
    return log_complement_sigmoid(least) if torch.compiler.is_exporting() else torch.log1p(-unlikely)


def log_sigmoid(logits: Tensor) -> Tensor:
    """log sigmoid(x), exact for every x."""
    if torch.compiler.is_exporting():
        # ONNX has no such operation: torch's exporter writes log(sigmoid(x)), which is -inf from x = -18 on.
        return -F.softplus(-logits, threshold=40.0)
    return F.logsigmoid(logits)


def log_complement_sigmoid(logits: Tensor) -> Tensor:
    """log(1 - sigmoid(x)) = log sigmoid(-x), exact for every x."""
    return log_sigmoid(-logits)


def log_complement_softmax(logits: Tensor) -> Tensor:
    """log(1 - softmax(x)), exact also where one class takes all.

    For the largest class it is the log-sum-exp of the others less that of all; for the others
    p <= 1/2, and log1p(-p) loses nothing.
    """
    log_probs = torch.log_softmax(logits, 1)
    largest = torch.zeros_like(logits, dtype=torch.bool).scatter(1, logits.argmax(1, keepdim=True), True)
    others = torch.logsumexp(log_probs.masked_fill(largest, -torch.inf), 1, keepdim=True)
    small = torch.where(largest, 0.0, log_probs.exp())
    return torch.where(largest, others, torch.log1p(-small)).clamp(min=LOG_FLOOR)
