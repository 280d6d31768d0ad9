"""Entropies that are finite and exact: 0 log 0 = 0 for every loss, binary entropy without cancellation.

`-inf` is a logit like any other: it rules a class out, or says that something is not there. Its logarithm
is -inf, which costs nothing where the target gives it no share. A NaN stays NaN.
"""

from __future__ import annotations

import math
from typing import Any

from losslang.primitives.activations import less_likely, log_more_likely
from losslang.primitives.functions import mean, softplus
from losslang.primitives.primitive import Sloped
from losslang.tensors.devices import can_read_without_sync, kept_one, min_if_cheap
from losslang.tensors.lazy import is_eager, torch
from losslang.vocabulary import Tensor

NEVER = -1e4
"""The logit of masked elements: its probability is exactly 0 in double precision, and so are powers of it."""
FEW = 2**19
"""Elements below which a sure target is looked for: above, what needs memory is walked over in blocks."""
COMPARED = 2**12
"""Elements of a target below which `torch.equal` takes less time than `aminmax` and two numbers read."""


def possible(logs: Any, shares: Tensor) -> Any:
    """Replaces -inf by 0 in logarithms whose share is 0, so that no value and no gradient meets 0 * inf."""
    # Symbols have no values. Where all can be seen to be finite, one look is cheaper than a mask.
    if not isinstance(logs, torch.Tensor) or min_if_cheap(logs) > -math.inf:
        return logs
    return logs.masked_fill((logs == -math.inf) & (shares == 0), 0.0)


def times_log(shares: Tensor, logs: Any) -> Tensor:
    """shares * logs, with 0 log 0 = 0."""
    return shares * possible(logs, shares)


def agreement(log_probs: Any, log_complement: Any, target: Any) -> Any:
    """The log-likelihood of a binary target: t log p + (1 - t) log(1 - p), with 0 log 0 = 0."""
    return times_log(target, log_probs) + times_log(1 - target, log_complement)


def pick(values: Tensor, labels: Tensor) -> Tensor:
    """Σ_c t_c v_c over the class axis: a gather for indices, a sum for a distribution, with 0 log 0 = 0."""
    if labels.ndim == values.ndim:
        return times_log(labels, values).sum(1)
    return values.gather(1, labels.unsqueeze(1)).squeeze(1)


# ------------------------------------------------------------------- a yes and no, by its logit


def turned(logits: Tensor, target: Tensor) -> Tensor | None:
    """The logit of the wrong answer, (1 - 2 t) x, for a target known to be 0 or 1 everywhere; else None.

    A target on a GPU, of a traced call or with a gradient is not looked at.
    """
    if not can_read_without_sync(target) or target.requires_grad or not is_eager():
        return None
    return _signs(target) * logits if holds_sure(target) else None


def _signs(target: Tensor) -> Tensor:
    """1 - 2 t: what turns a logit to that of the wrong answer."""
    return torch.sub(kept_one(target.dtype), target, alpha=2)


def holds_sure(target: Tensor, room: Tensor | None = None) -> bool:
    """True if a target is 0 or 1 everywhere, so that t - t^2 is 0; NaN is neither.

    It is computed in `room`, if that is given. A look at both ends of many elements takes a third to a half
    of the time of a comparison.
    """
    if target.numel() < COMPARED:
        return torch.equal(target * target, target)
    least, most = torch.addcmul(target, target, target, value=-1, out=room).aminmax()
    return least.item() == 0 == most.item()


