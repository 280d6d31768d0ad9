"""Large tensors, block by block: one pass forward, one pass backward, nothing kept between them."""

from losslang.blocks.cut import workers
from losslang.blocks.maps import Maps, looks_at
from losslang.blocks.split import Walk, split
from losslang.blocks.sums import Sum
from losslang.blocks.walk import Form, Totals, Walker

__all__ = ["Form", "Maps", "Sum", "Totals", "Walk", "Walker", "looks_at", "split", "workers"]
