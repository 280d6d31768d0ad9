"""Keywords of a call that nothing reads, whose names say that somebody expects an effect.

They are looked at once for each set of names that a program is called with, never while torch traces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from losslang.diagnostics.mistakes.inputs import keyword_without_effect
from losslang.diagnostics.mistakes.names import not_built
from losslang.diagnostics.source import Source, Span
from losslang.meaning.checker import analyze
from losslang.meaning.meaning import Input, Meaning, loss_uses
from losslang.plan.operations.notices import warn_once
from losslang.plan.plan import Plan
from losslang.primitives.primitive import Loss
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.tensors.eager import traces
from losslang.tensors.targets import Site

OF_TENSORS = {
    "avg_factor": ("avg_factor", "num_items_in_batch", "num_items", "normalizer"),
    "weight": ("weight", "weights", "sample_weight", "sample_weights", "loss_weight"),
    "mask": ("mask", "masks", "valid_mask", "loss_mask", "padding_mask", "ignore_mask"),
    "class_weight": ("class_weight", "class_weights"),
    "pos_weight": ("pos_weight",),
}
"""Options that read a tensor of the call, and the keywords by which other losses take it."""
OF_VALUES = ("reduction", "ignore_index", "label_smoothing")
"""Options that are written in the program."""
OPTION = {name: option for option, names in OF_TENSORS.items() for name in names}


class Keywords:
    """What a program reads of the keywords of a call; `known` are the sets of names that were looked at."""

    def __init__(self, plan: Plan, meaning: Meaning, registry: Registry):
        self.meaning = meaning
        self.registry = registry
        paths = [dict(step.options)["path"] for step in plan.inputs]
        self.read = {_first(path) for path in paths if isinstance(path, Input) and path.root == "batch"}
        self.known: set[tuple[str, ...]] = set()

    def look(self, batch: Mapping[str, Any]) -> None:
        """Warns of keywords that nothing reads and that should have an effect. Raises LossError for `norm`."""
        whole = Site("", "", Span(0, len(self.meaning.source.text)), self.meaning.source)
        if "norm" in batch:
            later = not_built(whole.span, "norm", "the denominator for accumulated gradients")
            fix = self._written("avg_factor", "batch.n") or "leave it out"
            raise whole.error(replace(later, fix=f"{fix}, and hand over `n=`"))
        if traces():
            return
        for name in batch:
            if name not in self.read and (name in OPTION or name in OF_VALUES):
                warn_once(whole, keyword_without_effect(whole.span, name, self._fix(name, batch[name])))
        self.known.add(tuple(batch))

    def _fix(self, name: str, value: Any) -> str:
        option = OPTION.get(name, name)
        fix = self._written(option, f"batch.{name}" if name in OPTION else str(value))
        return fix or f"no loss of this program takes `{option}`: leave the keyword out"

    def _written(self, option: str, value: str) -> str:
        """The first loss of the program that takes an option, written with it; '' if none does."""
        for term in self.meaning.terms:
            for use in loss_uses(term):
                activation = use.activation.name if use.activation is not None else None
                own = self.registry.get(Loss, use.loss)
                usual = "identity" if own is None else own.activation or "identity"
                inside = [] if activation is None or activation == usual else [activation]
                text = f"{use.loss}({', '.join([*inside, f'{option}={value}'])})"
                if analyze(Source(text), registry=self.registry).meaning is not None:
                    return f"`{text}`"
        return ""


def _first(path: Input) -> str:
    """The keyword at which a path of the batch starts; '' if the path is the whole batch."""
    step = path.steps[0] if path.steps else None
    return step.name if isinstance(step, tree.Key) else ""
