"""The oracle: what a program means, in float64, by textbook formulas, with nothing clever.

It reads the *meaning* of a program (names inlined, activations decided, defaults explicit) and
computes it with plain torch: every target is made dense, every weight and mask is expanded to the
prediction's shape, nothing is shared, fused, stabilised or skipped. It imports none of losslang's
losses, operations or reductions, so an agreement of both is an agreement of two authors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from losslang.diagnostics.source import Source
from losslang.meaning.checker import analyze
from losslang.meaning.meaning import Apply, Constant, Expression, Input, LossUse, Term
from losslang.meaning.program import Meaning
from losslang.syntax import tree

# What a loss wants of its target, and which axes its natural values have.
#   dense   like the prediction, class indices one-hot      element (B, C, *S)
#   labels  a distribution over classes per place           place   (B, *S)
#   signs   +1 and -1                                       region  (B, C)
#   rows    the class of each row, along its last axis
#   like    exactly the prediction's shape                  row     without the last axis
#                                                           number  ()
FORMS = {
    "ce": ("labels", "place"),
    "nll": ("labels", "place"),
    "bce": ("dense", "element"),
    "focal": ("dense", "element"),  # after a softmax: labels, place
    "dice": ("dense", "region"),
    "jaccard": ("dense", "region"),
    "tversky": ("dense", "region"),
    "focal_tversky": ("dense", "region"),
    "rmse": ("like", "number"),
    "hinge": ("signs", "element"),
    "squared_hinge": ("signs", "element"),
    "multi_margin": ("labels", "place"),
    "linear_ce": ("rows", "row"),
    "zero_one": ("labels", "place"),
    "kl": ("like", "place"),
    "kd": ("like", "place"),
    "js": ("like", "place"),
    "cosine": ("like", "row"),
    "triplet": ("like", "row"),
    "iou": ("like", "row"),
    "giou": ("like", "row"),
}
LAYERS = ("head", "net")
CLASS_ACTIVATIONS = ("softmax", "log_softmax", "exp")
MIXING = ("softmax", "log_softmax")  # each output reads every channel of its place


@dataclass
class Outcome:
    """The total and every term of one evaluation."""

    total: Tensor
    values: dict[str, Tensor]


def meaning_of(text: str, **overrides: float) -> Meaning:
    """The meaning of a program that has one; warnings are no matter here."""
    checked = analyze(Source(text), overrides=overrides)
    assert checked.meaning is not None, [d.message for d in checked.errors]
    return checked.meaning


def evaluate(
    program: str | Meaning,
    pred: Any,
    target: Any = None,
    batch: Mapping[str, Any] | None = None,
    const: Mapping[str, Any] | None = None,
) -> Outcome:
    """The total of a program on the tensors of one call, and its terms by log key."""
    meaning = meaning_of(program) if isinstance(program, str) else program
    call = _Call({"pred": pred, "target": target, "batch": batch or {}, "const": const or {}})
    values = {term.name: call.term(term) for term in meaning.terms}
    total = torch.zeros((), dtype=torch.float64)
    for term in meaning.terms:
        if not term.metric and term.weight != 0:
            total = total + term.weight * values[term.name]
    return Outcome(total, values)


class _Call:
    def __init__(self, roots: Mapping[str, Any]):
        self.roots = roots

    # ---------------------------------------------------------------- expressions

    def term(self, term: Term) -> Tensor:
        value = self.expression(term.body)
        return value if term.factor is None else self.expression(term.factor) * value

    def expression(self, e: Expression) -> Any:
        match e:
            case Constant(value=value):
                return torch.tensor(float(value), dtype=torch.float64)
            case Input():
                return self.path(e)
            case Apply(operator=operator, arguments=arguments):
                return FUNCTIONS[operator](*map(self.expression, arguments))
            case LossUse():
                return self.loss_use(e)

    def path(self, path: Input) -> Any:
        value = self.roots[path.root]
        for step in path.steps:
            if path.soft and isinstance(value, Tensor):
                break
            match step:
                case tree.Key(name):
                    value = value[name] if isinstance(value, Mapping) else getattr(value, name)
                case tree.Index(position):
                    value = value[position]
                case tree.Slice(start, stop):
                    value = value[:, start:stop] if isinstance(value, Tensor) else value[start:stop]
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = torch.tensor(float(value), dtype=torch.float64)
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    # ---------------------------------------------------------------- one loss

    def loss_use(self, r: LossUse) -> Tensor:
        given = dict(r.operands)
        x = self.expression(given["pred"]).double()
        activation = r.activation.name if r.activation is not None else "identity"
        temperature = float(dict(r.activation.options if r.activation else ()).get("temperature", 1))
        form, frame = FORMS.get(r.loss, ("like", "element"))
        if r.loss == "focal" and activation in CLASS_ACTIVATIONS:
            form, frame = "labels", "place"
        options = dict(r.options)
        raw = self.expression(given["target"]) if "target" in given else None
        by_index = raw is not None and not raw.is_floating_point() and raw.shape != x.shape
        several = isinstance(options.get("q"), tuple)
        lacks = -1 if frame == "row" or several else 1  # the axis that a mask of one rank less lacks

        # Masks, as wide as the prediction.
        mask = torch.ones_like(x, dtype=torch.bool)
        if (m := r.get("mask")) is not None:
            mask = mask & (spread(self.expression(m), x, lacks) != 0)
        index = r.get("ignore_index")
        if index is not None and index != "none" and (by_index or form != "labels"):
            mask = mask & (
                (raw != index).unsqueeze(-1).expand_as(x) if form == "rows" else as_wide(raw != index, x)
            )
            raw = torch.where(raw == index, torch.zeros_like(raw), raw)
        # A softmax reads all channels of a place: it is hidden from it when all of them are masked.
        shown = mask.any(1, keepdim=True).expand_as(mask) if activation in MIXING else mask
        x = torch.where(shown, x, torch.zeros_like(x)) / temperature

        t = x if raw is None else raw.unsqueeze(-1).double().expand_as(x) if several else dense(raw, x, form)
        t = torch.where(mask, t, torch.zeros_like(t))
        if form == "signs":
            t = torch.where(mask, t, torch.ones_like(t))
        extra = {n: self.expression(e) for n, e in given.items() if n not in ("pred", "target")}
        extra = {n: e if n in LAYERS else without(e, mask) for n, e in extra.items()}

        if r.get("background") is False:
            x_all, x, t, mask = x, x, t[:, 1:], mask[:, 1:]
            view = _View(x_all, activation, drop=True)
        else:
            view = _View(x, activation)

        # Where the values lie, and which of them count.
        batch = r.get("batch") is True
        counted = {
            "element": lambda: mask,
            "place": lambda: mask.any(1),
            "row": lambda: mask.any(-1),
            "region": lambda: over_region(mask.any, mask, batch),
            "sample": lambda: over_sample(mask, batch),
            "number": lambda: torch.ones((), dtype=torch.bool),
        }[frame]()

        weights = {n: r.get(n) for n in ("class_weight", "pos_weight")}
        if (w := weights["class_weight"]) is not None:
            weights["class_weight"] = w = self.per_class(w, t, mask)
        if (p := weights["pos_weight"]) is not None:
            weights["pos_weight"] = p = self.positives(p, t, mask)

        values = LOSSES[r.loss](view, t, mask, batch=batch, extra=extra, weights=weights, **options)

        if isinstance(values, tuple):
            values, own = values
            counted = counted & own
        if (policy := r.get("empty")) not in (None, "formula"):
            present = over_region((t * mask != 0).any, t * mask != 0, batch)
            values = torch.where(present, values, torch.full_like(values, 1.0 if policy == "one" else 0.0))
            if policy == "skip":
                counted = counted & present
        if p is not None and r.loss == "focal":
            values = values * (t * p + (1 - t))
        if w is not None and r.loss != "ce":
            values = values * ((t * along(w, t)).sum(1) if frame == "place" else along(w, values))
        values = r.shift + r.scale * values

        # Weights of elements: `weight=` and the weights of classes are what a weighted mean divides by;
        # a factor only multiplies.
        inside = torch.ones_like(values)
        denominator: Tensor | None = None
        if (own := r.get("weight")) is not None:
            inside = denominator = self.laid(own, mask, values, frame, lacks)
        if r.factor is not None:
            inside = inside * self.laid(r.factor, mask, values, frame, lacks)
        if w is not None and (by_index or frame != "place"):
            of_class = (t * along(w, t)).sum(1) if frame == "place" else along(w, values).expand_as(values)
            denominator = of_class if denominator is None else denominator * of_class
        values = torch.where(counted, values * inside, torch.zeros_like(values))

        if (factor := r.get("avg_factor")) is not None:
            by = factor if isinstance(factor, int | float) else self.expression(factor)
            return values.sum() / by
        choice = dict(r.reduction.options)
        if r.reduction.name == "hard_negative":
            choice["positive"] = (not_background(t) if frame == "place" else t) > 0
        return REDUCTIONS[r.reduction.name](values, counted.expand_as(values), denominator, **choice)

    def laid(self, e: Expression, mask: Tensor, values: Tensor, frame: str, lacks: int) -> Tensor:
        """A weight in the shape of a loss's values; each factor of a product lies by its own rank."""
        match e:
            case Apply(operator=("*" | "/") as operator, arguments=parts):
                return FUNCTIONS[operator](*(self.laid(p, mask, values, frame, lacks) for p in parts))
            case _:
                return onto(self.expression(e), mask, values, frame, lacks)

    def per_class(self, given: Any, t: Tensor, mask: Tensor) -> Tensor:
        if isinstance(given, str):
            dims = [i for i in range(t.ndim) if i != 1]
            each = (t * mask).sum(dims)
            number = mask.double().sum(dims)
            if given == "balanced":
                return torch.where(each > 0, number / (t.shape[1] * each), torch.zeros_like(each))
            return (number - each) / number.clamp(min=1)
        if isinstance(given, tuple):
            return torch.tensor(given, dtype=torch.float64)
        return torch.as_tensor(self.expression(given), dtype=torch.float64)

    def positives(self, given: Any, t: Tensor, mask: Tensor) -> Tensor:
        if given == "balanced":
            yes = (t * mask).sum()
            no = mask.sum() - yes
            return no / yes if yes > 0 else torch.ones((), dtype=torch.float64)
        if isinstance(given, tuple):
            return along(torch.tensor(given, dtype=torch.float64), t)
        if isinstance(given, int | float):
            return torch.tensor(float(given), dtype=torch.float64)
        return along(torch.as_tensor(self.expression(given), dtype=torch.float64), t)


