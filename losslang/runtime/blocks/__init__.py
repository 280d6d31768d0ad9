"""Block evaluation of large tensors: one pass forward, one pass backward, no saved tensor but the inputs."""

from losslang.runtime.blocks.evaluator import AutogradEvaluator, value_checks
from losslang.runtime.blocks.split import Walk, split
from losslang.runtime.blocks.walk import BlockEvaluator, Totals, Walker

__all__ = [
    "BlockEvaluator",
    "AutogradEvaluator",
    "Totals",
    "Walk",
    "Walker",
    "value_checks",
    "split",
]
