"""Arguments of a call under names: prediction and target have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes.inputs import missing_input
from losslang.plan.plan import Plan

NAMES = {
    "pred": ("pred", "preds", "prediction", "input", "inputs", "logits", "output", "outputs", "y_pred", "x"),
    "target": ("target", "targets", "label", "labels", "y", "y_true", "truth", "gt"),
}
"""The names under which prediction and target are handed over by mistake."""


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
