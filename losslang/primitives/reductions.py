"""Reductions: the natural values of a loss to one number.

Every reduction is handed `values` (weights applied, 0 where masked), `weights` (None, or what each
value was multiplied with) and `counted` (None, or False where masked), all of one shape. One that
takes `total` is arithmetic on sums, and never needs all values at once. The mean over nothing is 0
with a zero gradient, never NaN.
"""

from __future__ import annotations

from losslang.primitives.decorators import reduction
from losslang.tensors.byte_masks import cleared, number_of
from losslang.tensors.devices import can_read_without_sync
from losslang.tensors.lazy import is_eager, torch
from losslang.tensors.numerics import divided
from losslang.tensors.options import Option, function_of, is_number
from losslang.vocabulary import (
    Count,
    Dynamic,
    Fixed,
    Float,
    Fraction,
    NonNegative,
    Positive,
    Proportion,
    Tensor,
    Total,
)


@reduction()
def mean(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
    total: Total,
) -> Float[Tensor, ""]:
    """Σ v / n over the n counted values; weights do not change n."""
    weighted_sum, number = total(values, 1 if counted is None else counted)
    return weighted_sum / _positive(number)


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
        return sums.sum() / max(sums.numel(), 1)
    sums, numbers = total(values, counted)
    return sums.sum() / _positive((numbers > 0).sum())


@reduction()
def wmean(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
    total: Total,
) -> Float[Tensor, ""]:
    """Σ w v / Σ w over the counted values: torch's mean of a class-weighted cross entropy.

    Of class weights w is that of the label of a place. Soft and one-hot labels give a place no one weight:
    there it is Σ v / n, as in torch. Where all weights are 0 it is 0.
    """
    if weights is None:
        return mean.function(values, weights, counted, total)
    spread = torch.as_tensor(weights, dtype=values.dtype, device=values.device).expand(values.shape)
    weighted_sum, weight = total(values, spread if counted is None else torch.where(counted, spread, 0.0))
    return divided(weighted_sum, weight)


@reduction()
def mean_all(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
    total: Total,
) -> Float[Tensor, ""]:
    """Σ v / n over all n values, those that are masked or ignored too: they are 0.

    With half of the labels ignored it is half of `mean`. That is what mmdetection, mmsegmentation, smp,
    kornia and pytorch-toolbelt do.
    """
    weighted_sum, number = total(values, 1)
    return weighted_sum / _positive(number)


@reduction()
def wmean_all(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
    total: Total,
) -> Float[Tensor, ""]:
    """Σ w v / Σ w over all values, as `wmean`, with what is masked or ignored among them, as `mean_all`."""
    if weights is None:
        return mean_all.function(values, weights, counted, total)
    return wmean.function(values, weights, None, total)


@reduction(per_sample=True)
def mean_of_means(
    values: Float[Tensor, "b *rest"],
    weights: Float[Tensor, "b *rest"] | None,
    counted: Float[Tensor, "b *rest"] | None,
    total: Total,
) -> Float[Tensor, ""]:
    """The mean over the samples of each one's mean. A sample with nothing counted is not counted."""
    sums, numbers = total(values, 1 if counted is None else counted)
    means = sums / _positive(numbers)
    return means.sum() / (max(means.numel(), 1) if counted is None else _positive((numbers > 0).sum()))


@reduction()
def topk(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
    *,
    frac: Dynamic[Fraction] = 0.1,
    k: Fixed[Count | None, "it counts values, and is the size of what is kept; `frac` takes one"] = None,
) -> Float[Tensor, ""]:
    """The mean of the hardest: the `k` largest values, or the share `frac` of the counted ones.

    At least one value is kept where one is counted. Wu, Shen, van den Hengel 2016, arXiv:1605.06885.
    """
    flat = values.flatten()
    if is_number(frac) and (counted is None or _can_count(values)):
        total = flat.numel() if counted is None else int(number_of(counted))
        number_of_hardest = min(k or max(int(frac * total), 1), total)
        return _mean(_seen(flat, counted).topk(number_of_hardest, sorted=False).values)
    ranked, number = _seen(flat, counted).sort(descending=True).values, _how_many(flat, counted)
    wanted = number.clamp(max=k) if k else _share(frac, number).clamp(min=1).minimum(number)
    hardest = torch.arange(flat.numel(), device=flat.device) < wanted
    return torch.where(hardest, ranked, 0.0).sum() / wanted.clamp(min=1)


@reduction()
def ohem(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
    *,
    thresh: Dynamic[Proportion] = 0.7,
    min_kept: Fixed[Count, "it counts values"] = 100_000,
) -> Float[Tensor, ""]:
    """The mean of what is not learned yet: values above -log `thresh`, and at least `min_kept` of the largest.

    A value is taken as -log of the probability of the true class, as `ce` gives it. Shrivastava, Gupta,
    Girshick 2016, arXiv:1604.03540; the defaults are those of mmsegmentation.
    """
    if _can_count(values):
        return _hardest(values, counted, -function_of("log", thresh), min_kept)
    ranked, number = _ranked(values, counted)
    rank = torch.arange(ranked.numel(), device=ranked.device)
    hard = ((ranked > -function_of("log", thresh)) | (rank < min_kept)) & (rank < number)
    return torch.where(hard, ranked, 0.0).sum() / hard.sum().clamp(min=1)


