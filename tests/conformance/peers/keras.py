"""keras.losses: classes last, a mean over the last axis before weights, given probabilities clipped at 1e-7.

`sample_weight` multiplies what is then averaged over the batch, so it is a factor of the term and not a
`weight=`; only `mean_with_sample_weight` divides by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from conformance.translation import Call, Inexpressible, Ours, Peer, class_axis_second, times, use, width

keras = Peer("keras")

EPSILON = "1e-7"
BELOW_ONE = "0.9999998807907104"
"""1 - 1e-7 in float32, in which keras computes: log(1 - p) of it is -15.94, in float64 -16.12."""
CLIPPED = f"clip(pred, {EPSILON}, {BELOW_ONE})"
WEIGHT = "sample_weight"


def weight(call: Call, rank: int) -> dict[str, Tensor]:
    """`sample_weight` in the rank of keras' values, or one number."""
    weights: Tensor | None = call.tensor(WEIGHT)
    if weights is None and not call.says(WEIGHT):
        return {}
    if weights is None:
        return {WEIGHT: call.number(WEIGHT)}
    weights = weights.to(call.dtype)
    return {WEIGHT: weights.squeeze(-1) if weights.ndim == rank + 1 else weights}


def reduced(
    call: Call, text: Callable[..., str], pred: Tensor, target: Tensor, *, rank: int, averaged: int = 1
) -> Ours:
    """The program under keras' reduction and weights.

    `text` writes the program with some options; keras has values of `rank` axes, each the mean of `averaged`
    of ours.
    """
    held = weight(call, rank)
    how = call.get("reduction", "sum_over_batch_size")
    _ = call.get("name"), call.get("dtype")
    summed: dict[str, Any] = {"avg_factor": averaged} if averaged > 1 else {"reduction": "sum"}
    factor = f"batch.{WEIGHT}*" if held else ""
    match how:
        case "sum_over_batch_size" | "mean":
            return Ours(factor + text(), pred, target, held)
        case "sum":
            return Ours(factor + text(**summed), pred, target, held)
        case "none" | None if averaged == 1:
            return Ours(factor + text(reduction="none"), pred, target, held)
        case "none" | None:
            raise Inexpressible("a mean over the last axis alone")
        case "mean_with_sample_weight" if held and held[WEIGHT].ndim:
            return Ours(text(weight=f"batch.{WEIGHT}", reduction="wmean"), pred, target, held)
        case "mean_with_sample_weight" if held and rank:
            # One weight for all is divided by itself, and by nothing else.
            return Ours(text(**summed), pred, target)
        case "mean_with_sample_weight":
            return Ours(factor + text(), pred, target, held)
        case _:
            raise Inexpressible(f"reduction={how}")


def elements(call: Call, text: Callable[..., str], pred: Tensor, target: Tensor) -> Ours:
    """A loss of elements, which keras averages over the last axis; its weights have 1 element there."""
    rank, averaged = pred.ndim - 1, width(pred, -1)
    ours = reduced(call, text, pred, target, rank=rank, averaged=averaged)
    return replace(
        ours, batch={name: w.unsqueeze(-1) if w.ndim == rank else w for name, w in ours.batch.items()}
    )


def pair(call: Call) -> tuple[Tensor, Tensor]:
    """Prediction and target as floats; whole numbers are numbers."""
    return call.tensor("y_pred").to(call.dtype), call.tensor("y_true").to(call.dtype)


# ------------------------------------------------------------------------- numbers

NUMBERS: dict[str, tuple[str, dict[str, str], dict[str, Any], int]] = {
    # name -> ours, options under our names, options that keras' definition has, factor
    "MeanSquaredError": ("mse", {}, {}, 1),
    "MeanAbsoluteError": ("l1", {}, {"like": "keras"}, 1),
    "MeanAbsolutePercentageError": ("mape", {}, {}, 100),
    "MeanSquaredLogarithmicError": ("msle", {}, {"like": "keras"}, 1),
    "Huber": ("huber", {"delta": "delta"}, {"like": "keras"}, 1),
    "LogCosh": ("log_cosh", {}, {}, 1),
    "Poisson": ("poisson_nll", {}, {"like": "keras"}, 1),
}


@keras.call(*NUMBERS)
def numbers(call: Call) -> Ours:
    name, renamed, fixed, factor = NUMBERS[call.callable]
    options = {**fixed, **call.same(**renamed)}
    return elements(call, lambda **more: times(factor, use(name, **options, **more)), *pair(call))


