"""Large tensors, block by block: one pass forward, one pass backward, nothing kept between them."""

from losslang.blocks.split import Walk, split
from losslang.blocks.sums import Sum
from losslang.blocks.walk import Totals, Walker

__all__ = ["Sum", "Totals", "Walk", "Walker", "split"]