# -------------------------------------------------------------------- tensors laid over tensors


def along(vector: Tensor, like: Tensor) -> Tensor:
    """(C,) along dimension 1."""
    return vector.reshape(1, -1, *[1] * (like.ndim - 2)) if vector.ndim and like.ndim > 1 else vector


def spread(value: Any, x: Tensor, lacks: int) -> Tensor:
    """A mask or a weight in the prediction's shape, by its rank (LANGUAGE.md 4)."""
    value = torch.as_tensor(value)
    if value.ndim == x.ndim or value.ndim == 0:
        return value.expand_as(x)
    if value.ndim == x.ndim - 1:
        return value.unsqueeze(lacks).expand_as(x)
    assert value.ndim == 1, "a mask or a weight of this rank does not lie"
    return value.reshape(-1, *[1] * (x.ndim - 1)).expand_as(x)


def onto(weight: Any, mask: Tensor, values: Tensor, frame: str, lacks: int) -> Tensor:
    """A weight in the shape of a loss's values."""
    if torch.as_tensor(weight).ndim == 0:
        return torch.as_tensor(weight).double().expand_as(values)
    wide = spread(weight, mask, lacks).double()
    match frame:
        case "place":
            return wide[:, 0]
        case "row":
            return wide[..., 0]
        case "sample":
            return wide.reshape(len(wide), -1)[:, 0].expand(values.shape)
        case "region":
            return wide.flatten(2)[:, :, 0].expand_as(values) if wide.ndim > 2 else wide.expand_as(values)
        case _:
            return wide


