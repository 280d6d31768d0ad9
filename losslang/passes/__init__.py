"""What makes a plan good: rewritings that keep its mathematics, one idea a file.

The tuple is the whole pipeline, in order. Each pass is a pure function of plans; the result of each
is verified.
"""

from __future__ import annotations

from losslang.passes.fold import fold
from losslang.passes.fuse import fuse
from losslang.passes.merge import merge
from losslang.passes.once import once
from losslang.passes.prune import prune
from losslang.passes.settle import may_idle, settle
from losslang.passes.share import share
from losslang.passes.stable import stable
from losslang.passes.sum import summed
from losslang.passes.unmask import unmask
from losslang.plan import Plan, verify
from losslang.registry import Registry

PASSES = (fold, share, stable, fuse, prune)


def improve(plan: Plan, registry: Registry | None = None) -> Plan:
    """The plan after every pass. `registry` knows the kernels; else the current one."""
    for rewrite in PASSES:
        plan = verify(fuse(plan, registry) if rewrite is fuse else rewrite(plan))
    return plan


__all__ = [
    "PASSES",
    "fold",
    "fuse",
    "improve",
    "may_idle",
    "merge",
    "once",
    "prune",
    "settle",
    "share",
    "stable",
    "summed",
    "unmask",
]
