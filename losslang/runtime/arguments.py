"""Arguments of a call: those that are handed over in another way than the program reads them, and empty ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes.inputs import missing_input
from losslang.plan.plan import Plan
from losslang.syntax import tree
from losslang.tensors.lazy import torch
from losslang.tensors.torch_private import tree_flatten
from losslang.vocabulary import Tensor

NAMES = {
    "pred": ("pred", "preds", "prediction", "input", "inputs", "logits", "output", "outputs", "y_pred", "x"),
    "target": ("target", "targets", "label", "labels", "y", "y_true", "truth", "gt"),
}
"""The names under which prediction and target are handed over by mistake."""


OF_TARGETS = re.compile(r"(the (float )?)?`?target`? of `")
"""How a message starts that says what is wrong with a target."""


def refuse_named(plan: Plan, positional: Sequence[Any], batch: Mapping[str, Any]) -> None:
    """Refuses a prediction or a target that is handed over by a name, where the program reads it without one."""
    read = {str(dict(step.options)["path"]): step for step in plan.inputs}
    found = {
        root: next((name for name in names if name in batch and f"batch.{name}" not in read), "")
        for root, names in NAMES.items()
    }
    for root, value in zip(NAMES, positional, strict=True):
        step = next((step for path, step in read.items() if path.partition(".")[0] == root), None)
        if value is None and found[root] and step is not None and step.site is not None:
            shown = tuple(found[other] or other for other in NAMES)
            wrong = missing_input(step.site.span, root, root, shown)
            raise LossError([wrong.at(step.site.source)])


def name_heads(plan: Plan, target: Any, error: LossError) -> LossError:
    """Returns an error of a target, with what to hand over if several heads read the one tensor that it is."""
    paths = [dict(step.options)["path"] for step in plan.inputs]
    heads = {
        path.steps[0].name
        for path in paths
        if path.soft and path.steps and isinstance(path.steps[0], tree.Key)
    }
    if len(heads) < 2 or not isinstance(target, torch.Tensor):
        return error
    each = ", ".join(f"'{head}': ..." for head in sorted(heads))
    first = f"{len(heads)} heads read this one tensor: hand over a target for each, `{{{each}}}`"
    told = [
        replace(found, fix=f"{first}; else {found.fix}") if OF_TARGETS.match(found.message) else found
        for found in error.diagnostics
    ]
    return LossError(told)


def has_values(inputs: Any) -> bool:
    """Returns whether every tensor of a call holds something to look at."""
    leaves, _ = tree_flatten(inputs)
    return not any(isinstance(x, torch.Tensor) and (x.is_meta or not x.numel()) for x in leaves)


def tensor_of(number: Any) -> Tensor:
    """Returns a term as a tensor: also one that is a number of the call."""
    return number if isinstance(number, torch.Tensor) else torch.tensor(float(number))
