"""Natural values to one number.

Every reduction is handed `values` (weights applied, 0 where masked), `weights` (None, or what each
value was multiplied with) and `counted` (None, or False where masked), all of one shape. The mean
over nothing is 0 with a zero gradient, never NaN.
"""

from __future__ import annotations

from losslang.decorators import reduction
from losslang.lazy import torch
from losslang.vocabulary import Count, Float, Fraction, Tensor


@reduction()
def mean(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
) -> Float[Tensor, ""]:
    """Σ v / n over the n counted values; weights do not change n."""
    if counted is None:
        return values.mean() if values.numel() else values.sum()
    return values.sum() / counted.sum().clamp(min=1)


@reduction()
def sum_(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
) -> Float[Tensor, ""]:
    """Σ v."""
    return values.sum()


@reduction()
def none(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
) -> Float[Tensor, "*shape"]:
    """The values themselves; only for a program of one term."""
    return values


@reduction()
def batchmean(
    values: Float[Tensor, "b *rest"],
    weights: Float[Tensor, "b *rest"] | None,
    counted: Float[Tensor, "b *rest"] | None,
) -> Float[Tensor, ""]:
    """Σ v / b: per sample, whatever else is summed. A sample with nothing counted is not counted."""
    if counted is None:
        return values.sum() / max(values.shape[0], 1)
    return values.sum() / counted.reshape(counted.shape[0], -1).any(1).sum().clamp(min=1)


@reduction()
def wmean(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
) -> Float[Tensor, ""]:
    """Σ w v / Σ w over the counted values: torch's mean of a class-weighted cross entropy."""
    if weights is None:
        return mean.function(values, weights, counted)
    spread = torch.as_tensor(weights, dtype=values.dtype, device=values.device).expand(values.shape)
    total = (spread if counted is None else torch.where(counted, spread, 0.0)).sum()
    return values.sum() / torch.where(total == 0, 1.0, total)


@reduction()
def topk(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
    *,
    frac: Fraction = 0.1,
    k: Count | None = None,
) -> Float[Tensor, ""]:
    """The mean of the hardest: the `k` largest values, or the share `frac` of the counted ones.

    At least one value is kept where one is counted. Wu, Shen, van den Hengel 2016, arXiv:1605.06885.
    """
    flat = values.flatten()
    if counted is None:
        kept = min(k or max(int(frac * flat.numel()), 1), flat.numel())
        return mean.function(flat.topk(kept, sorted=False).values, None, None)
    ranked = torch.where(counted.flatten(), flat, -torch.inf).sort(descending=True).values
    number = counted.sum()
    wanted = torch.as_tensor(k, device=flat.device) if k else (frac * number.double()).long().clamp(min=1)
    wanted = torch.minimum(wanted, number)
    hardest = torch.arange(flat.numel(), device=flat.device) < wanted
    return torch.where(hardest, ranked, 0.0).sum() / wanted.clamp(min=1)
