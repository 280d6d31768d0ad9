"""The passes: rewrites of a plan that keep its mathematics, one a file.

`PASSES` is the pipeline of every plan, in order; `optimize` verifies the plan after each. The other passes
make plans for some calls: `drop_masks` where no label is ignored, `fuse_reduction` and `share_sums` where a
tensor is not cut into blocks, `mask_targets`, `fuse_masks`, `mask_sums` and `share_logs` in eager calls of
these, `merge_all_reduces` over ranks, `specialize` and `mask_once` for inputs like earlier ones, `summed` for
torch.compile.
"""

from __future__ import annotations

from collections.abc import Callable

from losslang.plan.passes.cse import cse
from losslang.plan.passes.drop_dead_steps import drop_dead_steps
from losslang.plan.passes.drop_masks import drop_masks
from losslang.plan.passes.flatten_rows import flatten_rows
from losslang.plan.passes.fold import fold
from losslang.plan.passes.fuse import fuse
from losslang.plan.passes.fuse_masks import fuse_masks, mask_once
from losslang.plan.passes.fuse_reduction import fuse_reduction
from losslang.plan.passes.mask_sums import mask_sums
from losslang.plan.passes.mask_targets import mask_targets
from losslang.plan.passes.merge_all_reduces import all_reduces, merge_all_reduces
from losslang.plan.passes.share_logs import share_logs
from losslang.plan.passes.share_sums import share_sums
from losslang.plan.passes.specialize import constants, may_idle, specialize
from losslang.plan.passes.stable import stable
from losslang.plan.passes.sum import summed
from losslang.plan.plan import Plan, verify
from losslang.registry import Registry

PASSES: tuple[Callable[..., Plan], ...] = (fold, cse, stable, fuse, flatten_rows, drop_dead_steps)


def optimize(plan: Plan, registry: Registry | None = None) -> Plan:
    """Returns the plan after every pass. `registry` holds the losses; the current one if None."""
    for rewrite in PASSES:
        plan = verify(rewrite(plan, registry) if rewrite in (fuse, flatten_rows) else rewrite(plan))
    return plan


__all__ = [
    "constants",
    "PASSES",
    "all_reduces",
    "merge_all_reduces",
    "flatten_rows",
    "fold",
    "fuse",
    "optimize",
    "may_idle",
    "fuse_masks",
    "mask_once",
    "mask_sums",
    "mask_targets",
    "fuse_reduction",
    "share_logs",
    "share_sums",
    "drop_dead_steps",
    "specialize",
    "cse",
    "stable",
    "summed",
    "drop_masks",
]