@keras.call("RootMeanSquaredError")
def rmse(call: Call) -> Ours:
    """A metric: the root of Σ w e² / Σ w."""
    pred, target = pair(call)
    held = weight(call, pred.ndim)
    weighted = use("mse", weight=f"batch.{WEIGHT}", reduction="wmean") if held else "mse"
    return Ours(f"sqrt({weighted})", pred, target, held)


@keras.call("CosineSimilarity")
def cosine(call: Call) -> Ours:
    """-cos, which is a distance less 1: in a mean the 1 is one, and beside weights each has its own."""
    pred, target = pair(call)
    axis = call.get("axis", -1)
    pred, target = pred.movedim(axis, -1), target.movedim(axis, -1)
    how = call.get("reduction", "sum_over_batch_size")
    if not weight(call, pred.ndim - 1) and how != "sum_over_batch_size":
        raise Inexpressible("a constant beside what is not a mean")
    return reduced(call, lambda **more: f"({use('cosine', **more)} - 1)", pred, target, rank=pred.ndim - 1)


# ------------------------------------------------------------------------- yes and no


@keras.call("Hinge", "SquaredHinge")
def hinge(call: Call) -> Ours:
    """Labels 0 and 1 become -1 and +1, as our integers do, and -1 and +1 stay."""
    call.refuse_where("y_true", lambda target: (target != target.round()).any(), "a label between 0 and 1")
    pred, target = call.tensor("y_pred").to(call.dtype), call.tensor("y_true").long()
    name = {"Hinge": "hinge", "SquaredHinge": "squared_hinge"}[call.callable]
    return elements(call, lambda **more: use(name, **more), pred, target)


def yes_or_no(call: Call, name: str, options: dict[str, Any]) -> Ours:
    pred, target = pair(call)
    if call.get("axis", -1) not in (-1, pred.ndim - 1):
        raise Inexpressible("a mean over another axis than the last")
    if call.get("from_logits", False):
        return elements(call, lambda **more: use(name, "sigmoid", **options, **more), pred, target)
    options = {"like": "keras", "pred": CLIPPED, **options}
    return elements(call, lambda **more: use(name, "identity", **options, **more), pred, target)


@keras.call("BinaryCrossentropy")
def bce(call: Call) -> Ours:
    return yes_or_no(call, "bce", call.same(label_smoothing="label_smoothing"))


@keras.call("BinaryFocalCrossentropy")
def binary_focal(call: Call) -> Ours:
    """`alpha` counts only with `apply_class_balancing`. Smoothed targets are y (1 - ε) + ε / 2."""
    options = call.same(gamma="gamma")
    alpha = call.get("alpha", 0.25)
    if call.get("apply_class_balancing", False):
        options["alpha"] = alpha
    smoothing = call.get("label_smoothing", 0)
    if smoothing:
        options["target"] = f"{1 - smoothing}*target + {smoothing / 2}"
    return yes_or_no(call, "focal", options)


# ------------------------------------------------------------------------- classes


def classes(call: Call, name: str, options: dict[str, Any]) -> tuple[Tensor, Tensor, Callable[..., str]]:
    """Prediction and target with their classes in the second place, and the program.

    Probabilities are divided by their sum, as a softmax of their logarithms is.
    """
    pred, target = pair(call)
    axis = call.get("axis", -1)
    same_shape = target.shape == pred.shape
    pred = class_axis_second(pred, axis)
    if same_shape:
        target = class_axis_second(target, axis)
    else:
        target = call.tensor("y_true").long().reshape(pred.shape[:1] + pred.shape[2:])
    given = {} if call.get("from_logits", False) else {"pred": f"log({CLIPPED})"}
    return pred, target, lambda **more: use(name, "softmax", **given, **options, **more)


def per_place(call: Call, pred: Tensor, target: Tensor, text: Callable[..., str]) -> Ours:
    return reduced(call, text, pred, target, rank=pred.ndim - 1)


@keras.call("CategoricalCrossentropy")
def ce(call: Call) -> Ours:
    return per_place(call, *classes(call, "ce", call.same(label_smoothing="label_smoothing")))


@keras.call("SparseCategoricalCrossentropy")
def sparse_ce(call: Call) -> Ours:
    """Beside weights of places, the mean counts what is ignored too."""
    ignored = call.get("ignore_class")
    if ignored is None:
        return per_place(call, *classes(call, "ce", {}))
    pred, target, text = classes(call, "ce", {"ignore_index": ignored})
    if call.tensor(WEIGHT) is not None:
        raise Inexpressible("a mean that counts what is ignored")
    return per_place(call, pred, target, text)


