"""Large tensors, block by block: one pass forward, one pass backward, nothing kept between them."""

from losslang.runtime.blocks.cut import workers
from losslang.runtime.blocks.evaluator import AutogradEvaluator, value_checks
from losslang.runtime.blocks.split import Walk, split
from losslang.runtime.blocks.sums import Sum
from losslang.runtime.blocks.walk import BlockEvaluator, Totals, Walker

__all__ = [
    "BlockEvaluator",
    "AutogradEvaluator",
    "Sum",
    "Totals",
    "Walk",
    "Walker",
    "value_checks",
    "split",
    "workers",
]
