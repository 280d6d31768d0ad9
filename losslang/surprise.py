"""0 log 0 = 0 for every loss, and the entropy of a yes and no without cancellation.

`-inf` is a logit like any other: it rules a class out, or says that something is not there. Its logarithm is -inf,
which costs nothing where the truth gives it no share. A NaN stays NaN: only what is infinite is left out.
"""

from __future__ import annotations

import math
from typing import Any

from losslang.activations import log_complement_sigmoid, log_sigmoid
from losslang.functions import least, near
from losslang.lazy import is_eager, torch
from losslang.primitive import Sloped
from losslang.vocabulary import Tensor


def possible(logs: Tensor, shares: Tensor) -> Tensor:
    """The logarithms, and 0 for a logarithm of 0 that has no share: neither value nor gradient meets 0 * inf."""
    # Symbols have no values. Where all can be seen to be finite, one look is cheaper than a mask.
    if not isinstance(logs, torch.Tensor) or least(logs) > -math.inf:
        return logs
    return logs.masked_fill((logs == -math.inf) & (shares == 0), 0.0)


def times_log(shares: Tensor, logs: Tensor) -> Tensor:
    """shares * logs, with 0 log 0 = 0."""
    return shares * possible(logs, shares)


def pick(values: Tensor, labels: Tensor) -> Tensor:
    """Σ_c t_c v_c over the class axis: a gather for indices, a sum for a distribution, with 0 log 0 = 0."""
    if labels.ndim == values.ndim:
        return times_log(labels, values).sum(1)
    return values.gather(1, labels.unsqueeze(1)).squeeze(1)


# ------------------------------------------------------------------- a yes and no, by its logit


def mistaken(logits: Tensor, target: Tensor) -> Tensor:
    """t (1 - p) + (1 - t) p, the probability given to what is not true.

    1 - p is sigmoid(-x), since 1 - sigmoid(x) has lost its digits at x = 17; a lerp is exact at both ends.
    """
    return torch.lerp(torch.sigmoid(logits), torch.sigmoid(-logits), target)


def error(logits: Tensor, target: Tensor) -> Tensor:
    """p - t, as (1 - t) p - t (1 - p): exact to a rounding of itself where t is 0 or 1."""
    return torch.lerp(torch.sigmoid(logits), -torch.sigmoid(-logits), target)


def _entropy(logits: Tensor, yes: Tensor, no: Tensor | None) -> Tensor:
    """-(a log p + b log(1 - p)), a how much is true and b how much is not; b = 1 - a unless it is given."""
    is_differentiated = torch.is_grad_enabled() and any(
        value is not None and value.requires_grad for value in (logits, yes, no)
    )
    if not is_differentiated and is_eager():
        return _entropy_in_place(logits, yes, no)[0]
    negative = 1 - yes if no is None else no
    return -(
        times_log(yes, log_sigmoid(logits)) + times_log(negative, log_complement_sigmoid(logits))
    )


def _entropy_slope(logits: Tensor, yes: Tensor, no: Tensor | None) -> tuple[Tensor, Tensor]:
    """The same, and its derivative b p - a (1 - p)."""
    value, share, doubt, side = _entropy_in_place(logits, yes, no)
    return value, share.addcmul_(doubt, torch.rsub(side, 1, alpha=2))


def _entropy_in_place(logits: Tensor, yes: Tensor, no: Tensor | None) -> tuple[Tensor, ...]:
    """The value, and what its derivative is made of.

    With h = 1 where x >= 0 and 0 elsewhere, k = h (a + b) - a and e = sigmoid(-|x|), the probability of the less
    likely side, it is k x - (a + b) log(1 - e), of which no part cancels another: k x = b |x| or a |x|. The
    derivative is k + (1 - 2h) (a + b) e.
    """
    doubt = logits.abs().neg_().sigmoid_()
    side: Any = torch.ge(logits, 0, out=torch.empty_like(logits))  # pyright: ignore
    tail = doubt.neg().log1p_()
    if no is None:
        share = side - yes
    else:
        both = yes + no
        share, tail, doubt = torch.sub(both * side, yes), tail.mul_(both), doubt * both
    value = share * logits
    if not near(value) or math.isnan(value.sum().item()):
        # An infinite logit that is right has no share. A NaN stands in the tail too.
        value = value.masked_fill(share == 0, 0.0)
    return value.sub_(tail), share, doubt, side


binary_entropy = Sloped(_entropy, _entropy_slope)
"""`binary_entropy(logits, yes, no=None, reduction="none")`, right to a rounding of itself at every logit."""
