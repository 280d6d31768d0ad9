"""Textbook formulas of the oracle: regions. Nothing shared, fused or stabilised; float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from reference import FORMS, textbook
from torch import Tensor

Made = tuple[Tensor, Tensor, dict[str, Any]]

FORMS.update(
    {
        "gdl": ("dense", "sample"),
        "lovasz_hinge": ("dense", "region"),
        "lovasz_softmax": ("dense", "region"),
        "mcc": ("dense", "region"),
        "sensitivity_specificity": ("dense", "region"),
        "unified_focal": ("dense", "region"),
        "exp_log": ("dense", "sample"),
        "boundary": ("like", "element"),
        "hausdorff_dt": ("dense", "region"),
        "hausdorff_er": ("dense", "region"),
        "cldice": ("dense", "region"),
    }
)
OTHER: dict[tuple[str, str], list[str]] = {
    ("gdl", "weighting"): ["simple", "uniform"],
    ("lovasz_softmax", "classes"): ["all"],
    ("unified_focal", "gamma"): ["0.8"],
    ("unified_focal", "delta"): ["0.2"],
    ("hausdorff_er", "k"): ["1"],
    ("cldice", "iters"): ["1"],
}


def _blobs(r: torch.Generator) -> Made:
    """Wrong over whole areas, so that errors outlast an erosion, be these numbers probabilities or logits."""
    indices = torch.zeros(3, 6, 5, dtype=torch.long)
    indices[0, 1:5, 1:4], indices[1, :3], indices[1, 4:, 2:] = 1, 1, 2
    indices[2, 2:5, :3] = 2
    target = torch.stack([(indices == c).double() for c in range(3)], 1)
    noise = torch.rand((3, 3, 6, 5), generator=r, dtype=torch.float64)
    return 0.97 * target.roll(1, 1) + 0.02 * noise, target, {}


DATA: dict[str, Callable[[torch.Generator], Made]] = {"hausdorff_er": _blobs}


def _regions(mask: Tensor, batch: bool, *values: Tensor) -> list[list[list[Tensor]]]:
    """The counted elements of every sample (of the batch as one) and class: regions[i][c] holds one for each value."""
    b, c = mask.shape[:2]
    each = [[[v[i, j][mask[i, j]] for v in values] for j in range(c)] for i in range(b)]
    if not batch:
        return each
    return [[[torch.cat([v[i, j][mask[i, j]] for i in range(b)]) for v in values] for j in range(c)]]


def _table(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row) for row in rows])


@textbook
def gdl(v: Any, t: Tensor, mask: Tensor, *, batch: bool, weighting: str, smooth: float, **_: Any):
    found: list[Tensor] = []
    for sample in _regions(mask, batch, v.probs, t):
        volumes = [float(true.sum()) for _, true in sample]
        power = {"square": 2, "simple": 1, "uniform": 0}[weighting]
        weights = [volume**-power if volume or not power else math.inf for volume in volumes]
        heaviest = max([w for w in weights if w < math.inf], default=0.0)
        weights = [w if w < math.inf else heaviest for w in weights]
        over = sum(w * 2 * (p * true).sum() for w, (p, true) in zip(weights, sample, strict=True))
        both = sum(w * (p.sum() + true.sum()) for w, (p, true) in zip(weights, sample, strict=True))
        over, both = torch.as_tensor(over) + smooth, torch.as_tensor(both) + smooth
        found.append(1 - over / both if both != 0 else 0 * both)
    return torch.stack(found)


def _jaccard(wrong: list[int], truth: Tensor) -> Tensor:
    """1 - IoU of a prediction that is wrong at these places: misses and inventions."""
    missed, invented = truth[wrong].sum(), (1 - truth[wrong]).sum()
    union = truth.sum() + invented
    return 1 - (truth.sum() - missed) / union if union > 0 else 0 * union


def _lovasz(errors: Tensor, truth: Tensor) -> Tensor:
    """Σ e_i (J(the i largest) - J(the i - 1 largest)): the extension by its definition, set by set."""
    order = sorted(range(len(errors)), key=lambda i: -float(errors[i].detach()))
    total = errors.sum() * 0
    for n, place in enumerate(order):
        gained = _jaccard(order[: n + 1], truth) - _jaccard(order[:n], truth)
        total = total + torch.relu(errors[place]) * gained
    return total


@textbook
def lovasz_hinge(v: Any, t: Tensor, mask: Tensor, *, batch: bool, **_: Any):
    rows = _regions(mask, batch, v.raw if not v.drop else v.raw[:, 1:], t)
    return _table([[_lovasz(1 - x * (2 * true - 1), true) for x, true in row] for row in rows])


@textbook
def lovasz_softmax(v: Any, t: Tensor, mask: Tensor, *, batch: bool, classes: str, **_: Any):
    rows = _regions(mask, batch, v.probs, t)
    values = _table([[_lovasz((true - p).abs(), true) for p, true in row] for row in rows])
    there = torch.tensor([[classes == "all" or bool((true > 0).any()) for _, true in row] for row in rows])
    return values, there


def _confusion(p: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """TP, FP, FN and TN; of nothing at all, what is finite."""
    if not p.numel():
        return p.sum() + 1, p.sum(), p.sum(), p.sum() + 1
    return (p * t).sum(), (p * (1 - t)).sum(), ((1 - p) * t).sum(), ((1 - p) * (1 - t)).sum()


@textbook
def mcc(v: Any, t: Tensor, mask: Tensor, *, batch: bool, smooth: float, **_: Any):
    def of(p: Tensor, true: Tensor) -> Tensor:
        tp, fp, fn, tn = (count + smooth for count in _confusion(p, true))
        product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        return 1 - (tp * tn - fp * fn) / torch.sqrt(product)

    return _table([[of(*region) for region in row] for row in _regions(mask, batch, v.probs, t)])


def _over(a: Tensor, b: Tensor) -> Tensor:
    return a / b if b != 0 else 0 * a


@textbook
def sensitivity_specificity(
    v: Any, t: Tensor, mask: Tensor, *, batch: bool, r: float, smooth: float, **_: Any
):
    def of(p: Tensor, true: Tensor) -> Tensor:
        missed, invented = ((true - p) ** 2 * true).sum(), ((true - p) ** 2 * (1 - true)).sum()
        share = _over(missed, true.sum() + smooth), _over(invented, (1 - true).sum() + smooth)
        return r * share[0] + (1 - r) * share[1]

    return _table([[of(*region) for region in row] for row in _regions(mask, batch, v.probs, t)])


@textbook
def unified_focal(
    v: Any,
    t: Tensor,
    mask: Tensor,
    *,
    batch: bool,
    share: float,
    gamma: float,
    delta: float,
    smooth: float,
    **_: Any,
):
    def tversky(tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
        mistaken = delta * fn + (1 - delta) * fp
        return 1 - (tp + smooth) / (tp + mistaken + smooth) if tp + mistaken + smooth != 0 else 0 * tp

    def of(p: Tensor, log_p: Tensor, log_q: Tensor, true: Tensor) -> Tensor:
        tp, fp, fn, tn = _confusion(p, true)
        rare, usual = tversky(tp, fp, fn), tversky(tn, fn, fp)
        rare = rare ** (1 - gamma) if rare > 0 else 0 * rare
        grown = torch.where(p > 0, torch.where(p > 0, p, torch.ones_like(p)) ** gamma, torch.zeros_like(p))
        entropy = -delta * true * log_p - (1 - delta) * (1 - true) * grown * log_q
        return share * entropy.sum() / max(p.numel(), 1) / 2 + (1 - share) * (rare + usual) / 2

    rows = _regions(mask, batch, v.probs, v.log_probs, v.log_complement, t)
    return _table([[of(*region) for region in row] for row in rows])


@textbook
def exp_log(
    v: Any,
    t: Tensor,
    mask: Tensor,
    *,
    batch: bool,
    w_dice: float,
    w_ce: float,
    gamma: float,
    smooth: float,
    **_: Any,
):
    def power(x: Tensor) -> Tensor:
        positive = torch.where(x > 0, x, torch.ones_like(x))
        return torch.where(x > 0, positive**gamma, torch.zeros_like(x))

    found: list[Tensor] = []
    for sample in _regions(mask, batch, v.probs, v.log_probs, t):
        classes, places = torch.zeros_like(t.sum()), torch.zeros_like(t.sum())
        for p, log_p, true in sample:
            alike = (2 * (p * true).sum() + smooth) / (p.sum() + true.sum() + smooth)
            classes = classes + power(-torch.log(alike))
            places = places + (true * power(-log_p)).sum() / max(p.numel(), 1)
        found.append(w_dice * classes / len(sample) + w_ce * places)
    return torch.stack(found)


@textbook
def boundary(v: Any, t: Tensor, mask: Tensor, **_: Any):
    return v.probs * t


# -------------------------------------------------------------------- surfaces


def _shown(v: Any, t: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities and truths, 0 where masked."""
    return torch.where(mask, v.probs, torch.zeros_like(t)), torch.where(mask, t, torch.zeros_like(t))