def as_wide(kept: Tensor, x: Tensor) -> Tensor:
    """A truth about a target in the prediction's shape."""
    return (kept if kept.ndim == x.ndim else kept.unsqueeze(1)).expand_as(x)


def dense(target: Tensor, x: Tensor, form: str) -> Tensor:
    """A target in the prediction's shape: one-hot for class indices."""
    if form == "like":
        return target.double().expand_as(x)
    if form == "rows":
        return target.unsqueeze(-1).double().expand_as(x)
    if target.ndim == 0:
        if form == "labels" and not target.is_floating_point():
            target = target.expand(x.shape[:1] + x.shape[2:])
        else:
            target = target.expand_as(x)
    if target.shape == x.shape and not (form == "labels" and x.shape[1] == 1):
        t = target.double()
    elif x.shape[1] == 1:
        t = target.double().reshape(x.shape)
    else:
        indices = target.squeeze(1) if target.ndim == x.ndim else target
        t = torch.zeros_like(x)
        for c in range(x.shape[1]):
            t[:, c] = (indices == c).double()
    return t if form != "signs" or target.is_floating_point() else 2 * t - 1


def not_background(t: Tensor) -> Tensor:
    """How far what is true is not class 0."""
    return 1 - t[:, 0]


def without(value: Tensor, mask: Tensor) -> Tensor:
    """An operand with 1 where it is masked: like the prediction, one a row, or of axes of its own."""
    value = torch.as_tensor(value).double()
    if value.ndim == 0 or value.shape == mask.shape:
        return torch.where(mask, value.expand_as(mask), torch.ones_like(mask).double())
    if value.shape == mask.shape[:-1]:
        return torch.where(mask.any(-1), value, torch.ones_like(value))
    kept = mask.reshape(len(mask), -1).any(1).reshape(-1, *[1] * (value.ndim - 1))
    return torch.where(kept, value, torch.ones_like(value))


