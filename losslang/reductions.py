"""Natural values to one number.

Every reduction is handed `values` (weights applied, 0 where masked), `weights` (None, or what each
value was multiplied with) and `counted` (None, or False where masked), all of one shape. One that
takes `total` is arithmetic on sums, and never needs all values at once. The mean over nothing is 0
with a zero gradient, never NaN.
"""

from __future__ import annotations

from losslang.decorators import reduction
from losslang.lazy import torch
from losslang.vocabulary import Count, Float, Fraction, Tensor, Total


@reduction()
def mean(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
    total: Total,
) -> Float[Tensor, ""]:
    """Σ v / n over the n counted values; weights do not change n."""
    whole, number = total(values, 1 if counted is None else counted)
    return whole / _positive(number)


@reduction()
def sum_(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
    total: Total,
) -> Float[Tensor, ""]:
    """Σ v."""
    return total(values)[0]


@reduction()
def none(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
) -> Float[Tensor, "*shape"]:
    """The values themselves; only for a program of one term."""
    return values


@reduction(per_sample=True)
def batchmean(
    values: Float[Tensor, "b *rest"],
    weights: Float[Tensor, "b *rest"] | None,
    counted: Float[Tensor, "b *rest"] | None,
    total: Total,
) -> Float[Tensor, ""]:
    """Σ v / b: per sample, whatever else is summed. A sample with nothing counted is not counted."""
    if counted is None:
        (sums,) = total(values)
        return sums.sum() / max(sums.shape[0], 1)
    sums, numbers = total(values, counted)
    return sums.sum() / _positive((numbers > 0).sum())


@reduction()
def wmean(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
    total: Total,
) -> Float[Tensor, ""]:
    """Σ w v / Σ w over the counted values: torch's mean of a class-weighted cross entropy."""
    if weights is None:
        return mean.function(values, weights, counted, total)
    spread = torch.as_tensor(weights, dtype=values.dtype, device=values.device).expand(values.shape)
    whole, weight = total(values, spread if counted is None else torch.where(counted, spread, 0.0))
    return whole / torch.where(weight == 0, 1.0, weight)


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
        return _mean(flat.topk(kept, sorted=False).values)
    ranked = torch.where(counted.flatten(), flat, -torch.inf).sort(descending=True).values
    number = counted.sum()
    wanted = torch.as_tensor(k, device=flat.device) if k else (frac * number.double()).long().clamp(min=1)
    wanted = torch.minimum(wanted, number)
    hardest = torch.arange(flat.numel(), device=flat.device) < wanted
    return torch.where(hardest, ranked, 0.0).sum() / wanted.clamp(min=1)


def _mean(values: Tensor) -> Tensor:
    return values.mean() if values.numel() else values.sum()


def _positive(number: Tensor | int) -> Tensor | int:
    return number.clamp(min=1) if isinstance(number, torch.Tensor) else max(number, 1)