@keras.call("CategoricalFocalCrossentropy")
def categorical_focal(call: Call) -> Ours:
    """α multiplies every class, or each its own. A smoothed label is (1 - ε) of it and ε / C of every class."""
    options = call.same(gamma="gamma")
    alpha, smoothing = call.get("alpha", 0.25), call.get("label_smoothing", 0)
    if isinstance(alpha, list):
        options["class_weight"], alpha = alpha, 1
    pred, target, text = classes(call, "focal", options)

    def program(**more: Any) -> str:
        if not smoothing:
            return times(alpha, text(**more))
        if more.get("reduction") == "none":
            raise Inexpressible("no reduction of a sum of several losses")
        number = width(pred)
        every = " + ".join(text(target=c, **more) for c in range(number))
        return f"({times(alpha * (1 - smoothing), text(**more))} + {alpha * smoothing / number}*({every}))"

    return per_place(call, pred, target, program)


@keras.call("CategoricalGeneralizedCrossEntropy")
def gce(call: Call) -> Ours:
    options = {"like": "keras", **call.same(q="q")}
    pred, target, _ = classes(call, "gce", options)
    return per_place(call, pred, target, lambda **more: use("gce", "identity", **options, **more))


@keras.call("KLDivergence")
def kl(call: Call) -> Ours:
    """Both are clipped to 1e-7 and 1, and need not sum to 1."""
    pred, target = map(class_axis_second, pair(call))
    given = {"pred": f"clip(pred, {EPSILON}, 1)", "target": f"clip(target, {EPSILON}, 1)"}

    def program(**more: Any) -> str:
        return use("kl", like="keras", **given, **more)

    return per_place(call, pred, target, program)


@keras.call("CategoricalHinge")
def categorical_hinge(call: Call) -> Ours:
    """keras has the true class among the others, with a score of 0."""
    pred, target = map(class_axis_second, pair(call))
    operand = "target*pred + (1 - target)*max(pred, 0)"
    return per_place(call, pred, target, lambda **more: use("multiclass_hinge", pred=operand, **more))


# ------------------------------------------------------------------------- regions


def region(call: Call, name: str, options: dict[str, Any]) -> Ours:
    """Sums over `axis`, which is everything unless it is said: one region of one class.

    keras does not look at numbers beyond 0 and 1.
    """
    pred, target = pair(call)
    axes = call.get("axis")
    summed = sorted(a % pred.ndim for a in axes) if axes else list(range(pred.ndim))
    kept = [a for a in range(pred.ndim) if a not in summed]
    pred, target = (rows(v.permute(*kept, *summed), len(kept)) for v in (pred, target))

    def program(**more: Any) -> str:
        return use(name, "identity", smooth=0, empty="one", **options, **more)

    return replace(reduced(call, program, pred, target, rank=1), validate="never")


def rows(value: Tensor, kept: int) -> Tensor:
    """(*kept, *summed) as (B, 1, N)."""
    return value.reshape(1, 1, -1) if not kept else value.flatten(kept).flatten(0, kept - 1).unsqueeze(1)


@keras.call("Dice")
def dice(call: Call) -> Ours:
    return region(call, "dice", {})


@keras.call("Tversky")
def tversky(call: Call) -> Ours:
    """α weighs false positives, as ours. In keras 3.15 it weighs false negatives."""
    return region(call, "tversky", call.same(alpha="alpha", beta="beta"))


# ------------------------------------------------------------------------- others


@keras.call("Circle", "circle")
def circle(call: Call) -> Ours:
    """Embeddings and labels; every sample is an anchor."""
    if call.tensor("ref_embeddings") is not None:
        raise Inexpressible("anchors against the embeddings of another set")
    if not call.get("remove_diagonal", True):
        raise Inexpressible("an anchor that is its own positive")
    pred, labels = call.tensor("y_pred"), call.tensor("y_true")
    options = {"like": "keras", **call.same(gamma="gamma", margin="margin")}
    return reduced(call, lambda **more: use("circle", **options, **more), pred, labels, rank=1)


@keras.call("CTC")
def ctc(call: Call) -> Ours:
    """Logits (B, T, C), the last class blank; labels padded with zeros."""
    raise Inexpressible("ctc takes the lengths of both sequences, which keras reads from the padding")