def over_sample(mask: Tensor, batch: bool) -> Tensor:
    """Which samples hold anything that counts; the batch may be one."""
    seen = mask.reshape(len(mask), -1).any(1) if mask.numel() else mask.new_zeros(len(mask))
    return seen.any(0, keepdim=True) if batch else seen


def over_region(reduce: Callable[..., Tensor], value: Tensor, batch: bool) -> Tensor:
    """A reduction over space, and over the samples too if the batch is one region."""
    seen = value.flatten(2).any(2) if value.ndim > 2 else value
    return seen.any(0, keepdim=True) if batch else seen


# -------------------------------------------------------------------- views of the prediction


class _View:
    """What can be read of a prediction through its activation."""

    def __init__(self, x: Tensor, activation: str, drop: bool = False):
        self.raw = x
        self.activation = activation
        self.drop = drop

    def _kept(self, value: Tensor) -> Tensor:
        return value[:, 1:] if self.drop else value

    @property
    def by_class(self) -> bool:
        return self.activation in CLASS_ACTIVATIONS

    @property
    def probs(self) -> Tensor:
        return self._kept(ACTIVATIONS[self.activation](self.raw))

    values = probs

    @property
    def log_probs(self) -> Tensor:
        return self._kept(log_of(ACTIVATIONS[self.activation](self.raw)))

    @property
    def log_complement(self) -> Tensor:
        return self._kept(log_of(1 - ACTIVATIONS[self.activation](self.raw)))


def log_of(p: Tensor) -> Tensor:
    """log p, not below -100."""
    return torch.log(torch.where(p > 0, p, torch.ones_like(p))).masked_fill(p <= 0, -100.0).clamp(min=-100)


def softmax(x: Tensor) -> Tensor:
    e = torch.exp(x - x.detach().amax(1, keepdim=True))
    return e / e.sum(1, keepdim=True)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "softmax": softmax,
    "log_softmax": lambda x: torch.log(softmax(x)),
    "exp": torch.exp,
    "tanh": lambda x: (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x)),
    "relu": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "softplus": lambda x: torch.log(1 + torch.exp(x)),
}


# -------------------------------------------------------------------- losses: natural values

LOSSES: dict[str, Callable[..., Tensor]] = {}