def _averaged(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).flatten(2).sum(2) / mask.flatten(2).sum(2).clamp(min=1)


def _places(shape: torch.Size) -> list[tuple[int, ...]]:
    return list(itertools.product(*map(range, shape)))


def _field(values: Tensor) -> Tensor:
    """How far each place is from the nearest one on the other side of 1/2, by looking at all of them."""
    sides = {place: bool(values[place] > 0.5) for place in _places(values.shape)}
    field = torch.zeros_like(values)
    if len(set(sides.values())) == 2:
        for place, side in sides.items():
            field[place] = min(math.dist(place, other) for other in sides if sides[other] != side)
    return field


@textbook
def hausdorff_dt(v: Any, t: Tensor, mask: Tensor, *, alpha: float, **_: Any):
    p, t = _shown(v, t, mask)
    far = torch.zeros_like(t)
    for i, j in itertools.product(range(len(t)), range(t.shape[1])):
        sides = _field(p[i, j].detach()), _field(t[i, j].detach())
        one_sided = [bool((field == 0).all()) for field in sides]
        for field, is_none in zip(sides, one_sided, strict=True):
            far[i, j] += 0 * field if is_none else field**alpha
    return _averaged((p - t) ** 2 * far, mask)


def _neighbours(x: Tensor, edge: float) -> Tensor:
    """Each element and its direct neighbours, stacked along a new last axis; `edge` outside."""
    found = [x]
    for axis in range(x.ndim):
        n = x.shape[axis]
        rim = torch.full_like(x.narrow(axis, 0, 1), edge)
        found.append(torch.cat([rim, x.narrow(axis, 0, n - 1)], axis))
        found.append(torch.cat([x.narrow(axis, 1, n - 1), rim], axis))
    return torch.stack(found, -1)


