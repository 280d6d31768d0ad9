"""Textbook formulas of the oracle: classes. Nothing shared, fused or stabilised; float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from reference import FORMS, textbook
from torch import Tensor

FORMS.update(
    quality_focal=("dense", "element"),
    varifocal=("dense", "element"),
    gaussian_focal=("dense", "element"),
    asl=("dense", "element"),
    asl_single=("labels", "place"),
    poly=("labels", "place"),
    gce=("labels", "place"),
    bi_tempered=("labels", "place"),
    dfl=("rows", "row"),
    perceptron=("signs", "element"),
    logistic=("signs", "element"),
    multiclass_hinge=("labels", "place"),
    multilabel_margin=("dense", "place"),
    topk_error=("labels", "place"),
    listwise_softmax=("like", "sample"),
    balanced_bce=("dense", "element"),
    ghm_c=("dense", "element"),
    ghm_r=("like", "element"),
)


def _entropy(v: Any, t: Tensor) -> Tensor:
    return -(t * v.log_probs + (1 - t) * v.log_complement)


# -------------------------------------------------------------------- focal


@textbook
def quality_focal(v: Any, t: Tensor, mask: Tensor, *, beta: float, **_: Any):
    return (t - v.probs).abs() ** beta * _entropy(v, t)


@textbook
def varifocal(v: Any, t: Tensor, mask: Tensor, *, alpha: float, gamma: float, iou_weighted: bool, **_: Any):
    positive = (t if iou_weighted else torch.ones_like(t)) * _entropy(v, t)
    negative = -alpha * v.probs**gamma * v.log_complement
    return torch.where(t > 0, positive, negative)


@textbook
def gaussian_focal(v: Any, t: Tensor, mask: Tensor, *, alpha: float, gamma: float, **_: Any):
    p = v.probs
    is_peak = (t == 1).double()
    positive = (1 - p) ** alpha * v.log_probs
    negative = (1 - t) ** gamma * p**alpha * v.log_complement
    return -is_peak * positive - (1 - is_peak) * negative


@textbook
def asl(v: Any, t: Tensor, mask: Tensor, *, gamma_pos: float, gamma_neg: float, clip: float, **_: Any):
    p = v.probs
    shifted = torch.where(p > clip, p - clip, torch.zeros_like(p))
    log_rest = torch.log(1 - shifted) if clip else v.log_complement
    return -(t * (1 - p) ** gamma_pos * v.log_probs) - (1 - t) * shifted**gamma_neg * log_rest


@textbook
def asl_single(
    v: Any,
    t: Tensor,
    mask: Tensor,
    *,
    gamma_pos: float,
    gamma_neg: float,
    label_smoothing: float,
    **_: Any,
):
    """The loss of every class, were it the true one, weighed by how far it is."""
    p, log_p, classes = v.probs, v.log_probs, t.shape[1]
    value = torch.zeros_like(p[:, 0])
    for y in range(classes):
        for c in range(classes):
            smoothed = (1 - label_smoothing) * (c == y) + label_smoothing / classes
            focus = (1 - p[:, c]) ** gamma_pos if c == y else p[:, c] ** gamma_neg
            value = value - t[:, y] * smoothed * focus * log_p[:, c]
    return value


@textbook
def poly(v: Any, t: Tensor, mask: Tensor, *, epsilon: float, **_: Any):
    return -(t * v.log_probs).sum(1) + epsilon * (1 - (t * v.probs).sum(1))


@textbook
def gce(v: Any, t: Tensor, mask: Tensor, *, q: float, **_: Any):
    p = v.probs
    # No probability is exactly 0 but a masked one, and a root has no slope there.
    raised = torch.where(p > 0, torch.where(p > 0, p, torch.ones_like(p)) ** q, torch.zeros_like(p))
    return (t * (1 - raised) / q).sum(1)


@textbook
def bi_tempered(
    v: Any, t: Tensor, mask: Tensor, *, t1: float, t2: float, label_smoothing: float, iters: int, **_: Any
):
    """λ by halving the interval that holds it, with the derivative of the equation that it solves."""
    x, classes = v.raw, t.shape[1]

    def exp_t(u: Tensor) -> Tensor:
        return torch.exp(u) if t2 == 1 else (1 + (1 - t2) * u) ** (1 / (1 - t2))

    def log_t(u: Tensor) -> Tensor:
        return torch.log(u) if t1 == 1 else (u ** (1 - t1) - 1) / (1 - t1)

    with torch.no_grad():
        low = x.amax(1, keepdim=True)
        one = torch.tensor(1 / classes, dtype=torch.float64)
        high = low - (torch.log(one) if t2 == 1 else (one ** (1 - t2) - 1) / (1 - t2))
        for _step in range(200):
            middle = (low + high) / 2
            too_small = exp_t(x - middle).sum(1, keepdim=True) > 1
            low, high = torch.where(too_small, middle, low), torch.where(too_small, high, middle)
        found = (low + high) / 2
        escort = exp_t(x - found) ** t2
        escort = escort / escort.sum(1, keepdim=True)
    normalizer = found + (escort * (x - x.detach())).sum(1, keepdim=True)
    p = exp_t(x - normalizer)
    y = (1 - label_smoothing) * t + label_smoothing / classes
    own = torch.where(y > 0, y * log_t(torch.where(y > 0, y, torch.ones_like(y))), torch.zeros_like(y))
    return (own - y * log_t(p) - (y ** (2 - t1) - p ** (2 - t1)) / (2 - t1)).sum(1)


@textbook
def dfl(v: Any, t: Tensor, mask: Tensor, **_: Any):
    """Each bin weighs 1 less its distance from the position, if it is nearer than 1."""
    x, position = v.raw, t[..., :1]
    log_p = x - torch.log(torch.exp(x).sum(-1, keepdim=True))
    distance = (torch.arange(x.shape[-1]) - position).abs()
    return -(torch.where(distance < 1, 1 - distance, torch.zeros_like(x)) * log_p).sum(-1)


# -------------------------------------------------------------------- margins


@textbook
def perceptron(v: Any, t: Tensor, mask: Tensor, **_: Any):
    m = -t * v.values
    return torch.where(m > 0, m, torch.zeros_like(m))


@textbook
def logistic(v: Any, t: Tensor, mask: Tensor, **_: Any):
    return torch.log(1 + torch.exp(-t * v.values))


@textbook
def multiclass_hinge(v: Any, t: Tensor, mask: Tensor, *, margin: float, **_: Any):
    x = v.values
    raised = torch.stack([x[:, c] + margin * (1 - t[:, c]) for c in range(x.shape[1])])
    return raised.max(0).values - (t * x).sum(1)


@textbook
def multilabel_margin(v: Any, t: Tensor, mask: Tensor, *, margin: float, **_: Any):
    x, classes = v.values, t.shape[1]
    value = torch.zeros_like(x[:, 0])
    for y in range(classes):
        for c in range(classes):
            m = margin - x[:, y] + x[:, c]
            value = value + t[:, y] * (1 - t[:, c]) * torch.where(m > 0, m, torch.zeros_like(m)) / classes
    return value


@textbook
def topk_error(v: Any, t: Tensor, mask: Tensor, *, k: int, **_: Any):
    first = v.probs.argsort(dim=1, descending=True, stable=True)[:, :k]
    return (first != t.argmax(1, keepdim=True)).all(1).double()


@textbook
def listwise_softmax(v: Any, t: Tensor, mask: Tensor, **_: Any):
    """One list after the other, without what is masked."""
    values: list[Tensor] = []
    for scores, relevance, shown in zip(v.values, t, mask, strict=True):
        left = scores[shown]
        log_p = left - torch.log(torch.exp(left).sum()) if left.numel() else left
        values.append(-(relevance[shown] * log_p).sum())
    return torch.stack(values) if values else v.values.flatten(1).sum(1)


# -------------------------------------------------------------------- balance


@textbook
def balanced_bce(v: Any, t: Tensor, mask: Tensor, **_: Any):
    whole = max(float(mask.sum()), 1.0)
    positive, negative = (t * mask).sum() / whole, ((1 - t) * mask).sum() / whole
    return -(negative * t * v.log_probs + positive * (1 - t) * v.log_complement)


def _harmony(gradient: Tensor, mask: Tensor, bins: int) -> Tensor:
    """Bin by bin; of running numbers the first call's are (1 - μ) times these."""
    weights, occupied = torch.zeros_like(gradient), 0
    for i in range(bins):
        upper = gradient < (i + 1) / bins if i + 1 < bins else torch.ones_like(mask)
        inside = (gradient >= i / bins) & upper & mask
        if inside.any():
            occupied += 1
            weights = torch.where(inside, mask.double().sum() / inside.double().sum(), weights)
    return weights / max(occupied, 1)