def textbook(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    LOSSES[function.__name__] = function
    return function


@textbook
def ce(v: _View, t: Tensor, mask: Tensor, *, weights: dict[str, Any], label_smoothing: float, **_: Any):
    t = (1 - label_smoothing) * t + label_smoothing / t.shape[1]
    w = weights["class_weight"]
    return -((t if w is None else t * along(w, t)) * v.log_probs).sum(1)


@textbook
def linear_ce(
    v: _View,
    t: Tensor,
    mask: Tensor,
    *,
    extra: dict[str, Any],
    label_smoothing: float,
    softcap: float | None,
    **_: Any,
):
    head = extra["head"]
    weight, bias = (head.weight, head.bias) if isinstance(head, torch.nn.Linear) else (head, None)
    z = (v.raw.unsqueeze(-2) * weight.double()).sum(-1)
    z = z if bias is None else z + bias.double()
    z = z if softcap is None else softcap * torch.tanh(z / softcap)
    log_p = z - torch.log(torch.exp(z).sum(-1, keepdim=True))
    true = (t[..., :1] == torch.arange(len(weight))).double()
    true = (1 - label_smoothing) * true + label_smoothing / len(weight)
    return -(true * log_p).sum(-1)


@textbook
def nll(v: _View, t: Tensor, mask: Tensor, **_: Any):
    return -(t * (v.raw if v.activation in ("exp", "identity") else v.log_probs)).sum(1)


@textbook
def bce(v: _View, t: Tensor, mask: Tensor, *, weights: dict[str, Any], label_smoothing: float, **_: Any):
    t = t * (1 - label_smoothing) + label_smoothing / 2
    w = weights["pos_weight"]
    return -((t if w is None else t * w) * v.log_probs + (1 - t) * v.log_complement)


@textbook
def focal(v: _View, t: Tensor, mask: Tensor, *, gamma: float, alpha: float | None, **_: Any):
    if v.by_class:
        p, log_p, positive = (t * v.probs).sum(1), (t * v.log_probs).sum(1), not_background(t)
    else:
        p = t * v.probs + (1 - t) * (1 - v.probs)
        log_p, positive = t * v.log_probs + (1 - t) * v.log_complement, t
    a = 1.0 if alpha is None else alpha * positive + (1 - alpha) * (1 - positive)
    return -a * (1 - p) ** gamma * log_p


def _sums(mask: Tensor, batch: bool, *values: Tensor) -> list[Tensor]:
    summed = [(v * mask).reshape(*v.shape[:2], -1).sum(2) for v in values]
    return [s.sum(0, keepdim=True) for s in summed] if batch else summed


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 1 for 0/0: the limit of s/s."""
    return torch.where(b == 0, torch.ones_like(a), a / torch.where(b == 0, torch.ones_like(b), b))


@textbook
def dice(
    v: _View, t: Tensor, mask: Tensor, *, batch: bool, smooth: float, eps: float, squared: bool, **_: Any
):
    power = 2 if squared else 1
    overlap, p, g = _sums(mask, batch, v.probs * t, v.probs**power, t**power)
    return 1 - _ratio(2 * overlap + smooth, p + g + smooth + eps)


@textbook
def jaccard(v: _View, t: Tensor, mask: Tensor, *, batch: bool, smooth: float, **_: Any):
    overlap, p, g = _sums(mask, batch, v.probs * t, v.probs, t)
    return 1 - _ratio(overlap + smooth, p + g - overlap + smooth)


@textbook
def tversky(
    v: _View, t: Tensor, mask: Tensor, *, batch: bool, smooth: float, alpha: float, beta: float, **_: Any
):
    tp, fp, fn = _sums(mask, batch, v.probs * t, v.probs * (1 - t), (1 - v.probs) * t)
    return 1 - _ratio(tp + smooth, tp + alpha * fp + beta * fn + smooth)


@textbook
def focal_tversky(v: _View, t: Tensor, mask: Tensor, *, gamma: float, **options: Any):
    return _power(tversky(v, t, mask, **options), torch.tensor(gamma, dtype=torch.float64))


@textbook
def mse(v: _View, t: Tensor, mask: Tensor, **_: Any):
    return (v.values - t) ** 2


LOSSES["sse"] = mse


@textbook
def half_mse(v: _View, t: Tensor, mask: Tensor, **_: Any):
    return (v.values - t) ** 2 / 2


@textbook
def rmse(v: _View, t: Tensor, mask: Tensor, **_: Any):
    mean = ((v.values - t) ** 2 * mask).sum() / max(int(mask.sum()), 1)
    return torch.sqrt(mean) if mean > 0 else 0 * mean


@textbook
def l1(v: _View, t: Tensor, mask: Tensor, **_: Any):
    return (v.values - t).abs()


@textbook
def smooth_l1(v: _View, t: Tensor, mask: Tensor, *, beta: float, **_: Any):
    e = (v.values - t).abs()
    return torch.where(e < beta, e**2 / (2 * beta), e - beta / 2) if beta else e


@textbook
def huber(v: _View, t: Tensor, mask: Tensor, *, delta: float, **_: Any):
    e = (v.values - t).abs()
    return torch.where(e <= delta, e**2 / 2, delta * (e - delta / 2))


@textbook
def log_cosh(v: _View, t: Tensor, mask: Tensor, **_: Any):
    e = v.values - t
    return torch.log((torch.exp(e) + torch.exp(-e)) / 2)


@textbook
def charbonnier(v: _View, t: Tensor, mask: Tensor, *, eps: float, **_: Any):
    return torch.sqrt((v.values - t) ** 2 + eps**2)


@textbook
def tukey(v: _View, t: Tensor, mask: Tensor, *, c: float, **_: Any):
    e = v.values - t
    return torch.where(e.abs() <= c, c**2 / 6 * (1 - (1 - (e / c) ** 2) ** 3), torch.full_like(e, c**2 / 6))


@textbook
def quantile(v: _View, t: Tensor, mask: Tensor, *, q: Any, **_: Any):
    q = torch.tensor(q, dtype=torch.float64)
    d = t - v.values
    return torch.where(d >= 0, q * d, (q - 1) * d)


@textbook
def hinge(v: _View, t: Tensor, mask: Tensor, *, margin: float, **_: Any):
    m = margin - t * v.values
    return torch.where(m > 0, m, torch.zeros_like(m))


@textbook
def squared_hinge(v: _View, t: Tensor, mask: Tensor, *, margin: float, **options: Any):
    return hinge(v, t, mask, margin=margin) ** 2


@textbook
def multi_margin(v: _View, t: Tensor, mask: Tensor, *, margin: float, p: int, **_: Any):
    x = v.values
    true = (x * t).sum(1, keepdim=True)
    m = margin - true + x
    others = torch.where((m > 0) & (t == 0), m, torch.zeros_like(m)) ** p
    return others.sum(1) / x.shape[1]


@textbook
def zero_one(v: _View, t: Tensor, mask: Tensor, **_: Any):
    p = v.probs
    if p.shape[1] == 1:
        return ((p[:, 0] > 0.5) != (t[:, 0] > 0.5)).double()
    return (p.argmax(1) != t.argmax(1)).double()


def _entropy_term(t: Tensor) -> Tensor:
    """t log t, 0 at 0."""
    return t * torch.log(torch.where(t > 0, t, torch.ones_like(t)))


@textbook
def kl(v: _View, t: Tensor, mask: Tensor, **_: Any):
    return (_entropy_term(t) - t * v.log_probs).sum(1)


@textbook
def js(v: _View, t: Tensor, mask: Tensor, **_: Any):
    p = v.probs
    m = (p + t) / 2
    log_m = torch.log(torch.where(m > 0, m, torch.ones_like(m)))
    return ((_entropy_term(p) - p * log_m) + (_entropy_term(t) - t * log_m)).sum(1) / 2


@textbook
def kd(v: _View, t: Tensor, mask: Tensor, *, temperature: float, **_: Any):
    p, q = softmax(v.raw / temperature), softmax(t.detach() / temperature)
    return temperature**2 * (q * (torch.log(q) - torch.log(p))).sum(1)


@textbook
def gaussian_nll(
    v: _View, t: Tensor, mask: Tensor, *, extra: dict[str, Tensor], full: bool, eps: float, **_: Any
):
    variance = extra["variance"]
    held = torch.where(variance < eps, torch.full_like(variance, eps), variance)
    held = variance + (held - variance).detach()  # the bound passes the gradient, as torch's does
    value = (torch.log(held) + (v.values - t) ** 2 / held) / 2
    return value + math.log(2 * math.pi) / 2 if full else value


@textbook
def poisson_nll(v: _View, t: Tensor, mask: Tensor, *, log_input: bool, full: bool, eps: float, **_: Any):
    x = v.values
    value = torch.exp(x) - t * x if log_input else x - t * torch.log(x + eps)
    if full:
        s = torch.where(t > 1, t, torch.ones_like(t))
        stirling = s * torch.log(s) - s + torch.log(2 * math.pi * s) / 2
        value = value + torch.where(t > 1, stirling, torch.zeros_like(t))
    return value


def _norm(x: Tensor, p: float = 2.0) -> Tensor:
    return (x.abs() ** p).sum(-1) ** (1 / p)


@textbook
def cosine(v: _View, t: Tensor, mask: Tensor, *, eps: float, **_: Any):
    x = v.values
    return 1 - (x * t).sum(-1) / (_norm(x).clamp(min=eps) * _norm(t).clamp(min=eps))


@textbook
def triplet(
    v: _View,
    t: Tensor,
    mask: Tensor,
    *,
    extra: dict[str, Tensor],
    margin: float,
    p: float,
    swap: bool,
    **_: Any,
):
    a, positive, negative = v.values, extra["positive"], extra["negative"]
    near, far = _norm(a - positive + 1e-6, p), _norm(a - negative + 1e-6, p)
    if swap:
        other = _norm(positive - negative + 1e-6, p)
        far = torch.where(other < far, other, far)
    m = near - far + margin
    return torch.where(m > 0, m, torch.zeros_like(m))


def _corners(b: Tensor, format: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    i, j, k, l = b.unbind(-1)  # noqa: E741
    match format:
        case "xyxy":
            return i, j, k, l
        case "xywh":
            return i, j, i + k, j + l
        case _:
            return i - k / 2, j - l / 2, i + k / 2, j + l / 2


def _areas(a: Tensor, b: Tensor, format: str) -> tuple[Tensor, Tensor, Tensor]:
    ax, ay, aX, aY = _corners(a, format)  # noqa: N806
    bx, by, bX, bY = _corners(b, format)  # noqa: N806
    w = torch.minimum(aX, bX) - torch.maximum(ax, bx)
    h = torch.minimum(aY, bY) - torch.maximum(ay, by)
    zero = torch.zeros_like(w)
    inter = torch.where(w > 0, w, zero) * torch.where(h > 0, h, zero)
    union = (aX - ax) * (aY - ay) + (bX - bx) * (bY - by) - inter
    hull = (torch.maximum(aX, bX) - torch.minimum(ax, bx)) * (torch.maximum(aY, bY) - torch.minimum(ay, by))
    return inter, union, hull


@textbook
def iou(v: _View, t: Tensor, mask: Tensor, *, mode: str, format: str, eps: float, **_: Any):
    inter, union, _hull = _areas(v.values, t, format)
    ratio = inter / (union + eps)
    if mode == "log":
        return -torch.log(ratio.clamp(min=eps))
    return 1 - ratio if mode == "linear" else 1 - ratio**2


@textbook
def giou(v: _View, t: Tensor, mask: Tensor, *, format: str, eps: float, **_: Any):
    inter, union, hull = _areas(v.values, t, format)
    return 1 - inter / (union + eps) + (hull - union) / (hull + eps)


# -------------------------------------------------------------------- reductions


def _mean(values: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    return values.sum() / max(int(counted.sum()), 1)


def _batchmean(values: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    seen = counted.reshape(counted.shape[0], -1).any(1) if counted.numel() else counted
    return values.sum() / max(int(seen.sum()), 1)


def _wmean(values: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return _mean(values, counted, None)
    whole = torch.where(counted, weights.expand_as(values), torch.zeros_like(values)).sum()
    return values.sum() / whole if whole != 0 else 0 * values.sum()


def _mean_all(values: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    return values.sum() / max(values.numel(), 1)


def _wmean_all(values: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return _mean_all(values, counted, None)
    return _wmean(values, torch.ones_like(counted), weights)


def _mean_of_means(values: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    rows = [
        row.sum() / int(seen.sum()) for row, seen in zip(values, counted, strict=True) if bool(seen.any())
    ]
    return torch.stack(rows).mean() if rows else 0 * values.sum()


def _topk(values: Tensor, counted: Tensor, weights: Tensor | None, *, frac: float, k: int | None) -> Tensor:
    left = values[counted]
    if not left.numel():
        return 0 * values.sum()
    wanted = k or max(int(frac * left.numel()), 1)
    return left.sort(descending=True).values[:wanted].mean()


def _ohem(values: Tensor, counted: Tensor, weights: Tensor | None, *, thresh: float, min_kept: int) -> Tensor:
    ranked = values[counted].sort(descending=True).values
    kept = max(int((ranked > -math.log(thresh)).sum()), min(min_kept, ranked.numel()))
    return ranked[:kept].mean() if kept else 0 * values.sum()


def _hard_negative(
    values: Tensor, counted: Tensor, weights: Tensor | None, *, ratio: float, positive: Tensor
) -> Tensor:
    total = 0 * values.sum()
    for value, seen, yes in zip(values, counted, positive.expand(values.shape), strict=True):
        yes = yes & seen
        negatives = value[seen & ~yes].sort(descending=True).values
        total = total + value[yes].sum() + negatives[: int(ratio * int(yes.sum()))].sum()
    return total


def _quantile(values: Tensor, counted: Tensor, weights: Tensor | None, *, q: float) -> Tensor:
    return torch.quantile(values[counted], q) if counted.any() else 0 * values.sum()


def _logsumexp(values: Tensor, counted: Tensor, weights: Tensor | None, *, temperature: float) -> Tensor:
    left = values[counted]
    return temperature * torch.log(torch.exp(left / temperature).mean()) if left.numel() else 0 * values.sum()


REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "mean": _mean,
    "sum": lambda values, counted, weights: values.sum(),
    "none": lambda values, counted, weights: values,
    "batchmean": _batchmean,
    "wmean": _wmean,
    "mean_all": _mean_all,
    "wmean_all": _wmean_all,
    "mean_of_means": _mean_of_means,
    "topk": _topk,
    "ohem": _ohem,
    "hard_negative": _hard_negative,
    "quantile": _quantile,
    "logsumexp": _logsumexp,
}


# -------------------------------------------------------------------- arithmetic


def _power(a: Tensor, b: Tensor) -> Tensor:
    """a ** b; the derivative of a root at 0 is 0."""
    if b.numel() == 1 and 0 < float(b) < 1:
        zero = a == 0
        return torch.where(zero, torch.zeros_like(a), torch.where(zero, torch.ones_like(a), a) ** b)
    return a**b


def _fold(pick: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def folded(*values: Tensor) -> Tensor:
        first, *rest = values
        for other in rest:
            first = pick(first, other)
        return first

    return folded


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": _power,
    "neg": lambda a: -a,
    "min": _fold(lambda a, b: torch.where(b < a, b, a)),
    "max": _fold(lambda a, b: torch.where(b > a, b, a)),
    "abs": lambda a: torch.where(a < 0, -a, a),
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": lambda a: _power(a, torch.tensor(0.5, dtype=torch.float64)),
    "clip": lambda a, low, high: torch.minimum(torch.maximum(a, low), high),
    "mean": lambda a: a.sum() / max(a.numel(), 1),
    "sum": torch.sum,
    "softplus": lambda a: torch.log(1 + torch.exp(a)),
    "sigmoid": lambda a: 1 / (1 + torch.exp(-a)),
    "tanh": torch.tanh,
    "detach": lambda a: a.detach(),
}


# Further families, each in a file of its own, register themselves here.
import formulas  # noqa: E402, F401