def _hardest(values: Tensor, counted: Tensor | None, bound: Option, least: int) -> Tensor:
    """Returns the same without a sort: by a look at how many values are above the bound."""
    total = values.numel() if counted is None else int(number_of(counted))
    if total <= least:
        return values.sum() / max(total, 1)
    seen = _seen(values.flatten(), counted)
    # NaN is above every bound.
    is_hard = ~(seen.detach() <= bound)
    number = int(number_of(is_hard))
    return (
        cleared(seen, is_hard).sum() / number
        if number >= least
        else seen.topk(least, sorted=False).values.mean()
    )


@reduction()
def hard_negative(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
    positive: Float[Tensor, "*shape"],
    *,
    ratio: Dynamic[NonNegative] = 3.0,
) -> Float[Tensor, ""]:
    """Σ over the positives and, per sample, over the `ratio` times as many hardest negatives. Not divided.

    What is true of a positive is not the background: SSD divides by their number, `/ batch.num_pos`.
    Liu et al. 2016, arXiv:1512.02325. Equal values are all kept or, at the border, in their order.
    """
    value = values.flatten(1) if values.ndim > 1 else values.unsqueeze(0)
    is_positive = (positive.expand(values.shape) > 0).reshape(value.shape)
    is_counted = torch.ones_like(is_positive) if counted is None else counted.reshape(value.shape)
    is_positive = is_positive & is_counted
    others = _sorted_down(torch.where(is_counted & ~is_positive, value, -torch.inf))
    wanted = (ratio * is_positive.sum(1, keepdim=True)).floor()
    rank = torch.arange(value.shape[1], device=value.device)
    # NaN stands before all, and counts.
    is_hardest = (rank < wanted) & (others != -torch.inf)
    return torch.where(is_positive, value, 0.0).sum() + torch.where(is_hardest, others, 0.0).sum()


@reduction()
def quantile(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
    *,
    q: Dynamic[Fraction] = 0.5,
) -> Float[Tensor, ""]:
    """The q-quantile of the counted values, linear between two of them, as torch.quantile's."""
    ranked, number = _ranked(values, counted)
    if not ranked.numel():
        return ranked.sum()
    # Ranked from the largest down: the q-quantile stands (1 - q)(n - 1) places from the start.
    position = (1 - q) * (number - 1).clamp(min=0).double()
    low = position.floor().long()
    high = torch.minimum(low + 1, (number - 1).clamp(min=0))
    share = (position - low).to(ranked.dtype)
    # Not `take`, which no exporter of torch's knows.
    beside = ranked.gather(0, torch.stack([low, high]))
    value = torch.lerp(beside[0], beside[1], share)
    return torch.where(number > 0, value, 0.0)


@reduction()
def logsumexp(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
    *,
    temperature: Dynamic[Positive] = 1.0,
) -> Float[Tensor, ""]:
    """T log (Σ e^(v / T) / n) over the n counted values: between their mean and, as T falls, their maximum."""
    flat = values.flatten()
    if counted is not None:
        flat = torch.where(counted.flatten(), flat, -torch.inf)
    number = _how_many(flat, counted)
    safe = torch.cat([flat, torch.where(number > 0, -torch.inf, 0.0).to(flat.dtype).reshape(1)])
    return temperature * (torch.logsumexp(safe / temperature, 0) - number.clamp(min=1).to(flat.dtype).log())


def _can_count(values: Tensor) -> bool:
    """Returns whether numbers may be looked at: in an eager call on a CPU."""
    return can_read_without_sync(values) and is_eager()


def _seen(flat: Tensor, counted: Tensor | None) -> Tensor:
    """Returns values with -inf in place of those that do not count."""
    return flat if counted is None else cleared(flat, counted.flatten(), -torch.inf)


def _share(frac: Option, number: Tensor) -> Tensor:
    """A share of a count, rounded down; of a tensor in single precision, which may lie a rounding below."""
    if is_number(frac):
        return (frac * number.double()).long()
    return (frac.detach().double() * (1 + torch.finfo(frac.dtype).eps) * number.double()).long()


def _sorted_down(values: Tensor) -> Tensor:
    """Sorts axis 1 from the largest down; equal values stay in their order."""
    if torch.compiler.is_exporting():
        # ONNX has one sort, which keeps the order; torch's exporter does not know it by the name of the stable one.
        return values.sort(dim=1, descending=True).values
    return values.sort(stable=True, dim=1, descending=True).values


def _ranked(values: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    """The counted values from the largest to the smallest, the others 0 behind them, and their number."""
    flat, number = values.flatten(), _how_many(values, counted)
    if counted is None:
        return flat.sort(descending=True).values, number
    ranked = torch.where(counted.flatten(), flat, -torch.inf).sort(descending=True).values
    return torch.where(torch.arange(flat.numel(), device=flat.device) < number, ranked, 0.0), number


def _how_many(values: Tensor, counted: Tensor | None) -> Tensor:
    """The number of counted values, as a tensor on their device."""
    return torch.full((), values.numel(), device=values.device) if counted is None else counted.sum()


def _mean(values: Tensor) -> Tensor:
    """The mean; of none it is 0, with a zero gradient."""
    return values.mean() if values.numel() else values.sum()


def _positive(number: Tensor | int) -> Tensor | int:
    """A count that can divide: at least 1."""
    return number.clamp(min=1) if isinstance(number, torch.Tensor) else max(number, 1)