@textbook
def ghm_c(v: Any, t: Tensor, mask: Tensor, *, bins: int, momentum: float, **_: Any):
    gradient = (v.probs - t).abs().detach()
    return _harmony(gradient, mask, bins) / (1 - momentum) * _entropy(v, t)


@textbook
def ghm_r(v: Any, t: Tensor, mask: Tensor, *, mu: float, bins: int, momentum: float, **_: Any):
    e = v.values - t
    gradient = (e.abs() / torch.sqrt(e**2 + mu**2)).detach()
    return _harmony(gradient, mask, bins) / (1 - momentum) * (torch.sqrt(e**2 + mu**2) - mu)


# -------------------------------------------------------------------- data of the laws


def _scored(r: torch.Generator) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Scores between 0 and 1, and some that are either; the prediction may be read as probabilities."""
    pred = torch.rand((3, 4, 2, 3), generator=r, dtype=torch.float64)
    return pred, (1.6 * torch.rand((3, 4, 2, 3), generator=r, dtype=torch.float64) - 0.3).clamp(0, 1), {}


def _lists(r: torch.Generator) -> tuple[Tensor, Tensor, dict[str, Any]]:
    pred = torch.randn((3, 5), generator=r, dtype=torch.float64)
    return pred, torch.randint(0, 4, (3, 5), generator=r).double(), {}


DATA: dict[str, Callable[[torch.Generator], tuple[Tensor, Any, dict[str, Any]]]] = {
    "varifocal": _scored,
    "gaussian_focal": _scored,
    "listwise_softmax": _lists,
}
OTHER: dict[tuple[str, str], list[str]] = {
    ("asl", "clip"): ["0", "0.3"],
    ("asl_single", "label_smoothing"): ["0.5"],
    ("poly", "epsilon"): ["2", "-1"],
    ("bi_tempered", "t1"): ["0.5", "1"],
    ("bi_tempered", "t2"): ["1", "2"],
    ("bi_tempered", "iters"): ["1"],
    ("topk_error", "k"): ["1"],
    ("ghm_c", "bins"): ["3"],
    ("ghm_c", "momentum"): ["0.5"],
    ("ghm_r", "bins"): ["3"],
    ("ghm_r", "momentum"): ["0.5"],
}