def focus(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The probability of the wrong answer, q = t (1 - p) + (1 - t) p, and the binary entropy."""
    wrong = turned(logits, target)
    if wrong is not None:
        return torch.sigmoid(wrong), softplus.function(wrong)
    if not is_eager():
        is_positive, least, unlikely = less_likely(logits)
        against = torch.where(is_positive, 1 - target, target)
        mistaken = against + (1 - 2 * against) * unlikely
        return mistaken, -log_more_likely(least, unlikely) - times_log(against, least)
    # 1 - p is sigmoid(-x), since 1 - sigmoid(x) has lost its digits at x = 17; a lerp is exact at both ends.
    mistaken = torch.lerp(torch.sigmoid(logits), torch.sigmoid(-logits), target)
    return mistaken, binary_entropy(logits, target)


def error(logits: Tensor, target: Tensor) -> Tensor:
    """The error p - t, as (1 - t) p - t (1 - p): correct to one rounding where t is 0 or 1."""
    if not is_eager():
        is_positive, _, unlikely = less_likely(logits)
        return torch.where(is_positive, 1 - target - unlikely, unlikely - target)
    return torch.lerp(torch.sigmoid(logits), -torch.sigmoid(-logits), target)


def binary_entropy(logits: Tensor, target: Tensor, *weights: Any, reduction: str = "none") -> Tensor:
    """The binary entropy, -(a t log p + b (1 - t) log(1 - p)); a and b are 1 unless given, b if it is None.

    It is right to a rounding of itself at every logit, and so is its derivative where t is 0 or 1.
    """
    if logits.numel() < FEW:
        # Of few elements the calls are the time: four in place of ten and a function of their own.
        wrong = turned(logits, target)
        if wrong is not None:
            values = softplus.function(wrong)
            found = reduced(values.mul_(_share(target, *weights)) if weights else values, reduction)
            # A weight of 0 times an infinite cost is NaN here, and 0 in the formula.
            if not weights or not math.isnan((found if reduction != "none" else found.detach().sum()).item()):
                return found
    return _SLOPED(logits, target, *weights, reduction=reduction)


def reduced(values: Tensor, reduction: str) -> Tensor:
    """Applies the `reduction` that torch's kernels have themselves; the mean of none is 0."""
    if reduction == "none":
        return values
    return mean.function(values) if reduction == "mean" else values.sum()


def _entropy(logits: Tensor, target: Tensor, *weights: Any) -> Tensor:
    """The formula of the binary entropy, which torch differentiates."""
    is_differentiated = torch.is_grad_enabled() and any(
        value is not None and value.requires_grad for value in (logits, target, *weights)
    )
    if not is_differentiated and is_eager():
        return _entropy_slope(logits, target, *weights)[0]
    return _formula(logits, target, *weights)


def _entropy_slope(logits: Tensor, target: Tensor, *weights: Any) -> tuple[Tensor, Tensor]:
    """The same, and its derivative b p - a (1 - p), in three tensors; a and b are the shares of `_parts`.

    With h = 1 where x >= 0 and 0 elsewhere, k = b where h = 1 and -a elsewhere, and e = sigmoid(-|x|), the
    probability of the less likely side, they are k x - (a + b) log(1 - e) and k + (1 - 2 h) (a + b) e, of
    which no part cancels another: k x is b |x| or a |x|.
    """
    doubt = logits.abs().neg_().sigmoid_()
    values = doubt.neg().log1p_()
    share: Any = torch.ge(logits, 0, out=torch.empty_like(logits))  # pyright: ignore
    doubt.addcmul_(share, doubt, value=-2)
    if not weights:
        share.sub_(target)
    else:
        yes, no = _parts(target, *weights)
        both = yes + no
        values.mul_(both)
        doubt.mul_(both)
        # Not h (a + b) - a, which is b to a rounding of a.
        share = torch.lerp(-yes, no, share)
    if can_read_without_sync(values):
        values.addcmul_(share, logits, value=-1).neg_()
        if math.isnan(values.sum().item()):
            # An infinite logit that is right has no share, or something is NaN: the formula tells which.
            with torch.no_grad():
                values = _formula(logits, target, *weights)
    else:
        # To look at a number waits for a GPU. What is NaN is so in the logarithm too.
        values = (share * logits).masked_fill_(share == 0, 0.0).sub_(values)
    return values, share.add_(doubt)


def _parts(target: Tensor, *weights: Any) -> tuple[Tensor, Tensor]:
    """The shares of the yes and of the no, a t and b (1 - t)."""
    if not weights:
        return target, 1 - target
    yes, no = weights
    return yes * target, 1 - target if no is None else no * (1 - target)


def _share(target: Tensor, yes: Tensor, no: Tensor | None) -> Tensor:
    """a t + b (1 - t): exactly a or b where t is 1 or 0."""
    target = target.to(yes.dtype)
    # A lerp between tensors of one number reads them one element at a time.
    return (1 - target if no is None else no * (1 - target)).addcmul_(target, yes)


def _formula(logits: Tensor, target: Tensor, *weights: Any) -> Tensor:
    """The same in operations that torch differentiates and its compiler joins."""
    yes, no = _parts(target, *weights)
    is_positive, least, unlikely = less_likely(logits)
    certain = log_more_likely(least, unlikely)
    if weights:
        certain = certain * (yes + no)
    return -certain - times_log(torch.where(is_positive, no, yes), least)


_SLOPED = Sloped(_entropy, _entropy_slope)