@textbook
def hausdorff_er(v: Any, t: Tensor, mask: Tensor, *, alpha: float, k: int, **_: Any):
    p, t = _shown(v, t, mask)

    def of(x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for step in range(k):
            x = torch.relu(_neighbours(x, 0.0).mean(-1) - 0.5)
            if x.max() != x.min():
                x = (x - x.min()) / (x.max() - x.min())
            total = total + x * (step + 1) ** alpha
        return total

    errors = (p - t) ** 2
    return _averaged(_table([[of(errors[i, j]) for j in range(t.shape[1])] for i in range(len(t))]), mask)


def _opening(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eroded by a cross, and dilated again by a block."""
    eroded = _neighbours(x, math.inf).amin(-1)
    dilated = eroded
    for axis in range(x.ndim):
        n = x.shape[axis]
        rim = torch.full_like(x.narrow(axis, 0, 1), -math.inf)
        before = torch.cat([rim, dilated.narrow(axis, 0, n - 1)], axis)
        after = torch.cat([dilated.narrow(axis, 1, n - 1), rim], axis)
        dilated = torch.stack([before, dilated, after]).amax(0)
    return eroded, dilated


def _skeleton(x: Tensor, iters: int) -> Tensor:
    eroded, opened = _opening(x)
    skeleton = torch.relu(x - opened)
    for _ in range(iters):
        x = eroded
        eroded, opened = _opening(x)
        more = torch.relu(x - opened)
        skeleton = skeleton + torch.relu(more - skeleton * more)
    return skeleton


@textbook
def cldice(v: Any, t: Tensor, mask: Tensor, *, iters: int, smooth: float, **_: Any):
    p, t = _shown(v, t, mask)

    def of(found: Tensor, true: Tensor) -> Tensor:
        mine, theirs = _skeleton(found, iters), _skeleton(true, iters)
        precision = ((mine * true).sum() + smooth) / (mine.sum() + smooth)
        sensitivity = ((theirs * found).sum() + smooth) / (theirs.sum() + smooth)
        return 1 - 2 * precision * sensitivity / (precision + sensitivity)

    return _table([[of(p[i, j], t[i, j]) for j in range(t.shape[1])] for i in range(len(t))])
