"""Terms over the ranks of a process group: how each gets its value on the whole batch, or why it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from losslang.meaning.automatic import Automatic
from losslang.meaning.contests import is_contest
from losslang.meaning.layout import is_of_rows, without_slices
from losslang.meaning.meaning import (
    COMPUTED,
    Apply,
    Expression,
    Input,
    LossUse,
    Term,
    below,
    loss_of,
    loss_uses,
)
from losslang.meaning.program import Meaning
from losslang.meaning.splitting import (
    MEANS,
    MEANS_OF_SAMPLES,
    ORDER,
    SUMS,
    WEIGHTED,
    is_once_a_call,
    mixes,
)
from losslang.meaning.uses.universal import BALANCED
from losslang.primitives.combinators import Combinator
from losslang.primitives.primitive import Loss
from losslang.registry import Registry

Way = Literal["summed", "parted", "gathered"]
"""How a use is computed: its sum and count are added up, or its sums over a region, or it reads all rows."""


def way_of(use: LossUse, loss: Loss) -> Way:
    """Returns how a use is computed over ranks."""
    if loss.mixes_samples:
        return "gathered"
    return "parted" if loss.has_total and (use.get("batch") or not loss.result_axes) else "summed"


def why_not_over_ranks(term: Term, registry: Registry) -> str:
    """Why a term has no value over ranks that each hold a part of the batch; '' if it has one."""
    if is_once_a_call(term, registry):
        return ""
    mixed = "" if term.factor is None else mixes(term.factor, registry)
    if mixed:
        return mixed
    uses = list(loss_uses(term))
    if not uses:
        if isinstance(term.body, Input):
            return f"nothing says what `{term.body}` was divided by"
        return "arithmetic on tensors of the call has no denominator that a plan knows"
    if any(isinstance(part, Apply) and is_contest(part) for part in below(term.body)):
        return "`combine` takes the best of the values of each rank"
    outside = mixes(term.body, registry)
    return outside or next(filter(None, (_of_use(use, loss_of(use, registry)) for use in uses)), "")


def _of_use(use: LossUse, loss: Loss) -> str:
    """Why a use of a loss has no value over ranks; '' if it has one."""
    if "memory" in loss.parameters:
        return f"`{use.loss}` remembers what it saw in earlier calls"
    if loss.mixes_samples and not is_of_rows(loss):
        return f"`{use.loss}` computes its weights from the whole batch"
    if loss.whole and use.get("batch"):
        return f"`{use.loss}(batch=true)` ranks the places of the whole batch"
    name = use.reduction.name
    if name in ORDER:
        return f"`{name}` ranks the values of the whole batch"
    if name not in (*SUMS, *MEANS, *MEANS_OF_SAMPLES, *WEIGHTED):
        return f"`reduction={name}` is neither a sum nor a mean"
    if name in WEIGHTED and way_of(use, loss) == "parted" and isinstance(use.get("weight"), COMPUTED):
        return "its `weight` lies over one region of all ranks: write `class_weight=`"
    return ""


# ---------------------------------------------------------------------- what an exchange takes


class Exchange(NamedTuple):
    """The terms of what a step exchanges over ranks.

    Those of its all-reduce, those of one before it, of the numbers of classes, and those whose rows are
    gathered.
    """

    reduced: tuple[str, ...]
    balanced: tuple[str, ...]
    gathered: tuple[str, ...]


def exchange(meaning: Meaning, registry: Registry) -> Exchange:
    """Returns what a step of the trained terms exchanges."""
    reduced: list[str] = []
    balanced: list[str] = []
    gathered: list[str] = []
    for term in meaning.terms:
        if term.metric or term.dropped or why_not_over_ranks(term, registry):
            continue
        losses = [(use, loss_of(use, registry)) for use in loss_uses(term)]
        ways = {way_of(use, loss) for use, loss in losses if loss.wants != "parameters"}
        gathered += [term.name] if "gathered" in ways else []
        is_divided = any(isinstance(use.get("avg_factor"), COMPUTED) for use, _ in losses)
        reduced += [term.name] if is_divided or ways - {"gathered"} else []
        balanced += [term.name] if any(map(_is_balanced, losses)) else []
    return Exchange(tuple(reduced), tuple(balanced), tuple(gathered))


def _is_balanced(part: tuple[LossUse, Loss]) -> bool:
    """True for a use whose sums need weights that are computed from the numbers of classes of the whole batch.

    Values of a region are weighed when they are those of the whole batch.
    """
    use, loss = part
    way = way_of(use, loss)
    return any(
        use.get(option) in BALANCED and (way == "summed" or (way == "parted" and option in loss.parameters))
        for option in ("class_weight", "pos_weight")
    )


def in_words(meaning: Meaning, registry: Registry) -> str:
    """Returns what a step of the trained terms exchanges over ranks, or which terms have no value there."""
    trained = [term for term in meaning.terms if not term.metric and not term.dropped]
    refused = [(term.name, why) for term in trained if (why := why_not_over_ranks(term, registry))]
    if refused:
        return "; ".join(f"refused, `{name}`: {why}" for name, why in refused)
    reduced, balanced, gathered = exchange(meaning, registry)
    said = [f"one all-reduce a step ({', '.join(reduced)})"] if reduced else []
    if balanced:
        said = [
            f"two all-reduces a step, of classes ({', '.join(balanced)}), then of sums ({', '.join(reduced)})"
        ]
    said += [f"two all-gathers, of sizes and rows ({', '.join(gathered)})"] if gathered else []
    measured = dict.fromkeys(
        t.automatic.method for t in trained if t.automatic and _measures(t.automatic, registry)
    )
    said += [f"one more all-reduce, of the lengths of gradients ({name})" for name in measured]
    return ", ".join(said) or "nothing is exchanged"


def _measures(automatic: Automatic, registry: Registry) -> bool:
    combinator = registry.get(Combinator, automatic.method)
    return combinator is not None and combinator.measures == "gradients"


def gathered_paths(meaning: Meaning, registry: Registry) -> dict[str, Input]:
    """Returns the paths, up to their slices, that uses may read whose rows are gathered: by their texts."""
    return {
        str(path): path
        for term in meaning.terms
        for use in loss_uses(term)
        if way_of(use, loss_of(use, registry)) == "gathered"
        for path in _paths(use)
    }


def _paths(expression: Expression) -> Iterator[Input]:
    for part in below(expression):
        if isinstance(part, Input) and part.root in ("pred", "target", "batch"):
            yield without_slices(part)
