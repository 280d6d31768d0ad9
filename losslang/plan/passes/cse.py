"""Common subexpression elimination (CSE): equal steps are computed once.

Before and after:

    softmax = activation:softmax(x); softmax2 = activation:softmax(x); dice = loss:dice(softmax2, ...)
    softmax = activation:softmax(x); dice = loss:dice(softmax, ...)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from losslang.plan.plan import Argument, Plan, Ref, substituted


def cse(plan: Plan) -> Plan:
    """Drops every step that is equal to an earlier one, and reads that instead."""
    first: dict[Any, str] = {}
    same: dict[str, Argument] = {}
    owners: dict[str, frozenset[str]] = {}
    for step in plan.steps:
        inputs = tuple(same.get(i.name, i) if isinstance(i, Ref) else i for i in step.inputs)
        # Compared as texts: 1 == 1.0 == True in Python, but they are different options.
        key = (step.operation, repr(inputs), repr(step.options), step.named)
        kept = first.setdefault(key, step.name)
        if kept != step.name:
            same[step.name] = Ref(kept)
        owners[kept] = owners.get(kept, frozenset()) | step.owners
    shared = substituted(plan, same)
    owned = (s if s.owners == owners[s.name] else replace(s, owners=owners[s.name]) for s in shared.steps)
    return Plan(tuple(owned), shared.outputs)
