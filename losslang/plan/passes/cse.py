"""Equal steps are computed once: two terms that read the same view of a prediction share it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from losslang.plan.plan import Argument, Plan, Ref, substituted


def cse(plan: Plan) -> Plan:
    """Replaces every step that computes what an earlier one did by that one."""
    first: dict[Any, str] = {}
    same: dict[str, Argument] = {}
    owners: dict[str, frozenset[str]] = {}
    for step in plan.steps:
        inputs = tuple(same.get(i.name, i) if isinstance(i, Ref) else i for i in step.inputs)
        # 1 == 1.0 == True in Python, and their texts differ.
        key = (step.operation, repr(inputs), repr(step.options))
        kept = first.setdefault(key, step.name)
        if kept != step.name:
            same[step.name] = Ref(kept)
        owners[kept] = owners.get(kept, frozenset()) | step.owners
    shared = substituted(plan, same)
    owned = (s if s.owners == owners[s.name] else replace(s, owners=owners[s.name]) for s in shared.steps)
    return Plan(tuple(owned), shared.outputs)
