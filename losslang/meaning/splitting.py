"""Terms over parts of a batch: which are sums over samples, and what their denominators read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from losslang.meaning.meaning import (
    Apply,
    Constant,
    Expression,
    Input,
    LossUse,
    Term,
    below,
    is_found,
    is_static,
    loss_of,
)
from losslang.meaning.uses.universal import BALANCED
from losslang.primitives.primitive import Function, Loss
from losslang.registry import Registry

SUMS = ("sum", "hard_negative")
MEANS = ("mean", "mean_all")
MEANS_OF_SAMPLES = ("batchmean", "mean_of_means")
WEIGHTED = ("wmean", "wmean_all")
BEST = ("min", "max")
"""How an `each` combines its elements where it takes one of them."""
OF_ALL = ("mean_all", "wmean_all")
"""Reductions that count what is masked, too."""
ORDER = ("topk", "ohem", "quantile", "hard_negative")
"""Reductions that rank the values of the whole batch; the last one does where a sample has one value."""


def counted_use(body: Expression, shifts: bool = True) -> LossUse | None:
    """The one use that a term is an affine function of, so that its value is a mean like that of the use.

    Without `shifts` it is a multiple of the use alone, as for a sum.
    """
    match body:
        case LossUse():
            return body
        case Apply("*", (Constant(), inner)) | Apply("neg" | "detach", (inner,)):
            return counted_use(inner, shifts)
        case Apply("+" | "-", (Constant(), inner)) | Apply("+" | "-", (inner, Constant())) if shifts:
            return counted_use(inner, shifts)
        case Apply("each" | "matryoshka", (inner, *_)) if dict(body.options).get("combine") not in BEST:
            return counted_use(inner, shifts)
        case _:
            return None


def counted_uses(term: Term, registry: Registry) -> tuple[LossUse | None, ...]:
    """The uses whose counts divide a term: one, or one for each element of an `each` that counts by itself.

    Elements share a count where they read the same target, mask and weights.
    """
    each = next(
        (part for part in below(term.body) if isinstance(part, Apply) and part.operator == "each"), None
    )
    if each is None or not needs_norm(term, registry):
        return (counted_use(term.body),)
    uses = [counted_use(body) for body in each.arguments]
    counted = {use and (_counted(use), str(use.get("mask")), str(use.get("weight"))) for use in uses}
    return tuple(uses) if len(counted) > 1 else (uses[0],)


def _counted(use: LossUse) -> str:
    return str(dict(use.operands).get(counted_operand(use)))


def is_once_a_call(term: Term, registry: Registry) -> bool:
    """True if a term reads no tensor of the call: it is made of constants and of parameters of the model."""
    parts = [part for whole in (term.body, term.factor) if whole is not None for part in below(whole)]
    return all(
        part.root not in ("pred", "target", "batch")
        if isinstance(part, Input)
        else not isinstance(part, LossUse) or loss_of(part, registry).wants == "parameters"
        for part in parts
    )


def needs_norm(term: Term, registry: Registry) -> bool:
    """True if a norm divides a term; False for a sum, and for one whose denominator is an `avg_factor`."""
    use = counted_use(term.body)
    is_own = use is not None and (use.get("avg_factor") is not None or use.reduction.name in SUMS)
    return is_once_a_call(term, registry) or not is_own


def why_not_split(term: Term, registry: Registry) -> str:
    """Why the values of a term on parts of a batch do not add up to that on the whole; '' if they do."""
    if is_once_a_call(term, registry):
        return ""
    if found_by := _found_by(term):
        return f"`{found_by}` finds its weight in each call, from the part that the call sees"
    mixed = "" if term.factor is None else mixes(term.factor, registry)
    if mixed:
        return mixed
    use = counted_use(term.body)
    if use is None:
        return _why_no_mean(term.body)
    loss = loss_of(use, registry)
    if loss.wants == "parameters":
        return "it is a loss of parameters times a number of the call, which is handed over in each"
    if not needs_norm(term, registry) and counted_use(term.body, shifts=False) is None:
        return "a number beside a sum counts once in each part"
    return _of_loss(use, loss) or _of_options(use) or _of_elements(term.body, use) or mixes(use, registry)


def _found_by(term: Term) -> str:
    """The combinator that finds the weight of a term in every call; '' if none does."""
    if term.automatic is not None:
        return term.automatic.method
    parts = () if term.factor is None else below(term.factor)
    return next((part.operator for part in parts if is_found(part)), "")


def _why_no_mean(body: Expression) -> str:
    if isinstance(body, Input):
        return f"nothing says what `{body}` was divided by"
    if isinstance(body, Apply) and body.operator == "each" and dict(body.options).get("combine") in BEST:
        return "`combine` takes the best of the values"
    uses = [part for part in below(body) if isinstance(part, LossUse)]
    if not uses:
        return "arithmetic on tensors of the call has no denominator that a plan knows"
    return "it is no multiple of one mean over samples"


def _of_loss(use: LossUse, loss: Loss) -> str:
    """Why the values of a loss are not those of each sample; '' if they are."""
    if "memory" in loss.parameters:
        return f"`{use.loss}` remembers what it saw in earlier calls"
    if not loss.result_axes:
        return f"`{use.loss}` is one number of the whole batch"
    return f"`{use.loss}` compares the samples of a batch with each other" if loss.mixes_samples else ""


def _of_options(use: LossUse) -> str:
    """Why the options of a use make its denominator or its values those of the whole batch."""
    name = use.reduction.name
    if use.get("batch"):
        return "`batch=true` makes one region of all samples"
    if name in ORDER:
        return f"`{name}` ranks the values of the whole batch"
    if name not in (*SUMS, *MEANS, *MEANS_OF_SAMPLES, *WEIGHTED):
        return f"`reduction={name}` is neither a sum nor a mean"
    for option in ("class_weight", "pos_weight"):
        if use.get(option) in BALANCED:
            return f"`{option}={use.get(option)}` is computed from the whole batch"
    if name in WEIGHTED and reads_prediction(use.get("weight")):
        return "the sum of its weights depends on the prediction"
    return ""


def _of_elements(body: Expression, use: LossUse) -> str:
    """Why the elements of an `each` have no counts; '' if they have."""
    if not any(isinstance(part, Apply) and part.operator == "each" for part in below(body)):
        return ""
    operand = dict(use.operands).get(counted_operand(use))
    if operand is None:
        return "no tensor but each prediction says how many values it has"
    if any(isinstance(part, Input) and part.resize for part in below(operand)):
        return "its targets take the size of each prediction"
    return ""


def mixes(expression: Expression, registry: Registry) -> str:
    """Why an expression reads several samples at once: a function that reduces a tensor of the call."""
    for part in below(expression):
        # Of two arguments `max` and `min` are elementwise.
        if not isinstance(part, Apply) or is_static(part) or len(part.arguments) > 1:
            continue
        function, dim = registry.get(Function, part.operator), dict(part.options).get("dim")
        axes = cast("Sequence[int | None]", dim if isinstance(dim, (tuple, list)) else (dim,))
        if 0 in axes or (function is not None and function.reduces and dim is None):
            return f"`{part}` reads the whole batch"
        if any(axis is not None and axis < -1 for axis in axes):
            return f"`{part}` may read the whole batch: count its axes from 0"
    return ""


# ------------------------------------------------------------ counts without a prediction


def reads_prediction(value: object) -> bool:
    """True for an expression that reads the prediction."""
    if not isinstance(value, (Constant, Input, Apply, LossUse)):
        return False
    return any(isinstance(part, Input) and part.root == "pred" for part in below(value))


def counted_operand(use: LossUse) -> str:
    """The operand whose shape says how much there is to count: the target, or a prediction of the batch.

    '' if only the prediction of the call says it.
    """
    operands = dict(use.operands)
    for name in ("target", "pred"):
        if name in operands and not is_static(operands[name]) and not reads_prediction(operands[name]):
            return name
    return ""


def why_not_counted(term: Term, registry: Registry) -> str:
    """Why the denominator of a term cannot be known before the prediction; '' if it can."""
    if is_once_a_call(term, registry) or not needs_norm(term, registry):
        return ""
    use = counted_use(term.body)
    if use is None:
        return why_not_split(term, registry)
    if not counted_operand(use):
        return "no tensor but the prediction says how many values it has"
    for option in ("mask", "weight"):
        if reads_prediction(use.get(option)):
            return f"its `{option}` reads the prediction"
    if use.get("empty") == "skip":
        return "absent classes do not count, and only the prediction says how many classes there are"
    if loss_of(use, registry).skips:
        return f"`{use.loss}` says with its values which of them count"
    return ""
