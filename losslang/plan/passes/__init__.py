"""What makes a plan good: rewritings that keep its mathematics, one idea a file.

The tuple is the whole pipeline, in order. Each pass is a pure function of plans; the result of each
is verified.
"""

from __future__ import annotations

from losslang.plan.passes.cse import cse
from losslang.plan.passes.drop_dead_steps import drop_dead_steps
from losslang.plan.passes.drop_masks import drop_masks
from losslang.plan.passes.fold import fold
from losslang.plan.passes.fuse import fuse
from losslang.plan.passes.fuse_reduction import fuse_reduction
from losslang.plan.passes.share_sums import share_sums
from losslang.plan.passes.specialize import may_idle, specialize
from losslang.plan.passes.stable import stable
from losslang.plan.passes.sum import summed
from losslang.plan.plan import Plan, verify
from losslang.registry import Registry

PASSES = (fold, cse, stable, fuse, drop_dead_steps)


def optimize(plan: Plan, registry: Registry | None = None) -> Plan:
    """The plan after every pass. `registry` knows the kernels; else the current one."""
    for rewrite in PASSES:
        plan = verify(fuse(plan, registry) if rewrite is fuse else rewrite(plan))
    return plan


__all__ = [
    "PASSES",
    "fold",
    "fuse",
    "optimize",
    "may_idle",
    "fuse_reduction",
    "share_sums",
    "drop_dead_steps",
    "specialize",
    "cse",
    "stable",
    "summed",
    "drop_masks",
]
